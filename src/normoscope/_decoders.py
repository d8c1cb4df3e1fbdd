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
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import BinaryIO

import numpy as np
import tifffile
from PIL import Image

from .types import Pixels

__all__ = [
    "MAX_PIXELS",
    "Refused",
    "damaged",
    "decode",
    "decode_tiff",
    "only_thread",
    "other_depth",
    "see_through",
    "size_of",
    "size_of_tiff",
    "too_large",
]

MAX_PIXELS = 100_000_000
"""Headers that declare more (than 10,000 x 10,000), padded to a square, are refused before memory is taken."""

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
_PNG_SAMPLES: Mapping[int, int] = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the header's colour type
_WHOLE = ((0, 0, 1, 1),)
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_SLACK = 4096  # bytes that a writer may have left behind the last row
_AT_ONCE = 1 << 20  # bytes


class Refused(Exception):
    """A cause, on its way to the place that knows the file's name."""


def too_large() -> Refused:
    """The header declares more pixels than anyone means to train on."""
    return Refused(f"its header declares more than {MAX_PIXELS:,} pixels; cut it into tiles or scale it down")


def see_through() -> Refused:
    """What lies behind a see-through pixel is unknown."""
    return Refused("it has see-through pixels, whose grey value is unknown; save it without transparency")


def damaged() -> Refused:
    """Bytes are missing or wrong; which ones would help nobody."""
    return Refused("the file is truncated or damaged")


def other_depth(dtype: object) -> Refused:
    """Pixels of a type that no part of the program takes."""
    return Refused(f"its pixels are {dtype}; save them as unsigned 8- or 16-bit integers or as float32")


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
        pixels = _png(file, image) if kind == "PNG" else _from_pillow(image)
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
    if page.dtype == np.int8:  # Pillow takes it for uint8
        raise other_depth(page.dtype)
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
    _check_strips(page)
    return page


def _check_strips(page: tifffile.TiffPage) -> None:
    """Refuse a page with holes, which both decoders would fill with zeros or with other rows."""
    tables = page.dataoffsets, page.databytecounts
    if any(0 in table or len(table) < math.prod(page.chunked) for table in tables):
        raise Refused("some of its strips or tiles hold no data; save it again")


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
    with Image.open(file, formats=["TIFF"]) as image, _silent_stderr() if only_thread() else nullcontext():
        _check_header(image)
        image.load()  # turns the image too
        return _from_pillow(image)


def only_thread() -> bool:
    """Whether what this thread changes for the whole process reaches no other: tqdm's monitor reads none of it."""
    own = threading.current_thread()
    return all(one is own or type(one).__name__ == "TMonitor" for one in threading.enumerate())


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discard what libtiff itself writes to file descriptor 2 about a damaged file; other threads would lose lines."""
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
    if max(width, height) ** 2 > MAX_PIXELS:  # a method's images are square, and padding makes them so
        raise Refused(
            f"its header declares {width} x {height} pixels, more than {MAX_PIXELS:,} once padded to a square; "
            "cut it into tiles or scale it down"
        )


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


def _png(file: BinaryIO, image: Image.Image) -> Pixels:
    """Decode a PNG that Pillow has loaded, if all its rows are there and nothing is see-through."""
    file.seek(24)
    bits, colours, *_, interlaced = file.read(5)
    declared = _png_bytes(image.width, image.height, bits * _PNG_SAMPLES[colours], bool(interlaced))
    _check_inflation(_idat(file), declared, declared)
    pixels = _sixteen_bit_png(file) if bits == 16 and colours else _from_pillow(image)
    _refuse_key_colour(pixels, image.info.get("transparency"), bits)
    return pixels


def _png_bytes(width: int, height: int, bits: int, interlaced: bool) -> int:
    """Count a PNG's bytes before compression: every row of every pass begins with a filter byte."""
    steps = _ADAM7 if interlaced else _WHOLE
    sizes = [(-((x - width) // across), -((y - height) // down)) for x, y, across, down in steps]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)


def _idat(file: BinaryIO) -> Iterator[bytes]:
    """Yield a PNG's compressed pixels, chunk by chunk."""
    file.seek(8)
    while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
        size = int.from_bytes(head[:4], "big")
        if head[4:] == b"IDAT":
            yield file.read(size)
        else:
            file.seek(size, os.SEEK_CUR)
        file.seek(4, os.SEEK_CUR)  # the chunk's checksum


def _sixteen_bit_png(file: BinaryIO) -> Pixels:
    """Decode a PNG of 16-bit colour or alpha."""
    import png

    file.seek(0)
    width, height, rows, facts = png.Reader(file=file).read()
    return np.vstack([np.asarray(row, np.uint16) for row in rows]).reshape(height, width, facts["planes"])


def _check_tiff_inflation(file: BinaryIO, page: tifffile.TiffPage) -> None:
    """Refuse strips or tiles that unpack to more than their own place in the page, or to too much together."""
    codec = tifffile.COMPRESSION(page.compression).name
    if codec != "NONE" and sum(page.databytecounts) > page.parent.filehandle.size:
        raise damaged()  # cut off, or strips that lie on each other: a small file would unpack for hours
    if codec not in _DEFLATE:
        return
    # a tile may reach beyond the image; a strip's rows end with it, whatever its header says
    place = math.prod(page.chunks) if page.is_tiled else min(math.prod(page.chunks), page.size)
    if place * len(page.dataoffsets) > 2 * MAX_PIXELS * page.samplesperpixel:
        raise too_large()
    sample = page.nbytes // page.size  # bytes
    for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        _check_inflation([file.read(size)], 0, place * sample)


def _check_inflation(packed: Iterable[bytes], least: int, most: int) -> None:
    """Refuse a deflate stream of less or more bytes than the header declares, before a decoder unpacks all of it."""
    inflate, size = zlib.decompressobj(), 0
    for piece in packed:
        while size <= most + _SLACK and (part := inflate.decompress(piece, _AT_ONCE)):
            size, piece = size + len(part), inflate.unconsumed_tail
    if size < least:
        raise damaged()
    if size > most + _SLACK:
        raise Refused("it holds more data than its header declares")


def _refuse_key_colour(pixels: Pixels, key: object, bits: int) -> None:
    """Refuse an image in which PNG's one see-through colour occurs (a palette's is in its alpha already)."""
    if isinstance(key, int | tuple) and pixels.shape[2:] in ((), (3,)):
        most = 2**bits - 1
        shown = (np.asarray(key) & most) * (255 // most if bits < 8 else 1)  # Pillow stretches fewer bits to eight
        match = pixels == shown
        if bool((match.all(axis=-1) if pixels.ndim == 3 else match).any()):
            raise see_through()


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """Apply the Exif orientation; 1 and unknown values leave the pixels."""
    return _TURNS[orientation](pixels) if orientation in _TURNS else pixels


def _turned_size(height: int, width: int, orientation: int) -> tuple[int, int]:
    return (width, height) if orientation in _SIDEWAYS else (height, width)
