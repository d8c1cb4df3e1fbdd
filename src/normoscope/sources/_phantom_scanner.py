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


def expose(
    rng: np.random.Generator, attenuation: Array, healthy: Array, site: str
) -> npt.NDArray[np.uint8]:
    """Record an attenuation image: blur, uneven beam, film curve, window, noise, eight bits.

    The window fits the healthy body, as an exposure set for the patient's build does, so the build leaves little in
    the image's contrast. Site B's images are a little brighter and flatter than site A's, and noisier.
    """
    size = len(attenuation)
    offset, flatter, grain = (0.015, 0.99, 1.03) if site == "B" else (0.0, 1.0, 1.0)
    x, y = grid(size)
    curve, blur = rng.uniform(0.9, 1.1), rng.uniform(0.45, 0.55) * size / 64
    image = ndimage.gaussian_filter(attenuation, blur, mode="nearest") + rng.normal(0, 0.015) * x
    level, film = _film(healthy, curve), _film(image, curve)
    image = 0.45 + offset + rng.normal(0, 0.02) + flatter * rng.normal(0.21, 0.0025) * (film - level.mean()) / level.std()
    noise = ndimage.gaussian_filter(rng.standard_normal((size, size)), 0.5, mode="wrap")
    image = image + grain * rng.uniform(0.0145, 0.0155) * (0.6 + image) * noise
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _film(attenuation: Array, curve: float) -> Array:
    """Darken or lighten the middle tones."""
    return np.asarray(np.clip(attenuation, 0, None) ** curve)
