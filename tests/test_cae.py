"""The convolutional autoencoder as a method."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from normoscope.errors import DamagedModelError, OptionError
from normoscope.images import PixelStore
from normoscope.methods.cae import CAE
from normoscope.types import Run

RUN = Run(device="cpu", precision="float32")
SMALL = CAE(latent_dim=8, channels=(8, 16), epochs=60, batch_size=8, learning_rate=3e-3)


def blobs(count: int, seed: int) -> np.ndarray:
    """One soft round blob somewhere in 20x20, uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:20, :20]
    centers = rng.uniform(6, 14, (count, 2, 1, 1))
    distance = (y - centers[:, 0]) ** 2 + (x - centers[:, 1]) ** 2
    return (np.exp(-distance / 18) * 220).astype(np.uint8)[:, None]


def with_squares(images: np.ndarray) -> np.ndarray:
    """The same with a bright 4x4 square in a corner."""
    changed = images.copy()
    changed[:, :, 1:5, 1:5] = 255
    return changed


@pytest.fixture(scope="module")
def fitted() -> object:
    return SMALL.fit(PixelStore(blobs(96, 0)), RUN)


def test_a_planted_square_scores_higher_and_the_map_points_at_it(fitted) -> None:
    clean, planted = blobs(40, 1), with_squares(blobs(40, 1))
    images = [PixelStore(x).batch(np.arange(40)) for x in (clean, planted)]
    scores = [fitted.anomaly_score(x) for x in images]
    assert float(scores[1].min()) > float(scores[0].max())
    inside = fitted.anomaly_map(images[1])[:, 1:5, 1:5].mean((1, 2))
    assert torch.all(inside > 10 * fitted.anomaly_map(images[1])[:, 8:, 8:].mean((1, 2)))


def test_training_halves_the_loss_at_least_thrice(fitted) -> None:
    losses = [epoch.losses[0] for epoch in fitted.history.epochs]
    assert len(losses) == 60
    assert losses[-1] < losses[0] / 8
    assert fitted.history.warnings == []


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_saved_and_restored_it_scores_the_same_bits(precision: str) -> None:
    recipe = replace(SMALL, epochs=2)
    detector = recipe.fit(PixelStore(blobs(40, 0)), Run(device="cpu", precision=precision))
    images = PixelStore(blobs(30, 2)).batch(np.arange(30))
    again = recipe.restore(detector.state())
    assert torch.equal(again.anomaly_score(images), detector.anomaly_score(images))
    assert torch.equal(again.to(Run(device="cpu")).anomaly_score(images), detector.anomaly_score(images))
    assert again.history.epochs == []


def test_bf16_scores_are_those_of_float32_within_rounding(fitted) -> None:
    images = PixelStore(with_squares(blobs(30, 2))).batch(np.arange(30))
    exact = fitted.anomaly_score(images)
    rounded = SMALL.restore(fitted.state()).to(Run(device="cpu", precision="bf16")).anomaly_score(images)
    torch.testing.assert_close(rounded, exact, rtol=0.03, atol=1e-4)


def test_weights_of_another_recipe_are_refused(fitted) -> None:
    with pytest.raises(DamagedModelError, match=r"weights: they do not fit the recipe \(.*to_latent"):
        replace(SMALL, latent_dim=9).restore(fitted.state())
    with pytest.raises(DamagedModelError, match="weights: the image shape is missing"):
        SMALL.restore({"network.to_latent.bias": torch.zeros(8)})


def test_a_network_that_shows_every_image_the_same_is_reported() -> None:
    stuck = replace(SMALL, epochs=1, learning_rate=1e-9).fit(PixelStore(blobs(40, 0)), RUN)
    assert any("collapsed" in sentence for sentence in stuck.history.warnings)


def test_values_out_of_range_are_refused_by_name() -> None:
    with pytest.raises(OptionError, match="cae --latent-dim: expected at least 1, got 0"):
        CAE(latent_dim=0)
    with pytest.raises(OptionError, match="epochs: expected at least 1, got 0"):
        CAE(epochs=0)


@pytest.mark.slow
def test_trained_on_handwritten_zeros_it_knows_other_digits(real_data: Callable[[str], Path]) -> None:
    def read(name: str, header: int) -> np.ndarray:
        return np.frombuffer(gzip.decompress(real_data(f"mnist/{name}.gz").read_bytes()), np.uint8, offset=header)

    images = read("t10k-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
    labels = read("t10k-labels-idx1-ubyte", 8)
    zeros, others = images[labels == 0], images[labels != 0][:500]
    recipe = CAE(**CAE.quick)
    detector = recipe.fit(PixelStore(zeros[:600]), Run(device="cpu"))
    tested = PixelStore(np.concatenate([zeros[600:], others]))
    scores = detector.anomaly_score(tested.batch(np.arange(len(tested))))
    truth = np.r_[np.zeros(len(zeros) - 600), np.ones(len(others))]
    assert roc_auc_score(truth, scores.numpy()) > 0.95
