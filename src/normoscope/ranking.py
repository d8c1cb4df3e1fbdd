"""Ranks of methods over data sets, and whether they differ by more than chance.

    data set -> method -> value, data set -> source
      --mean over each source's sets--> one block per source --rank, ties averaged--> mean ranks
      --from 8 sources on--> Friedman's test, Nemenyi's critical difference

Two sets of one source, a collection at 28 and at 64 pixels, are no independent evidence and count once. Below eight
sources there are ranks and no test: Friedman's statistic is not yet chi-squared, and the critical difference is so
wide that nothing found would mean anything.

Reference: Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7 (2006).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from .errors import OptionError

__all__ = ["ENOUGH", "LEVEL", "Friedman", "Ranking", "critical_difference", "rank"]

ENOUGH = 8
"""Sources from which on there is a test."""

LEVEL = 0.05
"""Level of the test and of the critical difference."""

_METHODS = 3


@dataclass(frozen=True)
class Friedman:
    """Friedman's test of equal mean ranks, and Nemenyi's critical difference.

    Args:
        statistic: Friedman's chi-squared, corrected for ties.
        pvalue: Of the chi-squared distribution with one degree of freedom less than there are methods.
        critical_difference: Mean ranks farther apart than this differ at `LEVEL`, if the test finds a difference.
    """

    statistic: float
    pvalue: float
    critical_difference: float

    @property
    def differs(self) -> bool:
        """Whether any method differs from another."""
        return self.pvalue < LEVEL


@dataclass(frozen=True)
class Ranking:
    """Methods in the order of their mean ranks, the best first.

    Args:
        methods: Names of the m methods.
        sources: Names of the s sources.
        ranks: (s, m) from 1, the highest value, to m; ties share the mean of their ranks.
        test: None with too few sources or methods.
    """

    methods: tuple[str, ...]
    sources: tuple[str, ...]
    ranks: Float[np.ndarray, "s m"]
    test: Friedman | None

    @property
    def mean_ranks(self) -> Float[np.ndarray, " m"]:
        """Mean rank of each method over the sources."""
        return np.asarray(np.mean(self.ranks, axis=0))

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Largest groups of methods that no critical difference parts; empty without a test."""
        if self.test is None:
            return ()
        if not self.test.differs:
            return (self.methods,)
        ranks = self.mean_ranks
        ends = np.searchsorted(ranks, ranks + self.test.critical_difference, side="right")
        new = [i for i, end in enumerate(ends) if end - i > 1 and (i == 0 or end > ends[i - 1])]
        return tuple(self.methods[i : ends[i]] for i in new)

    @property
    def verdict(self) -> str:
        """What may be said of the differences, in a sentence or two."""
        if len(self.sources) < ENOUGH:
            return f"too few data sets to test: {len(self.sources)} of {ENOUGH}"
        if self.test is None:
            return f"too few methods to test: {len(self.methods)} of {_METHODS}"
        head = f"Friedman's test over {len(self.sources)} data sets: chi-squared {self.test.statistic:.3f} with " \
               f"{len(self.methods) - 1} degrees of freedom, p = {self.test.pvalue:.3g}"  # fmt: skip
        if not self.test.differs:
            return f"{head}; no difference between the methods is shown"
        return f"{head}; mean ranks more than {self.test.critical_difference:.3f} apart differ (Nemenyi, {LEVEL})"

    def to_json(self) -> dict[str, Any]:
        """Return every figure as plain values."""
        test = (
            None if self.test is None else {**vars(self.test), "level": LEVEL, "groups": list(map(list, self.groups))}
        )
        return {
            "sources": list(self.sources),
            "mean_ranks": dict(zip(self.methods, self.mean_ranks.tolist(), strict=True)),
            "ranks": dict(zip(self.methods, self.ranks.T.tolist(), strict=True)),
            "test": test,
            "verdict": self.verdict,
        }


def rank(table: Mapping[str, Mapping[str, float]], origin: Mapping[str, str]) -> Ranking:
    """Rank the methods on every source and test the mean ranks where there are sources enough.

    Args:
        table: Data set to method to value, higher is better; the same methods, at least two, on every set.
        origin: Data set to source.

    Raises:
        OptionError: No data set, fewer than two methods, a method that lacks a value, or a value that is not finite.
    """
    from scipy.stats import rankdata

    names = _checked(table)
    sources = tuple(dict.fromkeys(origin[data] for data in table))
    values = np.asarray(
        [[_mean(table[data][name] for data in table if origin[data] == source) for name in names] for source in sources]
    )
    ranks = rankdata(-values, axis=1)
    order = np.argsort(ranks.mean(axis=0), kind="stable")
    tested = len(sources) >= ENOUGH and len(names) >= _METHODS
    return Ranking(tuple(names[i] for i in order), sources, ranks[:, order], _friedman(ranks) if tested else None)


def critical_difference(methods: int, sources: int, level: float = LEVEL) -> float:
    """Return how far two mean ranks must lie apart to differ, all pairs compared at once.

    CD = q sqrt(m (m + 1) / (6 s)), where q is the studentized range's quantile for m means and infinite degrees of
    freedom, divided by sqrt(2).

    Args:
        methods: m, 2 or more.
        sources: s, 1 or more.
        level: Chance of any false difference.

    Reference: Demšar (2006), section 3.2.2; Nemenyi, thesis, Princeton (1963).
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - level, methods, math.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * sources))


def _friedman(ranks: Float[np.ndarray, "s m"]) -> Friedman:
    from scipy.stats import friedmanchisquare

    sources, methods = ranks.shape
    difference = critical_difference(methods, sources)
    if np.ptp(ranks.sum(axis=0)) == 0:  # with nothing but ties the statistic would be 0 / 0
        return Friedman(0.0, 1.0, difference)
    found = friedmanchisquare(*ranks.T)
    return Friedman(float(found.statistic), float(found.pvalue), difference)


def _mean(values: Iterable[float]) -> float:
    """Average so exactly that equal sets of values tie in whatever order they come."""
    listed = list(values)
    return math.fsum(listed) / len(listed)


def _checked(table: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the methods after checking that every set has a finite value of each."""
    if not table:
        raise OptionError("table", "nothing", "at least one data set")
    names = list(next(iter(table.values())))
    if len(names) < 2:
        raise OptionError("methods", ", ".join(names), "at least two to rank")
    for data, row in table.items():
        for name in {*names, *row}:
            if name not in names or not math.isfinite(row.get(name, math.nan)):
                raise OptionError(f"{name} on {data}", row.get(name), "a finite value, as of every method on every set")
    return names
