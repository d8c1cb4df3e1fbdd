"""The four-file layout of MNIST and its relatives: idx, gzipped idx, or one .npz with the same arrays.

magic 0 0 8 ndim | ndim big-endian sizes | bytes
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt

from ..errors import DataNotFoundError, LayoutError
from ..types import Sample, Split
from ._arrays import check_images, keys, read_array, samples_of

__all__ = ["Part", "find", "notes_on", "read_idx", "read_parts", "samples_in"]

_Bytes = npt.NDArray[np.uint8]
_MAX_BYTES = 1 << 32
_SPLITS: Sequence[tuple[str, Split, Sequence[tuple[str, str]]]] = (
    ("train", "train", (("train_images", "train_labels"), ("x_train", "y_train"))),
    ("t10k", "test", (("test_images", "test_labels"), ("x_test", "y_test"))),
)
_TODO = "download the four files again"


@dataclass(frozen=True)
class Part:
    """One split: its images (n, h, w) and labels (n,)."""

    split: Split
    images: _Bytes
    labels: _Bytes


def find(path: str, name: str) -> Path:
    """Return the path, or, where it is empty, the folder `name` under $NORMOSCOPE_DATA.

    Raises:
        DataNotFoundError: Neither is there.
    """
    root = os.environ.get("NORMOSCOPE_DATA", "")
    place = Path(path).expanduser() if path else Path(root, name)
    if (path or root) and place.exists():
        return place
    todo = f"download its four idx files and pass their folder as {name}:FOLDER, or set NORMOSCOPE_DATA"
    raise DataNotFoundError(name, str(place) if path or root else "$NORMOSCOPE_DATA, which is not set", todo)


def read_parts(path: Path) -> list[Part]:
    """Read the splits that are there: of a folder, of one .npz, or of the split one idx file belongs to.

    Raises:
        LayoutError: Nothing of this layout, or a file that is truncated, damaged or does not fit its partner.
    """
    if path.is_file() and path.suffix == ".npz":
        return _read_npz(path)
    folder = path if path.is_dir() else path.parent
    files = _one_of_each(folder)
    parts = [
        _idx_part(folder, files, stem, split)
        for stem, split, _ in _SPLITS
        if f"{stem}-images" in files and (path.is_dir() or path.name.startswith(stem))
    ]
    archives = sorted(folder.glob("*.npz")) if path.is_dir() else []
    if not parts and len(archives) == 1:
        return _read_npz(archives[0])
    if not parts:
        raise LayoutError(
            str(path), "idx files (train-images-idx3-ubyte.gz ...) or one .npz", _shown(folder), "check the path"
        )
    return parts


def _one_of_each(folder: Path) -> Mapping[str, Path]:
    """Find the idx files, directly here or else at any depth; several of one name are copies, or of different sets."""
    wanted = [f"{stem}-{kind}" for stem, _, _ in _SPLITS for kind in ("images", "labels")]
    found = [file for file in sorted(folder.rglob("*-ubyte*")) if file.is_file() and _plain_name(file) in wanted]
    files: dict[str, Path] = {}
    for file in [file for file in found if file.parent == folder] or found:
        other = files.setdefault(_plain_name(file), file)
        if other != file and not np.array_equal(read_idx(other), read_idx(file)):
            got = f"{other.relative_to(folder)} and {file.relative_to(folder)}, which differ"
            raise LayoutError(str(folder), "the files of one set", got, "pass the folder of one")
    return files


def notes_on(parts: Sequence[Part], where: Path) -> tuple[str, ...]:
    """Say which split is absent."""
    if len(parts) == len(_SPLITS):
        return ()
    return (f"{where}: holds only the {parts[0].split} part.",)


def samples_in(parts: Sequence[Part]) -> list[Sample]:
    """List every image as `train/123`, its class the digit."""
    return [
        sample
        for part in parts
        for sample in samples_of(
            part.images,
            [str(label) for label in part.labels.tolist()],
            [f"{part.split}/{i}" for i in range(len(part.images))],
            part.split,
        )
    ]


def read_idx(path: Path) -> _Bytes:
    """Read one idx file of unsigned bytes, gzipped or not.

    Raises:
        LayoutError: Not idx, of another type, truncated, or longer than its header says.
    """
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else open(path, "rb") as stream:
            return _read_idx(cast("IO[bytes]", stream), path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LayoutError(str(path), "a whole gzip file", f"a truncated or damaged one ({error})", _TODO) from None
    except OSError as error:
        raise LayoutError(str(path), "a readable file", (error.strerror or str(error)).lower()) from None


def _read_idx(stream: IO[bytes], path: Path) -> _Bytes:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:3] != b"\0\0\x08" or not 1 <= magic[3] <= 3:
        raise LayoutError(str(path), "an idx file of bytes (magic 0 0 8 1 or 0 0 8 3)", f"magic {list(magic)}", _TODO)
    sizes = stream.read(4 * magic[3])
    shape = tuple(int(size) for size in np.frombuffer(sizes[: len(sizes) // 4 * 4], ">u4"))
    promised = math.prod(shape)
    if len(shape) < magic[3] or promised > _MAX_BYTES:
        raise LayoutError(str(path), f"{magic[3]} sizes of at most 4 GiB together", f"{shape}", _TODO)
    data = bytearray()  # grows with what is there: one read would take all that the header promises
    while chunk := stream.read(min(1 << 22, promised + 1 - len(data))):
        data += chunk
    if len(data) != promised:
        got = "more" if len(data) > promised else f"{len(data)} (truncated)"
        raise LayoutError(str(path), f"{promised} bytes, as its header says", got, _TODO)
    return np.frombuffer(data, np.uint8).reshape(shape)


def _idx_part(folder: Path, files: Mapping[str, Path], stem: str, split: Split) -> Part:
    labels = files.get(f"{stem}-labels")
    if labels is None:
        raise LayoutError(str(folder), f"{stem}-labels-idx1-ubyte beside its images", _shown(folder), _TODO)
    return _checked(str(files[f"{stem}-images"]), split, read_idx(files[f"{stem}-images"]), read_idx(labels))


def _read_npz(path: Path) -> list[Part]:
    found = keys(path)
    parts = [
        _checked(f"{path}, {images}", split, read_array(path, images), read_array(path, labels))
        for _, split, names in _SPLITS
        for images, labels in names
        if images in found and labels in found
    ]
    if not parts:
        expected = "train_images, train_labels, test_images, test_labels (or x_train, y_train, x_test, y_test)"
        raise LayoutError(str(path), expected, ", ".join(found) or "no array")
    return parts


def _checked(where: str, split: Split, images: npt.NDArray[np.generic], labels: npt.NDArray[np.generic]) -> Part:
    """Refuse arrays that do not belong together."""
    images, labels = check_images(where, images), labels.reshape(-1)
    if len(images) != len(labels):
        raise LayoutError(where, f"one label for each of {len(images)} images", f"{len(labels)} labels", _TODO)
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 9:
        raise LayoutError(where, "labels from 0 to 9", f"{labels.dtype} labels {labels.min()} to {labels.max()}")
    return Part(split, cast("_Bytes", images), cast("_Bytes", labels))


def _plain_name(file: Path) -> str:
    """Bring `train-images.idx3-ubyte.gz` and `train-images-idx3-ubyte` to `train-images`."""
    return "-".join(file.name.replace(".", "-").split("-")[:2])


def _shown(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "") if names else "nothing"
