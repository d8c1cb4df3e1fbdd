"""Regions: normals have none but for the share that was wished, and lesions are found where they are."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import ndimage

from normoscope import regions
from normoscope.errors import ImageShapeError, ScoresError
from normoscope.regions import HEIGHT, NormalMaps


def noisy(count: int, seed: int, side: int = 24) -> np.ndarray:
    """Maps as residuals are: heavy-tailed, smooth, and louder in the middle than at the border."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(-1, 1, side)
    loud = 1 + 4 * np.exp(-4 * (rows[:, None] ** 2 + rows[None] ** 2))
    drawn = ndimage.gaussian_filter(rng.standard_t(4, (count, side, side)), (0, 1, 1))
    return np.asarray((loud * drawn) ** 2, np.float32)


@pytest.fixture(scope="module")
def normal() -> NormalMaps:
    found = NormalMaps.fit(noisy(80, 0))
    assert found is not None
    return found


def test_no_more_normals_than_wished_have_any_region() -> None:
    # over forty calibrations, for the guarantee is on average over them
    marked = []
    for seed in range(40):
        fitted = NormalMaps.fit(noisy(39, 100 + seed))
        assert fitted is not None
        marked += [fitted.marked(one, 0.1).any() for one in noisy(25, 1000 + seed)]
    rate, error = np.mean(marked), math.sqrt(0.1 * 0.9 / len(marked))
    assert rate < 0.1 + 3 * error
    assert rate > 0.04  # nor is the test idle


def test_patients_are_left_out_whole_and_count_once() -> None:
    maps = noisy(60, 3)
    found = NormalMaps.fit(maps, [f"p{i // 3}" for i in range(60)])
    assert found is not None
    assert found.unit == "patient"
    assert len(found.masses) == 20
    others = NormalMaps.fit(maps[3:])
    assert others is not None
    of_first = max((others.regions(one)[0].mass if others.regions(one) else 0.0) for one in maps[:3])
    assert np.abs(found.masses - of_first).min() == pytest.approx(0, abs=1e-3 * of_first + 1e-6)


def test_a_normal_is_standardised_by_the_others(normal: NormalMaps) -> None:
    maps = noisy(80, 0)
    expected = []
    for left_out in range(5):
        others = NormalMaps.fit(np.delete(maps, left_out, 0))
        assert others is not None
        found = others.regions(maps[left_out])
        expected.append(found[0].mass if found else 0.0)
    for mass in expected:
        assert np.abs(normal.masses - mass).min() < 1e-3 * mass + 1e-6


def test_a_lesion_is_one_region_where_it_is_with_the_smallest_pvalue(normal: NormalMaps) -> None:
    image = noisy(1, 7)[0]
    image[4:10, 12:18] += 400
    [first, *_] = normal.regions(image)
    assert first.pvalue == 1 / 81
    assert first.pixels[4:10, 12:18].all()
    assert 4 <= first.at[0] < 10
    assert 12 <= first.at[1] < 18
    assert first.area < 0.2
    np.testing.assert_array_equal(normal.marked(image, 1 / 81), first.pixels)
    assert not normal.marked(image, 0.01).any()
    top, left, bottom, right = first.to_json()["box"]
    assert top <= 4 < 10 <= bottom
    assert left <= 12 < 18 <= right


def test_mass_is_what_exceeds_the_height_and_corners_connect(normal: NormalMaps) -> None:
    z = np.zeros((24, 24))
    z[3, 3], z[4, 4], z[20, 20] = HEIGHT + 1, HEIGHT + 2, HEIGHT + 0.5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NormalMaps, "standardised", lambda self, pixel_scores: pixel_scores)
        found = normal.regions(z)
    assert [round(region.mass, 6) for region in found] == [3, 0.5]
    assert found[0].at == (4, 4)
    assert found[0].pixels.sum() == 2


def test_a_pvalue_counts_the_normals_with_as_large_a_cluster(normal: NormalMaps) -> None:
    masses = normal.masses
    assert normal.pvalue(float(masses[-1])) == 2 / 81
    assert normal.pvalue(float(masses[-1]) + 1) == 1 / 81
    assert normal.pvalue(float(masses[0])) == (1 + np.sum(masses >= masses[0])) / 81


def test_maps_survive_json(normal: NormalMaps) -> None:
    again = NormalMaps.from_json(json.loads(json.dumps(normal.to_json())))
    np.testing.assert_array_equal(again.mean, normal.mean)
    np.testing.assert_array_equal(again.deviation, normal.deviation)
    np.testing.assert_array_equal(again.masses, normal.masses)
    assert again.unit == normal.unit == "image"


def test_where_normals_never_vary_a_change_counts_but_rounding_does_not() -> None:
    maps = noisy(30, 5)
    maps[:, :, :4] = 0.3
    found = NormalMaps.fit(maps)
    assert found is not None
    image = maps[0].copy()
    image[:, 0] += 1e-6
    assert found.standardised(image)[:, 0].max() < HEIGHT
    image[5:8, :3] += 1000
    assert found.regions(image)[0].pixels[5:8, :3].all()


def test_scale_and_offset_of_the_maps_do_not_matter(normal: NormalMaps) -> None:
    scaled = NormalMaps.fit(1e-4 * noisy(80, 0) - 0.01)
    assert scaled is not None
    np.testing.assert_allclose(scaled.masses, normal.masses, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("value", [0.1, 0.3, 1 / 3, 0.5, 0.7])
def test_where_no_normal_ever_varies_their_like_has_no_region(value: float) -> None:
    maps = np.full((20, 16, 16), value, np.float32)
    found = NormalMaps.fit(maps)
    assert found is not None
    assert found.regions(maps[0]) == []
    maps[0, 4:8, 4:8] += 0.01
    assert found.regions(maps[0])[0].pvalue == 1 / 21


def test_maps_that_are_no_numbers_and_patients_of_another_number_are_refused() -> None:
    maps = noisy(30, 0)
    numbered = NormalMaps.fit(maps, np.array([f"p{i}" for i in range(30)]))
    assert numbered is not None
    assert numbered.unit == "patient"
    with pytest.raises(ScoresError, match="patients: expected 30, one per map, got 3"):
        NormalMaps.fit(maps, ["a", "b", "c"])
    maps[3, 2, 1] = np.nan
    with pytest.raises(ScoresError, match="an anomaly map: expected finite numbers, got 1 that are not"):
        numbered.regions(maps[3])
    with pytest.raises(ScoresError, match="anomaly maps: expected finite numbers, got 1 of 30 that are not"):
        NormalMaps.fit(maps)


def test_few_normals_or_patients_learn_nothing() -> None:
    assert NormalMaps.fit(noisy(regions.FEWEST - 1, 0)) is None
    assert NormalMaps.fit(noisy(30, 0), [f"p{i // 5}" for i in range(30)]) is None
    assert NormalMaps.fit(noisy(30, 0), [None] * 30) is not None


def test_maps_of_another_size_are_refused(normal: NormalMaps) -> None:
    with pytest.raises(ImageShapeError):
        normal.regions(np.zeros((8, 8)))
