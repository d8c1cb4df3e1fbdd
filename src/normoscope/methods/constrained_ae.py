"""An autoencoder whose reconstruction must encode to the same latent vector as the image did.

    image x -> encoder -> latent z (d) -> decoder -> reconstruction y -> the same encoder -> latent z' (d)
    loss = MSE(x, y) + latent_weight * MSE(z, z')          squared residual of x and y -> map -> mean -> score

What the decoder cannot show, the latent vector should not claim to know. Gradients flow through everything: the
second term moves the encoder by both its uses, and the decoder.

Reference: Chen and Konukoglu, Unsupervised Detection of Lesions in Brain MRI using Constrained Adversarial
Auto-encoders, MIDL 2018; network and settings of Cai et al., MedIAnomaly, Medical Image Analysis 2025.

differs from the paper in: no adversary on the latent vectors and the benchmark's network, as the benchmark has it.
Like there, batch normalisation in the encoder counts images and reconstructions alike in its running statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError
from ..nn.benchmark import BenchmarkAutoencoder, check_sizes
from ..nn.detector import AutoencoderDetector, image_shape
from ..training import Schedule
from ..types import Images, Run, State
from ._fitting import fit_autoencoder

__all__ = ["ConstrainedAE"]


@dataclass(frozen=True)
class ConstrainedAE:
    """Constrained autoencoder recipe.

    Args:
        latent_dim: Length of the latent vector.
        latent_weight: Weight of the latent error against the pixel error.
        width: Channels of the first convolution, then 2, 4 and 4 times as many.
        hidden: Units between the grid and the latent vector.
        epochs: Passes over the training normals; the last weights are kept.
        batch_size: Images per step.
        learning_rate: Adam's step size.
        patience: Epochs to wait for a lower loss on the select normals before stopping; none never stops.
    """

    latent_dim: int = 16
    latent_weight: float = 1.0
    width: int = 16
    hidden: int = 1024
    epochs: int = 250
    batch_size: int = 64
    learning_rate: float = 1e-3
    patience: int | None = None

    quick: ClassVar[Mapping[str, Any]] = {"epochs": 20, "batch_size": 32, "patience": 10}

    def __post_init__(self) -> None:
        check_sizes("constrained_ae", self.latent_dim, self.width, self.hidden)
        if not 0 <= self.latent_weight < float("inf"):
            raise OptionError("constrained_ae --latent-weight", self.latent_weight, "a number of at least 0")
        assert self.schedule

    @property
    def schedule(self) -> Schedule:
        """How long and in which portions."""
        return Schedule(self.epochs, self.batch_size, self.learning_rate, self.patience, smallest_batch=2)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> AutoencoderDetector:
        """Minimise pixel error, on the scale [-1, 1], and latent error of the normals.

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
        """Return each image's loss."""
        latent = network.encode(images)
        reconstruction = network.decode(latent)
        pixels = (2 * (images - reconstruction)).square().mean((1, 2, 3))
        return pixels + self.latent_weight * (latent - network.encode(reconstruction)).square().mean(1)

    def _network(self, image_shape: Sequence[int]) -> BenchmarkAutoencoder:
        return BenchmarkAutoencoder(image_shape, self.latent_dim, self.width, self.hidden)
