"""Which interval a metric deserves: a formula where one is exact enough, the bootstrap everywhere else.

AUROC           DeLong over images or patients, and seeds · exactly 0 or 1: exact binomial over independent pairs
rates           one seed, independent images, or exactly 0 or 1: exact binomial · else bootstrap, near 0 and 1 no
                narrower than the exact binomial
balanced acc.   square-and-add of its two rates
all others      bootstrap over images or patients, and seeds
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
            return mean_of_two(*(self.of_decisions(rate, labels, flags) for rate in rates))
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
        exact = self._binomial(value, rows)
        low, high = np.fmin(drawn.low, exact.low), np.fmax(drawn.high, exact.high)
        return Interval(value, float(low), float(high), f"{drawn.how}, no narrower than {exact.how}")

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


def missing_class(labels: Int[np.ndarray, " n"]) -> str:
    """Name what there is none of ("no abnormal images"); empty where both classes are there."""
    absent = [name for name, label in (("normal", 0), ("abnormal", 1)) if not np.any(labels == label)]
    return f"no {absent[0]} images" if len(absent) == 1 else "no images" if absent else ""


def _undefined(metric: Metric, missing: str) -> Interval:
    """A metric that cannot be computed, and why."""
    return Interval.without_bounds(math.nan, f"{missing}: {title(metric.__name__)} cannot be computed")
