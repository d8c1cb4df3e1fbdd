"""Metrics against their definitions, written out slowly, and against scikit-learn."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from normoscope import metrics
from normoscope.errors import ScoresError
from normoscope.metrics import of_kind


@st.composite
def labelled_scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Both classes, and few distinct scores so that ties abound."""
    n = draw(st.integers(2, 40))
    labels = draw(arrays.arrays(np.int64, n, elements=st.integers(0, 1)))
    labels[0], labels[1] = 0, 1
    scores = draw(arrays.arrays(np.int64, n, elements=st.integers(-4, 4)))
    return labels, scores / 2


def rates(labels: np.ndarray, scores: np.ndarray) -> list[tuple[float, float]]:
    """(sensitivity, FPR) of flagging nothing and of `score >= t` for every score t."""
    cuts = [np.inf, *scores]
    return [(float(np.mean(scores[labels == 1] >= t)), float(np.mean(scores[labels == 0] >= t))) for t in cuts]


@given(labelled_scores())
def test_auroc_is_the_share_of_rightly_ordered_pairs_with_ties_as_half(data: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = data
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[labels == 1] for b in scores[labels == 0]]
    assert metrics.auroc(labels, scores) == pytest.approx(np.mean(pairs), abs=1e-12)


@given(labelled_scores())
def test_ranking_metrics_equal_scikit_learns(data: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = data
    assert metrics.auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert metrics.aupr_abnormal(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    of_normal = average_precision_score(1 - labels, -scores)
    assert metrics.aupr_normal(labels, scores) == pytest.approx(of_normal, abs=1e-12)


@given(labelled_scores())
def test_points_of_the_curve_are_the_best_over_all_thresholds(data: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = data
    points = rates(labels, scores)
    sensitivity = max(tpr for tpr, fpr in points if fpr <= 0.05 + 1e-12)
    fpr = min(fpr for tpr, fpr in points if tpr >= 0.95 - 1e-12)
    assert metrics.sensitivity_at_95_specificity(labels, scores) == pytest.approx(sensitivity, abs=1e-12)
    assert metrics.fpr_at_95_sensitivity(labels, scores) == pytest.approx(fpr, abs=1e-12)


def test_five_of_a_hundred_false_alarms_are_still_95_percent_specificity() -> None:
    labels = np.repeat([0, 1], [100, 4])
    scores = np.concatenate([np.arange(100.0), [94.5, 94.5, 94.0, 200.0]])
    assert metrics.sensitivity_at_95_specificity(labels, scores) == 0.75
    assert metrics.fpr_at_95_sensitivity(labels, scores) == 0.06


def test_nineteen_of_twenty_abnormal_images_are_already_95_percent_sensitivity() -> None:
    labels = np.repeat([0, 1], [10, 20])
    scores = np.concatenate([np.arange(10.0), np.full(19, 8.5), [-1.0]])
    assert metrics.fpr_at_95_sensitivity(labels, scores) == 0.1


@given(labelled_scores())
def test_a_monotone_transform_changes_no_ranking_metric(data: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = data
    for metric in of_kind("scores").values():
        assert metric(labels, scores) == metric(labels, np.exp(scores) * 3 - 7)


@given(labelled_scores())
def test_exchanging_the_classes_mirrors_auroc_and_exchanges_the_auprs(data: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = data
    assert metrics.auroc(1 - labels, scores) == pytest.approx(1 - metrics.auroc(labels, scores), abs=1e-12)
    assert metrics.aupr_abnormal(1 - labels, -scores) == pytest.approx(metrics.aupr_normal(labels, scores), abs=1e-12)


@given(labelled_scores(), st.integers(0, 2**32 - 1))
def test_the_order_of_images_changes_no_ranking_metric(data: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    labels, scores = data
    order = np.random.default_rng(seed).permutation(len(labels))
    for metric in of_kind("scores").values():
        assert metric(labels[order], scores[order]) == metric(labels, scores)


def test_constant_scores_give_chance_level() -> None:
    labels = np.repeat([0, 1], [30, 10])
    scores = np.ones(40)
    assert metrics.auroc(labels, scores) == 0.5
    assert metrics.aupr_abnormal(labels, scores) == 0.25
    assert metrics.aupr_normal(labels, scores) == 0.75
    assert metrics.sensitivity_at_95_specificity(labels, scores) == 0
    assert metrics.fpr_at_95_sensitivity(labels, scores) == 1


def test_separated_classes_are_perfect() -> None:
    labels, scores = np.repeat([0, 1], 20), np.arange(40.0)
    values = {name: metric(labels, scores) for name, metric in of_kind("scores").items()}
    assert values == {
        "auroc": 1,
        "aupr_abnormal": 1,
        "aupr_normal": 1,
        "sensitivity_at_95_specificity": 1,
        "fpr_at_95_sensitivity": 0,
    }


def test_decision_metrics_count_what_their_names_say() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1])
    flags = np.array([0, 0, 0, 1, 1, 0])
    assert metrics.accuracy(labels, flags) == pytest.approx(4 / 6)
    assert metrics.sensitivity(labels, flags) == 0.5
    assert metrics.specificity(labels, flags) == 0.75
    assert metrics.balanced_accuracy(labels, flags) == 0.625


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only_gives_nan_and_no_error(label: int) -> None:
    labels, scores = np.full(5, label), np.arange(5.0)
    assert all(np.isnan(metric(labels, scores)) for metric in of_kind("scores").values())
    assert np.isnan(metrics.balanced_accuracy(labels, scores > 2))
    masks, maps = np.full((2, 3, 3), label), np.arange(18.0).reshape(2, 3, 3)
    assert all(np.isnan(metric(masks, maps)) for metric in of_kind("maps").values())


def test_no_images_give_nan_and_no_error() -> None:
    empty = np.zeros(0)
    for metric in [*of_kind("scores").values(), *of_kind("flags").values()]:
        assert np.isnan(metric(empty, empty))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_named(bad: float) -> None:
    scores = np.array([1.0, 2.0, bad, 4.0])
    for metric in of_kind("scores").values():
        with pytest.raises(ScoresError, match=rf"scores: expected finite numbers, got 1 .*first: {bad} at index 2"):
            metric(np.array([0, 1, 0, 1]), scores)


def test_a_label_other_than_0_and_1_is_refused() -> None:
    with pytest.raises(ScoresError, match=r"labels: expected 1 \(anomalous\) or 0 \(normal\), got 2"):
        metrics.auroc(np.array([0, 1, 2]), np.arange(3.0))


def test_scores_and_labels_of_different_length_are_refused() -> None:
    with pytest.raises(ScoresError, match=r"labels' shape \(3,\), got shape \(4,\)"):
        metrics.auroc(np.array([0, 1, 1]), np.arange(4.0))


# --- pixels


def pro_by_loop(masks: np.ndarray, maps: np.ndarray, limit: float = 0.3) -> float:
    """AUPRO, one threshold and one lesion at a time."""
    lesions = []
    for image, mask in enumerate(masks):
        labelled, count = ndimage.label(mask, structure=np.ones((3, 3)))
        lesions += [(image, labelled == number) for number in range(1, count + 1)]
    points = [(0.0, 0.0)]
    for t in sorted(set(maps.ravel()), reverse=True):
        overlap = np.mean([np.mean(maps[image][lesion] >= t) for image, lesion in lesions])
        points.append((float(np.mean(maps[~masks] >= t)), float(overlap)))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 >= limit or x1 == x0:
            continue
        end = min(x1, limit)
        y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (end - x0) * (y0 + y_end) / 2
    return area / limit


def lesion_masks(rng: np.random.Generator) -> np.ndarray:
    """Six images: two lesions that touch at a corner, a large one, two apart, three without."""
    masks = np.zeros((6, 12, 12), dtype=bool)
    masks[0, 1:3, 1:3] = masks[0, 3:5, 3:6] = True
    masks[1, 2:10, 3:9] = True
    masks[2, 0, 0] = masks[2, 8:11, 8:11] = True
    return masks


@pytest.mark.parametrize("levels", [3, 20, 10_000])
def test_aupro_equals_the_slow_loop_over_thresholds_and_lesions(levels: int) -> None:
    rng = np.random.default_rng(levels)
    masks = lesion_masks(rng)
    maps = np.floor((rng.random(masks.shape) + 0.4 * masks) * levels)
    assert metrics.aupro(masks, maps) == pytest.approx(pro_by_loop(masks, maps), abs=1e-12)


def test_aupro_knows_perfect_and_uninformative_maps() -> None:
    masks = lesion_masks(np.random.default_rng(0))
    assert metrics.aupro(masks, masks.astype(float)) == pytest.approx(1)
    assert metrics.aupro(masks, np.zeros(masks.shape)) == pytest.approx(0.15)


def test_lesions_touching_at_a_corner_are_one_and_lesions_of_neighbouring_images_two() -> None:
    masks = np.zeros((2, 4, 4), dtype=bool)
    masks[0, 0, 0] = masks[0, 1, 1] = masks[0, 1, 2] = True
    masks[1, 1, 1] = True
    maps = np.zeros(masks.shape)
    maps[0, 0, 0] = 1  # a third of the first lesion, nothing of the second, no false positive
    start = 1 / 6  # one half of a third
    at_limit = start + (1 - start) * 0.3
    assert metrics.aupro(masks, maps) == pytest.approx((start + at_limit) / 2)


def test_pixel_metrics_pool_the_pixels_of_all_images() -> None:
    rng = np.random.default_rng(1)
    masks = lesion_masks(rng)
    maps = rng.normal(size=masks.shape) + masks
    assert metrics.pixel_ap(masks, maps) == pytest.approx(average_precision_score(masks.ravel(), maps.ravel()))
    assert metrics.pixel_auroc(masks, maps) == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()))


def test_dice_pools_the_pixels_of_all_images() -> None:
    masks, flagged = np.zeros((2, 2, 2, 2), dtype=bool)
    masks[0, 0, :] = flagged[0, :, 0] = flagged[1, 0, 0] = True
    assert metrics.dice(masks, flagged) == pytest.approx(2 * 1 / (2 + 3))
    assert metrics.dice(masks, masks) == 1
    assert np.isnan(metrics.dice(masks & False, flagged & False))


# --- curves


@given(labelled_scores())
def test_the_area_under_the_roc_curve_is_auroc_and_its_points_scikit_learns(
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    labels, scores = data
    fpr, tpr, cuts = metrics.roc_curve(labels, scores)
    expected = sklearn_roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose([fpr, tpr, cuts], expected, atol=1e-12)
    assert np.trapezoid(tpr, fpr) == pytest.approx(metrics.auroc(labels, scores), abs=1e-12)


@given(labelled_scores())
def test_the_steps_under_the_pr_curve_are_aupr(data: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = data
    recall, precision, cuts = metrics.pr_curve(labels, scores)
    area = np.sum(np.diff(recall, prepend=0) * precision)
    assert area == pytest.approx(metrics.aupr_abnormal(labels, scores), abs=1e-12)
    flagged = scores >= cuts[0]
    assert precision[0] == pytest.approx(np.mean(labels[flagged]))


# --- registry


def test_every_listed_metric_is_of_exactly_one_kind_and_explains_itself() -> None:
    kinds = {kind: list(of_kind(kind)) for kind in ("scores", "flags", "maps", "pred_masks")}
    assert sorted(name for names in kinds.values() for name in names) == sorted(metrics.__all__)
    assert kinds["scores"][0] == "auroc"
    for name in metrics.__all__:
        doc = inspect.getdoc(getattr(metrics, name)) or ""
        assert "Args:" in doc
        assert "Returns:" in doc


def test_every_public_function_that_returns_a_number_is_listed() -> None:
    tree = ast.parse(inspect.getsource(metrics))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    numbers = {node.name for node in functions if node.returns is not None and ast.unparse(node.returns) == "float"}
    assert numbers == set(metrics.__all__)


def test_test_curve_points_say_that_they_are_no_operating_points() -> None:
    points = [name for name in metrics.__all__ if "_at_" in name]
    assert len(points) == 2
    for name in points:
        assert "not an operating point" in (inspect.getdoc(getattr(metrics, name)) or "")


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_float32_scores_rank_as_their_float64_copies(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, scores = np.arange(50) % 2, rng.normal(size=50).astype(np.float32)
    for metric in of_kind("scores").values():
        assert metric(labels, scores) == metric(labels, scores.astype(np.float64))
