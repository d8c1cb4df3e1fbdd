"""An autoencoder taught to fill in an erased square; it redraws what the surroundings say belongs there.

    image -> a random square set to black -> encoder -> latent (d) -> decoder -> reconstruction of the whole image
    scoring: image, nothing erased -> the same network -> squared residual -> map -> mean -> score

Reference: Zimmerer, Kohl, Petersen, Isensee, Maier-Hein, Context-encoding Variational Autoencoder for Unsupervised
Anomaly Detection, 2018, its context-encoding part alone; square, network and settings of Cai et al., MedIAnomaly,
Medical Image Analysis 2025, as used in AE4AD (MICCAI 2024).

differs from the paper in: no variational part, and one square of the benchmark's fixed size and value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError
from ..nn.benchmark import BenchmarkAutoencoder, check_sizes
from ..nn.detector import AutoencoderDetector, image_shape
from ..training import Schedule
from ..types import Images, Run, State
from ._fitting import fit_autoencoder

__all__ = ["CeAE", "erase_square"]


def erase_square(images: Float[Tensor, "n c h w"], share: float) -> Float[Tensor, "n c h w"]:
    """Set one square per image, at a random place wholly inside it, to 0.

    Args:
        images: In [0, 1]; left as they are.
        share: Pixels to erase, as a share; the side is rounded (0.024 of 64 x 64 pixels: 10).

    Returns:
        Copies.
    """
    count, _, height, width = images.shape
    side = min(max(1, round(math.sqrt(share * height * width))), height, width)
    top = torch.randint(height - side + 1, (count, 1), device=images.device)
    left = torch.randint(width - side + 1, (count, 1), device=images.device)
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    inside_rows = (rows >= top) & (rows < top + side)
    inside_columns = (columns >= left) & (columns < left + side)
    return images.masked_fill((inside_rows[:, :, None] & inside_columns[:, None, :])[:, None], 0.0)


@dataclass(frozen=True)
class CeAE:
    """Context-encoding autoencoder recipe.

    Args:
        latent_dim: Length of the latent vector.
        erased: Share of the pixels in the erased square; 0.024 is 10 x 10 of 64 x 64 pixels.
        width: Channels of the first convolution, then 2, 4 and 4 times as many.
        hidden: Units between the grid and the latent vector.
        epochs: Passes over the training normals; the last weights are kept.
        batch_size: Images per step.
        learning_rate: Adam's step size.
        patience: Epochs to wait for a lower loss on the select normals before stopping; none never stops.
    """

    latent_dim: int = 16
    erased: float = 0.024
    width: int = 16
    hidden: int = 1024
    epochs: int = 250
    batch_size: int = 64
    learning_rate: float = 1e-3
    patience: int | None = None

    quick: ClassVar[Mapping[str, Any]] = {"epochs": 20, "batch_size": 32, "patience": 10}

    def __post_init__(self) -> None:
        check_sizes("ceae", self.latent_dim, self.width, self.hidden)
        if not 0 < self.erased < 1:
            raise OptionError("ceae --erased", self.erased, "a share of the pixels between 0 and 1")
        assert self.schedule

    @property
    def schedule(self) -> Schedule:
        """How long and in which portions."""
        return Schedule(self.epochs, self.batch_size, self.learning_rate, self.patience, smallest_batch=2)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> AutoencoderDetector:
        """Minimise the squared error, on the scale [-1, 1], between whole normals and what was drawn from erased ones.

        Raises:
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        with run.seeded():
            network = self._network(normals.shape[1:])

        def loss(images: Tensor) -> Tensor:
            return self.objective(network, images).mean()

        return fit_autoencoder(self, network, loss, AutoencoderDetector, normals, run, select)

    def restore(self, state: State) -> AutoencoderDetector:
        """Rebuild the fitted detector."""
        return AutoencoderDetector.restored(self, self._network(image_shape(state)), state)

    def objective(self, network: BenchmarkAutoencoder, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return each image's loss, with a square erased anew."""
        residual: Tensor = 2 * (images - network(erase_square(images, self.erased)))
        return residual.square().mean((1, 2, 3))

    def _network(self, image_shape: Sequence[int]) -> BenchmarkAutoencoder:
        return BenchmarkAutoencoder(image_shape, self.latent_dim, self.width, self.hidden)
