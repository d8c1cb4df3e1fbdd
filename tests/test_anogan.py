"""AnoGAN: the search finds what was planted, each image on its own, and each player moves itself alone."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from normoscope.errors import OptionError
from normoscope.images import as_images
from normoscope.methods.anogan import AnoGAN
from normoscope.nn.gan import signed
from normoscope.nn.inference import computing
from normoscope.nn.latent_search import SearchedGAN
from normoscope.progress import steps_shown
from normoscope.types import Run
from toys import draw_blobs

RUN = Run(device="cpu", precision="float32")
SMALL = AnoGAN(latent_dim=6, width=4, search_steps=5, search_rate=0.1, epochs=2, batch_size=16)


@pytest.fixture
def network() -> SearchedGAN:
    """A generator that no one trained but whose images differ visibly with z."""
    torch.manual_seed(0)
    made = SearchedGAN((1, 16, 16), 6, 4, steps=150, rate=0.05).eval()
    for parameter in made.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0, 0.15)
    return made


def planted(network: SearchedGAN, count: int) -> tuple[Tensor, Tensor]:
    latent = network.noise(count)
    return latent, network.decode(latent).detach()


def test_search_recovers_planted_latents_and_finds_none_for_a_bright_square(network: SearchedGAN) -> None:
    truth, images = planted(network, 6)
    squares = images.clone()
    squares[:, :, 2:7, 9:14] = 1
    start = network.discrepancy(images)(network.start.expand(6, -1))
    found = network.encode(images)
    left = network.discrepancy(images)(found).detach()
    assert (left < 0.1 * start).all()
    torch.testing.assert_close(found, truth, rtol=0, atol=0.1)
    anomalous = network.discrepancy(squares)(network.encode(squares)).detach()
    assert float(anomalous.min()) > 3 * float(left.max())


def test_search_is_one_adam_per_image(network: SearchedGAN) -> None:
    network.steps = 7
    _, images = planted(network, 3)
    together = network.encode(images)
    for image, found in zip(images, together, strict=True):
        latent = network.start[None].clone().requires_grad_()
        adam = torch.optim.Adam([latent], network.rate)
        for _ in range(7):
            adam.zero_grad()
            network.discrepancy(image[None])(latent).sum().backward()
            adam.step()
        torch.testing.assert_close(found, latent.detach()[0], rtol=1e-3, atol=1e-4)


def test_search_gets_nearer_in_reduced_precision_too(network: SearchedGAN) -> None:
    _, images = planted(network, 4)
    with computing(torch.device("cpu"), torch.bfloat16):
        found = network.encode(images)
    start, left = (network.discrepancy(images)(z).detach() for z in (network.start.expand(4, -1), found))
    assert (left < 0.3 * start).all()


def test_discrepancy_is_the_weighted_sum_of_pixel_and_feature_residuals(network: SearchedGAN) -> None:
    _, images = planted(network, 2)
    latent = network.noise(2)
    made = network.generator(latent)
    seen = network.discriminator.features(signed(images)) - network.discriminator.features(made)
    for weight in (0.0, 0.1, 1.0):
        network.feature_weight = weight
        for i, value in enumerate(network.discrepancy(images)(latent).tolist()):
            pixels = sum(abs(float(d)) for d in (2 * images[i] - 1 - made[i]).detach().flatten())
            features = sum(abs(float(d)) for d in seen[i].detach())
            assert value == pytest.approx((1 - weight) * pixels + weight * features, rel=1e-4)


def test_each_player_moves_itself_alone() -> None:
    network = SearchedGAN((1, 16, 16), 4, 6)
    images = torch.rand(8, 1, 16, 16)
    for phase, moving in zip(SMALL.players(network), ("discriminator", "generator"), strict=True):
        before = {name: value.clone() for name, value in network.state_dict().items()}
        network.zero_grad()
        phase.loss(images).backward()
        phase.optimizer(SMALL.schedule, torch.device("cpu")).step()
        moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
        assert {name.partition(".")[0] for name in moved} == {moving}
        assert {name for name, p in network.named_parameters() if name.startswith(moving)} <= moved
        assert any("running_mean" in name for name in moved)


def test_discriminator_is_asked_for_real_and_made_up_and_generator_for_the_opposite() -> None:
    network = SearchedGAN((1, 16, 16), 4, 6)
    with torch.no_grad():
        network.discriminator.head.weight.zero_()
        network.discriminator.head.bias.fill_(2.0)  # it calls everything real
    judge, deceive = (float(phase.loss(torch.rand(8, 1, 16, 16)).detach()) for phase in SMALL.players(network))
    sure, wrong = np.log1p(np.exp(-2.0)), np.log1p(np.exp(2.0))
    assert judge == pytest.approx(sure + wrong, rel=1e-5)
    assert deceive == pytest.approx(sure, rel=1e-5)


def test_score_map_and_start_survive_saving() -> None:
    detector = SMALL.fit(as_images(draw_blobs(32, 0)), RUN)
    images = draw_blobs(5, 1, bright=True)
    again = SMALL.restore(detector.state())
    assert torch.equal(again.network.start, detector.network.start)
    assert torch.equal(again.anomaly_score(images), detector.anomaly_score(images))
    torch.testing.assert_close(
        detector.anomaly_map(images), (detector.reconstruct(images) - images).abs().mean(1), rtol=0, atol=1e-6
    )
    with torch.no_grad():
        expected = detector.network.discrepancy(images)(detector.embed(images))
    torch.testing.assert_close(detector.anomaly_score(images), expected, rtol=1e-4, atol=1e-3)


def test_search_says_how_far_it_is_where_the_run_shows_progress(capsys: pytest.CaptureFixture[str]) -> None:
    for shown in (False, True):
        for _ in steps_shown("latent search", 3, shown):
            time.sleep(0.45)
        assert ("latent search" in capsys.readouterr().err) is shown
    assert list(steps_shown("latent search", 3, True)) == [0, 1, 2]
    detector = replace(SMALL, epochs=1).fit(as_images(draw_blobs(16, 0)), RUN)
    assert not detector.network.progress
    assert detector.to(RUN.replace(progress=True)).network.progress


def test_augmentation_changes_what_the_discriminator_sees() -> None:
    normals = as_images(draw_blobs(32, 0))
    still, moving = (replace(SMALL, augmentation=amount).fit(normals, RUN).network for amount in (0.0, 0.1))
    assert not torch.equal(still.discriminator.head.weight, moving.discriminator.head.weight)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"search_steps": 0}, "anogan --search-steps: expected at least 1, got 0"),
        ({"feature_weight": 1.5}, "anogan --feature-weight: expected a number from 0 to 1, got 1.5"),
        ({"augmentation": -0.1}, "anogan --augmentation: expected a number from 0 to 1, got -0.1"),
        ({"search_rate": 0.0}, "anogan --search-rate: expected a number above 0, got 0.0"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        replace(SMALL, **changes)
