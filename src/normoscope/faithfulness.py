"""Does a map say where the score comes from, and where the lesion is? Curves, pointing, and maps that know nothing.

    image --highest pixels of the map first, 20 equal steps--> counterpart    deletion curve; backwards: insertion
    map, mask --highest pixel--> inside?                                      pointing game
    image --Chance--> map                                                     what any figure must be compared with

Deletion and insertion ask about the *model*: do these pixels carry its score? Pointing asks about the *image*: does the
map find the lesion? Neither says that the model looks at the right thing for the right reason. Where the score is the
mean of the map and the counterpart is the reconstruction, deletion is close to a tautology; the median of normals as
counterpart is then the fairer question. An image half replaced may look like none the model has seen.

Reference: Petsiuk et al., RISE, BMVC 2018 (deletion, insertion); Zhang et al., Top-down neural attention by excitation
backprop, ECCV 2016 (pointing game).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from .attribution import Score
from .errors import ScoresError
from .images import BATCH

__all__ = ["STEPS", "UNDEFINED", "Chance", "Curves", "pointing", "replacement_curves"]

STEPS = 20
"""Equal portions of the pixels in which a map's order is walked through."""

UNDEFINED = "no image scores above its counterpart"
"""Why an area is missing."""

_ROUNDING = 1e-6
"""A difference of scores below this share of them is float32's rounding."""

Map = Float[np.ndarray, "h w"]


@dataclass(frozen=True)
class Curves:
    """Scores while an image turns into its counterpart, as shares of the difference: 1 is s(image), 0 s(counterpart).

    A row is nan where the image does not score above its counterpart: there is no difference to share out.

    Args:
        deletion: The map's highest pixels are replaced first; from 1 to 0, the sooner the better.
        insertion: The map's highest pixels are put into the counterpart first; from 0 to 1, the sooner the better.
    """

    deletion: Float[np.ndarray, "n k"]
    insertion: Float[np.ndarray, "n k"]

    @property
    def deletion_area(self) -> Float[np.ndarray, " n"]:
        """Area under each deletion curve, lower is better; it may leave [0, 1] where scores overshoot."""
        return _area(self.deletion)

    @property
    def insertion_area(self) -> Float[np.ndarray, " n"]:
        """Area under each insertion curve, higher is better; it may leave [0, 1] where scores overshoot."""
        return _area(self.insertion)


def replacement_curves(
    score: Score,
    images: Float[Tensor, "n c h w"],
    counterparts: Float[Tensor, "n c h w"],
    maps: Float[np.ndarray, "n h w"],
    seed: int = 0,
) -> Curves:
    """Return the deletion and insertion curves of maps, 21 points each.

    All channels of a pixel are replaced together. Pixels with equal values go in a seeded random order: any other would
    favour a corner.

    Args:
        score: Maps images to scores (n,), each from its own image alone.
        images: In [0, 1].
        counterparts: The same images as if they were normal.
        maps: Higher pixels are replaced first.
        seed: Of the order among equal pixels.

    Raises:
        ScoresError: Shapes differ, or a map is not finite.
    """
    expected = (len(images), *images.shape[2:])
    if maps.shape != expected or counterparts.shape != images.shape or not np.isfinite(maps).all():
        got = f"maps {maps.shape}, counterparts {tuple(counterparts.shape)}"
        raise ScoresError("maps and counterparts", f"finite, for images {tuple(images.shape)}", got, "pass one of each")
    rank = torch.from_numpy(_ranks(maps, np.random.default_rng(seed))).to(images.device)
    away = _walked(score, images, counterparts, rank)
    back = _walked(score, counterparts, images, rank)
    whole, rest = away[:, :1], away[:, -1:]
    gap = whole - rest
    counts = gap > _ROUNDING * (np.abs(whole) + np.abs(rest))
    shares = [(walk - rest) / np.where(counts, gap, np.nan) for walk in (away, back)]
    return Curves(*shares)


def _ranks(maps: Float[np.ndarray, "n h w"], rng: np.random.Generator) -> Int[np.ndarray, "n h w"]:
    """Number each image's pixels, 0 for the highest."""
    flat = maps.reshape(len(maps), -1)
    ranks = np.empty(flat.shape, np.int64)
    for rank, values in zip(ranks, flat, strict=True):
        rank[np.lexsort((rng.random(len(values)), -values))] = np.arange(len(values))
    return ranks.reshape(maps.shape)


@torch.no_grad()
def _walked(score: Score, start: Tensor, end: Tensor, rank: Tensor) -> Float[np.ndarray, "n k"]:
    """Score every image on its way from start to end."""
    gone = torch.linspace(0, rank[0].numel(), STEPS + 1).round().to(rank)
    found = []
    for rows in torch.split(torch.arange(len(start) * len(gone), device=rank.device), BATCH):
        image, step = rows // len(gone), rows % len(gone)
        replaced = rank[image] < gone[step][:, None, None]
        found.append(score(torch.where(replaced[:, None], end[image], start[image])).double().cpu())
    return np.asarray(torch.cat(found).view(len(start), len(gone)).numpy())


def _area(curves: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    return np.asarray((curves[:, 1:] + curves[:, :-1]).mean(1) / 2)


def pointing(pixel_scores: Map, mask: Bool[np.ndarray, "h w"], tolerance: float = 0.0) -> float:
    """Return whether the map's highest pixel lies in the lesion; of several, the share that does.

    Args:
        pixel_scores: Higher is more anomalous.
        mask: True on lesion pixels.
        tolerance: Pixels around the lesion that still count; the literature takes 15 at 224 pixels a side.

    Returns:
        1 or 0, between them only for ties; nan without lesion pixels. A map without information is right as often as
        the lesion's share of the area, one that points at the centre more often.
    """
    if not mask.any():
        return float("nan")
    near = distance_transform_edt(~mask) <= tolerance if tolerance > 0 else mask
    return float(near[pixel_scores == pixel_scores.max()].mean())


class Chance(Enum):
    """Maps that know nothing of any model: a figure they reach too is no merit of the model's map.

    random: uniform numbers. centre: minus the distance to the centre. brightest: the pixel's value. edges: the length
    of the image's gradient.
    """

    RANDOM = "random"
    CENTRE = "centre"
    BRIGHTEST = "brightest"
    EDGES = "edges"

    def __call__(self, image: Float[np.ndarray, "c h w"], rng: np.random.Generator) -> Map:
        """Return the map of an image; channels are averaged."""
        draw = {"random": _random, "centre": _centre, "brightest": _brightest, "edges": _edges}[self.value]
        return draw(np.asarray(image.mean(0), np.float64), rng)


def _random(grey: Map, rng: np.random.Generator) -> Map:
    return rng.random(grey.shape)


def _centre(grey: Map, _: np.random.Generator) -> Map:
    down, across = (np.arange(side) - (side - 1) / 2 for side in grey.shape)
    return np.asarray(-np.hypot(down[:, None], across[None]))


def _brightest(grey: Map, _: np.random.Generator) -> Map:
    return grey


def _edges(grey: Map, _: np.random.Generator) -> Map:
    slopes: list[npt.NDArray[np.float64]] = np.gradient(grey)
    return np.asarray(np.hypot(*slopes))
