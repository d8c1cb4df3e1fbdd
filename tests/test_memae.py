"""The memory's addressing, and the autoencoder that sees the world through it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from normoscope.errors import OptionError
from normoscope.images import as_images
from normoscope.methods.memae import MemAE, MemoryAutoencoder
from normoscope.nn.benchmark import BenchmarkAutoencoder
from normoscope.nn.memory import Memory, Similarity, entropy, shrink
from normoscope.types import Run
from toys import draw_blobs

RUN = Run(device="cpu", precision="float32")
SMALL = MemAE(latent_dim=4, slots=6, width=4, hidden=16, epochs=3, batch_size=16)
SLOTS = torch.tensor([[3.0, 0.0], [0.0, 1.0], [-2.0, 0.0]])
QUERIES = torch.tensor([[0.5, 0.0], [3.0, 4.0]])


def memory(shrinkage: float, similarity: Similarity) -> Memory:
    made = Memory(3, 2, shrinkage, similarity)
    made.slots.data.copy_(SLOTS)
    return made


def by_hand(similarities: list[float], shrinkage: float) -> list[float]:
    """Softmax, hard shrinkage and renormalisation with plain numbers."""
    powers = [math.exp(s) for s in similarities]
    kept = [p / sum(powers) if p / sum(powers) > shrinkage else 0.0 for p in powers]
    return [k / sum(kept) for k in kept]


@pytest.mark.parametrize("shrinkage", [0.0, 0.0025, 0.2])
@pytest.mark.parametrize(
    ("similarity", "similarities"),
    [
        (Similarity.INNER, [[1.5, 0.0, -1.0], [9.0, 4.0, -6.0]]),
        (Similarity.COSINE, [[1.0, 0.0, -1.0], [0.6, 0.8, -0.6]]),
    ],
)
def test_addressing_and_reading_by_hand(
    shrinkage: float, similarity: Similarity, similarities: list[list[float]]
) -> None:
    weights = memory(shrinkage, similarity).address(QUERIES)
    expected = [by_hand(row, shrinkage) for row in similarities]
    np.testing.assert_allclose(weights.detach().numpy(), expected, rtol=1e-5, atol=1e-9)
    read = [[3 * a - 2 * c, b] for a, b, c in expected]
    np.testing.assert_allclose(memory(shrinkage, similarity)(QUERIES).detach().numpy(), read, rtol=1e-5, atol=1e-6)


def test_shrinkage_drops_what_is_at_or_below_the_threshold_and_scales_the_rest_alike() -> None:
    weights = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
    np.testing.assert_allclose(shrink(weights, 0.15).numpy(), [[0.625, 0.375, 0.0, 0.0]], atol=1e-6)
    torch.testing.assert_close(shrink(weights, 0.0), weights)
    assert shrink(weights, 0.5).tolist() == [[0.0] * 4]
    assert entropy(shrink(weights, 0.5)).tolist() == [0.0]


def test_a_query_far_along_a_slot_reads_that_slot_alone() -> None:
    far = memory(0.0025, Similarity.INNER)
    torch.testing.assert_close(far(10 * SLOTS), SLOTS, rtol=0, atol=1e-5)
    assert far.address(10 * SLOTS).argmax(1).tolist() == [0, 1, 2]
    pointing = memory(0.0025, Similarity.COSINE).address(SLOTS)
    assert pointing.argmax(1).tolist() == [0, 1, 2]
    # a cosine cannot exceed 1, so even a query that equals its slot spreads over the others
    assert pointing.max() < math.e / (math.e + 1 + 1 / math.e) + 1e-6


def test_with_25_slots_a_cosine_weight_never_falls_to_the_benchmarks_threshold() -> None:
    worst = Memory(25, 2, 0.0025, Similarity.COSINE)
    worst.slots.data.copy_(torch.tensor([[1.0, 0.0]]).repeat(25, 1))
    worst.slots.data[0] = torch.tensor([-1.0, 0.0])
    smallest = worst.address(torch.tensor([[1.0, 0.0]])).min().item()
    assert smallest == pytest.approx(1 / (1 + 24 * math.e**2), rel=1e-5)
    assert smallest > 2 * 0.0025


def test_entropy_by_hand() -> None:
    weights = torch.tensor([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]])
    np.testing.assert_allclose(entropy(weights).numpy(), [math.log(4), 0.0, math.log(2)], atol=1e-6)


def test_addressing_stays_float32_under_autocast() -> None:
    plain = memory(0.0025, Similarity.INNER)(QUERIES)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(memory(0.0025, Similarity.INNER)(QUERIES), plain)


@pytest.fixture
def network() -> MemoryAutoencoder:
    torch.manual_seed(0)
    return SMALL._network((1, 28, 28))  # in training mode; untrained running statistics would silence the signal


def test_the_loss_is_squared_error_on_minus_one_to_one_plus_weighted_entropy(network: MemoryAutoencoder) -> None:
    images = draw_blobs(3, seed=0)
    weights = network.memory.address(network.encode(images))
    rebuilt = BenchmarkAutoencoder.decode(network, weights @ network.memory.slots)
    squares = ((2 * images - 1) - (2 * rebuilt - 1)).square().mean((1, 2, 3))
    spread = torch.distributions.Categorical(probs=weights).entropy()
    torch.testing.assert_close(replace(SMALL, entropy_weight=0.7).objective(network, images), squares + 0.7 * spread)
    torch.testing.assert_close(replace(SMALL, entropy_weight=0.0).objective(network, images), squares)


def test_the_loss_moves_slots_encoder_and_decoder(network: MemoryAutoencoder) -> None:
    SMALL.objective(network, draw_blobs(3, seed=0)).mean().backward()
    for name in ("memory.slots", "down.0.weight", "up.0.weight"):
        assert network.get_parameter(name).grad.abs().max() > 0, name


def test_reconstructions_pass_through_the_memory_and_nothing_else() -> None:
    detector = replace(SMALL, epochs=10, learning_rate=1e-2).fit(as_images(draw_blobs(40, seed=1)), RUN)
    images = torch.cat([draw_blobs(5, seed=2), torch.rand(5, 1, 28, 28)])
    network = detector.network
    with torch.inference_mode():
        queries = network.encode(images)
        mixture = network.memory.address(queries) @ network.memory.slots
        expected = BenchmarkAutoencoder.decode(network, mixture)
        bypassed = BenchmarkAutoencoder.decode(network, queries)
    torch.testing.assert_close(detector.reconstruct(images), expected, rtol=1e-4, atol=1e-5)
    assert (detector.reconstruct(images) - bypassed).abs().max() > 0.01
    assert mixture.max() <= network.memory.slots.max()
    assert mixture.min() >= network.memory.slots.min()
    torch.testing.assert_close(detector.embed(images), queries, rtol=1e-4, atol=1e-5)


def test_a_memory_of_one_slot_shows_every_image_the_same_picture() -> None:
    network = replace(SMALL, slots=1)._network((1, 28, 28)).eval()
    pictures: Tensor = network(torch.rand(4, 1, 28, 28))
    torch.testing.assert_close(pictures, pictures[:1].expand_as(pictures))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"slots": 0}, "memae --slots: expected at least 1, got 0"),
        ({"shrinkage": 1.0}, r"memae --shrinkage: expected a weight in \[0, 1\), got 1.0"),
        ({"entropy_weight": -1.0}, "memae --entropy-weight: expected a number of at least 0, got -1.0"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        replace(SMALL, **changes)
