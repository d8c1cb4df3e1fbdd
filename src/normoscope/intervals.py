"""Which interval a metric deserves: a formula where one is exact enough, the bootstrap everywhere else.

AUROC           DeLong over images or patients, and seeds · exactly 0 or 1: exact binomial over independent pairs
rates           one seed, independent images, or exactly 0 or 1: exact binomial · else bootstrap, near 0 and 1 no
                narrower than the exact binomial
balanced acc.   one seed, no patient in both classes: square-and-add of its two rates · else bootstrap, no narrower
all others      bootstrap over images or patients, and seeds

Exact bounds over patients are those of the share of patients; they hold for that of images where a patient's number of
images says nothing of how they are decided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int

from . import metrics
from .bootstrap import bootstrap
from .delong import delong
from .metrics import Metric, title
from .statistics import Interval, binomial, mean_of_two

__all__ = ["Intervals", "missing_class"]

_FEW = 5
"""Images or patients on the rarer side of a rate below which drawing them again shows too little of their spread."""


@dataclass(frozen=True)
class Intervals:
    """How intervals are made on one test set.

    Args:
        groups: Patient of each image, the unit that is drawn; None takes images as independent.
        draws: Of the bootstrap.
        seed: Of the bootstrap.
    """

    groups: npt.NDArray[Any] | None = None
    draws: int = 2000
    seed: int = 0

    def within(self, rows: Bool[np.ndarray, " n"]) -> Intervals:
        """Return the same for some of the images."""
        return Intervals(None if self.groups is None else self.groups[rows], self.draws, self.seed)

    def of_ranking(
        self, metric: Metric, labels: Int[np.ndarray, " n"], scores: Float[np.ndarray, "*seeds n"]
    ) -> Interval:
        """Return a metric of scores with its interval; nan and the reason where a class is missing."""
        if missing := missing_class(labels):
            return _undefined(metric, missing)
        if metric is metrics.auroc:
            return delong(labels, scores, self.groups)
        return self._bootstrap(metric, labels, scores)

    def of_decisions(
        self, metric: Metric, labels: Int[np.ndarray, " n"], flags: Bool[np.ndarray, "*seeds n"]
    ) -> Interval:
        """Return a metric of decisions with its interval; nan and the reason where a class is missing."""
        value = float(np.mean([metric(labels, run) for run in np.atleast_2d(flags)]))
        if math.isnan(value):
            return _undefined(metric, missing_class(labels))
        if metric is metrics.balanced_accuracy:
            rates = (metrics.sensitivity, metrics.specificity)
            apart = mean_of_two(*(self.of_decisions(rate, labels, flags) for rate in rates))
            if flags.ndim == 1 and not self._in_both(labels):
                return apart
            return _no_narrower(self._bootstrap(metric, labels, flags), apart)
        if metric not in _SHARE_OF:
            return self._bootstrap(metric, labels, flags)
        rows = np.isin(labels, _SHARE_OF[metric])
        if (self.groups is None and flags.ndim == 1) or value in (0.0, 1.0):
            return self._binomial(value, rows)
        drawn = self._bootstrap(metric, labels, flags)
        units, _ = self._units(rows)
        if math.isnan(drawn.low):  # the other class may be why
            return drawn if units < 2 else self._binomial(value, rows)
        if min(value, 1 - value) * units >= _FEW:
            return drawn
        return _no_narrower(drawn, self._binomial(value, rows))

    def of_shares(self, shares: Float[np.ndarray, " n"]) -> Interval:
        """Return the mean of one share per image, each in [0, 1], with its interval.

        Yes and no have exact bounds where images are independent. Others spread less, so those bounds are too wide for
        them, which matters little: near 0 and 1, where draws cannot show what was not seen, nothing narrower is known.
        """
        everyone = np.ones(len(shares), np.int64)
        if np.isin(shares, (0, 1)).all():
            return self.of_decisions(metrics.sensitivity, everyone, shares.astype(bool))
        drawn = self._bootstrap(lambda _, some: float(some.mean()), everyone, shares)
        units, _ = self._units(everyone == 1)
        if math.isnan(drawn.low) or min(drawn.value, 1 - drawn.value) * units >= _FEW:
            return drawn
        return _no_narrower(drawn, self._binomial(drawn.value, everyone == 1))

    def of_pixels(self, metric: Metric, masks: Bool[np.ndarray, "n h w"], given: npt.NDArray[Any]) -> Interval:
        """Return a metric of maps or predicted masks with its interval; nan and the reason without lesions."""
        if np.all(masks) or not np.any(masks):
            return _undefined(metric, "no pixels outside lesions" if np.any(masks) else "no lesion pixels")
        return self._bootstrap(metric, masks, given)

    def _bootstrap(self, metric: Metric, labels: npt.NDArray[Any], given: npt.NDArray[Any]) -> Interval:
        return bootstrap(metric, labels, given, self.groups, self.draws, self.seed)

    def _binomial(self, value: float, rows: Bool[np.ndarray, " n"]) -> Interval:
        """Count images; or patients, who at 0 and 1 are right or wrong as a whole."""
        n, unit = self._units(rows)
        return binomial(round(value * n, 9), n, unit)

    def _in_both(self, labels: Int[np.ndarray, " n"]) -> bool:
        """Tell whether any patient has images of both classes, whose rates then depend on each other."""
        if self.groups is None:
            return False
        return bool(np.intersect1d(self.groups[labels == 0], self.groups[labels == 1]).size)

    def _units(self, rows: Bool[np.ndarray, " n"]) -> tuple[int, str]:
        if self.groups is None:
            return int(np.sum(rows)), "images"
        return len(np.unique(self.groups[rows])), "patients"


_SHARE_OF: dict[Metric, tuple[int, ...]] = {
    metrics.accuracy: (0, 1),
    metrics.sensitivity: (1,),
    metrics.specificity: (0,),
}
"""The labels of the images a rate is a share of: what makes it binomial."""


def _no_narrower(drawn: Interval, other: Interval) -> Interval:
    """Widen an interval to hold another of the same value; the other one where the first has no bounds."""
    if math.isnan(drawn.low):
        return other
    low, high = np.fmin(drawn.low, other.low), np.fmax(drawn.high, other.high)
    return Interval(drawn.value, float(low), float(high), f"{drawn.how}, no narrower than {other.how}")


def missing_class(labels: Int[np.ndarray, " n"]) -> str:
    """Name what there is none of ("no abnormal images"); empty where both classes are there."""
    absent = [name for name, label in (("normal", 0), ("abnormal", 1)) if not np.any(labels == label)]
    return f"no {absent[0]} images" if len(absent) == 1 else "no images" if absent else ""


def _undefined(metric: Metric, missing: str) -> Interval:
    """A metric that cannot be computed, and why."""
    return Interval.without_bounds(math.nan, f"{missing}: {title(metric.__name__)} cannot be computed")
