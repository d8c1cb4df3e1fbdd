"""A folder of images: normal/ and abnormal/, or the MVTec, BMAD and MedIAnomaly layouts as they are, masks included.

    flat         DIR/**                           one class, named as the folder; also for a folder per patient
    classes      DIR/CLASS/**                     masks under the same names in a folder label, mask, anomaly_mask ...
    splits       DIR/{train,valid,test}/CLASS/**
    mvtec        splits, and ground_truth/CLASS/STEM_mask.png
    bmad         splits, with CLASS/{img,label}/
    medianomaly  images/ and data.json

PNG, JPEG, TIFF, WebP and BMP, 8- and 16-bit, grey and colour. The layout is told from the folders' names; `flat` has to
be asked for where there are folders: `-o layout=flat --normal-class DIR --group-regex '^[^/]+'` reads a folder per
patient. A class is called as its folder; the normal one is found where a folder is named `normal` or `good`. Every file
counts: one that is not an image is reported when it is read, and side files (.txt, .csv ...) are counted in a note.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from ..decoding import image_size, read_image, read_mask
from ..errors import DataNotFoundError, LayoutError, OptionError
from ..types import Sample
from ._layouts import LAYOUTS, NORMAL_NAMES, Found, counted, detect
from ._walk import walk

__all__ = ["Folder"]

SIDE_FILES = (
    *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".ini", ".log", ".db", ".md5"),
    *(".md", ".rst", ".html", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".py", ".sh"),
)


_MANY = 6
"""So many folders may rather be patients than classes."""


@dataclass(frozen=True)
class Folder:
    """Images on disk.

    Args:
        path: The folder; or one image, whose class is named as the folder it lies in.
        layout: auto, flat, classes, splits, mvtec, bmad or medianomaly.
    """

    path: str
    layout: str = "auto"

    default_normal: ClassVar[tuple[str, ...]] = NORMAL_NAMES

    def samples(self) -> Sequence[Sample]:
        """List the images in natural order (2 before 10), their names relative to the folder.

        Raises:
            DataNotFoundError: No such folder.
            LayoutError: Empty, or not laid out as the layout says.
            OptionError: Unknown layout.
        """
        return self._content[0]

    def aliases(self) -> Mapping[str, str]:
        """A class has its folder's name only."""
        return {}

    def notes(self) -> tuple[str, ...]:
        """Say which files were left out, and which masks are missing."""
        return self._content[1]

    def no_classes(self, count: int) -> str:
        """Say what else to type where so many folders of classes may be patients."""
        if count < _MANY or any(sample.split for sample in self.samples()):
            return ""
        name = shlex.quote(Path(self.path).expanduser().resolve().name)
        return f"; or, where each folder is a patient's, -o layout=flat --normal-class {name} --group-regex '^[^/]+'"

    @cached_property
    def _content(self) -> tuple[Sequence[Sample], tuple[str, ...]]:
        root = Path(self.path).expanduser()
        if root.is_file():
            return self._one(root), ()
        if not root.is_dir():
            raise DataNotFoundError(f"the folder {self.path}", str(root.absolute().parent), "check the path")
        if self.layout != "auto" and self.layout not in LAYOUTS:
            raise OptionError("layout", self.layout, "one of " + ", ".join(["auto", *LAYOUTS]))
        listed = dict(walk(root))
        images = {parts: path for parts, path in listed.items() if path.suffix.lower() not in SIDE_FILES}
        if not images:
            raise LayoutError(
                self.path, "images", f"{counted(len(listed), 'file')}, none of them an image", "check the path"
            )
        listing = LAYOUTS[detect(root, images) if self.layout == "auto" else self.layout](root, images)
        spelling: dict[str, str] = {}
        samples = [
            _sample(found, images.get(found.parts) or root.joinpath(*found.parts), spelling) for found in listing.found
        ]
        aside = ["/".join(parts) for parts in listed if parts not in images and parts != ("data.json",)]
        notes = [*([_aside(aside)] if aside else []), *listing.notes]
        return samples, tuple(f"{self.path}: {note}." for note in notes)

    def _one(self, file: Path) -> Sequence[Sample]:
        """List one image, whatever its name ends in: reading tells what it is."""
        if file.suffix.lower() in SIDE_FILES:
            raise LayoutError(self.path, "an image or a folder of images", f"a {file.suffix} file", "check the path")
        return [_sample(Found((file.name,), file.absolute().parent.name), file, {})]


def _sample(found: Found, path: Path, spelling: dict[str, str]) -> Sample:
    """Make one lazy sample; a class spelt Normal in train and NORMAL in test is one class."""
    mask = None if found.mask is None else partial(read_mask, found.mask, path)
    return Sample(
        # names go into tables and JSON: bytes that are no text are escaped
        "/".join(found.parts).encode("utf-8", "backslashreplace").decode(),
        partial(read_image, path),
        class_name=spelling.setdefault(found.class_name.lower(), found.class_name),
        split=found.split,
        read_mask=partial(_empty_mask, path) if found.healthy else mask,
    )


def _empty_mask(image: Path) -> Bool[np.ndarray, "h w"]:
    """Return the mask of a normal image in a layout with masks."""
    return np.zeros(image_size(image), bool)


def _aside(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"ignored {counted(len(names), 'file')} that cannot be images: {', '.join(names[:3])}{more}"
