"""DeLong over images, patients and seeds, against all pairs, a two-way analysis of variance, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from normoscope import metrics
from normoscope.delong import delong, delong_paired, independent_pairs, perfect
from normoscope.errors import ScoresError
from normoscope.statistics import Interval


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


def freedom(*sides: np.ndarray) -> float:
    """Satterthwaite's degrees of freedom of the sum of means over abnormal and over normal images."""
    variances = [side.var(ddof=1) / len(side) for side in sides]
    return float(sum(variances) ** 2 / sum(v**2 / (len(s) - 1) for v, s in zip(variances, sides, strict=True)))


def test_delongs_variance_is_that_of_the_placements_of_all_pairs() -> None:
    labels, scores = drawn(0)
    v10, v01 = of_all_pairs(labels, scores)
    value, sd = v10.mean(), np.sqrt(v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01))
    quantile = stats.t.isf(0.025, freedom(v10, v01))
    logit, half = np.log(value / (1 - value)), quantile * sd / (value * (1 - value))
    interval = delong(labels, scores)
    assert interval.value == pytest.approx(value, abs=1e-12)
    assert interval.low == pytest.approx(1 / (1 + np.exp(-(logit - half))), abs=1e-9)
    assert interval.high == pytest.approx(1 / (1 + np.exp(-(logit + half))), abs=1e-9)
    assert interval.how == "DeLong"


def test_paired_delong_uses_the_covariance_of_both_methods() -> None:
    labels, a = drawn(1)
    b = a + np.random.default_rng(2).normal(size=len(a))
    (a10, a01), (b10, b01) = of_all_pairs(labels, a), of_all_pairs(labels, b)
    variance, free = 0.0, freedom(a10 - b10, a01 - b01)
    for first, second in ((a10, b10), (a01, b01)):
        covariance = np.cov(first, second)
        variance += (covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) / len(first)
    difference, pvalue = delong_paired(labels, a, b)
    z = (metrics.auroc(labels, a) - metrics.auroc(labels, b)) / np.sqrt(variance)
    assert pvalue == pytest.approx(2 * stats.t.sf(abs(z), free), rel=1e-9)
    expected = 2 * stats.t.isf(0.025, free) * np.sqrt(variance)
    assert difference.high - difference.low == pytest.approx(expected, rel=1e-9)


def test_with_few_abnormal_images_true_nulls_are_rejected_no_more_often_than_promised() -> None:
    rng = np.random.default_rng(15)
    labels = np.repeat([0, 1], [100, 5])
    pvalues = [
        delong_paired(labels, rng.normal(size=105) + labels, rng.normal(size=105) + labels)[1] for _ in range(1000)
    ]
    assert np.nanmean(np.asarray(pvalues) <= 0.05) < 0.065  # by the normal distribution's quantile 0.09


def test_patients_of_one_image_each_are_images() -> None:
    labels, a = drawn(16, normal=20, abnormal=5)
    b = drawn(17, normal=20, abnormal=5)[1]
    single = np.arange(25)
    assert delong(labels, a).low == pytest.approx(delong(labels, a, single).low, rel=1e-12)
    assert delong_paired(labels, a, b)[1] == pytest.approx(delong_paired(labels, a, b, single)[1], rel=1e-12)


def test_what_rounding_alone_makes_is_no_variance() -> None:
    labels = np.repeat([0, 1], 5)
    normals = np.arange(5) * 2.0
    a, b = np.r_[normals, normals + 1], np.r_[normals, normals - 1]
    difference, pvalue = delong_paired(labels, a, b)  # every image is worth a fifth more
    assert difference.value == pytest.approx(0.2)
    assert np.isnan(difference.low)
    assert np.isnan(pvalue)
    assert "finds no variance" in difference.how
    # two seeds whose AUROCs tie, but for the last digit of a mean
    one = [2, 14, 8, 9, 4, 7, 16, 5, 1, 18, 6, 11, 12, 13, 0, 15, 19, 10, 17, 3]
    other = [14, 16, 2, 3, 1, 17, 12, 10, 5, 4, 9, 18, 8, 0, 19, 11, 13, 7, 6, 15]
    interval = delong(np.repeat([0, 1], 10), np.array([one, other], float))
    assert interval.high - interval.low > 0.2


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


def of_seeds(rng: np.random.Generator, seeds: int, labels: np.ndarray, spread: float, truth: float) -> np.ndarray:
    """Scores whose mean AUROC over all seeds and images is `truth`: seeds share half of the images' noise.

    Each seed finds the anomalies more or less well, in standard deviation `spread` of their distance.
    """
    shift = math.sqrt(2 + spread**2) * stats.norm.ppf(truth) + spread * rng.normal(size=(seeds, 1))
    noise = (rng.normal(size=len(labels)) + rng.normal(size=(seeds, len(labels)))) / math.sqrt(2)
    return np.asarray(noise + shift * labels)


@pytest.mark.parametrize("groups", [None, np.arange(60) // 2])
def test_of_seeds_the_variance_is_obuchowski_and_rocketttes(groups: np.ndarray | None) -> None:
    rng, seeds = np.random.default_rng(0), 4
    labels = np.repeat([0, 1], [40, 20])
    scores = of_seeds(rng, seeds, labels, 0.4, 0.8)
    unit = np.arange(60) if groups is None else groups
    # the seeds' covariance by leaving one unit out at a time, one class at a time
    areas = np.array([metrics.auroc(labels, run) for run in scores])
    covariance = np.zeros((seeds, seeds))
    for label in (0, 1):
        units = np.unique(unit[labels == label])
        left = np.array(
            [[metrics.auroc(labels[unit != one], run[unit != one]) for run in scores] for one in units]
        )  # fmt: skip
        away = left - left.mean(axis=0)
        covariance += (len(units) - 1) / len(units) * away.T @ away
    shared = covariance[~np.eye(seeds, dtype=bool)].mean()
    between = areas.var(ddof=1) / seeds
    interval = delong(labels, scores, groups)
    means = [np.mean(side, axis=0) for side in zip(*(of_all_pairs(labels, run) for run in scores), strict=True)]
    half = (stats.t.isf(0.025, freedom(*means)) * shared + stats.t.isf(0.025, seeds - 1) * between) / math.sqrt(
        shared + between
    )
    if groups is not None:  # 10 and 20 patients, Satterthwaite
        found = math.log(interval.high / (1 - interval.high)) - math.log(interval.low / (1 - interval.low))
        assert found / 2 * areas.mean() * (1 - areas.mean()) == pytest.approx(half, rel=0.05)
        assert interval.how == "DeLong over 30 patients x 4 seeds"
        return
    value = areas.mean()
    assert interval.value == pytest.approx(value)
    assert interval.low == pytest.approx(
        1 / (1 + math.exp(-(math.log(value / (1 - value)) - half / value / (1 - value))))
    )
    assert interval.how == "DeLong over 60 images x 4 seeds"


def test_of_unequal_seeds_each_arm_keeps_its_own_spread_and_the_images_count_once() -> None:
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1], [30, 20])
    a, b = of_seeds(rng, 5, labels, 0.3, 0.8), of_seeds(rng, 3, labels, 0.6, 0.7)

    def covariance(runs: np.ndarray) -> np.ndarray:
        """Of every two seeds' AUROCs, by DeLong."""
        placed = [of_all_pairs(labels, run) for run in runs]
        return np.asarray(sum(np.cov([own[side] for own in placed]) / len(placed[0][side]) for side in (0, 1)))

    whole = covariance(np.concatenate([a, b]))
    areas = [[metrics.auroc(labels, run) for run in arm] for arm in (a, b)]
    between = [np.var(own, ddof=1) / len(own) for own in areas]
    shared = -2 * whole[:5, 5:].mean()
    for block in (whole[:5, :5], whole[5:, 5:]):
        shared += block[~np.eye(len(block), dtype=bool)].mean()
    variance = sum(between) + shared
    first, second = (
        [np.mean(side, axis=0) for side in zip(*(of_all_pairs(labels, run) for run in arm), strict=True)]
        for arm in (a, b)
    )
    free = freedom(*(one - other for one, other in zip(first, second, strict=True)))
    parts = (
        (between[0], stats.t.isf(0.025, 4)),
        (between[1], stats.t.isf(0.025, 2)),
        (shared, stats.t.isf(0.025, free)),
    )
    difference, _ = delong_paired(labels, a, b)
    assert width(difference) / 2 == pytest.approx(sum(v * q for v, q in parts) / math.sqrt(variance))
    assert difference.how == "paired DeLong over 50 images x 5 and 3 seeds"
    # one seed against several equal ones, either way
    assert delong_paired(labels, a, b[0])[1] == pytest.approx(delong_paired(labels, a, np.stack([b[0]] * 5))[1])


def test_seeds_that_tie_by_chance_are_worth_what_the_images_say() -> None:
    labels, scores = np.repeat([0, 1], 10), np.arange(20.0)
    one, other = scores.copy(), scores.copy()
    one[9] = 10.5
    other[8], other[11], other[10] = 10.5, 10.0, 13.5
    interval = delong(labels, np.stack([one, other]))
    assert 0.7 < interval.low < 0.99 < interval.high < 1
    assert 0 < delong_paired(labels, np.stack([one, other]), np.stack([scores, scores]))[1] < 1


def test_near_1_two_seeds_say_little_and_three_say_more() -> None:
    labels = np.repeat([0, 1], [100, 15])
    right = np.arange(115.0)
    wrong = right.copy()
    wrong[100] = 89.5  # one abnormal image below ten normal ones
    two, three = (delong(labels, np.stack([*[right] * count, wrong])) for count in (1, 2))
    assert (two.low, two.high) == pytest.approx((0.001, 1.0), abs=0.001)
    assert three.low == pytest.approx(0.86, abs=0.005)


def test_differences_far_beyond_chance_and_far_below_it_have_a_pvalue() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 2000)
    good, none = rng.normal(size=4000) + 3.3 * labels, rng.normal(size=4000)
    for a, b in ((good, none), (np.stack([good] * 3), np.stack([none] * 3))):
        assert delong_paired(labels, a, b)[1] < 1e-100
    few = np.repeat([0, 1], 10)
    for _ in range(30):
        a = rng.normal(size=(5, 20))
        assert delong_paired(few, a, np.roll(a, 1, axis=0))[1] == pytest.approx(1)


def test_scores_of_another_shape_are_refused() -> None:
    labels = np.repeat([0, 1], 5)
    for shape in ((0, 10), (2, 7), (2, 2, 10)):
        with pytest.raises(ScoresError, match=r"or one such row per seed, got shape"):
            delong(labels, np.zeros(shape))
        with pytest.raises(ScoresError, match=r"or one such row per seed, got shape"):
            delong_paired(labels, np.arange(10.0), np.zeros(shape))


def test_a_perfect_auroc_of_one_patient_has_no_bounds() -> None:
    interval = delong(np.repeat([0, 1], 5), np.arange(10.0), np.zeros(10))
    assert math.isnan(interval.low)
    assert interval.how.startswith("no interval: no two patients")


def test_seeds_that_agree_are_worth_one_seed() -> None:
    labels, scores = drawn(0)
    assert width(delong(labels, np.stack([scores] * 3))) == pytest.approx(width(delong(labels, scores)))
    other = drawn(4, shift=0.3)[1]
    many, p = delong_paired(labels, np.stack([scores] * 3), np.stack([other] * 3))
    one, q = delong_paired(labels, scores, other)
    assert (many.low, many.high, p) == pytest.approx((one.low, one.high, q))


def width(interval: Interval) -> float:
    return interval.high - interval.low


@pytest.mark.parametrize(("seeds", "spread"), [(2, 0.0), (2, 0.6), (3, 0.0), (3, 0.1), (3, 0.6), (5, 0.3)])
def test_over_seeds_the_interval_covers_and_the_paired_test_keeps_its_level(seeds: int, spread: float) -> None:
    rng, truth = np.random.default_rng(1), 0.85
    labels = np.repeat([0, 1], [60, 30])
    covered, rejected = [], []
    for _ in range(500):
        a = of_seeds(rng, seeds, labels, spread, truth)
        b = of_seeds(rng, seeds, labels, spread, truth)
        interval = delong(labels, a)
        covered.append(interval.low <= truth <= interval.high)
        rejected.append(delong_paired(labels, a, b)[1] < 0.05)
    assert np.mean(covered) >= 0.92
    assert np.mean(rejected) <= 0.07
    if seeds > 2 and spread != 0.1:  # nor is the test idle where its parts are alike in freedom
        assert np.mean(covered) <= 0.985
        assert np.mean(rejected) >= 0.015


@pytest.mark.parametrize(("ours", "theirs"), [(3, 1), (5, 3)])
def test_methods_with_different_numbers_of_seeds_can_be_compared(ours: int, theirs: int) -> None:
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], [60, 30])
    rejected = []
    for _ in range(400):
        a = of_seeds(rng, ours, labels, 0.3, 0.8)
        b = of_seeds(rng, theirs, labels, 0.3 if theirs > 1 else 0.0, 0.8)
        difference, pvalue = delong_paired(labels, a, b)
        assert difference.low < difference.value < difference.high
        rejected.append(pvalue < 0.05)
        assert (pvalue < 0.05) == (difference.low > 0 or difference.high < 0)
    assert np.mean(rejected) <= 0.07
    assert difference.how == f"paired DeLong over 90 images x {ours} and {theirs} seeds"
