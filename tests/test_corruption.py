"""Each corruption changes what it says, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from normoscope.nn.corruption import Corruption
from normoscope.types import Run


@pytest.fixture
def images() -> Tensor:
    return torch.rand(40, 2, 24, 32, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25


@pytest.mark.parametrize("kind", list(Corruption))
@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 5, 9), (1, 1, 64, 40)])
def test_result_has_the_images_shape_and_range_and_leaves_the_images_alone(kind: Corruption, shape: tuple) -> None:
    before = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    given = before.clone()
    with Run(device="cpu").seeded(), torch.autocast("cpu", torch.bfloat16):
        spoilt = kind(given)
    assert spoilt.shape == shape
    assert spoilt.dtype == torch.float32
    assert 0 <= float(spoilt.min()) <= float(spoilt.max()) <= 1
    assert torch.equal(given, before)
    assert not torch.equal(spoilt, before)


@pytest.mark.parametrize("kind", list(Corruption))
def test_randomness_is_the_seeds(kind: Corruption, images: Tensor) -> None:
    def spoil(seed: int) -> Tensor:
        with Run(seed=seed, device="cpu").seeded():
            return kind(images)

    assert torch.equal(spoil(0), spoil(0))
    assert torch.equal(spoil(0), spoil(1)) == (kind is Corruption.BLUR)


def test_coarse_noise_adds_what_varies_over_an_eighth_of_the_image() -> None:
    grey = torch.full((300, 1, 64, 64), 0.5)
    with Run(device="cpu").seeded():
        noise = Corruption.COARSE_NOISE(grey) - grey
    assert abs(float(noise.mean())) < 0.01
    centre = noise[:, 0, 4::8, 4::8]
    assert 0.15 < float(centre.std()) < 0.2
    neighbour, cell_away = noise[:, 0, 4::8, 5::8], noise[:, 0, 4::8, 20::8]
    assert float(torch.corrcoef(torch.stack([centre.flatten(), neighbour.flatten()]))[0, 1]) > 0.95
    apart = torch.stack([centre[:, :, :6].flatten(), cell_away.flatten()])
    assert abs(float(torch.corrcoef(apart)[0, 1])) < 0.05


def test_erase_changes_one_rectangle_of_an_eighth_to_a_half_of_each_side_and_nothing_else(images: Tensor) -> None:
    with Run(device="cpu").seeded():
        spoilt = Corruption.ERASE(images)
    for before, after in zip(images, spoilt, strict=True):
        changed = (before != after).all(0)
        assert torch.equal(changed, (before != after).any(0))
        rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        assert changed[box].all()
        assert int(changed.sum()) == changed[box].numel()
        assert 3 <= changed[box].shape[0] <= 12
        assert 4 <= changed[box].shape[1] <= 16
        assert all(len(channel[box].unique()) == 1 for channel in after)


def test_blur_keeps_constants_and_spreads_a_point_into_a_gaussian() -> None:
    grey = torch.full((1, 1, 32, 32), 0.3)
    torch.testing.assert_close(Corruption.BLUR(grey), grey)
    point = torch.zeros(1, 1, 32, 32)
    point[0, 0, 16, 16] = 1
    spread = Corruption.BLUR(point)[0, 0]
    at = torch.arange(32.0) - 16
    sigma = 32 / 16
    expected = torch.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * sigma**2)) / (2 * torch.pi * sigma**2)
    torch.testing.assert_close(spread, expected, rtol=0, atol=2e-4)
