"""Rows of a table: what a method reached over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import metrics
from ..intervals import Intervals
from ..resampling import units
from ..runner import Result
from ..statistics import Interval
from ._tables import over_runs, with_interval

__all__ = ["REFERENCES", "Row", "arithmetic"]

REFERENCES = ("knn", "trivial contrast", "trivial gradient", "trivial bytes")
"""What stands in every table: a method without training, and one number per image."""


@dataclass(frozen=True)
class Row:
    """A method on one data set.

    Args:
        results: Its trials, one per seed, on the same test images.
        part: Whose scores are meant: the detector's own, or those of the autoencoder it was built on.
    """

    results: Sequence[Result]
    part: str = "own"

    def half(self, second: bool) -> Row:
        """Return the row on one half of the test images, patients whole, both halves with either class's share.

        What is chosen on the first half can be tested on the second.
        """
        value = self.results[0].value
        labels = np.asarray(value["labels"])
        unit = units(labels == 1, value["groups"] or None)
        place = np.random.default_rng(0).permutation(len(unit[1]))
        # by turns within a class, in one seeded order
        turn = np.empty(len(place), np.int64)
        for abnormal in (False, True):
            members = [one for one in place if unit[1][one] == abnormal]
            turn[members] = np.arange(len(members)) % 2
        kept = np.flatnonzero(turn[unit[0]] == second)
        return replace(self, results=[self._on(result, kept) for result in self.results])

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """1 abnormal, 0 normal, of the test images."""
        return np.asarray(self.results[0].value["labels"])

    @property
    def uninformed(self) -> str:
        """Say what scores that know nothing would reach on these test images."""
        share = float(np.mean(self.labels))
        return f"scores that know nothing reach AUROC 0.500, AUPR of normals {1 - share:.3f}, of abnormals {share:.3f}"

    @property
    def groups(self) -> list[str] | None:
        """Patient of each test image, None where they are not known."""
        return [str(group) for group in self.results[0].value["groups"]] or None

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """Test scores, a row per seed where there are several."""
        scores = np.asarray([result.value[self.part]["test"] for result in self.results], np.float64)
        return scores if len(scores) > 1 else np.asarray(scores[0])

    @property
    def errors(self) -> dict[str, list[float]]:
        """Mean score over the images of each part of the data, by seed; none where it is empty.

        For an autoencoder scored by its loss it is the mean reconstruction error.
        """
        found = [result.value[self.part] for result in self.results]
        test = np.asarray([one["test"] for one in found], np.float64)
        parts = {
            "held_out": np.asarray([one["held_out"] for one in found], np.float64),
            "test_normal": test[:, self.labels == 0],
            "test_abnormal": test[:, self.labels == 1],
        }
        by_seed = {part: np.mean(scores, axis=1).tolist() if scores.size else [] for part, scores in parts.items()}
        return {"train": [one["train_mean"] for one in found], **by_seed}

    def interval(self, metric: str) -> Interval:
        """Return a metric's mean over seeds, with bounds over patients, where known, and seeds."""
        if metric not in self._intervals:
            groups = None if self.groups is None else np.asarray(self.groups)
            self._intervals[metric] = Intervals(groups).of_ranking(getattr(metrics, metric), self.labels, self.scores)
        return self._intervals[metric]

    @cached_property
    def _intervals(self) -> dict[str, Interval]:
        """What was measured before, for a bootstrap takes seconds."""
        return {}

    def by_seed(self, metric: str) -> list[float]:
        """Return a metric of every trial; their test images need not be the same."""
        return over_runs(self.results, metric, self.part)

    def cell(self, metric: str) -> str:
        """Print a metric: mean ± sd over seeds, and its interval."""
        return with_interval(self.interval(metric), self.by_seed(metric))

    def to_json(self, shown: Sequence[str]) -> dict[str, Any]:
        """Return these metrics with bounds and values per seed, seconds and losses, as plain values."""
        ranking = {metric: {**self.interval(metric).to_json(), "by_seed": self.by_seed(metric)} for metric in shown}
        values = [result.value for result in self.results]
        return {
            **ranking,
            "fit_seconds": [value["fit_seconds"] for value in values],
            "losses": [value["losses"] for value in values],
        }

    @property
    def precisions(self) -> list[str]:
        """What its trials were trained in; none where nothing is trained."""
        return sorted({result.where["precision"] for result in self.results if result.value["losses"]})

    def _on(self, result: Result, kept: npt.NDArray[np.intp]) -> Result:
        """Leave all but these test images out of a result."""
        value = result.value
        groups = [value["groups"][i] for i in kept] if value["groups"] else []
        part = {**value[self.part], "test": [value[self.part]["test"][i] for i in kept]}
        changed = {"labels": [value["labels"][i] for i in kept], "groups": groups, self.part: part}
        return replace(result, value={**value, **changed})


def arithmetic(rows: Mapping[str, Row]) -> list[str]:
    """Say which rows were trained in which precision where it is not the same for all: it moves their scores."""
    by_precision: dict[str, list[str]] = {}
    for name, row in rows.items():
        if row.precisions:
            by_precision.setdefault(" and ".join(row.precisions), []).append(name)
    if len(by_precision) < 2 and not any(" and " in precision for precision in by_precision):
        return []
    listed = "; ".join(f"{precision}: {', '.join(names)}" for precision, names in sorted(by_precision.items()))
    return [f"arithmetic, which moves a trained network's AUROC by up to some hundredths: {listed}"]
