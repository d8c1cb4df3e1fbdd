"""What an autoencoder is, and the convolutional one that ConOCC and its rivals share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import OptionError
from .blocks import UpConv

__all__ = ["Autoencoder", "ConvAutoencoder", "check_widths"]


def check_widths(method: str, latent_dim: int, channels: Sequence[int]) -> None:
    """Refuse sizes no network can have.

    Raises:
        OptionError: A size below 1, or no channels.
    """
    if latent_dim < 1:
        raise OptionError(f"{method} --latent-dim", latent_dim, "at least 1")
    if not channels or min(channels) < 1:
        raise OptionError(f"{method} --channels", tuple(channels), "one or more numbers, each at least 1")


class Autoencoder(nn.Module):
    """An encoder and a decoder; `image_shape` is (c, h, w)."""

    image_shape: tuple[int, ...]

    def encode(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the latent vectors, float32."""
        raise NotImplementedError

    def decode(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, "n c h w"]:
        """Return the reconstructions, float32."""
        raise NotImplementedError

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the reconstructions."""
        return self.decode(self.encode(images))


class ConvAutoencoder(Autoencoder):
    """Halving 3x3 convolutions to a linear bottleneck, and their mirror image back.

        image -> [conv 3x3, stride 2, ReLU] per channel count -> linear -> latent
        latent -> linear, ReLU -> [double, conv 3x3, ReLU] ... -> double, conv 3x3 -> sigmoid -> reconstruction

    Any height and width: odd sides are rounded up on the way down and cropped on the way up.

    Args:
        image_shape: (c, h, w).
        channels: Output channels of the encoder's convolutions; the decoder mirrors them.
        latent_dim: Length of the latent vector.
    """

    def __init__(
        self, image_shape: Sequence[int], channels: Sequence[int] = (32, 64, 128), latent_dim: int = 256
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.latent_dim = latent_dim
        self.sizes = [self.image_shape[1:]]
        for _ in channels:
            self.sizes.append(tuple((side + 1) // 2 for side in self.sizes[-1]))
        widths = [self.image_shape[0], *channels]
        self.grid = (widths[-1], *self.sizes[-1])
        cells = self.grid[0] * self.grid[1] * self.grid[2]
        self.down = nn.ModuleList(nn.Conv2d(i, o, 3, stride=2, padding=1) for i, o in pairwise(widths))
        self.to_latent = nn.Linear(cells, latent_dim)
        self.from_latent = nn.Linear(latent_dim, cells)
        self.up = nn.ModuleList(UpConv(i, o) for i, o in pairwise(reversed(widths)))

    def encode(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the latent vectors, float32."""
        # `contiguous` would leave one-channel images with strides that read as channels-first.
        hidden = images.to(memory_format=torch.channels_last)
        for convolution in self.down:
            hidden = F.relu(convolution(hidden), inplace=True)
        latent: Tensor = self.to_latent(hidden.flatten(1))
        return latent.float()

    def decode(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, "n c h w"]:
        """Return the reconstructions in (0, 1), float32."""
        hidden = F.relu(self.from_latent(latent), inplace=True).view(-1, *self.grid)
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        for step, layer in enumerate(self.up, start=1):
            hidden = _cropped(layer(hidden), self.sizes[-1 - step])
            if step < len(self.up):
                hidden = F.relu(hidden, inplace=True)
        return torch.sigmoid(hidden.float())


def _cropped(images: Tensor, size: Sequence[int]) -> Tensor:
    """Keep the first rows and columns; a crop that keeps all would still cost a copy in the backward pass."""
    return images if images.shape[2:] == tuple(size) else images[:, :, : size[0], : size[1]]
