"""A rate-distortion autoencoder: the bits that a latent vector costs, not its size, keep lesions out.

    image -> encoder -> y (d) -> y + U(-1/2, 1/2) (training) or round(y) (scoring) -> decoder -> reconstruction
                                 |                                      squared residual -> map -> mean: D
                                 +-> -log2 of a learnt prior, summed: R in bits      loss = D + rate_weight R

AE4AD asks for the latent entropy that normal images need and no more, and has the latent size as its only handle; here
the size is ample and the rate weight, lambda, is the knob. Gradient scores are taken at y, for rounding has none.

Reference: Ballé, Laparra and Simoncelli, End-to-end Optimized Image Compression, ICLR 2017; Ballé et al., Variational
Image Compression with a Scale Hyperprior, ICLR 2018; aim and network of Cai, Chen, Cheng, AE4AD, MICCAI 2024; the norm
of Ghafourian et al., Targeted Collapse Regularized Autoencoder, arXiv 2306.12627: ConOCC with its centre at zero.

differs from the paper in: no published detector is this one. The prior is a mixture of three logistics per dimension
where Ballé et al. learn a monotone network, and one vector is coded per image, not a grid. The network is the
benchmark's: batch normalisation after the decoder's first layer rescales latent vectors, so that a shorter one costs
distortion only until the weights have followed. Where lambda leaves a few bits per image, training can hide signals
far below one integer in the noise, and rounding loses them: the reconstructions then turn into their mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError
from ..nn.benchmark import check_sizes
from ..nn.detector import AutoencoderDetector, image_shape
from ..nn.rate import FactorisedPrior, LatentCost, RateAutoencoder, SquaredNorm
from ..scoring import Losses, Term
from ..training import Schedule
from ..types import Images, Run, State
from ._fitting import fit_autoencoder

__all__ = ["EntropyAE", "Penalty", "Score"]


class Penalty(Enum):
    """What a latent vector costs."""

    PRIOR = "prior"
    NORM = "norm"

    def __call__(self, latent_dim: int) -> LatentCost:
        """Return the cost, untrained, of latent vectors of this length."""
        return FactorisedPrior(latent_dim) if self is Penalty.PRIOR else SquaredNorm()


class Score(Enum):
    """What makes an image anomalous."""

    DISTORTION = "distortion"
    RATE = "rate"
    BOTH = "both"

    def __call__(self, distortion: Float[Tensor, " n"], rate: Float[Tensor, " n"], weight: float) -> Tensor:
        """Return D, R or D + weight R of each image."""
        if self is Score.BOTH:
            return distortion + weight * rate
        return distortion if self is Score.DISTORTION else rate


@dataclass(frozen=True)
class EntropyAE:
    """Rate-distortion autoencoder recipe.

    Args:
        latent_dim: Length of the latent vector; larger than needed, for the rate is the knob.
        rate_weight: Lambda: squared error on the scale [-1, 1] per bit, or per unit of squared norm. With the default,
            held-out normals of four sets were redrawn as well as by `ae` with 16 latent dimensions, or by up to 7 %
            better (results/entropy_ae.json, results/latent_size_test.json).
        penalty: prior (bits under a learnt prior) or norm (squared norm of a latent vector that is not rounded).
        score: distortion, rate (the norm, where that is the penalty) or both (the loss).
        width: Channels of the first convolution, then 2, 4 and 4 times as many.
        hidden: Units between the grid and the latent vector.
        epochs: Passes over the training normals; the last weights are kept.
        batch_size: Images per step.
        learning_rate: Adam's step size.
        patience: Epochs to wait for a lower loss on the select normals before stopping; none never stops.
    """

    latent_dim: int = 64
    rate_weight: float = 5e-5
    penalty: Penalty = Penalty.PRIOR
    score: Score = Score.DISTORTION
    width: int = 16
    hidden: int = 1024
    epochs: int = 250
    batch_size: int = 64
    learning_rate: float = 1e-3
    patience: int | None = None

    quick: ClassVar[Mapping[str, Any]] = {"epochs": 20, "batch_size": 32, "patience": 10}

    def __post_init__(self) -> None:
        check_sizes("entropy_ae", self.latent_dim, self.width, self.hidden)
        if not 0 <= self.rate_weight < float("inf"):
            raise OptionError("entropy_ae --rate-weight", self.rate_weight, "a number of at least 0")
        assert self.schedule

    @property
    def schedule(self) -> Schedule:
        """How long and in which portions."""
        return Schedule(self.epochs, self.batch_size, self.learning_rate, self.patience, smallest_batch=2)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _Detector:
        """Minimise distortion and weighted rate of the normals.

        Raises:
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        with run.seeded():
            network = self._network(normals.shape[1:])
            network.widen()

        def loss(images: Tensor) -> Tensor:
            return self.measured(Score.BOTH, network, images, network.cost.soften(network.encode(images))).mean()

        return fit_autoencoder(self, network, loss, _Detector, normals, run, select)

    def restore(self, state: State) -> _Detector:
        """Rebuild the fitted detector."""
        return _Detector.restored(self, self._network(image_shape(state)), state)

    def measured(
        self, score: Score, network: RateAutoencoder, images: Float[Tensor, "n c h w"], latent: Float[Tensor, "n d"]
    ) -> Float[Tensor, " n"]:
        """Return a score of images that are decoded from these latent vectors."""
        distortion = (2 * (images - network.decode(latent))).square().mean((1, 2, 3))
        return score(distortion, network.cost(latent), self.rate_weight)

    def _network(self, image_shape: Sequence[int]) -> RateAutoencoder:
        return RateAutoencoder(image_shape, self.penalty(self.latent_dim), self.latent_dim, self.width, self.hidden)


class _Detector(AutoencoderDetector):
    """Fitted: knows what an image costs."""

    method: EntropyAE
    network: RateAutoencoder

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return what the recipe's `score` names."""
        return self._measured(self.method.score, images)

    def score_terms(self, images: Float[Tensor, "n c h w"]) -> Mapping[str, Float[Tensor, " n"]]:
        """Return distortion and weighted rate where the score is both, else the one it is."""
        if self.method.score is not Score.BOTH:
            return {self.method.score.value: self.anomaly_score(images)}
        rate = self.method.rate_weight * self.rate(images)
        return {"distortion": self._measured(Score.DISTORTION, images), "weighted rate of the latent vector": rate}

    def _measured(self, score: Score, images: Tensor) -> Float[Tensor, " n"]:
        return self._apply(lambda x: self.method.measured(score, self.network, x, self.network.settled(x)), images)

    def rate(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the bits of each image's rounded latent vector; the squared norm where that is the penalty."""
        return self._apply(lambda x: self.network.cost(self.network.settled(x)), images)

    def pixel_scores(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
        """Return the squared error per pixel on the scale [-1, 1], mean over channels: the map, whatever the score."""
        return 4 * super().pixel_scores(images)

    def losses(self) -> Losses:
        """Return distortion and loss, decoded from y as it is."""

        def term(score: Score, images: Tensor) -> Tensor:
            return self.method.measured(score, self.network, images, self.network.encode(images))

        return {Term.RECONSTRUCTION: partial(term, Score.DISTORTION), Term.OBJECTIVE: partial(term, Score.BOTH)}
