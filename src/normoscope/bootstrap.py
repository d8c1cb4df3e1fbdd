"""Bootstrap intervals and paired tests for any metric, over images or patients, and seeds.

bootstrap --> resampling.drawn_weights (draws, n) --> resampling.resampler: a value per draw and seed --> percentiles
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float

from .curves import runs_of
from .metrics import Metric
from .resampling import drawn_weights, fewest_of_a_class, resampler
from .statistics import Interval, Seeds, StandardError, is_rounding, sampled

__all__ = ["bootstrap", "bootstrap_paired"]

_NORMAL = 1.959963984540054


def bootstrap(
    metric: Metric,
    labels: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    groups: npt.ArrayLike | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return a metric, averaged over seeds, with its percentile interval over images or patients, and seeds.

    A draw takes the classes apart (patients: those with and those without abnormal images), as many of each as
    there are, for all seeds at once. Seeds are not drawn: what they vary by is added to what images do
    (`StandardError.over_seeds`), and the draws of the mean are spread to that width.

    Args:
        metric: A function (labels, scores) -> float.
        labels: (n,) 1 anomalous, 0 normal; or masks (n, h, w).
        scores: As `labels`, or with the seeds as a further first axis.
        groups: (n,) patient of each image; None takes images as independent.
        draws: Number of resamplings.
        seed: Of the resampling; global random state is neither read nor changed.

    Returns:
        The interval; no bounds where a class has one image or patient, or where neither draws nor seeds differ.

    Raises:
        ScoresError: As the metric.

    Reference: Efron & Tibshirani, An Introduction to the Bootstrap (1993).
    """
    [arm] = _bootstrapped(metric, labels, [scores], groups, draws, seed)
    how = f"bootstrap over {sampled(len(labels), groups, [len(arm.values)])}"
    return _interval([arm], (0.0, 1.0), how, labels, groups)[0]  # every metric is a share


def bootstrap_paired(
    metric: Metric,
    labels: npt.NDArray[Any],
    a: npt.NDArray[Any],
    b: npt.NDArray[Any],
    groups: npt.ArrayLike | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[Interval, float]:
    """Compare two methods on the same images, each draw taken for both.

    Args:
        metric: A function (labels, scores) -> float.
        labels: (n,) 1 anomalous, 0 normal; or masks (n, h, w).
        a: Scores of one method, as in `bootstrap`.
        b: Scores of the other; equally many seeds are taken to be the same ones.
        groups: (n,) patient of each image.
        draws: Number of resamplings.
        seed: Of the resampling.

    Returns:
        metric(a) - metric(b) with its percentile interval, and the two-sided p-value: for one seed
        2 min(1 + #{d <= 0}, 1 + #{d >= 0}) / (draws + 1), for several `StandardError.pvalue`; nan without an interval
        unless the two are equal.

    Raises:
        ScoresError: As the metric.

    Reference: Davison & Hinkley, Bootstrap Methods and their Application (1997), section 4.4.
    """
    first, second = _bootstrapped(metric, labels, [a, b], groups, draws, seed)
    how = f"paired bootstrap over {sampled(len(labels), groups, [len(first.values), len(second.values)])}"
    arms = [first - second] if len(first.values) == len(second.values) else [first, -second]
    interval, error, drawn = _interval(arms, (-1.0, 1.0), how, labels, groups)
    if math.isnan(interval.low):
        return interval, 1.0 if is_rounding(interval.value) else math.nan
    if any(len(arm.values) > 1 for arm in arms):
        return interval, error.pvalue(interval.value)
    fewer = 1 + min(np.sum(drawn <= 0), np.sum(drawn >= 0))
    return interval, min(1.0, 2 * float(fewer) / (1 + len(drawn)))


class _Arm(NamedTuple):
    """A metric of every seed (seeds,), and of every draw of the images (draws, seeds)."""

    values: npt.NDArray[np.float64]
    drawn: npt.NDArray[np.float64]

    def __sub__(self, other: _Arm) -> _Arm:
        return _Arm(self.values - other.values, self.drawn - other.drawn)

    def __neg__(self) -> _Arm:
        return _Arm(-self.values, -self.drawn)


def _bootstrapped(
    metric: Metric,
    labels: npt.NDArray[Any],
    scores: Sequence[npt.NDArray[Any]],
    groups: npt.ArrayLike | None,
    draws: int,
    seed: int,
) -> list[_Arm]:
    """Evaluate every method on the images and on the same draws of them."""
    rng = np.random.default_rng(seed)
    arms = [runs_of(labels, own) for own in scores]
    of_seed = [[resampler(metric, labels, run) for run in arm] for arm in arms]
    blocks: list[list[npt.NDArray[Any]]] = [[] for _ in arms]
    for weights in drawn_weights(_abnormal(labels), groups, draws, rng):
        for block, resamplers in zip(blocks, of_seed, strict=True):
            block.append(np.stack([evaluate(weights) for evaluate in resamplers], axis=-1))
    values = [np.asarray([metric(labels, run) for run in arm], np.float64) for arm in arms]
    return [_Arm(own, np.concatenate(block)) for own, block in zip(values, blocks, strict=True)]


def _interval(
    arms: Sequence[_Arm],
    limits: tuple[float, float],
    how: str,
    labels: npt.NDArray[Any],
    groups: npt.ArrayLike | None,
) -> tuple[Interval, StandardError, Float[np.ndarray, " draws"]]:
    """Sum up the arms, each averaged over its seeds, and read the bounds off the draws where a class is not missing."""
    value = float(sum(arm.values.mean() for arm in arms))
    of_arms = [arm.drawn.mean(axis=1) for arm in arms]
    drawn = np.sum(of_arms, axis=0)
    whole = ~np.isnan(drawn)
    drawn = drawn[whole]
    if len(drawn) < 2:
        return Interval.without_bounds(value, f"no interval: {how} finds no variance"), StandardError(()), drawn
    images = float(np.var(drawn, ddof=1))
    seeds = [
        Seeds(arm.values, float(np.var(arm.drawn[whole], axis=0, ddof=1).mean()), float(np.var(own[whole], ddof=1)))
        for arm, own in zip(arms, of_arms, strict=True)
    ]
    error = StandardError.over_seeds(seeds, images)
    if fewest_of_a_class(_abnormal(labels), groups) == 1:
        kind = "image" if groups is None else "patient"
        why = f"no interval: one {kind} of a class, its spread is unknown"
        return Interval.without_bounds(value, why), error, drawn
    if not error.variance > 0:
        return Interval.without_bounds(value, f"no interval: {how} finds no variance"), error, drawn
    half = error.quantile() * error.sd
    # the draws show what images do; they are spread by what seeds do besides, and by how well that is known
    bounds = value + half * np.asarray([-1, 1])
    if np.ptp(drawn) > 0:
        bounds = np.quantile(value + (drawn - value) * half / (_NORMAL * math.sqrt(images)), [0.025, 0.975])
    # copies of an image cannot rank below each other, so that at the least possible value all draws lie above it
    low, high = np.clip([min(bounds[0], value), max(bounds[1], value)], *limits)
    return Interval(value, float(low), float(high), f"{how}, {len(drawn)} draws"), error, drawn


def _abnormal(labels: npt.NDArray[Any]) -> Bool[np.ndarray, " n"]:
    """Which images are abnormal: by label, or by a mask that is not empty."""
    abnormal: Bool[np.ndarray, " n"] = np.any(np.reshape(labels, (len(labels), -1)), axis=1)
    return abnormal
