"""Two encoders that share one decoder."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from itertools import pairwise
from math import prod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .autoencoder import ConvAutoencoder

__all__ = ["DualAutoencoder", "Reading", "Views", "conv_encoder", "patch_encoder"]

_PATCH = 8


class Views(NamedTuple):
    """An image's two codes, and the two pictures the one decoder makes of them."""

    z1: Float[Tensor, "n d"]
    z2: Float[Tensor, "n d"]
    x1: Float[Tensor, "n c h w"]
    x2: Float[Tensor, "n c h w"]

    def terms(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 4"]:
        """Return e1 = |x - x1|^2, e2 = |x - x2|^2, |z1 - z2|^2 and |x1 - x2|^2 of each image."""
        pairs = (self.x1, images), (self.x2, images), (self.z1, self.z2), (self.x1, self.x2)
        return torch.stack([(a - b).square().flatten(1).sum(1) for a, b in pairs], 1)


class Reading(Enum):
    """What the second encoder is for.

    two-views: it sees a corrupted view of the image. re-encode: it sees the first reconstruction. two-scales: it
    sees patches of the image, each alone, and adds to the first code.
    """

    TWO_VIEWS = "two-views"
    RE_ENCODE = "re-encode"
    TWO_SCALES = "two-scales"

    @property
    def terms(self) -> tuple[int, ...]:
        """Which of the four terms are the primary score."""
        return {"two-views": (0, 1), "re-encode": (2,), "two-scales": (1,)}[self.value]

    def pictures(self, views: Views) -> tuple[Tensor, ...]:
        """Return the reconstructions whose residuals are the map."""
        return {"two-views": (views.x1, views.x2), "re-encode": (views.x1,), "two-scales": (views.x2,)}[self.value]


class DualAutoencoder(ConvAutoencoder):
    """A convolutional autoencoder and, where `reading` is given, a second encoder for its decoder.

    The autoencoder is initialised first, so it does not depend on whether there is a second encoder.

    Args:
        image_shape: (c, h, w).
        channels: Output channels of the encoders' convolutions; the decoder mirrors them.
        latent_dim: Length of both codes.
        reading: What the second encoder is for; none leaves it out.
    """

    mean: Tensor
    sd: Tensor

    def __init__(
        self, image_shape: Sequence[int], channels: Sequence[int], latent_dim: int, reading: Reading | None
    ) -> None:
        super().__init__(image_shape, channels, latent_dim)
        self.reading = reading
        if reading is None:
            return
        make = patch_encoder if reading is Reading.TWO_SCALES else conv_encoder
        self.second = make(image_shape, channels, latent_dim)
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("sd", torch.ones(4))

    @property
    def first_parts(self) -> tuple[nn.Module, ...]:
        """The first encoder and the decoder."""
        return self.down, self.to_latent, self.from_latent, self.up

    def encode(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the first codes, in the reading of two scales the fused ones; float32."""
        first = super().encode(images)
        return first + self._second(images) if self.reading is Reading.TWO_SCALES else first

    def first(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return what the first encoder and the decoder make of the images."""
        return self.decode(super().encode(images))

    def views(self, images: Float[Tensor, "n c h w"], seen: Float[Tensor, "n c h w"]) -> Views:
        """Return both codes and pictures; `seen` is what the second encoder of two views sees."""
        z1 = super().encode(images)
        x1 = self.decode(z1)
        if self.reading is Reading.TWO_SCALES:
            z2 = z1 + self._second(images)
        else:
            z2 = self._second(x1 if self.reading is Reading.RE_ENCODE else seen)
        return Views(z1, z2, x1, self.decode(z2))

    def _second(self, images: Tensor) -> Tensor:
        code: Tensor = self.second(images.to(memory_format=torch.channels_last))
        return code.float()


def conv_encoder(image_shape: Sequence[int], channels: Sequence[int], latent_dim: int) -> nn.Sequential:
    """Return an encoder like that of the autoencoder: halving 3x3 convolutions and a linear layer."""
    depth, (first, *sides) = len(channels), image_shape
    layers: list[nn.Module] = []
    for i, o in pairwise((first, *channels)):
        layers += [nn.Conv2d(i, o, 3, stride=2, padding=1), nn.ReLU(inplace=True)]
    cells = channels[-1] * prod(-(-side // 2**depth) for side in sides)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(cells, latent_dim))


def patch_encoder(image_shape: Sequence[int], channels: Sequence[int], latent_dim: int) -> nn.Sequential:
    """Return an encoder whose layers see 8x8 patches one by one until the last, which starts at zero."""
    first, *sides = image_shape
    width = channels[-1]
    last = nn.Linear(width * prod(-(-side // _PATCH) for side in sides), latent_dim)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    patches = nn.Conv2d(first, width, _PATCH, stride=_PATCH)
    alone = [patches, nn.ReLU(inplace=True), nn.Conv2d(width, width, 1), nn.ReLU(inplace=True)]
    return nn.Sequential(_Fill(_PATCH), *alone, nn.Flatten(), last)


class _Fill(nn.Module):
    """Repeat the last row and column until the sides are multiples."""

    def __init__(self, multiple: int) -> None:
        super().__init__()
        self.multiple = multiple

    def forward(self, images: Tensor) -> Tensor:
        below, right = (-side % self.multiple for side in images.shape[2:])
        return F.pad(images, (0, right, 0, below), mode="replicate") if below or right else images
