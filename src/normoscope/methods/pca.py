"""Distance of an image from the linear subspace that normal images span.

    image --subtract mean, project--> latent (d) --back--> reconstruction --squared residual, mean--> score

Reference: Jackson and Mudholkar, Control procedures for residuals associated with principal component analysis,
Technometrics 1979.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError, TooFewImagesError
from ..images import batches, check_shape
from ..nn.inference import in_chunks
from ..types import Images, Run, State

__all__ = ["PCA", "Subspace"]


@dataclass(frozen=True)
class PCA:
    """Principal component recipe.

    Args:
        latent_dim: Number of components; cut to what the training normals can span.
    """

    latent_dim: int = 32

    quick: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        if self.latent_dim < 1:
            raise OptionError("pca --latent-dim", self.latent_dim, "at least 1")

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> Subspace:
        """Fit mean and leading components by an exact eigendecomposition.

        Raises:
            TooFewImagesError: Fewer than 2 normals.
            OptionError: As many components as an image has values.
        """
        if len(normals) < 2:
            raise TooFewImagesError("train", 2, len(normals))
        flat = torch.cat([batch.flatten(1) for batch in batches(normals)]).double()
        mean = flat.mean(0)
        rank = min(self.latent_dim, len(flat) - 1, flat.shape[1])
        if rank == flat.shape[1]:  # nothing would be left of any image but rounding
            raise OptionError("pca --latent-dim", self.latent_dim, f"fewer than the {rank} values of an image")
        centred = flat - mean
        if len(flat) <= flat.shape[1]:
            values, vectors = torch.linalg.eigh(centred @ centred.T)
            scales = values[-rank:].clamp_min(1e-12 * max(float(values[-1]), 1e-300)).sqrt()
            components = (centred.T @ vectors[:, -rank:] / scales).T.flip(0)
        else:
            components = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -rank:].T.flip(0)
        return Subspace(self, mean.float(), components.float().contiguous(), normals.shape[1:])

    def restore(self, state: State) -> Subspace:
        """Rebuild the fitted detector."""
        return Subspace(self, state["mean"], state["components"], state["image_shape"].tolist())


class Subspace:
    """Fitted: the mean image and orthonormal components."""

    def __init__(
        self, method: PCA, mean: Float[Tensor, " p"], components: Float[Tensor, "d p"], image_shape: Sequence[int]
    ) -> None:
        self.method, self.mean, self.components, self.image_shape = method, mean, components, image_shape

    def embed(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the coordinates in the subspace."""
        return self._apply(self._project, images)

    def reconstruct(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the nearest point of the subspace."""
        return self._apply(self.redraw, images)

    def decode(self, latents: Float[Tensor, "n d"]) -> Float[Tensor, "n c h w"]:
        """Return the points of the subspace with these coordinates; their pixels may leave [0, 1]."""
        images = latents.to(self.components) @ self.components + self.mean
        return images.view(-1, *self.image_shape).to(latents.device)

    def anomaly_map(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
        """Return the squared residual, mean over channels."""
        return self._apply(lambda x: (x - self.redraw(x)).square().mean(1), images)

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the mean squared residual."""
        return self._apply(lambda x: (x - self.redraw(x)).square().mean((1, 2, 3)), images)

    def _project(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        return (images.flatten(1) - self.mean) @ self.components.T

    def redraw(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the reconstruction of one batch, on its device."""
        return (self._project(images) @ self.components + self.mean).view(images.shape)

    def _apply(self, function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        check_shape(images, self.image_shape)
        return in_chunks(function, images, self.mean.device, torch.float32)

    def state(self) -> State:
        """Return mean, components and image shape."""
        return {"mean": self.mean, "components": self.components, "image_shape": torch.tensor(self.image_shape)}
