"""The variational autoencoder: its divergence, what it decodes, and its gradient scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from normoscope.errors import OptionError
from normoscope.images import PixelStore
from normoscope.methods.vae import VAE, divergence
from normoscope.scoring import Term
from normoscope.types import Run

RUN = Run(device="cpu", precision="float32")
SMALL = VAE(latent_dim=4, width=4, hidden=16, epochs=4, batch_size=16)


def pixels(count: int, seed: int) -> PixelStore:
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 1, 16)[:, None] * rng.uniform(0.2, 1, (count, 1, 1, 1)) * np.ones(16)
    return PixelStore((slope * 255).astype(np.uint8))


def test_the_divergence_is_that_of_torch_distributions_averaged_over_dimensions() -> None:
    mean, log_variance = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).mean(1)
    torch.testing.assert_close(divergence(mean, log_variance), expected)
    assert divergence(torch.zeros(1, 3), torch.zeros(1, 3)).item() == 0


def test_the_objective_is_the_error_on_the_scale_of_minus_one_to_one_and_the_weighted_divergence() -> None:
    images, redrawn, kl = torch.rand(3, 1, 4, 4), torch.rand(3, 1, 4, 4), torch.tensor([0.0, 1.0, 2.0])
    expected = 4 * ((images - redrawn) ** 2).mean((1, 2, 3)) + 0.5 * kl
    torch.testing.assert_close(replace(SMALL, kl_weight=0.5).objective(images, redrawn, kl), expected)


def test_the_divergence_draws_latent_vectors_towards_the_standard_normal() -> None:
    normals = pixels(48, 1)
    batch = normals.batch(np.arange(48))
    spread = {}
    for weight in (0.0, 10.0):
        network = replace(SMALL, kl_weight=weight, epochs=30).fit(normals, RUN).network
        with torch.no_grad():
            spread[weight] = float(divergence(*network.moments(batch)).mean())
    assert spread[10.0] < spread[0.0] / 10


def test_scoring_decodes_the_mean_and_sampled_decodes_one_fixed_noise() -> None:
    normals = pixels(32, 1)
    batch = normals.batch(np.arange(5))
    for sampled in (False, True):
        detector = replace(SMALL, sampled=sampled).fit(normals, RUN)
        network = detector.network
        assert bool(network.noise.abs().sum() > 0) == sampled
        with torch.no_grad():
            mean, log_variance = network.moments(batch)
            expected = network.decode(mean + network.noise * (0.5 * log_variance).exp())
        torch.testing.assert_close(detector.reconstruct(batch), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(detector.embed(batch), mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("term", list(Term))
def test_each_loss_gradient_is_the_difference_quotient_of_its_term(term: Term) -> None:
    detector = SMALL.fit(pixels(32, 1), RUN)
    image = pixels(3, 5).batch(np.arange(1))
    gradient = detector.loss_gradient(image, term)
    loss, step = detector.losses()[term], 1e-3 * gradient.sign()
    with torch.no_grad():
        quotient = float(loss(image + step) - loss(image - step)) / 2e-3
    assert quotient == pytest.approx(float(gradient.abs().sum()), rel=0.05)


def test_values_out_of_range_are_refused_by_name() -> None:
    with pytest.raises(OptionError, match="vae --kl-weight: expected a number of at least 0, got -1"):
        VAE(kl_weight=-1)
