"""C-OCSVM: cae's code, and a one-class machine around it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.svm import OneClassSVM

from interruptions import fit_with_interruptions, undisturbed
from normoscope.errors import DamagedModelError, OptionError, TooFewImagesError
from normoscope.images import as_images
from normoscope.methods.cocsvm import COCSVM
from normoscope.types import Run
from toys import draw_blobs

RUN = Run(device="cpu", precision="float32")
SMALL = COCSVM(latent_dim=6, channels=(6, 8), epochs=4, batch_size=32, learning_rate=3e-3)


@pytest.mark.parametrize(("nu", "width"), [(0.05, 0.0), (0.1, 0.5), (0.5, 0.0)])
def test_scores_are_scikit_learns_decision_function_on_the_code_negated(nu: float, width: float) -> None:
    train, test = draw_blobs(150, seed=0), torch.cat([draw_blobs(20, seed=1), draw_blobs(20, seed=2, bright=True)])
    detector = replace(SMALL, nu=nu, kernel_width=width).fit(as_images(train), RUN)
    reference = OneClassSVM(nu=nu, gamma=width or "scale").fit(detector.embed(train).double().numpy())
    expected = -reference.decision_function(detector.embed(test).double().numpy())
    np.testing.assert_allclose(detector.anomaly_score(test).numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("nu", [0.05, 0.1, 0.3])
def test_nu_bounds_outliers_from_above_and_support_vectors_from_below(nu: float) -> None:
    train = draw_blobs(200, seed=0)
    detector = replace(SMALL, nu=nu).fit(as_images(train), RUN)
    outside = np.mean(detector.anomaly_score(train).numpy() > 1e-4)
    assert outside <= nu <= len(detector.machine.vectors) / 200
    assert outside > nu / 3


def test_dual_variables_are_a_weighting_of_the_codes_none_heavier_than_allowed() -> None:
    detector = SMALL.fit(as_images(draw_blobs(200, seed=0)), RUN)
    coefficients = detector.machine.coefficients
    assert float(coefficients.min()) > 0
    assert float(coefficients.max()) <= 1 + 1e-9  # libsvm's scale: the upper bound is 1, the sum nu n
    assert float(coefficients.sum()) == pytest.approx(0.1 * 200, rel=1e-6)


def test_the_code_is_that_of_cae_bit_for_bit() -> None:
    normals, test = as_images(draw_blobs(60, seed=1)), draw_blobs(9, seed=2)
    assert torch.equal(SMALL.fit(normals, RUN).embed(test), SMALL.autoencoder.fit(normals, RUN).embed(test))


def test_stopped_again_and_again_it_ends_with_the_same_scores(tmp_path: Path) -> None:
    normals, test = as_images(draw_blobs(64, seed=1)), draw_blobs(20, seed=2)
    detector, stopped = fit_with_interruptions(SMALL, normals, tmp_path, batches=5)
    assert stopped >= 2
    assert torch.equal(detector.anomaly_score(test), undisturbed(SMALL, normals).anomaly_score(test))


def test_another_nu_goes_on_from_the_same_trained_autoencoder(tmp_path: Path) -> None:
    normals = as_images(draw_blobs(60, seed=1))
    run = RUN.replace(checkpoint=tmp_path, resume=True)
    first = SMALL.fit(normals, run)
    written = (tmp_path / "training.safetensors").stat().st_mtime_ns
    second = replace(SMALL, nu=0.4).fit(normals, run)
    assert (tmp_path / "training.safetensors").stat().st_mtime_ns == written
    assert len(second.machine.vectors) > len(first.machine.vectors)


def test_a_state_without_its_machine_is_damaged() -> None:
    state = SMALL.fit(as_images(draw_blobs(40, seed=1)), RUN).state()
    del state["offset"]
    with pytest.raises(DamagedModelError, match="weights: of the support vectors, offset is missing"):
        SMALL.restore(state)


def test_options_out_of_range_and_a_single_image_are_refused() -> None:
    with pytest.raises(OptionError, match=r"cocsvm --nu: expected a share in \(0, 1\]"):
        COCSVM(nu=0.0)
    with pytest.raises(OptionError, match=r"cocsvm --kernel-width: expected 0 \(automatic\) or a number above it"):
        COCSVM(kernel_width=-1.0)
    with pytest.raises(OptionError, match="cocsvm --latent-dim: expected at least 1, got 0"):
        COCSVM(latent_dim=0)
    with pytest.raises(TooFewImagesError, match="train: 2 images needed, 1 given"):
        SMALL.fit(as_images(draw_blobs(1, seed=0)), RUN)
