"""GANomaly: its three losses by hand, feature matching, and a score that knows no batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from normoscope.errors import OptionError
from normoscope.images import as_images
from normoscope.methods.ganomaly import GANomaly, TwiceEncoded
from normoscope.types import Run
from toys import draw_blobs

RUN = Run(device="cpu", precision="float32")
SMALL = GANomaly(latent_dim=5, width=4, hidden=16, epochs=2, batch_size=16)


@pytest.fixture
def network() -> TwiceEncoded:
    torch.manual_seed(0)
    return TwiceEncoded((1, 20, 20), 5, 4, 16)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(6, 1, 20, 20, generator=torch.Generator().manual_seed(0))


def mean_square(first: Tensor, second: Tensor) -> float:
    differences = (first - second).detach().flatten().tolist()
    return sum(d * d for d in differences) / len(differences)


def test_generator_loss_is_the_three_weighted_residuals(network: TwiceEncoded, images: Tensor) -> None:
    made = network(images)
    signs = 2 * images - 1, 2 * made - 1
    seen = mean_square(*(network.discriminator.features(x) for x in signs))
    pixels = mean_square(*signs)
    latent = mean_square(network.encode(images), network.second.encode(made))
    recipe = replace(SMALL, adversarial_weight=2.0, pixel_weight=7.0, latent_weight=3.0)
    for weighted, expected in ((SMALL, seen + 50 * pixels + latent), (recipe, 2 * seen + 7 * pixels + 3 * latent)):
        got = weighted.players(network)[1].loss(images)
        assert float(got.detach()) == pytest.approx(expected, rel=1e-4)


def test_discriminator_loss_is_half_the_logistic_loss_of_both_verdicts(network: TwiceEncoded, images: Tensor) -> None:
    got = SMALL.players(network)[0].loss(images)
    real, fake = network.discriminator(2 * images - 1), network.discriminator(2 * network(images) - 1)
    expected = (torch.log1p(torch.exp(-real)).mean() + torch.log1p(torch.exp(fake)).mean()) / 2
    torch.testing.assert_close(got, expected)


def test_feature_matching_pulls_the_image_to_where_the_features_agree(network: TwiceEncoded, images: Tensor) -> None:
    network.discriminator.down = nn.Identity()  # its features are now the pixels themselves
    by_features = replace(SMALL, adversarial_weight=3.0, pixel_weight=0.0, latent_weight=0.0)
    by_pixels = replace(SMALL, adversarial_weight=0.0, pixel_weight=3.0, latent_weight=0.0)
    gradients = []
    for recipe in (by_features, by_pixels):
        network.zero_grad()
        recipe.players(network)[1].loss(images).backward()
        gradients.append([network.up[0].weight.grad.clone(), network.down[0].weight.grad.clone()])
    for features, pixels in zip(*gradients, strict=True):
        assert features.abs().max() > 0
        torch.testing.assert_close(features, pixels, rtol=1e-4, atol=1e-6)


def test_each_player_moves_itself_alone(network: TwiceEncoded, images: Tensor) -> None:
    for phase, judges in zip(SMALL.players(network), (True, False), strict=True):
        before = {name: value.clone() for name, value in network.state_dict().items()}
        network.zero_grad()
        phase.loss(images).backward()
        phase.optimizer(SMALL.schedule, torch.device("cpu")).step()
        changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
        assert all(name.startswith("discriminator") is judges for name in changed)
        own = {name for name, _ in network.named_parameters() if name.startswith("discriminator") is judges}
        # a bias before a normalisation has no slope, so it may stay where it is
        assert {name for name in own if name.endswith("weight")} <= changed


def test_score_is_how_far_the_latent_vector_moves_whatever_the_batch() -> None:
    detector = SMALL.fit(as_images(draw_blobs(40, 0)), RUN)
    images = draw_blobs(5, 1, bright=True)
    network = detector.network
    for image, score in zip(images, detector.anomaly_score(images).tolist(), strict=True):
        with torch.no_grad():
            latent = network.encode(image[None])
            again = network.second.encode(network.decode(latent))
        assert score == pytest.approx(mean_square(latent, again), rel=1e-3)


def test_patience_watches_what_does_not_depend_on_the_discriminator() -> None:
    normals, select = as_images(draw_blobs(40, 0)), as_images(draw_blobs(8, 1))
    detector = replace(SMALL, patience=5).fit(normals, RUN, select)
    images = select.batch(range(8))
    network = detector.network
    with torch.no_grad():
        latent, made, again = network.again(images)
    expected = 50 * mean_square(2 * made, 2 * images) + mean_square(latent, again)
    watched = [epoch.select_loss for epoch in detector.history.epochs]
    assert min(watched) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("option", ["adversarial_weight", "pixel_weight", "latent_weight"])
def test_values_out_of_range_are_refused_by_name(option: str) -> None:
    name = option.replace("_", "-")
    with pytest.raises(OptionError, match=f"ganomaly --{name}: expected a number of at least 0, got -1.0"):
        replace(SMALL, **{option: -1.0})
