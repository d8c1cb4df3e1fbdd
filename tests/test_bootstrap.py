"""What the bootstrap must get right: width, pairing, patients, seeds, determinism."""

from __future__ import annotations

import numpy as np
import pytest

from normoscope import metrics
from normoscope.bootstrap import bootstrap, bootstrap_paired
from normoscope.delong import delong, delong_paired
from normoscope.errors import ScoresError
from normoscope.metrics import Metric


def drawn(seed: int = 0, n: int = 300, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 3 == 0).astype(int)
    return labels, rng.normal(size=n) + shift * labels


def width(interval: object) -> float:
    return interval.high - interval.low  # type: ignore[attr-defined]


@pytest.mark.parametrize("metric", [metrics.aupr_abnormal, metrics.aupr_normal])
def test_the_interval_of_a_reversed_ranking_holds_its_own_value(metric: Metric) -> None:
    labels = np.repeat([1, 0], [40, 60])
    found = bootstrap(metric, labels, np.arange(100.0))
    assert found.low == found.value < found.high


def test_the_bootstrap_of_auroc_agrees_with_delong() -> None:
    labels, scores = drawn()
    ours, formula = bootstrap(metrics.auroc, labels, scores), delong(labels, scores)
    assert ours.value == formula.value
    assert (ours.low, ours.high) == pytest.approx((formula.low, formula.high), abs=0.01)
    assert ours.how == "bootstrap over 300 images, 2000 draws"


def test_the_paired_bootstrap_agrees_with_paired_delong() -> None:
    labels, a = drawn()
    b = a + np.random.default_rng(1).normal(size=len(a))
    formula, q = delong_paired(labels, a, b)
    ours, p = bootstrap_paired(metrics.auroc, labels, a, b, draws=10_000)
    assert (ours.value, ours.low, ours.high) == pytest.approx((formula.value, formula.low, formula.high), abs=0.01)
    assert p == pytest.approx(q, abs=0.02)


def test_pairing_makes_the_difference_of_like_methods_narrower_than_that_of_unlike_ones() -> None:
    labels, a = drawn()
    rng = np.random.default_rng(2)
    like = bootstrap_paired(metrics.auroc, labels, a, a + 0.1 * rng.normal(size=300))[0]
    unlike = bootstrap_paired(metrics.auroc, labels, a, labels + rng.normal(size=300))[0]
    assert width(like) < width(unlike) / 3


def test_duplicated_images_of_a_patient_narrow_the_naive_interval_but_not_the_grouped_one() -> None:
    labels, scores = drawn(n=90)
    once = bootstrap(metrics.auroc, labels, scores)
    labels4, scores4, patients = (np.repeat(x, 4) for x in (labels, scores, np.arange(90)))
    naive = bootstrap(metrics.auroc, labels4, scores4)
    grouped = bootstrap(metrics.auroc, labels4, scores4, groups=patients)
    assert width(naive) == pytest.approx(width(once) / 2, rel=0.1)
    assert width(grouped) == pytest.approx(width(once), rel=0.05)
    assert grouped.how == "bootstrap over 90 patients, 2000 draws"


def test_a_patient_may_have_images_of_both_classes() -> None:
    labels, scores = drawn()
    interval = bootstrap(metrics.auroc, labels, scores, groups=np.arange(300) // 3)
    assert interval.low < interval.value < interval.high
    assert interval.how == "bootstrap over 100 patients, 2000 draws"


def test_seeds_that_disagree_widen_the_interval() -> None:
    labels, scores = drawn()
    rng = np.random.default_rng(3)
    equal = np.stack([scores] * 5)
    unequal = np.stack([scores + noise * rng.normal(size=300) for noise in (0, 1, 2, 3, 4)])
    one = bootstrap(metrics.auroc, labels, scores)
    assert width(bootstrap(metrics.auroc, labels, equal)) == pytest.approx(width(one), rel=1e-9)
    apart = bootstrap(metrics.auroc, labels, unequal)
    assert apart.value == pytest.approx(np.mean([metrics.auroc(labels, run) for run in unequal]))
    assert width(apart) > 1.3 * width(one)
    assert apart.how == "bootstrap over 300 images x 5 seeds, 2000 draws"


def test_methods_with_different_numbers_of_seeds_can_be_paired() -> None:
    labels, a = drawn()
    five = np.stack([a + 0.1 * np.random.default_rng(seed).normal(size=300) for seed in range(5)])
    difference, pvalue = bootstrap_paired(metrics.auroc, labels, five, a)
    mean = np.mean([metrics.auroc(labels, run) for run in five])
    assert difference.value == pytest.approx(mean - metrics.auroc(labels, a))
    assert difference.low < difference.value < difference.high
    assert 0 < pvalue <= 1


def test_over_seeds_the_bootstrap_agrees_with_delong_whatever_seeds_share() -> None:
    labels, images = drawn(n=200)
    rng = np.random.default_rng(4)
    for own in (0.2, 1.0, 3.0):
        a, b = (images + own * rng.normal(size=(4, 200)) for _ in range(2))
        ours, formula = bootstrap(metrics.auroc, labels, a, draws=4000), delong(labels, a)
        assert width(ours) == pytest.approx(width(formula), rel=0.1)
        (there, p), (here, q) = bootstrap_paired(metrics.auroc, labels, a, b), delong_paired(labels, a, b)
        assert width(there) == pytest.approx(width(here), rel=0.15)
        assert p == pytest.approx(q, abs=0.06)


def test_the_few_seeds_of_the_shorter_arm_count_as_few() -> None:
    labels, images = drawn()
    rng = np.random.default_rng(3)
    five = images + 0.05 * rng.normal(size=(5, 300))
    two = images + np.array([[-0.5], [0.5]]) * labels + 0.05 * rng.normal(size=(2, 300))
    difference, pvalue = bootstrap_paired(metrics.auroc, labels, five, two)
    formula, q = delong_paired(labels, five, two)
    assert width(difference) == pytest.approx(width(formula), rel=0.15)
    assert pvalue == pytest.approx(q, abs=0.05)
    assert difference.how == "paired bootstrap over 300 images x 5 and 2 seeds, 2000 draws"


def test_seeds_that_differ_where_images_do_not_have_students_interval() -> None:
    labels = np.repeat([0, 1], 20)
    flags = np.zeros((3, 40), bool)
    flags[0] = True
    found = bootstrap(metrics.sensitivity, labels, flags)
    assert (found.value, found.low, found.high) == pytest.approx((1 / 3, 0, 1))
    assert np.isnan(bootstrap(metrics.sensitivity, labels, flags[1:]).low)


def test_the_same_seed_gives_the_same_interval_and_leaves_global_randomness_alone() -> None:
    labels, scores = drawn()
    before = np.random.get_state()[1].copy()
    first, second = (bootstrap(metrics.aupr_abnormal, labels, scores, seed=4) for _ in range(2))
    assert first == second
    assert bootstrap(metrics.aupr_abnormal, labels, scores, seed=5).low != first.low
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize("groups", [None, np.arange(20) // 2])
def test_a_single_unit_of_a_class_gives_no_bounds(groups: np.ndarray | None) -> None:
    labels, scores = np.zeros(20, int), np.arange(20.0)
    labels[9] = 1
    interval = bootstrap(metrics.auroc, labels, scores, groups)
    assert interval.value == pytest.approx(9 / 19)
    assert np.isnan(interval.low)
    assert "its spread is unknown" in interval.how


def test_draws_that_all_agree_claim_no_certainty() -> None:
    labels = np.repeat([0, 1], 10)
    interval = bootstrap(metrics.aupr_abnormal, labels, labels.astype(float))
    assert interval.value == 1
    assert np.isnan([interval.low, interval.high]).all()
    assert interval.how == "no interval: bootstrap over 20 images finds no variance"


def test_a_method_paired_with_itself_has_pvalue_1() -> None:
    labels, scores = drawn()
    difference, pvalue = bootstrap_paired(metrics.auroc, labels, scores, scores)
    assert difference.value == 0
    assert pvalue == 1


def test_a_clear_difference_has_the_smallest_pvalue_the_draws_allow() -> None:
    labels, scores = drawn(shift=2.0)
    difference, pvalue = bootstrap_paired(metrics.auroc, labels, scores, -scores, draws=999)
    assert difference.low > 0.5
    assert pvalue == pytest.approx(2 / 1000)


def test_pixel_metrics_are_drawn_by_image() -> None:
    rng = np.random.default_rng(6)
    masks = np.zeros((40, 16, 16), dtype=bool)
    masks[:20, 4:9, 4:9] = True
    maps = rng.normal(size=masks.shape) + masks * rng.normal(1, 1, size=(40, 1, 1))
    interval = bootstrap(metrics.pixel_ap, masks, maps)
    assert interval.value == metrics.pixel_ap(masks, maps)
    assert interval.low < interval.value < interval.high
    assert width(interval) > 0.05


@pytest.mark.parametrize("shape", [(7,), (2, 7), (0, 9)])
def test_scores_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ScoresError, match=r"scores: expected shape \(9,\) as the labels"):
        bootstrap(metrics.auroc, np.arange(9) % 2, np.zeros(shape))


@pytest.mark.slow
def test_the_grouped_interval_covers_the_true_auroc_where_the_naive_one_does_not() -> None:
    rng = np.random.default_rng(7)
    labels = np.repeat(np.arange(60) % 2, 5)
    patients = np.repeat(np.arange(60), 5)
    truth = 0.7602499389  # Phi(1 / sqrt 2): patient effects share the variance 1 with image noise
    covered = np.zeros(2)
    for trial in range(200):
        effect = np.repeat(rng.normal(0, np.sqrt(0.8), 60), 5)
        scores = labels + effect + rng.normal(0, np.sqrt(0.2), 300)
        for which, groups in enumerate((patients, None)):
            interval = bootstrap(metrics.auroc, labels, scores, groups, draws=300, seed=trial)
            covered[which] += interval.low <= truth <= interval.high
    grouped, naive = covered / 200
    assert grouped >= 0.89
    assert naive < 0.8


def test_with_few_seeds_the_paired_test_keeps_its_level_where_seeds_are_most_of_the_spread() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 60)
    images = rng.normal(size=120) + 0.5 * labels

    def method() -> np.ndarray:
        shift = rng.normal(0, 0.4, (3, 1)) * labels  # each seed finds the anomalies more or less well
        return images + shift + rng.normal(0, 0.05, (3, 120))

    tests = 120
    rejected = sum(
        bootstrap_paired(metrics.auroc, labels, method(), method(), draws=200)[1] < 0.05 for _ in range(tests)
    )
    # at a level of 5 %: 6 expected; the normal reference for three seeds rejected 15 to 20 %
    assert rejected <= 6 + 3 * np.sqrt(tests * 0.05 * 0.95)


def test_bounds_never_leave_the_range_of_a_share() -> None:
    labels = np.repeat([0, 1], 20)
    flags = np.zeros((3, 40), bool)
    flags[0, 0] = flags[1, 20] = True
    found = bootstrap(metrics.sensitivity, labels, flags)
    assert found.low == 0
    assert 0.016 < found.value < found.high < 1
