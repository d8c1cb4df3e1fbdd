"""From a reconstruction to a score, apart from the method that reconstructs.

    images, reconstruction --Residual--> residual map (n, h, w) --Pooling--> score (n,)

One trained autoencoder can so be rescored without training again. Only maps of the same `Scoring` compare.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from .errors import OptionError
from .features import gradient_statistic

__all__ = ["Differentiates", "Losses", "Pooling", "Residual", "Scoring", "Term", "gaussian_blur", "ssim_map"]

Maps = Float[Tensor, "n h w"]

_LEAST_ENERGY = 1e-4
"""Added to the gradient energy of images in [0, 1]: that of noise with a deviation of half a percent."""


class Term(Enum):
    """A part of an image's loss that can be differentiated by the image."""

    RECONSTRUCTION = "rec"
    DIVERGENCE = "kl"
    OBJECTIVE = "elbo"


Losses = Mapping[Term, Callable[[Tensor], Tensor]]
"""What an image's loss is made of: each maps images (n, c, h, w) to (n,)."""


@runtime_checkable
class Differentiates(Protocol):
    """Can say how its loss changes with the image."""

    def losses(self) -> Losses:
        """Return the terms it has."""
        ...

    def loss_gradient(self, images: Float[Tensor, "n c h w"], term: Term) -> Float[Tensor, "n c h w"]:
        """Return the derivative of each image's loss term with respect to the image."""
        ...


def _kernel(sigma: float, device: torch.device) -> Tensor:
    """Normalised Gaussian taps, cut at 3.5 sigma as scikit-image cuts them."""
    radius = int(3.5 * sigma + 0.5)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=device) / sigma) ** 2)
    return taps / taps.sum()


def gaussian_blur(images: Float[Tensor, "n c h w"], sigma: float) -> Float[Tensor, "n c h w"]:
    """Blur every channel, borders replicated (sigma in pixels)."""
    taps = _kernel(sigma, images.device)
    radius, channels = len(taps) // 2, images.shape[1]
    rows = taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    padded = functional.pad(images, [radius] * 4, mode="replicate")
    blurred = functional.conv2d(padded, rows, groups=channels)
    return functional.conv2d(blurred, rows.transpose(2, 3), groups=channels)


def ssim_map(a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"], sigma: float) -> Float[Tensor, "n c h w"]:
    """Return the structural similarity at every pixel, in [-1, 1], for images in [0, 1].

    Gaussian window, population covariance, K1 = 0.01, K2 = 0.03, full support through replicated borders.

    Reference: Wang et al., Image quality assessment, IEEE TIP 2004, eq. 13.
    """
    c1, c2 = 0.01**2, 0.03**2
    stacked = gaussian_blur(torch.cat([a, b, a * a, b * b, a * b]), sigma)
    mean_a, mean_b, power_a, power_b, product = stacked.chunk(5)
    variances = power_a - mean_a**2 + power_b - mean_b**2
    covariance = product - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance * (2 * covariance + c2) / (variances + c2)


def _squared(images: Tensor, reconstruction: Tensor, sigma: float) -> Maps:
    return (images - reconstruction).square().mean(1)


def _absolute(images: Tensor, reconstruction: Tensor, sigma: float) -> Maps:
    return (images - reconstruction).abs().mean(1)


def _ssim(images: Tensor, reconstruction: Tensor, sigma: float) -> Maps:
    return 1 - ssim_map(images, reconstruction, sigma).mean(1)


def _gradient(images: Tensor, reconstruction: Tensor, sigma: float) -> Maps:
    difference = functional.pad(images - reconstruction, [0, 1, 0, 1], mode="replicate")
    along_x = difference[..., :-1, 1:] - difference[..., :-1, :-1]
    along_y = difference[..., 1:, :-1] - difference[..., :-1, :-1]
    return (along_x.square() + along_y.square()).mean(1)


def _normalised(images: Tensor, reconstruction: Tensor, sigma: float) -> Maps:
    energy = gradient_statistic(images).view(-1, 1, 1)
    return _squared(images, reconstruction, sigma) / (energy + _LEAST_ENERGY)


def _mean(maps: Maps, scoring: Scoring) -> Float[Tensor, " n"]:
    return maps.flatten(1).mean(1)


def _top(maps: Maps, scoring: Scoring) -> Float[Tensor, " n"]:
    flat = maps.flatten(1)
    return flat.topk(max(1, math.ceil(scoring.fraction * flat.shape[1]))).values.mean(1)


def _smoothed_maximum(maps: Maps, scoring: Scoring) -> Float[Tensor, " n"]:
    smooth = gaussian_blur(maps[:, None], scoring.smoothing)
    return smooth.flatten(1).amax(1)


class Residual(Enum):
    """How image and reconstruction are compared at a pixel (mean over channels)."""

    SQUARED = "squared"
    ABSOLUTE = "absolute"
    SSIM = "ssim"
    GRADIENT = "gradient"
    NORMALISED = "normalised"
    VARIANCE = "variance"
    REC_GRADIENT = "rec-gradient"
    KL_GRADIENT = "kl-gradient"
    ELBO_GRADIENT = "elbo-gradient"
    KL_WEIGHTED = "kl-weighted"

    @property
    def term(self) -> Term | None:
        """The loss term whose derivative is scored, None where only the reconstruction is."""
        terms = {
            Residual.REC_GRADIENT: Term.RECONSTRUCTION,
            Residual.KL_GRADIENT: Term.DIVERGENCE,
            Residual.ELBO_GRADIENT: Term.OBJECTIVE,
            Residual.KL_WEIGHTED: Term.DIVERGENCE,
        }
        return terms.get(self)

    def __call__(self, images: Tensor, reconstruction: Tensor, sigma: float) -> Maps:
        """Return the residual map; only SSIM reads sigma."""
        maps = {
            "squared": _squared,
            "absolute": _absolute,
            "ssim": _ssim,
            "gradient": _gradient,
            "normalised": _normalised,
        }
        return maps[self.value](images, reconstruction, sigma)


class Pooling(Enum):
    """How a map becomes one number."""

    MEAN = "mean"
    TOP = "top"
    MAXIMUM = "maximum"

    def __call__(self, maps: Maps, scoring: Scoring) -> Float[Tensor, " n"]:
        """Return the score per image."""
        pools = {"mean": _mean, "top": _top, "maximum": _smoothed_maximum}
        return pools[self.value](maps, scoring)


@dataclass(frozen=True)
class Scoring:
    """How a reconstructing detector is scored.

    Args:
        residual: squared, absolute, ssim (one minus it), gradient (squared difference of image gradients),
            normalised (squared over the image's own gradient energy, so that sharp images do not score high for
            their sharpness: r² / (mean (dI/dx)² + mean (dI/dy)² + 1e-4) with forward differences), variance (squared
            over what a head learnt on select normals expects), rec-gradient, kl-gradient, elbo-gradient
            (|derivative| of that loss term by the image), kl-weighted (squared times kl-gradient).
        sigma: Window of the SSIM residual in pixels; 1.5 is the usual, 3 with full support is stronger.
        pooling: mean; top: mean over the largest fraction of pixels; maximum: of the smoothed map.
        fraction: Share of pixels that `top` averages.
        smoothing: Gaussian sigma in pixels before `maximum`.
    """

    residual: Residual = Residual.SQUARED
    sigma: float = 1.5
    pooling: Pooling = Pooling.MEAN
    fraction: float = 0.02
    smoothing: float = 2.0

    def __post_init__(self) -> None:
        for name, value in (("--sigma", self.sigma), ("--smoothing", self.smoothing)):
            if not 0.3 <= value <= 50:
                raise OptionError(name, value, "0.3 to 50 pixels")
        if not 0 < self.fraction <= 1:
            raise OptionError("--fraction", self.fraction, "a share of the pixels in (0, 1]")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {key: value.value if isinstance(value, Enum) else value for key, value in vars(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Scoring:
        """Rebuild from `to_json`."""
        return cls(**{**values, "residual": Residual(values["residual"]), "pooling": Pooling(values["pooling"])})

    def map(self, images: Float[Tensor, "n c h w"], reconstruction: Float[Tensor, "n c h w"]) -> Maps:
        """Return the per-pixel scores."""
        return self.residual(images, reconstruction, self.sigma)

    def score(self, maps: Maps) -> Float[Tensor, " n"]:
        """Pool maps to one score per image."""
        return self.pooling(maps, self)
