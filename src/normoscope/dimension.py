"""How many dimensions latent vectors fill, each figure with its bootstrap interval.

    latents (n, d) --distances to neighbours--> two_nn, levina_bickel --+
                   --covariance---------------> participation_ratio   --+--> Estimate

An interval draws images again (`estimates`). A drawn copy of an image would be its own nearest neighbour, so what
neighbours say is drawn without replacement, a half at a time (`halved`); of moments, what each image contributes is
drawn, a term of a mean or a jackknife pseudo-value (`resampled`). Images count as independent; where patients have
several, `latents.measure` takes one of each.

The neighbour estimators read the manifold, however it is bent; the participation ratio reads the linear space around
it. All neighbour estimators read low where images are sparse for the dimension: of a Gaussian in 8 dimensions two_nn
reads 7.6 from 200 images and 8.0 from 3,000, levina_bickel 7.1 and 7.8; in 32 dimensions 22 and 24, 19 and 22.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from .errors import OptionError
from .estimates import (
    EQUAL,
    LEAST_IMAGES,
    Estimate,
    Latents,
    Sample,
    average,
    checked,
    halved,
    resampled,
    too_few,
)

__all__ = ["Neighbours", "inverse_local_dimension", "levina_bickel", "participation_ratio", "two_nn"]

_KEPT = 0.9  # two_nn leaves out the largest tenth of the ratios, as the paper does


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest other images of each image, enough of them to look again among half of the images.

    Args:
        distances: (n, m) Euclidean, ascending; exactly 0 to a copy.
        rows: (n, m) which images they are.
    """

    distances: Float[np.ndarray, "n m"]
    rows: Int[np.ndarray, "n m"]

    @classmethod
    def of(cls, latents: Latents, k: int) -> Self:
        """Search for so many that k of them are in a random half, but for less than one image in a million."""
        from sklearn.neighbors import NearestNeighbors

        count = min(len(latents) - 1, 4 * k + 40)
        rows = NearestNeighbors(n_neighbors=count).fit(latents).kneighbors(return_distance=False)
        # measured again: the search by matrix products leaves 1e-8 instead of 0
        distances = np.stack([np.linalg.norm(latents - latents[row], axis=1) for row in rows.T], axis=1)
        order = np.argsort(distances, axis=1, kind="stable")
        return cls(np.take_along_axis(distances, order, axis=1), np.take_along_axis(rows, order, axis=1))

    def nearest(self, k: int, sample: Sample) -> Float[np.ndarray, "s k"]:
        """Return the distances of each image of the sample to its k nearest others of the sample."""
        inside = sample[self.rows[sample]]
        place = np.cumsum(inside, axis=1)
        enough = place[:, -1] >= k
        taken = (inside & (place <= k))[enough]
        return np.asarray(self.distances[sample][enough][taken].reshape(-1, k))


def inverse_local_dimension(distances: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Return 1 / m_k of each image: the mean of log(T_k / T_j), j = 1 ... k - 1, T_j the distance to neighbour j."""
    logs = np.log(distances)
    return np.asarray(np.mean(logs[:, -1:] - logs[:, :-1], axis=1))


def two_nn(latents: npt.ArrayLike, seed: int = 0) -> Estimate:
    """Estimate the intrinsic dimension from each image's two nearest neighbours.

    With mu = T_2 / T_1 of an image and F the share of images with a smaller mu, -log(1 - F) = d log mu: d is the slope
    of the line through the origin and the smallest nine tenths of mu. Exact copies count once.

    Args:
        latents: (n, d), one image per row.
        seed: Of the interval.

    Returns:
        In [0, inf), without unit; the interval does not hold the bias named above.

    Raises:
        ScoresError: Latents that are not (n, d) finite numbers.

    Reference: Facco et al., Estimating the intrinsic dimension of datasets by a minimal neighborhood information,
    Scientific Reports 7 (2017).
    """
    latents = _distinct(checked(latents))
    if len(latents) < LEAST_IMAGES:
        return Estimate.missing(_few_distinct(len(latents), LEAST_IMAGES))
    neighbours = Neighbours.of(latents, 2)

    def slope(sample: Sample) -> float:
        distances = neighbours.nearest(2, sample)
        n, kept = len(distances), int(_KEPT * len(distances))
        x = np.sort(np.log(distances[:, 1] / distances[:, 0]))[:kept]
        return float(-np.log1p(-np.arange(1, kept + 1) / n) @ x / (x @ x))

    with np.errstate(invalid="ignore"):
        return halved(slope, len(latents), least=LEAST_IMAGES // 2, seed=seed, undefined=_LATTICE)


def levina_bickel(latents: npt.ArrayLike, k: int = 10, seed: int = 0) -> Estimate:
    """Estimate the intrinsic dimension by maximum likelihood, in balls that reach to the k-th neighbour.

    1 / m_k of an image is the mean of log(T_k / T_j) over j < k; the inverses are averaged over the images, and the
    inverse of that is the estimate, the maximum likelihood of one dimension for all. Exact copies count once.

    Args:
        latents: (n, d), one image per row.
        k: Neighbours, at least 2.
        seed: Of the interval.

    Returns:
        In [0, inf), without unit; the interval does not hold the bias named above.

    Raises:
        ScoresError: As `two_nn`.
        OptionError: k is below 2.

    Reference: Levina & Bickel, Maximum likelihood estimation of intrinsic dimension, NIPS 2004, eq. 8; MacKay &
    Ghahramani, Comments on it (2005), for the average.
    """
    if k < 2:
        raise OptionError("k", k, "at least 2 neighbours")
    latents = _distinct(checked(latents))
    needed = max(LEAST_IMAGES, 2 * (k + 1))
    if len(latents) < needed:
        return Estimate.missing(_few_distinct(len(latents), needed))
    neighbours = Neighbours.of(latents, k)

    def likeliest(sample: Sample) -> float:
        return float(1 / np.mean(inverse_local_dimension(neighbours.nearest(k, sample))))

    with np.errstate(divide="ignore"):
        return halved(likeliest, len(latents), least=k + 1, seed=seed, undefined=_LATTICE)


def participation_ratio(latents: npt.ArrayLike, seed: int = 0) -> Estimate:
    """Estimate over how many principal axes the variance spreads: (tr Sigma)^2 / tr Sigma^2.

    tr S^2 of a sample reads high and the plain ratio low, by more the fewer images: d / 2 instead of d where there are
    d images. Both traces are replaced by their unbiased estimates under normality, with v = n - 1:
    a2 = v^2 (tr S^2 - (tr S)^2 / v) / ((v - 1)(v + 2)) for tr Sigma^2, and (tr S)^2 - 2 a2 / v for (tr Sigma)^2.

    Args:
        latents: (n, d), one image per row.
        seed: Of the interval, from jackknife pseudo-values.

    Returns:
        1 to d, without unit: d where all axes have equal variance; what correcting the bias leaves outside is cut. Not
        estimable from fewer than 20 images, and where the figure exceeds 2 d or one image's absence takes it away: the
        sample does not tell the axes apart.

    Raises:
        ScoresError: As `two_nn`.

    Reference: Srivastava, Some tests concerning the covariance matrix in high dimensional data, Journal of the Japan
    Statistical Society 35 (2005), for the estimates of the traces.
    """
    latents = checked(latents)
    n, d = latents.shape
    if n < LEAST_IMAGES:
        return Estimate.missing(too_few(n, LEAST_IMAGES, d))
    centred = latents - latents.mean(axis=0)
    scatter, length2, factor = centred.T @ centred, np.sum(centred**2, axis=1), n / (n - 1)
    trace, trace2 = np.trace(scatter), np.sum(scatter**2)
    if np.all(latents == latents[0]):
        return Estimate.missing(EQUAL)
    value = float(_spread_over_axes(trace, trace2, n - 1))
    # the scatter matrix without image x is that of all less n / (n - 1) x x'
    through = np.einsum("ni,ij,nj->n", centred, scatter, centred, optimize=True)
    without = trace2 - 2 * factor * through + factor**2 * length2**2
    ratios = np.append(_spread_over_axes(trace - factor * length2, without, n - 2), value)
    if np.max(length2) > (1 - 1e-9) * trace * (n - 1) / n:
        return Estimate.missing("one image alone makes up the variance")
    if not np.all((ratios > 0) & (ratios <= 2 * d)):
        return Estimate.missing(f"{n} images do not tell {d} dimensions apart")
    found = resampled(average(n * value - (n - 1) * ratios[:-1]), n, seed=seed, value=value)
    low, high = (float(np.clip(bound, 1.0, d)) for bound in (found.low, found.high))
    if low == high and d > 1:  # all of it lay outside, which leaves no spread to tell
        low = high = math.nan
    return dataclasses.replace(found, value=min(max(value, 1.0), float(d)), low=low, high=high)


_LATTICE = "neighbours at equal distances, as on a lattice"


def _few_distinct(given: int, needed: int) -> str:
    return f"{given} distinct latent vectors; at least {needed} needed"


def _spread_over_axes(trace: Any, trace2: Any, v: int) -> Any:
    """Return the ratio from traces of the scatter matrix and of its square, with v degrees of freedom."""
    of_squares = (trace2 - trace**2 / v) / ((v - 1) * (v + 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return (trace**2 / v**2 - 2 * of_squares / v) / of_squares


def _distinct(latents: Latents) -> Latents:
    """Keep one of every set of exact copies, in the given order."""
    return latents[np.sort(np.unique(latents, axis=0, return_index=True)[1])]
