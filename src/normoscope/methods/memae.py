"""An autoencoder that decodes only mixtures of a few remembered latent vectors, all learnt from normal images.

    image -> encoder -> query z (d) -> softmax over 25 slots, small weights dropped -> mixture (d) -> decoder
                                                  squared residual -> map -> mean -> score
    loss = MSE + entropy_weight * mean entropy of the weights

An anomaly's query is answered by the nearest normal memory, so its reconstruction looks normal.

Reference: Gong, Liu, Le, Saha, Mansour, Venkatesh, van den Hengel, Memorizing Normality to Detect Anomaly, ICCV 2019
(MemAE); network, slots and settings of Cai et al., MedIAnomaly, Medical Image Analysis 2025, as used in AE4AD.

differs from the paper in: 25 slots for latent vectors and a threshold of 0.0025 are the benchmark's; the paper has 100
slots or more and a threshold of 1 to 3 over their number. The paper compares by cosine; its authors' code and the
benchmark's compare by inner product, the default here. With cosines and 25 slots no weight can fall below
1 / (1 + 24 e^2) = 0.0056, so a threshold of 0.0025 would never drop one.
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
from ..nn.memory import Memory, Similarity, entropy
from ..training import Schedule
from ..types import Images, Run, State
from ._fitting import fit_autoencoder

__all__ = ["MemAE", "MemoryAutoencoder"]


@dataclass(frozen=True)
class MemAE:
    """Memory-augmented autoencoder recipe.

    Args:
        latent_dim: Length of the latent vector and of a memory slot.
        slots: Number of memory slots.
        shrinkage: Addressing weights up to this are dropped and the rest rescaled to sum to one.
        entropy_weight: Weight of the mean addressing entropy (nats) against the mean squared error.
        similarity: inner (product) as both public codes have it, or cosine as the paper writes.
        width: Channels of the first convolution, then 2, 4 and 4 times as many.
        hidden: Units between the grid and the latent vector.
        epochs: Passes over the training normals; the last weights are kept.
        batch_size: Images per step.
        learning_rate: Adam's step size.
        patience: Epochs to wait for a lower loss on the select normals before stopping; none never stops.
    """

    latent_dim: int = 16
    slots: int = 25
    shrinkage: float = 0.0025
    entropy_weight: float = 0.0002
    similarity: Similarity = Similarity.INNER
    width: int = 16
    hidden: int = 1024
    epochs: int = 250
    batch_size: int = 64
    learning_rate: float = 1e-3
    patience: int | None = None

    quick: ClassVar[Mapping[str, Any]] = {"epochs": 20, "batch_size": 32, "patience": 10}

    def __post_init__(self) -> None:
        check_sizes("memae", self.latent_dim, self.width, self.hidden)
        if self.slots < 1:
            raise OptionError("memae --slots", self.slots, "at least 1")
        if not 0 <= self.shrinkage < 1:
            raise OptionError("memae --shrinkage", self.shrinkage, "a weight in [0, 1)")
        if not 0 <= self.entropy_weight < float("inf"):
            raise OptionError("memae --entropy-weight", self.entropy_weight, "a number of at least 0")
        assert self.schedule

    @property
    def schedule(self) -> Schedule:
        """How long and in which portions."""
        return Schedule(self.epochs, self.batch_size, self.learning_rate, self.patience, smallest_batch=2)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> AutoencoderDetector:
        """Minimise the squared error on the scale [-1, 1] and the addressing entropy of the normals.

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

    def objective(self, network: MemoryAutoencoder, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return each image's loss."""
        weights = network.memory.address(network.encode(images))
        residual = 2 * (images - network.recall(weights))
        return residual.square().mean((1, 2, 3)) + self.entropy_weight * entropy(weights)

    def _network(self, image_shape: Sequence[int]) -> MemoryAutoencoder:
        memory = Memory(self.slots, self.latent_dim, self.shrinkage, self.similarity)
        return MemoryAutoencoder(image_shape, memory, self.latent_dim, self.width, self.hidden)


class MemoryAutoencoder(BenchmarkAutoencoder):
    """Encodes to a query; decodes what the memory answers to it."""

    def __init__(self, image_shape: Sequence[int], memory: Memory, latent_dim: int, width: int, hidden: int) -> None:
        super().__init__(image_shape, latent_dim, width, hidden)
        self.memory = memory

    def recall(self, weights: Float[Tensor, "n m"]) -> Float[Tensor, "n c h w"]:
        """Return the reconstructions from these weights of the slots."""
        return super().decode(self.memory.read(weights))

    def decode(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, "n c h w"]:
        """Return the reconstructions from what the memory answers to these queries."""
        return self.recall(self.memory.address(latent))
