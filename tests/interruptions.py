"""Training stopped again and again, as by a power cut between two batches, and gone on with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from normoscope.images import PixelStore
from normoscope.types import Detector, Method, Run


class Failing:
    """Images that can be asked for a number of batches, and then no more."""

    def __init__(self, images: PixelStore, batches: int) -> None:
        self.images, self.left = images, batches
        self.shape = images.shape

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: npt.NDArray[np.int64], device: str = "cpu") -> Tensor:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return self.images.batch(indices, device)


def fit_with_interruptions(recipe: Method, normals: PixelStore, folder: Path, batches: int) -> tuple[Detector, int]:
    """Fit, resuming after every `batches` batches; return the detector and how often it was stopped."""
    run = Run(seed=5, device="cpu", precision="float32", checkpoint=folder, resume=True, checkpoint_seconds=0)
    for stopped in range(100):
        try:
            return recipe.fit(Failing(normals, batches), run), stopped
        except KeyboardInterrupt:
            continue
    raise AssertionError("it never ended: no checkpoint brought it further")


def undisturbed(recipe: Method, normals: PixelStore) -> Detector:
    """Fit with the same seed in one go."""
    return recipe.fit(normals, Run(seed=5, device="cpu", precision="float32"))
