"""The phantom's brain: an axial slice as a T1-weighted scan shows it, with scalp, cortex, furrows and ventricles."""

from __future__ import annotations

import numpy as np

from ._phantom_shapes import Anatomy, Array, Field, Tissue, bump, ellipse, inside, texture, wobble

__all__ = ["brain"]

_DENSITY = 1.6
"""Scale of the tissue, which the tone curve undoes: it sets how faint a lesion is against the brain."""


def brain(rng: np.random.Generator) -> Anatomy:
    """Draw one patient's brain."""
    move = wobble(rng, 0.035)
    wide, tall = rng.uniform(0.70, 0.76), rng.uniform(0.84, 0.90)
    bone, skin = rng.uniform(0.05, 0.07), rng.uniform(0.06, 0.08)
    head = ellipse((0, 0), (wide + bone + skin, tall + bone + skin), soft=0.015)
    skull = ellipse((0, 0), (wide + bone, tall + bone), soft=0.015)
    inner = ellipse((0, 0), (wide, tall), soft=0.02)
    white, nuclei = _white_matter(rng, wide, tall), _nuclei(rng)
    furrows, ventricles, falx = _furrows(rng), _ventricles(rng), _falx(rng, tall)
    grain, pale = texture(rng, 32, 1.4), rng.uniform(0.18, 0.22)

    def paint(x: Array, y: Array) -> Tissue:
        x, y = move(x, y)
        cavity, core, water = inner(x, y), white(x, y), ventricles(x, y)
        shell = 0.72 * head(x, y) - 0.60 * skull(x, y)
        matter = 0.32 + pale * (core - 0.6 * nuclei(x, y)) + 0.02 * grain(x, y)
        lines = 0.24 * furrows(x, y) * (1 - core) + 0.22 * falx(x, y)
        holes = np.maximum(lines, (matter - 0.08) * water)
        return Tissue(_DENSITY * (shell + cavity * matter), -_DENSITY * cavity * holes, cavity * (1 - water))

    return paint


def _white_matter(rng: np.random.Generator, wide: float, tall: float) -> Field:
    """The pale core; its border runs in and out of the folds of the cortex."""
    share, folds, depth = rng.uniform(0.76, 0.82), texture(rng, 20, 0.5), rng.uniform(0.05, 0.08)

    def field(x: Array, y: Array) -> Array:
        reach = np.sqrt(np.square(x / wide) + np.square(y / tall))
        return inside(share + depth * folds(x, y) - reach, 0.035)

    return field


def _nuclei(rng: np.random.Generator) -> Field:
    """The grey nuclei deep on both sides."""
    place, lean = rng.uniform(0.24, 0.28), rng.uniform(0.3, 0.5)
    radii = rng.uniform(0.09, 0.12), rng.uniform(0.18, 0.24)
    left = ellipse((-place, 0.02), radii, lean)
    right = ellipse((place, 0.02), radii, -lean)

    def field(x: Array, y: Array) -> Array:
        return left(x, y) + right(x, y)

    return field


def _furrows(rng: np.random.Generator) -> Field:
    """Sulci: the zero lines of a smooth random field."""
    relief = texture(rng, 24, 0.5)

    def field(x: Array, y: Array) -> Array:
        return bump(relief(x, y), 0.35)

    return field


def _ventricles(rng: np.random.Generator) -> Field:
    """Two lateral ventricles, each a front and a back horn, and the slit of the third."""
    gap, front, back = rng.uniform(0.09, 0.11), rng.uniform(0.16, 0.21, 2), rng.uniform(0.18, 0.24, 2)
    thick, spread = rng.uniform(0.05, 0.07, 2), rng.uniform(0.35, 0.5, 2)
    horns = [ellipse((0.0, 0.04), (0.022, 0.10), soft=0.015)]
    for i, side in enumerate((-1, 1)):
        horns.append(ellipse((side * gap, -0.19), (thick[i], front[i]), side * spread[i], 0.018))
        horns.append(ellipse((side * (gap + 0.05), 0.25), (thick[i], back[i]), -side * spread[i], 0.018))

    def field(x: Array, y: Array) -> Array:
        return np.asarray(np.max([horn(x, y) for horn in horns], axis=0))

    return field


def _falx(rng: np.random.Generator, tall: float) -> Field:
    """The dark fissure between the halves, in front of and behind the ventricles."""
    bend = rng.uniform(-0.03, 0.03)

    def field(x: Array, y: Array) -> Array:
        return bump(x - bend * y, 0.024) * inside(np.abs(y) - 0.46 * tall, 0.04)

    return field
