"""The rate-distortion autoencoder: its prior against the definition and a real coder, its penalties, its scores."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import logistic
from torch import Tensor

from normoscope.errors import OptionError
from normoscope.images import PixelStore
from normoscope.methods.entropy_ae import EntropyAE, Penalty, Score
from normoscope.nn import rate
from normoscope.nn.rate import FactorisedPrior, RateAutoencoder, SquaredNorm
from normoscope.partitions import Partition
from normoscope.scoring import Term
from normoscope.types import Run

RUN = Run(device="cpu", precision="float32")
SMALL = EntropyAE(latent_dim=8, rate_weight=1e-4, width=4, hidden=32, epochs=30, batch_size=16)


def pixels(count: int, seed: int) -> PixelStore:
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 1, 16)[:, None] * rng.uniform(0.2, 1, (count, 1, 1, 1)) * np.ones(16)
    return PixelStore((slope * 255).astype(np.uint8))


@cache
def fitted(**changes: Any) -> Any:
    return replace(SMALL, **changes).fit(pixels(48, 1), RUN)


def drawn_prior(size: int, components: int = 3) -> FactorisedPrior:
    """Return a prior with numbers of an ordinary size, different everywhere."""
    prior, generator = FactorisedPrior(size, components), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter, spread in ((prior.logits, 1.0), (prior.centres, 3.0), (prior.log_scales, 0.7)):
            parameter.copy_(spread * torch.randn(size, components, generator=generator) / rate._PACE)
    return prior


def mixture(prior: FactorisedPrior, dimension: int) -> tuple[Any, Any, Any]:
    """Return weights, centres and scales of one dimension, as the class defines them."""
    held = [rate._PACE * p[dimension].detach().double().numpy() for p in prior.parameters()]
    weights = np.exp(held[0]) / np.exp(held[0]).sum()
    return weights, held[1], rate._LEAST_SCALE + np.exp(held[2])


def test_the_discretised_prior_sums_to_one_over_the_integers_in_every_dimension() -> None:
    integers = torch.arange(-300.0, 301)[:, None].expand(-1, 6)
    sums = drawn_prior(6).log2_probability(integers).double().exp2().sum(0)
    torch.testing.assert_close(sums, torch.ones(6, dtype=torch.float64), rtol=0, atol=1e-6)


def test_the_rate_of_one_logistic_is_that_of_its_distribution_function() -> None:
    prior = FactorisedPrior(1, components=1)
    with torch.no_grad():
        prior.centres.fill_(0.75 / rate._PACE)
        prior.log_scales.fill_(math.log(2 - rate._LEAST_SCALE) / rate._PACE)
    # S(1.75 / 2) - S(0.75 / 2) = 0.70578 - 0.59267 and so on, by the definition of the logistic function
    latent = torch.tensor([[2.0], [-1.0], [0.0]])
    expected = [-math.log2(logistic.cdf((y - 0.25) / 2) - logistic.cdf((y - 1.25) / 2)) for y in (2, -1, 0)]
    assert expected[0] == pytest.approx(-math.log2(0.705785 - 0.592667), abs=1e-4)
    assert prior(latent).tolist() == pytest.approx(expected, rel=1e-5)


def test_the_rate_of_a_vector_is_the_sum_over_dimensions_of_its_mixtures() -> None:
    prior = drawn_prior(4)
    latent = torch.tensor([[0.0, 3.0, -2.0, 0.3], [1.0, -4.0, 7.5, 0.0]])
    for row, bits in zip(latent.tolist(), prior(latent).tolist(), strict=True):
        expected = 0.0
        for dimension, y in enumerate(row):
            weights, centres, scales = mixture(prior, dimension)
            mass = logistic.cdf(y + 0.5, centres, scales) - logistic.cdf(y - 0.5, centres, scales)
            expected -= math.log2((weights * mass).sum())
        assert bits == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("far", [1e4, -1e4])
def test_far_from_the_mass_the_rate_is_finite_and_falls_at_the_slope_of_the_widest_logistic(far: float) -> None:
    prior = drawn_prior(3)
    latent = torch.full((1, 3), far, requires_grad=True)
    prior(latent).sum().backward()
    slopes = [math.copysign(1 / (mixture(prior, d)[2].max() * math.log(2)), far) for d in range(3)]
    assert torch.isfinite(prior(latent)).all()
    assert latent.grad is not None
    assert latent.grad[0].tolist() == pytest.approx(slopes, rel=1e-3)
    for parameter in prior.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()


def test_the_rate_under_noise_is_never_below_the_entropy_of_the_noisy_latent_and_equals_it_for_the_true_prior() -> None:
    prior, rng = drawn_prior(1), np.random.default_rng(0)
    weights, centres, scales = mixture(prior, 0)

    def density(y: float) -> float:
        return float(
            (weights * (logistic.cdf(y + 0.5, centres, scales) - logistic.cdf(y - 0.5, centres, scales))).sum()
        )

    entropy = quad(lambda y: -density(y) * math.log2(density(y)), -60, 60, limit=400)[0]
    chosen = rng.choice(3, 200_000, p=weights)
    latent = torch.tensor(logistic.rvs(centres[chosen], scales[chosen], random_state=rng))[:, None].float()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        noisy = prior.soften(latent)
    assert prior(noisy).mean().item() == pytest.approx(entropy, abs=0.01)
    assert FactorisedPrior(1)(noisy).mean().item() > entropy + 0.02


def test_a_dimension_that_is_always_zero_costs_next_to_nothing_and_jitter_stays_affordable() -> None:
    prior = FactorisedPrior(1)
    with torch.no_grad():
        prior.log_scales.fill_(-50.0)
        prior.centres.zero_()
    assert 0 <= prior(torch.zeros(1, 1)).item() < 1e-3
    assert prior(torch.ones(1, 1)).item() == pytest.approx(0.5 / rate._LEAST_SCALE / math.log(2), rel=1e-3)


def test_the_rate_is_float32_whatever_layers_compute_in() -> None:
    prior, latent = drawn_prior(5), 4 * torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        reduced = prior(latent)
    assert reduced.dtype == torch.float32
    assert torch.equal(reduced, prior(latent))


def test_training_decodes_uniform_noise_of_unit_width_around_y_and_scoring_the_nearest_integer() -> None:
    latent = torch.linspace(-3, 3, 4000)[:, None]
    noise = FactorisedPrior(1).soften(latent) - latent
    assert noise.abs().max() <= 0.5 + 1e-6
    assert float(noise.var()) == pytest.approx(1 / 12, rel=0.1)
    assert FactorisedPrior(1).harden(torch.tensor([[-1.7, 0.2, 2.6]])).tolist() == [[-2, 0, 3]]


def test_the_norm_penalty_is_the_squared_length_of_a_latent_vector_left_as_it_is() -> None:
    latent = torch.tensor([[3.0, -4.0], [0.5, 0.0]])
    norm = SquaredNorm()
    assert norm(latent).tolist() == [25.0, 0.25]
    assert torch.equal(norm.soften(latent), latent)
    assert torch.equal(norm.harden(latent), latent)


def test_latent_vectors_begin_wide_enough_to_survive_rounding() -> None:
    images = pixels(48, 1).batch(np.arange(48))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        network = RateAutoencoder((1, 16, 16), FactorisedPrior(8), 8, 4, 32)
        before = network.encode(images)
        network.widen()
        torch.testing.assert_close(network.encode(images), FactorisedPrior.gain * before)


def test_scores_are_distortion_on_the_scale_of_minus_one_to_one_bits_of_the_rounded_latent_and_the_loss() -> None:
    images = pixels(9, 5).batch(np.arange(9))
    detector = fitted()
    distortion = 4 * (detector.reconstruct(images) - images).square().mean((1, 2, 3))
    latent = detector.embed(images)
    with torch.no_grad():
        bits = detector.network.cost(latent.round())
    assert not torch.equal(latent, latent.round())
    torch.testing.assert_close(detector.rate(images), bits)
    scores = {score: fitted(score=score).anomaly_score(images) for score in Score}
    torch.testing.assert_close(scores[Score.DISTORTION], distortion)
    torch.testing.assert_close(scores[Score.RATE], bits)
    torch.testing.assert_close(scores[Score.BOTH], distortion + SMALL.rate_weight * bits)
    for score in Score:
        torch.testing.assert_close(fitted(score=score).anomaly_map(images).mean((1, 2)), distortion)
    terms = fitted(score=Score.BOTH).score_terms(images)
    torch.testing.assert_close(terms["distortion"], distortion)
    torch.testing.assert_close(terms["weighted rate of the latent vector"], SMALL.rate_weight * bits)


def test_with_the_norm_penalty_the_rate_is_the_norm_and_its_weight_shortens_latent_vectors() -> None:
    images = pixels(9, 5).batch(np.arange(9))
    norms = {}
    for weight in (0.0, 0.1):
        detector = fitted(penalty=Penalty.NORM, score=Score.RATE, rate_weight=weight)
        norms[weight] = detector.embed(images).square().sum(1)
        torch.testing.assert_close(detector.anomaly_score(images), norms[weight])
        torch.testing.assert_close(detector.rate(images), norms[weight])
        assert "network.cost.logits" not in detector.state()
    assert norms[0.1].mean() < norms[0.0].mean() / 10


@pytest.mark.parametrize("penalty", list(Penalty))
@pytest.mark.parametrize("term", [Term.RECONSTRUCTION, Term.OBJECTIVE])
def test_each_loss_gradient_is_the_difference_quotient_of_its_term_at_the_latent_as_it_is(
    penalty: Penalty, term: Term
) -> None:
    detector = fitted(penalty=penalty, rate_weight=1e-3)
    loss, length = detector.losses()[term], 3e-6  # a longer step meets the ReLUs' kinks, and the median passes by one
    ratios = []
    for image in pixels(3, 5).batch(np.arange(3)).split(1):
        gradient = detector.loss_gradient(image, term)
        step = length * gradient.sign()
        with torch.no_grad():
            quotient = float(loss(image + step) - loss(image - step)) / (2 * length)
        ratios.append(quotient / float(gradient.abs().sum()))
    assert np.median(ratios) == pytest.approx(1, abs=0.02)


@pytest.mark.slow
def test_a_larger_weight_buys_fewer_bits_at_more_distortion_and_the_latent_does_not_collapse(
    small_phantom: Partition,
) -> None:
    train, select = small_phantom.images["train"], small_phantom.images["select"]
    images = select.batch(np.arange(len(select)))
    recipe = replace(EntropyAE(), epochs=150, batch_size=16, hidden=256)
    bits, distortion = [], []
    for weight in (1e-5, 5e-5, 3e-4):
        detector = replace(recipe, rate_weight=weight).fit(train, RUN)
        bits.append(float(detector.rate(images).mean()))
        distortion.append(float(detector.anomaly_score(images).mean()))
        assert not detector.history.warnings
        assert (detector.embed(train.batch(np.arange(len(train)))).round().std(0) > 0).sum() >= 2
    assert bits[0] > 1.3 * bits[1] > 1.3 * 1.3 * bits[2]
    assert distortion[0] < distortion[1] < distortion[2]


@pytest.fixture
def coded_rate(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("coded_rate")


def test_a_range_coder_spends_what_the_rate_says_and_gives_the_latent_vectors_back(
    small_phantom: Partition, coded_rate: ModuleType
) -> None:
    train = small_phantom.images["train"]
    images = train.batch(np.arange(len(train)))
    detector = replace(EntropyAE(), hidden=64, epochs=30, batch_size=16).fit(train, RUN)
    latents: Tensor = detector.embed(images).round()
    prior = detector.network.cost
    words, support = coded_rate.encode(prior, latents)
    assert torch.equal(coded_rate.decode(prior, words, support, len(latents)), latents)
    assert latents.unique().numel() > 3
    assert 32 * len(words) == pytest.approx(float(detector.rate(images).sum()), rel=0.02)
    report = coded_rate.coded(prior, latents)
    assert report["side_information"]["prior_parameters_bytes"] == 3 * 3 * 64 * 4
    assert report["bits_per_image"]["coded"] == 32 * len(words) / len(latents)


def test_values_out_of_range_are_refused_by_name() -> None:
    for weight in (-1.0, math.inf, math.nan):
        with pytest.raises(OptionError, match="entropy_ae --rate-weight: expected a number of at least 0, got"):
            EntropyAE(rate_weight=weight)
    with pytest.raises(OptionError, match="entropy_ae --latent-dim: expected at least 1, got 0"):
        EntropyAE(latent_dim=0)
