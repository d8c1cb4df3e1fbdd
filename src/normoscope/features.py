"""Hand-made features of an image: Gaussian derivatives, histograms of oriented gradients, one-number statistics."""

from __future__ import annotations

import math
import zlib
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["bytes_statistic", "contrast_statistic", "derived", "gradient_statistic", "hog", "hog_cell", "pixels"]

Images = Float[Tensor, "n c h w"]

_TAPER = 4  # kernels are cut at so many widths


def hog_cell(side: int) -> int:
    """Cell side in pixels: 4 for images below 48 pixels, else a quarter of the image (16 at 64)."""
    return 4 if side < 48 else side // 4


def hog(images: Images, cell: int) -> Float[Tensor, "n d"]:
    """Return scikit-image's HOG: 8 orientations, 2x2 blocks, L2-Hys.

    Reference: Dalal and Triggs, Histograms of oriented gradients for human detection, CVPR 2005.
    """
    from skimage.feature import hog as skimage_hog

    array = images.movedim(1, -1).cpu().numpy()
    colour = -1 if array.shape[-1] == 3 else None
    vectors = [
        skimage_hog(
            image if colour else image[..., 0],
            orientations=8,
            pixels_per_cell=(cell, cell),
            cells_per_block=(2, 2),
            block_norm="L2-Hys",
            channel_axis=colour,
        )
        for image in array
    ]
    return torch.from_numpy(np.stack(vectors).astype(np.float32))


def pixels(images: Images, cell: int = 0) -> Float[Tensor, "n d"]:
    """Return the pixels themselves, flattened."""
    return images.flatten(1)


def contrast_statistic(images: Images) -> Float[Tensor, " n"]:
    """Standard deviation of the pixels."""
    return images.flatten(1).std(1, correction=0)


def gradient_statistic(images: Images) -> Float[Tensor, " n"]:
    """Mean squared difference of neighbouring pixels, both directions."""
    along_x = (images[..., 1:] - images[..., :-1]).square().flatten(1).mean(1)
    along_y = (images[..., 1:, :] - images[..., :-1, :]).square().flatten(1).mean(1)
    return along_x + along_y


def bytes_statistic(images: Images) -> Float[Tensor, " n"]:
    """Length of the image's 8-bit pixels compressed with zlib (level 6)."""
    eight_bit = (images.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return torch.tensor([len(zlib.compress(image.tobytes(), 6)) for image in eight_bit], dtype=torch.float32)


def derived(maps: Float[Tensor, "*n h w"], scale: float, order: tuple[int, int] = (0, 0)) -> Float[Tensor, "*n h w"]:
    """Return the Gaussian derivative along rows and columns, times scale to the power of its order; (0, 0) blurs.

    Args:
        maps: Of any leading shape; borders are continued.
        scale: Width of the Gaussian in pixels.
        order: Of the derivative along rows' index and along columns' index, 0 to 2 each.

    Reference: Koenderink and van Doorn, Representation of local geometry in the visual system, 1987.
    """
    down, across = (_operator(side, scale, o).to(maps) for side, o in zip(maps.shape[-2:], order, strict=True))
    return down @ maps @ across.T


@cache
def _operator(side: int, scale: float, order: int) -> Float[Tensor, "side side"]:
    """A Gaussian derivative along a line of pixels whose ends are continued, as a matrix: faster than a convolution."""
    reach = math.ceil(_TAPER * scale)
    at = torch.arange(-reach, reach + 1)
    away = at.double() / scale
    bell = torch.exp(-0.5 * away**2)
    bell = bell / bell.sum()
    taps = (bell, away * bell, (away**2 - 1) * bell)[order]
    seen = (torch.arange(side)[:, None] + at).clamp(0, side - 1)
    return torch.zeros(side, side, dtype=torch.float64).scatter_add_(1, seen, taps.expand(side, -1))
