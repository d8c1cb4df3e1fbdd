from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch

from normoscope.features import bytes_statistic, contrast_statistic, gradient_statistic
from normoscope.images import as_images
from normoscope.methods.trivial import Direction, Statistic, Trivial
from normoscope.types import Run

STRIPES = torch.tensor([0.0, 1.0]).repeat(4).expand(1, 1, 8, 8)


def test_the_statistics_by_hand() -> None:
    image = torch.tensor([[[[0.0, 0.5], [1.0, 0.5]]]])
    assert contrast_statistic(image).item() == pytest.approx((0.125) ** 0.5)
    assert gradient_statistic(image).item() == pytest.approx((0.25 + 0.25) / 2 + (1.0 + 0.0) / 2)
    assert gradient_statistic(STRIPES).item() == 1.0
    assert bytes_statistic(STRIPES).item() == len(zlib.compress(np.tile(np.uint8([0, 255]), 32).tobytes(), 6))


def contrasts(*values: float) -> torch.Tensor:
    """Stripes whose standard deviation is each value."""
    return torch.cat([0.5 + (STRIPES - 0.5) * 2 * value for value in values])


def test_the_score_is_the_deviation_from_the_median_in_mad_units() -> None:
    # median 0.3; absolute deviations 0.2, 0.1, 0, 0.1, 0.2 and their median 0.1
    normals = as_images(contrasts(0.1, 0.2, 0.3, 0.4, 0.5).numpy())
    images = contrasts(0.05, 0.3, 0.5)
    scores = {d: Trivial(Statistic.CONTRAST, d).fit(normals, Run()).anomaly_score(images).numpy() for d in Direction}
    np.testing.assert_allclose(scores[Direction.TWO_SIDED], [2.5, 0, 2], atol=1e-5)
    np.testing.assert_allclose(scores[Direction.HIGH], [-2.5, 0, 2], atol=1e-5)
    np.testing.assert_allclose(scores[Direction.LOW], [2.5, 0, -2], atol=1e-5)


def test_equal_normals_leave_deviations_in_their_own_units() -> None:
    detector = Trivial(Statistic.CONTRAST).fit(as_images(contrasts(0.3, 0.3, 0.3).numpy()), Run())
    np.testing.assert_allclose(detector.anomaly_score(contrasts(0.3, 0.45)).numpy(), [0, 0.15], atol=1e-6)
