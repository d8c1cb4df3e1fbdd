from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as Reference

from normoscope.errors import OptionError, TooFewImagesError
from normoscope.images import as_images
from normoscope.methods.pca import PCA
from normoscope.types import Run
from toys import draw_blobs


@pytest.mark.parametrize(("count", "side"), [(200, 8), (40, 28)])
@pytest.mark.parametrize("latent_dim", [1, 5, 20])
def test_residuals_agree_with_scikit_learn(count: int, side: int, latent_dim: int) -> None:
    rng = np.random.default_rng(0)
    train, test = rng.random((count, 1, side, side)), rng.random((30, 1, side, side))
    detector = PCA(latent_dim=latent_dim).fit(as_images(train), Run())
    reference = Reference(latent_dim, svd_solver="full").fit(train.reshape(count, -1))
    flat = test.reshape(30, -1)
    residual = flat - reference.inverse_transform(reference.transform(flat))
    images = torch.from_numpy(test).float()
    np.testing.assert_allclose(detector.anomaly_score(images).numpy(), (residual**2).mean(1), rtol=1e-4)
    np.testing.assert_allclose(detector.anomaly_map(images).flatten(1).numpy(), residual**2, atol=1e-5)
    np.testing.assert_allclose(
        np.abs(detector.embed(images).numpy()), np.abs(reference.transform(flat)), rtol=1e-3, atol=1e-4
    )


def test_components_are_orthonormal_however_few_the_normals_can_span() -> None:
    detector = PCA(latent_dim=32).fit(as_images(draw_blobs(9, seed=0)), Run())
    assert detector.components.shape == (8, 784)
    np.testing.assert_allclose((detector.components @ detector.components.T).numpy(), np.eye(8), atol=1e-5)


def test_training_images_within_the_span_have_no_residual() -> None:
    train = draw_blobs(9, seed=0)
    assert PCA(latent_dim=8).fit(as_images(train), Run()).anomaly_score(train).max() < 1e-10


def test_equal_training_images_leave_a_finite_detector() -> None:
    detector = PCA().fit(as_images(np.full((5, 8, 8), 0.5)), Run())
    assert torch.isfinite(detector.components).all()
    scores = detector.anomaly_score(torch.tensor([0.5, 0.7])[:, None, None, None].expand(2, 1, 8, 8))
    assert scores.tolist() == pytest.approx([0, 0.04], abs=1e-6)


def test_too_few_images_and_no_components_are_refused() -> None:
    with pytest.raises(TooFewImagesError, match="train: 2 images needed, 1 given"):
        PCA().fit(as_images(draw_blobs(1, seed=0)), Run())
    with pytest.raises(OptionError, match="pca --latent-dim: expected at least 1, got 0"):
        PCA(latent_dim=0)


def test_as_many_components_as_values_are_refused_for_nothing_would_be_left() -> None:
    rows = as_images(np.random.default_rng(0).random((50, 1, 1, 8)))
    with pytest.raises(OptionError, match="pca --latent-dim: expected fewer than the 8 values of an image, got 32"):
        PCA().fit(rows, Run())
    assert PCA(latent_dim=7).fit(rows, Run()).anomaly_score(rows.batch([0])).item() > 1e-6


def test_an_image_scores_alone_as_it_does_among_others() -> None:
    detector = PCA(latent_dim=5).fit(as_images(draw_blobs(60, seed=0)), Run())
    images = draw_blobs(60, seed=1)
    together = detector.anomaly_score(images)
    assert torch.equal(torch.cat([detector.anomaly_score(image[None]) for image in images]), together)
    assert torch.equal(torch.cat([detector.anomaly_score(some) for some in images.split(7)]), together)
