"""A generator whose critic measures a distance instead of giving a verdict, and an encoder into its latent space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .autoencoder import Autoencoder
from .gan import ConvEncoder, Generator, signed

__all__ = ["WassersteinGAN", "gradient_penalty"]

# each image by itself: a penalty on every image's slope allows no statistics of the batch
_layer_norm = partial(nn.GroupNorm, 1)


class WassersteinGAN(Autoencoder):
    """A generator, its critic, and an encoder into its latent space."""

    def __init__(self, image_shape: Sequence[int], width: int, latent_dim: int) -> None:
        super().__init__()
        self.image_shape, self.latent_dim = tuple(image_shape), latent_dim
        self.generator = Generator(image_shape, width, latent_dim)
        self.critic = ConvEncoder(image_shape, width, 1, _layer_norm)
        self.encoder = ConvEncoder(image_shape, width, latent_dim)

    def noise(self, count: int) -> Float[Tensor, "n d"]:
        """Draw latent vectors, standard normal."""
        return torch.randn(count, self.latent_dim, device=self.critic.head.weight.device)

    def encode(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the latent vectors, float32."""
        return self.encoder(signed(images))

    def decode(self, latent: Float[Tensor, "n d"]) -> Float[Tensor, "n c h w"]:
        """Return the generated images, in (0, 1), float32."""
        return (self.generator(latent) + 1) / 2

    def discrepancy(self, images: Float[Tensor, "n c h w"], kappa: float) -> Float[Tensor, " n"]:
        """Return the izi_f loss of each image, on the scale [-1, 1]."""
        pixels, features = self.residuals(images)
        return pixels + kappa * features

    def residuals(self, images: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Return the mean squared residuals of pixels, on the scale [-1, 1], and of the critic's features."""
        real = signed(images)
        made = self.generator(self.encoder(real))
        seen = self.critic.features(real) - self.critic.features(made)
        return (real - made).square().mean((1, 2, 3)), seen.square().mean(1)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Float[Tensor, "n c h w"], fake: Float[Tensor, "n c h w"]
) -> Float[Tensor, ""]:
    """Return the mean squared distance from one of the critic's slope between real and made-up images.

        mean (||grad critic(e real + (1 - e) fake)||_2 - 1)^2,   e uniform in [0, 1] per image

    Reference: Gulrajani et al., Improved Training of Wasserstein GANs, NeurIPS 2017, eq. 3.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = torch.lerp(fake.detach(), real, share).requires_grad_()
    # rounded slopes would make their distance from one noise
    with torch.autocast(real.device.type, enabled=False):
        slope: Tensor = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[0]
    steepness: Tensor = torch.linalg.vector_norm(slope.flatten(1), dim=1)
    return (steepness - 1).square().mean()
