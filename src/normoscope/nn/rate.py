"""What a latent vector costs (bits under a learnt prior, or its squared norm), and the network that pays.

    latent y --soften--> what training decodes          y --harden--> what scoring decodes
                  |                                            |
                  +--------------> cost (n,) <-----------------+

Reference: Ballé, Laparra and Simoncelli, End-to-end Optimized Image Compression, ICLR 2017 (uniform noise in place of
rounding); Ballé, Minnen, Singh, Hwang and Johnston, Variational Image Compression with a Scale Hyperprior, ICLR 2018
(the prior convolved with that noise). Their factorised prior is a monotone network; here it is a mixture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .benchmark import BenchmarkAutoencoder

__all__ = ["FactorisedPrior", "LatentCost", "RateAutoencoder", "SquaredNorm"]

_PACE = 16.0
"""Adam moves a number by about its learning rate per step, but a latent vector by the sum over all the weights it
comes from. The prior's numbers are held divided by this, so that it keeps up."""

_LEAST_SCALE = 0.06
"""The narrowest logistic, as wide as a Gaussian with a deviation of 0.11: a dimension that is always 0 costs 0.0007
bits, and an encoder's jitter around it stays affordable. Without it training diverges slowly at large weights."""


class FactorisedPrior(nn.Module):
    """Bits of a latent vector: every dimension is an independent, learnt mixture of logistics plus unit-wide noise.

        P(y) = sum_k w_k [S((y + 1/2 - m_k) / s_k) - S((y - 1/2 - m_k) / s_k)],   S the logistic function

    At integers this is a probability that sums to one, and -log2 P is what an entropy coder spends. In between it is
    the density of the prior plus U(-1/2, 1/2), and -log2 P is the rate that training lowers. `exp(-|y| / s)` bounds
    its tails, so a distant latent vector costs bits in proportion to its distance.

    Args:
        size: Length d of the latent vector.
        components: Logistics per dimension.
    """

    gain: ClassVar[float] = 4.0
    """What an encoder's last layer is multiplied by at the start: latent vectors then vary by a few integers."""

    def __init__(self, size: int, components: int = 3) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(size, components))
        self.centres = nn.Parameter(torch.linspace(-2, 2, components).repeat(size, 1) / _PACE)
        self.log_scales = nn.Parameter(torch.zeros(size, components))

    def soften(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Add noise from U(-1/2, 1/2), which stands for rounding and lets gradients through."""
        return latent + torch.rand_like(latent) - 0.5

    def harden(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Round to integers, halves to even."""
        return latent.round()

    def log2_probability(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return log2 P of every entry, float32; finite, with a gradient, however far out."""
        with torch.autocast(latent.device.type, enabled=False):
            inverse = 1 / (_LEAST_SCALE + (_PACE * self.log_scales).exp())
            middle = (latent.float()[..., None] - _PACE * self.centres) * inverse
            half = inverse / 2
            # S(a) - S(b) = S(a) S(-b) (1 - e^(b - a)): logarithms of three factors, and no difference that cancels.
            bins = F.logsigmoid(middle + half) + F.logsigmoid(half - middle) + (-torch.expm1(-inverse)).log()
            return torch.logsumexp((_PACE * self.logits).log_softmax(-1) + bins, -1) / math.log(2)

    def forward(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Return the bits of each latent vector."""
        return -self.log2_probability(latent).sum(1)


class SquaredNorm(nn.Module):
    """The squared length of a latent vector, which is neither disturbed nor rounded."""

    gain: ClassVar[float] = 1.0

    def soften(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return it as it is."""
        return latent

    def harden(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return it as it is."""
        return latent

    def forward(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Return the squared norm of each latent vector."""
        return latent.square().sum(1)


LatentCost = FactorisedPrior | SquaredNorm
"""What training decodes, what scoring decodes, and what either costs."""


class RateAutoencoder(BenchmarkAutoencoder):
    """Encodes to y, not rounded; `forward` decodes what scoring decodes."""

    def __init__(self, image_shape: Sequence[int], cost: LatentCost, latent_dim: int, width: int, hidden: int) -> None:
        super().__init__(image_shape, latent_dim, width, hidden)
        self.cost = cost

    @torch.no_grad()
    def widen(self) -> None:
        """Multiply the latent vectors by the cost's gain, so that rounding begins as a small error."""
        for parameter in self.to_latent[-1].parameters():
            parameter.mul_(self.cost.gain)

    def settled(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the latent vectors that scoring decodes."""
        return self.cost.harden(self.encode(images))

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the reconstructions from them."""
        return self.decode(self.settled(images))
