"""Soft shapes the phantom is drawn with: functions of the plane, so one body can be drawn in any pose and size.

Coordinates run from -1 to 1, x to the right and y down. Edges and lines are polynomials and values float64: a
last-bit difference between processors hardly ever reaches the eighth bit of a pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = [
    "Anatomy",
    "Array",
    "Field",
    "Tissue",
    "View",
    "bump",
    "ellipse",
    "grid",
    "inside",
    "rotated",
    "texture",
    "wobble",
]

Array = npt.NDArray[np.float64]
Field = Callable[[Array, Array], Array]
"""A value for every point (x, y) of the plane."""


class Tissue(NamedTuple):
    """What a body is made of at each point.

    `soft` is the attenuation without the fine structures, `structures` what ribs, vessels or furrows add to it,
    and `organ` in [0, 1] the organ lesions grow in.
    """

    soft: Array
    structures: Array
    organ: Array

    @property
    def attenuation(self) -> Array:
        """What the scanner measures."""
        return self.soft + self.structures


Anatomy = Callable[[Array, Array], Tissue]
"""One patient: the tissue at every point of the plane."""


class View(NamedTuple):
    """One patient as the scanner sees it: the points of the body under each pixel, and the tissue there."""

    body: Anatomy
    x: Array
    y: Array
    tissue: Tissue


def grid(size: int) -> tuple[Array, Array]:
    """Return x and y at the pixel centres of a square image, each (size, size)."""
    axis = (np.arange(size) + 0.5) * (2 / size) - 1
    x, y = np.meshgrid(axis, axis)
    return x, y


def inside(distance: Array, softness: float) -> Array:
    """Turn a signed distance, positive inside, into a soft membership that runs from 0 to 1 over 6 x softness."""
    t: Array = np.clip(distance / (6 * softness) + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def bump(distance: Array, width: float | Array) -> Array:
    """Return a soft line where the distance is zero: close to exp(-(distance / width)²), but 0 beyond 2 widths."""
    t: Array = np.clip(1 - np.square(distance / (2 * width)), 0, None)
    return np.asarray(np.square(np.square(t)))


def rotated(x: Array, y: Array, angle: float | Array) -> tuple[Array, Array]:
    """Turn the plane by an angle in radians, which may differ from point to point."""
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


def ellipse(centre: tuple[float, float], radii: tuple[float, float], angle: float = 0.0, soft: float = 0.03) -> Field:
    """Return a filled ellipse with a soft edge; soft is the edge's width."""

    def field(x: Array, y: Array) -> Array:
        u, v = rotated(x - centre[0], y - centre[1], angle)
        reach = np.sqrt(np.square(u / radii[0]) + np.square(v / radii[1]))
        return inside((1 - reach) * min(radii), soft)

    return field


def texture(rng: np.random.Generator, cells: int, slope: float) -> Field:
    """Return random texture of mean 0 and standard deviation 1 with amplitude spectrum 1 / frequency^slope.

    One lattice of `cells` x `cells` holds every scale; a cubic spline reads it between its nodes.
    """
    rows, columns = np.fft.fftfreq(cells)[:, None], np.fft.rfftfreq(cells)[None, :]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((cells, cells))) / frequency**slope
    lattice = np.fft.irfft2(spectrum, s=(cells, cells))
    nodes = ndimage.spline_filter(lattice / lattice.std(), order=3, mode="grid-wrap")

    def field(x: Array, y: Array) -> Array:
        # the lattice spans [-1.5, 1.5], so what a pose brings into view does not repeat what it pushes out
        places = np.stack([y, x]) * (cells / 3)
        values = ndimage.map_coordinates(nodes, places, order=3, mode="grid-wrap", prefilter=False)
        return np.asarray(values, dtype=np.float64)

    return field


def wobble(rng: np.random.Generator, strength: float) -> Callable[[Array, Array], tuple[Array, Array]]:
    """Return a smooth random deformation of the plane, as no two bodies are equal; strength bounds the shift."""
    wave = rng.uniform(1.0, 2.6, (2, 2))
    phase = rng.uniform(0.0, 2 * np.pi, (2, 2))
    shift = strength * rng.uniform(0.4, 1.0, 2)

    def move(x: Array, y: Array) -> tuple[Array, Array]:
        across = np.sin(wave[0, 0] * x + phase[0, 0]) * np.sin(wave[0, 1] * y + phase[0, 1])
        along = np.sin(wave[1, 0] * x + phase[1, 0]) * np.sin(wave[1, 1] * y + phase[1, 1])
        return x + shift[0] * across, y + shift[1] * along

    return move
