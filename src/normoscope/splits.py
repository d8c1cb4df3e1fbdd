"""Four disjoint parts, and who may read them.

*train* fits weights · *select* stops, gates and sizes · *calibrate* sets p-values, rules and the map scale, and
nothing else reads it · *test* is opened to report. All but test are normals.

Official validation normals calibrate, and 10 % of the official training normals select. Without an official
validation part the training normals are cut 70/10/20; without an official test part a fifth of the normals is
first set aside for it, beside all abnormals. Cuts are seeded and by patient wherever ids are known; abnormals of a
patient whose normals train are then left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .errors import LeakageError, OptionError, TooFewImagesError, printable
from .types import Collection, Sample

__all__ = ["PARTS", "Parts", "check_leakage", "duplicate_notes", "patients_of", "split"]

PARTS = ("train", "select", "calibrate", "test")


@dataclass(frozen=True)
class Parts:
    """Positions into a collection's samples, and how they were cut.

    Args:
        train: Fits weights.
        select: Stops, gates and sizes.
        calibrate: Sets p-values, rules and the map scale.
        test: Opened to report.
        by_patient: Every image has a patient id, and no patient stands in two parts.
        seed: Of the cuts.
        rule: How the parts were to be cut, in words; patients stay whole, so shares are met as nearly as they allow.
        wished: What was to have a share of the normals: select, calibrate, "the test of normals".
    """

    train: tuple[int, ...]
    select: tuple[int, ...]
    calibrate: tuple[int, ...]
    test: tuple[int, ...]
    by_patient: bool
    seed: int
    rule: str
    wished: tuple[str, ...] = ()

    def __getitem__(self, part: str) -> tuple[int, ...]:
        value: tuple[int, ...] = getattr(self, part)
        return value


def patients_of(samples: Sequence[Sample]) -> list[str] | None:
    """Return the samples' patients, None unless every one has an id: some without would make groups of their own."""
    ids = [sample.patient for sample in samples if sample.patient is not None]
    return ids if ids and len(ids) == len(samples) else None


def split(collection: Collection, seed: int = 0, shares: Sequence[float] = (0.7, 0.1, 0.2)) -> Parts:
    """Cut a labelled collection into the four parts.

    Args:
        collection: Samples with a named normal class.
        seed: Of the cuts.
        shares: Of *train*, *select* and *calibrate* in the training normals; where official validation normals
            calibrate, *select* keeps its share and *train* takes the rest.

    Raises:
        TooFewImagesError: No normal image is left to train on.
        OptionError: The shares are not three that make 1, the first above 0.
    """
    if len(shares) != 3 or min(shares) < 0 or shares[0] == 0 or not math.isclose(sum(shares), 1):
        raise OptionError("shares", tuple(shares), "three that make 1, the first above 0, as (0.7, 0.1, 0.2)")
    samples = collection.samples
    normals = {
        s: [i for i, x in enumerate(samples) if x.label == 0 and x.split == s]
        for s in ("train", "validation", "test", None)
    }
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5B117]))
    pool = normals["train"] + normals[None]
    test = [i for i, x in enumerate(samples) if x.split == "test"]
    told: list[str] = []
    wished = [part for part, share in zip(("select", "calibrate"), shares[1:], strict=True) if share]
    if not test:
        wished.append("the test of normals")
        held, pool = _cut(samples, pool, (0.2, 0.8), rng)
        # abnormals of any split: none of them may serve anything but the test
        abnormal = [i for i, x in enumerate(samples) if x.label == 1]
        strangers = _without_patients_of(samples, abnormal, pool + normals["validation"])
        test = sorted(held + strangers)
        told.append("no official test part: 20 % of the normals and all abnormals test")
        if len(strangers) < len(abnormal):
            told.append(f"{len(abnormal) - len(strangers)} abnormals left out, whose patients have normals in training")
    if normals["validation"]:
        calibrate = normals["validation"]
        select, train = _cut(samples, pool, (shares[1], 1 - shares[1]), rng)
        told.append(f"official validation normals calibrate, {100 * shares[1]:.0f} % of the training normals select")
    else:
        train, select, calibrate = _cut(samples, pool, tuple(shares), rng)
        told.append("training normals cut " + "/".join(f"{100 * share:.0f}" for share in shares))
    if not train:
        raise TooFewImagesError("train", 1, 0)
    shared = _shared_patients(samples, (train, select, calibrate, test))
    if shared:
        told.append(f"the official parts share {shared} patients")
    by_patient = collection.grouped and not shared
    rule = "; ".join(told)
    return Parts(tuple(train), tuple(select), tuple(calibrate), tuple(test), by_patient, seed, rule, tuple(wished))


def _without_patients_of(samples: Sequence[Sample], rows: Sequence[int], others: Sequence[int]) -> list[int]:
    """Keep the rows whose patient, where known, has no image among the others."""
    patients = {samples[i].patient for i in others} - {None}
    return [i for i in rows if samples[i].patient not in patients]


def _shared_patients(samples: Sequence[Sample], parts: Sequence[Sequence[int]]) -> int:
    """Count the patients who stand in more than one part; an official split may cut through them."""
    standing = Counter(patient for part in parts for patient in {samples[i].patient for i in part})
    return sum(count > 1 for patient, count in standing.items() if patient is not None)


def _cut(
    samples: Sequence[Sample], pool: Sequence[int], shares: tuple[float, ...], rng: np.random.Generator
) -> list[list[int]]:
    """Cut positions into shares, never through a patient; images without an id are their own patient."""
    groups: dict[str, list[int]] = {}
    for i in pool:
        patient = samples[i].patient
        groups.setdefault(f"image {i}" if patient is None else f"patient {patient}", []).append(i)
    keys = list(groups)
    order = [keys[k] for k in rng.permutation(len(keys))]
    counts = np.cumsum([len(groups[key]) for key in order])
    ends = np.round(np.cumsum(shares) * len(pool))
    parts: list[list[int]] = [[] for _ in shares]
    for key, reached in zip(order, counts, strict=True):
        middle = reached - len(groups[key]) / 2
        part = min(int(np.searchsorted(ends, middle, side="left")), len(shares) - 1)
        parts[part].extend(groups[key])
    return [sorted(part) for part in parts]


def check_leakage(test: Mapping[str, str], used: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse a test image that another part of this run holds too.

    Args:
        test: Name to content hash.
        used: Part to (name to content hash).

    Raises:
        LeakageError: At least one copy.
    """
    for part, hashes in used.items():
        names = {content: name for name, content in hashes.items()}
        pairs = [(name, names[content]) for name, content in test.items() if content in names]
        if pairs:
            raise LeakageError(pairs, part)


def duplicate_notes(samples: Sequence[Sample], hashes: Sequence[str]) -> list[str]:
    """Tell of exact copies, and of equal images whose labels conflict."""
    seen: dict[str, list[Sample]] = {}
    for sample, content in zip(samples, hashes, strict=True):
        seen.setdefault(content, []).append(sample)
    copies = [group for group in seen.values() if len(group) > 1]
    conflicts = [group for group in copies if len({s.label for s in group}) > 1]
    notes = []
    if copies:
        first = ", ".join(printable(s.name) for s in copies[0])
        notes.append(f"{len(copies)} images stand in the data more than once (first: {first})")
    if conflicts:
        first = ", ".join(printable(f"{s.name} ({s.class_name})") for s in conflicts[0])
        notes.append(f"{len(conflicts)} equal images carry conflicting labels (first: {first})")
    return notes
