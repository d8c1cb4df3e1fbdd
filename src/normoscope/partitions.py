"""A collection cut into its four parts, read once and prepared: what methods are fitted on.

Collection --split--> train, select, calibrate, test --read, Preprocessor--> Partition
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .errors import TooFewImagesError
from .images import PixelStore
from .splits import PARTS, Parts, check_leakage, duplicate_notes, split
from .transforms import Preprocessing, Preprocessor
from .types import Collection, Sample

__all__ = ["USED", "Partition", "partition"]

USED = PARTS[:3]
"""The parts no test image may stand in."""


@dataclass(frozen=True)
class Partition:
    """A collection cut into its four parts, read once and preprocessed; methods are fitted on it.

    Args:
        collection: Where the samples came from.
        cut: The rule and seed of the four parts.
        preprocessor: Fitted on the training normals.
        images: Part to prepared images.
        samples: Part to samples, in the same order.
        parts: Part to (sample name to content hash).
        notes: Sentences the user must see.
    """

    collection: Collection
    cut: Parts
    preprocessor: Preprocessor
    images: Mapping[str, PixelStore]
    samples: Mapping[str, Sequence[Sample]]
    parts: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...]


def partition(
    collection: Collection,
    *,
    preprocessing: Preprocessing | None = None,
    split_seed: int = 0,
    shares: Sequence[float] | None = None,
    skip_unreadable: bool = False,
    progress: bool = False,
) -> Partition:
    """Cut a labelled collection, read its images and fit the preprocessing.

    Args:
        collection: Samples with a named normal class.
        preprocessing: Default: automatic size and channels, padded, min-max intensity.
        split_seed: Seeds the four parts, apart from any method's seed.
        shares: Of *train*, *select* and *calibrate*; default as `splits.split` says.
        skip_unreadable: Go on without images that cannot be read; they are listed in the notes.
        progress: Show a bar while reading.

    Raises:
        TooFewImagesError: No training normals.
        LeakageError: A test image also stands in another part.
        UnreadableImagesError: Some images cannot be read.
    """
    cut = split(collection, split_seed) if shares is None else split(collection, split_seed, shares)
    planned = (preprocessing or Preprocessing()).plan([collection.samples[i] for i in cut.train])
    used = sorted({i for part in PARTS for i in cut[part]})
    prepared = planned.prepare(
        [collection.samples[i] for i in used], skip_unreadable=skip_unreadable, progress=progress
    )
    where = {sample.name: row for row, sample in enumerate(prepared.samples)}
    names = {part: [collection.samples[i].name for i in cut[part]] for part in PARTS}
    standing = {part: [where[name] for name in names[part] if name in where] for part in PARTS}
    rows = _without_copies(standing, prepared.hashes)
    parts = {part: {prepared.samples[r].name: prepared.hashes[r] for r in rows[part]} for part in PARTS}
    check_leakage(parts["test"], {part: parts[part] for part in PARTS if part != "test"})
    if not rows["train"]:
        raise TooFewImagesError("train", 1, 0)
    preprocessor = planned.fit(prepared.images.subset(rows["train"]))
    images = prepared.images.with_intensity(preprocessor)
    notes = (
        *collection.notes,
        *_patient_notes(collection, cut),
        *duplicate_notes(prepared.samples, prepared.hashes),
        *_copy_notes(standing, rows),
        *(
            f"no image stands in {part}: there are too few patients or images to cut"
            for part in _missed(cut, collection)
        ),
        *(f"not read: {problem}" for problem in prepared.problems),
    )
    return Partition(
        collection,
        cut,
        preprocessor,
        {part: images.subset(rows[part]) for part in PARTS},
        {part: [prepared.samples[r] for r in rows[part]] for part in PARTS},
        parts,
        notes,
    )


def _without_copies(rows: Mapping[str, Sequence[int]], hashes: Sequence[str]) -> dict[str, list[int]]:
    """Leave out of *select* and *calibrate* what they or an earlier part hold already: a copy is no new normal."""
    kept = {part: list(rows[part]) for part in PARTS}
    seen = {hashes[row] for row in rows["train"]}
    for part in ("select", "calibrate"):
        first = {hashes[row]: row for row in reversed(rows[part]) if hashes[row] not in seen}
        kept[part] = sorted(first.values())
        seen |= first.keys()
    return kept


def _copy_notes(before: Mapping[str, Sequence[int]], after: Mapping[str, Sequence[int]]) -> list[str]:
    dropped = {part: len(before[part]) - len(after[part]) for part in USED}
    return [
        f"{n} images left out of {part}: exact copies of others there or in earlier parts"
        for part, n in dropped.items()
        if n
    ]


def _missed(cut: Parts, collection: Collection) -> list[str]:
    """Name the parts that were to have a share of the normals and have none."""
    normal_test = [i for i in cut.test if collection.samples[i].label == 0]
    standing = {"select": cut.select, "calibrate": cut.calibrate, "the test of normals": normal_test}
    return [part for part in cut.wished if not standing[part]]


def _patient_notes(collection: Collection, cut: Parts) -> list[str]:
    if cut.by_patient:
        return []
    if collection.grouped:
        return [f"{cut.rule.rpartition('; ')[2]}: figures and false-alarm rates are too good for new patients"]
    return [
        "no patient ids: images of one patient may stand in several parts; name them with --group-regex or a manifest"
    ]
