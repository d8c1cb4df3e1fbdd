"""Bootstrap intervals and paired tests for any metric, over images or patients, and seeds.

bootstrap --> resampling.drawn_weights (draws, n) --> resampling.resampler: a value per draw --> percentiles
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float
from scipy.special import ndtri

from .errors import ScoresError
from .metrics import Metric
from .resampling import drawn_seeds, drawn_weights, resampler, units
from .statistics import Interval, StandardError

__all__ = ["bootstrap", "bootstrap_paired"]


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
    there are. Of S seeds it takes S - 1, which makes the variance between seeds unbiased where S of S would make it
    (S - 1) / S too small. A variance from few seeds is uncertain itself, so the draws are then spread by the ratio of
    `StandardError.quantile` to the normal one.

    Args:
        metric: A function (labels, scores) -> float.
        labels: (n,) 1 anomalous, 0 normal; or masks (n, h, w).
        scores: As `labels`, or with the seeds as a further first axis.
        groups: (n,) patient of each image; None takes images as independent.
        draws: Number of resamplings.
        seed: Of the resampling; global random state is neither read nor changed.

    Returns:
        The interval; no bounds where a class has one image or patient, or where every draw gives the same value.

    Raises:
        ScoresError: As the metric.

    Reference: Efron & Tibshirani, An Introduction to the Bootstrap (1993); Rao & Wu, JASA 83 (1988), for S - 1.
    """
    runs = _runs(labels, scores)
    [drawn] = _bootstrapped(metric, labels, [runs], groups, draws, seed)
    values = _values(metric, labels, runs)
    value = float(values.mean())
    drawn = _spread(drawn, value, _error(drawn, values)).clip(0, 1)  # every metric is a share
    return _percentiles(value, drawn, _how(labels, groups, len(runs)), labels, groups)


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
        b: Scores of the other; where both have equally many seeds, the same ones are drawn.
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
    arms = [_runs(labels, a), _runs(labels, b)]
    first, second = _bootstrapped(metric, labels, arms, groups, draws, seed)
    ours, theirs = (_values(metric, labels, arm) for arm in arms)
    difference = float(ours.mean() - theirs.mean())
    by_seed = ours - theirs if len(ours) == len(theirs) else max(ours, theirs, key=len)
    drawn = first - second
    error = _error(drawn, by_seed)
    drawn = _spread(drawn, difference, error).clip(-1, 1)
    how = "paired " + _how(labels, groups, max(len(arm) for arm in arms))
    interval = _percentiles(difference, drawn, how, labels, groups)
    if math.isnan(interval.low):
        return interval, 1.0 if difference == 0 else math.nan
    if len(by_seed) > 1:
        return interval, error.pvalue(difference)
    fewer = 1 + min(np.sum(drawn <= 0), np.sum(drawn >= 0))
    return interval, min(1.0, 2 * float(fewer) / (1 + int(np.sum(~np.isnan(drawn)))))


def _bootstrapped(
    metric: Metric,
    labels: npt.NDArray[Any],
    arms: Sequence[npt.NDArray[Any]],
    groups: npt.ArrayLike | None,
    draws: int,
    seed: int,
) -> list[Float[np.ndarray, " draws"]]:
    """Evaluate every arm on the same draws, averaged over the seeds drawn."""
    rng = np.random.default_rng(seed)
    of_seed = [[resampler(metric, labels, run) for run in arm] for arm in arms]
    blocks: list[list[npt.NDArray[Any]]] = [[] for _ in arms]
    for weights in drawn_weights(_abnormal(labels), groups, draws, rng):
        for block, resamplers in zip(blocks, of_seed, strict=True):
            block.append(np.stack([evaluate(weights) for evaluate in resamplers], axis=-1))
    seeds = {len(arm): drawn_seeds(len(arm), draws, rng) for arm in arms}
    return [np.sum(np.concatenate(block) * seeds[len(arm)], axis=-1) for block, arm in zip(blocks, arms, strict=True)]


def _percentiles(
    value: float, drawn: Float[np.ndarray, " draws"], how: str, labels: npt.NDArray[Any], groups: npt.ArrayLike | None
) -> Interval:
    """Read the bounds off the draws, leaving out those where a class went missing."""
    _, has_abnormal = units(_abnormal(labels), groups)
    if 1 in (np.sum(has_abnormal), np.sum(~has_abnormal)):
        kind = "image" if groups is None else "patient"
        return Interval.without_bounds(value, f"no interval: one {kind} of a class, its spread is unknown")
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) < 2 or np.ptp(drawn) == 0:
        return Interval.without_bounds(value, f"no interval: {how} finds no variance")
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, float(low), float(high), f"{how}, {len(drawn)} draws")


def _how(labels: npt.NDArray[Any], groups: npt.ArrayLike | None, seeds: int) -> str:
    """Name what was drawn."""
    drawn = f"{len(labels)} images" if groups is None else f"{len(np.unique(np.asarray(groups)))} patients"
    return f"bootstrap over {drawn}" + (f" x {seeds} seeds" if seeds > 1 else "")


def _runs(labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give scores of one seed the seed axis."""
    runs = np.asarray(scores)
    runs = runs[None] if runs.ndim == np.ndim(labels) else runs
    if len(runs) == 0 or runs.shape[1:] != np.shape(labels):
        expected = f"shape {np.shape(labels)} as the labels, or one such row per seed"
        raise ScoresError("scores", expected, f"shape {np.shape(scores)}", "pass one score per label")
    return runs


def _values(metric: Metric, labels: npt.NDArray[Any], runs: npt.NDArray[Any]) -> Float[np.ndarray, " seeds"]:
    """The metric itself, of every seed."""
    return np.asarray([metric(labels, run) for run in runs], np.float64)


def _spread(drawn: Float[np.ndarray, " draws"], value: float, error: StandardError) -> Float[np.ndarray, " draws"]:
    """Move draws away from the value by the ratio of the error's to the normal 97.5 % quantile."""
    return value + (drawn - value) * (error.quantile() / float(ndtri(0.975))) if error.variance > 0 else drawn


def _error(drawn: Float[np.ndarray, " draws"], by_seed: Float[np.ndarray, " seeds"]) -> StandardError:
    """Tell the part of the draws' variance that few seeds make from the images'."""
    whole, seeds = float(np.nanvar(drawn, ddof=1)), len(by_seed)
    if seeds < 2:
        return StandardError(((whole, math.inf),))
    between = float(np.var(by_seed, ddof=1)) / seeds
    # sampling can make the whole smaller than its part
    return StandardError(((between, seeds - 1), (max(0.0, whole - between), math.inf)))


def _abnormal(labels: npt.NDArray[Any]) -> Bool[np.ndarray, " n"]:
    """Which images are abnormal: by label, or by a mask that is not empty."""
    abnormal: Bool[np.ndarray, " n"] = np.any(np.reshape(labels, (len(labels), -1)), axis=1)
    return abnormal
