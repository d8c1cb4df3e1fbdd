"""ISIC 2018, task 3: photographs of skin lesions of seven kinds, as the challenge gives them out.

    ISIC2018_Task3_Training_Input/ISIC_0024306.jpg ...
    ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv      image,MEL,NV,BCC,AKIEC,BKL,DF,VASC

    ISIC2018_Task3_Training_LesionGroupings.csv                                       image,lesion_id,...

and Validation and Test alike; a note names absent parts. A class is a column, 1 in one column of each row. The normal
class must be named; benchmarks take NV, the common mole, for normal. Patients are not given. Of the training images,
the third table tells which show the same lesion; where it lies beside the folders, lesions are kept together as
patients are, and an image that it does not list is a lesion of its own.

Licence: CC BY-NC 4.0.
Reference: Tschandl, Rosendahl and Kittler, The HAM10000 dataset, Scientific Data 5, 180161, 2018; Codella et al., Skin
lesion analysis toward melanoma detection 2018, arXiv 1902.03368, 2019.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from ..decoding import read_image
from ..errors import DataNotFoundError, LayoutError
from ..types import Sample, Split

__all__ = ["ISIC2018"]

PARTS: Mapping[str, Split] = {"Training": "train", "Validation": "validation", "Test": "test"}
CLASSES: Mapping[str, str] = {
    "melanoma": "MEL",
    "nevus": "NV",
    "basal cell carcinoma": "BCC",
    "actinic keratosis": "AKIEC",
    "benign keratosis": "BKL",
    "dermatofibroma": "DF",
    "vascular lesion": "VASC",
}


@dataclass(frozen=True)
class ISIC2018:
    """The challenge's folders.

    Args:
        path: The folder that holds ISIC2018_Task3_Training_Input and the other parts, and the table of lesions.
    """

    path: str

    default_normal: ClassVar[tuple[str, ...]] = ()

    def samples(self) -> Sequence[Sample]:
        """List the images in the order of the tables, as `Training/ISIC_0024306`.

        Raises:
            DataNotFoundError: No such folder, or none of its parts.
            LayoutError: A table of another form; the line is named.
        """
        lesions = _lesions(self._groupings) if self._groupings.is_file() else None
        present = [part for part in PARTS if self._table(part).is_file()]
        if not present:
            expected = f"{self._table('Training').parent.name}/{self._table('Training').name}"
            raise DataNotFoundError(expected, self.path, "check the path")
        return [sample for part in present for sample in self._part(part, lesions)]

    def aliases(self) -> Mapping[str, str]:
        """The lesions' names in words."""
        return CLASSES

    def notes(self) -> tuple[str, ...]:
        """Say which parts are absent, and whether images of one lesion are known."""
        absent = [part for part in PARTS if not self._table(part).is_file()]
        missing = [f"{self.path}: no part {' or '.join(absent)}."] if absent else []
        if "Training" not in absent and not self._groupings.is_file():
            why = f"for {self._groupings.name}, from the page of the other files, is not there"
            missing.append(f"{self.path}: images of one lesion may fall into different parts, {why}.")
        return tuple(missing)

    @property
    def _groupings(self) -> Path:
        return Path(self.path).expanduser() / "ISIC2018_Task3_Training_LesionGroupings.csv"

    def _table(self, part: str) -> Path:
        name = f"ISIC2018_Task3_{part}_GroundTruth"
        return Path(self.path).expanduser() / name / f"{name}.csv"

    def _part(self, part: str, lesions: Mapping[str, str] | None) -> Iterator[Sample]:
        folder = Path(self.path).expanduser() / f"ISIC2018_Task3_{part}_Input"
        for image, kind in _rows(self._table(part)):
            read = partial(read_image, folder / f"{image}.jpg")
            lesion = None if lesions is None else lesions.get(image, image)
            yield Sample(f"{part}/{image}", read, class_name=kind, split=PARTS[part], patient=lesion)


def _lesions(table: Path) -> Mapping[str, str]:
    """Read which lesion an image shows."""
    columns = ["image", "lesion_id"]
    rows = _rows_below(table, columns, more=True)
    for line, row in enumerate(rows, 2):
        if len(row) < len(columns) or not all(row[: len(columns)]):
            raise LayoutError(f"{table}, line {line}", "an image and a lesion", ",".join(row))
    return {row[0]: row[1] for row in rows}


def _rows_below(table: Path, columns: Sequence[str], *, more: bool = False) -> list[list[str]]:
    """Read a table of these columns, and of more after them where they may be there, without its head."""
    try:
        rows = list(csv.reader(table.read_text("utf-8-sig").splitlines(), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LayoutError(str(table), "a CSV table", f"one that cannot be read ({error})") from None
    if not rows or (rows[0][: len(columns)] if more else rows[0]) != columns:
        raise LayoutError(
            str(table), "the columns " + ",".join(columns), ",".join(rows[0]) if rows else "an empty file"
        )
    return rows[1:]


def _rows(table: Path) -> Iterator[tuple[str, str]]:
    """Walk through a table: image and class."""
    columns = ["image", *CLASSES.values()]
    for line, row in enumerate(_rows_below(table, columns), 2):
        kinds = [kind for kind, mark in zip(columns[1:], row[1:], strict=False) if mark in ("1", "1.0")]
        if len(row) != len(columns) or not row[0] or len(kinds) != 1:
            raise LayoutError(f"{table}, line {line}", "an image and 1 in one of seven columns", ",".join(row))
        yield row[0], kinds[0]
