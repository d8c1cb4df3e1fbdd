"""Rows of the benchmark's tables: what a method reached over its seeds, and how two of them compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from ..evaluation import Evaluation, paired
from ..resampling import units
from ..runner import Result
from ..statistics import holm
from ._tables import measured, over_runs, with_interval

__all__ = ["METRICS", "Row", "differences", "knee"]

METRICS = {"auroc": "AUROC", "aupr_abnormal": "AP"}


@dataclass(frozen=True)
class Row:
    """A method on one data set.

    Args:
        results: Its trials, one per seed, on the same test images.
    """

    results: Sequence[Result]

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
        return Row([_on(result, kept) for result in self.results])

    @cached_property
    def evaluation(self) -> Evaluation:
        """Metrics of the test scores with their intervals."""
        return measured(self.results)

    @property
    def cells(self) -> list[str]:
        """AUROC and AP as they are printed."""
        return [with_interval(self.evaluation.ranking[name], over_runs(self.results, name)) for name in METRICS]

    @property
    def errors(self) -> dict[str, float | None]:
        """Mean score, over images and seeds, of each part; None where the part is empty.

        For an autoencoder scored by its loss it is the mean reconstruction error.
        """
        values = [result.value for result in self.results]
        labels = np.asarray(values[0]["labels"])
        test = np.mean([value["own"]["test"] for value in values], axis=0)
        held_out = np.asarray([value["own"]["held_out"] for value in values])
        return {
            "train": fmean(value["own"]["train_mean"] for value in values),
            "held_out": float(np.mean(held_out)) if held_out.size else None,
            "test_normal": float(np.mean(test[labels == 0])) if (labels == 0).any() else None,
            "test_abnormal": float(np.mean(test[labels == 1])) if (labels == 1).any() else None,
        }

    def to_json(self) -> dict[str, Any]:
        """Return metrics with bounds and values per seed, seconds and losses, as plain values."""
        ranking = {
            name: {**self.evaluation.ranking[name].to_json(), "by_seed": over_runs(self.results, name)}
            for name in METRICS
        }
        values = [result.value for result in self.results]
        return {
            **ranking,
            "fit_seconds": [value["fit_seconds"] for value in values],
            "losses": [value["losses"] for value in values],
        }


def _on(result: Result, kept: npt.NDArray[np.intp]) -> Result:
    """Leave all but these test images out of a result."""
    value = result.value
    groups = [value["groups"][i] for i in kept] if value["groups"] else []
    own = {**value["own"], "test": [value["own"]["test"][i] for i in kept]}
    return replace(result, value={**value, "labels": [value["labels"][i] for i in kept], "groups": groups, "own": own})


def differences(pairs: Mapping[str, tuple[Row, Row]]) -> dict[str, dict[str, Any]]:
    """Compare the AUROC of two rows on the same test images, for a family of pairs.

    Returns:
        Of each pair: the AUROC of the first minus that of the second, with interval, and the p-value adjusted by Holm
        over the family.
    """
    found = {}
    for name, (one, other) in pairs.items():
        first = one.results[0].value
        groups = [str(group) for group in first["groups"]] or None
        found[name] = paired(np.asarray(first["labels"]), _scores(one), _scores(other), groups=groups)
    adjusted = holm(np.asarray([difference.pvalue for difference in found.values()]))
    return {
        name: {**difference.auroc.to_json(), "pvalue": difference.pvalue, "holm": float(pvalue)}
        for (name, difference), pvalue in zip(found.items(), adjusted, strict=True)
    }


def _scores(row: Row) -> npt.NDArray[np.float64]:
    scores = np.asarray([result.value["own"]["test"] for result in row.results], np.float64)
    return scores if len(scores) > 1 else np.asarray(scores[0])


def knee(errors: Mapping[int, float]) -> int | None:
    """Return the latent size at the knee of a falling error curve.

    With log2 of the size and the error both scaled to [0, 1], it is the size whose error lies farthest below the line
    from the first point to the last; where two lie equally far, the smaller.

    Args:
        errors: Mean error on held-out normals by latent size.

    Returns:
        The size; None with fewer than three sizes or without a fall from the first to the last.

    Reference: Satopää et al., Finding a "Kneedle" in a Haystack, ICDCS Workshops 2011.
    """
    sizes = sorted(errors)
    if len(sizes) < 3 or not errors[sizes[0]] > errors[sizes[-1]]:
        return None
    x, y = np.log2(sizes), np.asarray([errors[size] for size in sizes])
    below = (1 - (x - x[0]) / (x[-1] - x[0])) - (y - y[-1]) / (y[0] - y[-1])
    return sizes[int(np.argmax(below))]
