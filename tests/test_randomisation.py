"""The check by random weights: maps of the image fail, maps of what was learnt pass, wrapped networks are found."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from normoscope import methods
from normoscope.errors import ScoresError
from normoscope.images import PixelStore
from normoscope.nn.memory import Memory
from normoscope.randomisation import LIMIT, Check, Verdict, correlation, randomised
from normoscope.types import Run

RAMP = np.arange(30.0).reshape(5, 6)


class Ignoring:
    """Owns a network and does not ask it: its map is the image."""

    def __init__(self) -> None:
        self.network = nn.Conv2d(1, 1, 3, padding=1)

    def anomaly_map(self, images: Tensor) -> Tensor:
        return images[:, 0]


class Asking(Ignoring):
    """Its map is what the network says."""

    def anomaly_map(self, images: Tensor) -> Tensor:
        return self.network(images)[:, 0].detach()


def test_drawing_weights_anew_touches_no_other_random_state() -> None:
    fitted = Asking()
    numpy_before, python_before, torch_before = np.random.get_state()[1], random.getstate(), torch.get_rng_state()
    seeded: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.random, "seed", seeded.append)
        patch.setattr(random, "seed", seeded.append)
        assert randomised(fitted, 3) is not None
    assert seeded == []  # another thread may draw from them meanwhile
    assert np.array_equal(np.random.get_state()[1], numpy_before)
    assert random.getstate() == python_before
    assert torch.equal(torch.get_rng_state(), torch_before)


def compared(detector: Ignoring) -> Check:
    images, other = torch.rand(9, 1, 12, 12, generator=torch.Generator().manual_seed(0)), randomised(detector, 1)
    assert other is not None
    return Check.of(detector.anomaly_map(images).numpy(), other.anomaly_map(images).numpy())


def test_a_map_that_ignores_its_weights_fails() -> None:
    found = compared(Ignoring())
    assert (found.median, found.images, found.verdict) == (1.0, 9, Verdict.FAILS)
    assert "fails the sanity check" in found.sentence
    assert found.to_json()["verdict"] == "fails"


def test_a_map_of_what_a_filter_learnt_holds() -> None:
    detector = Asking()
    with torch.no_grad():
        detector.network.weight.copy_(torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None])
        detector.network.bias.zero_()
    medians, images = [], torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    for seed in range(20):  # of nine weights one draw may by chance be alike
        other = randomised(detector, seed)
        assert other is not None
        medians.append(Check.of(detector.anomaly_map(images).numpy(), other.anomaly_map(images).numpy()).median)
    assert np.median(medians) < LIMIT


def test_correlation_is_spearmans_and_constant_maps_are_defined() -> None:
    assert correlation(RAMP, np.exp(RAMP / 10)) == pytest.approx(1)
    assert correlation(RAMP, -RAMP) == pytest.approx(-1)
    a, b = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 4, 3, 5])
    assert correlation(a, b) == pytest.approx(1 - 6 * 4 / (5 * 24))
    assert correlation(RAMP, np.zeros((5, 6))) == 0
    assert correlation(np.ones((5, 6)), np.zeros((5, 6))) == 1


def test_the_median_counts_and_half_is_not_yet_too_much() -> None:
    maps = np.stack([RAMP, RAMP, RAMP])
    others = np.stack([RAMP, np.zeros((5, 6)), np.zeros((5, 6))])
    assert Check.of(maps, others).verdict is Verdict.HOLDS
    assert Check.of(maps, maps[::-1]).verdict is Verdict.FAILS
    assert Check(LIMIT, 3).verdict is Verdict.HOLDS


def test_maps_that_differ_in_sign_alone_fail_by_magnitude() -> None:
    signed = (RAMP - 14.5)[None]
    assert correlation(signed, -signed) == pytest.approx(-1)
    assert Check.of(signed, -signed).median == pytest.approx(1)


def test_a_map_that_is_turned_over_fails_by_the_magnitude_of_its_correlations() -> None:
    shares = RAMP / RAMP.max()
    found = Check.of(shares[None], 1 - shares[None])
    assert found.median == pytest.approx(1)
    assert found.verdict is Verdict.FAILS
    # one turned over, one as it was: neither makes up for the other
    both = Check.of(np.stack([shares, shares]), np.stack([1 - shares, shares]))
    assert both.median == pytest.approx(1)


def test_blank_maps_have_nothing_to_check_and_are_left_out() -> None:
    blank = np.zeros((1, 5, 6))
    found = Check.of(blank, RAMP[None])
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert found.sentence == "the check by random weights does not apply: every map is blank"
    assert Check.of(blank, blank).verdict is Verdict.NOT_APPLICABLE
    some = Check.of(np.concatenate([blank, RAMP[None]]), np.stack([RAMP, RAMP]))
    assert (some.images, some.median) == (1, 1)
    assert "over 1 image, limit" in some.sentence
    # what the forgetful copy draws blank has changed
    assert Check.of(RAMP[None], blank).verdict is Verdict.HOLDS


def test_where_the_image_is_flat_unrelated_maps_need_not_differ() -> None:
    rng = np.random.default_rng(0)
    head = np.zeros((5, 3, 48, 48))
    head[:, :, 10:38, 10:38] = rng.random((5, 3, 28, 28))  # a third of the image
    fitted, other = (np.where(head[:, 0] > 0, rng.exponential(size=(5, 48, 48)), 0.0) for _ in range(2))
    assert Check.of(fitted, other).median == pytest.approx(0.9, abs=0.1)
    assert Check.of(fitted, other, head).median < 0.35, "one ring of the flat pixels stays"
    assert Check.of(fitted, 2 * fitted + 1, head).verdict is Verdict.FAILS
    assert Check.of(fitted, other, np.ones_like(head)).sentence.endswith("every map is blank")
    # one channel that is not flat is enough
    grey = np.where(np.arange(3)[:, None, None] == 2, head, 0.0)
    assert Check.of(fitted, other, grey) == Check.of(fitted, other, head)


def test_maps_that_are_not_finite_are_left_out() -> None:
    broken = np.stack([RAMP, RAMP])
    broken[1, 0, 0] = np.nan
    assert Check.of(np.stack([RAMP, RAMP]), broken).images == 1
    nothing = Check.of(broken[1:], broken[1:])
    assert nothing.verdict is Verdict.NOT_APPLICABLE
    assert math.isnan(nothing.median)
    assert nothing.to_json()["median"] is None
    assert Check.of(broken[:0], broken[:0]).sentence == "the check by random weights does not apply: no images"


def test_maps_of_different_images_are_refused() -> None:
    with pytest.raises(ScoresError):
        Check.of(np.zeros((2, 5, 6)), np.zeros((3, 5, 6)))


def test_a_copy_is_drawn_by_its_seed_and_nothing_else_moves() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(5, 5))
    before = [p.detach().clone() for p in network.parameters()]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (randomised(network, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert first is not None
    assert again is not None
    assert other is not None
    for old, kept, a, b in zip(before, network.parameters(), first.parameters(), again.parameters(), strict=True):
        assert torch.equal(old, kept)
        assert torch.equal(a, b)
    assert not torch.equal(first[0].weight, network[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)


def test_parameters_without_a_reset_keep_their_mean_and_deviation() -> None:
    torch.manual_seed(0)
    memory = Memory(200, 50)
    with torch.no_grad():
        memory.slots.copy_(3 + 2 * torch.rand(200, 50))
    assert not hasattr(memory, "reset_parameters")
    other = randomised(memory)
    assert other is not None
    assert other.slots.detach().mean() == pytest.approx(float(memory.slots.detach().mean()), abs=0.03)
    assert other.slots.detach().std() == pytest.approx(float(memory.slots.detach().std()), abs=0.03)
    assert correlation(other.slots.detach().numpy(), memory.slots.detach().numpy()) < 0.1


@pytest.mark.parametrize("name", ["cocsvm", "deep_svdd"])
def test_networks_inside_wrapped_detectors_are_found(name: str, normals: PixelStore) -> None:
    shorter = {"epochs": 1} | ({"pretrain_epochs": 1} if name == "deep_svdd" else {})
    detector = methods.build(name, "quick", shorter).fit(normals, Run(precision="float32"))
    images = normals.batch(np.arange(6))
    before = detector.anomaly_score(images)
    other = randomised(detector)
    assert other is not None
    assert not torch.allclose(other.anomaly_score(images), before, rtol=1e-3)
    assert torch.equal(detector.anomaly_score(images), before)
    inner = other.encoder.network  # type: ignore[attr-defined]
    assert getattr(other, "network", inner) is inner


@pytest.mark.parametrize("name", ["pca", "knn", "trivial"])
def test_detectors_without_weights_have_nothing_to_randomise(name: str, normals: PixelStore) -> None:
    assert randomised(methods.build(name, "quick").fit(normals, Run())) is None
