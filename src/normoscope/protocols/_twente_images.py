"""The Twente study's images: 28 pixels, grey, in [0, 1]; which of them train and test; noise on them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import TooFewImagesError
from ..images import PixelStore
from ..transforms import Preprocessing
from ._data import DATA, read

__all__ = ["NOISE", "Pictures", "drawn", "noisy", "pictures", "standard_noise", "uniform_noise"]

NOISE = "uniform noise"
"""Not a data set: images without any content, beside the others."""

_SIDE = 28

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pictures:
    """A data set's images.

    Args:
        images: All of them; grey values are divided by their type's maximum, nothing is fitted.
        labels: (n,) 1 anomalous, 0 normal.
        testing: (n,) whether it is of the official test part.
        digest: Hash of all pixels, labels and parts.
    """

    images: PixelStore
    labels: npt.NDArray[np.int64]
    testing: npt.NDArray[np.bool_]
    digest: str

    def training(self, *, normals_alone: bool, limit: int, seed: int) -> PixelStore:
        """Draw the images to train on from all that are not official test images: the paper adds validation to train.

        Args:
            normals_alone: Leave the abnormal images out.
            limit: At most so many.
            seed: Of the draw.

        Raises:
            TooFewImagesError: There are none.
        """
        kept = ~self.testing & ((self.labels == 0) | (not normals_alone))
        return self._store(drawn(np.flatnonzero(kept), limit, seed), "train")

    def tested(self, count: int, label: int | None = None) -> tuple[PixelStore, list[int]]:
        """Draw official test images, the same for every seed, and return them with their labels.

        Args:
            count: At most so many.
            label: Of this class alone; None of any.

        Raises:
            TooFewImagesError: There are none.
        """
        rows = drawn(np.flatnonzero(self.testing & ((self.labels == label) | (label is None))), count, 0)
        return self._store(rows, "test"), self.labels[rows].tolist()

    def borrowed(self, count: int) -> PixelStore | None:
        """Draw abnormal images that are not official test images, which a network trained on normals has not seen."""
        rows = drawn(np.flatnonzero(~self.testing & (self.labels == 1)), count, 0)
        return self.images.subset(rows) if len(rows) else None

    def some(self, count: int) -> PixelStore:
        """Draw from all images, the same for every seed."""
        return self._store(drawn(np.arange(len(self.labels)), count, 0), "all")

    def _store(self, rows: Rows, part: str) -> PixelStore:
        if not len(rows):
            raise TooFewImagesError(part, 1, 0, "add images of this part")
        return self.images.subset(rows)


def pictures(name: str) -> Pictures:
    """Read a data set that is present; once per process and place."""
    return _read(name, DATA[name].place)


@lru_cache(maxsize=4)
def _read(name: str, place: Path | None) -> Pictures:
    samples = read(name).samples
    prepared = Preprocessing(size=_SIDE, channels=1).plan(samples).prepare(samples)
    labels = np.asarray([int(bool(sample.label)) for sample in samples], np.int64)
    testing = np.asarray([sample.split == "test" for sample in samples])
    digest = hashlib.sha256(repr((labels.tolist(), testing.tolist())).encode())
    for content in prepared.hashes:
        digest.update(content.encode())
    return Pictures(prepared.images, labels, testing, digest.hexdigest()[:20])


def drawn(rows: Rows, count: int, seed: int) -> Rows:
    """Take the first of a seeded shuffle, in their old order."""
    order = np.random.default_rng(np.random.SeedSequence([seed, 0x7E27E])).permutation(len(rows))
    return np.sort(rows[order[:count]])


def uniform_noise(count: int, seed: int) -> PixelStore:
    """Make images whose pixels are independent and uniform."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x401CE]))
    return PixelStore(rng.integers(0, 256, (count, 1, _SIDE, _SIDE)).astype(np.uint8))


def standard_noise(images: Float[Tensor, "n c h w"], seed: int) -> Float[Tensor, "n c h w"]:
    """Draw independent values of mean 0 and deviation 1, one per pixel."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x6A055]))
    return torch.from_numpy(rng.standard_normal(tuple(images.shape), np.float32))


def noisy(images: Float[Tensor, "n c h w"], noise: Float[Tensor, "n c h w"], sigma: float) -> Float[Tensor, "n c h w"]:
    """Add noise of this deviation and clip to [0, 1], without which the cross-entropy has no value."""
    return (images + sigma * noise).clamp(0, 1)
