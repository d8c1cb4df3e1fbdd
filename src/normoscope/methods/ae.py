"""The benchmark autoencoder: a small free latent size, and nothing else, keeps lesions out.

    image -> four 4x4 convolutions, stride 2 -> linear -> latent (d) -> mirror -> reconstruction
                                       loss per pixel (l2, l1 or ssim) -> map -> mean -> score

What the latent vector can hold beyond the information of normal images lets lesions through, so d is the knob.

Reference: Cai, Chen, Cheng, Rethinking Autoencoders for Medical Anomaly Detection from A Theoretical Perspective,
MICCAI 2024 (AE4AD); losses and settings of its benchmark, Cai et al., MedIAnomaly, Medical Image Analysis 2025.

differs from the paper in: images are normalised as the preprocessing says; sides that 16 does not divide are padded
by replication; the SSIM loss has full support through replicated borders where the benchmark cuts 11-pixel windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from ..nn.benchmark import BenchmarkAutoencoder, check_sizes
from ..nn.detector import AutoencoderDetector, image_shape
from ..scoring import ssim_map
from ..training import Schedule
from ..types import Images, Run, State
from ._fitting import fit_autoencoder

__all__ = ["AE", "PixelLoss"]

_SSIM_SIGMA = 1.5


class PixelLoss(Enum):
    """What is minimised, and scored, at a pixel."""

    L2 = "l2"
    L1 = "l1"
    SSIM = "ssim"

    def __call__(
        self, images: Float[Tensor, "n c h w"], reconstruction: Float[Tensor, "n c h w"]
    ) -> Float[Tensor, "n h w"]:
        """Return the loss per pixel, mean over channels; l2 and l1 on the scale [-1, 1] of the benchmark."""
        if self is PixelLoss.SSIM:
            return 1 - ssim_map(images, reconstruction.clamp(0, 1), _SSIM_SIGMA).mean(1)
        signed = 2 * (images - reconstruction)
        return (signed.square() if self is PixelLoss.L2 else signed.abs()).mean(1)


@dataclass(frozen=True)
class AE:
    """Benchmark autoencoder recipe.

    Args:
        latent_dim: Length d of the latent vector; its channels per grid cell where spatial.
        loss: l2, l1 or ssim (one minus it; window sigma 1.5), trained and scored alike.
        spatial: Keep the latent a grid (1x1 convolutions) instead of a vector.
        width: Channels of the first convolution, then 2, 4 and 4 times as many.
        hidden: Units between the grid and the latent vector.
        epochs: Passes over the training normals; the last weights are kept.
        batch_size: Images per step.
        learning_rate: Adam's step size.
        patience: Epochs to wait for a lower loss on the select normals before stopping; none never stops.
    """

    latent_dim: int = 16
    loss: PixelLoss = PixelLoss.L2
    spatial: bool = False
    width: int = 16
    hidden: int = 1024
    epochs: int = 250
    batch_size: int = 64
    learning_rate: float = 1e-3
    patience: int | None = None

    quick: ClassVar[Mapping[str, Any]] = {"epochs": 20, "batch_size": 32, "patience": 10}

    def __post_init__(self) -> None:
        check_sizes("ae", self.latent_dim, self.width, self.hidden)
        assert self.schedule

    @property
    def schedule(self) -> Schedule:
        """How long and in which portions."""
        return Schedule(self.epochs, self.batch_size, self.learning_rate, self.patience, smallest_batch=2)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _Detector:
        """Minimise the pixel loss of the normals.

        Raises:
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        with run.seeded():
            network = self._network(normals.shape[1:])

        def loss(images: Tensor) -> Tensor:
            return self.loss(images, network(images)).mean()

        return fit_autoencoder(self, network, loss, _Detector, normals, run, select)

    def restore(self, state: State) -> _Detector:
        """Rebuild the fitted detector."""
        return _Detector.restored(self, self._network(image_shape(state)), state)

    def _network(self, image_shape: Sequence[int]) -> BenchmarkAutoencoder:
        return BenchmarkAutoencoder(image_shape, self.latent_dim, self.width, self.hidden, spatial=self.spatial)


class _Detector(AutoencoderDetector):
    """Fitted: scored by the loss it was trained with."""

    method: AE

    def pixel_scores(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
        """Return the loss at every pixel."""
        return self.method.loss(images, self.network(images))
