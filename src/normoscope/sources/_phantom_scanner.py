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
    x, y = rotated(x, y, rng.normal(0, 0.035))
    zoom = rng.uniform(0.95, 1.05)
    return zoom * x + rng.normal(0, 0.03), zoom * y + rng.normal(0, 0.03)


def expose(rng: np.random.Generator, attenuation: Array, site: str) -> npt.NDArray[np.uint8]:
    """Record an attenuation image: blur, uneven beam, window, gamma, noise, eight bits.

    Site B's window is a little brighter and flatter than site A's, and its detector a little noisier.
    """
    size = len(attenuation)
    offset, gain, grain = (0.02, 0.96, 1.15) if site == "B" else (0.0, 1.0, 1.0)
    x, y = grid(size)
    image = ndimage.gaussian_filter(attenuation, rng.uniform(0.35, 0.6) * size / 64, mode="nearest")
    image = image + rng.normal(0, 0.02) * x + rng.normal(0, 0.02) * y
    image = np.clip(gain * rng.uniform(0.86, 1.08) * image + offset + rng.normal(0, 0.025), 0, 1.2)
    image = image ** rng.uniform(0.88, 1.14)
    noise = ndimage.gaussian_filter(rng.standard_normal((size, size)), 0.5, mode="wrap")
    image = image + grain * rng.uniform(0.024, 0.034) * (0.5 + image) * noise
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
