"""The phantom's chest: a frontal radiograph with lungs, heart, spine, ribs, collar bones and vessels."""

from __future__ import annotations

import numpy as np

from ._phantom_shapes import Anatomy, Array, Field, Tissue, bump, ellipse, inside, texture, wobble

__all__ = ["chest"]


def chest(rng: np.random.Generator) -> Anatomy:
    """Draw one patient's chest."""
    move = wobble(rng, 0.04)
    body, middle, heart = _body(rng), _mediastinum(rng), _heart(rng)
    lungs = [_lung(rng, side) for side in (-1, 1)]
    vessels = [_vessels(rng, side) for side in (-1, 1)]
    bones = [_ribs(rng), _collar_bones(rng), _spine(rng)]
    grain = texture(rng, 32, 1.4)
    air, flesh, blood = rng.uniform(0.40, 0.46), rng.uniform(0.60, 0.66), rng.uniform(0.9, 1.1)

    def paint(x: Array, y: Array) -> Tissue:
        x, y = move(x, y)
        torso, solid = body(x, y), np.maximum(middle(x, y), heart(x, y))
        lung = (lungs[0](x, y) + lungs[1](x, y)) * (1 - solid)
        noise = grain(x, y)
        soft = torso * (flesh + 0.16 * solid + 0.012 * noise) - lung * (air - 0.022 * noise)
        tree = (vessels[0](x, y) + vessels[1](x, y)) * lung
        ribs, collar, spine = (bone(x, y) for bone in bones)
        skeleton = torso * (0.15 * ribs * (0.25 + 0.75 * lung) + 0.11 * collar + 0.06 * spine)
        return Tissue(soft, skeleton + 0.09 * blood * tree, lung)

    return paint


def _body(rng: np.random.Generator) -> Field:
    """Shoulders and flanks: the half-width grows from the neck to the trunk."""
    trunk, neck, shoulder = rng.uniform(1.0, 1.04), rng.uniform(0.32, 0.35), rng.uniform(-1.0, -0.94)
    slope, centre = rng.uniform(0.07, 0.12), rng.uniform(-0.03, 0.03)

    def field(x: Array, y: Array) -> Array:
        half = neck + (trunk - neck) * inside(y - shoulder, slope) - 0.06 * y * y
        across = np.abs(x - centre)
        depth = 0.86 + 0.14 * (1 - np.square(across / trunk))
        return depth * inside(half - across, 0.045)

    return field


def _lung(rng: np.random.Generator, side: int) -> Field:
    """One lung: narrow at the apex, cut below by the dome of the diaphragm, higher on the liver's side."""
    centre = side * rng.uniform(0.43, 0.49), rng.uniform(-0.10, -0.02)
    wide, tall = rng.uniform(0.30, 0.37), rng.uniform(0.64, 0.76)
    taper, lean = rng.uniform(0.25, 0.45), side * rng.uniform(0.04, 0.14)
    dome, arch = rng.uniform(0.42, 0.54) + 0.05 * side, rng.uniform(0.7, 1.3)

    def field(x: Array, y: Array) -> Array:
        down = y - centre[1]
        across = (x - centre[0] - lean * down) / (wide * (1 + taper * down))
        reach = np.sqrt(np.square(across) + np.power(np.abs(down / tall), 3))
        floor = dome + arch * np.square(x - centre[0] + 0.08 * side)
        return inside((1 - reach) * wide, 0.022) * inside(floor - y, 0.022)

    return field


def _mediastinum(rng: np.random.Generator) -> Field:
    """The bright middle between the lungs, with the aortic arch on the patient's left."""
    centre, lean = rng.uniform(-0.02, 0.04), rng.uniform(-0.03, 0.03)
    half, flare = rng.uniform(0.10, 0.14), rng.uniform(0.03, 0.08)
    knob = ellipse((rng.uniform(0.10, 0.14), rng.uniform(-0.38, -0.28)), (0.10, 0.11))

    def field(x: Array, y: Array) -> Array:
        band = inside(half + flare * y * y - np.abs(x - centre - lean * y), 0.03)
        return np.maximum(band, knob(x, y))

    return field


def _heart(rng: np.random.Generator) -> Field:
    """The heart's shadow, leaning to the patient's left."""
    centre = rng.uniform(0.10, 0.18), rng.uniform(0.22, 0.32)
    wide = rng.uniform(0.30, 0.40)
    return ellipse(centre, (wide, wide * rng.uniform(0.68, 0.80)), rng.uniform(0.3, 0.7), soft=0.03)


def _spine(rng: np.random.Generator) -> Field:
    """Vertebrae, one after the other, with darker discs between them."""
    centre, bend, phase = rng.uniform(-0.02, 0.02), rng.uniform(-0.04, 0.04), rng.uniform(0, 2 * np.pi)
    count = rng.uniform(20, 24)

    def field(x: Array, y: Array) -> Array:
        discs = 0.7 + 0.3 * np.cos(count * y + phase)
        return inside(0.085 - np.abs(x - centre - bend * y * y), 0.02) * discs

    return field


def _ribs(rng: np.random.Generator) -> Field:
    """Both sets of ribs: level lines of two sheared parabolas, the posterior ones brighter."""
    spacing, phase, width = rng.uniform(0.21, 0.23), rng.uniform(0, 0.5), rng.uniform(0.20, 0.27)
    fall, arch, tilt = rng.uniform(0.25, 0.42), rng.uniform(0.5, 0.75), rng.uniform(-0.03, 0.03)
    front, front_phase = rng.uniform(0.25, 0.45), rng.uniform(0, 0.5)

    def field(x: Array, y: Array) -> Array:
        out = np.abs(x - 0.02)
        level = y + tilt * x
        # |sin| has one zero per rib: a single expression draws the whole cage
        posterior = (level + fall * np.square(1.15 * out - 0.5) * 2 * arch) / spacing + phase
        anterior = (level - 0.75 * out) / (1.15 * spacing) + front_phase
        cage = bump(np.sin(np.pi * posterior), width * np.pi)
        return cage + front * bump(np.sin(np.pi * anterior), width * np.pi) * inside(out - 0.34, 0.08)

    return field


def _collar_bones(rng: np.random.Generator) -> Field:
    """Two gently curved bars below the shoulders."""
    height, slope, curve = rng.uniform(-0.74, -0.64, 2), rng.uniform(0.10, 0.26, 2), rng.uniform(0.1, 0.3)

    def field(x: Array, y: Array) -> Array:
        out, side = np.abs(x), (x > 0).astype(int)
        line = height[side] - slope[side] * (out - 0.1) + curve * np.square(out - 0.4)
        return bump(y - line, 0.042) * inside(out - 0.08, 0.02) * inside(0.78 - out, 0.03)

    return field


def _vessels(rng: np.random.Generator, side: int) -> Field:
    """Branches that leave the hilum like a fan, bend, and thin out towards the pleura."""
    hilum = side * rng.uniform(0.17, 0.22), rng.uniform(-0.06, 0.06)
    count = 6
    angle = np.linspace(-1.25, 1.25, count) + rng.uniform(-0.12, 0.12, count)
    bend, reach = rng.uniform(-0.6, 0.6, count), rng.uniform(0.25, 0.55, count)

    def field(x: Array, y: Array) -> Array:
        right, down = side * (x - hilum[0]), y - hilum[1]
        far, turn = np.hypot(right, down), np.arctan2(down, right)
        total = 0.7 * bump(far, 0.13)
        beyond = inside(far - 0.09, 0.03)
        for start, curve, end in zip(angle, bend, reach, strict=True):
            off = far * (turn - start - curve * far)
            thick = 0.036 - 0.018 * np.minimum(far / end, 1)
            total += bump(off, thick) * inside(end - far, 0.06) * beyond
        return total

    return field
