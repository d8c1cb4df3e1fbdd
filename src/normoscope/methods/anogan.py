"""A generator of normal images; the nearest image it can make, found by search, shows what is anomalous.

    training:  z -> generator -> image;   image -> discriminator -> real or made up
    scoring:   z <- Adam on (1 - weight) sum |x - G(z)| + weight sum |f(x) - f(G(z))|, the score at the last step
                                   residual -> map               f: what the discriminator's last layer sees

Reference: Schlegl, Seebock, Waldstein, Schmidt-Erfurth and Langs, Unsupervised Anomaly Detection with Generative
Adversarial Networks to Guide Marker Discovery, IPMI 2017 (AnoGAN); with augmentation as in Gao et al., ConOCC.

differs from the paper in: it saw a million patches in 20 epochs; for whole images, epochs and batch are ConOCC's, as is
augmentation, whose kind and size ConOCC does not say (here shift, turn and scale, no mirroring). Every search starts
from one saved z instead of a random one, so a score can be repeated; its step size is ours. The discriminator's
batch normalisation keeps running statistics of its own training steps alone, and scoring uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError
from ..nn.augmentation import moved
from ..nn.collapse import collapse_warnings
from ..nn.detector import AutoencoderDetector, image_shape
from ..nn.gan import resting, signed, verdict_loss
from ..nn.latent_search import SearchedGAN
from ..training import History, Phase, Schedule, train
from ..types import Images, Run, State

__all__ = ["AnoGAN"]


@dataclass(frozen=True)
class AnoGAN:
    """AnoGAN recipe.

    Args:
        latent_dim: Length of the latent vector z, uniform in [-1, 1].
        width: Channels of the discriminator's first convolution; deeper ones have up to eight times as many.
        augmentation: Largest random shift (share of the side), turn (radians) and change of scale in training; 0: none.
        feature_weight: Weight lambda of the feature residual in the search and the score; the pixels have the rest.
        search_steps: Steps of the search for an image's z.
        search_rate: Adam's step size in the search.
        epochs: Passes over the training normals.
        batch_size: Images per step.
        learning_rate: Adam's step size of both players, whose first decay rate is 0.5.
    """

    latent_dim: int = 100
    width: int = 64
    augmentation: float = 0.05
    feature_weight: float = 0.1
    search_steps: int = 500
    search_rate: float = 0.02
    epochs: int = 1000
    batch_size: int = 128
    learning_rate: float = 2e-4

    quick: ClassVar[Mapping[str, Any]] = {
        "width": 16,
        "search_steps": 60,
        "search_rate": 0.1,
        "epochs": 20,
        "batch_size": 16,
        "learning_rate": 1e-3,
    }

    def __post_init__(self) -> None:
        for option in ("latent_dim", "width", "search_steps"):
            if getattr(self, option) < 1:
                raise OptionError(f"anogan --{option.replace('_', '-')}", getattr(self, option), "at least 1")
        for option in ("augmentation", "feature_weight"):
            if not 0 <= getattr(self, option) <= 1:
                raise OptionError(f"anogan --{option.replace('_', '-')}", getattr(self, option), "a number from 0 to 1")
        if not 0 < self.search_rate < float("inf"):
            raise OptionError("anogan --search-rate", self.search_rate, "a number above 0")
        assert self.schedule

    @property
    def schedule(self) -> Schedule:
        """How long and in which portions."""
        return Schedule(self.epochs, self.batch_size, self.learning_rate, smallest_batch=2)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _Detector:
        """Train the two players on the normals; `select` is not used, for no loss of theirs tells when to stop.

        Raises:
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        with run.seeded():
            network = self._network(normals.shape[1:])
        history, players = History(), self.players(network)
        for _ in train(network, players, normals, self.schedule, run, history, recipe=self):
            pass
        detector = _Detector(self, network, run.torch_device, run.autocast_dtype, history).to(run)
        with run.seeded():
            history.warnings += detector.collapse_warnings(normals)
        return detector

    def restore(self, state: State) -> _Detector:
        """Rebuild the fitted detector."""
        return _Detector.restored(self, self._network(image_shape(state)), state)

    def players(self, network: SearchedGAN) -> list[Phase]:
        """Return the discriminator's phase and the generator's."""

        def judge(images: Tensor) -> Tensor:
            with resting(network.generator):
                fake = network.generator(network.noise(len(images)))
            real = signed(moved(images, self.augmentation))
            return verdict_loss(network.discriminator(real), True) + verdict_loss(network.discriminator(fake), False)

        def deceive(images: Tensor) -> Tensor:
            with resting(network.discriminator):
                return verdict_loss(network.discriminator(network.generator(network.noise(len(images)))), True)

        moving = ((network.discriminator, judge), (network.generator, deceive))
        return [Phase(tuple(player.parameters()), loss, betas=(0.5, 0.999)) for player, loss in moving]

    def _network(self, image_shape: Sequence[int]) -> SearchedGAN:
        return SearchedGAN(
            image_shape,
            self.width,
            self.latent_dim,
            feature_weight=self.feature_weight,
            steps=self.search_steps,
            rate=self.search_rate,
        )


class _Detector(AutoencoderDetector):
    """Fitted: scored by the discrepancy that the search ends with."""

    method: AnoGAN
    network: SearchedGAN

    def to(self, run: Run) -> Self:
        """Move to the run's device; show searches where it shows progress."""
        self.network.progress = run.progress
        return super().to(run)

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the discrepancy at the z found."""
        return self._apply(lambda x: self.network.discrepancy(x)(self.network.encode(x)).detach(), images)

    def pixel_scores(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
        """Return the absolute residual, the mean over channels."""
        residual: Tensor = self.network(images) - images
        return residual.abs().mean(1).detach()

    def collapse_warnings(self, normals: Images) -> list[str]:
        """Say whether random latent vectors all give the same image; a search per image would take too long."""
        images = normals.batch(np.arange(min(len(normals), 256)))
        latent = self.network.noise(len(images))
        with torch.no_grad():
            return collapse_warnings(images, self.network.decode(latent).cpu(), latent.cpu())

    def _apply(self, function: Callable[[Tensor], Tensor], images: Tensor, *, gradients: bool = True) -> Tensor:
        return super()._apply(function, images, gradients=gradients)
