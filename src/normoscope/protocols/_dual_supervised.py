"""Classifiers that see labels, for comparison: logistic regression on HOG and a small CNN.

n labelled training images, classes in the data's shares --fit--> probability of abnormal --> flagged above 0.5
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import DataChangedError
from ..features import hog, hog_cell
from ..images import PixelStore, batches
from ..transforms import Preprocessing
from ..types import Run
from ._data import read

__all__ = ["Labelled", "Supervised", "has_both", "labelled", "shares", "work"]

Labels = npt.NDArray[np.int64]
Classifier = Callable[[Tensor], Tensor]
"""Images (n, c, h, w) to the probability (n,) of being abnormal."""


@dataclass(frozen=True)
class Supervised:
    """A classifier and its images, as its job's arguments.

    Args:
        data: Name in `_data.DATA`.
        model: hog or cnn.
        count: Labelled training images.
        seed: Of the draw, and of the CNN's weights and batches.
        steps: Of the CNN; logistic regression is solved.
        batch_size: Of the CNN.
        digest: Hash of the images and their labels; empty is not checked.
    """

    data: str
    model: str
    count: int
    seed: int
    steps: int
    batch_size: int
    digest: str = ""


@dataclass(frozen=True)
class Labelled:
    """Images of both classes, preprocessed as a trial's are.

    Args:
        train: Labelled training images, none of which is also a test image.
        train_labels: (n,) 1 abnormal, 0 normal.
        test: Test images, in a trial's order.
        labels: (m,) theirs.
        groups: Patient of each test image as a number, empty where patients are not known.
        digest: Hash of all pixels and labels, in order.
    """

    train: PixelStore
    train_labels: Labels
    test: PixelStore
    labels: Labels
    groups: tuple[int, ...]
    digest: str


def work(arguments: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Fit and score; the job function.

    Returns:
        labels and groups of the test images; their probability of being abnormal; counts; seconds.

    Raises:
        DataChangedError: The images are not those the fit was planned with.
    """
    given = Supervised(**arguments)
    data = labelled(given.data, given.count, given.seed)
    if given.digest not in ("", data.digest):
        raise DataChangedError(given.data)
    began = time.perf_counter()
    classify = _FITTED[given.model](data.train, data.train_labels, given)
    took = time.perf_counter() - began
    scores = [float(f"{score:.7g}") for batch in batches(data.test) for score in classify(batch).tolist()]
    return {
        "labels": data.labels.tolist(),
        "groups": list(data.groups),
        "counts": {
            "train": len(data.train),
            "abnormal": int(data.train_labels.sum()),
            "held_out": 0,
            "test": len(data.test),
        },
        "own": {"test": scores},
        "fit_seconds": round(took, 3),
    }


def labelled(data: str, count: int, seed: int) -> Labelled:
    """Draw labelled training images, both classes in the shares the data has them in."""
    pool = _pool(data)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x1ABE]))
    drawn = [
        rng.permutation(np.flatnonzero(pool.train_labels == label))[:number]
        for label, number in enumerate(shares(pool.train_labels, count))
    ]
    rows = np.sort(np.concatenate(drawn))
    digest = hashlib.sha256(f"{pool.digest} {rows.tolist()}".encode()).hexdigest()[:20]
    return Labelled(pool.train.subset(rows), pool.train_labels[rows], pool.test, pool.labels, pool.groups, digest)


def has_both(data: str) -> bool:
    """Tell whether the official training images hold both classes; folders made for one-class methods do not."""
    return len(np.unique(_pool(data).train_labels)) == 2


def shares(labels: Labels, count: int) -> tuple[int, int]:
    """Return how many of `count` images are normal and how many abnormal; at least one of each."""
    abnormal = int(np.clip(round(count * float(labels.mean())), 1, count - 1))
    return count - abnormal, abnormal


@lru_cache(maxsize=8)
def _pool(data: str) -> Labelled:
    """Read all labelled official training images and the official test images."""
    samples = read(data).samples
    train, test = (
        [i for i, s in enumerate(samples) if s.split == part and s.label is not None] for part in ("train", "test")
    )
    normals = [row for row, i in enumerate(train) if samples[i].label == 0]
    planned = Preprocessing().plan([samples[train[row]] for row in normals])
    prepared = planned.prepare([samples[i] for i in [*train, *test]])
    # grey values are scaled by the training normals, as the one-class methods' are
    images = prepared.images.with_intensity(planned.fit(prepared.images.subset(normals)))
    tested = set(prepared.hashes[len(train) :])
    rows = [row for row in range(len(train)) if prepared.hashes[row] not in tested]
    train_labels = np.asarray([samples[train[row]].label for row in rows], np.int64)
    labels = np.asarray([samples[i].label for i in test], np.int64)
    patients = [samples[i].patient for i in test]
    numbers = {patient: number for number, patient in enumerate(dict.fromkeys(patients))}
    groups = () if None in numbers else tuple(numbers[patient] for patient in patients)
    digest = hashlib.sha256(repr((rows, train_labels.tolist(), labels.tolist(), prepared.hashes)).encode())
    last = np.arange(len(train), len(train) + len(test))
    return Labelled(images.subset(rows), train_labels, images.subset(last), labels, groups, digest.hexdigest()[:20])


def _logistic(images: PixelStore, labels: Labels, given: Supervised) -> Classifier:
    """Solve logistic regression on HOG, scikit-learn's penalty."""
    from sklearn.linear_model import LogisticRegression

    cell = hog_cell(min(images.shape[2:]))
    features = torch.cat([hog(batch, cell) for batch in batches(images)])
    fitted = LogisticRegression(max_iter=1000).fit(features.numpy(), labels)
    return lambda batch: torch.from_numpy(fitted.predict_proba(hog(batch, cell).numpy())[:, 1])


def _cnn(images: PixelStore, labels: Labels, given: Supervised) -> Classifier:
    """Train the CNN by the cross-entropy; the batches of a pass do not overlap."""
    with Run(seed=given.seed).seeded():
        network = _network(images.shape[1])
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        targets, size = torch.from_numpy(labels).float(), min(given.batch_size, len(labels))
        order = torch.empty(0, dtype=torch.int64)
        for _ in range(given.steps):
            if len(order) < size:
                order = torch.randperm(len(labels))
            rows, order = order[:size], order[size:]
            optimizer.zero_grad()
            logits = network(images.batch(rows.numpy())).squeeze(1)
            loss = functional.binary_cross_entropy_with_logits(logits, targets[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    network.eval()

    @torch.no_grad()
    def classify(batch: Tensor) -> Tensor:
        probability: Tensor = network(batch).squeeze(1).sigmoid()
        return probability

    return classify


def _network(channels: int) -> nn.Sequential:
    """Return three normalised convolutions, each halved, and a linear layer on what is left at 3x3 places.

    Of four such networks it told training images that it had not seen apart best; no test image was asked.
    """
    layers: list[nn.Module] = []
    for before, after in ((channels, 16), (16, 32), (32, 64)):
        convolution = nn.Conv2d(before, after, 3, padding=1)
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(64 * 9, 1))


_FITTED: dict[str, Callable[[PixelStore, Labels, Supervised], Classifier]] = {"hog": _logistic, "cnn": _cnn}
