"""Bits above the noise against parallel channels, laws of scale, and simulation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from normoscope.entropy import half_log_det, shortfall
from normoscope.estimates import Estimate
from normoscope.information import gaussian_information, information_by_dimension, knn_information
from toys import normal, turned

Law = Callable[..., Estimate]


@pytest.mark.parametrize("estimate", [gaussian_information, knn_information])
def test_information_of_normal_latents_is_that_of_parallel_channels(estimate: Law) -> None:
    deviations, sigma = np.array([2.0, 1.0, 0.5, 0.1]), 0.3
    truth = 0.5 * np.sum(np.log2(1 + (deviations / sigma) ** 2))
    assert estimate(turned(normal(3000, 4) * deviations), sigma).value == pytest.approx(truth, abs=0.15)


@pytest.mark.parametrize("estimate", [gaussian_information, knn_information])
def test_information_does_not_change_when_latents_and_noise_are_scaled_together(estimate: Law) -> None:
    latents = normal(200, 3) * [3, 1, 0.2]
    once, scaled = estimate(latents, 0.3), estimate(1e4 * latents, 0.3e4)
    assert [scaled.value, scaled.low, scaled.high] == pytest.approx([once.value, once.low, once.high], abs=1e-8)


def test_idle_dimensions_carry_no_information_and_ask_for_no_images() -> None:
    latents = normal(60, 4)
    padded = np.concatenate([latents, np.zeros((60, 124))], axis=1)
    assert gaussian_information(padded, 0.1).value == pytest.approx(gaussian_information(latents, 0.1).value, abs=1e-8)
    assert "60 images for 5" in str(gaussian_information(normal(60, 128), 0.1))
    assert gaussian_information(np.ones((30, 4)), 0.1).value == pytest.approx(0, abs=1e-9)


def test_the_information_of_nearly_as_few_images_as_are_enough_has_no_bias_and_its_interval_holds_it() -> None:
    truth = 32 * 0.5 * math.log2(1 + 1 / 0.05**2)
    found = [gaussian_information(normal(64, 32, seed), 0.05) for seed in range(100)]
    assert np.mean([one.value for one in found]) == pytest.approx(truth, abs=0.25)  # 3 standard errors
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.9


def test_information_is_never_below_nothing_and_its_interval_never_of_rounding() -> None:
    nothing = gaussian_information(np.ones((30, 3)), 0.3)
    assert (nothing.value, math.isnan(nothing.low)) == (0, True)
    assert math.isnan(gaussian_information(np.repeat([[0.0], [1.0]], 20, axis=0), 0.3).low)
    assert gaussian_information([[0.0], [0.0], [1.0]], 1e-9).reason == "one image alone spans a dimension"
    assert gaussian_information(normal(30, 2), 1e-170).reason is not None
    assert min(one.low for one in information_by_dimension(normal(20, 30) * 1e-3, 0.3)) >= 0


def test_information_has_no_bias_where_the_plain_log_determinant_has() -> None:
    deviations, sigma = 1 / np.arange(1, 17), 0.03
    truth = 0.5 * np.sum(np.log2(1 + (deviations / sigma) ** 2))
    samples = [normal(64, 16, seed) * deviations for seed in range(200)]
    ours = np.mean([gaussian_information(sample, sigma).value for sample in samples])
    plain = np.mean([np.linalg.slogdet(np.eye(16) + np.cov(s.T) / sigma**2)[1] / 2 / math.log(2) for s in samples])
    assert ours == pytest.approx(truth, abs=0.2)
    assert plain < truth - 0.8


def test_information_along_coordinates_adds_up_where_they_are_independent_and_exceeds_where_they_are_not() -> None:
    latents = normal(2000, 3) * [2, 1, 0.5]
    along = [each.value for each in information_by_dimension(latents, 0.3)]
    assert along == pytest.approx([0.5 * math.log2(1 + (s / 0.3) ** 2) for s in (2, 1, 0.5)], abs=0.05)
    assert sum(along) == pytest.approx(gaussian_information(latents, 0.3).value, abs=0.02)
    copied = np.repeat(latents[:, :1], 2, axis=1)
    doubled = sum(each.value for each in information_by_dimension(copied, 0.3))
    assert doubled > gaussian_information(copied, 0.3).value + 2


def test_pseudo_values_are_those_of_leaving_each_image_out() -> None:
    latents, sigma = normal(12, 3), 0.5

    def plain(rows: np.ndarray) -> float:
        return float(np.linalg.slogdet(np.eye(3) + np.cov(rows.T) / sigma**2)[1] / 2 / math.log(2))

    without = np.array([plain(np.delete(latents, i, axis=0)) for i in range(12)])
    whole, terms = half_log_det(latents / sigma, 1.0)
    assert whole / math.log(2) == pytest.approx(plain(latents), abs=1e-9)
    np.testing.assert_allclose(terms / math.log(2), 12 * plain(latents) - 11 * without, atol=1e-9)


def test_the_shortfall_of_a_log_determinant_is_that_of_simulated_covariances() -> None:
    halves = [0.5 * np.linalg.slogdet(np.cov(normal(20, 5, seed).T))[1] for seed in range(2000)]
    assert shortfall(20, 5) == pytest.approx(-np.mean(halves), abs=0.05)  # 3 standard errors
    assert shortfall(20, 4.25) == pytest.approx(0.75 * shortfall(20, 4) + 0.25 * shortfall(20, 5))
    assert shortfall(20, 0) == 0
