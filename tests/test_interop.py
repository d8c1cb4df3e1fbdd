"""The adapters: scikit-learn's own contract, signs, and the same bits as normoscope's own words."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from normoscope.errors import ImageShapeError, NormoscopeError, OptionError, TooFewImagesError
from normoscope.images import as_images
from normoscope.interop import OneClassDetector, PyODDetector
from normoscope.methods import build
from normoscope.types import Run

Array = npt.NDArray[Any]

EXPECTED_FAILED_CHECKS: dict[str, str] = {}
"""Check name to reason: none is needed."""

VECTOR_METHODS = [
    ("knn", {}),
    ("pca", {"latent_dim": 2}),
    ("ocsvm", {}),
    ("trivial", {"statistic": "contrast"}),
]
IMAGE_METHODS = [
    ("knn", {}),
    ("pca", {"latent_dim": 4}),
    ("ocsvm", {}),
    ("trivial", {"statistic": "bytes"}),
    ("cae", {"epochs": 1, "channels": (4, 8), "latent_dim": 4}),
]


def normal_rows(n: int, seed: int = 0, features: int = 6) -> Array:
    return np.random.default_rng(seed).normal(size=(n, features))


def gratings(n: int, upright: bool, seed: int) -> Array:
    """8-bit images of noisy stripes, (n, 16, 16)."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    along = np.arange(16)[None, :] if upright else np.arange(16)[:, None]
    stripes = 0.5 + 0.4 * np.sin(along[None] * 1.2 + phase) * np.ones((n, 16, 16))
    return np.clip((stripes + rng.normal(0, 0.05, stripes.shape)) * 255, 0, 255).astype(np.uint8)


def flat(images: Array) -> Array:
    return images.reshape(len(images), -1)


@pytest.mark.filterwarnings("ignore:not calibrated:UserWarning")
@parametrize_with_checks(
    [OneClassDetector(), PyODDetector()], expected_failed_checks=lambda estimator: EXPECTED_FAILED_CHECKS
)
def test_scikit_learn_finds_nothing_to_complain_about(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def test_scikit_learn_sign_is_that_of_a_detector_from_scikit_learn() -> None:
    normals = normal_rows(300)
    rows = np.concatenate([normal_rows(50, seed=1), normal_rows(50, seed=2) + 6])
    is_normal = np.repeat([1, 0], 50)
    theirs = LocalOutlierFactor(novelty=True).fit(normals)
    ours = OneClassDetector().fit(normals)
    assert roc_auc_score(is_normal, theirs.score_samples(rows)) == 1.0
    assert roc_auc_score(is_normal, ours.score_samples(rows)) == 1.0
    assert theirs.predict(rows[50:]).tolist() == ours.predict(rows[50:]).tolist() == [-1] * 50


def test_pyod_sign_is_the_reverse_and_labels_are_zero_and_one() -> None:
    normals = normal_rows(300)
    rows = np.concatenate([normal_rows(50, seed=1), normal_rows(50, seed=2) + 6])
    detector = PyODDetector().fit(normals)
    assert roc_auc_score(np.repeat([0, 1], 50), detector.decision_function(rows)) == 1.0
    assert detector.predict(rows[50:]).tolist() == [1] * 50
    assert set(detector.predict(rows[:50]).tolist()) == {0, 1}


def test_both_adapters_say_the_same_in_their_own_signs() -> None:
    normals, rows = normal_rows(200), normal_rows(80, seed=1) * 2
    sklearn_words, pyod_words = OneClassDetector(seed=3).fit(normals), PyODDetector(seed=3).fit(normals)
    np.testing.assert_array_equal(pyod_words.decision_function(rows), -sklearn_words.score_samples(rows))
    assert pyod_words.threshold_ == -sklearn_words.offset_
    np.testing.assert_array_equal(pyod_words.predict(rows) == 1, sklearn_words.predict(rows) == -1)
    np.testing.assert_array_equal(pyod_words.decision_scores_, pyod_words.decision_function(normals))
    np.testing.assert_array_equal(pyod_words.labels_, pyod_words.predict(normals))


@pytest.mark.parametrize(("method", "params"), IMAGE_METHODS, ids=lambda value: value if isinstance(value, str) else "")
def test_scores_of_8_bit_images_are_the_native_ones_bit_for_bit(method: str, params: dict[str, Any]) -> None:
    normals, test = gratings(100, False, 0), gratings(20, True, 1)
    detector = OneClassDetector(method, "quick", (16, 16), params, value_range=(0, 255), seed=5).fit(flat(normals))
    trained_on = np.delete(normals, detector.held_out_, axis=0)
    native = build(method, "quick", params).fit(as_images(trained_on), Run(seed=5))
    expected = native.anomaly_score(as_images(test).batch(np.arange(20))).double().cpu().numpy()
    np.testing.assert_array_equal(-detector.score_samples(flat(test)), expected)


def test_knn_on_hog_features_tells_upright_stripes_from_level_ones() -> None:
    detector = OneClassDetector("knn", image_shape=(16, 16)).fit(flat(gratings(120, False, 0)))
    level, upright = flat(gratings(40, False, 1)), flat(gratings(40, True, 2))
    assert detector.predict(upright).tolist() == [-1] * 40
    assert (detector.predict(level) == 1).mean() >= 0.8
    assert detector.score_samples(upright).max() < detector.score_samples(level).min()


def test_colour_rows_may_hold_channels_first_or_last() -> None:
    normals = np.stack([gratings(100, False, seed) for seed in range(3)], axis=-1)
    first = OneClassDetector("knn", image_shape=(3, 16, 16)).fit(flat(np.moveaxis(normals, -1, 1)))
    last = OneClassDetector("knn", image_shape=(16, 16, 3)).fit(flat(normals))
    np.testing.assert_array_equal(
        first.score_samples(flat(np.moveaxis(normals, -1, 1))), last.score_samples(flat(normals))
    )


@pytest.mark.parametrize(
    ("method", "params"), VECTOR_METHODS, ids=lambda value: value if isinstance(value, str) else ""
)
@pytest.mark.parametrize("distance", [1e2, 1e9, 1e300])
def test_a_row_far_outside_the_training_range_scores_highest(
    method: str, params: dict[str, Any], distance: float
) -> None:
    normals = normal_rows(200)
    rows = normal_rows(30, seed=1)
    rows[7, 3] = distance
    scores = PyODDetector(method, params=params).fit(normals).decision_function(rows)
    assert np.isfinite(scores).all()
    assert scores.argmax() == 7


@pytest.mark.parametrize("statistic", ["contrast", "gradient", "bytes"])
def test_an_image_far_outside_the_training_range_scores_highest_by_every_statistic(statistic: str) -> None:
    images = normal_rows(20, seed=1, features=256)
    images[3] *= 50
    detector = PyODDetector("trivial", image_shape=(16, 16), params={"statistic": statistic})
    scores = detector.fit(normal_rows(200, features=256)).decision_function(images)
    assert scores.argmax() == 3


def test_the_farther_outside_the_training_range_the_higher_the_score() -> None:
    detector = PyODDetector().fit(normal_rows(100))
    rows = np.zeros((5, 6))
    rows[:, 0] = [0, 5, 50, 500, 5000]
    assert (np.diff(detector.decision_function(rows)) > [1e-1, 1, 1e1, 1e2]).all()


def test_scores_do_not_depend_on_the_unit_of_the_values() -> None:
    normals, rows = normal_rows(100), normal_rows(20, seed=1)
    one = OneClassDetector().fit(normals).score_samples(rows)
    other = OneClassDetector().fit(normals * 4096 - 1e4).score_samples(rows * 4096 - 1e4)
    np.testing.assert_allclose(other, one, rtol=1e-5)


def test_constant_rows_keep_their_own_unit() -> None:
    detector = PyODDetector().fit(np.full((100, 4), 3.0))
    np.testing.assert_allclose(detector.decision_function([[3.0] * 4, [6.0] * 4]), [0.0, 2.0])


def test_new_normal_rows_are_flagged_at_most_at_the_wished_rate() -> None:
    def rate(seed: int) -> float:
        detector = OneClassDetector(seed=seed, false_alarms=0.1).fit(normal_rows(200, seed))
        return float((detector.predict(normal_rows(200, seed + 1000)) == -1).mean())

    rates = [rate(seed) for seed in range(60)]
    assert np.mean(rates) <= 0.1 + 2 * np.std(rates) / np.sqrt(len(rates))
    assert np.mean(rates) >= 0.06  # 4 / 41 is the rule's exact rate: a rule that never flags would not do


def test_flags_agree_with_p_values() -> None:
    normals, rows = normal_rows(300), normal_rows(200, seed=1) * 1.5
    detector = OneClassDetector(false_alarms=0.1).fit(normals)
    np.testing.assert_array_equal(detector.predict(rows) == -1, detector.pvalues(rows) <= 0.1)


@pytest.mark.parametrize("question", ["score_samples", "decision_function", "predict", "pvalues"])
def test_an_unfitted_detector_says_so(question: str) -> None:
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(OneClassDetector(), question)(normal_rows(3))


def test_held_out_rows_are_a_seeded_share_and_train_nothing() -> None:
    normals = normal_rows(100)
    first, again, other = (OneClassDetector(seed=seed).fit(normals) for seed in (0, 0, 1))
    assert len(first.held_out_) == 20
    np.testing.assert_array_equal(first.held_out_, again.held_out_)
    assert set(first.held_out_) != set(other.held_out_)
    changed = normals.copy()
    changed[first.held_out_] += 50
    moved = OneClassDetector().fit(changed)
    np.testing.assert_array_equal(moved.score_samples(normals), first.score_samples(normals))
    assert moved.offset_ < first.offset_


def test_too_few_rows_fit_with_a_warning_and_the_most_careful_rule() -> None:
    normals = normal_rows(20)
    with pytest.warns(
        UserWarning, match="not calibrated: 19 normals needed, 4 given; .* on average 20% of normal rows"
    ):
        detector = OneClassDetector().fit(normals)
    assert not detector.calibrated_
    assert detector.offset_ == detector.score_samples(normals[detector.held_out_]).min()


def test_enough_rows_fit_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert OneClassDetector().fit(normal_rows(95)).calibrated_


def test_a_fit_that_fails_leaves_the_detector_as_it_was() -> None:
    rows = normal_rows(100)
    detector = OneClassDetector("knn").fit(rows)
    before = detector.score_samples(rows[:5])
    with pytest.raises(OptionError):
        detector.set_params(params={"nope": 1}).fit(100 * rows)
    np.testing.assert_array_equal(detector.score_samples(rows[:5]), before)
    unfitted = OneClassDetector("knn", params={"nope": 1})
    with pytest.raises(OptionError):
        unfitted.fit(rows)
    with pytest.raises(NotFittedError):
        unfitted.predict(rows)


def test_a_value_range_may_be_an_array() -> None:
    rows = np.random.default_rng(0).random((60, 4))
    ranged = OneClassDetector("knn", value_range=np.array([0.0, 1.0])).fit(rows)
    assert ranged.value_range_ == (0.0, 1.0)


def test_labels_given_to_fit_change_nothing() -> None:
    normals = normal_rows(100)
    np.testing.assert_array_equal(
        OneClassDetector().fit(normals, np.ones(100)).score_samples(normals),
        OneClassDetector().fit(normals).score_samples(normals),
    )


def test_parameters_survive_clone_and_set_params() -> None:
    detector = OneClassDetector("pca", "paper", (2, 3), {"latent_dim": 2}, (0, 1), 0.1, 0.3, 7, "cpu")
    assert (
        clone(detector).get_params()
        == detector.get_params()
        == {
            "method": "pca",
            "preset": "paper",
            "image_shape": (2, 3),
            "params": {"latent_dim": 2},
            "value_range": (0, 1),
            "false_alarms": 0.1,
            "calibrate_share": 0.3,
            "seed": 7,
            "device": "cpu",
        }
    )
    detector.set_params(method="ocsvm", params={"nu": 0.2}).fit(normal_rows(50))
    assert detector.recipe_ == build("ocsvm", "paper", {"nu": 0.2})


def test_a_pipeline_scales_features_of_different_units_first() -> None:
    units = np.array([1, 1, 1, 1, 1, 1e6])
    normals, rows = normal_rows(200) * units, normal_rows(20, seed=1) * units
    rows[4, 0] = 9.0
    assert PyODDetector().fit(normals).decision_function(rows).argmax() != 4
    pipeline = make_pipeline(StandardScaler(), OneClassDetector()).fit(normals)
    assert pipeline.score_samples(rows).argmin() == 4
    assert pipeline.predict(rows)[4] == -1


def test_cross_val_predict_scores_each_fold_by_the_others() -> None:
    rows = normal_rows(120)
    rows[11] += 8
    folds = KFold(3)
    detector = make_pipeline(StandardScaler(), OneClassDetector(false_alarms=0.1))
    decisions = cross_val_predict(detector, rows, cv=folds, method="decision_function")
    assert decisions.argmin() == 11
    train, test = next(iter(folds.split(rows)))
    np.testing.assert_array_equal(decisions[test], clone(detector).fit(rows[train]).decision_function(rows[test]))
    assert cross_val_predict(detector, rows, cv=folds)[11] == -1


@pytest.mark.parametrize(
    ("params", "rows", "error", "sentence"),
    [
        ({"image_shape": (8, 8)}, 50, ImageShapeError, r"shape \(n, 8, 8\), got \(50, 6\); pass rows of 64 values"),
        ({"method": "nope"}, 50, OptionError, "method: expected one of .*knn.*, got 'nope'"),
        ({"preset": "nope"}, 50, OptionError, "expected paper or quick, got 'nope'"),
        ({"params": {"nope": 1}}, 50, OptionError, "option of knn: expected one of .*neighbours.*, got 'nope'"),
        ({"false_alarms": 0}, 50, OptionError, "false_alarms: expected a share between 0 and 1, both excluded, got 0"),
        ({"calibrate_share": 1.0}, 50, OptionError, "calibrate_share: expected a share between 0 and 1"),
        ({"value_range": (255, 0)}, 50, OptionError, r"value_range: expected \(low, high\) with low below high"),
        ({"value_range": (-1.7e308, 1.7e308)}, 50, OptionError, "low below high, a finite number apart"),
        ({"method": "trivial"}, 50, OptionError, "image_shape: expected a shape that trivial has finite scores for"),
        ({}, 5, TooFewImagesError, "train: 5 images needed, 4 given"),
    ],
)
def test_what_cannot_be_fitted_is_a_sentence_and_a_value_error(
    params: dict[str, Any], rows: int, error: type[NormoscopeError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence) as caught:
        OneClassDetector(**params).fit(normal_rows(rows))
    assert isinstance(caught.value, ValueError)


@pytest.mark.slow
def test_knn_on_pneumoniamnist_reaches_the_native_figure_through_the_adapter(
    real_data: Callable[[str], Path],
) -> None:
    with np.load(real_data("medmnist/pneumoniamnist.npz")) as data:
        normals = data["train_images"][data["train_labels"].ravel() == 0]
        test, labels = data["test_images"], data["test_labels"].ravel()
    detector = OneClassDetector("knn", image_shape=(28, 28), value_range=(0, 255)).fit(flat(normals))
    assert roc_auc_score(labels == 0, detector.score_samples(flat(test))) == pytest.approx(0.906, abs=0.01)
