"""What the Twente study published, and the sizes of its experiments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ANOMALIES", "EPOCHS", "FASHION", "HELD_OUT", "IMAGES", "MEDICAL", "PUBLISHED", "SETS", "Published"]


@dataclass(frozen=True)
class Published:
    """A row of its Table 1.

    Args:
        bce: Reconstruction error.
        fashion: Per cent of FashionMNIST images detected.
        noise: Per cent of own images with Gaussian noise detected.
        real: Per cent of real anomalies detected; None where the set has none.
        images: Training images.
        seconds: Training time.
    """

    bce: float
    fashion: float
    noise: float
    real: float | None
    images: int
    seconds: float

    @property
    def rate(self) -> float:
        """Its computational cost: images over seconds."""
        return self.images / self.seconds


PUBLISHED: Mapping[str, Published] = {
    "mnist": Published(0.3408, 96.2, 87.3, None, 11000, 324.35),
    "pneumoniamnist": Published(0.7381, 86.2, 82.5, 26.0, 5232, 145.52),
    "octmnist": Published(0.5146, 69.8, 85.9, 19.0, 11000, 336.17),
}
SETS = tuple(PUBLISHED)
MEDICAL = tuple(name for name in SETS if PUBLISHED[name].real is not None)
FASHION = "fashion_mnist"
EPOCHS, IMAGES, ANOMALIES = 25, 11000, 500
HELD_OUT = 1000
"""Ours: the paper draws the errors of 100 normals after training (Figure 5) and reports no rate of theirs."""
