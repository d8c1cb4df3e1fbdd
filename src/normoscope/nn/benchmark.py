"""The autoencoder of the AE4AD study and its benchmark; one network, many losses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import OptionError
from .autoencoder import Autoencoder

__all__ = ["BenchmarkAutoencoder", "check_sizes"]

_STRIDE = 16


def check_sizes(method: str, latent_dim: int, width: int, hidden: int) -> None:
    """Refuse sizes no network can have.

    Raises:
        OptionError: A size below 1.
    """
    for option, size in (("latent-dim", latent_dim), ("width", width), ("hidden", hidden)):
        if size < 1:
            raise OptionError(f"{method} --{option}", size, "at least 1")


class BenchmarkAutoencoder(Autoencoder):
    """Four halving 4x4 convolutions with batch normalisation to a small bottleneck, and the mirror image back.

        image in [0, 1] -> 2x - 1 -> [conv 4x4, stride 2, norm, ReLU] w, 2w, 4w, 4w -> bottleneck -> latent (d)
        latent -> bottleneck -> [transposed conv 4x4, stride 2, norm, ReLU] 4w, 2w, w -> transposed conv -> (y + 1) / 2

    The bottleneck is linear -> norm -> ReLU -> linear each way, or 1x1 convolutions where `spatial`, whose latent
    vector is the flattened grid. Sides that 16 does not divide are padded by replication and cropped afterwards.
    2,351,184 parameters for one channel, 64 pixels, d = 16.

    Args:
        image_shape: (c, h, w).
        latent_dim: Length of the latent vector, or channels of the latent grid where `spatial`.
        width: Channels w of the first convolution.
        hidden: Units of the layer between the grid and the latent vector.
        spatial: Keep the latent a grid.
        codes: Latent vectors the encoder puts out side by side (2: mean and log-variance).
        outputs: Images the decoder puts out, stacked as channels (2: mean and log-variance).

    Reference: Cai, Chen, Cheng, Rethinking Autoencoders for Medical Anomaly Detection, MICCAI 2024; sizes as in the
    authors' public code.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int = 16,
        width: int = 16,
        hidden: int = 1024,
        *,
        spatial: bool = False,
        codes: int = 1,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        channels, height, width_px = self.image_shape
        self.outputs = outputs
        self.margin = [-width_px % _STRIDE, -height % _STRIDE]
        grid = (4 * width, -(-height // _STRIDE), -(-width_px // _STRIDE))
        widths = [channels, width, 2 * width, 4 * width, 4 * width]
        self.down = nn.Sequential(*(layer for i, o in pairwise(widths) for layer in _halve(i, o)))
        back = [4 * width, 4 * width, 2 * width, width]
        self.up = nn.Sequential(
            *(layer for i, o in pairwise(back) for layer in _double(i, o)),
            nn.ConvTranspose2d(width, channels * outputs, 4, stride=2, padding=1, bias=False),
        )
        if spatial:
            self.to_latent = _pointwise(grid[0], hidden, codes * latent_dim)
            self.from_latent = _pointwise(latent_dim, hidden, grid[0])
            self.latent_grid: tuple[int, ...] = (latent_dim, *grid[1:])
        else:
            cells = grid[0] * grid[1] * grid[2]
            self.to_latent = nn.Sequential(nn.Flatten(), *_dense(cells, hidden, codes * latent_dim))
            self.from_latent = nn.Sequential(*_dense(latent_dim, hidden, cells), nn.Unflatten(1, grid))
            self.latent_grid = (latent_dim,)

    def encode(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the latent vectors, float32."""
        right, below = self.margin
        edges = [right // 2, right - right // 2, below // 2, below - below // 2]
        signed = F.pad(2 * images - 1, edges, mode="replicate") if any(edges) else 2 * images - 1
        latent: Tensor = self.to_latent(self.down(signed))
        return latent.flatten(1).float()

    def decode(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, "n c*outputs h w"]:
        """Return the reconstructions, float32; trained towards [0, 1], not clipped to it."""
        signed: Tensor = self.up(self.from_latent(latent.view(-1, *self.latent_grid))).float()
        left, top = (side // 2 for side in self.margin)
        height, width = self.image_shape[1:]
        return (signed[:, :, top : top + height, left : left + width] + 1) / 2


def _halve(channels: int, out: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, out, 4, stride=2, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]


def _double(channels: int, out: int) -> list[nn.Module]:
    convolution = nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]


def _dense(inputs: int, hidden: int, out: int) -> list[nn.Module]:
    return [nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out)]


def _pointwise(inputs: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, hidden, 1, bias=False),
        nn.BatchNorm2d(hidden),
        nn.ReLU(inplace=True),
        nn.Conv2d(hidden, out, 1, bias=False),
    )
