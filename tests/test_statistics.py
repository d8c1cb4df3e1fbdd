"""Formulas against brute force, scipy and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from normoscope import metrics
from normoscope.errors import OptionError
from normoscope.statistics import (
    Interval,
    binomial,
    delong,
    delong_paired,
    false_discovery_rates,
    holm,
    independent_pairs,
    mean_of_two,
    mean_variance,
    over_splits,
    perfect,
    placements,
    seeds_interval,
)


def drawn(seed: int, normal: int = 60, abnormal: int = 40, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Two normal distributions, rounded so that some scores tie."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [normal, abnormal])
    return labels, np.round(rng.normal(size=normal + abnormal) + shift * labels, 1)


def of_all_pairs(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """V10 and V01 by comparing every pair."""
    abnormal, normal = scores[labels == 1], scores[labels == 0]
    psi = (abnormal[:, None] > normal) + 0.5 * (abnormal[:, None] == normal)
    return psi.mean(axis=1), psi.mean(axis=0)


def test_delongs_variance_is_that_of_the_placements_of_all_pairs() -> None:
    labels, scores = drawn(0)
    v10, v01 = of_all_pairs(labels, scores)
    value, sd = v10.mean(), np.sqrt(v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01))
    logit, half = np.log(value / (1 - value)), stats.norm.ppf(0.975) * sd / (value * (1 - value))
    interval = delong(labels, scores)
    assert interval.value == pytest.approx(value, abs=1e-12)
    assert interval.low == pytest.approx(1 / (1 + np.exp(-(logit - half))), abs=1e-9)
    assert interval.high == pytest.approx(1 / (1 + np.exp(-(logit + half))), abs=1e-9)
    assert interval.how == "DeLong"


def test_paired_delong_uses_the_covariance_of_both_methods() -> None:
    labels, a = drawn(1)
    b = a + np.random.default_rng(2).normal(size=len(a))
    (a10, a01), (b10, b01) = of_all_pairs(labels, a), of_all_pairs(labels, b)
    variance = 0.0
    for first, second in ((a10, b10), (a01, b01)):
        covariance = np.cov(first, second)
        variance += (covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) / len(first)
    difference, pvalue = delong_paired(labels, a, b)
    z = (metrics.auroc(labels, a) - metrics.auroc(labels, b)) / np.sqrt(variance)
    assert pvalue == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)
    assert difference.high - difference.low == pytest.approx(2 * stats.norm.ppf(0.975) * np.sqrt(variance), rel=1e-9)


def test_paired_delong_changes_sign_with_its_arguments() -> None:
    labels, a = drawn(3)
    b = drawn(4, shift=0.3)[1]
    (there, p), (back, q) = delong_paired(labels, a, b), delong_paired(labels, b, a)
    assert p == q
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))


def test_a_method_paired_with_itself_differs_by_nothing() -> None:
    labels, a = drawn(5)
    difference, pvalue = delong_paired(labels, a, 2 * a + 1)
    assert difference.value == 0
    assert np.isnan(difference.low)
    assert pvalue == 1


def covering(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))


@pytest.mark.parametrize(("normal", "abnormal", "shift"), [(50, 50, 1.0), (30, 10, 1.5)])
def test_delongs_interval_covers_the_true_auroc_95_times_of_100(normal: int, abnormal: int, shift: float) -> None:
    rng = np.random.default_rng(6)
    labels = np.repeat([0, 1], [normal, abnormal])
    intervals = [delong(labels, rng.normal(size=normal + abnormal) + shift * labels) for _ in range(1000)]
    assert 0.93 <= covering(intervals, stats.norm.cdf(shift / np.sqrt(2))) <= 0.975


def test_near_1_with_few_abnormal_images_the_logit_scale_covers_far_better_than_the_plain_one() -> None:
    rng = np.random.default_rng(6)
    labels, truth = np.repeat([0, 1], [100, 15]), float(stats.norm.cdf(2.5 / np.sqrt(2)))
    logit, plain = [], []
    for _ in range(1000):
        scores = rng.normal(size=115) + 2.5 * labels
        logit.append(delong(labels, scores))
        v10, v01 = of_all_pairs(labels, scores)
        half = 1.96 * np.sqrt(v10.var(ddof=1) / 15 + v01.var(ddof=1) / 100)
        plain.append(Interval(v10.mean(), v10.mean() - half, v10.mean() + half, "plain"))
    assert covering(logit, truth) > 0.9
    assert covering(plain, truth) < 0.86


def test_paired_delong_rejects_a_true_null_5_times_of_100() -> None:
    rng = np.random.default_rng(7)
    labels = np.repeat([0, 1], 50)
    pvalues = []
    for _ in range(600):
        shared = rng.normal(size=100) + labels
        pvalues.append(delong_paired(labels, shared + rng.normal(size=100), shared + rng.normal(size=100))[1])
    assert np.mean(np.array(pvalues) <= 0.05) == pytest.approx(0.05, abs=0.025)


def test_a_perfect_auroc_is_bounded_by_its_independent_pairs() -> None:
    labels = np.repeat([0, 1], [50, 10])
    interval = delong(labels, np.arange(60.0))
    assert (interval.value, interval.high) == (1, 1)
    assert interval.low == pytest.approx(0.025 ** (1 / 10))
    reversed_ = delong(labels, -np.arange(60.0))
    assert (reversed_.value, reversed_.low) == (0, 0)
    assert reversed_.high == pytest.approx(1 - 0.025 ** (1 / 10))


def test_the_bound_at_1_covers_also_where_a_perfect_sample_is_likely() -> None:
    rng = np.random.default_rng(8)
    labels = np.repeat([0, 1], [30, 8])
    truth = stats.norm.cdf(3.2 / np.sqrt(2))
    intervals = [delong(labels, rng.normal(size=38) + 3.2 * labels) for _ in range(1000)]
    at_1 = [interval for interval in intervals if interval.value == 1]
    assert len(at_1) > 300
    assert all(interval.low <= truth for interval in at_1)


def test_pairs_share_no_patient() -> None:
    labels = np.array([1, 1, 1, 0, 0, 0, 0])
    assert independent_pairs(labels) == 3
    assert independent_pairs(labels, ["a", "a", "b", "c", "c", "d", "e"]) == 2
    assert independent_pairs(labels, ["a", "b", "c", "a", "b", "c", "c"]) == 1  # three patients make one pair
    assert perfect(1.0, 1).low == pytest.approx(0.025)


def clustered(
    rng: np.random.Generator, normal: int, abnormal: int, images: int, mixed: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, patients, and noise of two methods of which half is the patient's."""
    patients = np.repeat(np.arange(normal + abnormal), images)
    labels = np.tile([0, 1], len(patients) // 2) if mixed else np.repeat([0, 1], [normal * images, abnormal * images])
    own = [rng.normal(size=normal + abnormal)[patients] + rng.normal(size=len(patients)) for _ in range(2)]
    return labels, patients, own[0] / math.sqrt(2), own[1] / math.sqrt(2)


@pytest.mark.parametrize(
    ("normal", "abnormal", "images", "mixed"),
    [(100, 15, 1, False), (6, 6, 8, False), (20, 5, 4, False), (8, 8, 6, True)],
)
def test_of_patients_delong_covers_and_rejects_as_often_as_it_says(
    normal: int, abnormal: int, images: int, mixed: bool
) -> None:
    rng, truth = np.random.default_rng(0), 0.9
    shift = math.sqrt(2) * stats.norm.ppf(truth)
    covered, rejected, as_images = [], [], []
    for _ in range(600):
        labels, patients, a, b = clustered(rng, normal, abnormal, images, mixed)
        interval = delong(labels, a + shift * labels, patients)
        covered.append(interval.low <= truth <= interval.high)
        rejected.append(delong_paired(labels, a + shift * labels, b + shift * labels, patients)[1] < 0.05)
        interval = delong(labels, a + shift * labels)
        as_images.append(interval.low <= truth <= interval.high)
    assert 0.92 <= np.mean(covered) <= 0.98
    assert np.mean(rejected) <= 0.07
    if images > 1 and not mixed:
        assert np.mean(as_images) < 0.9  # what taking images for patients would give


def test_of_patients_delongs_variance_is_obuchowskis() -> None:
    labels, patients, scores, _ = clustered(np.random.default_rng(3), 5, 5, 4, mixed=True)
    scores = scores + labels
    abnormal, normal = scores[labels == 1], scores[labels == 0]
    v10 = [np.mean(normal < x) for x in abnormal]
    v01 = [np.mean(abnormal > y) for y in normal]
    area, groups = np.mean(v10), range(10)
    parts = {
        label: [sum(v - area for v, g in zip(values, patients[labels == label], strict=True) if g == one)
                for one in groups] for label, values in ((1, v10), (0, v01))
    }  # fmt: skip
    m, n = len(v10), len(v01)
    var = 10 / 9 * (sum(x**2 for x in parts[1]) / m**2 + sum(y**2 for y in parts[0]) / n**2)
    var += 2 * 10 / 9 * sum(x * y for x, y in zip(parts[1], parts[0], strict=True)) / (m * n)
    interval = delong(labels, scores, patients)
    half = (math.log(interval.high / (1 - interval.high)) - math.log(interval.low / (1 - interval.low))) / 2
    assert half == pytest.approx(stats.t.ppf(0.975, 9) * math.sqrt(var) / (area * (1 - area)))
    assert interval.how == "DeLong over 10 patients"


def test_one_patient_of_a_class_has_no_interval() -> None:
    labels, scores = np.repeat([0, 1], 6), np.arange(12.0) % 5
    interval = delong(labels, scores, np.repeat(["a", "b", "c"], [3, 3, 6]))
    assert math.isnan(interval.low)
    assert interval.how == "no interval: DeLong needs two patients of each class"


def test_equal_scores_have_no_delong_interval() -> None:
    interval = delong(np.repeat([0, 1], 5), np.ones(10))
    assert interval.value == 0.5
    assert np.isnan(interval.low)
    assert interval.how == "no interval: DeLong finds no variance"


def test_one_abnormal_image_has_no_delong_interval() -> None:
    interval = delong(np.repeat([0, 1], [9, 1]), np.array([*range(9), 4.5]))
    assert interval.value == pytest.approx(5 / 9)
    assert np.isnan(interval.high)
    assert "needs two images of each class" in interval.how


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


def test_the_interval_over_seeds_is_students() -> None:
    values = np.array([0.80, 0.82, 0.85, 0.79, 0.84])
    interval, sd = seeds_interval(values)
    expected = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert sd == pytest.approx(values.std(ddof=1))


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
    interval, pvalue = over_splits(np.full(4, 0.25), 0.5)
    assert math.isnan(pvalue)
    assert math.isnan(interval.low)
