"""The phantom's scanner: how one patient is posed, exposed and recorded in eight bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ._phantom_shapes import Array, grid, rotated

__all__ = ["expose", "pose"]


def pose(rng: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Return where in the body each pixel looks: a small turn, shift and zoom of the grid."""
    x, y = grid(size)
    x, y = rotated(x, y, rng.normal(0, 0.03))
    zoom = rng.uniform(0.95, 1.0)
    return zoom * x + rng.normal(0, 0.02), zoom * y + rng.normal(0, 0.02)


def expose(
    rng: np.random.Generator, attenuation: Array, healthy: Array, greys: Sequence[float], site: str
) -> npt.NDArray[np.uint8]:
    """Record an attenuation image: blur, uneven beam, tone curve, window, noise, eight bits.

    Site B's images are a little brighter, flatter and noisier than site A's.

    Args:
        rng: The stream of this image.
        attenuation: The body as it is, (size, size).
        healthy: The same body without its lesion; the tone curve is set to it.
        greys: What the body's quantiles `SHARES` become, 0 to 1.
        site: A or B.
    """
    size = len(attenuation)
    brighter, flatter, grainier = (0.01, 0.99, 1.03) if site == "B" else (0.0, 1.0, 1.0)
    blur = rng.uniform(0.45, 0.55) * size / 64
    seen = ndimage.gaussian_filter(attenuation, blur, mode="nearest") + rng.normal(0, 0.01) * grid(size)[0]
    tone = np.interp(seen, *_tone_curve(healthy, greys))
    image = 0.45 + brighter + rng.normal(0, 0.018) + flatter * rng.normal(1, 0.011) * (tone - 0.45)
    noise = ndimage.gaussian_filter(rng.standard_normal((size, size)), 0.5, mode="wrap")
    image = image + grainier * rng.uniform(0.0215, 0.0225) * np.clip(image, 0, None) * noise
    pixels: npt.NDArray[np.uint8] = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return pixels


SHARES = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.97)


def _tone_curve(healthy: Array, greys: Sequence[float]) -> tuple[Array, Array]:
    """Return attenuations and the greys they become: air is black, each share of the body has its usual grey.

    Automatic exposure does the same; so a patient's build leaves little in the image's histogram.
    """
    at = np.quantile(healthy[healthy > 0.05], SHARES)
    steepness = (greys[-1] - greys[-2]) / (at[-1] - at[-2])
    beyond = at[-1] + (1 - greys[-1]) / steepness
    return np.array([0.0, *at, beyond]), np.array([0.07, *greys, 1.0])
