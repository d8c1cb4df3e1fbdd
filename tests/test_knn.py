from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

import normoscope as ns
from normoscope.errors import OptionError, TooFewImagesError
from normoscope.features import hog, hog_cell
from normoscope.images import PixelStore, as_images
from normoscope.methods.knn import KNN, Features
from normoscope.types import Run


def test_the_score_is_the_mean_distance_to_the_nearest_normals() -> None:
    train = torch.zeros(4, 1, 8, 8)
    train[1:, 0, 0, 0] = torch.tensor([0.1, 0.4, 1.0])
    detector = KNN(neighbours=2, features=Features.PIXELS).fit(as_images(train), Run())
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 0, 0] = 0.5
    assert detector.anomaly_score(image).item() == pytest.approx((0.1 + 0.4) / 2)


def test_scores_agree_with_scikit_learn_on_hog_features(normals: PixelStore, anomalies: torch.Tensor) -> None:
    detector = KNN().fit(normals, Run())
    reference = hog(normals.batch(np.arange(60)), 4).double().numpy()
    distances, _ = NearestNeighbors(n_neighbors=5).fit(reference).kneighbors(hog(anomalies, 4).double().numpy())
    np.testing.assert_allclose(detector.anomaly_score(anomalies).numpy(), distances.mean(1), rtol=1e-4)


def test_a_copy_of_a_training_image_is_at_distance_0(normals: PixelStore) -> None:
    detector = KNN(neighbours=1).fit(normals, Run())
    assert detector.anomaly_score(normals.batch(np.arange(60))).max() == 0


def test_hog_cells_are_4_pixels_at_28_and_16_at_64() -> None:
    assert (hog_cell(28), hog_cell(47), hog_cell(48), hog_cell(64), hog_cell(128)) == (4, 4, 12, 16, 32)
    # 7x7 cells make 6x6 blocks of 2x2 cells with 8 orientations
    assert hog(torch.rand(2, 1, 28, 28), 4).shape == (2, 6 * 6 * 2 * 2 * 8)
    assert hog(torch.rand(2, 1, 64, 64), 16).shape == (2, 3 * 3 * 2 * 2 * 8)
    assert hog(torch.rand(2, 3, 64, 64), 16).shape == (2, 3 * 3 * 2 * 2 * 8)


def test_options_out_of_range_are_refused_in_a_sentence(normals: PixelStore) -> None:
    with pytest.raises(OptionError, match="knn --neighbours: expected at least 1, got 0"):
        KNN(neighbours=0)
    with pytest.raises(OptionError, match=r"knn --cell: expected 0 \(automatic\) or a number of pixels, got -4"):
        KNN(cell=-4)
    with pytest.raises(OptionError, match="knn --cell: expected at most half the image side, 14 pixels, got 15"):
        KNN(cell=15).fit(normals, Run())
    with pytest.raises(TooFewImagesError, match="train: 61 images needed, 60 given; add normal images or lower"):
        KNN(neighbours=61).fit(normals, Run())


@pytest.mark.parametrize(
    ("file", "spec", "normal_class", "train", "auroc"),
    [
        ("medmnist/pneumoniamnist.npz", "medmnist:{}", "normal", 1214, 0.906),
        ("medmnist/breastmnist.npz", "medmnist:{}", "1", 399, 0.799),
        ("chest_xray/chest_xray_64.npz", "{}", "0", 1341, 0.845),
    ],
)
def test_hog_knn_reaches_its_figures_on_real_images(
    real_data: Callable[[str], Path], file: str, spec: str, normal_class: str, train: int, auroc: float
) -> None:
    samples = ns.load(spec.format(real_data(file)), normal_class=normal_class).samples
    normals = [s for s in samples if s.split == "train" and s.label == 0]
    test = [s for s in samples if s.split == "test"]
    assert len(normals) == train
    detector = KNN().fit(as_images(np.stack([s.read() for s in normals])), Run())
    images = as_images(np.stack([s.read() for s in test]))
    scores = detector.anomaly_score(images.batch(np.arange(len(images))))
    found = roc_auc_score([s.label for s in test], scores.numpy())
    print(f"{file}: AUROC {found:.4f}")
    assert found == pytest.approx(auroc, abs=0.01)
