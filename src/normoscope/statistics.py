"""Intervals and paired tests: how far a number on these test images can be trusted.

Which one, and why:

    AUROC                             over images or patients, and seeds, in `delong`
    rates, one seed, images alone     exact binomial
    several seeds, other metrics      bootstrap over images or patients, and seeds, in `bootstrap`
    several splits of one data set    Nadeau and Bengio's corrected t
    several comparisons               Holm

All intervals are 95 %. Where the data cannot say (one patient in a class, every draw equal), the bounds are nan and
`how` says why: a bound of zero width would claim certainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from .errors import OptionError
from .resampling import unit_of

__all__ = [
    "Interval",
    "Seeds",
    "StandardError",
    "binomial",
    "false_discovery_rates",
    "holm",
    "is_rounding",
    "mean_of_two",
    "mean_variance",
    "over_splits",
    "sampled",
    "seeds_interval",
]

_TAIL = 0.025
_LEAST = 1e-200  # below it scipy's quantiles of Student's distribution overflow
_NOTHING = 1e-6  # standard errors below which a mean is taken for 0
_ROUNDING = 1e-13  # standard deviations of figures of order 1 that are made by rounding alone


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


def sampled(n: int, groups: npt.ArrayLike | None, seeds: Sequence[int]) -> str:
    """Name what an interval is over, such as "300 images x 5 and 2 seeds": images or patients, and each arm's seeds."""
    units = f"{n} images" if groups is None else f"{len(np.unique(np.asarray(groups)))} patients"
    counts = " and ".join(map(str, dict.fromkeys(seeds)))
    return units + (f" x {counts} seeds" if max(seeds) > 1 else "")


# --- standard errors


class Seeds(NamedTuple):
    """What several seeds of one method show of a figure.

    Args:
        figures: One per seed.
        own: Variance that the test images give one seed's figure, averaged over seeds.
        together: Variance that they give the seeds' mean.
    """

    figures: Float[np.ndarray, " seeds"]
    own: float
    together: float


@dataclass(frozen=True, slots=True)
class StandardError:
    """A standard error made of independent parts, some of them known from few seeds or patients.

    Its quantile is the mean of Student's quantiles of the parts, weighted by their variances (Cochran and Cox). One
    number of degrees of freedom for the sum (Satterthwaite) trusts a variance that two or three seeds happen to make
    small: where seeds are most of the spread it rejects up to 13 % of true nulls with two seeds and 8 % with three,
    this one 6 and 5 %. In return it is wider, by up to 2.6 times with two seeds, 1.4 with three and 1.1 with five.

    Args:
        parts: Of each the variance and the degrees of freedom it was estimated with, inf where it is known.

    Reference: Cochran & Cox, Experimental Designs (2nd ed., 1957).
    """

    parts: tuple[tuple[float, float], ...]

    @classmethod
    def over_seeds(cls, arms: Sequence[Seeds], of_images: float, freedom: float = math.inf) -> StandardError:
        """Return the error of a sum of figures, each averaged over its seeds: what seeds, and what images contribute.

        var = sum over arms of s² / S + C, of the variance s² of an arm's figures and the mean covariance of two seeds
        that their common images make, taken as at least 0. An arm of one seed is taken to have no spread of its own.

        Args:
            arms: One per method.
            of_images: Variance that images give the sum, were the seeds all there are.
            freedom: Degrees of freedom of it.

        Reference: Obuchowski & Rockette, Commun. Stat. Simul. 24 (1995), with seeds for readers.
        """
        several = [arm for arm in arms if len(arm.figures) > 1]
        spread = [0.0 if is_rounding(sd := float(np.std(arm.figures, ddof=1))) else sd for arm in several]
        of_seeds = [(sd**2 / len(a.figures), len(a.figures) - 1) for sd, a in zip(spread, several, strict=True)]
        # the mean keeps a share of the images' variance that is each seed's own; the seeds' variance holds it already
        common = of_images - sum((arm.own - arm.together) / (len(arm.figures) - 1) for arm in several)
        if common <= _ROUNDING**2 and not any(spread):
            common = of_images  # seeds that tie by chance
        return cls((*of_seeds, (0.0 if common <= _ROUNDING**2 else float(common), freedom)))

    @property
    def variance(self) -> float:
        """The sum of the parts."""
        return sum(variance for variance, _ in self.parts)

    @property
    def sd(self) -> float:
        """Its root."""
        return math.sqrt(self.variance)

    def quantile(self, tail: float = _TAIL) -> float:
        """Return how many standard errors the error exceeds with a probability of about `tail`, 1e-200 to 1/2."""
        from scipy.special import ndtri, stdtrit

        of_parts = [float(ndtri(tail) if math.isinf(free) else stdtrit(free, tail)) for _, free in self.parts]
        return -sum(v * part for (v, _), part in zip(self.parts, of_parts, strict=True)) / self.variance

    def pvalue(self, mean: float) -> float:
        """Return the two-sided p-value of a mean of zero; 0 below 2e-200."""
        from scipy.optimize import brentq

        away = abs(mean) / self.sd
        if away < _NOTHING:
            return 1.0
        if away >= self.quantile(_LEAST):
            return 0.0
        bounds = math.log(_LEAST), math.log(0.5)
        return 2 * math.exp(float(brentq(lambda log: self.quantile(math.exp(log)) - away, *bounds, xtol=1e-12)))


# --- seeds and families of tests


def is_rounding(value: float) -> bool:
    """Tell whether a figure of order 1, or its standard deviation, is zero but for the last digits."""
    return abs(value) <= _ROUNDING


def seeds_interval(values: Float[np.ndarray, " seeds"]) -> tuple[Interval, float]:
    """Return the mean over seeds with Student's t interval, and the standard deviation.

    It says what another seed would change, not what other test images would.

    Args:
        values: One figure per seed.

    Returns:
        The interval and the standard deviation (n - 1); no bounds and nan with one seed, no bounds where all are equal.
    """
    from scipy.special import stdtrit

    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Interval.without_bounds(mean, "no interval: one seed"), math.nan
    sd = float(np.std(values, ddof=1))
    if is_rounding(sd):
        return Interval.without_bounds(mean, "no interval: all seeds are equal"), 0.0
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
    if is_rounding(error):
        why = "no interval: all splits are equal"
        return Interval.without_bounds(mean, why), 1.0 if is_rounding(mean) else math.nan
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

    Raises:
        ScoresError: Groups of another length.

    Reference: Cameron & Miller, A Practitioner's Guide to Cluster-Robust Inference, J. Human Resources 50 (2015).
    """
    values = np.asarray(values, np.float64)
    sums = np.bincount(unit_of(groups, len(values)), values - values.mean())
    if len(sums) < 2:
        return math.nan
    return float(len(sums) / (len(sums) - 1) * np.sum(sums**2) / len(values) ** 2)


def false_discovery_rates(pvalues: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Return each image's q-value: flag those of a list with q <= a, and at most a share a of them are expected normal.

    q_(k) is the least over j >= k of m p_(j) / j, at most 1 (Benjamini and Hochberg). Conformal p-values that share
    their calibration normals depend on each other positively, which the bound allows where the images are independent:
    of several images of one patient it is not proven. It holds for the list as a whole: of one image, or of the regions
    in it, it says nothing.

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
