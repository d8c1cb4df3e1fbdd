"""Bands of curves: they cover, they know patients, and they are absent where nothing is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from normoscope import metrics
from normoscope.bands import pr_band, roc_band
from normoscope.errors import ScoresError

Toy = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


def toy(n: int = 120, shift: float = 1.0, seed: int = 0) -> Toy:
    """Two Gaussians a shift apart."""
    labels = np.repeat([0, 1], n // 2)
    return labels, np.random.default_rng(seed).normal(labels * shift)


def test_the_band_holds_the_curve_it_belongs_to() -> None:
    labels, scores = toy()
    band = roc_band(labels, scores)
    assert band is not None
    fpr, tpr, _ = metrics.roc_curve(labels, scores)
    curve = np.interp(band.x, fpr, tpr)
    known = ~np.isnan(band.low)
    assert known.mean() > 0.9
    assert (band.low <= curve + 1e-12)[known].all()
    assert (curve <= band.high + 1e-12)[known].all()


def test_of_patients_it_is_those_with_images_of_a_class_that_are_counted() -> None:
    labels, scores = toy()
    both = np.tile(np.arange(60), 2)  # every patient has a normal and an abnormal image
    assert roc_band(labels, scores, both) is not None
    assert roc_band(labels, scores, np.r_[np.zeros(60, int), np.arange(60)]) is None, "normals of one patient"
    two = roc_band(labels, scores, np.r_[np.arange(60) % 2, np.arange(60)])  # draws without these two have no normals
    assert two is not None
    assert (~np.isnan(two.low)).mean() > 0.5


def test_where_every_draw_is_equal_there_is_a_gap_and_no_certainty() -> None:
    band = roc_band(*toy(100, shift=2.0))
    assert band is not None
    assert np.isnan(band.low).any()
    assert (np.isnan(band.low) == np.isnan(band.high)).all()
    assert not (band.low == band.high).any()


def test_the_roc_band_covers_the_true_curve_in_nineteen_of_twenty_samples() -> None:
    # two unit Gaussians one apart: the true sensitivity at FPR 0.2 is Phi(Phi^-1(0.2) + 1) = 0.5629
    covered = 0
    for seed in range(100):
        band = roc_band(*toy(200, seed=seed), draws=200)
        assert band is not None
        covered += int(band.low[40] <= 0.5629 <= band.high[40])
    assert 88 <= covered <= 100


def test_bands_equal_those_of_draws_made_by_hand() -> None:
    labels, scores = toy(100)
    band = pr_band(labels, scores, draws=4000)
    assert band is not None
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(4000):
        rows = np.concatenate([rng.choice(np.flatnonzero(labels == label), 50) for label in (0, 1)])
        recall, precision, _ = metrics.pr_curve(labels[rows], scores[rows])
        drawn.append(precision[np.flatnonzero(recall >= 0.5 - 1e-12)[0]])
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert abs(band.low[100] - low) < 0.02
    assert abs(band.high[100] - high) < 0.02


def test_copies_of_an_image_under_one_patient_add_no_certainty() -> None:
    labels, scores = toy(60)
    once = roc_band(labels, scores, draws=200)
    patients = np.repeat([f"p{i:03d}" for i in range(60)], 5)
    copied = roc_band(np.repeat(labels, 5), np.repeat(scores, 5), patients, draws=200)
    assert once is not None
    assert copied is not None
    np.testing.assert_allclose(copied.low, once.low)
    np.testing.assert_allclose(copied.high, once.high)


def test_the_same_seed_gives_the_same_band_and_another_seed_another_one() -> None:
    labels, scores = toy()
    first, again, other = (pr_band(labels, scores, draws=100, seed=seed) for seed in (3, 3, 4))
    assert first is not None
    assert again is not None
    assert other is not None
    assert np.array_equal(first.low, again.low, equal_nan=True)
    assert not np.array_equal(first.low, other.low, equal_nan=True)


def test_patients_of_another_number_are_refused() -> None:
    with pytest.raises(ScoresError, match=r"groups: expected shape \(4,\), one per image, got \(3,\)"):
        roc_band(np.array([0, 0, 1, 1]), np.arange(4.0), groups=["a", "b", "c"])


def test_there_is_no_band_where_the_data_cannot_tell_the_spread() -> None:
    assert roc_band(np.array([0, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.15])) is None  # one abnormal image
    assert roc_band(*toy(40, shift=100.0)) is None  # perfect separation: every draw is the same
    one_patient = ["a"] * 20 + [f"b{i}" for i in range(20)]
    assert pr_band(*toy(40), groups=one_patient) is None
