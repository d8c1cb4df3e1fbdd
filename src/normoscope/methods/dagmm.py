"""An autoencoder and a Gaussian mixture trained together; images in thin regions of the mixture are anomalous.

    image -> encoder -> latent z (d) -> decoder -> reconstruction
                            |                          relative distance, cosine similarity
                            +-------- features (d + 2) -----+
                                          |-> estimation network -> memberships -> mixture phi, mu, Sigma
                                          +-> energy -log sum_k phi_k N(features; mu_k, Sigma_k) -> score

The loss is the squared error + lambda1 mean energy + lambda2 sum of inverse variances, on the mixture of each batch;
the mixture that scores is that of all training normals.

Reference: Zong et al., Deep Autoencoding Gaussian Mixture Model for Unsupervised Anomaly Detection, ICLR 2018; as a
baseline on their own network in Gao et al. (ConOCC), section 3.1.

differs from the paper in: the autoencoder is ConOCC's, convolutional. Its 256 latent dimensions cannot be kept: a
batch of 128 then leaves every covariance singular. Zong et al. use 1 to 3 for tables; 8 hold more of an image, and a
batch of 128 still brings each of two Gaussians 6 images per dimension. Any size runs: variances have a floor. The
inverse variances are also those of the two reconstruction features, small in images, so reconstructions stay far
poorer than `cae`'s. A batch's loss is none of single images, so no select loss stops the training. There is no map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError
from ..images import batches
from ..nn.autoencoder import check_widths
from ..nn.coded import CodeDetector
from ..nn.detector import AutoencoderDetector, image_shape
from ..nn.mixture import Mixture, MixtureAutoencoder
from ..training import Schedule
from ..types import Images, Run, State
from ._fitting import fit_autoencoder

__all__ = ["DAGMM"]


@dataclass(frozen=True)
class DAGMM:
    """Autoencoding mixture recipe.

    Args:
        latent_dim: Length d of the bottleneck vector.
        channels: Output channels of the encoder's convolutions, mirrored by the decoder.
        components: Gaussians in the mixture.
        hidden: Units of the estimation network's hidden layer.
        dropout: Share of them silenced in training.
        lambda1: Weight of the mean energy.
        lambda2: Weight of the sum of inverse variances, which keeps Gaussians from collapsing.
        floor: Added to every variance, as scikit-learn's reg_covar.
        epochs: Passes over the training normals; the last weights are kept.
        batch_size: Images per step.
        learning_rate: Adam's step size.
    """

    latent_dim: int = 8
    channels: tuple[int, ...] = (32, 64, 128)
    components: int = 2
    hidden: int = 10
    dropout: float = 0.5
    lambda1: float = 0.1
    lambda2: float = 0.005
    floor: float = 1e-6
    epochs: int = 1000
    batch_size: int = 128
    learning_rate: float = 1e-4

    quick: ClassVar[Mapping[str, Any]] = {"epochs": 20, "batch_size": 64, "learning_rate": 1e-3}

    def __post_init__(self) -> None:
        check_widths("dagmm", self.latent_dim, self.channels)
        limits = {"components": 1, "hidden": 1, "lambda1": 0, "lambda2": 0, "floor": 1e-12}
        for name, least in limits.items():
            if not least <= getattr(self, name) < float("inf"):
                raise OptionError(f"dagmm --{name}", getattr(self, name), f"a number of at least {least}")
        if not 0 <= self.dropout < 1:
            raise OptionError("dagmm --dropout", self.dropout, "a share from 0 to below 1")
        assert self.schedule

    @property
    def schedule(self) -> Schedule:
        """How long and in which portions; a last batch too small for a covariance joins the one before it."""
        smallest = min(self.batch_size, self.latent_dim + 3)
        return Schedule(self.epochs, self.batch_size, self.learning_rate, smallest_batch=smallest)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _EnergyDetector:
        """Train autoencoder and estimation network together, then take the mixture of all normals.

        Raises:
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        with run.seeded():
            network = self._network(normals.shape[1:])

        def loss(images: Tensor) -> Tensor:
            return self.objective(network, images)

        detector = _EnergyDetector(fit_autoencoder(self, network, loss, AutoencoderDetector, normals, run, None))
        detector.settle(normals, self.floor)
        return detector

    def restore(self, state: State) -> _EnergyDetector:
        """Rebuild the fitted detector."""
        network = self._network(image_shape(state))
        return _EnergyDetector(AutoencoderDetector.restored(self, network, state))

    def objective(self, network: MixtureAutoencoder, images: Float[Tensor, "n c h w"]) -> Float[Tensor, ""]:
        """Return the batch's loss."""
        features, reconstruction = network.described(images)
        mixture = Mixture.estimated(features, network.memberships(features), self.floor)
        error = (reconstruction - images).square().sum((1, 2, 3)).mean()
        return error + self.lambda1 * mixture.energy(features).mean() + self.lambda2 * mixture.degeneracy()

    def _network(self, image_shape: Sequence[int]) -> MixtureAutoencoder:
        return MixtureAutoencoder(
            image_shape, self.channels, self.latent_dim, self.components, self.hidden, self.dropout
        )


class _EnergyDetector(CodeDetector):
    """Fitted: scored by the energy under the mixture of the training normals."""

    def __init__(self, encoder: AutoencoderDetector) -> None:
        super().__init__(encoder)
        self.network = cast(MixtureAutoencoder, encoder.network)

    def settle(self, normals: Images, floor: float) -> None:
        """Take the mixture of all normals, in evaluation mode."""
        features = torch.cat([self._apply(self.network.features, batch) for batch in batches(normals)])
        with torch.no_grad():
            memberships = self.network.memberships(features.to(self.encoder.device))
        self.network.remember(Mixture.estimated(features.to(self.encoder.device), memberships, floor))

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the energy."""
        network = self.network
        return self._apply(lambda x: network.mixture.energy(network.features(x)).float(), images)

    def reconstruct(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the reconstructions in (0, 1)."""
        return self.encoder.reconstruct(images)
