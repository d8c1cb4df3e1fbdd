"""Training images that are moved a little: how far, how much turned, how much larger."""

from __future__ import annotations

import torch
from torch import Tensor

from normoscope.nn.augmentation import moved

HEIGHT, WIDTH, AMOUNT = 40, 60, 0.1


def ellipses(count: int, wide: float = 6) -> Tensor:
    """A soft ellipse, 3 pixels high and 6 wide unless said otherwise (standard deviations), amid every image."""
    y = torch.arange(float(HEIGHT))[:, None] - (HEIGHT - 1) / 2
    x = torch.arange(float(WIDTH))[None, :] - (WIDTH - 1) / 2
    return torch.exp(-(x**2) / (2 * wide**2) - y**2 / 18).expand(count, 1, HEIGHT, WIDTH).clone()


def moments(images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Centroid in pixels (x, y), angle of the longer axis, and half lengths (shorter, longer)."""
    mass = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True)
    y, x = torch.arange(float(HEIGHT))[:, None], torch.arange(float(WIDTH))[None, :]
    cx, cy = (mass * x).sum((1, 2)), (mass * y).sum((1, 2))
    dx, dy = x - cx[:, None, None], y - cy[:, None, None]
    xx, yy, xy = ((mass * product).sum((1, 2)) for product in (dx * dx, dy * dy, dx * dy))
    spread = torch.stack([torch.stack([xx, xy], 1), torch.stack([xy, yy], 1)], 1)
    return cx, cy, 0.5 * torch.atan2(2 * xy, xx - yy), torch.linalg.eigvalsh(spread).sqrt()


def test_shift_turn_and_scale_reach_their_bounds_and_stay_within_them() -> None:
    torch.manual_seed(0)
    still = moments(ellipses(1))
    x, y, angle, length = moments(moved(ellipses(400), AMOUNT))
    for change, bound in (
        ((x - still[0]).abs(), AMOUNT * WIDTH * 1.1),  # zooming out by a tenth lengthens a shift by a tenth
        ((y - still[1]).abs(), AMOUNT * HEIGHT * 1.1),
        (angle.abs(), AMOUNT),
        ((still[3] / length - 1)[:, 1].abs(), AMOUNT),
    ):
        assert bound * 0.8 < float(change.max()) < bound * 1.03


def test_round_things_stay_round_in_images_wider_than_high() -> None:
    torch.manual_seed(0)
    *_, axes = moments(moved(ellipses(100, wide=3), 0.2))
    assert float((axes[:, 1] / axes[:, 0]).max()) < 1.01


def test_images_move_apart_from_each_other_and_flat_ones_stay_flat() -> None:
    torch.manual_seed(0)
    first, second = moved(ellipses(2), AMOUNT)
    assert not torch.equal(first, second)
    flat = moved(torch.full((3, 2, 9, 7), 0.3), 0.5)
    torch.testing.assert_close(flat, torch.full((3, 2, 9, 7), 0.3))


def test_nothing_moves_by_nothing() -> None:
    images = ellipses(2)
    assert moved(images, 0.0) is images
