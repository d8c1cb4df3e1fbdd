"""Two players: a generator of images and a network that judges them, and what their training shares.

Both work on the scale [-1, 1] (`signed`), of any height and width: sides are halved, rounding up, down to four.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["ConvEncoder", "Generator", "resting", "signed", "small_weights", "verdict_loss"]

_SMALLEST_GRID = 4
_WIDEST = 8
_SMALL = 0.02


def signed(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Map [0, 1] to the scale of the two players, [-1, 1]."""
    return 2 * images - 1


class ConvEncoder(nn.Module):
    """Halving 5x5 convolutions to a few numbers: a verdict on an image, or its latent vector.

        image in [-1, 1] -> conv 5x5, stride 2, leaky ReLU -> [conv 5x5, stride 2, norm, leaky ReLU] ... -> linear

    Args:
        image_shape: (c, h, w).
        width: Channels of the first convolution; they double up to eight times as many.
        outputs: Numbers per image; a discriminator has one.
        norm: Makes the normalisation of that many channels; the first convolution has none.
    """

    def __init__(
        self, image_shape: Sequence[int], width: int, outputs: int, norm: Callable[[int], nn.Module] = nn.BatchNorm2d
    ) -> None:
        super().__init__()
        sizes, widths = _halvings(image_shape, width)
        layers: list[nn.Module] = []
        for i, o in pairwise([image_shape[0], *widths]):
            first = not layers
            layers += [nn.Conv2d(i, o, 5, stride=2, padding=2, bias=first), *([] if first else [norm(o)])]
            layers += [nn.LeakyReLU(0.2)]
        self.down = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1] * sizes[-1][0] * sizes[-1][1], outputs)

    def features(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n f"]:
        """Return what the last convolution saw, float32."""
        hidden: Tensor = self.down(images.to(memory_format=torch.channels_last))
        return hidden.flatten(1).float()

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n outputs"]:
        """Return the numbers, float32."""
        answer: Tensor = self.head(self.features(images))
        return answer.float()

    if TYPE_CHECKING:  # torch's own says Any

        def __call__(self, images: Tensor) -> Tensor: ...


class Generator(nn.Module):
    """Doubling 5x5 transposed convolutions from a latent vector to an image: `ConvEncoder` upside down.

        latent (d) -> linear, norm, ReLU -> [transposed conv 5x5, stride 2, norm, ReLU] ... -> tanh -> image in (-1, 1)

    Args:
        image_shape: (c, h, w).
        width: Channels before the last convolution; deeper ones have up to eight times as many.
        latent_dim: Length d of the latent vector.
    """

    def __init__(self, image_shape: Sequence[int], width: int, latent_dim: int) -> None:
        super().__init__()
        sizes, widths = _halvings(image_shape, width)
        self.grid = (widths[-1], *sizes[-1])
        self.project = nn.Linear(latent_dim, widths[-1] * sizes[-1][0] * sizes[-1][1], bias=False)
        layers: list[nn.Module] = []
        back = list(zip(reversed(widths), [*reversed(widths[:-1]), image_shape[0]], reversed(sizes[:-1]), strict=True))
        for step, (i, o, size) in enumerate(back, start=1):
            even = (1 - size[0] % 2, 1 - size[1] % 2)  # an odd side needs no last row to become odd again
            layers += [nn.BatchNorm2d(i), nn.ReLU()]
            layers += [nn.ConvTranspose2d(i, o, 5, 2, padding=2, output_padding=even, bias=step == len(back))]
        self.up = nn.Sequential(*layers)

    def forward(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, "n c h w"]:
        """Return images, float32."""
        grid = self.project(latent).view(-1, *self.grid).contiguous(memory_format=torch.channels_last)
        return torch.tanh(self.up(grid).float())

    if TYPE_CHECKING:  # torch's own says Any

        def __call__(self, latent: Tensor) -> Tensor: ...


def small_weights(network: nn.Module) -> None:
    """Draw every kernel and matrix anew from N(0, 0.02), so that both players begin grey and undecided.

    Reference: Radford, Metz and Chintala, Unsupervised Representation Learning with DCGANs, ICLR 2016, section 3.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0, _SMALL)


@contextmanager
def resting(*networks: nn.Module) -> Iterator[None]:
    """Let networks take part in another player's step without moving: no gradients, no running statistics.

    In training mode they still normalise by the batch, as their opponent meets them.
    """
    modules = [module for network in networks for module in network.modules()]
    norms = [module for module in modules if isinstance(module, _BatchNorm)]
    parameters = [parameter for network in networks for parameter in network.parameters()]
    try:
        for norm in norms:
            norm.track_running_stats = False
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        for parameter in parameters:
            parameter.requires_grad_(True)


def verdict_loss(logits: Float[Tensor, "n 1"], real: bool) -> Float[Tensor, ""]:
    """Return the mean binary cross-entropy of calling all of these images real, or all of them made up."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def _halvings(image_shape: Sequence[int], width: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the sides from the image down to the grid, and the channels after each halving."""
    sizes = [(image_shape[1], image_shape[2])]
    while max(sizes[-1]) > _SMALLEST_GRID or len(sizes) == 1:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes, [width * min(2**step, _WIDEST) for step in range(len(sizes) - 1)]
