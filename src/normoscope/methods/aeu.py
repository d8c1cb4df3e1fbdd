"""An autoencoder that also predicts how well it will do at every pixel, and weighs its error by it.

    image -> encoder -> latent -> decoder -> reconstruction and log-variance s per pixel
                     exp(-s) r² + s is minimised, exp(-s) r² is the map, its mean the score

Where normal images are hard to redraw (edges, ribs) an error counts less than where they are easy.

Reference: Mao, Xue, Wang, Zhang, Zheng, Liu, Abnormality Detection in Chest X-Ray Images Using Uncertainty Prediction
Autoencoders, MICCAI 2020; network and settings of Cai et al., MedIAnomaly, Medical Image Analysis 2025.

differs from the paper in: the network is the benchmark's (the paper's is larger), whose published numbers these are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from ..nn.benchmark import BenchmarkAutoencoder, check_sizes
from ..nn.detector import AutoencoderDetector, image_shape
from ..training import Schedule
from ..types import Images, Run, State
from ._fitting import fit_autoencoder

__all__ = ["AEU", "UncertainAutoencoder"]


@dataclass(frozen=True)
class AEU:
    """Uncertainty-predicting autoencoder recipe.

    Args:
        latent_dim: Length of the latent vector.
        width: Channels of the first convolution, then 2, 4 and 4 times as many.
        hidden: Units between the grid and the latent vector.
        epochs: Passes over the training normals; the last weights are kept.
        batch_size: Images per step.
        learning_rate: Adam's step size.
        patience: Epochs to wait for a lower loss on the select normals before stopping; none never stops.
    """

    latent_dim: int = 16
    width: int = 16
    hidden: int = 1024
    epochs: int = 250
    batch_size: int = 64
    learning_rate: float = 1e-3
    patience: int | None = None

    quick: ClassVar[Mapping[str, Any]] = {"epochs": 20, "batch_size": 32, "patience": 10}

    def __post_init__(self) -> None:
        check_sizes("aeu", self.latent_dim, self.width, self.hidden)
        assert self.schedule

    @property
    def schedule(self) -> Schedule:
        """How long and in which portions."""
        return Schedule(self.epochs, self.batch_size, self.learning_rate, self.patience, smallest_batch=2)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _Detector:
        """Minimise the negative log-likelihood of the normals under a Gaussian at every pixel.

        Raises:
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        with run.seeded():
            network = self._network(normals.shape[1:])

        def loss(images: Tensor) -> Tensor:
            return self.objective(network, images).mean()

        return fit_autoencoder(self, network, loss, _Detector, normals, run, select)

    def restore(self, state: State) -> _Detector:
        """Rebuild the fitted detector."""
        return _Detector.restored(self, self._network(image_shape(state)), state)

    def objective(self, network: UncertainAutoencoder, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return each image's negative log-likelihood, twice and up to a constant."""
        weighted, log_variance = network.weighted_error(images)
        return (weighted + log_variance).mean((1, 2, 3))

    def _network(self, image_shape: Sequence[int]) -> UncertainAutoencoder:
        return UncertainAutoencoder(image_shape, self.latent_dim, self.width, self.hidden, outputs=2)


class UncertainAutoencoder(BenchmarkAutoencoder):
    """Its decoder puts out the reconstruction and, behind it, the log-variance of the residual."""

    def weighted_error(
        self, images: Float[Tensor, "n c h w"]
    ) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]]:
        """Return exp(-s) r² and s, with the residual r on the scale [-1, 1]."""
        reconstruction, behind = super().decode(self.encode(images)).chunk(2, 1)
        log_variance = 2 * behind - 1  # undoes the mapping to [0, 1], which is meant for images
        return (-log_variance).exp() * (2 * (images - reconstruction)).square(), log_variance

    def decode(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, "n c h w"]:
        """Return the reconstructions."""
        return super().decode(latent)[:, : self.image_shape[0]]


class _Detector(AutoencoderDetector):
    """Fitted: scored by the error in units of its predicted variance."""

    network: UncertainAutoencoder

    def pixel_scores(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
        """Return exp(-s) r², the mean over channels."""
        return self.network.weighted_error(images)[0].mean(1)
