"""The bits of rounded latents against known values and laws, and the code behind them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from normoscope.estimates import Estimate
from normoscope.rounding import _coded, quantised_bits
from toys import bits_of_rounded_normal, entropy_of_normal, normal, turned

Law = Callable[..., Estimate]


def test_rounded_bits_of_a_normal_sample_are_those_of_its_cells() -> None:
    deviations = np.array([2.0, 1.0, 0.5])
    truth = sum(bits_of_rounded_normal(deviation, 0.5) for deviation in deviations)
    assert quantised_bits(turned(normal(4000, 3) * deviations), 0.5).value == pytest.approx(truth, abs=0.1)


def test_axes_are_turned_so_that_copied_coordinates_count_once() -> None:
    one = normal(1000, 1)
    alone, thrice = quantised_bits(one, 0.5).value, quantised_bits(np.repeat(one, 3, axis=1), math.sqrt(3) * 0.5).value
    assert thrice == pytest.approx(alone, abs=0.05)


def test_rounded_bits_of_few_images_stay_at_or_above_the_truth_in_many_dimensions() -> None:
    deviations = 1 / np.arange(1, 65)
    truth = sum(bits_of_rounded_normal(deviation, 0.1) for deviation in deviations)
    assert truth < quantised_bits(turned(normal(100, 64) * deviations), 0.1).value < 1.3 * truth


@pytest.mark.parametrize(("n", "d", "step"), [(400, 32, 0.1), (135, 16, 0.5), (135, 64, 0.3), (1100, 4, 1e-3)])
def test_rounded_bits_are_at_most_what_is_said_however_fine_the_step(n: int, d: int, step: float) -> None:
    truth = d * (
        bits_of_rounded_normal(1, step) if step > 0.01 else entropy_of_normal(1) / math.log(2) - math.log2(step)
    )
    found = [quantised_bits(normal(n, d, seed), step) for seed in range(5)]
    assert 0 < np.mean([one.value for one in found]) - truth < 0.08 * d
    assert all(one.high > truth for one in found)


def test_a_code_of_rounded_latents_is_a_distribution_over_all_cells() -> None:
    cells = np.rint(3 * np.random.default_rng(0).standard_normal(60))
    new = np.arange(-300.0, 301)
    # an image more in the cell that is asked for: its own kernel is left out, so q is that of the sixty
    spent = [_coded(np.append(cells, cell))[-1] for cell in new]
    assert 0.99 < np.sum(2.0 ** -np.array(spent)) < 1.03  # the width and the middle move with the image that is added
    assert max(spent) < 25
    assert np.mean(_coded(np.zeros(600))) < 0.01
