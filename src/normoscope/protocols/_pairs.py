"""How two rows of a table compare; a difference counts where its p-value, adjusted over its family, is below 0.05."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..delong import placements
from ..evaluation import paired
from ..runner import Result
from ..statistics import Interval, holm, mean_variance, over_splits
from ._rows import Row

__all__ = [
    "Difference",
    "Scored",
    "among",
    "better",
    "changed",
    "differences",
    "differences_over_folds",
    "least",
    "mean_over_folds",
    "most",
    "told",
]

LEVEL = 0.05

Difference = Mapping[str, Any]
"""value, low, high, how, pvalue, and holm: the p-value adjusted over the family; None where there is none."""


class Scored(Protocol):
    """Test images and what a method scores them; a row is one."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """1 abnormal, 0 normal."""

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """Of every image, a row per seed where there are several."""

    @property
    def groups(self) -> Sequence[str] | None:
        """Patient of every image, None where they are not known."""


def differences(pairs: Mapping[str, tuple[Scored, Scored]], planned: int) -> dict[str, Difference]:
    """Compare the AUROC of two rows on the same test images, for a family of pairs.

    Args:
        pairs: Rows to compare, as far as they were run.
        planned: How many pairs the family will have; p-values are adjusted for all of them.

    Returns:
        Of each pair: the AUROC of the first minus that of the second.
    """
    found = {}
    for name, (one, other) in pairs.items():
        difference = paired(one.labels, one.scores, other.scores, groups=one.groups)
        found[name] = (difference.auroc, difference.pvalue)
    return _family(found, planned)


def differences_over_folds(pairs: Mapping[str, tuple[Row, Row]], planned: int) -> dict[str, Difference]:
    """Compare the mean AUROC of two rows whose trials are the same folds and seeds, for a family of pairs.

    Args:
        pairs: Rows to compare, as far as they were run; every fold tests the same abnormal images.
        planned: How many pairs the family will have; p-values are adjusted for all of them.

    Returns:
        Of each pair: the AUROC of the first minus that of the second, by Nadeau and Bengio's corrected t test with the
        spread of the abnormal images added.
    """
    found = {}
    for name, (one, other) in pairs.items():
        shared = mean_variance(np.mean(_placed(one) - _placed(other), axis=0), _abnormal_patients(one.results))
        gaps = np.subtract(one.by_seed("auroc"), other.by_seed("auroc"))
        found[name] = over_splits(gaps, _test_per_train(one), shared)
    return _family(found, planned)


def mean_over_folds(row: Row) -> Interval:
    """Return the mean AUROC of a row whose trials are folds, with bounds as of `differences_over_folds`."""
    shared = mean_variance(np.mean(_placed(row), axis=0), _abnormal_patients(row.results))
    return over_splits(np.asarray(row.by_seed("auroc")), _test_per_train(row), shared)[0]


def _test_per_train(row: Row) -> float:
    counts = [result.value["counts"] for result in row.results]
    return float(np.mean([count["test"] / count["train"] for count in counts]))


def _placed(row: Row) -> npt.NDArray[np.float64]:
    """(trials, abnormal images): the share of a trial's normals below each abnormal image."""
    trials = [(np.asarray(r.value["labels"]), np.asarray(r.value[row.part]["test"], np.float64)) for r in row.results]
    return np.stack([placements(labels, scores)[0] for labels, scores in trials])


def _abnormal_patients(trials: Sequence[Result]) -> npt.NDArray[np.int64] | None:
    """Patients of the abnormal images, by first appearance; None where unknown."""
    value = trials[0].value
    if not value["groups"]:
        return None
    of = [group for group, label in zip(value["groups"], value["labels"], strict=True) if label == 1]
    numbers = {patient: number for number, patient in enumerate(dict.fromkeys(of))}
    return np.asarray([numbers[patient] for patient in of])


def _family(found: Mapping[str, tuple[Interval, float]], planned: int) -> dict[str, Difference]:
    # a pair that was not run yet counts as one that showed nothing, so that no verdict is taken back later
    pvalues = np.ones(max(planned, len(found)))
    pvalues[: len(found)] = [pvalue for _, pvalue in found.values()]
    return {
        name: {**interval.to_json(), "pvalue": _known(pvalue), "holm": _known(float(corrected))}
        for (name, (interval, pvalue)), corrected in zip(found.items(), holm(pvalues), strict=False)
    }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def told(difference: Difference) -> str:
    """Print a difference of AUROCs with its interval and adjusted p-value."""
    if difference["value"] is None:
        return "–"
    bounds = "" if difference["low"] is None else f" [{difference['low']:+.3f}, {difference['high']:+.3f}]"
    chance = difference["holm"]
    known = "no test" if chance is None else "p < 0.001" if chance < 0.001 else f"p = {chance:.3f}"
    return f"{difference['value']:+.3f}{bounds}, {known}"


def better(difference: Difference) -> bool | None:
    """Tell whether the first of two rows is the better one; None where chance explains what they differ by."""
    return bool(difference["value"] > 0) if changed(difference) else None


def among(difference: Difference, sets: int) -> Difference:
    """Adjust a difference that is picked among so many data sets, each a family of its own."""
    return {**difference, "holm": None if difference["holm"] is None else min(1.0, sets * difference["holm"])}


def least(difference: Difference) -> float:
    """Return the smallest size of a difference that its interval allows."""
    low, high = difference["low"], difference["high"]
    return 0.0 if low <= 0 <= high else float(min(abs(low), abs(high)))


def most(difference: Difference) -> float:
    """Return the largest."""
    return float(max(abs(difference["low"]), abs(difference["high"])))


def changed(difference: Difference) -> bool:
    """Tell whether two rows differ beyond chance, whichever is better."""
    return difference["holm"] is not None and difference["holm"] < LEVEL
