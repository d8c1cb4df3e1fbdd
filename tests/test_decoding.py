"""Decoding: what a file holds comes back unchanged, and every bad file gives one sentence."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import png
import pytest
import tifffile
from PIL import Image, ImageOps

from normoscope.decoding import MAX_PIXELS, image_size, read_image, read_mask
from normoscope.errors import UnreadableImageError

DRAW = np.random.default_rng(0)
GREY8 = DRAW.integers(0, 256, (7, 9), dtype=np.uint8)
RGB8 = DRAW.integers(0, 256, (7, 9, 3), dtype=np.uint8)
GREY16 = DRAW.integers(0, 65536, (7, 9), dtype=np.uint16)
RGB16 = DRAW.integers(0, 65536, (7, 9, 3), dtype=np.uint16)
DAMAGED = "the file is truncated or damaged"
SEE_THROUGH = "it has see-through pixels, whose grey value is unknown; save it without transparency"
HOLES = "some of its strips or tiles hold no data; save it again"
TOO_LARGE = "its header declares more than 100,000,000 pixels; cut it into tiles or scale it down"


@pytest.fixture(autouse=True)
def _quiet(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> Iterator[None]:
    """Whatever the decoders think of a file, they say it through our error alone."""
    yield
    assert capfd.readouterr().err == ""
    assert [str(warning.message) for warning in recwarn] == []


def cause_of(path: Path) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        read_image(path)
    assert caught.value.file == str(path)
    assert str(caught.value) == f"{path}: {caught.value.cause}"
    return caught.value.cause


def assert_reads(path: Path, expected: np.ndarray) -> None:
    pixels = read_image(path)
    assert pixels.dtype == expected.dtype
    np.testing.assert_array_equal(pixels, expected)
    assert image_size(path) == expected.shape[:2]


def write_png16(path: Path, pixels: np.ndarray, **options: Any) -> None:
    planes = 1 if pixels.ndim == 2 else pixels.shape[2]
    writer = png.Writer(
        pixels.shape[1], pixels.shape[0], greyscale=planes < 3, alpha=planes in (2, 4), bitdepth=16, **options
    )
    with path.open("wb") as file:
        writer.write(file, pixels.reshape(len(pixels), -1).tolist())


def png_bytes(width: int, height: int, depth: int, colours: int, data: bytes, interlaced: int = 0) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff_bytes(width: int, height: int, bits: int = 8, tile: bytes = b"", compression: int = 1) -> bytes:
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, bits),
        (259, 3, compression),
        (262, 3, 1),
        (273, 4, 134),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, len(tile)),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + struct.pack("<I", 0) + bytes(12) + tile


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp", "bmp"])
def test_8_bit_colour_comes_back_unchanged(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(RGB8).save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    assert_reads(tmp_path / f"a.{suffix}", RGB8)


@pytest.mark.parametrize("suffix", ["png", "tiff", "bmp"])
def test_8_bit_grey_comes_back_unchanged(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(GREY8).save(tmp_path / f"a.{suffix}")
    assert_reads(tmp_path / f"a.{suffix}", GREY8)


def test_a_grey_jpeg_is_grey_and_close(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(32), np.arange(40)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    pixels = read_image(tmp_path / "a.jpg")
    assert pixels.shape == (32, 40)
    assert np.abs(pixels.astype(int) - smooth).max() <= 3


@pytest.mark.parametrize("pixels", [GREY16, RGB16], ids=["grey", "colour"])
@pytest.mark.parametrize("interlace", [False, True])
def test_16_bit_png_keeps_all_16_bits(tmp_path: Path, pixels: np.ndarray, interlace: bool) -> None:
    write_png16(tmp_path / "a.png", pixels, interlace=interlace)
    assert_reads(tmp_path / "a.png", pixels)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("pixels", [GREY8, RGB8, GREY16, RGB16], ids=["grey8", "rgb8", "grey16", "rgb16"])
def test_tiff_keeps_its_depth(tmp_path: Path, pixels: np.ndarray, compression: str | None, byteorder: Any) -> None:
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric, compression=compression, byteorder=byteorder)
    assert_reads(tmp_path / "a.tif", pixels)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floating_tiff_comes_as_float32(tmp_path: Path, kind: Any, compression: str | None, byteorder: Any) -> None:
    values = (GREY8 / 255 - 0.5).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", values, compression=compression, byteorder=byteorder)
    assert_reads(tmp_path / "a.tif", values.astype(np.float32))


def test_planar_and_tiled_and_lzw_tiff_are_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "p.tif", np.moveaxis(RGB16, -1, 0), planarconfig="separate", photometric="rgb")
    assert_reads(tmp_path / "p.tif", RGB16)
    tifffile.imwrite(tmp_path / "t.tif", RGB16, tile=(64, 64), compression="zlib", photometric="rgb")
    assert_reads(tmp_path / "t.tif", RGB16)
    for pixels in (GREY8, RGB8, GREY16):
        Image.fromarray(pixels).save(tmp_path / "l.tif", compression="tiff_lzw")
        assert_reads(tmp_path / "l.tif", pixels)


def test_white_is_zero_is_inverted_at_8_and_16_bits(tmp_path: Path) -> None:
    for pixels in (GREY8, GREY16):
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
        assert_reads(tmp_path / "a.tif", np.iinfo(pixels.dtype).max - pixels)


def test_one_bit_becomes_0_and_255(tmp_path: Path) -> None:
    Image.fromarray(GREY8 > 127).save(tmp_path / "a.png")
    assert_reads(tmp_path / "a.png", np.where(GREY8 > 127, 255, 0).astype(np.uint8))


def test_a_palette_becomes_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(GREY8 % 4).convert("P")
    image.putpalette([9, 8, 7, 6, 5, 4, 3, 2, 1, 10, 20, 30])
    image.save(tmp_path / "a.png")
    table = np.array([[9, 8, 7], [6, 5, 4], [3, 2, 1], [10, 20, 30]], np.uint8)
    assert_reads(tmp_path / "a.png", table[GREY8 % 4])


def test_opaque_alpha_is_dropped(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([RGB8, np.full_like(GREY8, 255)])).save(tmp_path / "rgba.png")
    assert_reads(tmp_path / "rgba.png", RGB8)
    Image.fromarray(np.dstack([GREY8, np.full_like(GREY8, 255)])).save(tmp_path / "la.png")
    assert_reads(tmp_path / "la.png", GREY8)
    write_png16(tmp_path / "rgba16.png", np.dstack([RGB16, np.full_like(GREY16, 65535)]))
    assert_reads(tmp_path / "rgba16.png", RGB16)
    write_png16(tmp_path / "la16.png", np.dstack([GREY16, np.full_like(GREY16, 65535)]))
    assert_reads(tmp_path / "la16.png", GREY16)


def test_see_through_pixels_are_refused(tmp_path: Path) -> None:
    alpha = np.full_like(GREY8, 255)
    alpha[3, 3] = 254
    Image.fromarray(np.dstack([RGB8, alpha])).save(tmp_path / "rgba.png")
    assert cause_of(tmp_path / "rgba.png") == SEE_THROUGH
    write_png16(tmp_path / "key.png", RGB16, transparent=tuple(RGB16[2, 3].tolist()))
    assert cause_of(tmp_path / "key.png") == SEE_THROUGH
    write_png16(tmp_path / "grey_key.png", GREY16, transparent=int(GREY16[2, 3]))
    assert cause_of(tmp_path / "grey_key.png") == SEE_THROUGH


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_see_through_grey_is_found_at_every_depth(tmp_path: Path, bits: int) -> None:
    values = np.arange(2 * 2**bits, dtype=np.uint16).reshape(2, -1) % 2**bits
    for key in (1, 2**bits - 1):
        with (tmp_path / "a.png").open("wb") as file:
            png.Writer(2**bits, 2, greyscale=True, bitdepth=bits, transparent=key).write(file, values.tolist())
        assert cause_of(tmp_path / "a.png") == SEE_THROUGH


def test_a_see_through_colour_that_does_not_occur_is_harmless(tmp_path: Path) -> None:
    write_png16(tmp_path / "a.png", RGB16, transparent=(1, 2, 3))
    assert_reads(tmp_path / "a.png", RGB16)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured_by_every_decoder(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("a.png", "a.jpg", "a.webp"):
        Image.fromarray(RGB8).save(tmp_path / name, exif=exif)
        with Image.open(tmp_path / name) as image:
            assert_reads(tmp_path / name, np.asarray(ImageOps.exif_transpose(image)))
    with Image.open(tmp_path / "a.png") as image:
        turned = np.asarray(ImageOps.exif_transpose(image))
    tag = [(0x0112, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "8.tif", RGB8, photometric="rgb", extratags=tag)
    assert_reads(tmp_path / "8.tif", turned)
    tifffile.imwrite(tmp_path / "16.tif", RGB8.astype(np.uint16), photometric="rgb", extratags=tag)
    assert_reads(tmp_path / "16.tif", turned.astype(np.uint16))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_bytes_and_texts_name_an_image_too(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(RGB8).save(path)
    for given in (str(path), path.read_bytes()):
        assert np.array_equal(read_image(given), read_image(path))
        assert image_size(given) == (7, 9)
    with pytest.raises(UnreadableImageError, match=r"^the given bytes: the file is"):
        read_image(path.read_bytes()[: 40 if suffix != ".bmp" else 60])
    opened: Any = io.BytesIO(path.read_bytes())
    with pytest.raises(TypeError, match="named by its path or given as bytes, not as BytesIO"):
        read_image(opened)


def test_decoding_in_threads_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    Image.fromarray(GREY8).save(tmp_path / "a.tif", compression="tiff_lzw")
    error, filters = os.fstat(2), list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read_image, [tmp_path / "a.tif"] * 400))
    assert all(np.array_equal(one, GREY8) for one in found)
    assert os.path.samestat(os.fstat(2), error)  # where lines go, and which warnings are shown
    assert warnings.filters == filters


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    Image.fromarray(GREY8).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert_reads(tmp_path / "a.jpg", GREY8)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert cause_of(tmp_path / "a.png") == "the file is empty (0 bytes)"


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp", "bmp"])
def test_a_truncated_file_is_named_wherever_it_ends(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RGB8).save(path)
    whole = path.read_bytes()
    for length in range(16, len(whole) - 30, 7):
        path.write_bytes(whole[:length])
        assert cause_of(path) == DAMAGED


@pytest.mark.parametrize("compression", [None, "zlib", "tiff_lzw"])
def test_a_truncated_16_bit_file_is_named_wherever_it_ends(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "a.tif"
    if compression == "tiff_lzw":
        Image.fromarray(GREY16).save(path, compression=compression)
    else:
        tifffile.imwrite(path, RGB16, photometric="rgb", compression=compression)
    whole = path.read_bytes()
    for length in range(8, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        assert cause_of(path) == DAMAGED


def test_flipped_bytes_give_pixels_or_one_sentence(tmp_path: Path) -> None:
    write_png16(tmp_path / "a.png", RGB16)
    Image.fromarray(RGB8).save(tmp_path / "a.jpg")
    Image.fromarray(GREY16).save(tmp_path / "l.tif", compression="tiff_lzw")
    tifffile.imwrite(tmp_path / "z.tif", RGB16, photometric="rgb", compression="zlib")
    draw = np.random.default_rng(1)
    refused = 0
    for path in sorted(tmp_path.iterdir()):
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            damaged[draw.integers(0, len(whole), 3)] = draw.integers(0, 256, 3)
            path.write_bytes(damaged.tobytes())
            try:
                assert read_image(path).dtype in (np.uint8, np.uint16, np.float32)
            except UnreadableImageError:
                refused += 1
    assert refused > 60


@pytest.mark.parametrize(("depth", "colours", "row"), [(1, 0, 3), (8, 0, 10), (8, 2, 28), (16, 0, 19), (16, 2, 55)])
def test_a_png_of_too_few_rows_is_not_filled_with_black(tmp_path: Path, depth: int, colours: int, row: int) -> None:
    (tmp_path / "a.png").write_bytes(png_bytes(9, 7, depth, colours, zlib.compress(bytes(7 * row))))
    assert read_image(tmp_path / "a.png").shape[:2] == (7, 9)
    for missing in (1, row, 6 * row):
        (tmp_path / "a.png").write_bytes(png_bytes(9, 7, depth, colours, zlib.compress(bytes(7 * row - missing))))
        assert cause_of(tmp_path / "a.png") == DAMAGED


def test_an_interlaced_png_of_too_few_rows_is_not_filled_with_black(tmp_path: Path) -> None:
    whole = 3 + 2 + 4 + 2 * 3 + 2 * 6 + 4 * 5 + 3 * 10  # the seven passes over 9 x 7 pixels, each row with its filter
    (tmp_path / "a.png").write_bytes(png_bytes(9, 7, 8, 0, zlib.compress(bytes(whole)), interlaced=1))
    assert read_image(tmp_path / "a.png").shape == (7, 9)
    for missing in (1, 10, 20):
        (tmp_path / "a.png").write_bytes(png_bytes(9, 7, 8, 0, zlib.compress(bytes(whole - missing)), interlaced=1))
        assert cause_of(tmp_path / "a.png") == DAMAGED


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("pixels", [GREY8, GREY16, GREY8.astype(np.float32)], ids=["8", "16", "float"])
def test_a_tiff_with_a_hole_is_not_filled(tmp_path: Path, pixels: np.ndarray, compression: str | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression=compression, rowsperstrip=2)
    whole = (tmp_path / "a.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        tags = [tiff.pages.first.tags[name] for name in ("StripOffsets", "StripByteCounts")]
    for emptied in (tags[:1], tags[1:], tags):
        damaged = bytearray(whole)
        for tag in emptied:
            size = tag.dtype.value if tag.dtype.value == 4 else 2
            damaged[tag.valueoffset + size : tag.valueoffset + 2 * size] = bytes(size)
        (tmp_path / "a.tif").write_bytes(damaged)
        assert cause_of(tmp_path / "a.tif") == HOLES
    for tag in tags:
        damaged = bytearray(whole)
        damaged[tag.offset + 4 : tag.offset + 8] = struct.pack("<I", 3)  # of four strips
        (tmp_path / "a.tif").write_bytes(damaged)
        assert cause_of(tmp_path / "a.tif") == HOLES


def test_nan_and_infinity_are_counted(tmp_path: Path) -> None:
    values = GREY8.astype(np.float32)
    values[0, 0], values[1, 1] = np.nan, np.inf
    tifffile.imwrite(tmp_path / "a.tif", values)
    assert cause_of(tmp_path / "a.tif") == "2 of its values are NaN or infinite; replace them"


def test_more_than_one_frame_is_refused(tmp_path: Path) -> None:
    cause = "it has 2 frames (animated or multi-page); save each image as its own file"
    for suffix in ("png", "webp", "tiff"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(RGB8).save(path, save_all=True, append_images=[Image.fromarray(255 - RGB8)])
        assert cause_of(path) == cause
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([GREY16, GREY16]), imagej=True)
    assert cause_of(tmp_path / "stack.tif") == cause


def test_cmyk_is_refused(tmp_path: Path) -> None:
    for suffix in ("jpg", "tiff"):
        Image.new("CMYK", (9, 7)).save(tmp_path / f"a.{suffix}")
        assert cause_of(tmp_path / f"a.{suffix}") == "its colours are CMYK (for print); convert it to grey or RGB"


def test_other_colours_are_refused_by_name(tmp_path: Path) -> None:
    Image.new("LAB", (9, 7)).save(tmp_path / "a.tif")
    assert cause_of(tmp_path / "a.tif") == "its colours are LAB; convert it to grey or RGB"


@pytest.mark.parametrize(("depth", "colours"), [(8, 0), (8, 2), (16, 0), (16, 2)])
def test_a_png_bomb_is_refused_by_its_header(tmp_path: Path, depth: int, colours: int) -> None:
    for width, height in ((10_001, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)):
        (tmp_path / "a.png").write_bytes(png_bytes(width, height, depth, colours, b""))
        assert cause_of(tmp_path / "a.png") == TOO_LARGE


def test_a_png_just_below_the_limit_is_not_a_bomb(tmp_path: Path) -> None:
    assert MAX_PIXELS == 10_000 * 10_000
    (tmp_path / "a.png").write_bytes(png_bytes(10_000, 10_000, 8, 0, b""))
    assert cause_of(tmp_path / "a.png") == DAMAGED


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_tiff_bomb_is_refused_by_its_header(tmp_path: Path, bits: int) -> None:
    for width, height in ((10_001, 10_000), (4_000_000_000, 4_000_000_000)):
        (tmp_path / "a.tif").write_bytes(tiff_bytes(width, height, bits))
        assert cause_of(tmp_path / "a.tif") == TOO_LARGE


@pytest.mark.parametrize(("width", "height"), [(1, 10_001), (30_000, 1), (100_000, 1)])
def test_an_image_too_long_to_be_padded_to_a_square_is_refused(tmp_path: Path, width: int, height: int) -> None:
    cause = (
        f"its header declares {width} x {height} pixels, more than 100,000,000 once padded to a square; "
        "cut it into tiles or scale it down"
    )
    (tmp_path / "a.png").write_bytes(png_bytes(width, height, 8, 0, b""))
    assert cause_of(tmp_path / "a.png") == cause
    (tmp_path / "a.tif").write_bytes(tiff_bytes(width, height))
    assert cause_of(tmp_path / "a.tif") == cause


def test_an_image_of_10_000_pixels_in_a_row_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.full((1, 10_000), 90, np.uint8)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (1, 10_000)


def test_data_that_unpacks_to_more_than_the_header_says_is_refused(tmp_path: Path) -> None:
    flood = zlib.compress(bytes(20_000_000))
    (tmp_path / "a.png").write_bytes(png_bytes(9, 7, 16, 2, flood))
    assert cause_of(tmp_path / "a.png") == "it holds more data than its header declares"
    (tmp_path / "a.tif").write_bytes(tiff_bytes(9, 7, 16, flood, compression=8))
    assert cause_of(tmp_path / "a.tif") == "it holds more data than its header declares"


def test_a_strip_that_unpacks_to_a_whole_page_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((1500, 1500), np.uint16), compression="zlib", rowsperstrip=1)
    flood = zlib.compress(bytes(2 * 1500 * 1500))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page = tiff.pages.first
        places = [page.tags[name].valueoffset for name in ("StripOffsets", "StripByteCounts")]
        wide = [page.tags[name].dtype.value == 4 for name in ("StripOffsets", "StripByteCounts")]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    for place, is_wide, value in zip(places, wide, (len(content), len(flood)), strict=True):
        content[place : place + (4 if is_wide else 2)] = struct.pack("<I" if is_wide else "<H", value)
    (tmp_path / "a.tif").write_bytes(content + flood)
    assert cause_of(tmp_path / "a.tif") == "it holds more data than its header declares"


def test_strips_that_lie_on_each_other_are_refused(tmp_path: Path) -> None:
    block = zlib.compress(bytes(2 * 1500))
    strips = struct.pack("<1500I", *[8] * 1500), struct.pack("<1500I", *[len(block)] * 1500)
    first = 8 + len(block)
    tags = [(256, 1, 1500), (257, 1, 1500), (258, 1, 16), (259, 1, 8), (262, 1, 1), (273, 1500, first), (277, 1, 1)]
    tags += [(278, 1, 1), (279, 1500, first + 6000)]
    entries = b"".join(struct.pack("<HHII", tag, 4, count, value) for tag, count, value in tags)
    head = struct.pack("<2sHI", b"II", 42, first + 12_000)
    (tmp_path / "a.tif").write_bytes(head + block + b"".join(strips) + struct.pack("<H", 9) + entries + bytes(4))
    assert cause_of(tmp_path / "a.tif") == DAMAGED


@pytest.mark.slow
def test_the_bomb_takes_no_memory(tmp_path: Path) -> None:
    flood = zlib.compress(bytes(300_000_000))
    (tmp_path / "a.png").write_bytes(png_bytes(9, 7, 16, 2, flood))
    program = (
        "import resource, sys; from pathlib import Path; from normoscope.decoding import read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_image(Path(sys.argv[1]))\n"
        "except Exception: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.png")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 50_000  # kilobytes; the flood is 300 MB


def test_files_that_are_no_image_are_named(tmp_path: Path) -> None:
    contents = {
        "text.png": (b"hello", "not an image: its content is not PNG, JPEG, TIFF, WebP or BMP"),
        "sound.webp": (b"RIFF\0\0\0\0WAVE", "not an image: its content is not PNG, JPEG, TIFF, WebP or BMP"),
        "a.gif": (b"GIF89a", "a GIF, which is not read; save it as PNG"),
        "a.pdf.png": (b"%PDF-1.7", "a PDF document, not an image; export its images as PNG"),
        "ct": (b"II*\0" + bytes(124) + b"DICM", "a DICOM file, which is not read yet; save it as 16-bit PNG or TIFF"),
        "old.dcm": (b"\x08\0", "a DICOM file, which is not read yet; save it as 16-bit PNG or TIFF"),
        "mr.nii.gz": (
            b"\x1f\x8b",
            "a NIfTI file; BraTS cases are read with brats:FOLDER, of other volumes save the slices as PNG or TIFF",
        ),
        "mr": (
            b"\x5c\x01\0\0",
            "a NIfTI file; BraTS cases are read with brats:FOLDER, of other volumes save the slices as PNG or TIFF",
        ),
    }
    for name, (content, cause) in contents.items():
        (tmp_path / name).write_bytes(content)
        assert cause_of(tmp_path / name) == cause


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.uint32, np.int32])
def test_signed_and_32_bit_integers_are_refused(tmp_path: Path, kind: Any) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY8.astype(kind))
    expected = f"its pixels are {np.dtype(kind)}; save them as unsigned 8- or 16-bit integers or as float32"
    assert cause_of(tmp_path / "a.tif") == expected


def test_what_is_not_a_readable_file_is_named(tmp_path: Path) -> None:
    assert cause_of(tmp_path / "absent.png") == "no such file or directory"
    assert cause_of(tmp_path) == "a folder, not a file"
    with pytest.raises(UnreadableImageError) as caught:
        read_image(tmp_path / "a\0.png")
    assert str(caught.value) == f"{tmp_path}/a\\x00.png: no file has a zero byte in its name"
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert cause_of(tmp_path / "loop.png") == "too many levels of symbolic links"
    os.mkfifo(tmp_path / "pipe.png")
    assert cause_of(tmp_path / "pipe.png") == "not a regular file"


def test_a_forbidden_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(GREY8).save(path)
    path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # root may read everything
    try:
        assert cause_of(path) == "permission denied"
    finally:
        if root:
            os.seteuid(0)


def test_odd_names_stay_on_one_line(tmp_path: Path) -> None:
    Image.fromarray(GREY8).save(tmp_path / "röntgen 1.png")
    assert_reads(tmp_path / "röntgen 1.png", GREY8)
    with pytest.raises(UnreadableImageError) as caught:
        read_image(tmp_path / "a\nb.png")
    assert str(caught.value) == f"{tmp_path}/a\\nb.png: no such file or directory"
    with pytest.raises(UnreadableImageError) as caught:
        read_image(tmp_path / os.fsdecode(b"a\xff.png"))
    assert str(caught.value) == f"{tmp_path}/a\\udcff.png: no such file or directory"


def test_a_mask_is_what_is_not_black(tmp_path: Path) -> None:
    for values in ([0, 1, 4], [0, 255, 255]):
        Image.fromarray(np.array([values], np.uint8)).save(tmp_path / "m.png")
        assert read_mask(tmp_path / "m.png").tolist() == [[False, True, True]]
    Image.fromarray(np.array([[[0, 0, 0], [0, 0, 9]]], np.uint8)).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").tolist() == [[False, True]]


def test_a_jpeg_mask_survives_its_noise(tmp_path: Path) -> None:
    mask = np.zeros((32, 32), bool)
    mask[8:24, 8:24] = True
    Image.fromarray((mask * 255).astype(np.uint8)).save(tmp_path / "m.jpg", quality=50)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.jpg"), mask)


def test_a_mask_must_have_its_images_size(tmp_path: Path) -> None:
    Image.fromarray(GREY8).save(tmp_path / "a.png")
    Image.fromarray(GREY8[:5]).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "a.png", tmp_path / "a.png").shape == (7, 9)
    with pytest.raises(UnreadableImageError) as caught:
        read_mask(tmp_path / "m.png", tmp_path / "a.png")
    assert str(caught.value) == (
        f"{tmp_path}/m.png: the mask is 9 x 5 pixels, its image 9 x 7; both must have the same size"
    )


def test_real_chest_x_rays_are_read(real_data: Any) -> None:
    paths = sorted(real_data("chest_xray/jpeg").rglob("*.jpeg"))
    assert len(paths) == 24
    assert {read_image(path).dtype for path in paths} == {np.dtype(np.uint8)}
    assert all(image_size(path) == read_image(path).shape[:2] for path in paths[:3])


def test_real_dicom_and_nifti_files_are_named(real_data: Any) -> None:
    for folder, beginning in (("dicom", "a DICOM file, which is not read yet"), ("nifti", "a NIfTI file; ")):
        for path in sorted(real_data(folder).iterdir()):
            assert cause_of(path).startswith(beginning)
