"""The sparse autoencoder: its penalties, their gradients, and what they do to a code."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from normoscope.errors import OptionError
from normoscope.images import as_images
from normoscope.methods.cae import CAE
from normoscope.methods.sae import SAE, Penalty, SigmoidCode
from normoscope.nn.autoencoder import ConvAutoencoder
from normoscope.types import Run
from toys import draw_blobs

RUN = Run(device="cpu", precision="float32")
SMALL = SAE(latent_dim=6, channels=(6, 8), epochs=15, batch_size=16, learning_rate=3e-3)


def test_l1_is_the_absolute_sum_and_its_gradient_the_sign() -> None:
    code = torch.tensor([[1.0, -2.0, 0.5], [3.0, -1.0, -0.5]], requires_grad=True)
    penalty = Penalty.L1(code, 0.05)
    assert penalty.item() == pytest.approx((1 + 2 + 0.5 + 3 + 1 + 0.5) / 2)
    (gradient,) = torch.autograd.grad(penalty, code)
    assert gradient.tolist() == [[0.5, -0.5, 0.5], [0.5, -0.5, -0.5]]


def test_kl_is_the_divergence_of_mean_activations_and_its_gradient_the_difference_of_odds() -> None:
    code = torch.tensor([[0.2, 0.1], [0.6, 0.3]], requires_grad=True)
    penalty = Penalty.KL(code, 0.05)
    by_hand = sum(0.05 * math.log(0.05 / mean) + 0.95 * math.log(0.95 / (1 - mean)) for mean in (0.4, 0.2))
    assert penalty.item() == pytest.approx(by_hand, rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty, code)
    expected = [(0.95 / (1 - mean) - 0.05 / mean) / 2 for mean in (0.4, 0.2)]
    torch.testing.assert_close(gradient, torch.tensor([expected, expected]))


def test_kl_is_zero_at_the_wished_activity_and_finite_where_units_are_silent_or_always_on() -> None:
    assert float(Penalty.KL(torch.full((3, 4), 0.05), 0.05)) == pytest.approx(0, abs=1e-6)
    assert math.isfinite(float(Penalty.KL(torch.tensor([[0.0, 1.0]]), 0.05)))


@pytest.mark.parametrize(("penalty", "kind"), [(Penalty.L1, ConvAutoencoder), (Penalty.KL, SigmoidCode)])
def test_the_loss_is_the_squared_error_summed_over_pixels_plus_the_weighted_penalty(
    penalty: Penalty, kind: type[ConvAutoencoder]
) -> None:
    torch.manual_seed(0)
    network, images = kind((1, 28, 28), (6, 8), 6), draw_blobs(5, seed=0)
    recipe = replace(SMALL, penalty=penalty, weight=0.3)
    code, rebuilt = network.encode(images), network(images)
    error = sum((a - b).square().sum().item() for a, b in zip(rebuilt, images, strict=True)) / 5
    expected = error + 0.3 * penalty(code, 0.05).item()
    assert recipe.objective(network, images).item() == pytest.approx(expected, rel=1e-5)


def test_the_penalty_reaches_the_encoder_by_the_chain_rule_and_leaves_the_decoder_alone() -> None:
    torch.manual_seed(0)
    network, images = ConvAutoencoder((1, 28, 28), (6, 8), 6), draw_blobs(5, seed=0)

    def gradient(weight: float, layer: str) -> Tensor:
        loss = replace(SMALL, weight=weight).objective(network, images)
        return torch.autograd.grad(loss, network.get_parameter(layer))[0]

    by_hand = 0.7 / 5 * network.encode(images).sign().sum(0)
    got = gradient(0.7, "to_latent.bias") - gradient(0.0, "to_latent.bias")
    torch.testing.assert_close(got, by_hand, rtol=1e-3, atol=1e-3)
    assert by_hand.abs().max() > 0.1
    torch.testing.assert_close(gradient(0.7, "from_latent.weight"), gradient(0.0, "from_latent.weight"))


def test_without_weight_it_is_the_plain_autoencoder_bit_for_bit() -> None:
    normals, test = as_images(draw_blobs(40, seed=1)), draw_blobs(9, seed=2)
    plain = CAE(latent_dim=6, channels=(6, 8), epochs=3, batch_size=16, learning_rate=3e-3)
    sparse = replace(SMALL, weight=0.0, epochs=3)
    assert torch.equal(sparse.fit(normals, RUN).anomaly_score(test), plain.fit(normals, RUN).anomaly_score(test))


def test_a_heavier_penalty_silences_the_code() -> None:
    normals = as_images(draw_blobs(60, seed=1))
    sizes = [
        float(replace(SMALL, weight=weight).fit(normals, RUN).embed(draw_blobs(30, seed=2)).abs().mean())
        for weight in (0.0, 1.0)
    ]
    assert sizes[1] < sizes[0] / 4


def test_kl_brings_activations_near_the_wished_share() -> None:
    normals = as_images(draw_blobs(60, seed=1))
    recipe = replace(SMALL, penalty=Penalty.KL, weight=5.0, activity=0.1, epochs=40, learning_rate=1e-2)
    code = recipe.fit(normals, RUN).embed(draw_blobs(30, seed=2))
    assert float(code.min()) > 0
    assert float(code.max()) < 1
    assert float(code.mean()) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weight": -1.0}, "sae --weight: expected a number of at least 0, got -1.0"),
        ({"activity": 1.0}, "sae --activity: expected a share between 0 and 1, got 1.0"),
        ({"latent_dim": 0}, "sae --latent-dim: expected at least 1, got 0"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        replace(SMALL, **changes)
