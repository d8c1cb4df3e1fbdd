"""Coarse noise, the U-Net, and a detector that claims no latent vector."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normoscope.errors import OptionError
from normoscope.images import as_images
from normoscope.methods.dae import DAE, coarse_noise
from normoscope.nn.unet import UNet
from normoscope.types import Embeds, Localizes, Reconstructs, Run
from toys import draw_blobs

RUN = Run(device="cpu", precision="float32")
SMALL = DAE(width=4, depth=2, epochs=2, batch_size=16)


def noise(count: int, side: int, cells: int = 16) -> Tensor:
    torch.manual_seed(0)
    return coarse_noise(torch.zeros(count, 1, side, side), 0.2, cells)


def test_noise_on_its_own_grid_is_white_with_the_named_deviation() -> None:
    drawn = noise(400, 16)
    assert float(drawn.mean()) == pytest.approx(0.0, abs=0.003)
    assert float(drawn.std()) == pytest.approx(0.2, rel=0.01)
    neighbours = np.corrcoef(drawn[..., 1:].flatten().numpy(), drawn[..., :-1].flatten().numpy())[0, 1]
    assert abs(neighbours) < 0.02


def test_enlarged_noise_is_nearly_constant_within_a_cell_and_independent_beyond_two() -> None:
    drawn = noise(200, 128)[:, 0]
    assert float(drawn.mean()) == pytest.approx(0.0, abs=0.003)
    # bilinear weights t and 1 - t keep t² + (1 - t)², two thirds on average, of the variance along each axis
    assert float(drawn.std()) == pytest.approx(0.2 * 2 / 3, rel=0.03)
    step = (drawn[:, :, 1:] - drawn[:, :, :-1]).square().mean().sqrt()
    assert float(step) < 0.25 * float(drawn.std())
    apart = [np.corrcoef(drawn.flatten().numpy(), drawn.roll(k, 2).flatten().numpy())[0, 1] for k in (1, 24)]
    assert apart[0] > 0.95
    assert abs(apart[1]) < 0.05


def test_noise_is_rolled_at_random_along_both_axes() -> None:
    torch.manual_seed(1)
    seams = []
    for _ in range(30):
        drawn = coarse_noise(torch.zeros(8, 1, 64, 64), 0.2, 4)[:, 0]
        jumps = [(drawn - drawn.roll(1, axis)).abs().mean((0, 3 - axis)).argmax() for axis in (1, 2)]
        seams.append([int(jump) for jump in jumps])
    for along in np.transpose(seams):
        assert len(set(along)) > 15
        assert along.min() < 16
        assert along.max() > 47


def test_corrupted_images_are_the_image_plus_noise_within_the_foreground_plus_the_offset() -> None:
    images = torch.rand(6, 2, 32, 32) + 0.1
    images[:, :, :10] = 0.004
    torch.manual_seed(2)
    drawn = coarse_noise(images, 0.2, 16)
    for foreground, offset in ((False, 0.0), (True, 0.0), (True, -0.5)):
        torch.manual_seed(2)
        recipe = replace(SMALL, foreground=foreground, noise_offset=offset)
        expected = images + offset + drawn * (images.sum(1, keepdim=True) > 0.01 if foreground else 1)
        torch.testing.assert_close(recipe.corrupted(images), expected)
    assert (images.sum(1)[:, :10] < 0.01).all()


def test_the_benchmarks_network_has_31_million_parameters() -> None:
    network = UNet((1, 32, 32))
    widths = [64, 128, 256, 512, 1024]

    def block(i: int, o: int) -> int:
        return 9 * i * o + 9 * o * o + 2 * o + 4 * o

    down = sum(block(i, o) for i, o in zip([1, *widths[:-1]], widths, strict=True))
    up = sum(4 * 2 * o * o + o + block(2 * o, o) for o in widths[:-1])
    assert sum(p.numel() for p in network.parameters()) == down + up + 64 + 1 == 31_042_369
    assert [m.num_groups for m in network.down.modules() if isinstance(m, nn.GroupNorm)][::2] == [8, 16, 16, 32, 32]


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 33, 47), (1, 5, 70), (2, 3, 3), (1, 64, 64)])
@pytest.mark.parametrize("depth", [1, 3, 5])
def test_reconstructions_have_the_images_shape_whatever_it_is(shape: tuple[int, int, int], depth: int) -> None:
    torch.manual_seed(0)
    images = torch.rand(2, *shape)
    rebuilt = UNet(shape, 4, depth)(images)
    assert rebuilt.shape == images.shape
    assert torch.isfinite(rebuilt).all()


def test_padding_is_replication_that_is_cropped_away() -> None:
    torch.manual_seed(0)
    small, large = UNet((1, 13, 22), 4, 3), UNet((1, 16, 24), 4, 3)
    large.load_state_dict(small.state_dict())
    images = torch.rand(2, 1, 13, 22)
    padded = F.pad(images, (1, 1, 1, 2), mode="replicate")
    torch.testing.assert_close(small(images), large(padded)[:, :, 1:14, 1:23])


def test_one_level_agrees_with_plain_layers() -> None:
    torch.manual_seed(0)
    network = UNet((1, 9, 8), 6, 1)
    images = torch.rand(2, 1, 9, 8)
    hidden = 2 * images - 1
    block = network.down[0]
    for convolution, norm in ((block[0], block[2]), (block[3], block[5])):
        weight = convolution.weight.detach().numpy()
        flat = weight.reshape(6, -1)
        standard = (flat - flat.mean(1, keepdims=True)) / (flat.std(1, ddof=1, keepdims=True) + 1e-5)
        bordered = nn.ReflectionPad2d(1)(hidden)
        hidden = F.conv2d(bordered, torch.from_numpy(standard.reshape(weight.shape)), convolution.bias)
        hidden = F.group_norm(hidden * hidden.sigmoid(), 3, norm.weight, norm.bias)
    expected = (network.last(hidden) + 1) / 2
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)


def test_detail_travels_through_the_skip_connections() -> None:
    torch.manual_seed(0)
    network = UNet((1, 16, 16), 4, 3)
    for parameter in network.enlarge.parameters():
        parameter.data.zero_()  # nothing comes up from the deeper levels
    images = torch.rand(2, 1, 16, 16)
    changed = images.clone()
    changed[0, 0, 8, 8] += 0.3
    moved = (network(changed) - network(images)).abs()[:, 0]
    assert moved[0, 8, 8] > 0.01
    assert moved[0, 8, 8] > 5 * moved[0, :2].max()
    assert moved[1].max() == 0


@pytest.mark.slow
def test_noise_is_taken_off_and_score_and_map_are_of_the_clean_image() -> None:
    recipe = replace(SMALL, width=8, depth=3, noise_cells=4, epochs=25)
    detector = recipe.fit(as_images(draw_blobs(60, seed=1)), RUN)
    images = draw_blobs(30, seed=2)
    torch.manual_seed(3)
    noisy = recipe.corrupted(images)
    left = (detector.reconstruct(noisy) - images).square().mean()
    assert float(left) < 0.25 * float((noisy - images).square().mean())
    residual = (detector.reconstruct(images) - images).square()
    torch.testing.assert_close(detector.anomaly_map(images), residual[:, 0])
    torch.testing.assert_close(detector.anomaly_score(images), residual.mean((1, 2, 3)))


def test_it_localises_and_reconstructs_but_claims_no_latent_vector() -> None:
    detector = SMALL.fit(as_images(draw_blobs(20, seed=1)), RUN)
    assert isinstance(detector, Localizes)
    assert isinstance(detector, Reconstructs)
    assert not isinstance(detector, Embeds)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"width": 0}, "dae --width: expected at least 1, got 0"),
        ({"depth": 0}, "dae --depth: expected at least 1, got 0"),
        ({"noise_cells": 1}, "dae --noise-cells: expected at least 2, got 1"),
        ({"noise_sd": 0.0}, "dae --noise-sd: expected a number above 0, got 0.0"),
        ({"noise_offset": -2.0}, "dae --noise-offset: expected -1 to 1, got -2.0"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        replace(SMALL, **changes)
