"""Images and latents simple enough to know the right answer for."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch import Tensor

PHANTOM = ["phantom", "-o", "train=60", "-o", "validation=40", "-o", "test=40", "-o", "size=28"]
"""A small phantom as it is typed."""

Result = tuple[int, str, str]
"""Exit code, standard output, standard error."""

Typed = Callable[..., Result]

BRIGHT = (slice(4, 12), slice(16, 24))
"""Rows and columns of the bright square that the toy anomalies carry."""

TESTED = 30
"""Test images of each class in the made-up data of the papers."""


def draw_blobs(count: int, seed: int, *, bright: bool = False) -> Tensor:
    """Draw grey 28-pixel images (n, 1, 28, 28) of one soft blob each; anomalies also carry a bright square."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.arange(28.0)
    cx, cy = 13.5 + 1.5 * torch.randn(2, count, 1, 1, generator=generator)
    width = 5 + torch.rand(count, 1, 1, generator=generator)
    blob = torch.exp(-((x[None, None, :] - cx) ** 2 + (x[None, :, None] - cy) ** 2) / (2 * width**2))
    images = 0.4 + 0.25 * blob + 0.02 * torch.randn(count, 28, 28, generator=generator)
    if bright:
        images[:, BRIGHT[0], BRIGHT[1]] = 1.0
    return images.clamp(0, 1)[:, None]


def scores_in(path: Path) -> list[dict[str, str]]:
    """Read a file of scores."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def entropy_of_normal(d: int) -> float:
    return float(stats.multivariate_normal(np.zeros(d)).entropy())


def turned(latents: np.ndarray) -> np.ndarray:
    return latents @ stats.ortho_group.rvs(latents.shape[1], random_state=3)


def bits_of_rounded_normal(deviation: float, step: float) -> float:
    edges = (np.arange(-400, 402) - 0.5) * step
    return float(stats.entropy(np.diff(stats.norm.cdf(edges / deviation)), base=2))
