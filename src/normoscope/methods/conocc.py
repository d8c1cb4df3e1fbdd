"""An autoencoder whose latent vectors are pulled to one centre; a compact yet descriptive picture of normality.

    image -> encoder -> latent z (n) -> decoder -> reconstruction
                          |                          squared residual: L_AE (eq. 2), the score (eq. 6)
                          +-> ||z - mu||^2: L_con (eq. 1)           L = L_AE + gamma L_con (eq. 3)

The decoder moves by L_AE alone (eq. 4), the encoder by both (eq. 5). The first T epochs train the autoencoder
alone; then mu becomes the mean latent vector of all training normals, and again after every T epochs.

Reference: Gao, Liu, Arefan, Panigrahy and Wu, Constrained Deep One-Class Feature Learning For Classifying Imbalanced
Medical Images, 2020.

differs from the paper in: the network is read off its figure (three stride-2 convolutions 32-64-128 with ReLU, a
linear bottleneck, the mirror, a sigmoid). Section 2.2 trains both losses together, section 2.5 "the constraining
layer after the autoencoder each T epochs"; `schedule` offers both readings. Adam starts afresh after the warm-up.
The score is the mean over pixels, eq. 6 the sum: the same order. The paper's majority class is the tumour on two of
its three sets; here the user names the normal class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError
from ..nn.autoencoder import check_widths
from ..nn.centred import Alternation, CentredAutoencoder, Reduction
from ..nn.detector import AutoencoderDetector, image_shape
from ..training import Epoch, History, Phase, Schedule, train
from ..types import Images, Run, State

__all__ = ["ConOCC", "Score"]


class Score(Enum):
    """What makes an image anomalous."""

    RECONSTRUCTION = "reconstruction"
    DISTANCE = "distance"
    BOTH = "both"


@dataclass(frozen=True)
class ConOCC:
    """Constrained one-class classification recipe.

    Args:
        latent_dim: Length n of the bottleneck vector.
        channels: Output channels of the encoder's convolutions, mirrored by the decoder.
        gamma: Weight of the constraint in eq. 3.
        update_interval: T: epochs of warm-up, and epochs between two updates of the centre.
        reduction: sum over pixels and latent dimensions (eqs. 1 and 2 as written) or mean over both.
        schedule: joint (eq. 3) or alternate (section 2.5: T epochs autoencoder, 1 epoch constraint).
        score: reconstruction (eq. 6, the mean over pixels), distance to the centre, or both (eq. 3).
        epochs: Passes over the training normals, warm-up included.
        batch_size: Images per step.
        learning_rate: Adam's step size.
        patience: Epochs after the warm-up to wait for a lower joint loss on the select normals; none never stops.
    """

    latent_dim: int = 256
    channels: tuple[int, ...] = (32, 64, 128)
    gamma: float = 10.0
    update_interval: int = 60
    reduction: Reduction = Reduction.SUM
    schedule: Alternation = Alternation.JOINT
    score: Score = Score.RECONSTRUCTION
    epochs: int = 1000
    batch_size: int = 128
    learning_rate: float = 1e-3
    patience: int | None = None

    quick: ClassVar[Mapping[str, Any]] = {"epochs": 20, "batch_size": 32, "update_interval": 4, "patience": 10}

    def __post_init__(self) -> None:
        check_widths("conocc", self.latent_dim, self.channels)
        if not 0 <= self.gamma < float("inf"):
            raise OptionError("conocc --gamma", self.gamma, "a number of at least 0")
        if not 1 <= self.update_interval < self.epochs:
            expected = f"1 to {self.epochs - 1}, fewer than --epochs, for the constraint starts after the warm-up"
            raise OptionError("conocc --update-interval", self.update_interval, expected)
        assert self._warm_up
        assert self._constrained

    @property
    def _warm_up(self) -> Schedule:
        return Schedule(self.update_interval, self.batch_size, self.learning_rate)

    @property
    def _constrained(self) -> Schedule:
        return Schedule(self.epochs - self.update_interval, self.batch_size, self.learning_rate, self.patience)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _CentredDetector:
        """Warm up the autoencoder, then train it under the constraint.

        Raises:
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        with run.seeded():
            network = self._network(normals.shape[1:])
        history, interval = History(), self.update_interval

        def autoencoding(images: Tensor) -> Tensor:
            return self.descriptive(network(images), images).mean()

        def joint(images: Tensor) -> Tensor:
            return self.objective(network, images).mean()

        def scheduled(images: Tensor) -> Tensor:
            # The history counts epochs before a resume too, so it knows whose turn it is.
            number = len(history.epochs) - interval + 1
            if self.schedule.constrains_only(number, interval):
                return self.gamma * self.compact(network, network.encode(images)).mean()
            return autoencoding(images) if self.schedule.reconstructs_only(number, interval) else joint(images)

        def stage(name: str, loss: Callable[[Tensor], Tensor], schedule: Schedule) -> Iterator[Epoch]:
            phases = [Phase(tuple(network.parameters()), loss)]
            watch = None if loss is autoencoding else joint
            return train(
                network, phases, normals, schedule, run, history, recipe=self, stage=name, select=select, watch=watch
            )

        for _ in stage("warm-up", autoencoding, self._warm_up):
            pass
        network.center_on(normals, run)
        for epoch in stage("constrained", scheduled, self._constrained):
            if epoch.number % self.schedule.period(interval) == 0:
                network.center_on(normals, run)
        detector = _CentredDetector(self, network, run.torch_device, run.autocast_dtype, history)
        history.warnings += detector.collapse_warnings(normals)
        return detector

    def restore(self, state: State) -> _CentredDetector:
        """Rebuild the fitted detector."""
        return _CentredDetector.restored(self, self._network(image_shape(state)), state)

    def descriptive(self, reconstruction: Tensor, images: Tensor) -> Float[Tensor, " n"]:
        """Return L_AE of each image (eq. 2)."""
        return self.reduction((reconstruction - images).square())

    def compact(self, network: CentredAutoencoder, latent: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Return L_con of each latent vector (eq. 1)."""
        return self.reduction((latent - network.center).square())

    def objective(self, network: CentredAutoencoder, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return L_AE + gamma L_con of each image (eq. 3)."""
        latent = network.encode(images)
        return self.descriptive(network.decode(latent), images) + self.gamma * self.compact(network, latent)

    def _network(self, image_shape: Sequence[int]) -> CentredAutoencoder:
        return CentredAutoencoder(image_shape, self.channels, self.latent_dim)


class _CentredDetector(AutoencoderDetector):
    """Fitted: the autoencoder and its centre."""

    method: ConOCC
    network: CentredAutoencoder

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return what the recipe's `score` names."""
        if self.method.score is Score.DISTANCE:
            return self._apply(lambda x: self.method.compact(self.network, self.network.encode(x)), images)
        if self.method.score is Score.BOTH:
            return self._apply(lambda x: self.method.objective(self.network, x), images)
        return super().anomaly_score(images)

    def score_terms(self, images: Float[Tensor, "n c h w"]) -> Mapping[str, Float[Tensor, " n"]]:
        """Return reconstruction error and weighted distance where the score is both, else the one it is."""
        names = {
            Score.RECONSTRUCTION: "reconstruction error",
            Score.DISTANCE: "squared distance to the centre",
        }
        if self.method.score is not Score.BOTH:
            return {names[self.method.score]: self.anomaly_score(images)}

        def terms(chunk: Tensor) -> Tensor:
            latent = self.network.encode(chunk)
            error = self.method.descriptive(self.network.decode(latent), chunk)
            return torch.stack([error, self.method.gamma * self.method.compact(self.network, latent)], 1)

        return dict(zip(names.values(), self._apply(terms, images).unbind(1), strict=True))
