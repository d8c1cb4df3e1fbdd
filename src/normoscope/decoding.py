"""From a file to pixels exactly as stored, or one sentence that says why not.

    file --first bytes--> kind --header: frames, size, colours--> refuse, or --decode--> uint8, uint16 or float32

The kind is read off the content, never off the name. Size and frames are checked on the header, before memory for
pixels is taken. Which library decodes what stands in `_decoders`.
"""

from __future__ import annotations

import io
import logging
import os
import stat
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool
from PIL import Image

from . import _decoders
from ._decoders import MAX_PIXELS, Refused
from .errors import UnreadableImageError, printable
from .types import Pixels

__all__ = ["MAX_PIXELS", "image_size", "read_array", "read_image", "read_mask"]

_MAGIC: Mapping[bytes, str] = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"RIFF": "WEBP",
    b"BM": "BMP",
}
_NIFTI = "a NIfTI file; BraTS cases are read with brats:FOLDER, of other volumes save the slices as PNG or TIFF"
_DICOM = "a DICOM file, which is not read yet; save it as 16-bit PNG or TIFF"
_OTHER_MAGIC: Mapping[bytes, str] = {
    b"\x5c\x01\0\0": _NIFTI,
    b"\0\0\x01\x5c": _NIFTI,
    b"\x1c\x02\0\0": _NIFTI,
    b"\0\0\x02\x1c": _NIFTI,
    b"GIF8": "a GIF, which is not read; save it as PNG",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 file, which is not read; save it as PNG or TIFF",
    b"%PDF": "a PDF document, not an image; export its images as PNG",
    b"PK\x03\x04": "a zip archive, not an image; unpack it first",
}
_OTHER_SUFFIX = {".dcm": _DICOM, ".dicom": _DICOM, ".nii": _NIFTI, ".nii.gz": _NIFTI}

# without a handler of their own, the decoders' remarks on damaged files would reach standard error
for _library in ("PIL", "tifffile"):
    logging.getLogger(_library).addHandler(logging.NullHandler())


def read_image(path: str | Path | bytes) -> Pixels:
    """Read one image as its file has it; Exif orientation is applied, fully opaque alpha dropped.

    Args:
        path: PNG, JPEG, TIFF, WebP or BMP, whatever its name ends in; or the bytes of such a file.

    Returns:
        (h, w) or (h, w, 3): uint8 (1-bit images as 0 and 255), uint16, or float32 with finite values.

    Raises:
        UnreadableImageError: The file is missing, not an image, empty, damaged, too large, animated or multi-page,
            CMYK, see-through, not finite, or of a depth that is neither unsigned 8 or 16 bits nor floating.
    """
    with _one_cause(path), _opened(path) as (file, kind):
        return _read(file, kind)


def read_array(array: npt.ArrayLike, name: str) -> Pixels:
    """Return an array that is an image, as it is.

    Args:
        array: (h, w) or (h, w, 3), numbers, finite; of a depth that suits the reader.
        name: What errors call it.

    Raises:
        UnreadableImageError: It has another shape, no pixels, or values that are not finite.
    """
    found = np.asarray(array)
    if found.dtype.kind not in "uif" or found.ndim not in (2, 3) or found.shape[2:] not in ((), (3,)) or not found.size:
        got = f"{' x '.join(map(str, found.shape)) or 'a single value'} of {found.dtype}"
        raise UnreadableImageError(name, f"expected numbers (h, w) or (h, w, 3), got {got}")
    try:
        _check_finite(found)
    except Refused as refusal:
        raise UnreadableImageError(name, str(refusal)) from None
    return found.astype(found.dtype.newbyteorder("="), copy=False)


def read_mask(path: str | Path, image: str | Path | None = None) -> Bool[np.ndarray, "h w"]:
    """Read a lesion mask: every pixel that is not black; in JPEG, whose black is noisy, the upper half of the range.

    Args:
        path: The mask's file.
        image: The image it belongs to; both must have the same size.

    Raises:
        UnreadableImageError: As `read_image`, or the sizes differ.
    """
    with _one_cause(path), _opened(path) as (file, kind):
        pixels = _read(file, kind)
    marked = pixels > (127 if kind == "JPEG" else 0)
    mask = np.asarray(marked.any(axis=-1) if pixels.ndim == 3 else marked)
    if image is not None and mask.shape != (wanted := image_size(image)):
        sizes = "the mask is {1} x {0} pixels, its image {3} x {2}".format(*mask.shape, *wanted)
        raise UnreadableImageError(printable(str(path)), f"{sizes}; both must have the same size")
    return mask


def image_size(path: str | Path | bytes) -> tuple[int, int]:
    """Return (h, w) as `read_image` would, from the header alone.

    Raises:
        UnreadableImageError: As `read_image`, as far as the header tells.
    """
    with _one_cause(path), _opened(path) as (file, kind):
        return _decoders.size_of_tiff(file) if kind == "TIFF" else _decoders.size_of(file, kind)


@contextmanager
def _one_cause(path: str | Path | bytes) -> Iterator[None]:
    """Turn whatever goes wrong inside into one error that names the file and one cause."""
    if not isinstance(path, (str, Path, bytes)):
        raise TypeError(f"an image is named by its path or given as bytes, not as {type(path).__name__}")
    try:
        with _no_warnings() if _decoders.only_thread() else nullcontext():
            yield
        return
    except Refused as refusal:
        cause, reason = str(refusal), None
    except Image.DecompressionBombError:
        cause, reason = str(_decoders.too_large()), None
    except Exception as error:  # decoders of untrusted bytes raise anything: struct.error, IndexError, SyntaxError ...
        known = isinstance(error, OSError) and error.errno and error.strerror
        cause, reason = str(known).lower() if known else str(_decoders.damaged()), error
    name = "the given bytes" if isinstance(path, bytes) else printable(str(path))
    raise UnreadableImageError(name, cause) from reason


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Keep the decoders' remarks to themselves; filters are the whole process's, so threads would mix them up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _opened(path: str | Path | bytes) -> Iterator[tuple[BinaryIO, str]]:
    """Open a regular file, or bytes, and tell its kind from its first bytes."""
    if isinstance(path, bytes):
        yield io.BytesIO(path), _kind(path[:132], "")
        return
    if "\0" in str(path):
        raise Refused("no file has a zero byte in its name")
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):  # opening a named pipe would wait for ever
        raise Refused("a folder, not a file" if stat.S_ISDIR(mode) else "not a regular file")
    with open(path, "rb") as file:
        kind = _kind(file.read(132), Path(path).name.lower())
        file.seek(0)
        yield file, kind


def _kind(head: bytes, name: str) -> str:
    if not head:
        raise Refused("the file is empty (0 bytes)")
    if head[128:] == b"DICM":  # asked first: such a file may begin like a TIFF
        raise Refused(_DICOM)
    for magic, kind in _MAGIC.items():
        if head.startswith(magic) and (kind != "WEBP" or head[8:12] == b"WEBP"):
            return kind
    for suffix, cause in _OTHER_SUFFIX.items():
        if name.endswith(suffix):
            raise Refused(cause)
    for magic, cause in _OTHER_MAGIC.items():
        if head.startswith(magic):
            raise Refused(cause)
    raise Refused("not an image: its content is not PNG, JPEG, TIFF, WebP or BMP")


def _read(file: BinaryIO, kind: str) -> Pixels:
    """Decode, and bring to one of the promised shapes and types."""
    pixels = _decoders.decode_tiff(file) if kind == "TIFF" else _decoders.decode(file, kind)
    if np.issubdtype(pixels.dtype, np.floating):
        pixels = _finite(pixels)
    if pixels.dtype not in (np.uint8, np.uint16, np.float32):
        raise _decoders.other_depth(pixels.dtype)
    if pixels.ndim not in (2, 3) or not pixels.size:
        raise Refused(f"its pixels have the shape {pixels.shape}; expected (h, w) or (h, w, 3)")
    return np.ascontiguousarray(_without_alpha(pixels))


def _finite(pixels: Pixels) -> Pixels:
    """Return float32, all finite."""
    with np.errstate(over="ignore"):
        pixels = pixels.astype(np.float32)
    _check_finite(pixels)
    return pixels


def _check_finite(pixels: Pixels) -> None:
    if bad := int(np.count_nonzero(~np.isfinite(pixels))):
        raise Refused(f"{bad} of its values are NaN or infinite; replace them")


def _without_alpha(pixels: Pixels) -> Pixels:
    """Drop an alpha channel that is opaque everywhere."""
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    if pixels.shape[2] not in (2, 4):
        raise Refused(f"it has {pixels.shape[2]} channels; expected grey or RGB")
    opaque = np.iinfo(pixels.dtype).max if np.issubdtype(pixels.dtype, np.integer) else 1
    if (pixels[..., -1] != opaque).any():
        raise _decoders.see_through()
    return pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]
