"""The phantom's brain: an axial slice with skull, furrows, white matter and ventricles."""

from __future__ import annotations

import numpy as np

from ._phantom_shapes import Anatomy, Array, Field, Tissue, bump, ellipse, inside, texture, wobble

__all__ = ["brain"]


def brain(rng: np.random.Generator) -> Anatomy:
    """Draw one patient's brain."""
    move = wobble(rng, 0.045)
    wide, tall = rng.uniform(0.68, 0.78), rng.uniform(0.84, 0.93)
    skin, bone = 0.06, rng.uniform(0.045, 0.075)
    head, skull = ellipse((0, 0), (wide + skin + bone, tall + skin + bone)), ellipse((0, 0), (wide + bone, tall + bone))
    inner = ellipse((0, 0), (wide, tall))
    white = ellipse((0, 0), (wide * rng.uniform(0.72, 0.8), tall * rng.uniform(0.74, 0.82)), soft=0.06)
    furrows, ventricles, falx = _furrows(rng), _ventricles(rng), _falx(rng, tall)
    grain, pale = texture(rng, 32, 1.4), rng.uniform(0.10, 0.15)

    def paint(x: Array, y: Array) -> Tissue:
        x, y = move(x, y)
        cavity, water = inner(x, y), ventricles(x, y)
        noise = grain(x, y)
        shell = 0.30 * head(x, y) + 0.55 * skull(x, y) - 0.42 * cavity
        matter = cavity * (pale * white(x, y) + 0.022 * noise)
        edge = 1 - white(x, y)
        lines = cavity * (-0.16 * furrows(x, y) * (0.15 + 0.85 * edge) - 0.26 * water + 0.14 * falx(x, y))
        return Tissue(shell + matter, lines, cavity * (1 - water))

    return paint


def _furrows(rng: np.random.Generator) -> Field:
    """Sulci: the zero lines of a smooth random field."""
    relief = texture(rng, 20, 0.4)

    def field(x: Array, y: Array) -> Array:
        return bump(relief(x, y), 0.28)

    return field


def _ventricles(rng: np.random.Generator) -> Field:
    """Two lateral ventricles, each a front and a back horn, and the slit of the third."""
    gap, front, back = rng.uniform(0.09, 0.13), rng.uniform(0.16, 0.25, 2), rng.uniform(0.20, 0.30, 2)
    thick, spread = rng.uniform(0.05, 0.085, 2), rng.uniform(0.35, 0.6, 2)
    parts = [ellipse((0.0, 0.02), (0.022, 0.12), soft=0.015)]
    for i, side in enumerate((-1, 1)):
        parts.append(ellipse((side * gap, -0.16), (thick[i], front[i]), -side * spread[i], 0.018))
        parts.append(ellipse((side * (gap + 0.06), 0.22), (thick[i], back[i]), side * spread[i], 0.018))

    def field(x: Array, y: Array) -> Array:
        return np.asarray(np.max([part(x, y) for part in parts], axis=0))

    return field


def _falx(rng: np.random.Generator, tall: float) -> Field:
    """The bright midline in front of and behind the ventricles."""
    bend = rng.uniform(-0.03, 0.03)

    def field(x: Array, y: Array) -> Array:
        return bump(x - bend * y, 0.022) * inside(np.abs(y) - 0.48 * tall, 0.04)

    return field
