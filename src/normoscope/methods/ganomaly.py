"""An image, its reconstruction, and the latent vectors of both; anomalous images do not come back to where they were.

    image x -> encoder -> z -> decoder -> reconstruction x' -> second encoder -> z'         score: mean (z - z')^2
        discriminator's features f: w_adv mean (f(x) - f(x'))^2 + w_rec mean (x - x')^2 + w_enc mean (z - z')^2

Reference: Akcay, Atapour-Abarghouei and Breckon, GANomaly: Semi-Supervised Anomaly Detection via Adversarial Training,
ACCV 2018; losses, weights and settings of Cai et al., MedIAnomaly, Medical Image Analysis 2025.

differs from the paper in: squared pixel residual instead of the absolute one, as in the benchmark, whose autoencoder is
the backbone. The discriminator is DCGAN's (5x5 convolutions; features before its last layer); its batch normalisation
keeps the running statistics of its own steps alone. It steps before the generator, not after. The public code
normalises each test image by itself; here scoring uses the running statistics. It also draws the discriminator anew
where its loss falls below 1e-5; here it goes on. The map is the pixel residual.
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
from ..nn.gan import ConvEncoder, resting, signed, verdict_loss
from ..training import History, Phase, Schedule, train
from ..types import Images, Run, State

__all__ = ["GANomaly", "TwiceEncoded"]


@dataclass(frozen=True)
class GANomaly:
    """GANomaly recipe.

    Args:
        latent_dim: Length of the latent vectors z and z'.
        adversarial_weight: Weight of the discriminator's feature residual.
        pixel_weight: Weight of the squared residual, on the scale [-1, 1].
        latent_weight: Weight of the squared difference of the latent vectors.
        width: Channels of every first convolution; deeper ones have four (discriminator: eight) times as many.
        hidden: Units between the grid and the latent vector.
        epochs: Passes over the training normals; the last weights are kept.
        batch_size: Images per step.
        learning_rate: Adam's step size of both players.
        patience: Epochs to wait for a lower pixel and latent loss on the select normals; none never stops.
    """

    latent_dim: int = 16
    adversarial_weight: float = 1.0
    pixel_weight: float = 50.0
    latent_weight: float = 1.0
    width: int = 16
    hidden: int = 1024
    epochs: int = 250
    batch_size: int = 64
    learning_rate: float = 1e-3
    patience: int | None = None

    quick: ClassVar[Mapping[str, Any]] = {"epochs": 20, "batch_size": 32}

    def __post_init__(self) -> None:
        check_sizes("ganomaly", self.latent_dim, self.width, self.hidden)
        for option in ("adversarial_weight", "pixel_weight", "latent_weight"):
            if not 0 <= getattr(self, option) < float("inf"):
                name = f"ganomaly --{option.replace('_', '-')}"
                raise OptionError(name, getattr(self, option), "a number of at least 0")
        assert self.schedule

    @property
    def schedule(self) -> Schedule:
        """How long and in which portions."""
        return Schedule(self.epochs, self.batch_size, self.learning_rate, self.patience, smallest_batch=2)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _Detector:
        """Train discriminator and generator in turn.

        Raises:
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        with run.seeded():
            network = self._network(normals.shape[1:])
        history, phases = History(), self.players(network)

        def watch(images: Tensor) -> Tensor:
            # what the discriminator calls similar changes from epoch to epoch
            return self.faithful(images, *network.again(images)).mean()

        for _ in train(network, phases, normals, self.schedule, run, history, recipe=self, select=select, watch=watch):
            pass
        detector = _Detector(self, network, run.torch_device, run.autocast_dtype, history)
        history.warnings += detector.collapse_warnings(normals)
        return detector

    def restore(self, state: State) -> _Detector:
        """Rebuild the fitted detector."""
        return _Detector.restored(self, self._network(image_shape(state)), state)

    def players(self, network: TwiceEncoded) -> list[Phase]:
        """Return the discriminator's phase and the generator's."""
        discriminator = network.discriminator
        generator = [network.down, network.to_latent, network.from_latent, network.up, network.second]

        def judge(images: Tensor) -> Tensor:
            with resting(*generator):
                made = network(images)
            real, fake = discriminator(signed(images)), discriminator(signed(made))
            return (verdict_loss(real, True) + verdict_loss(fake, False)) / 2

        def deceive(images: Tensor) -> Tensor:
            latent, made, latent_again = network.again(images)
            with resting(discriminator):
                seen = discriminator.features(signed(images)) - discriminator.features(signed(made))
            faithful = self.faithful(images, latent, made, latent_again).mean()
            return self.adversarial_weight * seen.square().mean() + faithful

        moved = [parameter for part in generator for parameter in part.parameters()]
        return [Phase(tuple(discriminator.parameters()), judge), Phase(tuple(moved), deceive)]

    def faithful(self, images: Tensor, latent: Tensor, made: Tensor, latent_again: Tensor) -> Float[Tensor, " n"]:
        """Return each image's weighted pixel and latent losses."""
        pixels = (2 * (made - images)).square().mean((1, 2, 3))
        return self.pixel_weight * pixels + self.latent_weight * (latent - latent_again).square().mean(1)

    def _network(self, image_shape: Sequence[int]) -> TwiceEncoded:
        return TwiceEncoded(image_shape, self.latent_dim, self.width, self.hidden)


class TwiceEncoded(BenchmarkAutoencoder):
    """The benchmark autoencoder, a second encoder for what it redraws, and a discriminator."""

    def __init__(self, image_shape: Sequence[int], latent_dim: int, width: int, hidden: int) -> None:
        super().__init__(image_shape, latent_dim, width, hidden)
        self.second = BenchmarkAutoencoder(image_shape, latent_dim, width, hidden)
        del self.second.from_latent, self.second.up
        self.discriminator = ConvEncoder(image_shape, width, 1)

    def again(
        self, images: Float[Tensor, "n c h w"]
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n c h w"], Float[Tensor, "n d"]]:
        """Return latent vector, reconstruction, and the reconstruction's latent vector."""
        latent = self.encode(images)
        made = self.decode(latent)
        return latent, made, self.second.encode(made)


class _Detector(AutoencoderDetector):
    """Fitted: scored by how far the latent vector moves."""

    method: GANomaly
    network: TwiceEncoded

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the mean squared difference of the two latent vectors."""

        def moved(chunk: Tensor) -> Tensor:
            latent, _, latent_again = self.network.again(chunk)
            return (latent - latent_again).square().mean(1)

        return self._apply(moved, images)
