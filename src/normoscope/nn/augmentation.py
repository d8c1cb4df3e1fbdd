"""Small random movements of training images, where there are few."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["moved"]


def moved(images: Float[Tensor, "n c h w"], amount: float) -> Float[Tensor, "n c h w"]:
    """Shift, turn and scale each image at random, borders replicated.

    Left and right are kept apart, for anatomy keeps them apart.

    Args:
        images: They may lie on any device and scale.
        amount: Largest shift as a share of the side, largest turn in radians, largest change of scale; 0 moves nothing.

    Returns:
        The moved images; drawn from torch's global generator.
    """
    if amount == 0:
        return images
    across, down, turn, zoom = amount * (2 * torch.rand(4, len(images), device=images.device) - 1)
    height, width = images.shape[2:]
    cos, sin = (1 + zoom) * turn.cos(), (1 + zoom) * turn.sin()
    # grid coordinates run from -1 to 1 along either side, so a turn must know their ratio and a shift counts twice
    rows = [cos, -sin * height / width, 2 * across, sin * width / height, cos, 2 * down]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
