"""AUROC's intervals and paired tests, over images or patients, and seeds.

    scores --placements--> share of the other class that each image beats --_standard_error--> interval, p-value

An AUROC is a mean over images, each of which contributes the share of the other class that it is ranked right against
(DeLong); images of one patient are summed first (Obuchowski). Several seeds are several readers of the same images, and
what their mean is worth is what a multi-reader study asks (Obuchowski and Rockette): images that all seeds score, and
seeds that score all images.

Reference: DeLong et al., Biometrics 44 (1988), n log n as Sun & Xu, IEEE SPL 21 (2014); Obuchowski, Nonparametric
analysis of clustered ROC curve data, Biometrics 53 (1997); Obuchowski & Rockette, Hypothesis testing of diagnostic
accuracy for multiple readers and multiple tests, Commun. Stat. Simul. 24 (1995).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from .curves import runs_of
from .metrics import auroc
from .statistics import Interval, Seeds, StandardError, binomial, is_rounding, mean_variance, sampled

__all__ = ["delong", "delong_paired", "independent_pairs", "perfect", "placements"]


def delong(
    labels: Int[np.ndarray, " n"], scores: Float[np.ndarray, "*seeds n"], groups: npt.ArrayLike | None = None
) -> Interval:
    """Return AUROC, averaged over seeds, with an interval made on the logit scale.

    One seed: var = var(V10) / n_abnormal + var(V01) / n_normal, where V10 is the share of normals below each abnormal
    image and V01 the share of abnormals above each normal one (ties one half). On the logit scale the bounds stay
    inside (0, 1) and cover better near 1 and in small samples than AUROC +- 1.96 sd: with 100 normal and 15 abnormal
    images and a true AUROC of 0.96, 94 % of the intervals hold it, against 82 %; with 50 and 50 and 0.76, 96 % and
    94 %.

    Of patients the images' deviations are summed, a patient's abnormal and normal images together. Student's quantile
    has as many degrees of freedom as images or patients allow (Satterthwaite): with 100 normal and 5 abnormal images
    the normal distribution's would reject 9 % of true nulls, this one 5 %.

    S seeds: var = s² / S + C, of the variance s² of the seeds' AUROCs and the mean covariance of two seeds' AUROCs that
    their common images make (`StandardError.over_seeds`). The interval says what other images and other seeds would
    change. Of two seeds that differ near 1 it says little: at 1.000 and 0.993, with 100 normal and 15 abnormal images,
    it reaches down to 0.001; of three, at 1.000, 1.000 and 0.993, to 0.86.

    Args:
        labels: 1 anomalous, 0 normal.
        scores: Higher is more anomalous; one row per seed where there are several.
        groups: Patient of each image; None takes images as independent.

    Returns:
        The interval; exact bounds (`perfect`) at 0 and 1; no bounds with one image or patient in a class or equal
        scores.

    Raises:
        ScoresError: As `metrics.auroc`.

    Reference: for the logit scale Pepe, The Statistical Evaluation of Medical Tests (2003), section 5.2.
    """
    runs = runs_of(labels, scores)
    value = _area(labels, runs)
    if value in (0.0, 1.0):
        return perfect(value, independent_pairs(labels, groups))
    error = _standard_error(labels, [_Arm.of(labels, runs)], groups)
    if not error.sd > 0:
        return Interval.without_bounds(value, _no_spread("DeLong", labels, groups))
    logit, half = math.log(value / (1 - value)), error.quantile() * error.sd / (value * (1 - value))
    how = "DeLong" + _over(labels, groups, [len(runs)])
    return Interval(value, _expit(logit - half), _expit(logit + half), how)


def delong_paired(
    labels: Int[np.ndarray, " n"],
    a: Float[np.ndarray, "*seeds n"],
    b: Float[np.ndarray, "*seeds n"],
    groups: npt.ArrayLike | None = None,
) -> tuple[Interval, float]:
    """Compare two AUROCs on the same images.

    The variance of the difference is that of V(a) - V(b), so what the two methods share cancels. Equally many seeds
    are taken to be the same ones, and differ seed by seed; otherwise either method's seeds have their own variance, and
    a method of one seed is taken to have none, as one that is fitted without chance.

    Args:
        labels: 1 anomalous, 0 normal.
        a: Scores of one method, higher is more anomalous; one row per seed where there are several.
        b: Scores of the other.
        groups: Patient of each image, as in `delong`.

    Returns:
        AUROC(a) - AUROC(b) with its Wald interval inside [-1, 1], and the two-sided p-value of no difference (nan
        where the variance is zero and the difference is not).

    Raises:
        ScoresError: As `metrics.auroc`.
    """
    a, b = runs_of(labels, a), runs_of(labels, b)
    difference = _area(labels, a) - _area(labels, b)
    first, second = _Arm.of(labels, a), _Arm.of(labels, b)
    error = _standard_error(labels, [first - second] if len(a) == len(b) else [first, -second], groups)
    if not error.sd > 0:
        pvalue = 1.0 if error.sd == 0 and is_rounding(difference) else math.nan
        return Interval.without_bounds(difference, _no_spread("paired DeLong", labels, groups)), pvalue
    half = error.quantile() * error.sd
    low, high = max(-1.0, difference - half), min(1.0, difference + half)
    how = "paired DeLong" + _over(labels, groups, [len(a), len(b)])
    return Interval(difference, low, high, how), error.pvalue(difference)


def _area(labels: Int[np.ndarray, " n"], runs: Float[np.ndarray, "seeds n"]) -> float:
    """Return the mean AUROC over seeds."""
    return float(np.mean([auroc(labels, run) for run in runs]))


class _Arm(NamedTuple):
    """What the AUROCs of one method, or of the difference of two, are means of.

    V10 (seeds, abnormal images) and V01 (seeds, normal images), as of `placements`.
    """

    of_abnormal: npt.NDArray[np.float64]
    of_normal: npt.NDArray[np.float64]

    @classmethod
    def of(cls, labels: Int[np.ndarray, " n"], runs: Float[np.ndarray, "seeds n"]) -> _Arm:
        placed = [placements(labels, run) for run in runs]
        return cls(np.stack([own for own, _ in placed]), np.stack([own for _, own in placed]))

    @property
    def areas(self) -> Float[np.ndarray, " seeds"]:
        """One AUROC per seed."""
        return np.asarray(self.of_abnormal.mean(axis=1))

    def __sub__(self, other: _Arm) -> _Arm:
        return _Arm(self.of_abnormal - other.of_abnormal, self.of_normal - other.of_normal)

    def __neg__(self) -> _Arm:
        return _Arm(-self.of_abnormal, -self.of_normal)


def _standard_error(labels: Int[np.ndarray, " n"], arms: Sequence[_Arm], groups: npt.ArrayLike | None) -> StandardError:
    """Return the error of the arms' sum, each averaged over its seeds."""

    def variance(of_abnormal: Float[np.ndarray, " p"], of_normal: Float[np.ndarray, " q"]) -> float:
        return _of_images(labels, of_abnormal, of_normal, groups)[0]

    means = [(arm.of_abnormal.mean(axis=0), arm.of_normal.mean(axis=0)) for arm in arms]
    whole = [np.sum(sides, axis=0) for sides in zip(*means, strict=True)]
    of_images, freedom = _of_images(labels, whole[0], whole[1], groups)
    seeds = [
        Seeds(arm.areas, sum(variance(*one) for one in zip(*arm, strict=True)) / len(arm.areas), variance(*mean))
        for arm, mean in zip(arms, means, strict=True)
    ]
    return StandardError.over_seeds(seeds, of_images, freedom)


def _of_images(
    labels: Int[np.ndarray, " n"],
    of_abnormal: Float[np.ndarray, " p"],
    of_normal: Float[np.ndarray, " q"],
    groups: npt.ArrayLike | None,
) -> tuple[float, float]:
    """Return the variance that images or patients make, with its degrees of freedom.

    Variances of both classes' means add up and, of patients with images in both, twice their covariance.
    """
    values = (of_abnormal, of_normal)
    names, patient = np.unique(np.arange(len(labels)) if groups is None else np.asarray(groups), return_inverse=True)
    of_class = [patient[np.asarray(labels) == label] for label in (1, 0)]
    own = [mean_variance(v, of) for v, of in zip(values, of_class, strict=True)]
    sums = [np.bincount(of, v - v.mean(), len(names)) / len(v) for v, of in zip(values, of_class, strict=True)]
    whole = sum(own) + 2 * len(names) / max(1, len(names) - 1) * float(sums[0] @ sums[1])
    if not sum(own) > 0:
        return whole, math.inf
    counts = [len(np.unique(of)) for of in of_class]
    freedom = sum(own) ** 2 / sum(part**2 / (count - 1) for part, count in zip(own, counts, strict=True))
    shared = sum(counts) > len(names)
    return whole, min(freedom, len(names) - 1) if shared else freedom


def _over(labels: Int[np.ndarray, " n"], groups: npt.ArrayLike | None, seeds: Sequence[int]) -> str:
    return "" if groups is None and max(seeds) == 1 else f" over {sampled(len(labels), groups, seeds)}"


def perfect(value: float, pairs: int) -> Interval:
    """Bound an AUROC of exactly 0 or 1, where no estimated variance is left.

    Match m abnormal with m normal images, all different: m independent pairs, each in the right order with
    probability AUROC. At an observed AUROC of 1 all m are, so Clopper-Pearson for m of m holds; the smaller class
    gives the largest m (`independent_pairs`).

    Args:
        value: 0 or 1.
        pairs: m; no bounds without any.
    """
    if not pairs:
        return Interval.without_bounds(value, "no interval: no two patients make an abnormal and normal pair")
    exact = binomial(round(value * pairs), pairs)
    return Interval(value, exact.low, exact.high, f"exact binomial over {pairs} independent pairs")


def independent_pairs(labels: Int[np.ndarray, " n"], groups: npt.ArrayLike | None = None) -> int:
    """Count the most (abnormal, normal) pairs that share no image, and no patient where patients are known."""
    abnormal = np.asarray(labels) == 1
    unit = np.arange(len(abnormal)) if groups is None else np.asarray(groups)
    with_abnormal, with_normal = np.unique(unit[abnormal]), np.unique(unit[~abnormal])
    return min(len(with_abnormal), len(with_normal), len(np.unique(unit)) // 2)


def placements(
    labels: Int[np.ndarray, " n"], scores: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " q"]]:
    """Return where each image falls among those of the other class.

    Args:
        labels: 1 anomalous, 0 normal.
        scores: Higher is more anomalous.

    Returns:
        V10, per abnormal image the share of normals below it, and V01, per normal image the share of abnormals above
        it; ties count one half. The mean of either is the AUROC.
    """
    abnormal = np.asarray(labels) == 1
    positive, negative = np.sort(scores[abnormal]), np.sort(scores[~abnormal])

    def below(values: npt.NDArray[Any], others: npt.NDArray[Any]) -> Float[np.ndarray, " n"]:
        count = np.searchsorted(others, values, "left") + np.searchsorted(others, values, "right")
        return count / (2 * max(1, len(others)))

    return below(scores[abnormal], negative), 1 - below(scores[~abnormal], positive)


def _no_spread(how: str, labels: Int[np.ndarray, " n"], groups: npt.ArrayLike | None) -> str:
    """Say why there are no bounds."""
    labels = np.asarray(labels)
    units, unit = (np.arange(len(labels)), "images") if groups is None else (np.asarray(groups), "patients")
    fewest = min(len(np.unique(units[labels == label])) for label in (0, 1))
    return f"no interval: {how} " + (f"needs two {unit} of each class" if fewest < 2 else "finds no variance")


def _expit(x: float) -> float:
    """The logistic function, without overflow."""
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))
