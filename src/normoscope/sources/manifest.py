"""A table of images, CSV or Parquet: path, and where known label, patient_id, mask, split and subgroup columns.

    path,label,patient_id,mask,split,sex
    scans/001.png,normal,P1,,train,f
    scans/002.png,lesion,P2,masks/002.png,test,m

`path` is needed; `mask` may be empty in a row; `label`, `patient_id` and `split` are filled in all rows or in none,
where `nan`, `NaN`, `NA`, `N/A`, `<NA>`, `null` and `NULL` count as empty; every other column is a subgroup. CSV is
UTF-8, separated by comma, semicolon or tab. The normal class must be named.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from ..decoding import read_image, read_mask
from ..errors import DataNotFoundError, LayoutError, MissingExtraError
from ..types import Sample, Split

__all__ = ["Manifest"]

_Row = Mapping[str, str]
_NO_NUMBER = ("nan", "NaN")
_MISSING = (*_NO_NUMBER, "NA", "N/A", "<NA>", "null", "NULL")
_KNOWN = ("path", "label", "patient_id", "mask", "split")
_SPLITS: Mapping[str, Split] = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Manifest:
    """A table of images.

    Args:
        path: The .csv or .parquet file.
        root: Folder that relative paths in the table start from; default the table's own.
    """

    path: str
    root: str = ""

    default_normal: ClassVar[tuple[str, ...]] = ()

    def samples(self) -> Sequence[Sample]:
        """List the rows in order; files are looked for when they are read.

        Raises:
            DataNotFoundError: No such table.
            LayoutError: Not a table of this form; the line is named.
            MissingExtraError: Parquet without pyarrow.
        """
        table = Path(self.path).expanduser()
        if not table.is_file():
            raise DataNotFoundError(f"the table {self.path}", str(table.absolute().parent), "check the path")
        columns, rows = _read_table(table)
        _check_columns(self.path, columns)
        _check_rows(self.path, columns, rows)
        root = Path(self.root).expanduser() if self.root else table.parent
        return [_sample(root, row) for _, row in rows]

    def aliases(self) -> Mapping[str, str]:
        """A label has no other name."""
        return {}


def _sample(root: Path, row: _Row) -> Sample:
    image = root / row["path"]
    mask = row.get("mask")
    split = row.get("split")
    return Sample(
        row["path"],
        partial(read_image, image),
        class_name=row.get("label") or None,
        split=_SPLITS[split.lower()] if split else None,
        patient=row.get("patient_id") or None,
        read_mask=partial(read_mask, root / mask, image) if mask else None,
        subgroups={column: value for column, value in row.items() if column not in _KNOWN},
    )


def _read_table(table: Path) -> tuple[list[str], list[tuple[str, _Row]]]:
    """Return the columns, and for each row where it stands ('line 3') and its cells, without outer blanks."""
    try:
        with table.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        return _read_parquet(table) if is_parquet or table.suffix.lower() == ".parquet" else _read_csv(table)
    except OSError as error:
        raise LayoutError(str(table), "a readable table", (error.strerror or str(error)).lower()) from None


def _read_csv(table: Path) -> tuple[list[str], list[tuple[str, _Row]]]:
    try:
        text = table.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LayoutError(str(table), "UTF-8 text", f"byte {error.start} that is not", "save it as UTF-8") from None
    head = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [cell.strip() for cell in next(filter(None, reader), [])]
        return columns, list(_csv_rows(str(table), reader, columns, lambda: reader.line_num))
    except csv.Error as error:
        raise LayoutError(f"{table}, line {reader.line_num}", "well-formed CSV", str(error)) from None


def _csv_rows(
    where: str, reader: Iterator[list[str]], columns: list[str], line: Callable[[], int]
) -> Iterator[tuple[str, _Row]]:
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(columns):
            raise LayoutError(f"{where}, line {line()}", f"{len(columns)} cells, as in the header", str(len(cells)))
        yield f"line {line()}", dict(zip(columns, map(_cell, columns, cells), strict=True))


def _read_parquet(table: Path) -> tuple[list[str], list[tuple[str, _Row]]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("reading Parquet", "parquet") from None
    try:
        content = parquet.read_table(table)
        cells = content.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        detail = str(error).splitlines()[0]
        raise LayoutError(str(table), "a Parquet file", f"a damaged or truncated one ({detail})") from None
    except (OverflowError, ValueError) as error:
        got = f"a cell that cannot be read ({error})"
        raise LayoutError(str(table), "texts in UTF-8 and dates of the years 1 to 9999", got) from None
    rows: list[tuple[str, _Row]] = [
        (f"row {number}", {column: _text(f"{table}, row {number}", column, value) for column, value in row.items()})
        for number, row in enumerate(cells, 1)
    ]
    return list(content.column_names), rows


def _text(place: str, column: str, value: object) -> str:
    """Write a cell as CSV would: nothing for null and NaN, no .0 after whole numbers."""
    if value is None or value != value:
        return ""
    if column in _KNOWN and (isinstance(value, list | dict) or value in (math.inf, -math.inf)):
        raise LayoutError(place, f"one text or number as {column}", str(value))
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    return _cell(column, str(int(value) if isinstance(value, float) and value.is_integer() else value))


def _cell(column: str, text: str) -> str:
    """Strip outer blanks; what other programs write for a missing value is an empty cell."""
    return "" if text.strip() in (_MISSING if column in _KNOWN else _NO_NUMBER) else text.strip()


def _check_columns(where: str, columns: Sequence[str]) -> None:
    if "path" not in columns:
        found = ", ".join(columns) or "an empty file"
        raise LayoutError(where, "a column named path", found, "name the column of image files path")
    twice = sorted({column for column in columns if columns.count(column) > 1 or not column})
    if twice:
        got = f"{twice[0]!r} twice" if twice[0] else "one without a name"
        raise LayoutError(where, "columns with different names", got, "name it or remove it")


def _check_rows(where: str, columns: Sequence[str], rows: Sequence[tuple[str, _Row]]) -> None:
    seen: dict[str, str] = {}
    for place, row in rows:
        path = os.path.normpath(row["path"]) if row["path"] else ""
        if not path:
            raise LayoutError(f"{where}, {place}", "a path", "an empty cell")
        if path in seen:
            raise LayoutError(
                f"{where}, {place}", "every path once", f"{row['path']!r}, as in {seen[path]}", "keep one of the rows"
            )
        seen[path] = place
        if row.get("split") and row["split"].lower() not in _SPLITS:
            raise LayoutError(f"{where}, {place}", "a split train, val, validation or test", repr(row["split"]))
    for column in ("label", "patient_id", "split"):
        empty = [place for place, row in rows if column in columns and not row[column]]
        if empty and len(empty) < len(rows):
            got = f"an empty cell or NaN ({len(empty)} of {len(rows)} rows)"
            raise LayoutError(f"{where}, {empty[0]}", f"a {column}, as in other rows", got, "fill all rows or none")
