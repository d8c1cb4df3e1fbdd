"""Formulas against brute force, scipy and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from normoscope.delong import placements
from normoscope.errors import OptionError
from normoscope.statistics import (
    Interval,
    StandardError,
    binomial,
    false_discovery_rates,
    holm,
    mean_of_two,
    mean_variance,
    over_splits,
    seeds_interval,
)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (1, 1), (3, 17), (250, 1000)])
def test_binomial_bounds_are_quantiles_of_the_beta_distribution(k: int, n: int) -> None:
    interval = binomial(k, n)
    low = 0 if k == 0 else stats.beta.ppf(0.025, k, n - k + 1)
    high = 1 if k == n else stats.beta.ppf(0.975, k + 1, n - k)
    assert (interval.value, interval.low, interval.high) == pytest.approx((k / n, low, high), abs=1e-9)


def test_no_trials_have_no_rate() -> None:
    assert np.isnan(binomial(0, 0).value)


def test_more_successes_than_trials_are_refused() -> None:
    with pytest.raises(OptionError, match="successes: expected a number between 0 and n = 3, got 4"):
        binomial(4, 3)


def test_the_mean_of_two_rates_has_square_and_added_bounds() -> None:
    mean = mean_of_two(Interval(0.8, 0.5, 0.92, "x"), Interval(0.6, 0.2, 0.76, "y"))
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.7, 0.45, 0.8))


def test_the_mean_with_an_unbounded_rate_is_unbounded() -> None:
    assert np.isnan(mean_of_two(Interval.without_bounds(0.5, "x"), binomial(1, 2)).low)


def test_the_quantile_of_parts_is_the_mean_of_students_and_its_pvalue_agrees() -> None:
    error = StandardError(((0.3, 2), (0.1, math.inf)))
    expected = (0.3 * stats.t.isf(0.025, 2) + 0.1 * stats.norm.isf(0.025)) / 0.4
    assert error.quantile() == pytest.approx(expected)
    assert error.pvalue(error.quantile() * error.sd) == pytest.approx(0.05)
    assert error.pvalue(-error.quantile(1e-6) * error.sd) == pytest.approx(2e-6)
    assert error.pvalue(0) == 1
    assert 0 < error.pvalue(1e6) < 1e-10
    for freedom in (1, 2, 4, 7, 10.5, 3000, math.inf):
        for parts in (((1.0, freedom),), ((0.0, 3), (1.0, freedom)), ((1.0, 2), (1e-9, freedom))):
            pvalues = [StandardError(parts).pvalue(away) for away in (0, 1e-17, 1e-8, 1e-3, 1, 30, 60, 1e4, 1e9)]
            assert pvalues[:2] == [1, 1]
            assert pvalues == sorted(pvalues, reverse=True)
            assert pvalues[-1] < 1e-8
    alone = StandardError(((0.4, 7),))
    assert alone.pvalue(1) == pytest.approx(2 * stats.t.sf(1 / math.sqrt(0.4), 7))


@pytest.mark.parametrize(
    ("seeds", "level", "of_one_number", "wider"),
    [(2, 0.065, 0.12, 2.7), (3, 0.053, 0.07, 1.36), (5, 0.053, 0.053, 1.13)],
)
def test_weighted_quantiles_keep_the_level_that_one_number_of_degrees_of_freedom_does_not(
    seeds: int, level: float, of_one_number: float, wider: float
) -> None:
    rng, free = np.random.default_rng(0), seeds - 1
    worst = np.zeros(2)
    for known in (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 20.0):  # times the variance of the seeds' mean
        between = rng.chisquare(free, 20_000) / free
        away = np.abs(rng.normal(0, math.sqrt(1 + known), 20_000))
        errors = [StandardError(((one, free), (known, math.inf))) for one in between[:2000]]
        ours = np.array([error.quantile() * error.sd for error in errors])
        by_hand = (between * stats.t.isf(0.025, free) + known * stats.norm.isf(0.025)) / np.sqrt(between + known)
        np.testing.assert_allclose(ours, by_hand[:2000], rtol=1e-9)
        one_number = np.sqrt(between + known) * stats.t.isf(0.025, free * (1 + known / between) ** 2)
        worst = np.maximum(worst, [np.mean(away > by_hand), np.mean(away > one_number)])
        assert np.median(by_hand) / np.median(one_number) < wider
    assert worst[0] < level
    assert worst[1] > of_one_number


def test_the_interval_over_seeds_is_students() -> None:
    values = np.array([0.80, 0.82, 0.85, 0.79, 0.84])
    interval, sd = seeds_interval(values)
    expected = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert sd == pytest.approx(values.std(ddof=1))


def test_equal_seeds_have_no_interval() -> None:
    interval, sd = seeds_interval(np.full(3, 0.1))
    assert (interval.value, sd) == (pytest.approx(0.1), 0)
    assert np.isnan([interval.low, interval.high]).all()
    assert interval.how == "no interval: all seeds are equal"


def test_one_seed_has_no_spread() -> None:
    interval, sd = seeds_interval(np.array([0.8]))
    assert interval.value == 0.8
    assert np.isnan([interval.low, interval.high, sd]).all()
    assert interval.how == "no interval: one seed"


def test_holm_by_hand() -> None:
    adjusted = holm(np.array([0.04, 0.01, 0.03, 0.005]))
    np.testing.assert_allclose(adjusted, [0.06, 0.03, 0.06, 0.02])


def test_holm_leaves_out_what_was_not_tested_and_stops_at_1() -> None:
    np.testing.assert_allclose(holm(np.array([0.6, np.nan, 0.7])), [1.0, np.nan, 1.0])
    assert holm(np.array([])).shape == (0,)


def test_an_interval_without_bounds_prints_its_value_and_becomes_none_in_json() -> None:
    interval = Interval.without_bounds(0.5, "why")
    assert str(interval) == "0.500"
    assert interval.to_json() == {"value": 0.5, "low": None, "high": None, "how": "why"}
    assert str(Interval(0.9, 0.85, 0.9449, "x")) == "0.900 [0.850, 0.945]"


def test_q_values_are_benjamini_and_hochbergs_by_hand_and_keep_the_share_of_false_ones() -> None:
    pvalues = np.array([0.04, 0.01, 0.5, 0.03])
    # 0.01 x 4 / 1, 0.03 x 4 / 2 = 0.06, 0.04 x 4 / 3 = 0.0533 (which 0.03 takes too), 0.5
    np.testing.assert_allclose(false_discovery_rates(pvalues), [0.16 / 3, 0.04, 0.5, 0.16 / 3])
    assert false_discovery_rates(np.empty(0)).size == 0
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(400):
        calibration = np.sort(rng.normal(size=200))
        scores = np.concatenate([rng.normal(size=80), rng.normal(4, 1, 20)])
        found = (1 + 200 - np.searchsorted(calibration, scores)) / 201  # conformal: they share their normals
        flagged = false_discovery_rates(found) <= 0.1
        shares.append(flagged[:80].sum() / max(1, flagged.sum()))
    assert np.mean(shares) < 0.1 + 2 * np.std(shares) / 20


def test_splits_that_share_images_reject_true_nulls_as_often_as_promised() -> None:
    rng = np.random.default_rng(0)
    correlation, splits, repeats = 1 / 3, 12, 4000  # what n_test / n_train = 1/2 stands for
    shared = rng.normal(0, math.sqrt(correlation), (repeats, 1))
    values = shared + rng.normal(0, math.sqrt(1 - correlation), (repeats, splits))
    rejected = np.mean([over_splits(row, 0.5)[1] < 0.05 for row in values])
    assert rejected == pytest.approx(0.05, abs=0.015)
    naive = np.mean([over_splits(row, 0.0)[1] < 0.05 for row in values])
    assert naive > 0.3
    covered = np.mean([i.low < 0 < i.high for i in (over_splits(row, 0.5)[0] for row in values)])
    assert covered == pytest.approx(1 - rejected)


def test_splits_that_also_share_their_abnormal_images_do_not_reject_too_often() -> None:
    rng = np.random.default_rng(0)
    normals, abnormals, test, folds, runs = 400, 100, 100, 4, 3
    labels = np.repeat([0, 1], [test, abnormals])
    with_them, without = [], []
    for _ in range(150):
        # two methods as good as each other: their scores differ by chance alone
        scores = rng.normal(size=(2, normals + abnormals))
        scores[:, normals:] += 1
        placed = []
        for _ in range(runs):
            order = rng.permutation(normals)
            for fold in range(folds):
                start = round(fold * (normals - test) / (folds - 1))
                rows = np.concatenate([order[start : start + test], np.arange(normals, normals + abnormals)])
                one, other = (placements(labels, own[rows])[0] for own in scores)
                placed.append(one - other)
        by_split, by_image = np.mean(placed, axis=1), np.mean(placed, axis=0)
        share = 2 * test / (normals - test)
        with_them.append(over_splits(by_split, share, mean_variance(by_image))[1] < 0.05)
        without.append(over_splits(by_split, share)[1] < 0.05)
    assert np.mean(with_them) <= 0.05
    assert np.mean(without) > 0.08


def test_the_variance_of_a_mean_counts_patients_not_images() -> None:
    values = np.array([1.0, 3.0, 4.0, 8.0])
    assert mean_variance(values) == pytest.approx(np.var(values, ddof=1) / 4)
    # sums of deviations from 4 by patient: -4 and 4
    assert mean_variance(values, ["a", "a", "b", "b"]) == pytest.approx(2 * (16 + 16) / 16)
    assert math.isnan(mean_variance(values, ["a"] * 4))


def test_splits_without_spread_have_no_interval() -> None:
    assert math.isnan(over_splits(np.array([0.3]), 0.5)[1])
    assert over_splits(np.zeros(4), 0.5)[1] == 1.0
    for value in (0.25, 0.1):  # the mean of three tenths is not a tenth
        interval, pvalue = over_splits(np.full(3, value), 0.5)
        assert math.isnan(pvalue)
        assert math.isnan(interval.low)
