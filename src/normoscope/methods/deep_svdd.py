"""An encoder that draws normal images into one small ball; images that land far from its centre are anomalous.

    stage 1:  image -> encoder -> z (d) -> decoder -> reconstruction        squared error; the decoder is then dropped
    between:  centre c = mean z of the normals, coordinates within 0.1 of zero moved to -0.1 or 0.1
    stage 2:  image -> encoder -> z -> |z - c|^2 -> score                   one-class: mean |z - c|^2
                                                   (- R^2)     soft boundary: R^2 + mean max(0, |z - c|^2 - R^2) / nu

Without biases the one point that all images can fall into is zero, and c is kept away from it.

Reference: Ruff et al., Deep One-Class Classification, ICML 2018; settings of the authors' public code; as a baseline
on the encoder of ConOCC in Gao et al. (ConOCC), section 3.1.

differs from the paper in: the encoder is ConOCC's without its biases, so no leaky ReLU, pooling or batch normalisation.
After `milestone` epochs of either stage the step size is a tenth, and Adam starts afresh. R is solved on all normals
every `update_interval` epochs, as the paper says (its code: on every batch), and once more at the end; until the
first time it is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError
from ..nn.autoencoder import check_widths
from ..nn.ball import BallDetector, BallEncoder
from ..nn.detector import AutoencoderDetector, image_shape
from ..training import Epoch, History, Phase, Schedule, train
from ..types import Images, Run, State

__all__ = ["DeepSVDD", "Objective"]


class Objective(Enum):
    """What stage 2 minimises."""

    ONE_CLASS = "one-class"
    SOFT_BOUNDARY = "soft-boundary"


@dataclass(frozen=True)
class DeepSVDD:
    """Deep support vector data description recipe.

    Args:
        latent_dim: Length of z.
        channels: Output channels of the encoder's convolutions.
        objective: one-class (all normals are drawn in) or soft-boundary (a share nu may stay outside).
        nu: Share of training normals outside the ball; read by soft-boundary alone.
        update_interval: Epochs between two solutions for the radius; read by soft-boundary alone.
        pretrain_epochs: Passes of the autoencoder; 0 leaves the encoder as drawn.
        epochs: Passes of stage 2.
        milestone: Epochs of either stage after which the step size is a tenth.
        batch_size: Images per step.
        learning_rate: Adam's step size.
        pretrain_weight_decay: Adam's L2 penalty in stage 1.
        weight_decay: Adam's L2 penalty in stage 2.
    """

    latent_dim: int = 256
    channels: tuple[int, ...] = (32, 64, 128)
    objective: Objective = Objective.ONE_CLASS
    nu: float = 0.1
    update_interval: int = 5
    pretrain_epochs: int = 150
    epochs: int = 150
    milestone: int = 50
    batch_size: int = 200
    learning_rate: float = 1e-4
    pretrain_weight_decay: float = 5e-4
    weight_decay: float = 5e-7

    quick: ClassVar[Mapping[str, Any]] = {
        "epochs": 20,
        "pretrain_epochs": 10,
        "milestone": 15,
        "batch_size": 32,
        "learning_rate": 1e-3,
    }

    def __post_init__(self) -> None:
        check_widths("deep_svdd", self.latent_dim, self.channels)
        if not 0 < self.nu <= 1:
            raise OptionError("deep_svdd --nu", self.nu, "a share in (0, 1]")
        limits = {"update-interval": 1, "pretrain-epochs": 0, "epochs": 1, "milestone": 1}
        for name, least in {**limits, "pretrain-weight-decay": 0, "weight-decay": 0}.items():
            value = getattr(self, name.replace("-", "_"))
            if not least <= value < float("inf"):
                raise OptionError(f"deep_svdd --{name}", value, f"a number of at least {least}")
        assert self.schedules("hypersphere", self.epochs)

    def schedules(self, stage: str, epochs: int) -> dict[str, Schedule]:
        """Return the parts of a stage: up to the milestone, and the rest in a tenth of the step size."""
        first = min(epochs, self.milestone)
        parts = {stage: (first, self.learning_rate), f"{stage}-fine": (epochs - first, self.learning_rate / 10)}
        return {name: Schedule(count, self.batch_size, rate) for name, (count, rate) in parts.items() if count}

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> BallDetector:
        """Pretrain an autoencoder, fix the centre, then draw the normals towards it.

        Raises:
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        with run.seeded():
            network = self._network(normals.shape[1:])
        history, soft = History(), self.objective is Objective.SOFT_BOUNDARY

        def reconstructing(images: Tensor) -> Tensor:
            residual: Tensor = network(images) - images
            return residual.square().sum((1, 2, 3)).mean()

        def enclosing(images: Tensor) -> Tensor:
            return self.loss(network.squared_distances(images), network.radius)

        def trained(stage: str, loss: Callable[[Tensor], Tensor], epochs: int, decay: float) -> Iterator[Epoch]:
            moved = network.parameters() if loss is reconstructing else network.encoder_parameters()
            phase = Phase(tuple(moved), loss, weight_decay=decay)
            for name, part in self.schedules(stage, epochs).items():
                yield from train(network, [phase], normals, part, run, history, recipe=self, stage=name, select=select)

        for _ in trained("pretraining", reconstructing, self.pretrain_epochs, self.pretrain_weight_decay):
            pass
        detector = BallDetector(AutoencoderDetector(self, network, run.torch_device, run.autocast_dtype, history))
        detector.center(normals)
        for _ in trained("hypersphere", enclosing, self.epochs, self.weight_decay):
            # The history counts epochs before a resume too.
            if soft and (len(history.epochs) - self.pretrain_epochs) % self.update_interval == 0:
                detector.enclose(normals, self.nu)
        if soft:
            detector.enclose(normals, self.nu)
        network.drop_decoder()
        history.warnings += detector.collapse_warnings(normals)
        return detector

    def loss(self, squared_distances: Float[Tensor, " n"], radius: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Return the loss of images this far from the centre (eqs. 3 and 4 of Ruff et al.)."""
        if self.objective is Objective.ONE_CLASS:
            return squared_distances.mean()
        return radius**2 + (squared_distances - radius**2).clamp_min(0).mean() / self.nu

    def restore(self, state: State) -> BallDetector:
        """Rebuild the fitted detector."""
        network = self._network(image_shape(state))
        network.drop_decoder()
        return BallDetector(AutoencoderDetector.restored(self, network, state))

    def _network(self, image_shape: Sequence[int]) -> BallEncoder:
        return BallEncoder(image_shape, self.channels, self.latent_dim)
