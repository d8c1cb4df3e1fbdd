"""Pixels in memory or on disk, handed out as float batches.

    uint8 / uint16 / float32 array (n, c, h, w) --batch(indices, device)--> float32 in [0, 1]

Only the batch asked for is converted, on the device it is used on, so peak memory does not depend on n.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from .errors import ImageShapeError
from .types import Images, Pixels

__all__ = [
    "BATCH",
    "IN_MEMORY_BYTES",
    "PixelStore",
    "allocate",
    "as_images",
    "batches",
    "check_shape",
    "content_hash",
    "unit_range",
]

BATCH = 256
"""Images scored at a time: fixed, so that a score does not depend on how many are scored with it."""

IN_MEMORY_BYTES = 128 * 1024 * 1024
"""Larger pixel stores live in an unnamed temporary file instead of memory."""


def unit_range(pixels: Float[Tensor, "..."], dtype: np.dtype[Any]) -> Float[Tensor, "..."]:
    """Scale integers by their type's maximum, so a 16-bit step of 1/65535 survives; floats stay."""
    return pixels / float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else pixels


def allocate(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array in memory, or over an unnamed temporary file where it would be large."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY_BYTES:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="normoscope-") as file:
        file.truncate(size)
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


class PixelStore:
    """Images kept as the file had them; `Images` for everything that fits or scores.

    Args:
        pixels: (n, c, h, w) uint8, uint16 or float32, in memory or memory-mapped.
        intensity: Maps a batch (integers already divided by their type's maximum) to [0, 1]; default: clip.
        index: Rows of `pixels` this store shows, in order; default all.
    """

    def __init__(
        self,
        pixels: npt.NDArray[Any],
        intensity: Callable[[Tensor], Tensor] | None = None,
        index: npt.NDArray[np.int64] | None = None,
    ) -> None:
        if pixels.ndim != 4:
            raise ImageShapeError(("c", "h", "w"), pixels.shape, "use normoscope.as_images")
        self.pixels = pixels
        self.intensity = intensity
        self.index = np.arange(len(pixels)) if index is None else np.asarray(index, np.int64)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, c, h, w)."""
        _, c, h, w = self.pixels.shape
        return len(self), c, h, w

    def subset(self, rows: npt.ArrayLike) -> PixelStore:
        """Show only these rows; pixels are shared, not copied."""
        return PixelStore(self.pixels, self.intensity, self.index[np.asarray(rows, np.int64)])

    def with_intensity(self, intensity: Callable[[Tensor], Tensor]) -> PixelStore:
        """Share the pixels under another intensity transform."""
        return PixelStore(self.pixels, intensity, self.index)

    def raw(self, indices: npt.ArrayLike, device: str = "cpu") -> Float[Tensor, "n c h w"]:
        """Return the batch before the intensity transform: floats, integers divided by their maximum."""
        rows = self.pixels[self.index[np.asarray(indices, np.int64)]]
        batch = torch.from_numpy(np.ascontiguousarray(rows)).to(device, non_blocking=True)
        return unit_range(batch.float(), rows.dtype)

    def batch(self, indices: npt.ArrayLike, device: str = "cpu") -> Float[Tensor, "n c h w"]:
        """Return these images as float32 in [0, 1] on the device."""
        batch = self.raw(indices, device)
        return batch.clamp_(0, 1) if self.intensity is None else self.intensity(batch)


def as_images(array: npt.ArrayLike | Tensor) -> PixelStore:
    """Wrap your own array: (n, h, w), (n, h, w, 3) or (n, c, h, w); integers, or floats in [0, 1].

    Raises:
        ImageShapeError: No such shape.

    Example:
        >>> import numpy as np
        >>> as_images(np.zeros((5, 28, 28), np.uint8)).shape
        (5, 1, 28, 28)
    """
    pixels = np.asarray(array)
    if pixels.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        pixels = pixels.astype(np.float32)
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.ndim == 4 and pixels.shape[-1] in (1, 3) and pixels.shape[1] not in (1, 3):
        pixels = np.moveaxis(pixels, -1, 1)
    if pixels.ndim != 4:
        raise ImageShapeError(("c", "h", "w"), pixels.shape, "pass (n, h, w), (n, h, w, 3) or (n, c, h, w)")
    return PixelStore(pixels)


def check_shape(images: Float[Tensor, "n c h w"], expected: Sequence[int]) -> None:
    """Refuse a batch whose images are not of the shape (c, h, w) that was fitted.

    Raises:
        ImageShapeError: Another shape.
    """
    if tuple(images.shape[1:]) != tuple(expected):
        raise ImageShapeError(expected, images.shape)


def batches(images: Images, size: int = 256, device: str = "cpu") -> Iterator[Float[Tensor, "n c h w"]]:
    """Walk through all images in order."""
    for start in range(0, len(images), size):
        yield images.batch(np.arange(start, min(start + size, len(images))), device)


def content_hash(pixels: Pixels) -> str:
    """Hash what was decoded, so that the same picture under another name or container is the same."""
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    digest = hashlib.blake2b(f"{pixels.dtype}{pixels.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
