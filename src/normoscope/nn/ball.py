"""An encoder without biases and the ball its normal images are drawn into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..images import batches
from ..types import Images
from .autoencoder import ConvAutoencoder
from .coded import CodeDetector
from .detector import AutoencoderDetector

__all__ = ["BallDetector", "BallEncoder"]

_NEAR_ZERO = 0.1
_COLLAPSED = 1e-6
_LOOKED_AT = 256


class BallEncoder(ConvAutoencoder):
    """The convolutional autoencoder with no bias in its encoder; `center` is c, `radius` R.

    Args:
        image_shape: (c, h, w).
        channels: Output channels of the encoder's convolutions.
        latent_dim: Length of the latent vector.
    """

    center: Tensor
    radius: Tensor

    def __init__(self, image_shape: Sequence[int], channels: Sequence[int], latent_dim: int) -> None:
        super().__init__(image_shape, channels, latent_dim)
        self.to_latent = _ExactLinear(self.to_latent.in_features, latent_dim)
        for layer in (*self.down, self.to_latent):
            layer.register_parameter("bias", None)
        self.register_buffer("center", torch.zeros(latent_dim))
        self.register_buffer("radius", torch.zeros((), dtype=torch.float64))

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Walk through the weights that place images in the ball."""
        yield from self.down.parameters()
        yield from self.to_latent.parameters()

    def squared_distances(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return |z - c|^2."""
        return (self.encode(images) - self.center).square().sum(1)

    def drop_decoder(self) -> None:
        """Forget the decoder; what is saved then holds the encoder alone."""
        del self.from_latent
        self.up = nn.ModuleList()


class _ExactLinear(nn.Linear):
    """Computes in float32 under autocast: distances to c are small beside |c|, and bfloat16 has 3 digits."""

    def forward(self, input: Float[Tensor, "n i"]) -> Float[Tensor, "n o"]:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


class BallDetector(CodeDetector):
    """Scored by the squared distance to the centre, minus the squared radius.

    Args:
        encoder: Its network is a `BallEncoder`.
    """

    def __init__(self, encoder: AutoencoderDetector) -> None:
        super().__init__(encoder)
        self.network = cast(BallEncoder, encoder.network)

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return |z - c|^2 - R^2; R is 0 unless `enclose` was called."""
        return self._apply(lambda x: (self.network.squared_distances(x) - self.network.radius**2).float(), images)

    def center(self, normals: Images) -> None:
        """Set c to the normals' mean z; coordinates within 0.1 of zero, which zero weights hit, go to -0.1 or 0.1."""
        self.network.eval()
        total = torch.zeros(self.network.latent_dim, dtype=torch.float64)
        for batch in batches(normals):
            total += self.embed(batch).double().sum(0)
        mean = (total / len(normals)).float()
        away = torch.where(mean < 0, -_NEAR_ZERO, _NEAR_ZERO)
        self.network.center.copy_(torch.where(mean.abs() < _NEAR_ZERO, away, mean))

    def enclose(self, normals: Images, nu: float) -> None:
        """Set R to the (1 - nu)-quantile of the normals' distances, where the soft boundary's loss is least."""
        self.network.eval()
        squares = torch.cat([self._apply(self.network.squared_distances, batch) for batch in batches(normals)])
        self.network.radius.copy_(torch.quantile(squares.double().sqrt(), 1 - nu))

    def spread(self, images: Float[Tensor, "n c h w"]) -> float:
        """Return the variance of the images' z, summed over coordinates, as a share of |c|^2."""
        latent = self.embed(images).cpu().double()
        return float(latent.var(0, correction=0).sum() / self.network.center.cpu().double().square().sum())

    def collapse_warnings(self, normals: Images) -> list[str]:
        """Say, from up to 256 normals, whether they have fallen into one point, where distances mean nothing."""
        rows = np.linspace(0, len(normals) - 1, min(len(normals), _LOOKED_AT)).astype(np.int64)
        images = normals.batch(rows)
        spread = self.spread(images)
        if spread >= _COLLAPSED or bool((images == images[:1]).all()):
            return []
        return [
            f"The ball has collapsed: the latent vectors of the training images vary by {spread:.0e} of the centre's "
            "squared length, so all images look alike; train fewer epochs, or with less weight decay."
        ]
