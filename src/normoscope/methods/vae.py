"""A variational autoencoder: the latent vector is kept near a standard normal, so it can say less.

    image -> encoder -> (mean, log-variance) -> sample z (training) or mean (scoring) -> decoder -> reconstruction
                             |                                        squared residual -> map -> mean -> score
                             +-> KL(N(mean, variance) || N(0, 1))         loss = MSE + kl_weight KL

Reference: Kingma and Welling, Auto-Encoding Variational Bayes, ICLR 2014; network, weight and settings of Cai et al.,
MedIAnomaly, Medical Image Analysis 2025, as used in AE4AD (MICCAI 2024).

differs from the paper in: the divergence is averaged over latent dimensions, as the benchmark's code does, so
`kl_weight` depends on `latent_dim`. That code samples z when scoring too; here the mean is decoded, and `sampled`
brings the habit back with one noise vector for all images. Gradient scores are `--residual rec-gradient`,
`kl-gradient`, `elbo-gradient` and `kl-weighted`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError
from ..nn.benchmark import BenchmarkAutoencoder, check_sizes
from ..nn.detector import AutoencoderDetector, image_shape
from ..scoring import Losses, Term
from ..training import Schedule
from ..types import Images, Run, State
from ._fitting import fit_autoencoder

__all__ = ["VAE", "VariationalAutoencoder", "divergence"]


def divergence(mean: Float[Tensor, "n d"], log_variance: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Return KL(N(mean, variance) || N(0, 1)) of each image, averaged over latent dimensions."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(1)


@dataclass(frozen=True)
class VAE:
    """Variational autoencoder recipe.

    Args:
        latent_dim: Length of the latent vector.
        kl_weight: Weight of the divergence, averaged over latent dimensions, against the mean squared error.
        sampled: Decode one fixed noise vector away from the mean when scoring, as the benchmark's code samples.
        width: Channels of the first convolution, then 2, 4 and 4 times as many.
        hidden: Units between the grid and the latent vector.
        epochs: Passes over the training normals; the last weights are kept.
        batch_size: Images per step.
        learning_rate: Adam's step size.
        patience: Epochs to wait for a lower loss on the select normals before stopping; none never stops.
    """

    latent_dim: int = 16
    kl_weight: float = 0.005
    sampled: bool = False
    width: int = 16
    hidden: int = 1024
    epochs: int = 250
    batch_size: int = 64
    learning_rate: float = 1e-3
    patience: int | None = None

    quick: ClassVar[Mapping[str, Any]] = {"epochs": 20, "batch_size": 32, "patience": 10}

    def __post_init__(self) -> None:
        check_sizes("vae", self.latent_dim, self.width, self.hidden)
        if not 0 <= self.kl_weight < float("inf"):
            raise OptionError("vae --kl-weight", self.kl_weight, "a number of at least 0")
        assert self.schedule

    @property
    def schedule(self) -> Schedule:
        """How long and in which portions."""
        return Schedule(self.epochs, self.batch_size, self.learning_rate, self.patience, smallest_batch=2)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _Detector:
        """Minimise the negative evidence lower bound of the normals, in the benchmark's weighting.

        Raises:
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        with run.seeded():
            network = self._network(normals.shape[1:])
            network.noise.copy_(torch.randn(self.latent_dim) * self.sampled)

        def loss(images: Tensor) -> Tensor:
            mean, log_variance = network.moments(images)
            latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
            return self.objective(images, network.decode(latent), divergence(mean, log_variance)).mean()

        return fit_autoencoder(self, network, loss, _Detector, normals, run, select)

    def restore(self, state: State) -> _Detector:
        """Rebuild the fitted detector."""
        return _Detector.restored(self, self._network(image_shape(state)), state)

    def objective(self, images: Tensor, reconstruction: Tensor, kl: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Return each image's loss, the squared error on the scale [-1, 1]."""
        return (2 * (images - reconstruction)).square().mean((1, 2, 3)) + self.kl_weight * kl

    def _network(self, image_shape: Sequence[int]) -> VariationalAutoencoder:
        return VariationalAutoencoder(image_shape, self.latent_dim, self.width, self.hidden, codes=2)


class VariationalAutoencoder(BenchmarkAutoencoder):
    """Encodes to mean and log-variance; `encode` returns the mean, `forward` decodes what scoring decodes."""

    noise: Tensor

    def __init__(self, image_shape: Sequence[int], latent_dim: int, width: int, hidden: int, *, codes: int) -> None:
        super().__init__(image_shape, latent_dim, width, hidden, codes=codes)
        self.register_buffer("noise", torch.zeros(latent_dim))

    def moments(self, images: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """Return mean and log-variance of the latent vector."""
        mean, log_variance = super().encode(images).chunk(2, 1)
        return mean, log_variance

    def encode(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the mean latent vectors."""
        return self.moments(images)[0]

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the reconstructions from the mean, or from the fixed noise around it."""
        mean, log_variance = self.moments(images)
        return self.decode(mean + self.noise * (0.5 * log_variance).exp())


class _Detector(AutoencoderDetector):
    """Fitted: knows the divergence of an image, too."""

    method: VAE
    network: VariationalAutoencoder

    def losses(self) -> Losses:
        """Return what an image's loss is made of."""

        def kl(images: Tensor) -> Tensor:
            return divergence(*self.network.moments(images))

        def objective(images: Tensor) -> Tensor:
            return self.method.objective(images, self.network(images), kl(images))

        return {**super().losses(), Term.DIVERGENCE: kl, Term.OBJECTIVE: objective}
