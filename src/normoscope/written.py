"""What commands leave on disk, and how they know their own: nothing else is written over or deleted.

    path --kind of file, first bytes--> ours: may be replaced       anything else: a sentence, before any work is done

A page is known by its generator's mark, a table by its exact header, JSON by its schema, a drawing by its opening tag,
a checkpoint by its header. A folder that is replaced or deleted as a whole must hold nothing but such files.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from .errors import OptionError

__all__ = [
    "PATIENT",
    "PATIENTS",
    "Written",
    "WrittenFolder",
    "check_companions",
    "check_place",
    "read_json",
    "some",
    "write_atomically",
]

_HEAD = 8192
"""Bytes that are read to know a file by."""

_LARGEST = 2**30
"""Bytes of a JSON file that are read at most."""

_PAGE = rb'\s*<!DOCTYPE html>\n.*<meta name="generator" content="normoscope [^"]*">\n<title>[^<]*'

_SVG = rb'<svg xmlns="http://www\.w3\.org/2000/svg" font-family="sans-serif" viewBox="[^"]*" role="img" '

_SCORES = ("image_path", "pred_score", "pvalue", "qvalue", "pred_label", "rule")

PATIENTS = ("patient_id", "patient_pvalue")
"""Further columns of scores, where every image's patient is known."""

_LABELLED = ("image_path", "label", "method", "seed", "pred_score")

PATIENT = ("patient_id",)
"""A further column of scores beside labels, where every image's patient is known."""

_MAPS = ("image_path", "anomaly_map", "heatmap", "pred_mask", "regions", "region_pvalue", "sanity", "sanity_images")

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def _header(columns: Sequence[str], more: Sequence[str] = ()) -> bytes:
    further = rf"(,{re.escape(','.join(more))})?" if more else ""
    return f"{re.escape(','.join(columns))}{further}\r?\n".encode()


class Written(Enum):
    """Kinds of files, by the pattern that their first bytes match."""

    SCORES = _header(_SCORES, PATIENTS)
    LABELLED = _header(_LABELLED, PATIENT)
    MAPS = _header(_MAPS)
    REPORT = _PAGE + rb"normoscope report</title>"
    EXPLANATION = _PAGE + rb'(normoscope explanations|why this score)</title>|\{\s*"method": "\w+",\s*"preset": "'
    COMPARISON = rb'\{\s*"schema": "normoscope/compare/'
    SWEEP = rb'\{\s*"schema": "normoscope/sweep/'
    SANITY = rb'\{\s*"schema": "normoscope/sanity/'
    RANKS = _SVG + rb'aria-label="Mean ranks of '

    def path(self, given: str | Path, *, option: str = "--out") -> Path:
        """Return the path to write to, before any work is done for it.

        Raises:
            OptionError: A folder, a pipe or a device is there, or a file that is not ours and may be the only copy of
                something; or nothing can be written there.
        """
        path = Path(given)
        check_place(path, option=option)
        if path.is_dir():
            raise OptionError(option, str(path), "a file (this is a folder)")
        if path.exists() and not _regular(path):
            raise OptionError(option, str(path), "a regular file (this is a pipe or a device)")
        if path.exists() and not _begins(path, self.value):
            raise OptionError(option, str(path), "a new file, or an earlier result of the same command")
        return path

    def folder(self, given: str | Path, index: str) -> Path:
        """Return the folder to write many files to, before any work is done for it.

        Raises:
            OptionError: It holds files, but not the index of an earlier result: some might be written over.
        """
        folder = Path(given)
        check_place(given, index, option="--maps")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / index).is_file():
            raise OptionError(
                "--maps", str(folder), f"a new or empty folder, or one with the {index} of an earlier result"
            )
        return self.path(folder / index, option="--maps").parent

    def beside(self, given: str | Path, *names: str) -> Path:
        """Return the folder to write such files to, before any work is done for it.

        Args:
            given: What was typed; files of other names are left alone.
            names: Patterns of the names that may be written.

        Raises:
            OptionError: A file of such a name is not ours, or nothing can be written there.
        """
        folder = Path(given)
        check_place(given, "any")
        for path in sorted(path for name in names for path in folder.glob(name)):
            self.path(path)
        return folder

    def table(self, rows: Iterable[Sequence[object]], more: Sequence[str] = ()) -> str:
        """Return rows as CSV under this kind's header, with more columns where rows have them.

        An image whose name a spreadsheet would take for a formula is called by the same path from here, `./=NAME`; any
        other text of that kind gets an apostrophe.
        """
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        columns = {Written.SCORES: _SCORES, Written.LABELLED: _LABELLED, Written.MAPS: _MAPS}[self]
        writer.writerow([*columns, *more])
        writer.writerows(
            [f"./{name}" if str(name).startswith(_FORMULA) else name, *map(_cell, cells)] for name, *cells in rows
        )
        return file.getvalue()


def _cell(value: object) -> object:
    """Mark a text that a spreadsheet would take for a formula; a number, even a negative one, is none."""
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) and not re.fullmatch(r"-[\d.]+([eE][-+]?\d+)?", text) else value


_ANY = b""

_LEFT = {r"\..+\.tmp": _ANY}  # by a writer that was killed

_STAGES = {
    r".+\.safetensors": rb'.{8}\{"__metadata__":\{"facts":"',
    r".+\.safetensors\.part": rb'\Z|.{8}\{"__metadata__":\{"facts":"',
}


_MODEL = {
    r"model\.json": rb'\{\s*"format": \d+,\s*"normoscope": "',
    r"(weights\.safetensors|parts\.json|calibration(-\d+)?\.json|README\.md)": _ANY,
    **_LEFT,
}

_SWEEP = {
    r"[0-9a-f]{20}\.json": rb'\{"name": "',
    r"[0-9a-f]{20}\.checkpoint": _STAGES,
    r"\.?data-[0-9a-f]{20}.*": {r"(pool|test)\.npy": _ANY, r"facts\.json": _ANY},
    r"\.(sweep\.)?lock": rb"\Z",
    **_LEFT,
}


class WrittenFolder(Enum):
    """Kinds of folders that are replaced or deleted as a whole, by the names in them and their files' first bytes."""

    MODEL = _MODEL
    CHECKPOINT = _STAGES
    SWEEP = _SWEEP

    def strangers(self, folder: Path) -> list[str]:
        """Name what is there and not ours; nothing where there is no such folder."""
        if folder.is_dir():
            return [str(path.relative_to(folder)) for path in _strangers(folder, self.value)]
        return [folder.name] if folder.exists() else []

    def discard(self, folder: Path) -> None:
        """Delete the folder, or what it links to; one that holds anything not ours is left as it is."""
        if folder.is_dir() and not self.strangers(folder):
            shutil.rmtree(folder.resolve())
            folder.unlink(missing_ok=True)


_Form = Mapping[str, "bytes | _Form"]


def _strangers(folder: Path, form: _Form) -> Iterable[Path]:
    for path in sorted(folder.iterdir()):
        found = next((known for name, known in form.items() if re.fullmatch(name, path.name)), None)
        if isinstance(found, Mapping) and path.is_dir() and not path.is_symlink():
            yield from _strangers(path, found)
        elif not isinstance(found, bytes) or not _begins(path, found):
            yield path


def _regular(path: Path) -> bool:
    return stat.S_ISREG(path.stat().st_mode)


def _begins(path: Path, pattern: bytes) -> bool:
    """Tell whether a regular file begins so; another is not opened: a pipe would be waited for without end."""
    if not path.exists() or not _regular(path):
        return False
    with path.open("rb") as file:
        return re.match(pattern, file.read(_HEAD), re.DOTALL) is not None


def read_json(path: Path) -> Any:
    """Parse a JSON file that may come from anywhere.

    Raises:
        ValueError: It is no JSON, nested too deeply, too large, or no regular file: a pipe would be waited for.
    """
    if not _regular(path):
        raise ValueError("not a regular file")
    if (size := path.stat().st_size) > _LARGEST:
        raise ValueError(f"{size} bytes are too many")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def some(names: Sequence[str]) -> str:
    """Name the first three, and count the others."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def check_companions(index: Path, *names: str) -> None:
    """Refuse to write such files where they stand without the result they would belong to.

    Raises:
        OptionError: One does.
    """
    alone = [path for name in names for path in index.parent.glob(name)]
    if alone and not index.exists():
        raise OptionError("--out", str(alone[0]), f"a folder without it, or with the {index.name} it belongs to")


def check_place(given: str | Path, *inside: str, option: str = "--out") -> None:
    """Refuse, before any work is done for it, a path that nothing can be written to.

    Args:
        given: What was typed.
        inside: What is to be written below it; none where it is a file itself.
        option: How it was called.

    Raises:
        OptionError: What should be its folder is a file, or must not be written to.
    """
    path = Path(os.path.realpath(Path(given, *inside)))  # a link is written through
    above = next(folder for folder in (*path.parents, path) if folder.exists())
    if not above.is_dir():
        raise OptionError(option, str(given), f"a path inside a folder ({above} is a file)")
    if not os.access(above, os.W_OK | os.X_OK):
        raise OptionError(option, str(given), f"a path inside a folder that you may write to ({above} is not)")


def write_atomically(path: Path, content: str | bytes, *, synced: bool = True) -> None:
    """Write a file whole or not at all: into folders that it makes, and through a link to the file it names.

    Args:
        path: Where to.
        content: Bytes, or a text; of it, bytes of a path that are no text are written as escapes.
        synced: Have it on the disk before the name stands, also should the power fail; many small files take long so.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    name = os.fspath(path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp")
    # opened here and not by tempfile, whose files nobody else may read: the umask applies as to any other file
    descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if synced:
                file.flush()
                os.fsync(file.fileno())
        os.replace(name, path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # a full disk names no file
        Path(name).unlink(missing_ok=True)
        raise
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
