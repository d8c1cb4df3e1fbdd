"""The phantom's lesions: each kind is one function that draws an anatomy with one thing wrong, and where.

A mask marks the pixels a lesion changes by at least half its full effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from ._phantom_shapes import Anatomy, Array, bump, ellipse, grid, inside, rotated, texture

__all__ = ["KINDS", "Lesion", "Mask"]

Mask = npt.NDArray[np.bool_]
Lesion = Callable[[np.random.Generator, Anatomy, Array, Array], tuple[Array, Mask]]
"""Draws an anatomy at the points x and y with one lesion: the attenuation and the lesion's mask."""


def _place(rng: np.random.Generator, anatomy: Anatomy) -> tuple[float, float]:
    """Choose a point well inside the organ; it belongs to the body, so a second image shows it there again."""
    x, y = grid(24)
    found = np.flatnonzero(anatomy(x, y).organ > 0.8)
    spot = found[int(rng.random() * len(found))]
    jitter = rng.uniform(-1 / 24, 1 / 24, 2)
    return float(x.flat[spot] + jitter[0]), float(y.flat[spot] + jitter[1])


def _patch(
    rng: np.random.Generator, anatomy: Anatomy, low: float, high: float, soft: float
) -> Callable[[Array, Array], Array]:
    """Return a soft ellipse somewhere in the organ, with a mean radius between low and high."""
    centre, radius, squeeze = _place(rng, anatomy), rng.uniform(low, high), rng.uniform(0.75, 1.0)
    return ellipse(centre, (radius / squeeze, radius * squeeze), rng.uniform(0, np.pi), soft * radius)


def _nodule(rng: np.random.Generator, anatomy: Anatomy, x: Array, y: Array) -> tuple[Array, Mask]:
    """A bright round spot with a soft edge."""
    weight = _patch(rng, anatomy, 0.085, 0.18, 0.16)(x, y)
    tissue = anatomy(x, y)
    return tissue.soft + tissue.structures + rng.uniform(0.22, 0.42) * weight, weight > 0.5


def _opacity(rng: np.random.Generator, anatomy: Anatomy, x: Array, y: Array) -> tuple[Array, Mask]:
    """A diffuse, cloudy haze that stays inside the organ and hides its fine structures."""
    weight, cloud = _patch(rng, anatomy, 0.25, 0.42, 0.2)(x, y), texture(rng, 24, 1.5)(x, y)
    tissue = anatomy(x, y)
    weight = weight * tissue.organ
    haze = rng.uniform(0.24, 0.42) * weight * np.clip(1 + 0.3 * cloud, 0, None)
    return tissue.soft + tissue.structures * (1 - 0.8 * weight) + haze, weight > 0.5


def _cavity(rng: np.random.Generator, anatomy: Anatomy, x: Array, y: Array) -> tuple[Array, Mask]:
    """A hole as dark as air, with a thin bright wall."""
    centre, radius, wall = _place(rng, anatomy), rng.uniform(0.13, 0.27), rng.uniform(0.04, 0.12)
    far = np.hypot(x - centre[0], y - centre[1])
    hole = inside(radius - far, 0.012)
    tissue = anatomy(x, y)
    whole = tissue.soft + tissue.structures
    return whole * (1 - hole) + wall * bump(far - radius, 0.035), far < radius + 0.03


def _missing(rng: np.random.Generator, anatomy: Anatomy, x: Array, y: Array) -> tuple[Array, Mask]:
    """A piece of the fine structures (ribs and vessels, or furrows) that is not there."""
    weight = _patch(rng, anatomy, 0.3, 0.44, 0.08)(x, y)
    tissue = anatomy(x, y)
    there = np.abs(tissue.structures)
    return tissue.soft + tissue.structures * (1 - weight), (weight > 0.5) & (there > 0.5 * (weight * there).max())


def _distortion(rng: np.random.Generator, anatomy: Anatomy, x: Array, y: Array) -> tuple[Array, Mask]:
    """A whirl: tissue is turned around a point, most at the centre."""
    centre, radius = _place(rng, anatomy), rng.uniform(0.24, 0.38)
    turn = rng.choice([-1, 1]) * rng.uniform(1.2, 2.2)
    u, v = x - centre[0], y - centre[1]
    far = np.hypot(u, v)
    weight = np.clip(1 - np.square(far / radius), 0, 1) ** 2
    u, v = rotated(u, v, turn * weight)
    tissue = anatomy(centre[0] + u, centre[1] + v)
    return tissue.soft + tissue.structures, far < radius * np.sqrt(1 - np.sqrt(0.25))


def _streak(rng: np.random.Generator, anatomy: Anatomy, x: Array, y: Array) -> tuple[Array, Mask]:
    """A thin, slightly bent bright line, like a scar or a forgotten wire."""
    centre, angle, bend = _place(rng, anatomy), rng.uniform(0, np.pi), rng.uniform(-0.5, 0.5)
    half, width = rng.uniform(0.28, 0.5), rng.uniform(0.025, 0.04)
    along, across = rotated(x - centre[0], y - centre[1], angle)
    weight = bump(across - bend * np.square(along), width) * inside(half - np.abs(along), 0.03)
    tissue = anatomy(x, y)
    return tissue.soft + tissue.structures + rng.uniform(0.24, 0.42) * weight, weight > 0.5


def _reticulation(rng: np.random.Generator, anatomy: Anatomy, x: Array, y: Array) -> tuple[Array, Mask]:
    """A patch of coarse, net-like texture."""
    weight, net = _patch(rng, anatomy, 0.18, 0.3, 0.15)(x, y), texture(rng, 48, 0.2)(x, y)
    tissue = anatomy(x, y)
    weight = weight * tissue.organ
    return tissue.soft + tissue.structures + rng.uniform(0.10, 0.17) * weight * net, weight > 0.5


KINDS: Mapping[str, Lesion] = MappingProxyType(
    {
        "nodule": _nodule,
        "opacity": _opacity,
        "cavity": _cavity,
        "missing": _missing,
        "distortion": _distortion,
        "streak": _streak,
        "reticulation": _reticulation,
    }
)
