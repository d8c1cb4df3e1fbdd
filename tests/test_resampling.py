"""The fast resampled metrics against repeating the images."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from normoscope import metrics
from normoscope.metrics import of_kind
from normoscope.resampling import drawn_seeds, drawn_weights, resampler, units

RANKING_AND_DECISIONS = [*of_kind("scores").values(), *of_kind("flags").values(), metrics.dice]


def repeated(metric: metrics.Metric, truth: np.ndarray, given: np.ndarray, weights: np.ndarray) -> list[float]:
    """The metric on every draw's images themselves."""
    return [metric(np.repeat(truth, row, axis=0), np.repeat(given, row, axis=0)) for row in weights]


@pytest.mark.parametrize("metric", RANKING_AND_DECISIONS, ids=lambda metric: metric.__name__)
def test_a_weighted_metric_is_the_metric_of_the_repeated_images(metric: metrics.Metric) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 40)
    given = rng.integers(0, 9, 40) + labels if metric.__name__ in of_kind("scores") else rng.integers(0, 2, 40)
    if metric is metrics.dice:
        labels, given = rng.integers(0, 2, (2, 40, 3, 3))
    weights = rng.integers(0, 3, (30, 40))
    np.testing.assert_allclose(
        resampler(metric, labels, given)(weights), repeated(metric, labels, given, weights), atol=1e-12
    )


def test_a_draw_without_one_class_is_nan() -> None:
    labels, scores = np.array([0, 0, 1, 1]), np.arange(4.0)
    weights = np.array([[2, 2, 0, 0], [0, 0, 2, 2], [1, 1, 1, 1]])
    for metric in of_kind("scores").values():
        assert list(np.isnan(resampler(metric, labels, scores)(weights))) == [True, True, False]


@pytest.mark.parametrize("metric", of_kind("maps").values(), ids=lambda metric: metric.__name__)
def test_binned_pixel_metrics_are_within_a_hundredth_of_the_exact_ones(metric: metrics.Metric) -> None:
    rng = np.random.default_rng(1)
    masks = np.zeros((20, 32, 32), dtype=bool)
    for image in range(10):
        top, left = rng.integers(0, 22, 2)
        masks[image, top : top + 8, left : left + 6] = True
    maps = rng.normal(size=masks.shape) + 1.5 * masks
    weights = rng.integers(0, 3, (5, 20))
    np.testing.assert_allclose(
        resampler(metric, masks, maps)(weights), repeated(metric, masks, maps, weights), atol=0.01
    )


@pytest.mark.parametrize("metric", of_kind("maps").values(), ids=lambda metric: metric.__name__)
def test_binned_pixel_metrics_are_exact_where_the_maps_have_few_levels(metric: metrics.Metric) -> None:
    rng = np.random.default_rng(2)
    masks = np.zeros((8, 10, 10), dtype=bool)
    masks[:4, 2:6, 3:7] = masks[0, 8:, 8:] = True
    maps = rng.integers(0, 6, masks.shape) + 2 * masks
    weights = rng.integers(0, 3, (5, 8))
    np.testing.assert_allclose(
        resampler(metric, masks, maps)(weights), repeated(metric, masks, maps, weights), atol=1e-9
    )


def test_a_metric_of_ones_own_is_resampled_too() -> None:
    def highest_abnormal(labels: np.ndarray, scores: np.ndarray) -> float:
        return float(np.max(scores[labels == 1]))

    drawn = resampler(highest_abnormal, np.array([0, 1, 1]), np.array([9.0, 5.0, 7.0]))
    assert list(drawn(np.array([[1, 1, 1], [1, 2, 0]]))) == [7, 5]


def test_each_draw_keeps_the_number_of_images_of_both_classes() -> None:
    abnormal = np.arange(50) < 12
    [weights] = drawn_weights(abnormal, None, 100, np.random.default_rng(2))
    assert weights.shape == (100, 50)
    assert set(weights[:, abnormal].sum(axis=1)) == {12}
    assert set(weights[:, ~abnormal].sum(axis=1)) == {38}
    assert weights.max() > 1


def test_patients_are_drawn_whole_with_and_without_abnormal_images_apart() -> None:
    groups = np.array(["a", "a", "b", "b", "b", "c", "d", "e"])
    abnormal = np.array([1, 0, 0, 1, 1, 0, 0, 0], dtype=bool)
    [weights] = drawn_weights(abnormal, groups, 200, np.random.default_rng(3))
    for group in "ab":
        assert (weights[:, groups == group].std(axis=1) == 0).all()
    assert set(weights[:, 0] + weights[:, 2]) == {2}
    assert set(weights[:, 5:].sum(axis=1)) == {3}
    unit, has_abnormal = units(abnormal, groups)
    assert list(unit) == [0, 0, 1, 1, 1, 2, 3, 4]
    assert list(has_abnormal) == [True, True, False, False, False]


def test_many_images_are_drawn_in_blocks() -> None:
    blocks = list(drawn_weights(np.arange(30_000) % 2 == 0, None, 20, np.random.default_rng(4)))
    assert [len(block) for block in blocks] == [6, 6, 6, 2]
    assert all((first[0] != second[0]).any() for first, second in pairwise(blocks))


def test_the_mean_over_drawn_seeds_varies_as_the_mean_over_seeds_should() -> None:
    values = np.array([0.7, 0.8, 0.75, 0.9, 0.85])
    means = drawn_seeds(5, 200_000, np.random.default_rng(5)) @ values
    assert means.mean() == pytest.approx(values.mean(), abs=1e-3)
    assert means.var() == pytest.approx(values.var(ddof=1) / 5, rel=0.02)
    assert (drawn_seeds(1, 3, np.random.default_rng(0)) == 1).all()
