"""A convolutional autoencoder trained on normal images; what it cannot redraw is anomalous.

    image -> encoder (3x3 convolutions, stride 2) -> latent (d) -> decoder (mirror) -> reconstruction
                                             squared residual -> map -> mean -> score

Reference: Gao, Liu, Arefan, Panigrahy and Wu, Constrained Deep One-Class Feature Learning For Classifying Imbalanced
Medical Images, 2020; its CAE baseline, whose network is that of ConOCC.

differs from the paper in: the network is read off its figure (three stride-2 convolutions 32-64-128 with ReLU, a
linear bottleneck, the mirror, a sigmoid). The learning rate 1e-4 is the better of the two the paper tried by looking
at test results (an oracle's choice). The score is the mean over pixels, the paper's the sum: the same order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ..nn.autoencoder import ConvAutoencoder, check_widths
from ..nn.detector import AutoencoderDetector, image_shape
from ..training import Schedule
from ..types import Images, Run, State
from ._fitting import fit_autoencoder

__all__ = ["CAE"]


@dataclass(frozen=True)
class CAE:
    """Convolutional autoencoder recipe.

    Args:
        latent_dim: Length of the bottleneck vector.
        channels: Output channels of the encoder's convolutions, mirrored by the decoder.
        epochs: Passes over the training normals.
        batch_size: Images per step.
        learning_rate: Adam's step size (the paper chose 1e-4 by its test results).
        patience: Epochs to wait for a lower loss on the select normals before stopping; none never stops.
    """

    latent_dim: int = 256
    channels: tuple[int, ...] = (32, 64, 128)
    epochs: int = 1000
    batch_size: int = 128
    learning_rate: float = 1e-4
    patience: int | None = None

    quick: ClassVar[Mapping[str, Any]] = {"epochs": 20, "batch_size": 32, "learning_rate": 1e-3, "patience": 10}

    def __post_init__(self) -> None:
        check_widths("cae", self.latent_dim, self.channels)
        assert self.schedule

    @property
    def schedule(self) -> Schedule:
        """How long and in which portions."""
        return Schedule(self.epochs, self.batch_size, self.learning_rate, self.patience)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> AutoencoderDetector:
        """Minimise the squared reconstruction error of the normals.

        Raises:
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        with run.seeded():
            network = self._network(normals.shape[1:])

        def loss(images: Tensor) -> Tensor:
            residual: Tensor = network(images) - images
            return residual.square().sum((1, 2, 3)).mean()

        return fit_autoencoder(self, network, loss, AutoencoderDetector, normals, run, select)

    def restore(self, state: State) -> AutoencoderDetector:
        """Rebuild the fitted detector."""
        return AutoencoderDetector.restored(self, self._network(image_shape(state)), state)

    def _network(self, image_shape: Sequence[int]) -> ConvAutoencoder:
        return ConvAutoencoder(image_shape, self.channels, self.latent_dim)
