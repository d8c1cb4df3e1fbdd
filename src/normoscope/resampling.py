"""Draw images or patients again, and evaluate a metric on every draw after one sort.

A draw is a row of weights: how often each image counts. Patients are drawn whole where they are known, those with
and those without abnormal images apart, so that a draw has about as many images of each class as the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int

from . import curves, metrics
from .errors import ScoresError
from .metrics import Metric

__all__ = ["drawn_seeds", "drawn_weights", "fewest_of_a_class", "resampler", "unit_of", "units"]

Weights = Int[np.ndarray, "draws n"]
Resampled = Callable[[Weights], Float[np.ndarray, " draws"]]
"""How often each image counts, one row per draw -> the metric, one value per draw."""

_CELLS = 200_000  # weights held at once: they stay in the processor's cache, whatever the number of images


def units(abnormal: Bool[np.ndarray, " n"], groups: npt.ArrayLike | None) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return each image's unit (its patient, or itself) and whether each unit has an abnormal image.

    Raises:
        ScoresError: Groups of another length.
    """
    unit = unit_of(groups, len(abnormal))
    return unit, np.bincount(unit, abnormal) > 0


def unit_of(groups: npt.ArrayLike | None, n: int) -> Int[np.ndarray, " n"]:
    """Return the number of each image's patient, or its own where none are known.

    Raises:
        ScoresError: Groups of another length.
    """
    if groups is None:
        return np.arange(n)
    array = np.asarray(groups)
    if array.shape != (n,):
        raise ScoresError("groups", f"shape ({n},), one per image", f"{array.shape}", "pass one patient per image")
    return np.asarray(np.unique(array, return_inverse=True)[1])


def fewest_of_a_class(abnormal: Bool[np.ndarray, " n"], groups: npt.ArrayLike | None) -> int:
    """Return how many images, or patients with such images, the smaller class has; a class that is missing is none."""
    unit = unit_of(groups, len(abnormal))
    return min(len(np.unique(own)) for own in (unit[abnormal], unit[~abnormal]) if len(own))


def drawn_weights(
    abnormal: Bool[np.ndarray, " n"], groups: npt.ArrayLike | None, draws: int, rng: np.random.Generator
) -> Iterator[Weights]:
    """Yield the rows of `draws` resamplings in blocks of bounded size.

    Args:
        abnormal: Which images are abnormal, the strata.
        groups: Patient of each image; None draws single images.
        draws: How many resamplings.
        rng: Where the randomness comes from.
    """
    unit, has_abnormal = units(abnormal, groups)
    block = max(1, _CELLS // max(1, len(unit)))
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        times = np.zeros((rows, len(has_abnormal)), dtype=np.int32)
        for members in (np.flatnonzero(has_abnormal), np.flatnonzero(~has_abnormal)):
            if len(members):
                times[:, members] = _with_replacement(rows, len(members), rng)
        yield times if groups is None else times[:, unit]


def _with_replacement(rows: int, size: int, rng: np.random.Generator) -> Int[np.ndarray, "rows size"]:
    """Draw `size` of `size` with replacement, `rows` times, as counts."""
    picks = rng.integers(size, size=(rows, size)) + np.arange(rows)[:, None] * size
    return np.bincount(picks.ravel(), minlength=rows * size).reshape(rows, size)


def drawn_seeds(count: int, draws: int, rng: np.random.Generator) -> Float[np.ndarray, "draws seeds"]:
    """Weigh the seeds in each draw: S - 1 of S are taken, which makes the variance between seeds unbiased."""
    taken = max(1, count - 1)
    return rng.multinomial(taken, np.full(count, 1 / count), size=draws) / taken


def resampler(metric: Metric, truth: npt.NDArray[Any], given: npt.NDArray[Any]) -> Resampled:
    """Prepare a metric for evaluation under many resamplings of the images.

    Image metrics are exact. Pixel rankings are read at 1,000 thresholds (500 quantiles of the lesion pixels' scores
    and 500 of the others'), so that a draw costs one row of a matrix product and not a sort of all pixels.

    Args:
        metric: Any function (truth, given) -> float that takes images along the first axis.
        truth: Labels (n,) or masks (n, h, w).
        given: Scores, flags or maps, shaped as `truth`.

    Returns:
        A function from weights (draws, n) to values (draws,).

    Raises:
        ScoresError: As the metric.
    """
    if metric in _OF_RANKING:
        return _ranked(_OF_RANKING[metric], *curves.scored(truth, given))
    if metric in _OF_PIXELS:
        return _binned(*_OF_PIXELS[metric], *curves.scored(truth, given))
    if metric in _OF_IMAGES:
        return _summed(*_OF_IMAGES[metric](*curves.decided(truth, given)))
    return _repeated(metric, truth, given)


OfCounts = Callable[[curves.Counts, curves.Counts], curves.Values]

_OF_RANKING: dict[Metric, OfCounts] = {
    metrics.auroc: curves.roc_area,
    metrics.aupr_abnormal: curves.average_precision,
    metrics.aupr_normal: curves.average_precision_of_negatives,
    metrics.sensitivity_at_95_specificity: curves.best_sensitivity,
    metrics.fpr_at_95_sensitivity: curves.best_fpr,
}

Gain = Callable[[npt.NDArray[np.bool_]], npt.NDArray[Any]]
_OF_PIXELS: dict[Metric, tuple[OfCounts, Gain]] = {
    metrics.pixel_ap: (curves.average_precision, np.asarray),
    metrics.pixel_auroc: (curves.roc_area, np.asarray),
    metrics.aupro: (curves.overlap_area, curves.overlap_weights),
}


Truths = npt.NDArray[np.bool_]
_OF_IMAGES: dict[Metric, Callable[[Truths, Truths], tuple[npt.NDArray[Any], npt.NDArray[Any]]]] = {
    metrics.accuracy: lambda truth, given: (truth == given, np.ones_like(truth)),
    metrics.sensitivity: lambda truth, given: (truth & given, truth),
    metrics.specificity: lambda truth, given: (~truth & ~given, ~truth),
    metrics.dice: lambda truth, given: (2 * (truth & given), truth.astype(int) + given),
}
"""Rates: what to sum over images above and below the line."""


def _ranked(of_counts: OfCounts, positive: Bool[np.ndarray, " n"], scores: Float[np.ndarray, " n"]) -> Resampled:
    """Sort once; every draw is a cumulative sum of its weights in that order."""
    order, ends = curves.ranking(scores)
    positive = positive[order]

    def evaluate(weights: Weights) -> Float[np.ndarray, " draws"]:
        ranked = weights[:, order]
        flagged = np.cumsum(ranked, axis=-1, dtype=np.int64)[:, ends]
        tp = np.cumsum(ranked * positive, axis=-1, dtype=np.int64)[:, ends]
        return of_counts(tp, flagged - tp)

    return evaluate


def _binned(
    of_counts: OfCounts, gain: Gain, masks: Bool[np.ndarray, "n h w"], maps: Float[np.ndarray, "n h w"]
) -> Resampled:
    """Reduce every image to histograms of its pixels' scores; those of drawn images add up."""
    quantiles = np.linspace(0, 1, 500)
    parts = [np.quantile(part, quantiles) for part in (maps[masks], maps[~masks]) if part.size]
    levels = np.unique(np.concatenate(parts))
    width = len(levels) + 1
    bins = len(levels) - np.searchsorted(levels, maps.ravel(), side="right")  # bin 0 holds the highest scores
    bins += np.repeat(np.arange(len(maps)) * width, maps[0].size)

    def histograms(values: npt.NDArray[Any]) -> Float[np.ndarray, "n bins"]:
        return np.bincount(bins, values.ravel(), len(maps) * width).reshape(len(maps), width)

    positive, negative = histograms(gain(masks)), histograms(~masks)

    def evaluate(weights: Weights) -> Float[np.ndarray, " draws"]:
        drawn = weights.astype(np.float64)  # floats, for the fast matrix product
        return of_counts(np.cumsum(drawn @ positive, axis=-1), np.cumsum(drawn @ negative, axis=-1))

    return evaluate


def _summed(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Resampled:
    """Sum both sides of a rate within every image; those of drawn images add up."""
    above, below = (np.reshape(side, (len(side), -1)).sum(axis=1) for side in (part, whole))
    return lambda weights: curves.ratio(weights @ above, weights @ below)


def _repeated(metric: Metric, truth: npt.NDArray[Any], given: npt.NDArray[Any]) -> Resampled:
    """Evaluate any metric on the images themselves, repeated as the weights say."""
    rows = np.arange(len(truth))

    def evaluate(weights: Weights) -> Float[np.ndarray, " draws"]:
        drawn = (np.repeat(rows, row) for row in weights)
        return np.array([metric(truth[index], given[index]) for index in drawn])

    return evaluate
