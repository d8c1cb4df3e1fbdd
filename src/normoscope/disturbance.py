"""How much disturbance of its latent vectors a model bears: the scale its entropy is counted on.

error(latents), latents (n, d) --noise_level--> sigma of Gaussian noise    at which the reconstruction error of
                               --step_level---> rounding step              held-out normals has risen by 1 %
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from scipy.optimize import brentq
from torch import Tensor

from .errors import ScoresError
from .estimates import EQUAL, Estimate, Latents, checked, positive
from .images import batches
from .types import Images

__all__ = ["Error", "decoding_error", "encoded", "noise_level", "step_level"]

Error = Callable[[Latents], float]
"""Mean reconstruction error of the images when the decoder is given these latent vectors instead of their own."""

Disturb = Callable[[Latents, float, np.random.Generator], Iterator[Latents]]
"""Disturbed copies of the latents, whose mean error counts; the same generator gives the same draw at every level."""


def encoded(encode: Callable[[Tensor], Tensor], images: Images) -> Latents:
    """Return the latent vectors of all images, read in batches; float64 (n, d)."""
    return checked(np.concatenate([encode(batch).cpu().numpy() for batch in batches(images)]))


def decoding_error(decode: Callable[[Float[Tensor, "n d"]], Float[Tensor, "n c h w"]], images: Images) -> Error:
    """Return a function from latents, one per image, to the mean squared error of what they decode to."""

    def error(latents: Latents) -> float:
        total, start = 0.0, 0
        for batch in batches(images):
            rows = torch.from_numpy(latents[start : start + len(batch)]).float()
            total += float((decode(rows).cpu() - batch.cpu()).double().square().sum())
            start += len(batch)
        return total / math.prod(images.shape)

    return error


def noise_level(error: Error, latents: npt.ArrayLike, rise: float = 0.01, seed: int = 0) -> Estimate:
    """Find the noise on the latent at which the mean reconstruction error has risen by a given share.

    error(Z + sigma N) = (1 + rise) error(Z), N standard normal in every direction; one draw is used with both signs,
    which takes the linear part away. The same draw serves all sigma, so the search meets one smooth function.

    Args:
        error: Mean reconstruction error of held-out normals, given latents in their place (`decoding_error`).
        latents: (n, d) the normals' own (`encoded`).
        rise: Above 0; 0.01 is one percent.
        seed: Of the noise.

    Returns:
        Sigma in the latents' unit, to half a percent, without interval. Not estimable where all latents are equal,
        where the decoder ignores its input, or where it draws the images exactly.

    Raises:
        ScoresError: Latents that are not (n, d) finite numbers, or an error that is not a number.
        OptionError: The rise is not above 0.
    """
    return _level(_with_noise, error, checked(latents), rise, seed)


def step_level(error: Error, latents: npt.ArrayLike, rise: float = 0.01, seed: int = 0) -> Estimate:
    """Find the rounding step of the latent at which the mean reconstruction error has risen by a given share.

    As `noise_level`; the draw shifts the grid, so that the figure does not hang on where zero lies.
    """
    return _level(_rounded, error, checked(latents), rise, seed)


def _with_noise(latents: Latents, sigma: float, rng: np.random.Generator) -> Iterator[Latents]:
    noise = sigma * rng.standard_normal(latents.shape)
    yield latents + noise
    yield latents - noise


def _rounded(latents: Latents, step: float, rng: np.random.Generator) -> Iterator[Latents]:
    shift = step * rng.random(latents.shape[1])
    yield step * np.rint((latents - shift) / step) + shift


_EXACT = 1e-10  # of the error of scrambled latents: the square of what float32 resolves
_EXACTLY = 5e-3  # of the level's logarithm: 0.007 bits per dimension
_WEAKEST, _STRONGEST = 1e-6, 1e3  # in standard deviations of the latents


def _level(disturb: Disturb, error: Error, latents: Latents, rise: float, seed: int) -> Estimate:
    positive("rise", rise)
    undisturbed, unit = error(latents), math.sqrt(np.mean(np.var(latents, axis=0)))
    if not math.isfinite(undisturbed):
        raise ScoresError("reconstruction error", "a finite number", f"{undisturbed}", "look at the fit's last loss")
    if unit == 0:
        return Estimate.missing(EQUAL)

    def disturbed(log_level: float) -> float:
        rng = np.random.default_rng([seed, 0])
        return float(np.mean([error(z) for z in disturb(latents, unit * math.exp(log_level), rng)]))

    if undisturbed <= _EXACT * disturbed(0.0):
        return Estimate.missing("the decoder draws the images exactly; a share of no error says nothing")

    def excess(log_level: float) -> float:
        return disturbed(log_level) / undisturbed - 1 - rise

    low = high = math.log(0.1)
    while excess(high) < 0:
        low, high = high, high + math.log(4)
        if high > math.log(_STRONGEST):
            why = "the decoder ignores its latent"
            return Estimate.missing(
                f"the error rises by less than {100 * rise:g} % however strong the disturbance; {why}"
            )
    while low == high or excess(low) >= 0:
        low, high = low - math.log(4), low
        if low < math.log(_WEAKEST):
            why = "the decoder's answer is no smooth function of its latent"
            return Estimate.missing(f"the error rises by {100 * rise:g} % however weak the disturbance; {why}")
    return Estimate(unit * math.exp(brentq(excess, low, high, xtol=_EXACTLY)))
