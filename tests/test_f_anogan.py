"""f-AnoGAN: the penalty of known slopes, who moves when, and a score made of two residuals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from interruptions import fit_with_interruptions, undisturbed
from normoscope.errors import OptionError
from normoscope.images import as_images
from normoscope.methods.f_anogan import FAnoGAN
from normoscope.nn.gan import signed
from normoscope.nn.wasserstein import WassersteinGAN, gradient_penalty
from normoscope.training import Phase, Schedule
from normoscope.types import Run
from toys import draw_blobs

RUN = Run(device="cpu", precision="float32")
SMALL = FAnoGAN(latent_dim=6, width=4, critic_steps=2, epochs=2, encoder_epochs=2, batch_size=16, encoder_rate=1e-3)


def test_penalty_of_a_linear_critic_is_its_distance_from_slope_one() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 5, 4, generator=generator).requires_grad_()
    real, fake = torch.rand(2, 7, 3, 5, 4, generator=generator)
    penalty = gradient_penalty(lambda x: (weight * x).sum((1, 2, 3)), real, fake)
    norm = float(weight.detach().square().sum().sqrt())
    assert float(penalty.detach()) == pytest.approx((norm - 1) ** 2, rel=1e-5)
    (slope,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(slope, 2 * (norm - 1) / norm * weight.detach())


def test_penalty_of_a_flat_critic_is_one_and_has_a_finite_slope() -> None:
    weight = torch.zeros(1, 3, 3, requires_grad=True)
    penalty = gradient_penalty(lambda x: (weight * x).sum((1, 2, 3)), torch.rand(4, 1, 3, 3), torch.rand(4, 1, 3, 3))
    assert float(penalty.detach()) == 1
    (slope,) = torch.autograd.grad(penalty, weight)
    assert torch.isfinite(slope).all()


def test_penalty_is_taken_between_real_and_made_up_at_a_share_per_image() -> None:
    met: list[Tensor] = []

    def critic(images: Tensor) -> Tensor:
        met.append(images.detach())
        return 0.5 * images.square().sum((1, 2, 3))  # its slope is the image itself

    real, fake = torch.zeros(50, 1, 2, 2), torch.ones(50, 1, 2, 2)
    torch.manual_seed(0)
    penalty = gradient_penalty(critic, real, fake)
    shares = met[0][:, 0, 0, 0]
    assert torch.equal(met[0], shares.view(-1, 1, 1, 1).expand_as(real))
    assert 0 < float(shares.min()) < 0.1
    assert 0.9 < float(shares.max()) < 1
    assert float(penalty.detach()) == pytest.approx(float((2 * shares - 1).square().mean()), rel=1e-5)


def test_penalty_is_not_rounded_in_reduced_precision() -> None:
    torch.manual_seed(0)
    network, images = WassersteinGAN((1, 12, 12), 4, 3), torch.rand(4, 1, 12, 12)
    values = []
    for enabled in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            values.append(float(gradient_penalty(network.critic, images, 1 - images).detach()))
    assert values[0] == values[1]


def moved_by(network: WassersteinGAN, phase: Phase) -> set[str]:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.zero_grad()
    phase.loss(torch.rand(8, 1, 16, 16)).backward()
    phase.optimizer(Schedule(1), torch.device("cpu")).step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    return {name.partition(".")[0] for name in changed}


def test_critic_and_generator_move_themselves_alone() -> None:
    network = WassersteinGAN((1, 16, 16), 4, 6)
    critic, again, generator = SMALL.players(network)
    assert critic is again
    assert moved_by(network, critic) == {"critic"}
    assert moved_by(network, generator) == {"generator"}


def test_critic_loss_is_the_distance_and_the_penalty() -> None:
    network, images = WassersteinGAN((1, 16, 16), 4, 6), torch.rand(8, 1, 16, 16)
    torch.manual_seed(2)
    got = SMALL.players(network)[0].loss(images)
    torch.manual_seed(2)
    fake = network.generator(network.noise(8)).detach()
    real = signed(images)
    verdicts = network.critic(real).mean() - network.critic(fake).mean()
    expected = -verdicts + 10 * gradient_penalty(network.critic, real, fake)
    torch.testing.assert_close(got, expected)
    torch.manual_seed(2)
    deceived = SMALL.players(network)[-1].loss(images)
    torch.testing.assert_close(deceived, -network.critic(fake).mean(), rtol=1e-4, atol=1e-5)


def test_critic_judges_every_image_by_itself() -> None:
    network, images = WassersteinGAN((1, 16, 16), 4, 6).train(), torch.rand(8, 1, 16, 16)
    torch.testing.assert_close(network.critic(images)[:1], network.critic(images[:1]))


def test_encoder_is_trained_into_fixed_players() -> None:
    normals = as_images(draw_blobs(32, 0))
    short, long = (replace(SMALL, encoder_epochs=epochs).fit(normals, RUN) for epochs in (1, 3))
    for name, value in short.network.state_dict().items():
        same = torch.equal(value, long.network.state_dict()[name])
        assert same or name.startswith("encoder"), name
    assert not torch.equal(short.network.encoder.head.weight, long.network.encoder.head.weight)
    assert [(epoch.stage, len(epoch.losses)) for epoch in short.history.epochs] == [("gan", 3)] * 2 + [("encoder", 1)]


def test_encoder_learns_through_the_generator_that_scores() -> None:
    normals = as_images(draw_blobs(32, 0))
    still = replace(SMALL, encoder_epochs=1, encoder_rate=1e-12, batch_size=32)
    detector = still.fit(normals, RUN)
    detector.network.encoder.train()  # it alone normalises by the batch
    with torch.no_grad():
        expected = detector.network.discrepancy(normals.batch(np.arange(32)), 1.0).mean()
    assert detector.history.epochs[-1].losses[0] == pytest.approx(float(expected), rel=1e-4)


def test_score_is_the_residual_plus_kappa_times_that_of_features() -> None:
    detector = replace(SMALL, kappa=0.5).fit(as_images(draw_blobs(32, 0)), RUN)
    images = draw_blobs(4, 1, bright=True)
    network = detector.network
    with torch.no_grad():
        made = network(images)
        features = [network.critic.features(2 * x - 1) for x in (images, made)]
    pixels = (2 * (images - made)).square().mean((1, 2, 3))
    expected = pixels + 0.5 * (features[0] - features[1]).square().mean(1)
    torch.testing.assert_close(detector.anomaly_score(images), expected, rtol=1e-4, atol=1e-6)


def test_stopped_in_either_stage_it_goes_on_to_the_same_scores(tmp_path: Path) -> None:
    normals, images = as_images(draw_blobs(40, 0)), draw_blobs(6, 1)
    detector, stopped = fit_with_interruptions(SMALL, normals, tmp_path, 6)
    assert stopped >= 2
    assert {file.stem for file in tmp_path.glob("*.safetensors")} == {"gan", "encoder"}
    assert torch.equal(detector.anomaly_score(images), undisturbed(SMALL, normals).anomaly_score(images))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"critic_steps": 0}, "f_anogan --critic-steps: expected at least 1, got 0"),
        ({"kappa": -1.0}, "f_anogan --kappa: expected a number of at least 0, got -1.0"),
        ({"penalty": np.inf}, "f_anogan --penalty: expected a number of at least 0, got inf"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        replace(SMALL, **changes)
