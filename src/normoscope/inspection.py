"""What a person should know about data before fitting anything on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .calibration import needed_for
from .errors import TooFewImagesError, UnreadableImageError, printable
from .images import content_hash
from .splits import PARTS, duplicate_notes, split
from .types import Collection, Sample

__all__ = ["Inspection", "inspect"]

_RATE = 0.05
"""The false-alarm rate that is wished for unless the user says."""


@dataclass(frozen=True)
class Inspection:
    """Counts and warnings; nothing was fitted.

    Args:
        spec: The data.
        classes: (split, class) to number of images.
        shapes: Image shape and depth to number of images, most frequent first.
        grey: Smallest and largest pixel value, None where no image can be read, and how many images are constant.
        patients: Number of patient ids, None where not every image has one.
        masks: Images with a lesion mask.
        parts: Part to number of images, None while the normal class is not named or no normal is left to train on.
        problems: Images that cannot be read, and masks of images that can.
        notes: Sentences to act on.
    """

    spec: str
    classes: Mapping[tuple[str, str], int]
    shapes: Mapping[str, int]
    grey: tuple[float | None, float | None, int]
    patients: int | None
    masks: int
    parts: Mapping[str, int] | None
    problems: tuple[UnreadableImageError, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "data": self.spec,
            "classes": [{"split": s, "class": c, "images": n} for (s, c), n in self.classes.items()],
            "shapes": dict(self.shapes),
            "grey": {"low": self.grey[0], "high": self.grey[1], "constant_images": self.grey[2]},
            "patients": self.patients,
            "masks": self.masks,
            "parts": None if self.parts is None else dict(self.parts),
            "unreadable": [{"image_path": p.file, "cause": p.cause} for p in self.problems],
            "notes": list(self.notes),
        }

    def table(self) -> str:
        """Return everything as text, one line for each fact, whatever control characters the names hold."""
        low, high, constant = self.grey
        rows = [f"{self.spec}: {sum(self.classes.values())} images"]
        rows += [f"  {s:<12}{c:<24}{n:>8}" for (s, c), n in self.classes.items()]
        rows += ["shape and depth", *(f"  {shape:<36}{n:>8}" for shape, n in list(self.shapes.items())[:8])]
        if len(self.shapes) > 8:
            rows.append(f"  and {len(self.shapes) - 8} more shapes")
        grey = "not known" if low is None else f"{low:g} to {high:g}; constant images: {constant}"
        rows.append(f"grey values  {grey}")
        rows.append(f"patients     {'not known' if self.patients is None else self.patients}")
        rows.append(f"masks        {self.masks}")
        if self.parts is not None:
            rows.append("parts        " + ", ".join(f"{part} {n}" for part, n in self.parts.items()))
        rows.append(f"unreadable   {len(self.problems)}")
        rows += [f"  {problem}" for problem in self.problems]
        return "\n".join(map(printable, [*rows, *(f"note: {sentence}" for sentence in self.notes)]))


def inspect(collection: Collection, *, progress: bool = False) -> Inspection:
    """Read every image and its mask once and tell what is there."""
    from tqdm import tqdm

    shapes: Counter[str] = Counter()
    problems: list[UnreadableImageError] = []
    kept: list[Sample] = []
    hashes: list[str] = []
    low, high, constant = np.inf, -np.inf, 0
    for sample in tqdm(collection.samples, "reading", unit="image", disable=not progress, delay=1, leave=False):
        try:
            pixels = sample.read()
        except UnreadableImageError as problem:
            problems.append(problem)
            continue
        problems += _mask_problems(sample)
        kept.append(sample)
        hashes.append(content_hash(pixels))
        shapes[f"{' x '.join(map(str, pixels.shape))} {pixels.dtype}"] += 1
        least, most = float(pixels.min()), float(pixels.max())
        low, high, constant = min(low, least), max(high, most), constant + (least == most)
    classes = Counter((s.split or "-", s.class_name or "-") for s in collection.samples)
    patients = len({s.patient for s in collection.samples}) if collection.grouped else None
    parts = _parts(collection)
    return Inspection(
        collection.spec,
        dict(sorted(classes.items())),
        dict(shapes.most_common()),
        (low, high, constant) if kept else (None, None, 0),
        patients,
        sum(s.read_mask is not None for s in collection.samples),
        parts,
        tuple(problems),
        (*collection.notes, *_advice(collection, parts, shapes, constant), *duplicate_notes(kept, hashes)),
    )


def _mask_problems(sample: Sample) -> list[UnreadableImageError]:
    try:
        if sample.read_mask is not None:
            sample.read_mask()
    except UnreadableImageError as problem:
        return [problem]
    return []


def _parts(collection: Collection) -> dict[str, int] | None:
    if collection.normal_class is None:
        return None
    try:
        cut = split(collection)
    except TooFewImagesError:
        return None
    return {part: len(cut[part]) for part in PARTS}


def _calibrating(collection: Collection) -> int:
    """Count the patients, or images where none are known, of the *calibrate* part."""
    samples = [collection.samples[i] for i in split(collection).calibrate]
    return len({sample.patient for sample in samples}) if collection.grouped else len(samples)


def _advice(
    collection: Collection, parts: Mapping[str, int] | None, shapes: Mapping[str, int], constant: int
) -> Sequence[str]:
    """Say what would go wrong later."""
    notes = []
    if not collection.grouped:
        notes.append("no patient ids: parts cannot be cut by patient; name them with --group-regex or a manifest")
    if collection.normal_class is None:
        notes.append("the normal class is not named: fit, evaluate, compare, calibrate and report need --normal-class")
    elif parts is None:
        notes.append("no normal image outside the official validation and test parts: nothing can be fitted on this")
    elif (given := _calibrating(collection)) < needed_for(_RATE):
        kind = "patients" if collection.grouped else "images"
        official = any(sample.split == "validation" and sample.label == 0 for sample in collection.samples)
        todo = "give more normals, or more of them to calibrate by --parts"
        if official:
            todo = "they are the official validation part, whatever --parts says: move training normals there"
        notes.append(
            f"{given} normal {kind} would calibrate, {needed_for(_RATE)} are needed for {100 * _RATE:.0f} % false "
            f"alarms: models of this data will have no rule and no p-values; {todo}"
        )
    depths = {shape.rsplit(" ", 1)[1] for shape in shapes}
    if len(depths) > 1:
        notes.append(f"pixels of several depths ({', '.join(sorted(depths))}): a model takes one; convert the others")
    if constant:
        notes.append(f"{constant} images are of one grey value: blank or failed exposures")
    return notes
