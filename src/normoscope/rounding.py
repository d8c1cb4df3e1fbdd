"""Bits of rounded latent vectors: what a code spends on an image that it was made without.

latents (n, d) --principal axes, rounded to a step--> cells --smooth histograms of others--> -log2 q --sum--> bits
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from .entropy import scatter
from .estimates import LEAST_IMAGES, Estimate, Terms, average, checked, positive, resampled, too_few

__all__ = ["quantised_bits"]

_MODELLED, _NARROWEST = 500, 0.1
"""Images that a histogram is made of at most, and its narrowest kernel, in cells."""


def quantised_bits(latents: npt.ArrayLike, step: float, seed: int = 0) -> Estimate:
    """Estimate an upper bound of the bits of the latent vector, each principal coordinate rounded to a step.

    The bits that a code needs which was made without the image: -log2 q of its cell on every axis, q a smooth histogram
    of other images. Such a code spends at least the entropy on average, whatever its q; and the joint entropy is at
    most the sum over axes. The sum counts what coordinates share as often as they share it, so the latents are first
    turned to their principal axes, where they are uncorrelated: this lowers the bound and keeps all distances. The
    axes are those of the other half of the images, q is of the other images of the same half (at most 500): Gaussian
    kernels of Silverman's width, with one part in n of a Cauchy distribution, so that no cell is impossible.

    Args:
        latents: (n, d), one image per row.
        step: Width of a rounding cell, above 0, in the latents' unit.
        seed: Of the interval, from the per-image terms.

    Returns:
        Bits per image; not estimable from fewer than 20. Of normal latents in 2 to 64 dimensions it was 0.01 to 0.06
        bits per dimension above the truth with 135 to 1,000 images, 0.09 with 60.

    Raises:
        ScoresError: As `gaussian_entropy`.
        OptionError: The step is not above 0.

    Reference: Cover & Thomas, Elements of Information Theory (2006), theorem 5.4.3, for the price of a wrong q;
    Silverman, Density Estimation (1986), eq. 3.30, for the width.
    """
    latents = checked(latents)
    n, d = latents.shape
    positive("step", step)
    if n < LEAST_IMAGES:
        return Estimate.missing(too_few(n, LEAST_IMAGES, d), "bits")
    terms, first = np.empty(n), np.arange(n) % 2 == 0
    for half, other in ((first, ~first), (~first, first)):
        axes = np.linalg.eigh(scatter(latents[other]))[1]
        cells = np.rint((latents[half] - latents[other].mean(axis=0)) @ axes / step)
        terms[half] = np.sum([_coded(axis) for axis in cells.T], axis=0)
    return resampled(average(terms), n, seed=seed, unit="bits")


def _coded(cells: Terms) -> Terms:
    """Return -log2 q of each image's cell on one axis, q a smooth histogram of others."""
    model = cells[:_MODELLED]
    values, image = np.unique(cells, return_inverse=True)
    centres, counts = np.unique(model, return_counts=True)
    deviation, middle_half = np.std(model, ddof=1), np.subtract(*np.quantile(model, [0.75, 0.25]))
    width = max(_NARROWEST, 0.9 * min(deviation, middle_half / 1.34 or deviation) * len(model) ** -0.2)
    edges = np.stack([values - 0.5, values + 0.5])
    kernels = np.diff(ndtr((edges[..., None] - centres) / width), axis=0)[0] @ counts
    own = np.arange(len(cells)) < len(model)
    others = len(model) - own
    wide = np.diff(np.arctan((edges - np.median(model)) / (1 + 2 * deviation)), axis=0)[0] / math.pi
    seen = np.maximum(kernels[image] - own * math.erf(0.5 / width / math.sqrt(2)), 0.0)
    return np.asarray(-np.log2((seen + wide[image]) / (others + 1)))
