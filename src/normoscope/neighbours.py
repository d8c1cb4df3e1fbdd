"""The normal images that are most like one image, to the model.

    latents of training normals, z --Euclidean distance--> the nearest, and how far normals themselves are from theirs

A distance alone says nothing: in many dimensions everything is far. So it is compared with the distances at which
the training normals find their own nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .errors import TooFewImagesError

__all__ = ["SHOWN", "Neighbour", "NormalLatents"]

SHOWN = 5
"""Nearest normals that are shown."""

_FEWEST = 2


@dataclass(frozen=True)
class Neighbour:
    """One near normal.

    Args:
        row: Where it stands among the normals.
        name: As the data calls it.
        distance: In latent units.
    """

    row: int
    name: str
    distance: float


@dataclass(frozen=True)
class NormalLatents:
    """Latent vectors of training normals.

    Args:
        latents: One normal a row.
        names: Of the normals.
        apart: Ascending; each normal's distance to the nearest other one.
    """

    latents: Float[np.ndarray, "n d"]
    names: tuple[str, ...]
    apart: Float[np.ndarray, " n"]

    @classmethod
    def of(cls, latents: Float[np.ndarray, "n d"], names: Sequence[str]) -> NormalLatents:
        """Measure how far the normals are from each other.

        Raises:
            TooFewImagesError: Fewer than 2.
        """
        from sklearn.neighbors import NearestNeighbors

        if len(latents) < _FEWEST:
            raise TooFewImagesError("normals to be neighbours", _FEWEST, len(latents))
        distances = NearestNeighbors(n_neighbors=2).fit(latents).kneighbors(latents)[0]
        return cls(latents, tuple(names), np.sort(distances[:, 1]))

    def nearest(self, latent: Float[np.ndarray, " d"], most: int = SHOWN) -> tuple[Neighbour, ...]:
        """Return the nearest normals, the nearest first; a normal that is the image itself counts."""
        distances = np.linalg.norm(self.latents - latent, axis=1)
        order = np.argsort(distances, kind="stable")[:most]
        return tuple(Neighbour(int(row), self.names[row], float(distances[row])) for row in order)

    def further_than(self, distance: float) -> float:
        """Return the share of normals that are nearer to their nearest than this distance."""
        return float(np.mean(self.apart < distance))
