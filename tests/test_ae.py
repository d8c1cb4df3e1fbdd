"""The benchmark autoencoder: its published size, any image size, its losses, and the uncertain form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import norm

from normoscope.errors import OptionError, TooFewImagesError
from normoscope.images import PixelStore
from normoscope.methods.ae import AE, PixelLoss
from normoscope.methods.aeu import AEU, UncertainAutoencoder
from normoscope.nn.benchmark import BenchmarkAutoencoder
from normoscope.scoring import ssim_map
from normoscope.types import Run

RUN = Run(device="cpu", precision="float32")
SMALL = AE(latent_dim=4, width=4, hidden=16, epochs=2, batch_size=16)


def noise(count: int, seed: int = 0, side: int = 16) -> PixelStore:
    return PixelStore(np.random.default_rng(seed).integers(0, 256, (count, 1, side, side), dtype=np.uint8))


@pytest.mark.parametrize(("side", "published"), [(64, 2_351_184), (128, 8_645_712)])
def test_it_has_as_many_parameters_as_published(side: int, published: int) -> None:
    assert sum(p.numel() for p in BenchmarkAutoencoder((1, side, side)).parameters()) == published


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 33, 47), (1, 16, 100)])
@pytest.mark.parametrize("spatial", [False, True])
def test_any_size_comes_back_as_it_went_in(shape: tuple[int, int, int], spatial: bool) -> None:
    network = BenchmarkAutoencoder(shape, 3, 2, 8, spatial=spatial).eval()
    images = torch.rand(2, *shape)
    latent = network.encode(images)
    cells = -(-shape[1] // 16) * -(-shape[2] // 16) if spatial else 1
    assert latent.shape == (2, 3 * cells)
    assert network.decode(latent).shape == images.shape


def test_padding_is_cropped_from_where_it_was_put() -> None:
    wide, narrow = BenchmarkAutoencoder((1, 32, 32), 3, 2, 8).eval(), BenchmarkAutoencoder((1, 28, 28), 3, 2, 8).eval()
    narrow.load_state_dict(wide.state_dict())
    image = torch.rand(1, 1, 28, 28)
    padded = torch.nn.functional.pad(image, [2, 2, 2, 2], mode="replicate")
    with torch.no_grad():
        torch.testing.assert_close(narrow(image), wide(padded)[:, :, 2:30, 2:30])


def test_losses_are_those_of_the_benchmark() -> None:
    a, b = torch.rand(2, 3, 2, 9, 9)
    torch.testing.assert_close(PixelLoss.L2(a, b), (((2 * a - 1) - (2 * b - 1)) ** 2).mean(1))
    torch.testing.assert_close(PixelLoss.L1(a, b), ((2 * a - 1) - (2 * b - 1)).abs().mean(1))
    torch.testing.assert_close(PixelLoss.SSIM(a, b), 1 - ssim_map(a, b, 1.5).mean(1))


@pytest.mark.parametrize("loss", list(PixelLoss))
def test_it_scores_by_the_loss_it_was_trained_with(loss: PixelLoss) -> None:
    detector = replace(SMALL, loss=loss).fit(noise(40), RUN)
    images = noise(5, 1).batch(np.arange(5))
    maps = loss(images, detector.reconstruct(images))
    torch.testing.assert_close(detector.anomaly_map(images), maps, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(detector.anomaly_score(images), maps.mean((1, 2)), rtol=1e-4, atol=1e-5)


def test_a_last_batch_of_one_joins_the_one_before_it_and_one_normal_is_too_few() -> None:
    assert len(SMALL.fit(noise(33), RUN).history.epochs) == 2
    with pytest.raises(TooFewImagesError, match="train: 2 images needed, 1 given"):
        SMALL.fit(noise(1), RUN)


def test_values_out_of_range_are_refused_by_name() -> None:
    with pytest.raises(OptionError, match="ae --hidden: expected at least 1, got 0"):
        AE(hidden=0)
    with pytest.raises(OptionError, match="batch size: expected at least 2, got 1"):
        AE(batch_size=1)


def test_the_uncertain_loss_is_twice_the_gaussian_negative_log_likelihood_up_to_a_constant() -> None:
    torch.manual_seed(0)
    network = UncertainAutoencoder((2, 16, 16), 4, 4, 16, outputs=2).eval()
    images = torch.rand(3, 2, 16, 16)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)  # as drawn, the log-variance is almost zero everywhere
        assert network.weighted_error(images)[1].abs().mean() > 0.1
        log_variance = network.weighted_error(images)[1]
        residual = 2 * (images - network(images))
        loss = AEU().objective(network, images)
    density = norm(0, np.exp(0.5 * log_variance.numpy())).logpdf(residual.numpy())
    np.testing.assert_allclose(loss, (-2 * density - np.log(2 * np.pi)).mean((1, 2, 3)), rtol=1e-4, atol=1e-4)


def test_the_uncertain_score_counts_an_error_less_where_normals_are_hard() -> None:
    rng = np.random.default_rng(0)
    pixels = np.full((64, 1, 16, 16), 128, np.uint8)
    pixels[:, :, :8] = rng.integers(0, 256, (64, 1, 8, 16))
    recipe = AEU(latent_dim=2, width=4, hidden=16, epochs=150, batch_size=32, learning_rate=3e-3)
    detector = recipe.fit(PixelStore(pixels), RUN)
    image = PixelStore(pixels[:1]).batch(np.arange(1))
    top, bottom = image.clone(), image.clone()
    top[:, :, 4] = 1.0
    bottom[:, :, 12] = 1.0
    assert float(detector.anomaly_score(bottom) / detector.anomaly_score(top)) > 5
