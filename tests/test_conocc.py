"""ConOCC: the gradients of eqs. 4 and 5, and when the centre moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from normoscope.errors import OptionError
from normoscope.images import PixelStore
from normoscope.methods.conocc import ConOCC, Score
from normoscope.nn.centred import Alternation, CentredAutoencoder, Reduction
from normoscope.types import Run

RUN = Run(device="cpu", precision="float32")
SMALL = ConOCC(latent_dim=5, channels=(6, 8), epochs=6, update_interval=3, batch_size=16)


def images(count: int, seed: int) -> PixelStore:
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 1, 12)[:, None] * rng.uniform(0.2, 1, (count, 1, 1, 1)) * np.ones(10)
    return PixelStore((slope * 255).astype(np.uint8))


def all_of(store: PixelStore) -> Tensor:
    return store.batch(np.arange(len(store)))


@pytest.fixture
def network() -> CentredAutoencoder:
    torch.manual_seed(0)
    net = CentredAutoencoder((1, 12, 10), (6, 8), 5)
    net.center.copy_(torch.randn(5))
    return net


def gradients(loss: Tensor, network: CentredAutoencoder) -> dict[str, Tensor | None]:
    names, parameters = zip(*network.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True))


def test_loss_is_equations_1_to_3_as_written(network: CentredAutoencoder) -> None:
    batch = all_of(images(4, 0))
    latent, rebuilt = network.encode(batch), network(batch)
    for i, value in enumerate(SMALL.objective(network, batch).tolist()):
        descriptive = sum(float(d) ** 2 for d in (rebuilt[i] - batch[i]).detach().flatten())
        compact = sum(float(d) ** 2 for d in (latent[i] - network.center).detach())
        assert value == pytest.approx(descriptive + 10 * compact, rel=1e-5)
    mean = replace(SMALL, reduction=Reduction.MEAN).objective(network, batch)
    expected = (rebuilt - batch).square().mean((1, 2, 3)) + 10 * (latent - network.center).square().mean(1)
    torch.testing.assert_close(mean, expected)


def test_decoder_moves_by_reconstruction_alone_and_encoder_by_both(network: CentredAutoencoder) -> None:
    batch = all_of(images(4, 0))
    whole = gradients(SMALL.objective(network, batch).mean(), network)
    rebuilding = gradients(SMALL.descriptive(network(batch), batch).mean(), network)
    pull = 2 * SMALL.gamma * (network.encode(batch) - network.center) / 4
    encoder = [name for name, _ in network.named_parameters() if name.startswith(("down", "to_latent"))]
    chain = torch.autograd.grad(
        network.encode(batch), [network.get_parameter(n) for n in encoder], grad_outputs=pull.detach()
    )
    for name in whole:
        if name not in encoder:
            torch.testing.assert_close(whole[name], rebuilding[name], msg=name)
    for name, by_hand in zip(encoder, chain, strict=True):
        torch.testing.assert_close(whole[name], rebuilding[name] + by_hand, rtol=1e-4, atol=1e-5, msg=name)
        assert by_hand.abs().max() > 0


def test_constraint_gradient_at_the_bottleneck_is_the_outer_product(network: CentredAutoencoder) -> None:
    batch = all_of(images(4, 0))
    hidden = batch
    for layer in network.down:
        hidden = layer(hidden).relu()
    latent = network.encode(batch)
    got = gradients(SMALL.compact(network, latent).mean(), network)["to_latent.weight"]
    by_hand = 2 / 4 * (latent - network.center).T @ hidden.flatten(1)
    torch.testing.assert_close(got, by_hand.detach())


def test_center_moves_only_after_every_t_epochs() -> None:
    normals = images(40, 1)
    fitted = {epochs: replace(SMALL, epochs=epochs).fit(normals, RUN) for epochs in (4, 5, 6, 7)}
    centers = {epochs: detector.network.center for epochs, detector in fitted.items()}
    assert torch.equal(centers[4], centers[5])
    assert not torch.equal(centers[5], centers[6])
    assert torch.equal(centers[6], centers[7])
    mean = fitted[6].embed(all_of(normals)).double().mean(0).float()
    torch.testing.assert_close(centers[6], mean, rtol=0, atol=1e-6)
    assert not torch.equal(fitted[6].network.to_latent.weight, fitted[7].network.to_latent.weight)
    assert not centers[6].requires_grad


def test_warm_up_is_the_autoencoder_alone() -> None:
    normals = images(40, 1)
    strong, weak = (replace(SMALL, gamma=gamma).fit(normals, RUN).history.epochs for gamma in (50.0, 0.0))
    assert [epoch.losses for epoch in strong[:3]] == [epoch.losses for epoch in weak[:3]]
    assert strong[3].losses != weak[3].losses
    assert [epoch.stage for epoch in strong] == ["warm-up"] * 3 + ["constrained"] * 3


def test_alternate_schedule_trains_the_encoder_alone_in_constraint_epochs() -> None:
    turns = [Alternation.ALTERNATE.constrains_only(number, 3) for number in range(1, 10)]
    assert turns == [True, False, False, False, True, False, False, False, True]
    normals = images(40, 1)
    alternate = replace(SMALL, schedule=Alternation.ALTERNATE, epochs=4)
    pulled, free = (replace(alternate, gamma=gamma).fit(normals, RUN).network for gamma in (10.0, 0.0))
    assert torch.equal(pulled.from_latent.weight, free.from_latent.weight)
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(pulled.up, free.up, strict=True))
    assert not torch.equal(pulled.to_latent.weight, free.to_latent.weight)


def test_constraint_draws_latent_vectors_together() -> None:
    normals = images(64, 1)
    spread = {}
    for gamma in (0.0, 10.0):
        recipe = replace(SMALL, gamma=gamma, epochs=40, update_interval=10, learning_rate=3e-3)
        latent = recipe.fit(normals, RUN).embed(all_of(normals))
        spread[gamma] = float(latent.var(0).sum())
    assert spread[10.0] < spread[0.0] / 4


@pytest.mark.parametrize("score", list(Score))
def test_each_score_is_what_it_says_and_survives_saving(score: Score) -> None:
    recipe = replace(SMALL, score=score)
    detector = recipe.fit(images(40, 1), RUN)
    batch = all_of(images(9, 2))
    network = detector.network
    with torch.no_grad():
        expected = {
            Score.RECONSTRUCTION: (network(batch) - batch).square().mean((1, 2, 3)),
            Score.DISTANCE: (network.encode(batch) - network.center).square().sum(1),
            Score.BOTH: recipe.objective(network, batch),
        }[score]
    scores = detector.anomaly_score(batch)
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(recipe.restore(detector.state()).anomaly_score(batch), scores)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"gamma": -1.0}, "conocc --gamma: expected a number of at least 0, got -1.0"),
        ({"update_interval": 6}, "conocc --update-interval: expected 1 to 5, fewer than --epochs"),
        ({"latent_dim": 0}, "conocc --latent-dim: expected at least 1, got 0"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        replace(SMALL, **changes)
