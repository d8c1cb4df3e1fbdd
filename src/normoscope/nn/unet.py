"""The U-Net of the coarse-noise denoising autoencoder: full detail through skip connections, no bottleneck."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["UNet"]


class UNet(nn.Module):
    """Averaging down, transposed convolutions up, two standardised convolutions at every level.

        image in [0, 1] -> 2x - 1 -> block w -> halve -> block 2w -> ... -> block 2^(depth-1) w
        each level up: double, join the block of the same size on the way down, block;  1x1 -> (y + 1) / 2
        block = twice [conv 3x3 of standardised weights, reflected border, SiLU, group norm]

    Sides that the halvings do not divide are padded by replication and cropped afterwards, so any size fits.
    31,042,369 parameters for one channel, width 64, depth 5.

    Args:
        image_shape: (c, h, w).
        width: Channels w of the first level; each level down has twice as many.
        depth: Number of levels.

    Reference: Kascenas, Pugeault and O'Neil, Denoising Autoencoders for Unsupervised Anomaly Detection in Brain MRI,
    MIDL 2022; layers as in the authors' public code.
    """

    def __init__(self, image_shape: Sequence[int], width: int = 64, depth: int = 5) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        channels, *sides = self.image_shape
        stride = 2 ** (depth - 1)
        # Reflection needs two pixels to reflect at the deepest level.
        margins = [max(-side % stride, 2 * stride - side) for side in sides]
        self.margin = [margins[1] // 2, -(-margins[1] // 2), margins[0] // 2, -(-margins[0] // 2)]
        widths = [width * 2**level for level in range(depth)]
        self.down = nn.ModuleList(_block(i, o) for i, o in pairwise([channels, *widths]))
        upwards = list(pairwise(reversed(widths)))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, stride=2) for i, o in upwards)
        self.join = nn.ModuleList(_block(2 * o, o) for _, o in upwards)
        self.last = nn.Conv2d(width, channels, 1)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the reconstructions, float32; trained towards [0, 1], not clipped to it."""
        hidden = F.pad(2 * images - 1, self.margin, mode="replicate") if any(self.margin) else 2 * images - 1
        skips = []
        for level, block in enumerate(self.down):
            hidden = block(F.avg_pool2d(hidden, 2) if level else hidden)
            skips.append(hidden)
        skips.pop()
        for enlarge, block in zip(self.enlarge, self.join, strict=True):
            hidden = block(torch.cat([enlarge(hidden), skips.pop()], 1))
        left, _, top, _ = self.margin
        height, width = self.image_shape[1:]
        signed: Tensor = self.last(hidden).float()
        return (signed[:, :, top : top + height, left : left + width] + 1) / 2


class _StandardisedConv(nn.Conv2d):
    """A 3x3 convolution whose weights have mean 0 and deviation 1 per output channel; borders are reflected."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out, 3)

    def forward(self, input: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h w"]:
        """Return the convolved images."""
        deviation, mean = torch.std_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        bordered = F.pad(input, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(bordered, (self.weight - mean) / (deviation + 1e-5), self.bias)


def _block(channels: int, out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs in (channels, out):
        layers += [_StandardisedConv(inputs, out), nn.SiLU(inplace=True), nn.GroupNorm(_groups(out), out)]
    return nn.Sequential(*layers)


def _groups(channels: int) -> int:
    """Return the middle divisor, the upper of two: 8 groups of 64 channels, 16 of 128, 32 of 1024."""
    divisors = [n for n in range(1, channels + 1) if channels % n == 0]
    return divisors[len(divisors) // 2]
