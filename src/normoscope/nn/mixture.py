"""A Gaussian mixture told from soft memberships, differentiable, and the autoencoder that carries one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .autoencoder import ConvAutoencoder

__all__ = ["Mixture", "MixtureAutoencoder", "reconstruction_features"]

_TINY = 1e-60  # its cube is still a float64: gradients of a Gaussian without members stay finite


@dataclass(frozen=True)
class Mixture:
    """K Gaussians with full covariances, all float64.

    Args:
        weights: phi, the share of each.
        means: mu.
        covariances: Sigma, positive definite.
    """

    weights: Float[Tensor, " k"]
    means: Float[Tensor, "k d"]
    covariances: Float[Tensor, "k d d"]

    @classmethod
    def estimated(cls, points: Float[Tensor, "n d"], memberships: Float[Tensor, "n k"], floor: float) -> Self:
        """Return the mixture whose moments are those of the points, weighted by membership.

        Args:
            points: One row per image.
            memberships: How far each point belongs to each Gaussian; rows sum to 1.
            floor: Added to every variance, in units of the Gaussian's mean variance where that is above 1. Fewer
                points than dimensions, equal points and Gaussians without members so still have a density.
        """
        points, memberships = points.double(), memberships.double()
        totals = memberships.sum(0).clamp_min(_TINY)
        means = memberships.T @ points / totals[:, None]
        centred = points - means[:, None]
        scatter = torch.einsum("nk,kni,knj->kij", memberships, centred, centred) / totals[:, None, None]
        scale = scatter.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1).detach()
        identity = torch.eye(points.shape[1], dtype=torch.float64, device=points.device)
        return cls(totals / len(points), means, scatter + floor * scale[:, None, None] * identity)

    def energy(self, points: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Return -log sum_k phi_k N(point; mu_k, Sigma_k)."""
        factors = torch.linalg.cholesky(self.covariances)
        identity = torch.eye(self.means.shape[1], dtype=torch.float64, device=self.means.device)
        # One small inverse instead of a solve per batch: rows then do not depend on how many there are.
        whitening = torch.linalg.solve_triangular(factors, identity.expand_as(factors), upper=False)
        white = torch.einsum("kij,knj->kni", whitening, points.double() - self.means[:, None])
        log_roots = factors.diagonal(dim1=1, dim2=2).log().sum(1) + 0.5 * len(identity) * math.log(2 * math.pi)
        logs = self.weights.clamp_min(_TINY).log() - log_roots
        return -torch.logsumexp(logs[:, None] - 0.5 * white.square().sum(2), 0)

    def degeneracy(self) -> Float[Tensor, ""]:
        """Return the sum of all inverse variances, which grows as a Gaussian flattens."""
        return self.covariances.diagonal(dim1=1, dim2=2).reciprocal().sum()


def reconstruction_features(
    images: Float[Tensor, "n c h w"], reconstruction: Float[Tensor, "n c h w"]
) -> Float[Tensor, "n 2"]:
    """Return how far and in which direction the reconstruction lies: |x - x'| / |x| and the cosine of x and x'."""
    x, redrawn = images.flatten(1), reconstruction.flatten(1)
    relative = (x - redrawn).norm(dim=1) / x.norm(dim=1).clamp_min(1e-8)
    return torch.stack([relative, F.cosine_similarity(x, redrawn)], 1)


class MixtureAutoencoder(ConvAutoencoder):
    """An autoencoder, the network that guesses memberships, and the mixture that scores.

        features (latent, two of the reconstruction) -> linear, tanh, dropout -> linear, softmax -> memberships

    Args:
        image_shape: (c, h, w).
        channels: Output channels of the encoder's convolutions; the decoder mirrors them.
        latent_dim: Length of the latent vector.
        components: Gaussians in the mixture.
        hidden: Units of the hidden layer that guesses memberships.
        dropout: Share of them silenced in training.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        channels: Sequence[int],
        latent_dim: int,
        components: int,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__(image_shape, channels, latent_dim)
        size = latent_dim + 2
        self.estimation = nn.Sequential(
            nn.Linear(size, hidden), nn.Tanh(), nn.Dropout(dropout), nn.Linear(hidden, components)
        )
        self.register_buffer("weights", torch.full((components,), 1 / components, dtype=torch.float64))
        self.register_buffer("means", torch.zeros(components, size, dtype=torch.float64))
        self.register_buffer("covariances", torch.eye(size, dtype=torch.float64).repeat(components, 1, 1))

    @property
    def mixture(self) -> Mixture:
        """The mixture that scores."""
        return Mixture(self.weights, self.means, self.covariances)

    def remember(self, mixture: Mixture) -> None:
        """Keep this mixture as the one that scores."""
        for field in fields(mixture):
            self.get_buffer(field.name).copy_(getattr(mixture, field.name))

    def features(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d+2"]:
        """Return the latent vector and the two reconstruction features of each image."""
        return self.described(images)[0]

    def described(self, images: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n d+2"], Float[Tensor, "n c h w"]]:
        """Return features and reconstructions."""
        latent = self.encode(images)
        reconstruction = self.decode(latent)
        return torch.cat([latent, reconstruction_features(images, reconstruction)], 1), reconstruction

    def memberships(self, features: Float[Tensor, "n d+2"]) -> Float[Tensor, "n k"]:
        """Return how far each image belongs to each Gaussian, rows summing to 1, float64."""
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.estimation(features)
        return logits.double().softmax(1)
