"""The phantom's scanner: how one patient is posed, exposed and recorded in eight bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ._phantom_shapes import Array, grid, rotated

__all__ = ["expose", "pose"]


def pose(rng: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Return where in the body each pixel looks: a small turn, shift and zoom of the grid."""
    x, y = grid(size)
    x, y = rotated(x, y, rng.normal(0, 0.03))
    zoom = rng.uniform(0.97, 1.03)
    return zoom * x + rng.normal(0, 0.02), zoom * y + rng.normal(0, 0.02)


def expose(rng: np.random.Generator, attenuation: Array, healthy: Array, site: str) -> npt.NDArray[np.uint8]:
    """Record an attenuation image: blur, uneven beam, tone curve, window, noise, eight bits.

    The tone curve gives each tenth of the healthy body its usual grey, as automatic exposure does, so the build of a
    patient leaves little in the histogram. Site B's images are a little brighter, flatter and noisier than site A's.
    """
    size = len(attenuation)
    brighter, flatter, grainier = (0.01, 0.99, 1.03) if site == "B" else (0.0, 1.0, 1.0)
    x, _ = grid(size)
    blur = rng.uniform(0.45, 0.55) * size / 64
    seen = ndimage.gaussian_filter(attenuation, blur, mode="nearest") + rng.normal(0, 0.01) * x
    tone = np.interp(seen, *_tone_curve(healthy))
    image = 0.45 + brighter + rng.normal(0, 0.01) + flatter * rng.normal(1, 0.010) * (tone - 0.45)
    noise = ndimage.gaussian_filter(rng.standard_normal((size, size)), 0.5, mode="wrap")
    image = image + grainier * rng.uniform(0.0215, 0.0225) * np.clip(image, 0, None) * noise
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


_SHARES = (0.12, 0.25, 0.4, 0.55, 0.7, 0.85, 0.97)
_GREYS = (0.22, 0.30, 0.41, 0.51, 0.57, 0.63, 0.75)


def _tone_curve(healthy: Array) -> tuple[Array, Array]:
    """Return the attenuations and the greys they become: air is black, the body's quantiles have fixed greys."""
    at = np.quantile(healthy, _SHARES)
    steepness = (_GREYS[-1] - _GREYS[-2]) / (at[-1] - at[-2])
    beyond = at[-1] + (1 - _GREYS[-1]) / steepness
    return np.array([0.0, *at, beyond]), np.array([0.03, *_GREYS, 1.0])
