"""A convolutional autoencoder's code, then a one-class support vector machine around it.

    image -> encoder of `cae` -> latent (d) --sum_i alpha_i k(z, z_i) - rho--> signed distance, negated --> score

Reference: Gao, Liu, Arefan, Panigrahy and Wu, Constrained Deep One-Class Feature Learning For Classifying Imbalanced
Medical Images, 2020; its C-OCSVM baseline (section 3.1). The machine: Schoelkopf et al., Support vector method for
novelty detection, NIPS 2000.

differs from the paper in: nu and the kernel width are not given there; nu = 0.1 and scikit-learn's
gamma = 1 / (d var(z)) are used. There is no map: the machine sees the code alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import TooFewImagesError
from ..images import batches
from ..nn.autoencoder import check_widths
from ..nn.coded import CodeDetector
from ..nn.detector import AutoencoderDetector
from ..nn.inference import chunk_size
from ..nn.support_vectors import SupportVectors, check_machine
from ..types import Images, Run, State
from .cae import CAE

__all__ = ["COCSVM"]


@dataclass(frozen=True)
class COCSVM:
    """Code-then-machine recipe.

    Args:
        latent_dim: Length of the bottleneck vector.
        channels: Output channels of the encoder's convolutions, mirrored by the decoder.
        nu: Upper bound on the share of training normals outside, lower bound on the share of support vectors.
        kernel_width: gamma of exp(-gamma |z - z'|²); 0 takes 1 / (d var(z)).
        epochs: Passes of the autoencoder over the training normals.
        batch_size: Images per step.
        learning_rate: Adam's step size.
        patience: Epochs to wait for a lower loss on the select normals before stopping; none never stops.
    """

    latent_dim: int = 256
    channels: tuple[int, ...] = (32, 64, 128)
    nu: float = 0.1
    kernel_width: float = 0.0
    epochs: int = 1000
    batch_size: int = 128
    learning_rate: float = 1e-4
    patience: int | None = None

    quick: ClassVar[Mapping[str, Any]] = CAE.quick

    def __post_init__(self) -> None:
        check_widths("cocsvm", self.latent_dim, self.channels)
        check_machine("cocsvm", self.nu, self.kernel_width)
        assert self.autoencoder

    @property
    def autoencoder(self) -> CAE:
        """The recipe of the first stage; its checkpoint serves every nu and kernel width."""
        return CAE(self.latent_dim, self.channels, self.epochs, self.batch_size, self.learning_rate, self.patience)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _CodeBoundary:
        """Train the autoencoder, then solve the machine's dual on the codes of all normals.

        Raises:
            TooFewImagesError: Fewer than 2 normals.
            TrainingError: Training diverged, or a checkpoint cannot be used.
        """
        if len(normals) < 2:
            raise TooFewImagesError("train", 2, len(normals))
        encoder = self.autoencoder.fit(normals, run, select)
        codes = torch.cat([encoder.embed(batch) for batch in batches(normals, chunk_size(normals.shape[1:]))])
        return _CodeBoundary(encoder, SupportVectors.fitted(codes.double(), self.nu, self.kernel_width, run))

    def restore(self, state: State) -> _CodeBoundary:
        """Rebuild the fitted detector."""
        return _CodeBoundary(self.autoencoder.restore(state), SupportVectors.restored(state))


class _CodeBoundary(CodeDetector):
    """Fitted: an autoencoder (by itself a `cae`), and a boundary around the codes of normal images."""

    def __init__(self, encoder: AutoencoderDetector, machine: SupportVectors) -> None:
        super().__init__(encoder)
        self.autoencoder = encoder
        self.machine = machine

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return rho - sum_i alpha_i k(z, z_i): positive outside, negative inside."""
        return self.machine.outlyingness(self.embed(images)).to(images.device)

    def state(self) -> State:
        """Return the autoencoder's state and the machine's."""
        return {**super().state(), **self.machine.state()}
