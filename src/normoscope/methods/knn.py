"""Mean distance to the nearest normal images, in HOG or pixel space.

    image --HOG--> feature --Euclidean distance to every training normal--> mean of the 5 smallest

Nothing is learnt; it is the baseline to beat, and on chest X-rays the autoencoders here do not.

Reference: Ramaswamy, Rastogi, Shim, Efficient algorithms for mining outliers from large data sets, SIGMOD 2000;
features: Dalal and Triggs, CVPR 2005.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError, TooFewImagesError
from ..features import hog, hog_cell, pixels
from ..images import batches, check_shape
from ..types import Images, Run, State

__all__ = ["KNN", "Features"]


class Features(Enum):
    """The space distances are measured in."""

    HOG = "hog"
    PIXELS = "pixels"

    @property
    def extract(self) -> Callable[[Tensor, int], Tensor]:
        """Images and HOG cell side to feature vectors."""
        return hog if self is Features.HOG else pixels


@dataclass(frozen=True)
class KNN:
    """Nearest-neighbour recipe.

    Args:
        neighbours: How many nearest training normals are averaged.
        features: hog or pixels.
        cell: HOG cell side in pixels; 0 takes 4 below 48 pixels and a quarter of the side above.
    """

    neighbours: int = 5
    features: Features = Features.HOG
    cell: int = 0

    quick: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise OptionError("knn --neighbours", self.neighbours, "at least 1")
        if self.cell < 0:
            raise OptionError("knn --cell", self.cell, "0 (automatic) or a number of pixels")

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _NeighbourDistance:
        """Keep the features of every training normal.

        Raises:
            TooFewImagesError: Fewer normals than neighbours.
            OptionError: Images too small for 2x2 HOG cells.
        """
        if len(normals) < self.neighbours:
            raise TooFewImagesError("train", self.neighbours, len(normals), "add normal images or lower --neighbours")
        cell = self.cell or hog_cell(min(normals.shape[2:]))
        if self.features is Features.HOG and 2 * cell > min(normals.shape[2:]):
            raise OptionError("knn --cell", cell, f"at most half the image side, {min(normals.shape[2:]) // 2} pixels")
        reference = torch.cat([self.features.extract(batch, cell) for batch in batches(normals)])
        return _NeighbourDistance(self, reference, cell, normals.shape[1:])

    def restore(self, state: State) -> _NeighbourDistance:
        """Rebuild the fitted detector."""
        return _NeighbourDistance(self, state["reference"], int(state["cell"]), state["image_shape"].tolist())


class _NeighbourDistance:
    """Fitted: the training normals' features."""

    def __init__(self, method: KNN, reference: Float[Tensor, "m d"], cell: int, image_shape: Sequence[int]) -> None:
        self.method, self.reference, self.cell, self.image_shape = method, reference, cell, image_shape

    def embed(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the feature vectors."""
        check_shape(images, self.image_shape)
        return self.method.features.extract(images.cpu(), self.cell)

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the mean Euclidean distance to the nearest training normals."""
        # differences, not the |a|² - 2ab + |b|² trick: a copy of a training image must be at distance 0
        distances = torch.cdist(self.embed(images), self.reference, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.topk(self.method.neighbours, largest=False).values.mean(1)

    def state(self) -> State:
        """Return the features, the cell side and the image shape."""
        return {
            "reference": self.reference,
            "cell": torch.tensor(self.cell),
            "image_shape": torch.tensor(self.image_shape),
        }
