"""All files below a folder, in natural order."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import LayoutError

__all__ = ["walk"]


def walk(
    folder: Path, parts: tuple[str, ...] = (), above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Walk through all files in natural order, following links, but never into a folder it stands in."""
    try:
        here = above | {_identity(folder)}
        entries = sorted(os.scandir(folder), key=lambda entry: _natural(entry.name))
    except OSError as error:
        raise LayoutError(str(folder), "a readable folder", (error.strerror or "").lower()) from None
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in ("thumbs.db", "desktop.ini", "__macosx"):
            continue
        below = (*parts, entry.name)
        if not (os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()):
            yield below, Path(entry.path)
        elif _identity(Path(entry.path)) not in here:
            yield from walk(Path(entry.path), below, here)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Order numbers by value: image2 before image10; the name itself settles ties."""
    pieces = re.split(r"([0-9]+)", name)
    return [(0, int(piece)) if piece.isdecimal() else (1, piece.lower()) for piece in pieces] + [(2, name)]
