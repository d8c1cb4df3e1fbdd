"""All files below a folder, in natural order."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import LayoutError

__all__ = ["walk"]

_Identity = tuple[int, int]
_CLUTTER = ("thumbs.db", "desktop.ini", "__macosx")


def walk(folder: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Walk through all files in natural order, following links, but never into a folder it stands in.

    Yields:
        The names from the folder down to a file, and the file's path.

    Raises:
        LayoutError: A folder cannot be read, or links lead to it by two ways, so that its images would count twice.
    """
    found: dict[_Identity, Path] = {}
    # a stack, not recursion: folders nest deeper than Python's calls may
    waiting: list[tuple[tuple[str, ...], Path, bool, frozenset[_Identity]]] = [((), folder, True, frozenset())]
    while waiting:
        parts, path, is_folder, above = waiting.pop()
        if not is_folder:
            yield parts, path
            continue
        here, entries = _opened(path)
        if here in above:
            continue
        if here in found:
            raise LayoutError(str(path), "every folder once", f"{found[here]} again", "remove the link")
        found[here] = path
        for entry in reversed(entries):
            waiting.append(((*parts, entry.name), Path(entry.path), _is_folder(entry), above | {here}))


def _opened(folder: Path) -> tuple[_Identity, list[os.DirEntry[str]]]:
    """Return what tells the folder from every other, and its content without clutter."""
    try:
        status = folder.stat()
        with os.scandir(folder) as content:
            entries = sorted(content, key=lambda entry: _natural(entry.name))
    except OSError as error:
        raise LayoutError(str(folder), "a readable folder", (error.strerror or "").lower()) from None
    kept = [entry for entry in entries if not entry.name.startswith(".") and entry.name.lower() not in _CLUTTER]
    return (status.st_dev, status.st_ino), kept


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Order numbers by value: image2 before image10; the name itself settles ties."""
    pieces = re.split(r"([0-9]+)", name)
    return [(0, int(piece)) if piece.isdecimal() else (1, piece.lower()) for piece in pieces] + [(2, name)]
