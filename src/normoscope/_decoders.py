"""Which library decodes what, and the header checks before it may.

| file | decoder | because |
|---|---|---|
| PNG, JPEG, WebP, BMP, 8-bit TIFF | Pillow | fast, and bounded by the header's size |
| 16-bit colour or alpha PNG | pypng | Pillow narrows it to 8 bits |
| 16-bit and floating TIFF | tifffile | Pillow narrows colour to 8 bits and swaps big-endian floats wrongly |
| the same, grey, LZW or float predictor | Pillow's libtiff | tifffile alone lacks these codecs |
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import tifffile
from PIL import Image

from .types import Pixels

__all__ = ["MAX_PIXELS", "Refused", "decode", "decode_tiff", "see_through", "size_of", "size_of_tiff", "too_large"]

MAX_PIXELS = 100_000_000
"""Headers that declare more (a 10,000 x 10,000 image) are refused before any memory is taken."""

_ORIENTATION = 0x0112  # the Exif and TIFF tag
_SIDEWAYS = (5, 6, 7, 8)
_TURNS: Mapping[int, Callable[[Pixels], Pixels]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: np.rot90,
}
_DEFLATE = ("ADOBE_DEFLATE", "DEFLATE")
_TIFFFILE_CODECS = ("NONE", "PACKBITS", *_DEFLATE)


class Refused(Exception):
    """A cause, on its way to the place that knows the file's name."""


def too_large() -> Refused:
    """The header declares more pixels than anyone means to train on."""
    return Refused(f"its header declares more than {MAX_PIXELS:,} pixels; cut it into tiles or scale it down")


def see_through() -> Refused:
    """What lies behind a see-through pixel is unknown."""
    return Refused("it has see-through pixels, whose grey value is unknown; save it without transparency")


def size_of(file: BinaryIO, kind: str) -> tuple[int, int]:
    """Return (h, w) of a PNG, JPEG, WebP or BMP, turned as Exif says."""
    with Image.open(file, formats=[kind]) as image:
        _check_header(image)
        return _turned_size(image.height, image.width, image.getexif().get(_ORIENTATION, 1))


def decode(file: BinaryIO, kind: str) -> Pixels:
    """Decode a PNG, JPEG, WebP or BMP in the depth the file has, any alpha channel still there."""
    with Image.open(file, formats=[kind]) as image:
        _check_header(image)
        image.load()  # also finds a truncated file before the slower 16-bit decoder starts
        pixels = _sixteen_bit_png(file) if kind == "PNG" else None
        pixels = _from_pillow(image) if pixels is None else pixels
        _refuse_key_colour(pixels, image.info.get("transparency"))
        return _turned(pixels, image.getexif().get(_ORIENTATION, 1))


def size_of_tiff(file: BinaryIO) -> tuple[int, int]:
    """Return (h, w) of a TIFF, turned as its tag says."""
    page = _first_page(file)
    return _turned_size(page.imagelength, page.imagewidth, _orientation(page))


def decode_tiff(file: BinaryIO) -> Pixels:
    """Decode a TIFF's one page in the depth the file has, any alpha channel still there."""
    page = _first_page(file)
    grey, deep = page.samplesperpixel == 1, page.bitspersample > 8
    if deep and page.bitspersample % 16 == 0 and _tifffile_has_codec(page):
        _check_tiff_inflation(file, page)
        pixels = page.asarray(maxworkers=1)
        pixels = np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels
        return _turned(_black_is_zero(pixels, page), _orientation(page))
    if not deep:
        return _decode_with_libtiff(file)
    if grey and (page.dtype == np.uint16 or (page.dtype == np.float32 and page.parent.byteorder == "<")):
        return _black_is_zero(_decode_with_libtiff(file), page)
    codec = tifffile.COMPRESSION(page.compression).name
    raise Refused(f"{page.dtype} TIFF with {codec} compression is not read; save it uncompressed or with deflate")


def _first_page(file: BinaryIO) -> tifffile.TiffPage:
    """Parse the header and refuse what must not be decoded."""
    tiff = tifffile.TiffFile(file)
    page = tiff.pages.first
    _check_size(page.imagewidth, page.imagelength)
    slices = (tiff.imagej_metadata or {}).get("images", 1)
    _check_frames(max(len(tiff.pages), page.imagedepth, int(slices)))
    if page.photometric == tifffile.PHOTOMETRIC.SEPARATED:
        raise _cmyk()
    if page.samplesperpixel > 4:
        raise Refused(f"it has {page.samplesperpixel} channels; expected grey or RGB")
    if page.dtype is None:
        raise Refused(f"its pixels have {page.bitspersample} bits; save them with 8 or 16, or as float32")
    return page


def _tifffile_has_codec(page: tifffile.TiffPage) -> bool:
    codec = tifffile.COMPRESSION(page.compression).name
    return codec in _TIFFFILE_CODECS and page.predictor in (1, 2)


def _black_is_zero(pixels: Pixels, page: tifffile.TiffPage) -> Pixels:
    """Invert white-is-zero; both decoders leave that to the caller beyond 8 bits."""
    if page.photometric != tifffile.PHOTOMETRIC.MINISWHITE or pixels.dtype != np.uint16:
        return pixels
    return np.asarray(np.uint16((1 << page.bitspersample) - 1) - pixels)


def _orientation(page: tifffile.TiffPage) -> int:
    tag = page.tags.get(_ORIENTATION)
    return 1 if tag is None else int(tag.value)


def _decode_with_libtiff(file: BinaryIO) -> Pixels:
    file.seek(0)
    with Image.open(file, formats=["TIFF"]) as image, _silent_stderr():
        _check_header(image)
        image.load()  # turns the image too
        return _from_pillow(image)


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discard what libtiff itself writes to file descriptor 2 about a damaged file."""
    try:
        kept = os.dup(2)
    except OSError:  # a service without standard error
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _check_header(image: Image.Image) -> None:
    _check_size(image.width, image.height)
    _check_frames(getattr(image, "n_frames", 1))
    if image.mode == "CMYK":
        raise _cmyk()


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise too_large()
    if not width * height:
        raise Refused(f"its header declares {width} x {height} pixels")


def _check_frames(frames: int) -> None:
    if frames > 1:
        raise Refused(f"it has {frames} frames (animated or multi-page); save each image as its own file")


def _cmyk() -> Refused:
    return Refused("its colours are CMYK (for print); convert it to grey or RGB")


def _from_pillow(image: Image.Image) -> Pixels:
    """Return the decoded pixels in the depth the file has."""
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("YCbCr", "RGBX"):
        image = image.convert("RGB")
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "F", "I") and not image.mode.startswith("I;16"):
        raise Refused(f"its colours are {image.mode}; convert it to grey or RGB")
    pixels = np.asarray(image)
    return pixels.astype(np.uint16) if image.mode.startswith("I;16") else pixels


def _sixteen_bit_png(file: BinaryIO) -> Pixels | None:
    """Decode a PNG whose header says 16-bit colour or alpha, None for any other."""
    file.seek(24)
    depth, colours = file.read(2)
    if depth != 16 or colours == 0:
        return None
    import png

    file.seek(0)
    data = file.read()
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    compressed = b"".join(body for kind, body in png.Reader(bytes=data).chunks() if kind == b"IDAT")
    _check_inflation(compressed, 2 * (8 * width + 1) * height)  # 4 samples of 2 bytes, a filter byte, interlacing
    width, height, rows, facts = png.Reader(bytes=data).read()
    return np.vstack([np.asarray(row, np.uint16) for row in rows]).reshape(height, width, facts["planes"])


def _check_tiff_inflation(file: BinaryIO, page: tifffile.TiffPage) -> None:
    if tifffile.COMPRESSION(page.compression).name in _DEFLATE:
        sample = page.nbytes // page.size  # bytes
        tile = min(math.prod(page.chunks), MAX_PIXELS) * sample  # may be larger than the image
        for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
            file.seek(offset)
            _check_inflation(file.read(size), max(page.nbytes, tile))


def _check_inflation(compressed: bytes, most: int) -> None:
    """Refuse data that unpacks to more than the header declares: pypng and tifffile would unpack all of it."""
    slack = 4096  # interlacing adds filter bytes
    if len(zlib.decompressobj().decompress(compressed, most + slack)) == most + slack:
        raise Refused("it holds more data than its header declares")


def _refuse_key_colour(pixels: Pixels, key: object) -> None:
    """Refuse an image in which PNG's one see-through colour occurs (a palette's is in its alpha already)."""
    if isinstance(key, int | tuple) and pixels.shape[2:] in ((), (3,)):
        match = pixels == np.asarray(key)
        if bool((match.all(axis=-1) if pixels.ndim == 3 else match).any()):
            raise see_through()


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """Apply the Exif orientation; 1 and unknown values leave the pixels."""
    return _TURNS[orientation](pixels) if orientation in _TURNS else pixels


def _turned_size(height: int, width: int, orientation: int) -> tuple[int, int]:
    return (width, height) if orientation in _SIDEWAYS else (height, width)
