"""The phantom's lesions: each kind is one function that redraws a view with one thing wrong, and says where.

A mask covers what the lesion visibly changes: a soft lesion is cut at half its full effect, a whirl at a quarter of
its turn, and of missing structures only the structures count, not the gaps between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from ._phantom_shapes import Anatomy, Array, Field, View, bump, ellipse, grid, inside, rotated, texture

__all__ = ["KINDS", "Lesion", "Mask"]

Mask = npt.NDArray[np.bool_]
Lesion = Callable[[np.random.Generator, View], tuple[Array, Mask]]
"""Returns the attenuation with the lesion, and the lesion's mask."""


def _place(rng: np.random.Generator, body: Anatomy) -> tuple[float, float]:
    """Choose a point well inside the organ; it belongs to the body, so a second image shows it there again."""
    x, y = grid(24)
    found = np.flatnonzero(body(x, y).organ > 0.8)
    spot = found[int(rng.random() * len(found))]
    jitter = rng.uniform(-1 / 24, 1 / 24, 2)
    return float(x.flat[spot] + jitter[0]), float(y.flat[spot] + jitter[1])


def _patch(rng: np.random.Generator, body: Anatomy, low: float, high: float, soft: float) -> Field:
    """Return a soft ellipse in the organ, its mean radius between low and high and its edge soft radii wide."""
    centre, radius, squeeze = _place(rng, body), rng.uniform(low, high), rng.uniform(0.75, 1.0)
    return ellipse(centre, (radius / squeeze, radius * squeeze), rng.uniform(0, np.pi), soft * radius)


def _nodule(rng: np.random.Generator, view: View) -> tuple[Array, Mask]:
    """A bright round spot with a soft edge."""
    weight = _patch(rng, view.body, 0.085, 0.18, 0.16)(view.x, view.y)
    return view.tissue.attenuation + rng.uniform(0.22, 0.42) * weight, weight > 0.5


def _opacity(rng: np.random.Generator, view: View) -> tuple[Array, Mask]:
    """A diffuse, cloudy haze that stays inside the organ and hides its fine structures."""
    weight = _patch(rng, view.body, 0.25, 0.42, 0.2)(view.x, view.y) * view.tissue.organ
    cloud = np.clip(1 + 0.2 * texture(rng, 24, 1.5)(view.x, view.y), 0, None)
    veiled = view.tissue.soft + view.tissue.structures * (1 - 0.8 * weight)
    return veiled + rng.uniform(0.21, 0.35) * weight * cloud, weight > 0.5


def _cavity(rng: np.random.Generator, view: View) -> tuple[Array, Mask]:
    """A hole as dark as air, with a thin bright wall."""
    centre, radius, wall = _place(rng, view.body), rng.uniform(0.14, 0.27), rng.uniform(0.03, 0.10)
    far = np.hypot(view.x - centre[0], view.y - centre[1])
    hole = inside(radius - far, 0.012)
    return view.tissue.attenuation * (1 - hole) + wall * bump(far - radius, 0.035), far < radius + 0.03


def _missing(rng: np.random.Generator, view: View) -> tuple[Array, Mask]:
    """A piece of the fine structures (ribs and vessels, or furrows and ventricles) that is not there."""
    weight = _patch(rng, view.body, 0.32, 0.48, 0.08)(view.x, view.y)
    erased = np.abs(view.tissue.structures) * (weight > 0.5)
    return view.tissue.soft + view.tissue.structures * (1 - weight), erased > 0.5 * erased.max()


def _distortion(rng: np.random.Generator, view: View) -> tuple[Array, Mask]:
    """A whirl: tissue is turned around a point, most at the centre."""
    centre, radius = _place(rng, view.body), rng.uniform(0.24, 0.38)
    turn = (1 if rng.random() < 0.5 else -1) * rng.uniform(1.2, 2.2)
    x, y = view.x - centre[0], view.y - centre[1]
    weight = np.square(np.clip(1 - (np.square(x) + np.square(y)) / radius**2, 0, None))
    x, y = rotated(x, y, turn * weight)
    return view.body(centre[0] + x, centre[1] + y).attenuation, weight > 0.25


def _streak(rng: np.random.Generator, view: View) -> tuple[Array, Mask]:
    """A thin, slightly bent bright line, like a scar or a forgotten wire."""
    centre, angle, bend = _place(rng, view.body), rng.uniform(0, np.pi), rng.uniform(-0.5, 0.5)
    half, width = rng.uniform(0.28, 0.5), rng.uniform(0.025, 0.04)
    along, across = rotated(view.x - centre[0], view.y - centre[1], angle)
    weight = bump(across - bend * np.square(along), width) * inside(half - np.abs(along), 0.03)
    return view.tissue.attenuation + rng.uniform(0.24, 0.42) * weight, weight > 0.5


def _reticulation(rng: np.random.Generator, view: View) -> tuple[Array, Mask]:
    """A patch of coarse, net-like texture."""
    weight = _patch(rng, view.body, 0.18, 0.3, 0.15)(view.x, view.y) * view.tissue.organ
    net = texture(rng, 48, 0.2)(view.x, view.y)
    return view.tissue.attenuation + rng.uniform(0.11, 0.18) * weight * net, weight > 0.5


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
