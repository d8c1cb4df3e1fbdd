"""Regions of an anomaly map that normal images do not have, each with a p-value.

    maps of calibrate normals --fit--> NormalMaps: mean and deviation per position, each normal's largest cluster
    map --blur, standardise--> z --above HEIGHT, connected--> clusters --conformal--> Region

z counts standard deviations of normal images at the same position, so all images and positions share one scale. A
cluster is a connected set of pixels with z above a height; its mass is the sum of what exceeds it. Its p-value is
(1 + #{normals whose largest mass is at least as large}) / (n + 1). Compared as it is with the largest cluster of every
normal, the chance that a normal image, exchangeable with them, has *any* region with p <= alpha is at most alpha: the
family-wise error of an image is controlled, however many clusters it has and whatever the maps' distribution.

A calibrate normal is standardised by the mean and deviation of the others (other patients), as a new one is by those of
all. That makes them alike but for one image in n, so the bound holds nearly, not exactly.

Reference: Bullmore et al., Global, voxel, and cluster tests, IEEE Trans. Med. Imaging 18 (1999), for the cluster mass;
Nichols & Holmes, Nonparametric permutation tests for functional neuroimaging, Human Brain Mapping 15 (2002), for the
largest statistic; Bates et al., Ann. Stat. 51 (2023), for the p-value.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from .errors import ImageShapeError, ScoresError

__all__ = ["FEWEST", "HEIGHT", "NormalMaps", "Region", "check_map"]

FEWEST = 10
"""Fewer normals give no deviation worth the name."""

HEIGHT = 2.5
"""Standard deviations above which pixels form clusters."""

_BLUR = 1 / 64
"""Width of the Gaussian laid over maps first, in sides: single pixels are noise."""

_FLAT = 0.1
"""Least deviation of a position, in those of the whole: where normals hardly vary, rounding would count."""

_ROUNDED = 1e-5
"""Least deviation of a position, in its mean's size: maps are kept as float32, and their squares are summed."""

_EIGHT = np.ones((3, 3), int)

Map = Float[np.ndarray, "h w"]


@dataclass(frozen=True)
class Region:
    """One cluster.

    Args:
        pixels: (h, w) True inside.
        mass: Sum of z above the height.
        peak: Largest z.
        at: Row and column of the peak.
        pvalue: In (0, 1]; of the whole image's family.
    """

    pixels: Bool[np.ndarray, "h w"]
    mass: float
    peak: float
    at: tuple[int, int]
    pvalue: float

    @property
    def area(self) -> float:
        """Share of the image."""
        return float(self.pixels.mean())

    def to_json(self) -> dict[str, Any]:
        """Return plain values, without the pixels."""
        rows, columns = np.nonzero(self.pixels)
        box = [int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1]
        return {"pvalue": self.pvalue, "mass": self.mass, "peak_sd": self.peak, "peak_at": list(self.at),
                "area": self.area, "box": box}  # fmt: skip


@dataclass(frozen=True)
class NormalMaps:
    """What maps of normal images look like, position by position.

    Args:
        mean: Of the blurred maps.
        deviation: Standard deviation, never below a tenth of the whole's, nor below what rounding makes.
        masses: Ascending; each normal's largest cluster mass, or each patient's where ids are known; 0 without cluster.
        unit: image or patient.
    """

    mean: Map
    deviation: Map
    masses: Float[np.ndarray, " n"]
    unit: str

    @classmethod
    def fit(
        cls, maps: Float[np.ndarray, "n h w"], patients: Sequence[str | None] | npt.NDArray[np.str_] | None = None
    ) -> NormalMaps | None:
        """Learn from the maps of *calibrate* normals; None from fewer than 10, or 10 patients.

        Args:
            maps: Higher is more anomalous.
            patients: Of each; where all are known, a patient counts by the largest mass of all images.

        Raises:
            ScoresError: A map is not finite, or there are not as many patients as maps.
        """
        if len(maps) < FEWEST:
            return None
        given = [] if patients is None else list(patients)
        if given and len(given) != len(maps):
            raise ScoresError("patients", f"{len(maps)}, one per map", f"{len(given)}", "pass one per image")
        if bad := sum(not np.isfinite(one).all() for one in maps):
            todo = "look at these images and at the fit's last loss"
            raise ScoresError("anomaly maps", "finite numbers", f"{bad} of {len(maps)} that are not", todo)
        known = bool(given) and None not in given
        unit = np.unique([str(p) for p in given], return_inverse=True)[1] if known else np.arange(len(maps))
        if len(np.unique(unit)) < FEWEST:
            return None
        total, squares = _sums(maps, np.arange(len(maps)))
        masses = []
        for one in range(unit.max() + 1):
            own = np.flatnonzero(unit == one)
            others = total - (sums := _sums(maps, own))[0], squares - sums[1], len(maps) - len(own)
            masses.append(max(_largest(_blurred(maps[row]), *_moments(*others)) for row in own))
        mean, deviation = _moments(total, squares, len(maps))
        return cls(
            mean.astype(np.float32), deviation.astype(np.float32), np.sort(masses), "patient" if known else "image"
        )

    def standardised(self, pixel_scores: Map) -> Map:
        """Return z: how many deviations of normal images a position lies above their mean.

        Raises:
            ImageShapeError: A map of another size.
            ScoresError: A map that is not finite: it would have no region.
        """
        if pixel_scores.shape != self.mean.shape:
            raise ImageShapeError(self.mean.shape, pixel_scores.shape, "draw the map with the model it belongs to")
        check_map(pixel_scores)
        return np.asarray((_blurred(pixel_scores) - self.mean) / self.deviation)

    def regions(self, pixel_scores: Map) -> list[Region]:
        """Return the clusters of a map, the least likely first."""
        z = self.standardised(pixel_scores)
        labels, count = ndimage.label(z > HEIGHT, _EIGHT)
        found = []
        for number in range(1, count + 1):
            inside = labels == number
            mass = float(np.sum(z[inside] - HEIGHT))
            row, column = np.unravel_index(np.argmax(np.where(inside, z, -np.inf)), z.shape)
            found.append(Region(inside, mass, float(z[row, column]), (int(row), int(column)), self.pvalue(mass)))
        return sorted(found, key=lambda region: -region.mass)

    def marked(self, pixel_scores: Map, alpha: float) -> Bool[np.ndarray, "h w"]:
        """Return the pixels of the regions with p <= alpha."""
        kept = [region.pixels for region in self.regions(pixel_scores) if region.pvalue <= alpha]
        return np.any(kept, axis=0) if kept else np.zeros(pixel_scores.shape, bool)

    def pvalue(self, mass: float) -> float:
        """Return (1 + #{masses >= mass}) / (n + 1)."""
        at_least = len(self.masses) - int(np.searchsorted(self.masses, mass, side="left"))
        return (1 + at_least) / (len(self.masses) + 1)

    @property
    def smallest(self) -> float:
        """The smallest p-value that a region can have."""
        return 1 / (len(self.masses) + 1)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; arrays as base64 of little-endian float32."""
        return {
            "shape": list(self.mean.shape),
            "mean": _text(self.mean),
            "deviation": _text(self.deviation),
            "masses": self.masses.tolist(),
            "unit": self.unit,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> NormalMaps:
        """Rebuild from `to_json`."""
        shape = tuple(values["shape"])
        mean, deviation = (_array(values[name], shape) for name in ("mean", "deviation"))
        return cls(mean, deviation, np.asarray(values["masses"], np.float64), values["unit"])


def check_map(pixel_scores: npt.NDArray[Any]) -> None:
    """Refuse a map that is not finite.

    Raises:
        ScoresError: Some of its numbers are not.
    """
    if bad := int(np.sum(~np.isfinite(pixel_scores))):
        raise ScoresError("an anomaly map", "finite numbers", f"{bad} that are not", "look at this image")


def _blurred(pixel_scores: npt.NDArray[Any]) -> Map:
    sigma = _BLUR * max(pixel_scores.shape)
    return np.asarray(ndimage.gaussian_filter(pixel_scores.astype(np.float64), sigma, mode="nearest"))


def _moments(total: Map, squares: Map, count: int) -> tuple[Map, Map]:
    """Mean and deviation from sums over so many maps."""
    mean = total / count
    variance = np.clip(squares / count - mean**2, 0, None) * count / (count - 1)
    # maps that never differ have no scale: any change beyond rounding is then very far, as it should be
    least = np.maximum(_FLAT * math.sqrt(float(variance.mean())), _ROUNDED * np.abs(mean))
    return mean, np.sqrt(np.maximum(variance, least**2)) + np.finfo(np.float32).tiny


def _sums(maps: Float[np.ndarray, "n h w"], rows: Int[np.ndarray, " m"]) -> tuple[Map, Map]:
    """Sums of these maps and of their squares, blurred, one at a time."""
    total, squares = np.zeros(maps.shape[1:]), np.zeros(maps.shape[1:])
    for row in rows:
        blurred = _blurred(maps[row])
        total += blurred
        squares += blurred**2
    return total, squares


def _largest(blurred: Map, mean: Map, deviation: Map) -> float:
    """Return the largest cluster mass of a map."""
    z = (blurred - mean) / deviation
    labels, clusters = ndimage.label(z > HEIGHT, _EIGHT)
    if not clusters:
        return 0.0
    return float(np.max(ndimage.sum_labels(z - HEIGHT, labels, np.arange(1, clusters + 1))))


def _text(array: npt.NDArray[Any]) -> str:
    return base64.b64encode(array.astype("<f4").tobytes()).decode()


def _array(text: str, shape: tuple[int, ...]) -> Map:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32).reshape(shape)
