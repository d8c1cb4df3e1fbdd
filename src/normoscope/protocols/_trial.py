"""One trial: a method, fitted on some normals of a data set and tested on some of its images, for one seed."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import methods
from ..errors import DataChangedError
from ..images import PixelStore, batches
from ..transforms import Preprocessing
from ..types import Collection, Detector, Images, Run, Sample
from ._data import read

__all__ = ["Cut", "Trial", "cut_of", "scores_of", "work"]

_OFFICIAL = "official"
_MEAN_OF = 512


@dataclass(frozen=True)
class Cut:
    """The images of a trial, preprocessed.

    Args:
        train: Normals to fit on.
        held_out: Normals for choosing: the official validation normals, or a share taken from the training normals.
        test: Test images.
        labels: (n,) 1 anomalous, 0 normal, of the test images.
        groups: Patient of each test image as a number, empty where patients are not known.
        digest: Hash of all pixels and labels, in order.
    """

    train: PixelStore
    held_out: PixelStore
    test: PixelStore
    labels: npt.NDArray[np.int64]
    groups: tuple[int, ...]
    digest: str


@dataclass(frozen=True)
class Trial:
    """A trial, as its job's arguments.

    Args:
        data: Name in `_data.DATA`.
        method: The method.
        recipe: Its hyperparameters as JSON.
        seed: Of the run.
        fold: official, or `K/N/SEED`: rotation K of N in the normals' order of that seed.
        held_out: Share of the training normals kept from training; 0 takes the official validation normals.
        limit: Fit on so many of the training normals, drawn by the trial's seed; 0 on all.
        size: Side in pixels; 0 keeps square images of 8 to 256 pixels as they are and takes 64 otherwise.
        digest: Hash of the images; filled in by `_jobs.planned`.
    """

    data: str
    method: str
    recipe: Mapping[str, Any]
    seed: int = 0
    fold: str = _OFFICIAL
    held_out: float = 0.0
    limit: int = 0
    size: int = 0
    digest: str = ""


def work(arguments: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Fit and score; the job function.

    Returns:
        labels and groups of the test images; scores of test and held-out images and their mean over up to 512 evenly
        spread training normals; the same for the autoencoder in a method built on one (cocsvm holds a cae); losses and
        warnings; seconds.
    """
    trial = Trial(**arguments)
    cut = cut_of(trial)
    recipe = methods.from_json(trial.method, trial.recipe)
    checkpoint.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    detector = recipe.fit(cut.train, Run(seed=trial.seed, checkpoint=checkpoint, resume=True))
    seconds = time.perf_counter() - began
    history, inner = getattr(detector, "history", None), getattr(detector, "autoencoder", None)
    losses = [epoch.losses for epoch in history.epochs] if history is not None else []
    return {
        "labels": cut.labels.tolist(),
        "groups": list(cut.groups),
        "counts": {"train": len(cut.train), "held_out": len(cut.held_out), "test": len(cut.test)},
        "own": _scored(detector, cut),
        "autoencoder": _scored(inner, cut) if inner is not None else None,
        "losses": {"first": losses[0], "last": losses[-1]} if losses else None,
        "epochs": len(losses),
        "warnings": list(history.warnings) if history is not None else [],
        "fit_seconds": round(seconds, 3),
    }


def _scored(detector: Detector, cut: Cut) -> dict[str, Any]:
    rows = np.unique(np.linspace(0, len(cut.train) - 1, _MEAN_OF).round().astype(np.int64))
    return {
        "test": scores_of(detector, cut.test),
        "held_out": scores_of(detector, cut.held_out),
        "train_mean": float(np.mean(scores_of(detector, cut.train.subset(rows)))),
    }


def scores_of(detector: Detector, images: Images) -> list[float]:
    """Score images."""
    # seven digits: what float32 holds
    return [float(f"{score:.7g}") for batch in batches(images) for score in detector.anomaly_score(batch).tolist()]


def cut_of(trial: Trial) -> Cut:
    """Return the trial's images; read once per process and data set.

    Raises:
        DataChangedError: They are not those the trial was planned with.
    """
    cut = _cut(trial.data, trial.fold, trial.held_out, trial.size)
    if trial.limit:
        order = np.random.default_rng(np.random.SeedSequence([trial.seed, 0x51CE])).permutation(len(cut.train))
        rows = np.sort(order[: trial.limit])
        digest = hashlib.sha256(f"{cut.digest} {rows.tolist()}".encode()).hexdigest()[:20]
        cut = dataclasses.replace(cut, train=cut.train.subset(rows), digest=digest)
    if trial.digest not in ("", cut.digest):
        raise DataChangedError(trial.data)
    return cut


@lru_cache(maxsize=8)
def _cut(data: str, fold: str, held_out: float, size: int) -> Cut:
    collection = read(data)
    samples = collection.samples
    train, test = _official(collection) if fold == _OFFICIAL else _rotation(collection, *map(int, fold.split("/")))
    kept = [i for i, s in enumerate(samples) if s.split == "validation" and s.label == 0] if not held_out else []
    if held_out:
        train, kept = _held_out(samples, train, held_out)
    planned = Preprocessing(size).plan([samples[i] for i in train])
    prepared = planned.prepare([samples[i] for i in [*train, *kept, *test]])
    ends = np.cumsum([len(train), len(kept), len(test)])
    parts = np.split(np.arange(ends[-1]), ends[:-1])
    intensity = planned.fit(prepared.images.subset(parts[0]))
    images = prepared.images.with_intensity(intensity)
    labels = np.asarray([int(bool(samples[i].label)) for i in test], np.int64)
    patients = [samples[i].patient for i in test]
    numbers = {patient: number for number, patient in enumerate(dict.fromkeys(patients))}
    groups = () if None in numbers else tuple(numbers[patient] for patient in patients)
    digest = hashlib.sha256(repr((ends.tolist(), intensity.to_json(), labels.tolist())).encode())
    for content in prepared.hashes:
        digest.update(content.encode())
    train_images, kept_images, test_images = (images.subset(part) for part in parts)
    return Cut(train_images, kept_images, test_images, labels, groups, digest.hexdigest()[:20])


def _official(collection: Collection) -> tuple[list[int], list[int]]:
    """Return the positions of the official training normals, and of the official test images."""
    samples = collection.samples
    train = [i for i, s in enumerate(samples) if s.split == "train" and s.label == 0]
    return train, [i for i, s in enumerate(samples) if s.split == "test" and s.label is not None]


def _rotation(collection: Collection, fold: int, folds: int, seed: int) -> tuple[list[int], list[int]]:
    """Return rotation K of N: as many normals test as there are official test abnormals, the other normals train.

    The test normals of the rotations are evenly spaced stretches of one seeded order of all normals, so they overlap
    only where the normals do not suffice. A patient's normals stay together in that order, and normals of a patient who
    tests do not train.
    """
    samples = collection.samples
    normals = [i for i, s in enumerate(samples) if s.label == 0]
    abnormal = [i for i, s in enumerate(samples) if s.label == 1 and s.split == "test"]
    order = _shuffled(samples, normals, seed)
    size = min(len(abnormal), len(order) // 2)
    start = round(fold * (len(order) - size) / max(1, folds - 1))
    test = order[start : start + size]
    testing = {_patient(samples, i) for i in test}
    train = [i for i in order if i not in set(test) and _patient(samples, i) not in testing]
    return sorted(train), sorted(test) + abnormal


def _held_out(samples: Sequence[Sample], train: Sequence[int], share: float) -> tuple[list[int], list[int]]:
    """Keep whole patients from the end of one fixed order, until the share is reached."""
    order = _shuffled(samples, train, 0)
    kept = order[len(order) - round(share * len(order)) :]
    of_kept = {_patient(samples, i) for i in kept}
    return sorted(i for i in order if _patient(samples, i) not in of_kept), sorted(kept)


def _shuffled(samples: Sequence[Sample], positions: Sequence[int], seed: int) -> list[int]:
    """Put positions into a seeded order that keeps a patient's images together."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0xF01D]))
    patients = sorted({_patient(samples, i) for i in positions})
    rank = dict(zip(patients, rng.permutation(len(patients)).tolist(), strict=True))
    return sorted(positions, key=lambda i: (rank[_patient(samples, i)], i))


def _patient(samples: Sequence[Sample], position: int) -> str:
    """Name the patient, or the image where none is known."""
    patient = samples[position].patient
    return f"image {position:09d}" if patient is None else f"patient {patient}"
