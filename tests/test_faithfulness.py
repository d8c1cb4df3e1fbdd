"""Curves, pointing and chance maps: against what can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from normoscope.errors import ScoresError
from normoscope.faithfulness import STEPS, Chance, Curves, pointing, replacement_curves

WEIGHTS = torch.arange(20.0, 0, -1).view(4, 5)
"""Of a linear score: the first pixel counts 20, the last 1; one pixel is one step."""


def linear(images: Tensor) -> Tensor:
    return (images * WEIGHTS).sum((1, 2, 3)) - 7


def walked(maps: np.ndarray, seed: int = 0) -> Curves:
    """White images against black counterparts."""
    count = len(maps)
    return replacement_curves(linear, torch.ones(count, 1, 4, 5), torch.zeros(count, 1, 4, 5), maps, seed)


def test_curves_of_a_linear_score_are_partial_sums_of_its_weights() -> None:
    found = walked(WEIGHTS.numpy()[None])
    kept = 1 - np.append(0, np.cumsum(np.arange(20, 0, -1))) / 210
    np.testing.assert_allclose(found.deletion[0], kept, atol=1e-6)
    np.testing.assert_allclose(found.insertion[0], 1 - kept, atol=1e-6)
    assert found.deletion_area[0] == pytest.approx((kept.sum() - 0.5) / 20, abs=1e-6)


def test_the_reversed_map_has_the_mirrored_areas() -> None:
    right, wrong = walked(WEIGHTS.numpy()[None]), walked(-WEIGHTS.numpy()[None])
    assert wrong.deletion_area[0] == pytest.approx(1 - right.deletion_area[0], abs=1e-6)
    assert wrong.insertion_area[0] == pytest.approx(1 - right.insertion_area[0], abs=1e-6)
    assert right.deletion_area[0] < 0.4 < 0.6 < right.insertion_area[0]


def test_a_score_of_one_pixel_falls_at_once_or_last_of_all() -> None:
    def corner(images: Tensor) -> Tensor:
        return images[:, 0, 0, 0]

    image, black = torch.ones(1, 1, 8, 10), torch.zeros(1, 1, 8, 10)
    points = np.zeros((1, 8, 10))
    points[0, 0, 0] = 1
    assert replacement_curves(corner, image, black, points).deletion_area[0] == pytest.approx(0.5 / STEPS)
    assert replacement_curves(corner, image, black, -points).deletion_area[0] == pytest.approx(1 - 0.5 / STEPS)
    assert replacement_curves(corner, image, black, points).insertion_area[0] == pytest.approx(1 - 0.5 / STEPS)


def test_every_image_is_walked_by_its_own_map_in_a_batch_as_alone() -> None:
    maps = np.random.default_rng(0).random((40, 4, 5))
    images, counterparts = torch.rand(40, 1, 4, 5) + 1, torch.rand(40, 1, 4, 5)
    together = replacement_curves(linear, images, counterparts, maps)
    for row in (0, 17, 39):
        alone = replacement_curves(linear, images[[row]], counterparts[[row]], maps[[row]])
        np.testing.assert_allclose(alone.deletion[0], together.deletion[row], atol=1e-6)
        np.testing.assert_allclose(alone.insertion[0], together.insertion[row], atol=1e-6)


def test_equal_pixels_go_in_a_seeded_random_order() -> None:
    flat = np.zeros((200, 4, 5))
    areas = walked(flat).deletion_area
    assert areas.mean() == pytest.approx(0.5, abs=4 * areas.std() / np.sqrt(200))
    assert areas.std() > 0.01
    np.testing.assert_array_equal(areas, walked(flat).deletion_area)
    assert not np.array_equal(areas, walked(flat, seed=1).deletion_area)


def test_all_channels_of_a_pixel_are_replaced_together() -> None:
    seen: list[Tensor] = []

    def look(images: Tensor) -> Tensor:
        seen.append(images)
        return images.sum((1, 2, 3))

    replacement_curves(look, torch.ones(1, 3, 4, 5), torch.zeros(1, 3, 4, 5), WEIGHTS.numpy()[None])
    for images in seen:
        assert torch.equal(images[:, 0], images[:, 1])
        assert torch.equal(images[:, 0], images[:, 2])


def test_without_a_fall_of_the_score_there_is_no_area() -> None:
    images = torch.stack([torch.ones(1, 4, 5), torch.zeros(1, 4, 5), torch.ones(1, 4, 5)])
    counterparts = torch.stack([torch.ones(1, 4, 5), torch.ones(1, 4, 5), torch.zeros(1, 4, 5)])
    found = replacement_curves(linear, images, counterparts, np.random.default_rng(0).random((3, 4, 5)))
    assert np.isnan(found.deletion_area).tolist() == [True, True, False]
    assert np.isnan(found.insertion_area).tolist() == [True, True, False]


def test_maps_that_do_not_fit_or_are_not_finite_are_refused() -> None:
    with pytest.raises(ScoresError, match="maps and counterparts"):
        walked(np.zeros((1, 5, 4)))
    with pytest.raises(ScoresError):
        walked(np.full((1, 4, 5), np.nan))


def test_pointing_asks_for_the_highest_pixel_and_shares_ties() -> None:
    mask = np.zeros((6, 6), bool)
    mask[1:3, 1:3] = True
    inside, outside, tied = np.zeros((3, 6, 6))
    inside[2, 2], outside[5, 5] = 1, 1
    tied[1, 1] = tied[4, 4] = tied[5, 0] = 3
    assert [pointing(one, mask) for one in (inside, outside, tied)] == [1, 0, pytest.approx(1 / 3)]
    assert pointing(np.zeros((6, 6)), mask) == pytest.approx(4 / 36)
    assert np.isnan(pointing(inside, np.zeros((6, 6), bool)))


def test_the_tolerance_is_a_distance_in_pixels() -> None:
    mask, point = np.zeros((9, 9), bool), np.zeros((9, 9))
    mask[0, 0], point[3, 4] = True, 1
    assert pointing(point, mask, 4.9) == 0
    assert pointing(point, mask, 5.0) == 1


def test_chance_maps_are_what_their_names_say() -> None:
    rng = np.random.default_rng(0)
    ramp = np.broadcast_to(np.arange(7.0) / 10, (3, 5, 7))
    np.testing.assert_allclose(Chance.EDGES(ramp, rng), 0.1)
    np.testing.assert_allclose(Chance.BRIGHTEST(ramp, rng), ramp[0])
    centre = Chance.CENTRE(ramp, rng)
    assert centre[2, 3] == 0
    assert centre[0, 0] == pytest.approx(-np.hypot(2, 3))
    coloured = np.stack([np.full((2, 2), value) for value in (0.0, 0.3, 0.6)])
    np.testing.assert_allclose(Chance.BRIGHTEST(coloured, rng), 0.3)


def test_the_random_map_is_seeded_and_uniform() -> None:
    image = np.zeros((1, 100, 100))
    first, again = (Chance.RANDOM(image, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(np.quantile(first, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.02)
