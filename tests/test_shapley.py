"""Shapley values of latent vectors against closed forms."""

from __future__ import annotations

import sys
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest
import torch

from normoscope import methods
from normoscope.images import PixelStore
from normoscope.shapley import Value, latent_shares, value_of_latent
from normoscope.types import Run
from toys import draw_blobs

NORMALS = np.random.default_rng(0).normal(size=(40, 5)) * [1.0, 2.0, 0.5, 1.0, 0.0]
LATENT = np.array([1.0, -3.0, 0.2, 4.0, 1.0])


def exact(value: Any, latent: Any, normals: Any) -> Any:
    """Sum over all subsets of the dimensions."""
    d = len(latent)

    def worth(kept: tuple[int, ...]) -> float:
        mixed = normals.copy()
        mixed[:, list(kept)] = latent[list(kept)]
        return float(value(mixed).mean())

    found = np.zeros(d)
    for i in range(d):
        others = [j for j in range(d) if j != i]
        for size in range(d):
            weight = factorial(size) * factorial(d - size - 1) / factorial(d)
            found[i] += sum(weight * (worth((*kept, i)) - worth(kept)) for kept in combinations(others, size))
    return found


def test_of_a_squared_distance_each_share_is_its_own_term_minus_the_mean_of_all_normals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(1)
    centre, latent, normals = rng.normal(size=256), 2 * rng.normal(size=256), rng.normal(size=(500, 256))
    monkeypatch.setitem(sys.modules, "shap", None)  # a sum needs no sampling
    found = latent_shares(Value.additive("distance", lambda z: (z - centre) ** 2), latent, normals)
    expected = (latent - centre) ** 2 - ((normals - centre) ** 2).mean(0)
    np.testing.assert_allclose(found.shares, expected, atol=1e-9)
    assert found.leading(2) == [int(i) for i in np.argsort(-np.abs(expected))[:2]]
    assert (found.value, found.normals) == (pytest.approx(((latent - centre) ** 2).sum()), 500)
    assert found.base == pytest.approx(((normals - centre) ** 2).sum(1).mean())


def test_a_sum_given_by_its_terms_has_the_shares_that_sampling_finds() -> None:
    whole = latent_shares(Value.additive("cubes", lambda z: z**3), LATENT, NORMALS)
    sampled = latent_shares(Value("cubes", lambda z: (z**3).sum(1)), LATENT, NORMALS)
    np.testing.assert_allclose(whole.shares, sampled.shares, atol=1e-9)
    assert (whole.value, whole.base) == (pytest.approx(sampled.value), pytest.approx(sampled.base))


def test_of_many_dimensions_enough_normals_are_drawn_for_the_leading_ones_and_the_seed_draws_others() -> None:
    rng = np.random.default_rng(2)
    weights, normals = np.linspace(0, 1, 100) ** 4, rng.normal(size=(300, 200))
    latent = 1 + 0.5 * rng.normal(size=200)

    def pairs(z: Any) -> Any:
        return (weights * z[:, ::2] * z[:, 1::2]).sum(1)

    # of a product, a dimension's share is its difference to a normal's times the mean of both partners
    first, second, a, b = latent[::2], latent[1::2], normals[:, ::2], normals[:, 1::2]
    expected = np.empty(200)
    expected[::2] = weights * ((first - a) * (second + b)).mean(0) / 2
    expected[1::2] = weights * ((first + a) * (second - b)).mean(0) / 2
    found = [latent_shares(Value("pairs", pairs), latent, normals, seed) for seed in range(5)]
    for one in found:
        assert one.normals == 32
        assert one.shares.sum() == pytest.approx(one.value - one.base, abs=1e-9)
        assert np.corrcoef(one.shares, expected)[0, 1] > 0.95
        assert one.base != pytest.approx(float(pairs(normals).mean()), rel=1e-6)
    assert not np.allclose(found[0].shares, found[1].shares, rtol=1e-3)


def test_shares_sum_to_what_the_value_is_above_the_normals() -> None:
    def product(z: Any) -> Any:
        return np.exp(0.2 * z[:, 0]) * (1 + z[:, 1] ** 2) + z[:, 2] * z[:, 3]

    found = latent_shares(Value("product", product), LATENT, NORMALS)
    assert found.shares.sum() == pytest.approx(found.value - found.base, abs=1e-9)
    assert found.value == pytest.approx(float(product(LATENT[None])[0]))
    assert found.base == pytest.approx(float(product(NORMALS).mean()))


def test_where_dimensions_interact_in_pairs_the_sampled_shares_are_shapleys() -> None:
    def pairs(z: Any) -> Any:
        return z[:, 0] * z[:, 1] + z[:, 2] * z[:, 3] + z[:, 4]

    # walking each order there and back is exact for interactions of two
    found = latent_shares(Value("pairs", pairs), LATENT, NORMALS)
    np.testing.assert_allclose(found.shares, exact(pairs, LATENT, NORMALS), atol=1e-9)


def test_a_dimension_in_which_normals_never_vary_has_no_deviation_and_null_players_get_nothing() -> None:
    found = latent_shares(Value("first", lambda z: z[:, 0] ** 3), LATENT, NORMALS)
    np.testing.assert_allclose(found.shares[1:], 0, atol=1e-12)
    assert np.isnan(found.deviations[4])
    assert found.to_json()["deviations"][4] is None
    assert found.deviations[0] == pytest.approx((1.0 - NORMALS[:, 0].mean()) / NORMALS[:, 0].std())


def test_global_random_state_is_left_as_it_was() -> None:
    before = np.random.get_state()[1].tolist()
    latent_shares(Value("sum", lambda z: z.sum(1)), LATENT, NORMALS)
    assert np.random.get_state()[1].tolist() == before


def test_a_detector_is_explained_by_its_centre_or_by_what_its_latent_vector_decodes_to(normals: PixelStore) -> None:
    images = draw_blobs(3, seed=5)
    conocc = methods.build("conocc", "quick", {"epochs": 3, "update_interval": 1}).fit(normals, Run())
    value = value_of_latent(conocc, conocc.anomaly_score)
    assert value is not None
    latents = conocc.embed(images)  # type: ignore[attr-defined]
    expected = (latents - conocc.network.center).square().sum(1)  # type: ignore[attr-defined]
    np.testing.assert_allclose(value.of(latents.double().numpy()), expected.detach().numpy(), rtol=1e-4)

    pca = methods.build("pca").fit(normals, Run())
    value = value_of_latent(pca, pca.anomaly_score)
    assert value is not None
    assert "decodes to" in value.name
    latents = pca.embed(images)  # type: ignore[attr-defined]
    redrawn = pca.reconstruct(images).clamp(0, 1)  # type: ignore[attr-defined]
    np.testing.assert_allclose(value.of(latents.double().numpy()), pca.anomaly_score(redrawn).numpy(), atol=1e-6)
    knn = methods.build("knn").fit(normals, Run())
    assert value_of_latent(knn, knn.anomaly_score) is None


def test_decoding_what_was_embedded_is_the_reconstruction(normals: PixelStore) -> None:
    images = draw_blobs(3, seed=5)
    for name in ("pca", "cae", "vae", "aeu"):
        fields = {} if name == "pca" else {"epochs": 2}
        detector: Any = methods.build(name, "quick", fields).fit(normals, Run(precision="float32"))
        torch.testing.assert_close(
            detector.decode(detector.embed(images)), detector.reconstruct(images), atol=1e-4, rtol=1e-3
        )


def test_the_same_seed_gives_the_same_shares_also_where_three_dimensions_interact() -> None:
    def triple(z: Any) -> Any:
        return z[:, 0] * z[:, 1] * z[:, 3]

    first, again = (latent_shares(Value("triple", triple), LATENT, NORMALS, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.shares, again.shares)
