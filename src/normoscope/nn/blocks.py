"""Layers that autoencoders share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["UpConv"]

# Row r of a 4-tap kernel with stride 2 sees, through nearest-neighbour doubling, these of the three taps.
_TAPS_OF_FOUR = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
# The same sums told by output phase: _TAPS_OF_TWO[phase, input row] are the taps that meet this input row.
_TAPS_OF_TWO = torch.tensor([[[1.0, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]])

# Matrix units work on blocks of 16 output channels; fewer are better folded into the channels as sub-pixels.
_FEWEST_CHANNELS = 16


class UpConv(nn.Conv2d):
    """Double height and width (nearest neighbour), then convolve 3x3, without ever making the doubled tensor.

    A 3x3 tap after doubling meets each input pixel at most twice, so the two steps together are one transposed
    convolution with stride 2 and the 4x4 kernel

        K = A W Aᵀ,   A = [[0 0 1], [0 1 1], [1 1 0], [1 0 0]]

    or, equally, one 2x2 convolution to four sub-pixels per output channel. Both do 2.25 times fewer
    multiplications. The parameters are those of `nn.Conv2d(in_channels, out_channels, 3, padding=1)`, so
    weights move freely between this layer and `nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(...))`.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    four: Tensor
    two: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)
        self.register_buffer("four", torch.kron(_TAPS_OF_FOUR, _TAPS_OF_FOUR).T.contiguous(), persistent=False)
        self.register_buffer("two", _TAPS_OF_TWO.clone(), persistent=False)

    def forward(self, input: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o 2*h 2*w"]:
        """Return the doubled and convolved images."""
        if self.out_channels < _FEWEST_CHANNELS:
            return self._as_subpixels(input)
        return self._as_transposed(input)

    def _as_transposed(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            kernel = (self.weight.flatten(2) @ self.four).view(*self.weight.shape[:2], 4, 4).transpose(0, 1)
        return F.conv_transpose2d(input, kernel, self.bias, stride=2, padding=1)

    def _as_subpixels(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            kernel = torch.einsum("oiab,sra,tcb->ostirc", self.weight, self.two, self.two).flatten(0, 2)
            bias = None if self.bias is None else self.bias.repeat_interleave(4)
        return F.pixel_shuffle(F.conv2d(input, kernel, bias, padding=1), 2)[:, :, 1:-1, 1:-1]
