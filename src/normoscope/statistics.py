"""Intervals and paired tests: how far a number on these test images can be trusted.

Which one, and why:

    AUROC of one seed                 DeLong, over patients where they are known
    rates, one seed, images alone     exact binomial
    several seeds, other metrics      bootstrap over images or patients, and seeds, in `bootstrap`
    AUROC exactly 0 or 1              exact binomial over independent pairs, where the others know no spread
    several splits of one data set    Nadeau and Bengio's corrected t
    several comparisons               Holm

All intervals are 95 %. Where the data cannot say (one patient in a class, every draw equal), the bounds are nan and
`how` says why: a bound of zero width would claim certainty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from .errors import OptionError
from .metrics import auroc

__all__ = [
    "Interval",
    "binomial",
    "delong",
    "delong_paired",
    "false_discovery_rates",
    "holm",
    "independent_pairs",
    "mean_of_two",
    "mean_variance",
    "over_splits",
    "perfect",
    "placements",
    "seeds_interval",
]

_Z = 1.959963984540054
_TAIL = 0.025


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval.

    Args:
        value: The estimate; nan where it is undefined.
        low: Lower bound; nan where there is no interval.
        high: Upper bound; nan where there is no interval.
        how: How the bounds were made, or why there are none.
    """

    value: float
    low: float
    high: float
    how: str

    @classmethod
    def without_bounds(cls, value: float, why: str) -> Interval:
        """A value whose spread the data cannot tell."""
        return cls(value, math.nan, math.nan, why)

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "-"
        return f"{self.value:.3f}" + ("" if math.isnan(self.low) else f" [{self.low:.3f}, {self.high:.3f}]")

    def to_json(self) -> dict[str, float | str | None]:
        """Return value, low, high and how; nan becomes None."""
        bounds = {"value": self.value, "low": self.low, "high": self.high}
        return {**{key: None if math.isnan(x) else x for key, x in bounds.items()}, "how": self.how}


# --- rates


def binomial(successes: float, n: int, unit: str = "") -> Interval:
    """Return a proportion with exact (Clopper-Pearson) bounds.

    low = Beta(0.025; k, n - k + 1), high = Beta(0.975; k + 1, n - k), quantiles.

    Args:
        successes: k, 0 to n; of several seeds their mean, which need not be whole.
        n: Independent trials.
        unit: What a trial is, for `how`.

    Returns:
        Covers at least 95 % of the time, whatever n; nan for n = 0.

    Raises:
        OptionError: k is not between 0 and n.

    Reference: Clopper & Pearson, Biometrika 26 (1934).
    """
    from scipy.special import betaincinv

    if not 0 <= successes <= n:
        raise OptionError("successes", successes, f"a number between 0 and n = {n}")
    if n == 0:
        return Interval.without_bounds(math.nan, "no trials: a rate cannot be computed")
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, _TAIL))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - _TAIL))
    return Interval(successes / n, low, high, f"exact binomial over {n} {unit}" if unit else "exact binomial")


def mean_of_two(a: Interval, b: Interval) -> Interval:
    """Average two independent rates: each bound's distances to the values are added as squares.

    Args:
        a: One rate, such as sensitivity.
        b: The other, such as specificity.

    Reference: Newcombe, Statistics in Medicine 17 (1998), method 10's square-and-add.
    """
    value = (a.value + b.value) / 2
    below = math.hypot(a.value - a.low, b.value - b.low) / 2
    above = math.hypot(a.high - a.value, b.high - b.value) / 2
    if math.isnan(below + above):
        return Interval.without_bounds(value, "no interval: one of the two rates has none")
    return Interval(value, max(0.0, value - below), min(1.0, value + above), "square-and-add of the two rates' bounds")


# --- AUROC


def delong(
    labels: Int[np.ndarray, " n"], scores: Float[np.ndarray, " n"], groups: npt.ArrayLike | None = None
) -> Interval:
    """Return AUROC with DeLong's interval, made on the logit scale.

    var = var(V10) / n_abnormal + var(V01) / n_normal, where V10 is the share of normals below each abnormal image
    and V01 the share of abnormals above each normal one (ties one half). On the logit scale the bounds stay inside
    (0, 1) and cover better near 1 and in small samples than AUROC +- 1.96 sd: with 100 normal and 15 abnormal images
    and a true AUROC of 0.96, 92 % of the intervals hold it, against 82 %; with 50 and 50 and 0.76, 95 % and 94 %.

    Of patients the images' deviations are summed, a patient's abnormal and normal images together (Obuchowski), and
    Student's quantile has as many degrees of freedom as patients allow (Satterthwaite).

    Args:
        labels: 1 anomalous, 0 normal.
        scores: One seed's scores, higher is more anomalous.
        groups: Patient of each image; None takes images as independent.

    Returns:
        The interval; exact bounds (`perfect`) at 0 and 1; no bounds with one image or patient in a class or equal
        scores.

    Raises:
        ScoresError: As `metrics.auroc`.

    Reference: DeLong et al., Biometrics 44 (1988); n log n as Sun & Xu, IEEE SPL 21 (2014); the logit scale after
    Pepe, The Statistical Evaluation of Medical Tests (2003), section 5.2; Obuchowski, Nonparametric analysis of
    clustered ROC curve data, Biometrics 53 (1997).
    """
    value = auroc(labels, scores)
    if value in (0.0, 1.0):
        return perfect(value, independent_pairs(labels, groups))
    error = _error(labels, placements(labels, scores), groups)
    if not error.sd > 0:
        return Interval.without_bounds(value, _no_spread("DeLong", labels, groups))
    logit, half = math.log(value / (1 - value)), error.quantile * error.sd / (value * (1 - value))
    return Interval(value, _expit(logit - half), _expit(logit + half), "DeLong" + _over(groups))


def delong_paired(
    labels: Int[np.ndarray, " n"],
    a: Float[np.ndarray, " n"],
    b: Float[np.ndarray, " n"],
    groups: npt.ArrayLike | None = None,
) -> tuple[Interval, float]:
    """Compare two AUROCs on the same images.

    The variance of the difference is DeLong's, of V(a) - V(b), so what the two methods share cancels.

    Args:
        labels: 1 anomalous, 0 normal.
        a: Scores of one method, higher is more anomalous.
        b: Scores of the other.
        groups: Patient of each image, as in `delong`.

    Returns:
        AUROC(a) - AUROC(b) with its Wald interval inside [-1, 1], and the two-sided p-value of no difference (nan
        where the variance is zero and the difference is not).

    Raises:
        ScoresError: As `metrics.auroc`.

    Reference: DeLong et al., Biometrics 44 (1988).
    """
    difference = auroc(labels, a) - auroc(labels, b)
    (a10, a01), (b10, b01) = placements(labels, a), placements(labels, b)
    error = _error(labels, (a10 - b10, a01 - b01), groups)
    if not error.sd > 0:
        pvalue = 1.0 if error.sd == 0 and difference == 0 else math.nan
        return Interval.without_bounds(difference, _no_spread("paired DeLong", labels, groups)), pvalue
    half = error.quantile * error.sd
    low, high = max(-1.0, difference - half), min(1.0, difference + half)
    return Interval(difference, low, high, "paired DeLong" + _over(groups)), error.pvalue(difference)


@dataclass(frozen=True, slots=True)
class _Error:
    """The standard error of a mean of placements, and the degrees of freedom it was estimated with."""

    sd: float
    freedom: float = math.inf

    @property
    def quantile(self) -> float:
        from scipy.special import stdtrit

        return _Z if math.isinf(self.freedom) else float(stdtrit(self.freedom, 1 - _TAIL))

    def pvalue(self, mean: float) -> float:
        """Return the two-sided p-value of a mean of zero."""
        from scipy.special import stdtr

        away = abs(mean) / self.sd
        return math.erfc(away / math.sqrt(2)) if math.isinf(self.freedom) else 2 * float(stdtr(self.freedom, -away))


def _error(
    labels: Int[np.ndarray, " n"],
    values: tuple[Float[np.ndarray, " p"], Float[np.ndarray, " q"]],
    groups: npt.ArrayLike | None,
) -> _Error:
    """Add the variances of both classes' means and, of patients with images in both, twice their covariance."""
    if groups is None:
        return _Error(math.sqrt(sum(map(mean_variance, values))))
    names, patient = np.unique(np.asarray(groups), return_inverse=True)
    of_class = [patient[np.asarray(labels) == label] for label in (1, 0)]
    own = [mean_variance(v, of) for v, of in zip(values, of_class, strict=True)]
    sums = [np.bincount(of, v - v.mean(), len(names)) / len(v) for v, of in zip(values, of_class, strict=True)]
    whole = sum(own) + 2 * len(names) / max(1, len(names) - 1) * float(sums[0] @ sums[1])
    if not whole > 0:
        return _Error(0.0 if sum(own) == 0 else math.nan)
    counts = [len(np.unique(of)) for of in of_class]
    freedom = sum(own) ** 2 / sum(part**2 / (count - 1) for part, count in zip(own, counts, strict=True))
    shared = sum(counts) > len(names)
    return _Error(math.sqrt(whole), min(freedom, len(names) - 1) if shared else freedom)


def _over(groups: npt.ArrayLike | None) -> str:
    return "" if groups is None else f" over {len(np.unique(np.asarray(groups)))} patients"


def perfect(value: float, pairs: int) -> Interval:
    """Bound an AUROC of exactly 0 or 1, where no estimated variance is left.

    Match m abnormal with m normal images, all different: m independent pairs, each in the right order with
    probability AUROC. At an observed AUROC of 1 all m are, so Clopper-Pearson for m of m holds; the smaller class
    gives the largest m (`independent_pairs`).

    Args:
        value: 0 or 1.
        pairs: m.
    """
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


# --- seeds and families of tests


def seeds_interval(values: Float[np.ndarray, " seeds"]) -> tuple[Interval, float]:
    """Return the mean over seeds with Student's t interval, and the standard deviation.

    It says what another seed would change, not what other test images would.

    Args:
        values: One figure per seed.

    Returns:
        The interval and the standard deviation (n - 1); no bounds and nan with one seed.
    """
    from scipy.special import stdtrit

    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Interval.without_bounds(mean, "no interval: one seed"), math.nan
    sd = float(np.std(values, ddof=1))
    half = float(stdtrit(n - 1, 1 - _TAIL)) * sd / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, f"t over {n} seeds"), sd


def over_splits(
    values: Float[np.ndarray, " splits"], test_per_train: float, shared: float = 0.0
) -> tuple[Interval, float]:
    """Return the mean over several splits of the same images into train and test, and the p-value of a mean of 0.

    Training sets overlap, so the splits know less than as many independent experiments: the variance of the mean is
    (1 / J + n_test / n_train) s², where s² / J would reject true nulls several times too often. What every split tests
    cannot differ between them, so its share of the variance is added.

    Args:
        values: One figure per split, J of them; for instance a difference of two methods.
        test_per_train: n_test / n_train.
        shared: Variance of the mean that comes from images which every split tests, as of `mean_variance`.

    Returns:
        Student's t interval with J - 1 degrees of freedom, and the two-sided p-value; no bounds and nan with one split,
        without any spread, or where `shared` is nan.

    Reference: Nadeau & Bengio, Inference for the Generalization Error, Machine Learning 52 (2003).
    """
    from scipy.special import stdtr, stdtrit

    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Interval.without_bounds(mean, "no interval: one split"), math.nan
    error = math.sqrt((1 / n + test_per_train) * float(np.var(values, ddof=1)) + shared)
    if math.isnan(error):
        return Interval.without_bounds(mean, "no interval: the spread of what all splits share is unknown"), math.nan
    if error == 0:
        return Interval.without_bounds(mean, "no interval: all splits are equal"), 1.0 if mean == 0 else math.nan
    half = float(stdtrit(n - 1, 1 - _TAIL)) * error
    interval = Interval(mean, mean - half, mean + half, f"corrected t over {n} splits")
    return interval, float(2 * stdtr(n - 1, -abs(mean) / error))


def mean_variance(values: Float[np.ndarray, " n"], groups: npt.ArrayLike | None = None) -> float:
    """Return the variance of a mean over images whose patients were drawn, not the images by themselves.

    var = G / (G - 1) sum_g (sum_{i in g} (x_i - mean))² / n², with G patients.

    Args:
        values: One figure per image.
        groups: Patient of each image; every image its own where None.

    Returns:
        nan with fewer than two patients.

    Reference: Cameron & Miller, A Practitioner's Guide to Cluster-Robust Inference, J. Human Resources 50 (2015).
    """
    values = np.asarray(values, np.float64)
    unit = np.arange(len(values)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    sums = np.bincount(unit, values - values.mean())
    if len(sums) < 2:
        return math.nan
    return float(len(sums) / (len(sums) - 1) * np.sum(sums**2) / len(values) ** 2)


def false_discovery_rates(pvalues: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Return each image's q-value: flag those of a list with q <= a, and at most a share a of them are expected normal.

    q_(k) is the least over j >= k of m p_(j) / j, at most 1 (Benjamini and Hochberg). Conformal p-values that share
    their calibration normals depend on each other positively, which the bound allows. It holds for the list as a whole:
    of one image, or of the regions in it, it says nothing.

    Args:
        pvalues: In (0, 1], in any order; 1 or more.

    Reference: Benjamini & Hochberg, J. R. Stat. Soc. B 57 (1995); Bates et al., Ann. Stat. 51 (2023), theorem 2.
    """
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(pvalues)) if len(pvalues) else np.asarray(pvalues)


def holm(pvalues: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Adjust p-values of a family of tests so that the chance of any false one stays below the level.

    p_(k) becomes max over j <= k of (m - j + 1) p_(j), at most 1.

    Args:
        pvalues: In any order; nan (no test) stays nan and does not count.

    Returns:
        Adjusted p-values in the given order.

    Reference: Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    pvalues = np.asarray(pvalues, dtype=np.float64)
    order = np.argsort(pvalues)[: np.sum(~np.isnan(pvalues))]  # nan sorts last
    adjusted = np.full(len(pvalues), np.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(pvalues[order] * np.arange(len(order), 0, -1)))
    return adjusted
