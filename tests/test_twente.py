"""The pooled autoencoder: its layer sizes, its parameters and its cross-entropy."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from normoscope.errors import OptionError
from normoscope.images import PixelStore, as_images
from normoscope.methods.twente import PixelError, PooledAutoencoder, Twente
from normoscope.types import Run
from toys import draw_blobs

RUN = Run(device="cpu", precision="float32")
SMALL = Twente(epochs=2, batch_size=20)


@pytest.fixture
def network() -> PooledAutoencoder:
    torch.manual_seed(0)
    return PooledAutoencoder((1, 28, 28))


def test_it_has_the_4385_parameters_of_the_tutorials_network(network: PooledAutoencoder) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) == 4385
    sizes = [tuple(layer.weight.shape[:2]) for layer in (*network.down, network.middle, *network.up)]
    assert sizes == [(16, 1), (8, 16), (8, 8), (8, 8), (8, 8), (16, 8), (1, 16)]


def test_28_pixels_go_14_7_4_and_back_over_8_16_14_to_28(network: PooledAutoencoder) -> None:
    batch = draw_blobs(3, seed=0)
    grids, hidden = [], batch
    for layer in network.down:
        hidden = F.conv2d(hidden, layer.weight, layer.bias, padding=1).relu()
        odd = hidden.shape[-1] % 2
        hidden = F.max_pool2d(F.pad(hidden, (0, odd, 0, odd), value=-math.inf), 2)
        grids.append(hidden.shape[-1])
    torch.testing.assert_close(network.encode(batch), hidden.flatten(1))
    assert network.encode(batch).shape == (3, 128)
    for layer, padding in zip((network.middle, *network.up), (1, 1, 0, 1), strict=True):
        hidden = F.conv2d(hidden, layer.weight, layer.bias, padding=padding)
        if layer is not network.up[-1]:
            hidden = F.interpolate(hidden.relu(), scale_factor=2, mode="nearest")
        grids.append(hidden.shape[-1])
    assert grids == [14, 7, 4, 8, 16, 28, 28]
    torch.testing.assert_close(network.logits(batch), hidden, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network(batch), hidden.sigmoid(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 29, 41), (1, 1, 1), (2, 8, 3), (1, 30, 26)])
def test_any_size_comes_back_as_it_was(shape: tuple[int, int, int]) -> None:
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    network = PooledAutoencoder(shape)
    assert network(images).shape == images.shape
    assert network.encode(images).shape == (2, 8 * math.ceil(shape[1] / 8) * math.ceil(shape[2] / 8))


def test_weights_start_as_keras_draws_them() -> None:
    torch.manual_seed(0)
    layer = PooledAutoencoder((1, 28, 28)).down[1]
    bound = math.sqrt(6 / (9 * 16 + 9 * 8))
    assert 0.95 * bound < float(layer.weight.detach().abs().max()) <= bound
    assert not layer.bias.any()


def test_cross_entropy_is_equation_1_and_squared_error_its_name() -> None:
    generator = torch.Generator().manual_seed(0)
    images, logits = torch.rand(2, 2, 3, 3, generator=generator), 4 * torch.randn(2, 2, 3, 3, generator=generator)
    shown = logits.double().sigmoid()
    by_torch = F.binary_cross_entropy(shown, images.double(), reduction="none").mean(1)
    torch.testing.assert_close(PixelError.BCE(images, logits), by_torch.float())
    y, p = images[1, :, 2, 0].tolist(), shown[1, :, 2, 0].tolist()
    by_hand = [-(a * math.log(b) + (1 - a) * math.log(1 - b)) for a, b in zip(y, p, strict=True)]
    assert float(PixelError.BCE(images, logits)[1, 2, 0]) == pytest.approx(sum(by_hand) / 2, rel=1e-5)
    squares = [(a - b) ** 2 for a, b in zip(y, p, strict=True)]
    assert float(PixelError.MSE(images, logits)[1, 2, 0]) == pytest.approx(sum(squares) / 2, rel=1e-5)


def test_cross_entropy_of_a_perfect_reconstruction_is_the_entropy_of_the_pixels() -> None:
    images = torch.linspace(0.01, 0.99, 99).view(1, 1, 9, 11)
    entropy = -(images * images.log() + (1 - images) * (1 - images).log())
    torch.testing.assert_close(PixelError.BCE(images, images.logit())[:, None], entropy)
    assert float(PixelError.MSE(images, images.logit()).max()) < 1e-12
    grey = PixelError.BCE(images, torch.zeros_like(images))
    torch.testing.assert_close(grey, torch.full_like(grey, math.log(2)))


def test_cross_entropy_of_a_certain_and_wrong_reconstruction_is_finite_and_has_a_gradient() -> None:
    logits = torch.tensor([[[[200.0, -200.0]]]], requires_grad=True)
    error = PixelError.BCE(torch.tensor([[[[0.0, 1.0]]]]), logits)
    assert error.flatten().tolist() == [200.0, 200.0]
    error.sum().backward()
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == [1.0, -1.0]


def test_cross_entropy_is_computed_in_float32_under_autocast(network: PooledAutoencoder) -> None:
    images = draw_blobs(4, seed=0)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network.logits(images)
        error = PixelError.BCE(images, logits)
    assert logits.dtype == error.dtype == torch.float32
    assert torch.equal(error, PixelError.BCE(images, logits))


def test_training_lowers_the_cross_entropy_towards_the_entropy_of_the_pixels() -> None:
    images = draw_blobs(60, seed=1)
    floor = float(-(images * images.log() + (1 - images) * (1 - images).log()).mean())
    losses = [epoch.losses[0] for epoch in replace(SMALL, epochs=25).fit(as_images(images), RUN).history.epochs]
    assert floor < losses[-1] < losses[0]
    assert losses[-1] - floor < (losses[0] - floor) / 3


@pytest.mark.parametrize("score", list(PixelError))
def test_each_score_is_the_mean_of_its_error_and_survives_saving(score: PixelError) -> None:
    recipe = replace(SMALL, score=score)
    detector = recipe.fit(as_images(draw_blobs(40, seed=1)), RUN)
    images = draw_blobs(9, seed=2)
    shown = detector.reconstruct(images)
    expected = {PixelError.MSE: F.mse_loss, PixelError.BCE: F.binary_cross_entropy}[score](
        shown, images, reduction="none"
    )
    torch.testing.assert_close(detector.anomaly_map(images), expected[:, 0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(detector.anomaly_score(images), expected.mean((1, 2, 3)), rtol=1e-4, atol=1e-6)
    assert torch.equal(recipe.restore(detector.state()).anomaly_score(images), detector.anomaly_score(images))


def test_both_scores_come_of_one_training() -> None:
    normals = PixelStore((draw_blobs(40, seed=1).numpy() * 255).astype(np.uint8))
    mse, bce = (replace(SMALL, score=score).fit(normals, RUN).state() for score in PixelError)
    assert all(torch.equal(mse[name], bce[name]) for name in mse)


def test_values_out_of_range_are_refused_by_name() -> None:
    with pytest.raises(OptionError, match="epochs: expected at least 1, got 0"):
        Twente(epochs=0)
