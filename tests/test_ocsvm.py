from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.svm import OneClassSVM

from normoscope.errors import OptionError, TooFewImagesError
from normoscope.images import as_images
from normoscope.methods.ocsvm import OCSVM
from normoscope.types import Run
from toys import draw_blobs


@pytest.mark.parametrize("nu", [0.05, 0.1, 0.5])
def test_scores_are_scikit_learns_decision_function_negated(nu: float) -> None:
    train, test = draw_blobs(150, seed=0), torch.cat([draw_blobs(20, seed=1), draw_blobs(20, seed=2, bright=True)])
    detector = OCSVM(nu=nu).fit(as_images(train), Run())
    reference = OneClassSVM(nu=nu, gamma="scale").fit(train.flatten(1).double().numpy())
    expected = -reference.decision_function(test.flatten(1).double().numpy())
    np.testing.assert_allclose(detector.anomaly_score(test).numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("nu", [0.05, 0.1, 0.3])
def test_nu_bounds_outliers_from_above_and_support_vectors_from_below(nu: float) -> None:
    train = draw_blobs(200, seed=0)
    detector = OCSVM(nu=nu).fit(as_images(train), Run())
    outside = np.mean(detector.anomaly_score(train).numpy() > 1e-4)
    assert outside <= nu <= len(detector.machine.vectors) / 200
    assert outside > nu / 3


def test_the_kernel_width_can_be_chosen() -> None:
    train = draw_blobs(50, seed=0)
    detector = OCSVM(kernel_width=0.25).fit(as_images(train), Run())
    reference = OneClassSVM(nu=0.1, gamma=0.25).fit(train.flatten(1).double().numpy())
    expected = -reference.decision_function(train.flatten(1).double().numpy())
    np.testing.assert_allclose(detector.anomaly_score(train).numpy(), expected, atol=1e-5)


def test_equal_training_images_leave_finite_scores() -> None:
    detector = OCSVM().fit(as_images(np.full((5, 8, 8), 0.5)), Run())
    assert torch.isfinite(detector.anomaly_score(torch.rand(3, 1, 8, 8))).all()


def test_options_out_of_range_and_a_single_image_are_refused() -> None:
    for nu in (0.0, 1.1, float("nan")):
        with pytest.raises(OptionError, match=r"ocsvm --nu: expected a share in \(0, 1\]"):
            OCSVM(nu=nu)
    with pytest.raises(OptionError, match=r"ocsvm --kernel-width: expected 0 \(automatic\) or a number above it"):
        OCSVM(kernel_width=-1.0)
    with pytest.raises(TooFewImagesError, match="train: 2 images needed, 1 given"):
        OCSVM().fit(as_images(draw_blobs(1, seed=0)), Run())
