"""The planes a page can choose from, laid out for its picture, each with the sentence that says what it cannot show.

latents --PCA, t-SNE, UMAP--> View        latents, centre --> hypersphere View        two codes --> codes View
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .errors import NormoscopeError
from .projection import NEIGHBOURS, PERPLEXITY, Projection, hypersphere, side_by_side, variance_shares

__all__ = ["HEIGHT", "WIDTH", "Ring", "View", "codes_view", "hypersphere_view", "projected_views"]

WIDTH, HEIGHT = 640, 460
"""Size of the picture, in its own units."""

_MARGIN = 30

_RINGS = 5

Latents = Float[np.ndarray, "n d"]
Points = Float[np.ndarray, "n 2"]


@dataclass(frozen=True)
class Ring:
    """A circle of equal distance to the centre: where and how large it is drawn, and the distance in latent units."""

    x: float
    y: float
    radius: float
    distance: float


@dataclass(frozen=True)
class View:
    """One plane, laid out.

    Args:
        key: Its name for machines.
        title: Its name for people.
        note: What it shows and what it cannot show.
        axes: What lies along x and y; empty where axes mean nothing.
        at: (n, 2) in picture units, y downwards; one unit is as long in x as in y.
        ends: (n, 2) where the second code lies; None with one code.
        rings: Circles about the centre.
    """

    key: str
    title: str
    note: str
    axes: tuple[str, str]
    at: Points
    ends: Points | None = None
    rings: tuple[Ring, ...] = ()


_TITLES = {Projection.PCA: "principal components", Projection.TSNE: "t-SNE", Projection.UMAP: "UMAP"}

_ALL = "It was fitted on all points shown together"

_NEIGHBOURLY = (
    "keeps who is whose neighbour. Distances, sizes of groups, densities and the empty space between groups mean "
    "nothing in it, so it can neither show nor measure how anomalous an image is. {all}, with {settings}: another "
    "seed or one more image draws another picture."
)


def projected_views(latents: Latents, seed: int = 0) -> tuple[list[View], list[str]]:
    """Lay the points out by every projection.

    Args:
        latents: (n, d), one image per row; at least 2.
        seed: Of t-SNE and UMAP.

    Returns:
        The views, that of the principal components first, and a sentence for each that cannot be drawn.
    """
    views, missing = [], []
    for projection in Projection:
        try:
            placed = _placed(projection(latents, seed))
        except NormoscopeError as error:
            missing.append(f"{_TITLES[projection]} is not drawn: {error}")
            continue
        note, axes = _told(projection, latents, seed)
        views.append(View(projection.value, _TITLES[projection], note, axes, placed))
    return views, missing


def hypersphere_view(latents: Latents, centre: Float[np.ndarray, " d"]) -> View:
    """Lay the points about the centre that the detector draws normals to."""
    found = hypersphere(latents, centre)
    place = _Placing.of(np.concatenate([found.plane, np.zeros((1, 2))]))
    x, y = place(np.zeros((1, 2)))[0]
    rings = tuple(Ring(x, y, place.scale * distance, distance) for distance in _steps(float(found.distance.max())))
    note = (
        "The radius is the distance |z − c| to the centre that training draws normal images to, in latent units and "
        "exact; the cross is the centre. The angle is the direction in the plane through the centre that holds "
        f"{_percent(found.share)} of the squared distances: images at one angle may still lie far apart in other "
        f"directions. {_ALL}."
    )
    return View("hypersphere", "hypersphere", note, ("", ""), place(found.plane), rings=rings)


def codes_view(first: Latents, second: Latents) -> View:
    """Lay both codes of a dual encoder into one plane."""
    a, b, share = side_by_side(first, second)
    placed = _placed(np.concatenate([a, b]))
    note = (
        "Each image is a mark, its first code z1, joined to a small circle, its second code z2. Both were laid into "
        f"one plane of principal components, fitted on all codes together, which holds {_percent(share)} of their "
        "variance: a line is never longer than the disagreement |z1 − z2|, which stands with each image, and may be "
        "much shorter."
    )
    axes = "first principal component of both codes", "second principal component"
    return View("codes", "both codes", note, axes, placed[: len(a)], placed[len(a) :])


def _told(projection: Projection, latents: Latents, seed: int) -> tuple[str, tuple[str, str]]:
    """Return what one must know of a projection, and what its axes are."""
    if projection is Projection.PCA:
        first, second = variance_shares(latents)
        note = (
            f"The plane holds {_percent(first + second)} of the variance of all points shown, on which it was fitted; "
            "the rest is not seen. Images that lie together here may lie apart in the latent space; those that lie "
            "apart here lie at least as far apart there."
        )
        axes = f"first principal component: {_percent(first)} of the variance", f"second: {_percent(second)}"
        return note, axes
    perplexity = min(PERPLEXITY, (len(latents) - 1) / 3)
    neighbours = min(NEIGHBOURS, len(latents) - 1)
    settings = {Projection.TSNE: f"perplexity {perplexity:.3g}", Projection.UMAP: f"{neighbours} neighbours"}
    told = _NEIGHBOURLY.format(all=_ALL, settings=f"{settings[projection]} and seed {seed}")
    return f"{_TITLES[projection]} {told}", ("", "")


def _percent(share: float) -> str:
    return f"{100 * share:.3g}\u00a0%"


@dataclass(frozen=True)
class _Placing:
    """Centres the middle of some points and scales them, equally in x and y, to fill the picture."""

    middle: Float[np.ndarray, " 2"]
    scale: float

    @classmethod
    def of(cls, points: Points) -> _Placing:
        low, high = points.min(0), points.max(0)
        room = np.asarray([WIDTH, HEIGHT]) - 2 * _MARGIN
        wide = high > low
        scale = float((room[wide] / (high - low)[wide]).min()) if wide.any() else 1.0
        return cls((low + high) / 2, scale)

    def __call__(self, points: Points) -> Points:
        moved = (points - self.middle) * self.scale * [1, -1]
        return np.asarray(moved + np.asarray([WIDTH, HEIGHT]) / 2)


def _placed(points: Points) -> Points:
    return _Placing.of(points)(points)


def _steps(largest: float) -> list[float]:
    """Return round distances up to the largest."""
    from matplotlib.ticker import MaxNLocator

    values = MaxNLocator(_RINGS, steps=[1, 2, 5, 10]).tick_values(0, largest)
    return [float(value) for value in values if 0 < value <= largest]
