"""One number per image - contrast, gradient energy or compressed size - against the normals' median.

    image --statistic--> s --|s - median| / MAD of the training normals--> score

A method that does not beat these has learnt exposure, sharpness or noise, not anatomy. The two-sided deviation can
be used without labels; the fixed directions low and high are printed beside it, and the better of them is an oracle.

Reference: the project's own baselines; median and MAD: Hampel, The influence curve, JASA 1974.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import TooFewImagesError
from ..features import bytes_statistic, contrast_statistic, gradient_statistic
from ..images import batches, check_shape
from ..types import Images, Run, State

__all__ = ["Direction", "Statistic", "Trivial"]


class Statistic(Enum):
    """The one number."""

    CONTRAST = "contrast"
    GRADIENT = "gradient"
    BYTES = "bytes"

    @property
    def measure(self) -> Callable[[Tensor], Tensor]:
        """Images to one number each."""
        return {"contrast": contrast_statistic, "gradient": gradient_statistic, "bytes": bytes_statistic}[self.value]


class Direction(Enum):
    """Which deviation counts."""

    TWO_SIDED = "two-sided"
    LOW = "low"
    HIGH = "high"

    def __call__(self, deviation: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Turn a signed deviation into a score."""
        return {"two-sided": deviation.abs(), "low": -deviation, "high": deviation}[self.value]


@dataclass(frozen=True)
class Trivial:
    """Trivial recipe.

    Args:
        statistic: contrast, gradient or bytes.
        direction: two-sided; low and high presume to know which way anomalies deviate.
    """

    statistic: Statistic = Statistic.GRADIENT
    direction: Direction = Direction.TWO_SIDED

    quick: ClassVar[Mapping[str, Any]] = {}

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _Deviation:
        """Fit the median and the median absolute deviation.

        Raises:
            TooFewImagesError: No normals.
        """
        if not len(normals):
            raise TooFewImagesError("train", 1, 0)
        values = torch.cat([self.statistic.measure(batch) for batch in batches(normals)]).double()
        median = values.quantile(0.5)
        spread = (values - median).abs().quantile(0.5)
        # equal statistics leave no spread: any deviation then counts in its own units
        return _Deviation(self, median, spread if spread > 0 else torch.ones_like(spread), normals.shape[1:])

    def restore(self, state: State) -> _Deviation:
        """Rebuild the fitted detector."""
        return _Deviation(self, state["median"], state["spread"], state["image_shape"].tolist())


class _Deviation:
    """Fitted: median and MAD of the statistic, which mean nothing at another image size."""

    def __init__(self, method: Trivial, median: Tensor, spread: Tensor, image_shape: Sequence[int]) -> None:
        self.method, self.median, self.spread, self.image_shape = method, median, spread, image_shape

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the deviation from the normals' median in MAD units."""
        check_shape(images, self.image_shape)
        values = self.method.statistic.measure(images).cpu().double()
        return self.method.direction((values - self.median) / self.spread).float()

    def state(self) -> State:
        """Return median, MAD and image shape."""
        return {"median": self.median, "spread": self.spread, "image_shape": torch.tensor(self.image_shape)}
