"""Two encoders share one decoder, trained in phases that are kept only where they help normals not trained on.

    image x ------------> encoder 1 -> z1 -> decoder -> x1    P1 trains encoder 1 and the decoder: e1 = |x - x1|^2
    corrupted view c(x) -> encoder 2 -> z2 -> decoder -> x2   P2 encoder 2 alone: e2 + lam_a |z2 - z1|^2, z1 fixed
         P3 trains all: e1 + e2 + lam_a |z1 - z2|^2 + lam_c |x1 - x2|^2;  P4 measures mean and sd of the four terms
                                   z-scored mean of e1 and e2 -> score;  mean of both squared residuals -> map

Reference: the abstract of a one-class model for BraTS2021, RESC and BreastMNIST with two encoders, one shared decoder
and several phases of training and validation, scored by reconstruction error; the rest of it is not known. Re-encode
follows GANomaly (Akcay et al., ACCV 2018) without its discriminator.

differs from the paper in: this is our reading of an abstract, and no published number is matched. `reading` offers
three: two views (default), re-encode (encoder 2 sees x1, score |z1 - z2|^2) and two scales (encoder 2 sees 8x8 patches
and adds to z1, starting from nothing; score e2). A fourth, one encoder for normals and one for anomalies, is left out
because it is not one-class. A phase that does not lower its own loss on the select normals is undone; P4 takes its
statistics from them too, thresholds belong to the calibration. Without select normals nothing is gated or stopped
early, and the statistics are those of the training normals; the history says so. At scoring encoder 2 sees the image as
it is. Errors are sums over pixels, so lam_a and lam_c weigh against a sum, not a mean. The network has no batch
normalisation, so what a phase freezes stays as it was to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import OptionError
from ..images import batches
from ..nn.autoencoder import check_widths
from ..nn.corruption import Corruption
from ..nn.detector import AutoencoderDetector, image_shape
from ..nn.dual import DualAutoencoder, Reading, Views
from ..nn.inference import chunk_size
from ..training import History, Schedule
from ..types import Images, Run, State
from ._gating import gated_phase

__all__ = ["DualEncoder", "Score"]


_TERMS = (
    "error of encoder 1's reconstruction",
    "error of encoder 2's reconstruction",
    "disagreement of the codes",
    "disagreement of the reconstructions",
)


class Score(Enum):
    """Which terms make an image anomalous."""

    RECONSTRUCTION = "reconstruction"
    FUSED = "fused"


@dataclass(frozen=True)
class DualEncoder:
    """Dual encoder recipe.

    Args:
        latent_dim: Length d of both codes.
        channels: Output channels of the convolutions, mirrored by the decoder.
        reading: two-views, re-encode or two-scales: what encoder 2 sees, and the primary score.
        second_encoder: False leaves out P2 to P4: a plain autoencoder, whatever `reading` and `score` say.
        corruption: coarse-noise, erase or blur: the view encoder 2 trains on in two-views.
        lam_a: Weight of |z1 - z2|^2 in P2 and P3.
        lam_c: Weight of |x1 - x2|^2 in P3.
        score: reconstruction (the primary score of the reading) or fused (z-scored mean of all four terms).
        epochs: Passes over the training normals in each of P1, P2 and P3.
        batch_size: Images per step.
        learning_rate: Adam's step size in P1 and P2.
        joint_learning_rate: Adam's step size in P3.
        patience: Epochs a phase waits for a lower loss on the select normals before it stops; none never stops.
    """

    latent_dim: int = 16
    channels: tuple[int, ...] = (32, 64, 128)
    reading: Reading = Reading.TWO_VIEWS
    second_encoder: bool = True
    corruption: Corruption = Corruption.COARSE_NOISE
    lam_a: float = 0.1
    lam_c: float = 0.1
    score: Score = Score.RECONSTRUCTION
    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 1e-3
    joint_learning_rate: float = 1e-4
    patience: int | None = 20

    quick: ClassVar[Mapping[str, Any]] = {"epochs": 8, "batch_size": 32, "patience": 4}

    def __post_init__(self) -> None:
        check_widths("dual_encoder", self.latent_dim, self.channels)
        for option, weight in (("lam-a", self.lam_a), ("lam-c", self.lam_c)):
            if not 0 <= weight < float("inf"):
                raise OptionError(f"dual_encoder --{option}", weight, "a number of at least 0")
        for rate in (self.learning_rate, self.joint_learning_rate):
            assert Schedule(self.epochs, self.batch_size, rate, self.patience)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _Detector:
        """Train phase after phase, each undone unless it lowers its loss on the select normals.

        Raises:
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        with run.seeded():
            network = self._network(normals.shape[1:]).to(run.torch_device)
        history = History()
        if not select:
            history.warnings.append("No select normals: no phase was gated or stopped early.")

        def first(images: Tensor) -> Tensor:
            residual: Tensor = network.first(images) - images
            return residual.square().sum((1, 2, 3)).mean()

        def alone(images: Tensor) -> Tensor:
            return self.alone(self.seen(network, images), images)

        def joint(images: Tensor) -> Tensor:
            return self.joint(self.seen(network, images), images)

        def phase(stage: str, parts: Iterable[nn.Module], loss: Callable[[Tensor], Tensor], rate: float) -> None:
            schedule = Schedule(self.epochs, self.batch_size, rate, self.patience)
            gated_phase(network, parts, loss, normals, schedule, run, history, recipe=self, stage=stage, select=select)

        phase("p1", network.first_parts, first, self.learning_rate)
        if self.second_encoder:
            phase("p2", [network.second], alone, self.learning_rate)
            phase("p3", [network], joint, self.joint_learning_rate)
        detector = _Detector(self, network, run.torch_device, run.autocast_dtype, history)
        if self.second_encoder:
            detector.standardise(select or normals)
            if not select:
                history.warnings.append("No select normals: the score's terms were standardised on training normals.")
        history.warnings += detector.collapse_warnings(normals)
        return detector

    def restore(self, state: State) -> _Detector:
        """Rebuild the fitted detector."""
        return _Detector.restored(self, self._network(image_shape(state)), state)

    def seen(self, network: DualAutoencoder, images: Float[Tensor, "n c h w"]) -> Views:
        """Return both views as training has them, the second corrupted in the reading of two views."""
        return network.views(images, self.corruption(images) if self.reading is Reading.TWO_VIEWS else images)

    def alone(self, views: Views, images: Float[Tensor, "n c h w"]) -> Float[Tensor, ""]:
        """Return the mean loss of P2, which pulls z2 to z1, not z1 to z2."""
        _, e2, apart, _ = views._replace(z1=views.z1.detach()).terms(images).unbind(1)
        return (e2 + self.lam_a * apart).mean()

    def joint(self, views: Views, images: Float[Tensor, "n c h w"]) -> Float[Tensor, ""]:
        """Return the mean loss of P3."""
        e1, e2, apart, differ = views.terms(images).unbind(1)
        return (e1 + e2 + self.lam_a * apart + self.lam_c * differ).mean()

    def _network(self, image_shape: Sequence[int]) -> DualAutoencoder:
        reading = self.reading if self.second_encoder else None
        return DualAutoencoder(image_shape, self.channels, self.latent_dim, reading)


class _Detector(AutoencoderDetector):
    """Fitted: both encoders, their decoder, and what the four terms are on normals."""

    method: DualEncoder
    network: DualAutoencoder

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the mean z-score of the terms that `score` names; of a plain autoencoder the mean of its map."""
        if self.network.reading is None:
            return super().anomaly_score(images)
        return self._apply(lambda x: self._standardised(x).mean(1), images)

    def score_terms(self, images: Float[Tensor, "n c h w"]) -> Mapping[str, Float[Tensor, " n"]]:
        """Return each term's z-score over the number of terms; of a plain autoencoder its error."""
        if self.network.reading is None:
            return {"reconstruction error": self.anomaly_score(images)}
        terms = self._apply(self._standardised, images)
        return {_TERMS[column]: terms[:, i] / len(self._columns) for i, column in enumerate(self._columns)}

    def _standardised(self, images: Tensor) -> Float[Tensor, "n terms"]:
        return ((self._terms(images) - self.network.mean) / self.network.sd)[:, self._columns]

    @property
    def _columns(self) -> list[int]:
        """Which of the four terms the score is the mean of."""
        assert self.network.reading is not None, "a plain autoencoder has no terms"
        return list(range(4) if self.method.score is Score.FUSED else self.network.reading.terms)

    def pixel_scores(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
        """Return the squared error per pixel, the mean over channels and over the pictures of the reading."""
        reading = self.network.reading
        if reading is None:
            return super().pixel_scores(images)
        pictures = reading.pictures(self.network.views(images, images))
        return torch.stack([(picture - images).square().mean(1) for picture in pictures]).mean(0)

    def standardise(self, normals: Images) -> None:
        """Measure mean and sd of each term (P4)."""
        size = chunk_size(normals.shape[1:])
        terms = torch.cat([self._apply(self._terms, batch) for batch in batches(normals, size)]).double()
        sd = terms.std(0, correction=0)
        self.network.mean.copy_(terms.mean(0))
        self.network.sd.copy_(torch.where(sd > 0, sd, 1))

    def _terms(self, images: Tensor) -> Float[Tensor, "n 4"]:
        return self.network.views(images, images).terms(images)
