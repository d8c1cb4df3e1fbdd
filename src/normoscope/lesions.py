"""How well maps find lesions whose masks are known, each figure with its interval.

    masks, maps  --Lesions--> pointing (all, or of a size), AUPRO, pixel AP
    masks, marks --Lesions--> share of lesions with a marked pixel inside

A lesion is all that one image's mask marks. Images of one patient are drawn together by the bootstrap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int

from . import metrics
from .errors import ScoresError
from .faithfulness import pointing
from .intervals import Intervals
from .statistics import Interval

__all__ = ["Lesions", "share"]

Maps = Float[np.ndarray, "n h w"]


@dataclass(frozen=True)
class Lesions:
    """The lesions of some images.

    Args:
        masks: True on lesion pixels; none is empty.
        patients: Of each image; None takes images as independent.

    Raises:
        ScoresError: A mask is empty.
    """

    masks: Bool[np.ndarray, "n h w"]
    patients: npt.NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        if empty := int(np.sum(~self.masks.any((1, 2)))):
            raise ScoresError("masks", "lesion pixels in each", f"{empty} empty ones", "leave these images out")

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def areas(self) -> Float[np.ndarray, " n"]:
        """Each lesion's share of its image."""
        return np.asarray(self.masks.mean((1, 2)))

    def of(self, rows: Bool[np.ndarray, " n"] | Int[np.ndarray, " m"]) -> Lesions:
        """Return some of them."""
        return Lesions(self.masks[rows], None if self.patients is None else self.patients[rows])

    def between(self, smallest: float, largest: float) -> Bool[np.ndarray, " n"]:
        """Tell which have an area in this range, bounds included."""
        return (self.areas >= smallest) & (self.areas <= largest)

    def pointing(self, maps: Maps, tolerance: float = 0.0) -> Interval:
        """Return the share of lesions that hold their map's highest pixel; see `faithfulness.pointing`."""
        pairs = zip(maps, self.masks, strict=True)
        return share(np.asarray([pointing(one, mask, tolerance) for one, mask in pairs]), self.patients)

    def hit(self, marked: Bool[np.ndarray, "n h w"]) -> Interval:
        """Return the share of lesions with any marked pixel inside."""
        return share(np.any(marked & self.masks, axis=(1, 2)), self.patients)

    def aupro(self, maps: Maps) -> Interval:
        """Return `metrics.aupro` of these images alone."""
        return Intervals(self.patients).of_pixels(metrics.aupro, self.masks, maps)

    def pixel_ap(self, maps: Maps) -> Interval:
        """Return `metrics.pixel_ap` of these images alone."""
        return Intervals(self.patients).of_pixels(metrics.pixel_ap, self.masks, maps)


def share(hits: npt.NDArray[Any], patients: npt.NDArray[np.str_] | None = None) -> Interval:
    """Return the mean of hits with its interval, as `Intervals.of_shares`.

    Args:
        hits: (n,) in [0, 1].
        patients: Of each image, the unit drawn; None takes images as independent.
    """
    if not len(hits):
        return Interval.without_bounds(math.nan, "none of this kind")
    return Intervals(patients).of_shares(np.asarray(hits, np.float64))
