"""Ways to spoil an image so that a network must know what it should look like."""

from __future__ import annotations

from enum import Enum

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..scoring import gaussian_blur

__all__ = ["Corruption"]

_CELLS = 8
_NOISE_SD = 0.2
_SMALLEST, _LARGEST = 1 / 8, 1 / 2
_BLURS_PER_SIDE = 16


class Corruption(Enum):
    """What is done to images; random ones draw from torch's global generator, so call them where it is seeded.

    coarse-noise adds an 8x8 grid of Gaussian noise (sd 0.2) stretched over the image, so that it is as coarse as
    lesions are; erase paints one rectangle per image, each side an eighth to a half of the image's, in one random
    colour; blur smooths with a Gaussian of a sixteenth of the longer side.
    """

    COARSE_NOISE = "coarse-noise"
    ERASE = "erase"
    BLUR = "blur"

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return spoilt copies in [0, 1], float32 also under autocast."""
        spoil = {"coarse-noise": _coarse_noise, "erase": _erase, "blur": _blur}[self.value]
        with torch.autocast(images.device.type, enabled=False):
            return spoil(images)


def _coarse_noise(images: Tensor) -> Tensor:
    cells = torch.randn(*images.shape[:2], _CELLS, _CELLS, device=images.device)
    noise = F.interpolate(cells, images.shape[2:], mode="bilinear", align_corners=False)
    return (images + _NOISE_SD * noise).clamp(0, 1)


def _erase(images: Tensor) -> Tensor:
    count, channels, *sides = images.shape
    rows, columns = (_interval(count, side, images.device) for side in sides)
    hidden = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(hidden, torch.rand(count, channels, 1, 1, device=images.device), images)


def _interval(count: int, side: int, device: torch.device) -> Tensor:
    """Mark `count` random intervals of a side, (count, side) bool."""
    share = _SMALLEST + (_LARGEST - _SMALLEST) * torch.rand(count, 1, device=device)
    length = (share * side).round().clamp_min(1)
    start = (torch.rand(count, 1, device=device) * (side - length + 1)).floor()
    at = torch.arange(side, device=device)
    return (at >= start) & (at < start + length)


def _blur(images: Tensor) -> Tensor:
    return gaussian_blur(images, max(images.shape[2:]) / _BLURS_PER_SIDE)
