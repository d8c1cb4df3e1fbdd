"""A small pooled convolutional autoencoder trained by cross-entropy, as a first study of medical images used it.

    image -> [conv 3x3, ReLU, pool] 16, 8, 8 -> latent grid (8 channels) -> conv 8, [double, conv] 8, 16, 1 -> sigmoid
                                binary cross-entropy: the loss       squared residual -> map -> mean -> score

Reference: van het Reve, Detecting Rare Diseases: Autoencoders for Detecting Anomalies in Medical Imaging, University
of Twente, 2023; the network of Chollet, Building Autoencoders in Keras, 2016.

differs from the paper in: the layers are read off its list of layer types, which are those of the tutorial (4,385
parameters for one channel), weights drawn as Keras draws them. At 28 pixels a convolution without padding trims the
doubled 16 pixels to 14; here it trims to whatever half the image is, so that any size works. The score is the squared
error: cross-entropy, the paper's error, is mostly the entropy of the image itself and stays as an option. The
reconstruction errors the paper reports lie above what a uniform grey image gives, so they are not aimed at. Its rules
(mean +- 2 sd, two-sided or upper) are the calibration's, measured on the calibrate normals; the paper measures them on
training errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..nn.autoencoder import Autoencoder
from ..nn.blocks import UpConv
from ..nn.detector import AutoencoderDetector, image_shape
from ..scoring import Losses, Term
from ..training import Schedule
from ..types import Images, Run, State
from ._fitting import fit_autoencoder

__all__ = ["PixelError", "PooledAutoencoder", "Twente"]


class PixelError(Enum):
    """How a pixel's error is measured."""

    MSE = "mse"
    BCE = "bce"

    def __call__(self, images: Float[Tensor, "n c h w"], logits: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
        """Return the mean over channels, from the reconstruction before its sigmoid; bce in nats, as in eq. 1."""
        if self is PixelError.MSE:
            return (torch.sigmoid(logits) - images).square().mean(1)
        return F.binary_cross_entropy_with_logits(logits, images, reduction="none").mean(1)


@dataclass(frozen=True)
class Twente:
    """Pooled autoencoder recipe.

    Args:
        score: mse (squared error) or bce (the training loss, the paper's error).
        epochs: Passes over the training normals.
        batch_size: Images per step.
        learning_rate: Adam's step size, the usual one, for the paper names none.
        patience: Epochs to wait for a lower loss on the select normals before stopping; none never stops.
    """

    score: PixelError = PixelError.MSE
    epochs: int = 25
    batch_size: int = 60
    learning_rate: float = 1e-3
    patience: int | None = None

    quick: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        assert self.schedule

    @property
    def schedule(self) -> Schedule:
        """How long and in which portions."""
        return Schedule(self.epochs, self.batch_size, self.learning_rate, self.patience)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _Detector:
        """Minimise the binary cross-entropy of the normals.

        Raises:
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        with run.seeded():
            network = PooledAutoencoder(normals.shape[1:])

        def loss(images: Tensor) -> Tensor:
            return PixelError.BCE(images, network.logits(images)).mean()

        return fit_autoencoder(self, network, loss, _Detector, normals, run, select)

    def restore(self, state: State) -> _Detector:
        """Rebuild the fitted detector."""
        return _Detector.restored(self, PooledAutoencoder(image_shape(state)), state)


class PooledAutoencoder(Autoencoder):
    """Three convolutions with pooling to a grid of 8 channels, and doubling convolutions back.

    Args:
        image_shape: (c, h, w); a side pools to half of it, rounded up.
    """

    def __init__(self, image_shape: Sequence[int]) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        channels, *sides = self.image_shape
        self.halves = [-(-side // 2) for side in sides]
        self.grid = (8, *(-(-side // 8) for side in sides))
        self.down = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise((channels, 16, 8, 8)))
        self.middle = nn.Conv2d(8, 8, 3, padding=1)
        self.up = nn.ModuleList(UpConv(i, o) for i, o in pairwise((8, 8, 16, channels)))
        for layer in (*self.down, self.middle, *self.up):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def encode(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the latent grids, flattened, float32."""
        hidden = images
        for convolution in self.down:
            hidden = F.max_pool2d(F.relu(convolution(hidden)), 2, ceil_mode=True)
        return hidden.flatten(1).float()

    def decode(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, "n c h w"]:
        """Return the reconstructions in (0, 1), float32."""
        return torch.sigmoid(self._rise(latent))

    def logits(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the reconstructions before the sigmoid, float32, for an exact cross-entropy."""
        return self._rise(self.encode(images))

    def _rise(self, latent: Tensor) -> Tensor:
        first, second, last = self.up
        hidden = F.relu(self.middle(latent.view(-1, *self.grid)))
        hidden = F.relu(second(F.relu(first(hidden))))
        # A margin of one pixel cut off a padded convolution leaves the convolution without padding.
        hidden = _middle(hidden, self.halves)
        images: Tensor = last(hidden)[:, :, : self.image_shape[1], : self.image_shape[2]]
        return images.float()


def _middle(images: Tensor, sides: Sequence[int]) -> Tensor:
    """Cut to these sides around the middle."""
    top, left = ((size - side) // 2 for size, side in zip(images.shape[2:], sides, strict=True))
    return images[:, :, top : top + sides[0], left : left + sides[1]]


class _Detector(AutoencoderDetector):
    """Fitted: scored by the error the recipe names."""

    method: Twente
    network: PooledAutoencoder

    def pixel_scores(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
        """Return the error at every pixel."""
        return self.method.score(images, self.network.logits(images))

    def losses(self) -> Losses:
        """Return the cross-entropy, what training minimised."""
        return {Term.RECONSTRUCTION: lambda x: PixelError.BCE(x, self.network.logits(x)).mean((1, 2))}
