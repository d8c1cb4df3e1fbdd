"""A generator as half an autoencoder: the other half is a search for the latent vector of each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..progress import steps_shown
from .autoencoder import Autoencoder
from .gan import ConvEncoder, Generator, signed, small_weights

__all__ = ["SearchedGAN"]


class SearchedGAN(Autoencoder):
    """A generator and a discriminator; `encode` searches, for every image from the same start and on its own.

    Call `encode` where gradients may be computed (`in_chunks(..., gradients=True)`), in evaluation mode.

    Args:
        image_shape: (c, h, w).
        width: Channels of the discriminator's first convolution.
        latent_dim: Length of the latent vector.
        feature_weight: Share of the feature residual in the discrepancy.
        steps: Steps of the search.
        rate: Adam's step size in the search.
    """

    start: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        width: int,
        latent_dim: int,
        *,
        feature_weight: float = 0.1,
        steps: int = 500,
        rate: float = 0.02,
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.feature_weight, self.steps, self.rate = feature_weight, steps, rate
        self.generator = Generator(image_shape, width, latent_dim)
        self.discriminator = ConvEncoder(image_shape, width, 1)
        small_weights(self)
        self.register_buffer("start", 2 * torch.rand(latent_dim) - 1)
        self.progress = False

    def noise(self, count: int) -> Float[Tensor, "n d"]:
        """Draw latent vectors, uniform in [-1, 1]."""
        return 2 * torch.rand(count, len(self.start), device=self.start.device) - 1

    def discrepancy(self, images: Float[Tensor, "n c h w"]) -> Callable[[Float[Tensor, "n d"]], Float[Tensor, " n"]]:
        """Return the function of the latent vectors that the search minimises.

        (1 - weight) sum |x - G(z)| + weight sum |f(x) - f(G(z))|,   images on the scale [-1, 1]
        """
        targets = signed(images)
        with torch.no_grad():
            features = self.discriminator.features(targets)

        def at(latent: Tensor) -> Tensor:
            made = self.generator(latent)
            seen = (features - self.discriminator.features(made)).abs().sum(1)
            return (1 - self.feature_weight) * (targets - made).abs().sum((1, 2, 3)) + self.feature_weight * seen

        return at

    def encode(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the latent vectors that the search ends with, float32."""
        discrepancy = self.discrepancy(images.detach())
        latent = self.start.expand(len(images), -1).clone().requires_grad_()
        adam = torch.optim.Adam([latent], self.rate)
        for _ in steps_shown("latent search", self.steps, self.progress):
            # of the sum over images, each latent vector gets the slope of its own image's term alone
            # of a copy, for autocast would cast the leaf once and search on with what it was at the start
            (latent.grad,) = torch.autograd.grad(discrepancy(latent.clone()).sum(), latent)
            adam.step()
        return latent.detach()

    def decode(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, "n c h w"]:
        """Return the generated images, in (0, 1), float32."""
        return (self.generator(latent) + 1) / 2
