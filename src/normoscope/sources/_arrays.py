"""Arrays out of .npz and .npy files, large ones on disk instead of in memory; no pickle is ever loaded."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from ..decoding import MAX_PIXELS
from ..errors import DISK_FULL, DataNotFoundError, LayoutError, UnreadableImageError
from ..images import allocate
from ..types import Pixels, Sample, Split

__all__ = ["check_images", "keys", "read_array", "row_reader", "samples_of"]

Array = npt.NDArray[Any]


def keys(path: Path) -> list[str]:
    """List the arrays of an .npz; an .npy holds one, called images.

    Raises:
        DataNotFoundError: No such file.
        LayoutError: Not an archive of arrays, truncated or empty.
    """
    if not path.is_file():
        raise DataNotFoundError(str(path), str(path.parent), "check the path")
    try:
        if _is_npy(path):
            return ["images"]
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except Exception as error:  # parsers of untrusted bytes raise anything: UnicodeDecodeError, struct.error ...
        cause = "an empty file" if path.stat().st_size == 0 else f"a damaged or truncated file ({error})"
        raise LayoutError(str(path), "an .npz archive", cause, "write or download it again") from None


def read_array(path: Path, key: str) -> Array:
    """Read one array; stored large members are memory-mapped, compressed large ones unpacked to a temporary file.

    Raises:
        LayoutError: Damaged, truncated, or holds Python objects.
    """
    try:
        if _is_npy(path):
            return cast("Array", np.lib.format.open_memmap(path, mode="r"))
        with zipfile.ZipFile(path) as archive, archive.open(key + ".npy") as member:
            return _read_member(member, archive.getinfo(key + ".npy").file_size)
    except Exception as error:  # as above: zlib.error, LZMAError, TokenError, MemoryError ...
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise
        cause = "Python objects" if "Python objects" in str(error) else f"a damaged or truncated array ({error})"
        todo = "write plain numeric arrays" if cause == "Python objects" else "write or download it again"
        raise LayoutError(f"{path}, array {key!r}", "numbers", cause, todo) from None


def _is_npy(path: Path) -> bool:
    """Tell a single array by its name or, under any other name, by its first bytes."""
    with path.open("rb") as file:
        return path.suffix.lower() == ".npy" or file.read(6) == b"\x93NUMPY"


def _read_member(member: IO[bytes], size: int) -> Array:
    """Read one .npy stream, never trusting the size its header claims."""
    version = np.lib.format.read_magic(member)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(member)
    if dtype.hasobject:
        raise ValueError("Python objects are not loaded")
    claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if claimed != size - member.tell():
        raise ValueError(f"the header claims {claimed} bytes, the member holds {size - member.tell()}")
    array = allocate(tuple(shape[::-1] if fortran else shape), dtype)
    target = array.reshape(-1).view(np.uint8)
    done = 0
    while done < claimed:
        chunk = member.read(min(1 << 22, claimed - done))
        if not chunk:
            raise EOFError("the array ends early")
        target[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
    return array.T if fortran else array


def check_images(where: str, array: Array) -> Array:
    """Return images as (n, h, w) or (n, h, w, 3), uint8, uint16 or float32.

    Raises:
        LayoutError: Another shape or type.
    """
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if not (array.ndim == 3 or (array.ndim == 4 and array.shape[-1] == 3)) or 0 in array.shape:
        raise LayoutError(where, "images of shape (n, h, w) or (n, h, w, 3)", f"shape {array.shape}")
    if max(array.shape[1:3]) ** 2 > MAX_PIXELS:
        raise LayoutError(where, f"images of at most {MAX_PIXELS:,} pixels once padded to a square", str(array.shape))
    if array.dtype in (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32)):
        return array
    if array.dtype == np.float64:
        return array.astype(np.float32)
    raise LayoutError(where, "uint8, uint16, float32 or float64 pixels", str(array.dtype), "convert the array")


def _row(array: Array, index: int, name: str) -> Pixels:
    """Read one image; NaN and infinity are refused."""
    pixels = np.asarray(array[index])
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise UnreadableImageError(name, "holds NaN or infinite pixels")
    return pixels


def row_reader(array: Array, index: int, name: str) -> partial[Pixels]:
    """Return a reader of one row."""
    return partial(_row, array, index, name)


def _mask_row(masks: Array, index: int, name: str) -> Pixels:
    """Read one mask: every pixel above zero; NaN is refused."""
    mask = np.asarray(masks[index])
    if mask.dtype.kind == "f" and np.isnan(mask).any():
        raise UnreadableImageError(name, "its mask holds NaN")
    return np.asarray(mask > 0)


def samples_of(
    images: Array,
    classes: Sequence[str] | None,
    names: Sequence[str],
    split: Split | None,
    masks: Array | None = None,
    patients: Sequence[str] | None = None,
) -> list[Sample]:
    """Make one lazy sample per row."""
    return [
        Sample(
            name,
            row_reader(images, i, name),
            class_name=None if classes is None else classes[i],
            split=split,
            patient=None if patients is None else patients[i],
            read_mask=None if masks is None else partial(_mask_row, masks, i, name),
        )
        for i, name in enumerate(names)
    ]
