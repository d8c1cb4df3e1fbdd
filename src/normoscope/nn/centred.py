"""An autoencoder that remembers the centre of its latent vectors, and the two ways a paper can be read about it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import torch
from jaxtyping import Float
from torch import Tensor

from ..images import batches
from ..types import Images, Run
from .autoencoder import ConvAutoencoder
from .inference import chunk_size, in_chunks

__all__ = ["Alternation", "CentredAutoencoder", "Reduction"]


class Reduction(Enum):
    """How an image's squared differences become one loss; either way the mean over images follows."""

    SUM = "sum"
    MEAN = "mean"

    def __call__(self, squares: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return one number per image."""
        flat = squares.flatten(1)
        return flat.sum(1) if self is Reduction.SUM else flat.mean(1)


class Alternation(Enum):
    """What the epochs after the warm-up train."""

    JOINT = "joint"
    ALTERNATE = "alternate"

    def period(self, update_interval: int) -> int:
        """Return after how many epochs the centre moves."""
        return update_interval + (self is Alternation.ALTERNATE)

    def constrains_only(self, number: int, update_interval: int) -> bool:
        """Whether epoch `number` (from 1) trains the encoder's constraint alone."""
        return self is Alternation.ALTERNATE and (number - 1) % self.period(update_interval) == 0

    def reconstructs_only(self, number: int, update_interval: int) -> bool:
        """Whether epoch `number` (from 1) trains the autoencoder alone."""
        return self is Alternation.ALTERNATE and not self.constrains_only(number, update_interval)


class CentredAutoencoder(ConvAutoencoder):
    """The convolutional autoencoder with a `center`, the mu of ConOCC."""

    center: Tensor

    def __init__(self, image_shape: Sequence[int], channels: Sequence[int], latent_dim: int) -> None:
        super().__init__(image_shape, channels, latent_dim)
        self.register_buffer("center", torch.zeros(latent_dim))

    def center_on(self, normals: Images, run: Run) -> None:
        """Move the centre to the mean latent vector of all normals, in evaluation mode (section 2.2 of ConOCC)."""
        self.eval()
        total = torch.zeros(self.latent_dim, dtype=torch.float64)
        for batch in batches(normals, chunk_size(normals.shape[1:])):
            total += in_chunks(self.encode, batch, run.torch_device, run.autocast_dtype).double().sum(0)
        self.center.copy_(total / len(normals))
