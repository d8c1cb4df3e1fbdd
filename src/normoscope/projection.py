"""Latent vectors in a plane: what the eye can take in of them, and what each plane leaves out.

    latents (n, d) --Projection--> (n, 2)        latents, centre --hypersphere--> distance and angle
    both codes (n, d), (n, d) --side_by_side, one fit--> (n, 2), (n, 2)

The plane of principal components keeps a stated share of the variance; distances in it are never longer than those of
the latents. t-SNE and UMAP keep neighbours: their distances, sizes and densities mean nothing, and another seed or one
more image draws another picture. All are fitted on the very points they show.

Reference: van der Maaten & Hinton, Visualizing data using t-SNE, JMLR 9 (2008); McInnes et al., UMAP, arXiv:1802.03426
(2018), computed by scikit-learn and umap-learn.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from threadpoolctl import threadpool_limits
from torch import Tensor

from .errors import MissingExtraError, ScoresError, TooFewImagesError

__all__ = [
    "PERPLEXITY",
    "Hypersphere",
    "Projection",
    "centre_of",
    "hypersphere",
    "principal_directions",
    "side_by_side",
    "variance_shares",
]

PERPLEXITY = 30.0
"""t-SNE's effective number of neighbours; a third of the points at most."""

NEIGHBOURS = 15
"""UMAP's number of neighbours; all other points where they are fewer."""

_JITTER = 1e-3
"""Noise on the start of t-SNE and UMAP, in standard deviations: points on one line could never leave it."""

Latents = Float[np.ndarray, "n d"]
Plane = Float[np.ndarray, "n 2"]


class Projection(Enum):
    """How latent vectors are laid into a plane."""

    PCA = "pca"
    TSNE = "t-sne"
    UMAP = "umap"

    @property
    def fewest(self) -> int:
        """Fewer points are refused."""
        return {"pca": 2, "t-sne": 5, "umap": 10}[self.value]

    def __call__(self, latents: npt.ArrayLike, seed: int = 0) -> Plane:
        """Lay the points into a plane; the same points and seed give the same plane.

        pca: the first two principal components, in latent units, their signs such that the largest loading is positive;
        the second coordinate of one-dimensional latents is 0. t-sne and umap start from it; their unit means nothing.

        Args:
            latents: (n, d), one image per row.
            seed: Of t-SNE and UMAP.

        Raises:
            TooFewImagesError: Fewer points than `fewest`.
            ScoresError: Latents that are not (n, d) finite numbers; for t-SNE and UMAP also latents that are all equal.
            MissingExtraError: umap-learn is not installed.
        """
        points = _checked(latents)
        if len(points) < self.fewest:
            raise TooFewImagesError(f"points of a {self.value} plane", self.fewest, len(points), "show more images")
        planes = {"pca": _pca, "t-sne": _tsne, "umap": _umap}
        # one thread is faster for so few points; numba would leave torch with another number of them
        with threadpool_limits(1):
            return planes[self.value](points, seed)


def principal_directions(latents: npt.ArrayLike) -> Float[np.ndarray, "k d"]:
    """Return the principal directions as orthonormal rows, the one with most variance first, signs as in the plane."""
    return _directions(_centred(_checked(latents)))


def variance_shares(latents: npt.ArrayLike) -> tuple[float, float]:
    """Return the shares of the latents' variance along the two axes of the PCA plane; 0 where nothing varies."""
    return _shares(_centred(_checked(latents)))


@dataclass(frozen=True)
class Hypersphere:
    """Where latents lie about a centre.

    Args:
        distance: (n,) |z - c|, exact, in latent units.
        angle: (n,) in radians, within the plane through c that holds most of the squared distances.
        share: Of the squared distances, held by that plane: how far the angle can be trusted.
    """

    distance: Float[np.ndarray, " n"]
    angle: Float[np.ndarray, " n"]
    share: float

    @property
    def plane(self) -> Plane:
        """(n, 2) with the centre at the origin and the full distance as radius."""
        return np.asarray(self.distance[:, None] * np.stack([np.cos(self.angle), np.sin(self.angle)], 1))


def centre_of(detector: object) -> Float[Tensor, " d"] | None:
    """Return what training pulled the latent vectors of normals to; None for a detector whose network has no centre."""
    centre = getattr(getattr(detector, "network", None), "center", None)
    return centre.detach() if isinstance(centre, Tensor) else None


def hypersphere(latents: npt.ArrayLike, centre: npt.ArrayLike) -> Hypersphere:
    """Describe latents by distance and direction from a centre.

    Args:
        latents: (n, d), one image per row.
        centre: (d,).

    Raises:
        ScoresError: Latents that are not (n, d) finite numbers, or a centre of another length.
    """
    points, c = _checked(latents), np.asarray(centre, np.float64)
    if c.shape != points.shape[1:]:
        raise ScoresError("centre", f"{points.shape[1]} numbers", f"shape {c.shape}", "take it from the same detector")
    apart = points - c
    x, y = _coordinates(apart).T
    return Hypersphere(np.linalg.norm(apart, axis=1), np.arctan2(y, x), sum(_shares(apart)))


def side_by_side(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[Plane, Plane, float]:
    """Lay two codes of the same images into the one PCA plane that was fitted on both together.

    Args:
        first: (n, d).
        second: (n, d).

    Returns:
        Both planes, and the share of the variance of all 2 n codes that the plane holds.

    Raises:
        ScoresError: Codes that are not (n, d) finite numbers, or of unequal shapes.
    """
    a, b = _checked(first), _checked(second)
    if a.shape != b.shape:
        raise ScoresError("second code", f"shape {a.shape}", f"shape {b.shape}", "pass two codes of the same images")
    both = _centred(np.concatenate([a, b]))
    plane = _coordinates(both)
    return plane[: len(a)], plane[len(a) :], sum(_shares(both))


def _checked(latents: npt.ArrayLike) -> Latents:
    points = np.asarray(latents, np.float64)
    if points.ndim != 2 or not points.size or not np.isfinite(points).all():
        got = f"shape {points.shape}" if points.ndim != 2 or not points.size else "nan or infinity"
        raise ScoresError("latents", "finite numbers (n, d)", got, "pass one row per image")
    return points


def _centred(points: Latents) -> Latents:
    return np.asarray(points - points.mean(0))


def _directions(apart: Latents) -> Float[np.ndarray, "k d"]:
    """Return the directions that hold most of the sum of squares, their largest loading positive."""
    _, _, found = np.linalg.svd(apart, full_matrices=False)
    return np.asarray(found * np.sign(found[np.arange(len(found)), np.abs(found).argmax(1)])[:, None])


def _coordinates(apart: Latents) -> Plane:
    found = apart @ _directions(apart)[:2].T
    return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))


def _shares(apart: Latents) -> tuple[float, float]:
    squares = np.pad(np.linalg.svd(apart, compute_uv=False), (0, 2)) ** 2
    whole = float(squares.sum())
    return (float(squares[0]) / whole, float(squares[1]) / whole) if whole else (0.0, 0.0)


def _pca(points: Latents, seed: int) -> Plane:
    return _coordinates(_centred(points))


def _start(points: Latents, seed: int) -> Plane:
    """Return the PCA plane with standard deviation 1 along its first axis."""
    plane = _pca(points, seed)
    spread = float(plane[:, 0].std())
    if spread == 0:
        raise ScoresError("latents", "vectors that differ", "all equal", "the detector has collapsed; fit it anew")
    return np.asarray(plane / spread + _JITTER * np.random.default_rng(seed).standard_normal(plane.shape))


def _tsne(points: Latents, seed: int) -> Plane:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    # the width van der Maaten starts from
    start = (1e-4 * _start(points, seed)).astype(np.float32)
    found = TSNE(2, perplexity=perplexity, init=start, random_state=seed, n_jobs=1).fit_transform(points)
    return np.asarray(found, np.float64)


def _umap(points: Latents, seed: int) -> Plane:
    start = _start(points, seed).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba's and scikit-learn's coming versions
        neighbours = min(NEIGHBOURS, len(points) - 1)
        fitted = _umap_learn().UMAP(n_neighbors=neighbours, init=start, random_state=seed, n_jobs=1)
        return np.asarray(fitted.fit_transform(points), np.float64)


def _umap_learn() -> Any:
    try:
        import umap
    except ImportError:
        raise MissingExtraError("UMAP", "explain") from None
    return umap
