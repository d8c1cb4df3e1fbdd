"""What the decoder draws on a straight walk through the middle of the normals' latent vectors.

    mean latent of normals, one coordinate or component from -2.5 to +2.5 sd --decode--> seven images

A traversal shows the decoder, not the data: coordinates of an ordinary autoencoder move together in real images, so a
point on the way may be one that no image has. Principal components move as the normals do, but linearly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .estimates import Estimate
from .projection import principal_directions

__all__ = ["COMPONENTS", "REACH", "SHOWN", "STEPS", "Traversal", "traversals"]

SHOWN = 6
"""Coordinates walked along."""

COMPONENTS = 2
"""Principal components walked along."""

STEPS = 7
"""Images on each walk; the middle one is decoded from the mean."""

REACH = 2.5
"""Standard deviations of the normals that a walk goes to either side."""


@dataclass(frozen=True)
class Traversal:
    """A walk in one direction.

    Args:
        title: Which coordinate or principal component.
        share: Of the normals' variance that lies along it.
        images: (7, c, h, w) in [0, 1]; None where nothing was decoded.
        information: Bits that a coordinate carries above the noise; None where they were not measured.
    """

    title: str
    share: float
    images: Float[np.ndarray, "k c h w"] | None
    information: Estimate | None = None


def traversals(
    decode: Callable[[Tensor], Tensor] | None, normals: Float[np.ndarray, "n d"], information: tuple[Estimate, ...] = ()
) -> tuple[Traversal, ...]:
    """Walk along the first two principal components and along the six coordinates with most information.

    Args:
        decode: Maps latents (n, d) to images; None leaves the images out.
        normals: Latents of normals; their mean is where the walks cross, their deviation the step.
        information: Of each coordinate; without it, or where it is not estimable, the most varying ones are taken.
    """
    bits = np.asarray([estimate.value for estimate in information])
    known = len(bits) == normals.shape[1] and bool(np.isfinite(bits).all())
    order = np.argsort(-(bits if known else normals.std(0)), kind="stable")[:SHOWN].tolist()
    components = principal_directions(normals)[:COMPONENTS]
    along = [_walked(decode, normals, axis, f"component {i}") for i, axis in enumerate(components, start=1)]
    axes = np.eye(normals.shape[1])
    found = [_walked(decode, normals, axes[i], f"coordinate {i + 1}") for i in order]
    if known:
        found = [replace(walk, information=information[i]) for walk, i in zip(found, order, strict=True)]
    return (*along, *found)


def _walked(
    decode: Callable[[Tensor], Tensor] | None,
    normals: Float[np.ndarray, "n d"],
    axis: Float[np.ndarray, " d"],
    title: str,
) -> Traversal:
    deviation = float((normals @ axis).std())
    whole = float(normals.var(0).sum())
    share = deviation**2 / whole if whole else 0.0
    if decode is None:
        return Traversal(title, share, None)
    points = normals.mean(0) + np.linspace(-REACH, REACH, STEPS)[:, None] * deviation * axis
    return Traversal(title, share, decode(torch.from_numpy(points).float()).clamp(0, 1).numpy())
