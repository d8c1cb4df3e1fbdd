"""A generator of normal images and an encoder into it; what the pair cannot redraw is anomalous.

    stage gan:      z -> generator -> image;   image -> critic -> how real (Wasserstein distance, slopes held at one)
    stage encoder:  image -> encoder -> z -> generator (fixed) -> reconstruction
                   loss and score: mean (x - G(E(x)))^2 + kappa mean (f(x) - f(G(E(x))))^2,   f: critic's features

Reference: Schlegl, Seebock, Waldstein, Langs and Schmidt-Erfurth, f-AnoGAN: Fast unsupervised anomaly detection with
generative adversarial networks, Medical Image Analysis 2019; its izi_f encoder.

differs from the paper in: plain convolutions, as in `anogan`, stand for its residual blocks (layer normalisation in the
critic, batch normalisation elsewhere, as there). The critic's steps between two of the generator's see one batch of
images with new noise, not a batch each; so an epoch holds as many generator steps as batches. The encoder is trained
by Adam (there RMSprop) and ends linear, where the benchmark has a tanh. It saw a million patches; the epochs here are
those of Cai et al., MedIAnomaly, 2025, for whole images, counted in critic steps. The map is the score's pixel part,
the paper's its root.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError
from ..nn.detector import AutoencoderDetector, image_shape
from ..nn.gan import resting, signed
from ..nn.wasserstein import WassersteinGAN, gradient_penalty
from ..training import History, Phase, Schedule, train
from ..types import Images, Run, State

__all__ = ["FAnoGAN"]


@dataclass(frozen=True)
class FAnoGAN:
    """f-AnoGAN recipe.

    Args:
        latent_dim: Length of the latent vector z, standard normal.
        width: Channels of the critic's first convolution; deeper ones have up to eight times as many.
        kappa: Weight of the feature residual against the pixels'.
        penalty: Weight of the critic's gradient penalty.
        critic_steps: Steps of the critic for each of the generator.
        epochs: Passes over the training normals in stage gan.
        encoder_epochs: Passes over them in stage encoder.
        batch_size: Images per step.
        learning_rate: Adam's step size of generator and critic, whose decay rates are 0 and 0.9.
        encoder_rate: Adam's step size of the encoder.
        patience: Encoder epochs to wait for a lower loss on the select normals before stopping; none never stops.
    """

    latent_dim: int = 128
    width: int = 64
    kappa: float = 1.0
    penalty: float = 10.0
    critic_steps: int = 5
    epochs: int = 600
    encoder_epochs: int = 300
    batch_size: int = 64
    learning_rate: float = 1e-4
    encoder_rate: float = 5e-5
    patience: int | None = None

    quick: ClassVar[Mapping[str, Any]] = {
        "width": 16,
        "critic_steps": 1,
        "epochs": 20,
        "encoder_epochs": 25,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "encoder_rate": 1e-3,
        "patience": 10,
    }

    def __post_init__(self) -> None:
        for option in ("latent_dim", "width", "critic_steps"):
            if getattr(self, option) < 1:
                raise OptionError(f"f_anogan --{option.replace('_', '-')}", getattr(self, option), "at least 1")
        for option in ("kappa", "penalty"):
            if not 0 <= getattr(self, option) < float("inf"):
                raise OptionError(f"f_anogan --{option}", getattr(self, option), "a number of at least 0")
        assert self._adversarial
        assert self._mapping

    @property
    def _adversarial(self) -> Schedule:
        return Schedule(self.epochs, self.batch_size, self.learning_rate, smallest_batch=2)

    @property
    def _mapping(self) -> Schedule:
        return Schedule(self.encoder_epochs, self.batch_size, self.encoder_rate, self.patience, smallest_batch=2)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _Detector:
        """Train generator and critic, then the encoder into the fixed generator.

        Raises:
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        with run.seeded():
            network = self._network(normals.shape[1:])
        history = History()

        def redraw(images: Tensor) -> Tensor:
            network.generator.eval()  # the encoder learns to use the generator as scoring will
            with resting(network.generator, network.critic):
                return network.discrepancy(images, self.kappa).mean()

        def stage(name: str, phases: list[Phase], schedule: Schedule, select: Images | None = None) -> None:
            for _ in train(network, phases, normals, schedule, run, history, recipe=self, stage=name, select=select):
                pass

        stage("gan", self.players(network), self._adversarial)
        stage("encoder", [Phase(tuple(network.encoder.parameters()), redraw)], self._mapping, select)
        detector = _Detector(self, network, run.torch_device, run.autocast_dtype, history)
        history.warnings += detector.collapse_warnings(normals)
        return detector

    def restore(self, state: State) -> _Detector:
        """Rebuild the fitted detector."""
        return _Detector.restored(self, self._network(image_shape(state)), state)

    def players(self, network: WassersteinGAN) -> list[Phase]:
        """Return the critic's phase, as often as it steps, and the generator's."""

        def judge(images: Tensor) -> Tensor:
            real = signed(images)
            with resting(network.generator):
                fake = network.generator(network.noise(len(images)))
            distance = network.critic(real).mean() - network.critic(fake).mean()
            return self.penalty * gradient_penalty(network.critic, real, fake) - distance

        def deceive(images: Tensor) -> Tensor:
            with resting(network.critic):
                return -network.critic(network.generator(network.noise(len(images)))).mean()

        critic = Phase(tuple(network.critic.parameters()), judge, betas=(0.0, 0.9))
        return [critic] * self.critic_steps + [Phase(tuple(network.generator.parameters()), deceive, betas=(0.0, 0.9))]

    def _network(self, image_shape: Sequence[int]) -> WassersteinGAN:
        return WassersteinGAN(image_shape, self.width, self.latent_dim)


class _Detector(AutoencoderDetector):
    """Fitted: scored by the loss its encoder was trained with."""

    method: FAnoGAN
    network: WassersteinGAN

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the residual of pixels plus kappa times that of features."""
        return self._apply(lambda x: self.network.discrepancy(x, self.method.kappa), images)

    def score_terms(self, images: Float[Tensor, "n c h w"]) -> Mapping[str, Float[Tensor, " n"]]:
        """Return the residual of pixels, and kappa times that of features."""
        pixels, features = self._apply(lambda x: torch.stack(self.network.residuals(x), 1), images).unbind(1)
        return {
            "residual of pixels": pixels,
            "weighted residual of the critic's features": self.method.kappa * features,
        }
