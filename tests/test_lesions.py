"""Figures of lesions: counted by hand, with the interval that patients deserve."""

from __future__ import annotations

import math

import numpy as np
import pytest

from normoscope import metrics
from normoscope.errors import ScoresError
from normoscope.lesions import Lesions, share
from normoscope.statistics import binomial


def four() -> Lesions:
    """Lesions of 1, 2, 4 and 8 of 100 pixels, all in the first row."""
    masks = np.zeros((4, 10, 10), bool)
    for mask, size in zip(masks, (1, 2, 4, 8), strict=True):
        mask[0, :size] = True
    return Lesions(masks)


def test_areas_and_ranges_of_areas() -> None:
    assert four().areas.tolist() == [0.01, 0.02, 0.04, 0.08]
    assert four().between(0.01, 0.04).tolist() == [True, True, True, False]
    assert len(four().of(four().between(0.03, 1))) == 2


def test_pointing_is_the_share_of_lesions_that_hold_the_highest_pixel() -> None:
    maps = np.zeros((4, 10, 10))
    maps[:, 0, 3] = 1
    found = four().pointing(maps)
    assert (found.value, found.low, found.high) == (0.5, binomial(2, 4).low, binomial(2, 4).high)
    assert four().pointing(maps, tolerance=2).value == 0.75


def test_ties_make_fractions_and_a_bootstrap() -> None:
    maps = np.zeros((4, 10, 10))
    maps[:, 0, 1:3] = 1
    found = four().pointing(maps)
    assert found.value == pytest.approx((0 + 0.5 + 1 + 1) / 4)
    assert "bootstrap" in found.how


def test_a_share_with_a_tie_is_told_no_more_surely_than_one_without() -> None:
    sure, tied = share(np.ones(20)), share(np.r_[np.ones(19), 0.5])
    assert tied.value == 0.975
    assert tied.low < sure.low
    assert tied.how.endswith("no narrower than exact binomial over 20 images")


def test_a_lesion_is_hit_by_one_marked_pixel_inside() -> None:
    marked = np.zeros((4, 10, 10), bool)
    marked[:2, 5, 5] = True
    marked[3, 0, 7] = True
    assert four().hit(marked).value == 0.25


def test_pixel_figures_are_those_of_the_metrics() -> None:
    maps = np.random.default_rng(0).random((4, 10, 10))
    assert four().aupro(maps).value == metrics.aupro(four().masks, maps)
    assert four().pixel_ap(maps).value == metrics.pixel_ap(four().masks, maps)


def test_patients_are_drawn_whole() -> None:
    hits, patients = np.tile([1, 0], 20), np.repeat(["a", "b", "c", "d"], 10)
    assert share(hits).how == "exact binomial over 40 images"
    assert "4 patients" in share(np.repeat([1, 0], 20), patients).how
    wide, narrow = share(np.repeat([1, 0], 20), patients), share(np.repeat([1, 0], 20))
    assert wide.high - wide.low > narrow.high - narrow.low


def test_a_share_of_nothing_is_undefined_and_empty_masks_are_refused() -> None:
    assert math.isnan(share(np.empty(0)).value)
    with pytest.raises(ScoresError, match="1 empty ones"):
        Lesions(np.stack([np.ones((3, 3), bool), np.zeros((3, 3), bool)]))
