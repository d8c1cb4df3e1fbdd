"""The normal images that are most like one image, to the model.

    latents of training normals, z --Euclidean distance--> the nearest, and how far normals themselves are from theirs

A distance alone says nothing: in many dimensions everything is far. So it is compared with the distances at which
the training normals find their own nearest. Images of one patient are alike, and a new image is of a new patient: a
normal's nearest is that of another patient, where ids are known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

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
        apart: Ascending; each normal's distance to the nearest other one, of another patient where ids are known; empty
            where all are of one.
    """

    latents: Float[np.ndarray, "n d"]
    names: tuple[str, ...]
    apart: Float[np.ndarray, " n"]

    @classmethod
    def of(
        cls, latents: Float[np.ndarray, "n d"], names: Sequence[str], patients: Sequence[str] | None = None
    ) -> NormalLatents:
        """Measure how far the normals are from each other.

        Args:
            latents: One normal a row.
            names: Of the normals.
            patients: Of the normals; None counts every image as a patient.

        Raises:
            TooFewImagesError: Fewer than 2.
        """
        from scipy.spatial.distance import cdist

        if len(latents) < _FEWEST:
            raise TooFewImagesError("normals to be neighbours", _FEWEST, len(latents))
        owners = np.unique(np.arange(len(latents)) if patients is None else patients, return_inverse=True)[1]
        if not owners.any():
            return cls(latents, tuple(names), np.empty(0))
        distances = cdist(latents, latents)
        distances[owners[:, None] == owners] = np.inf
        return cls(latents, tuple(names), np.sort(distances.min(1)))

    def nearest(
        self, latent: Float[np.ndarray, " d"], most: int = SHOWN, without: Bool[np.ndarray, " n"] | None = None
    ) -> tuple[Neighbour, ...]:
        """Return the nearest normals but those of `without`, the nearest first."""
        distances = np.linalg.norm(self.latents - latent, axis=1)
        order = np.argsort(distances, kind="stable")
        order = order[:most] if without is None else order[~without[order]][:most]
        return tuple(Neighbour(int(row), self.names[row], float(distances[row])) for row in order)

    def further_than(self, distance: float) -> float:
        """Return the share of normals that are nearer to their nearest than this distance; nan where none have one."""
        return float(np.mean(self.apart < distance)) if len(self.apart) else math.nan
