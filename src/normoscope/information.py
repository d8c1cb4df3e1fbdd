"""Bits that latent vectors carry about their images, counted above a noise: free of the latents' scale.

    latents (n, d), sigma --I(image; Z + sigma N)--> bits

A network maps an image to one latent vector, and of such a latent only an entropy relative to a scale means anything:
multiply the encoder by two, divide the decoder's input by two, and the same model has d log 2 nats more. The scale is
therefore read off the model: the noise that raises the reconstruction error of held-out normals by 1 %
(`disturbance.noise_level`).

Reference: MacKay, Information Theory, Inference, and Learning Algorithms (2003), chapter 11, for parallel channels.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .entropy import LOG_2PIE, SPANS, half_log_det, least_half, neighbours_entropy, principal, shortfall
from .estimates import Estimate, Sample, average, checked, half_widths, halved, positive, resampled, too_few

__all__ = ["gaussian_information", "information_by_dimension", "knn_information"]

_NOISE_DRAWS = 4


def gaussian_information(latents: npt.ArrayLike, sigma: float, seed: int = 0) -> Estimate:
    """Estimate the bits that the latent with noise carries about the image, as if latents were normal.

    I(image; Z + sigma N) = 1/2 log2 det(I + Sigma / sigma^2): directions below the noise count for nothing, so neither
    the latents' scale nor idle dimensions matter. An upper bound for latents of another form.

    Few images make it read low, to first order by ((sum w)^2 + sum w^2) / (4 n) nats, w = variance / (variance +
    sigma^2) of an axis. Where all w are 1 the bias is known exactly (`entropy.shortfall`); that of as many dimensions
    as have the same first order is taken away.

    Args:
        latents: (n, d), one image per row.
        sigma: Standard deviation of the noise in every direction, above 0, in the latents' unit (`noise_level`).
        seed: Of the interval, from jackknife pseudo-values.

    Returns:
        Bits per image, at least 0. Not estimable from fewer images than twice the dimensions above the noise, sum w.
        From there on the interval held the truth of normal latents in 80 to 100 % of samples; where there are more
        dimensions than images, and many of them near the noise, the figure reads up to 0.04 bits per dimension low,
        which the interval does not hold.

    Raises:
        ScoresError: As `gaussian_entropy`.
        OptionError: Sigma is not above 0.
    """
    latents = checked(latents)
    n, d = latents.shape
    positive("sigma", sigma)
    if n < 3:
        return Estimate.missing(too_few(n, 3, d), "bits")
    _, lengths = principal(latents)
    weights = (lengths / np.hypot(lengths, sigma * math.sqrt(n - 1))) ** 2
    above = float(np.sum(weights))
    if n < 2 * above:
        reason = f"{n} images for {above:.0f} dimensions above the noise; at least {math.ceil(2 * above)} needed"
        return Estimate.missing(reason, "bits")
    half, terms = half_log_det(latents / sigma, 1.0)
    if not np.isfinite(terms).all():
        return Estimate.missing(SPANS, "bits")
    as_many = math.sqrt(0.25 + above**2 + float(np.sum(weights**2))) - 0.5  # m (m + 1) = (sum w)^2 + sum w^2
    nats = half + shortfall(n, min(as_many, n - 2))
    return _never_below_0(resampled(average(terms / math.log(2)), n, seed=seed, unit="bits", value=nats / math.log(2)))


def knn_information(latents: npt.ArrayLike, sigma: float, k: int = 3, seed: int = 0) -> Estimate:
    """Estimate the bits that the latent with noise carries about the image, without assuming a distribution.

    I(image; Z + sigma N) = h(Z + sigma N) - h(sigma N): the first by `knn_entropy`, averaged over four draws of the
    noise, the second is known.

    Args:
        latents: (n, d), one image per row.
        sigma: As `gaussian_information`.
        k: Neighbours, at least 1.
        seed: Of the noise and of the interval.

    Returns:
        Bits per image; not estimable where `knn_entropy` of the noisy latents is not.

    Raises:
        ScoresError: As `gaussian_entropy`.
        OptionError: Sigma is not above 0, or k below 1.
    """
    latents = checked(latents)
    n, d = latents.shape
    positive("sigma", sigma)
    rng = np.random.default_rng(np.random.SeedSequence([seed, _NOISE_DRAWS]))
    entropies: list[Callable[[Sample], float]] = []
    for _ in range(_NOISE_DRAWS):
        entropy = neighbours_entropy(latents + sigma * rng.standard_normal((n, d)), k)
        if isinstance(entropy, str):
            return Estimate.missing(entropy, "bits")
        entropies.append(entropy)
    of_noise = 0.5 * d * LOG_2PIE + d * math.log(sigma)

    def bits(sample: Sample) -> float:
        return float((np.mean([entropy(sample) for entropy in entropies]) - of_noise) / math.log(2))

    return halved(bits, n, least=least_half(k), seed=seed, unit="bits")


def information_by_dimension(latents: npt.ArrayLike, sigma: float, seed: int = 0) -> tuple[Estimate, ...]:
    """Estimate `gaussian_information` along each latent coordinate alone.

    Coordinates that share information count it each: the sum is at least that of the whole.

    Args:
        latents: (n, d), one image per row.
        sigma: As `gaussian_information`.
        seed: Of the interval.

    Returns:
        Bits per image, d of them; not estimable from fewer than 3 images.

    Raises:
        ScoresError: As `gaussian_entropy`.
        OptionError: Sigma is not above 0.
    """
    latents = checked(latents)
    n, d = latents.shape
    positive("sigma", sigma)
    if n < 3:
        return tuple(Estimate.missing(too_few(n, 3, 1), "bits") for _ in range(d))
    squares = (latents - latents.mean(axis=0)) ** 2
    total = squares.sum(axis=0)
    whole, without = total / (n - 1), np.clip(total - n / (n - 1) * squares, 0, None) / (n - 2)
    bits = [0.5 * np.log2(1 + variance / sigma**2) for variance in (whole, without)]
    terms = n * bits[0] - (n - 1) * bits[1]
    halves = half_widths(average(terms), n, seed=seed)
    pairs = zip(terms.mean(axis=0).tolist(), halves.tolist(), strict=True)
    return tuple(_never_below_0(Estimate(value, value - half, value + half, "bits")) for value, half in pairs)


def _never_below_0(bits: Estimate) -> Estimate:
    """Cut what correcting a bias leaves below the least that is possible."""
    return dataclasses.replace(bits, value=max(bits.value, 0.0), low=float(np.maximum(bits.low, 0.0)))
