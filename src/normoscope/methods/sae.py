"""A sparse autoencoder: a penalty keeps most of the code silent, so it must say much with little.

    image -> encoder (3x3 convolutions, stride 2) -> code (d) -> decoder (mirror) -> reconstruction
                                                       |          squared residual -> map -> mean -> score
                                                       +-> penalty        loss = squared error + weight penalty

Reference: Gao, Liu, Arefan, Panigrahy and Wu, Constrained Deep One-Class Feature Learning For Classifying Imbalanced
Medical Images, 2020; its SAE baseline, after Glorot, Bordes and Bengio, Deep sparse rectifier neural networks, AISTATS
2011.

differs from the paper in: neither penalty nor weight is given there. The default is Glorot's absolute sum, on the
linear code of the shared network, at a customary 1e-5; beside a squared error summed over pixels that is weak, and
the method then is close to `cae`. `kl` is the other usual penalty: it makes the code a sigmoid and pulls each unit's
mean activation over the batch to `activity`. The learning rate 1e-4 is one of the two the paper tried by looking at
test results (an oracle's choice); which of them won is not said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError
from ..nn.autoencoder import ConvAutoencoder, check_widths
from ..nn.detector import AutoencoderDetector, image_shape
from ..training import Schedule
from ..types import Images, Run, State
from ._fitting import fit_autoencoder

__all__ = ["SAE", "Penalty", "SigmoidCode"]

_EDGE = 1e-6


class Penalty(Enum):
    """What a code pays for not being sparse."""

    L1 = "l1"
    KL = "kl"

    @property
    def network(self) -> type[ConvAutoencoder]:
        """The autoencoder whose code it can be asked of."""
        return SigmoidCode if self is Penalty.KL else ConvAutoencoder

    def __call__(self, code: Float[Tensor, "n d"], activity: float) -> Float[Tensor, ""]:
        """Return the penalty summed over units: mean |code|, or KL(activity || mean code) of Bernoulli variables."""
        if self is Penalty.L1:
            return code.abs().mean(0).sum()
        mean = code.mean(0).clamp(_EDGE, 1 - _EDGE)
        return (
            torch.xlogy(activity, activity / mean).sum() + torch.xlogy(1 - activity, (1 - activity) / (1 - mean)).sum()
        )


@dataclass(frozen=True)
class SAE:
    """Sparse autoencoder recipe.

    Args:
        latent_dim: Length of the code.
        channels: Output channels of the encoder's convolutions, mirrored by the decoder.
        penalty: l1 (absolute sum of a linear code) or kl (mean activations of a sigmoid code near `activity`).
        weight: Of the penalty, against the squared error summed over pixels.
        activity: Wished mean activation of a unit, read by kl alone.
        epochs: Passes over the training normals.
        batch_size: Images per step.
        learning_rate: Adam's step size.
        patience: Epochs to wait for a lower loss on the select normals before stopping; none never stops.
    """

    latent_dim: int = 256
    channels: tuple[int, ...] = (32, 64, 128)
    penalty: Penalty = Penalty.L1
    weight: float = 1e-5
    activity: float = 0.05
    epochs: int = 1000
    batch_size: int = 128
    learning_rate: float = 1e-4
    patience: int | None = None

    quick: ClassVar[Mapping[str, Any]] = {"epochs": 20, "batch_size": 32, "learning_rate": 1e-3, "patience": 10}

    def __post_init__(self) -> None:
        check_widths("sae", self.latent_dim, self.channels)
        if not 0 <= self.weight < float("inf"):
            raise OptionError("sae --weight", self.weight, "a number of at least 0")
        if not 0 < self.activity < 1:
            raise OptionError("sae --activity", self.activity, "a share between 0 and 1")
        assert self.schedule

    @property
    def schedule(self) -> Schedule:
        """How long and in which portions."""
        return Schedule(self.epochs, self.batch_size, self.learning_rate, self.patience)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> AutoencoderDetector:
        """Minimise the squared reconstruction error and the penalty of the normals.

        Raises:
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        with run.seeded():
            network = self._network(normals.shape[1:])

        def loss(images: Tensor) -> Tensor:
            return self.objective(network, images)

        return fit_autoencoder(self, network, loss, AutoencoderDetector, normals, run, select)

    def restore(self, state: State) -> AutoencoderDetector:
        """Rebuild the fitted detector."""
        return AutoencoderDetector.restored(self, self._network(image_shape(state)), state)

    def objective(self, network: ConvAutoencoder, images: Float[Tensor, "n c h w"]) -> Float[Tensor, ""]:
        """Return the batch's mean squared error, summed over pixels, plus the weighted penalty of its codes."""
        code = network.encode(images)
        error = (network.decode(code) - images).square().sum((1, 2, 3)).mean()
        return error + self.weight * self.penalty(code, self.activity)

    def _network(self, image_shape: Sequence[int]) -> ConvAutoencoder:
        return self.penalty.network(image_shape, self.channels, self.latent_dim)


class SigmoidCode(ConvAutoencoder):
    """The same autoencoder with a code in (0, 1), whose mean can be read as how often a unit is on."""

    def encode(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the codes in (0, 1), float32."""
        return super().encode(images).sigmoid()
