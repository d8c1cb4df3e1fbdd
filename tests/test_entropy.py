"""Entropies, dimensions and noise levels against known values, laws of scale, and simulation."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import make_swiss_roll

from normoscope.dimension import levina_bickel, participation_ratio, two_nn
from normoscope.disturbance import decoding_error, encoded, noise_level, step_level
from normoscope.entropy import (
    gaussian_entropy,
    knn_entropy,
    shrunk_gaussian_entropy,
)
from normoscope.errors import OptionError, ScoresError
from normoscope.estimates import Estimate, averaged, halved, one_of_each
from normoscope.images import as_images
from normoscope.information import gaussian_information, information_by_dimension, knn_information
from normoscope.latents import measure
from normoscope.rounding import quantised_bits
from toys import bits_of_rounded_normal, entropy_of_normal, normal, turned

Law = Callable[..., Estimate]
Linear = tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[torch.Tensor], torch.Tensor], torch.Tensor]


def share_covered(estimate: Law, draw: Callable[[np.random.Generator], np.ndarray], truth: float) -> float:
    """Of 100 repeated draws, how many intervals hold the truth."""
    rng = np.random.default_rng(5)
    found = [estimate(draw(rng)) for _ in range(100)]
    assert all(each.reason is None for each in found)
    return sum(each.low <= truth <= each.high for each in found) / 100


# --- what an estimate says


def test_an_estimate_is_written_with_three_digits_its_interval_and_its_unit() -> None:
    assert str(Estimate(12.34, 11.9, 12.78, "bits")) == "12.3 [11.9, 12.8] bits"
    assert str(Estimate(0.01234, unit="nats")) == "0.0123 nats"
    assert str(Estimate(344.2, 340.0, 349.0)) == "344 [340, 349]"
    assert str(Estimate.missing("40 images for 128 dimensions")) == "not estimable: 40 images for 128 dimensions"


def test_an_estimate_that_is_missing_has_no_numbers_in_json() -> None:
    assert Estimate.missing("why", "bits").to_json() == {
        "value": None, "low": None, "high": None, "unit": "bits", "reason": "why"
    }  # fmt: skip
    assert Estimate(1.0, 0.5, 1.5).to_json()["high"] == 1.5


# --- differential entropy


@pytest.mark.parametrize("d", [1, 4, 8])
@pytest.mark.parametrize("estimate", [gaussian_entropy, shrunk_gaussian_entropy, knn_entropy])
def test_the_entropy_of_a_normal_sample_is_the_known_one(estimate: Law, d: int) -> None:
    assert estimate(normal(2000, d)).value == pytest.approx(entropy_of_normal(d), abs=0.05 * d + 0.03)


def test_the_gaussian_entropy_has_no_bias_where_the_plain_log_determinant_has_much() -> None:
    samples = [normal(32, 12, seed) for seed in range(300)]
    corrected = np.mean([gaussian_entropy(sample).value for sample in samples])
    plain = np.mean([stats.multivariate_normal(cov=np.cov(sample.T)).entropy() for sample in samples])
    assert corrected == pytest.approx(entropy_of_normal(12), abs=0.1)  # 3 standard errors
    assert plain < entropy_of_normal(12) - 1


def test_the_entropy_of_a_cube_is_the_log_of_its_volume_without_assuming_a_distribution() -> None:
    cube = 3 * np.random.default_rng(0).random((2000, 2))
    assert knn_entropy(cube).value == pytest.approx(2 * math.log(3), abs=0.06)
    assert gaussian_entropy(cube).value > 2 * math.log(3) + 0.3  # the upper bound


def test_the_neighbours_entropy_is_kozachenkos_and_leonenkos_of_whitened_latents() -> None:
    latents = normal(60, 2) * [5, 1]
    whitened = (latents - latents.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(latents.T))).T
    third = np.sort(np.linalg.norm(whitened[:, None] - whitened, axis=2), axis=1)[:, 3]
    harmonic = sum(1 / i for i in range(3, 60))  # digamma(60) - digamma(3)
    truth = harmonic + np.mean(np.log(math.pi * third**2)) + 0.5 * math.log(np.linalg.det(np.cov(latents.T)))
    assert knn_entropy(latents).value == pytest.approx(truth, abs=1e-9)


@pytest.mark.parametrize("estimate", [gaussian_entropy, shrunk_gaussian_entropy, knn_entropy])
def test_scaling_adds_d_times_the_log_of_the_scale_and_turning_adds_nothing(estimate: Law) -> None:
    latents = normal(400, 4) * [1, 2, 3, 4]
    once = estimate(latents)
    assert estimate(7 * latents + 5).value == pytest.approx(once.value + 4 * math.log(7), abs=1e-8)
    assert estimate(turned(latents)).value == pytest.approx(once.value, abs=1e-8)


@pytest.mark.parametrize("estimate", [gaussian_entropy, knn_entropy])
def test_a_linear_map_adds_the_log_of_its_determinant_however_thin_it_makes_the_cloud(estimate: Law) -> None:
    latents, matrix = normal(400, 4), np.triu(np.ones((4, 4))) * [1, 1e-2, 1e-4, 1e-6]
    difference = estimate(latents @ matrix).value - estimate(latents).value
    assert difference == pytest.approx(-12 * math.log(10), abs=1e-6)


def test_too_few_images_are_told_how_many_are_needed() -> None:
    estimate = gaussian_entropy(normal(40, 128))
    assert str(estimate) == "not estimable: 40 images for 128 dimensions; at least 256 needed"
    assert math.isnan(estimate.value)
    assert "at least 256 needed" in str(knn_entropy(normal(40, 128)))
    assert shrunk_gaussian_entropy(normal(3, 128)).reason is None
    assert "at least 3 needed" in str(shrunk_gaussian_entropy(normal(2, 128)))


def test_nearest_neighbours_too_far_apart_for_the_dimension_give_no_entropy() -> None:
    assert "too sparse for 16 dimensions; their neighbours fill 1" in str(knn_entropy(normal(300, 16)))
    rng = np.random.default_rng(0)
    along = rng.standard_normal(1000)
    sheet = np.stack([along, np.sin(3 * along) + 1e-3 * rng.standard_normal(1000)], axis=1)
    assert "too sparse for 2 dimensions; their neighbours fill 1.0" in str(knn_entropy(sheet))


def test_copies_give_a_sentence_and_never_minus_infinity() -> None:
    latents = normal(100, 2)
    latents[:4] = latents[0]
    assert knn_entropy(latents).reason == "4 of 100 latent vectors have an exact copy"
    assert math.isfinite(knn_entropy(np.concatenate([normal(100, 2), normal(1, 2)])).value)  # a single pair is no atom
    assert "1 of 2 dimensions" in str(knn_entropy(normal(100, 2) * [1, 0]))


@pytest.mark.parametrize("estimate", [gaussian_entropy, knn_entropy])
def test_idle_dimensions_make_the_entropy_minus_infinity_in_words(estimate: Law) -> None:
    reason = estimate(normal(100, 3) * [1, 0, 1]).reason
    assert reason == "the latents fill 2 of 3 dimensions; their entropy is minus infinity"


def test_what_float32_rounds_is_no_dimension() -> None:
    flat = (normal(200, 2).astype(np.float32) @ normal(2, 3, 1).astype(np.float32)).astype(np.float64)
    for estimate in (gaussian_entropy, knn_entropy):
        assert estimate(flat).reason == "the latents fill 2 of 3 dimensions; their entropy is minus infinity"


@pytest.mark.parametrize("estimate", [gaussian_entropy, knn_entropy])
def test_an_axis_a_billionth_as_long_as_the_others_counts_as_long_as_it_is(estimate: Law) -> None:
    thin = turned(normal(400, 4) * [1, 1, 1, 1e-9])
    assert estimate(thin).value == pytest.approx(estimate(normal(400, 4)).value + math.log(1e-9), abs=1e-3)


def test_two_points_many_times_are_no_equal_latents() -> None:
    assert "fill 1 of 2 dimensions" in str(shrunk_gaussian_entropy(np.repeat([[0.0, 1], [1, 3]], 20, axis=0)))
    assert shrunk_gaussian_entropy(np.full((40, 2), 0.1)).reason == "all latent vectors are equal"


def test_a_dimension_that_one_image_alone_uses_has_no_jackknife_and_says_so() -> None:
    latents = normal(50, 2)
    latents[:, 1] = np.arange(50) == 7
    assert gaussian_entropy(latents).reason == "one image alone spans a dimension"


# --- intrinsic dimension


@pytest.mark.parametrize("estimate", [two_nn, levina_bickel])
def test_the_swiss_roll_has_two_dimensions_though_it_lies_in_three(estimate: Law) -> None:
    roll, _ = make_swiss_roll(2000, random_state=0)
    assert estimate(roll).value == pytest.approx(2, abs=0.15)
    assert participation_ratio(roll).value > 2.5


@pytest.mark.parametrize("estimate", [two_nn, levina_bickel])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_a_sphere_in_twenty_dimensions_has_its_own(estimate: Law, k: int) -> None:
    sphere = normal(1500, k + 1)
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    inside = turned(np.concatenate([sphere, np.zeros((1500, 19 - k))], axis=1))
    assert estimate(inside).value == pytest.approx(k, rel=0.1)
    assert participation_ratio(inside).value == pytest.approx(k + 1, rel=0.02)


def test_two_nn_is_the_slope_of_the_line_through_the_smallest_nine_tenths() -> None:
    latents = normal(60, 2)
    distances = np.sort(np.linalg.norm(latents[:, None] - latents, axis=2), axis=1)
    x = np.sort(np.log(distances[:, 2] / distances[:, 1]))[:54]
    y = -np.log(1 - np.arange(1, 55) / 60)
    slope = np.linalg.lstsq(x[:, None], y, rcond=None)[0][0]
    assert two_nn(latents).value == pytest.approx(slope, abs=1e-9)


def test_levina_bickel_averages_the_inverses_of_all_images() -> None:
    latents = normal(60, 2)
    distances = np.sort(np.linalg.norm(latents[:, None] - latents, axis=2), axis=1)[:, 1:6]
    inverses = [np.mean([math.log(row[4] / row[j]) for j in range(4)]) for row in distances]
    assert levina_bickel(latents, k=5).value == pytest.approx(1 / np.mean(inverses), abs=1e-9)


def test_the_participation_ratio_is_at_most_the_number_of_dimensions() -> None:
    found = [participation_ratio(normal(30, 20, seed)) for seed in range(10)]
    assert max(one.value for one in found) == 20
    flat = [participation_ratio(normal(40, 2, seed)) for seed in range(30)]
    for one, most in (*((one, 20) for one in found), *((one, 2) for one in flat)):
        assert 1 <= one.value <= most
        assert math.isnan(one.low) or 1 <= one.low < one.high <= most
    assert not all(math.isnan(one.low) for one in flat)


def test_the_participation_ratio_is_not_halved_where_there_are_as_many_images_as_dimensions() -> None:
    deviations = np.repeat([1.0, 0.1], [10, 54])
    variances = deviations**2
    truth = variances.sum() ** 2 / (variances**2).sum()
    found = np.mean([participation_ratio(normal(64, 64, seed) * deviations).value for seed in range(30)])
    assert found == pytest.approx(truth, rel=0.02)
    assert np.mean([participation_ratio(normal(64, 64, seed)).value for seed in range(30)]) == pytest.approx(
        64, rel=0.03
    )


@pytest.mark.parametrize("estimate", [two_nn, levina_bickel, participation_ratio])
def test_dimensions_follow_neither_scale_nor_turning(estimate: Law) -> None:
    latents = normal(200, 4) * [4, 3, 2, 1]
    assert estimate(1e5 * turned(latents) + 3).value == pytest.approx(estimate(latents).value, abs=1e-6)


@pytest.mark.parametrize("estimate", [two_nn, levina_bickel])
def test_copies_count_once_and_lattices_and_small_samples_are_refused_in_words(estimate: Law) -> None:
    latents = normal(100, 2)
    assert estimate(np.concatenate([latents, latents[:40]])) == estimate(latents)
    assert "at least 2" in str(estimate(np.repeat(latents[:10], 10, axis=0)))
    assert estimate(np.eye(40)).reason == "neighbours at equal distances, as on a lattice"


def test_a_participation_ratio_that_cannot_be_told_says_why() -> None:
    assert participation_ratio(np.full((30, 3), 0.1)).reason == "all latent vectors are equal"
    assert participation_ratio(np.eye(40)).reason == "40 images do not tell 40 dimensions apart"
    nearly = np.vstack([np.eye(40), np.ones(40)])
    assert participation_ratio(nearly).reason == "41 images do not tell 40 dimensions apart"
    assert participation_ratio(np.eye(40)[:, :1]).reason == "one image alone makes up the variance"
    assert "on a lattice" in str(levina_bickel(nearly))


# --- intervals


def covers(draw_n: int, d: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.standard_normal((draw_n, d))


@pytest.mark.parametrize("n", [20, 100])
def test_intervals_of_moments_hold_the_truth(n: int) -> None:
    bits = 0.5 * 4 * math.log2(1 + 1 / 0.3**2)
    assert share_covered(gaussian_entropy, covers(n, 4), entropy_of_normal(4)) >= 0.88
    assert share_covered(lambda z: gaussian_information(z, 0.3), covers(n, 4), bits) >= 0.88
    assert share_covered(lambda z: information_by_dimension(z, 0.3)[1], covers(n, 4), bits / 4) >= 0.88
    assert share_covered(participation_ratio, covers(n, 4), 4) >= 0.88


def test_intervals_of_rounded_bits_and_of_the_shrunk_entropy_hold_the_truth() -> None:
    truth = 2 * bits_of_rounded_normal(1, 0.5)
    assert share_covered(lambda z: quantised_bits(z, 0.5), covers(400, 2), truth) >= 0.85
    assert share_covered(shrunk_gaussian_entropy, covers(200, 4), entropy_of_normal(4)) >= 0.88


@pytest.mark.slow
def test_intervals_of_neighbours_hold_the_truth() -> None:
    bits = 0.5 * 2 * math.log2(1 + 1 / 0.3**2)
    assert share_covered(knn_entropy, covers(100, 2), entropy_of_normal(2)) >= 0.88
    assert share_covered(knn_entropy, covers(400, 8), entropy_of_normal(8)) >= 0.88
    assert share_covered(lambda z: knn_information(z, 0.3), covers(100, 2), bits) >= 0.85
    assert share_covered(two_nn, covers(100, 2), 2) >= 0.88
    assert share_covered(levina_bickel, covers(100, 2), 2) >= 0.88


@pytest.mark.parametrize("d", [2, 16])
def test_figures_of_patients_images_hold_the_truth_where_those_of_single_images_do_not(d: int) -> None:
    patients, bits = np.repeat(np.arange(40), 5), 0.5 * d * math.log2(1 + 1 / 0.3**2)

    def draw(rng: np.random.Generator) -> np.ndarray:
        of_patient = math.sqrt(0.8) * rng.standard_normal((40, d))[patients]
        return of_patient + math.sqrt(0.2) * rng.standard_normal((200, d))

    rng = np.random.default_rng(5)
    samples = [draw(rng) for _ in range(40)]
    laws: dict[Law, float] = {gaussian_entropy: entropy_of_normal(d), lambda z: gaussian_information(z, 0.3): bits}
    for law, truth in laws.items():
        found = [averaged([law(z[rows]) for rows in one_of_each(patients, 200)]) for z in samples]
        assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.85
        assert np.mean([one.value for one in found]) == pytest.approx(truth, abs=0.03 * d)
        alone = [law(z) for z in samples]
        assert np.mean([one.low <= truth <= one.high for one in alone]) < 0.8


@pytest.mark.parametrize("estimate", [gaussian_entropy, shrunk_gaussian_entropy, participation_ratio, two_nn])
def test_the_same_seed_gives_the_same_interval_and_another_another_one(estimate: Law) -> None:
    latents = normal(60, 2)
    assert estimate(latents, seed=1) == estimate(latents, seed=1)
    assert estimate(latents, seed=1).low != estimate(latents, seed=2).low


def test_one_image_of_each_patient_is_taken_and_all_where_none_has_several() -> None:
    patients = np.array([3, 1, 1, 2, 3, 3])
    picks = one_of_each(patients, 6)
    assert len({tuple(rows) for rows in picks}) > 1
    assert all(sorted(patients[rows]) == [1, 2, 3] for rows in picks)
    [alone], [nobody] = one_of_each([5, 3, 4], 3), one_of_each(None, 3)
    assert alone.tolist() == nobody.tolist() == [0, 1, 2]


def test_a_mean_over_picks_is_as_wide_as_they_are_and_missing_where_one_is() -> None:
    one, two = Estimate(1.0, 0.0, 3.0, "bits"), Estimate(2.0, 1.0, 5.0, "bits")
    assert averaged([one, two]) == Estimate(1.5, 0.5, 4.0, "bits")
    assert averaged([one, Estimate.missing("why", "bits")]).reason == "why"


def test_halves_too_small_for_neighbours_give_no_bounds() -> None:
    enough, few = levina_bickel(normal(24, 2)), levina_bickel(normal(48, 2), k=23)
    assert enough.low < enough.value < enough.high
    assert math.isfinite(few.value)
    assert few.low < few.value
    assert math.isnan(halved(lambda sample: float(sample.sum()), 20, least=11).low)


# --- noise and step


@pytest.fixture(scope="module")
def linear() -> Linear:
    """An encoder and a decoder along 5 orthonormal directions of 8 x 8 images, and 300 images near them."""
    directions = torch.from_numpy(stats.ortho_group.rvs(64, random_state=0)[:, :5]).float()
    generator = torch.Generator().manual_seed(0)
    latents, rest = torch.randn(300, 5, generator=generator), torch.randn(300, 64, generator=generator)
    flat = 0.1 * latents @ directions.T + 0.02 * rest + 0.5
    return (
        lambda images: (images.flatten(1) - 0.5) @ directions,
        lambda z: (z @ directions.T + 0.5).view(-1, 1, 8, 8),
        flat.view(-1, 1, 8, 8),
    )


def test_the_noise_that_raises_the_error_by_a_share_is_the_one_computed_by_hand(linear: Linear) -> None:
    encode, decode, pixels = linear
    images = as_images(pixels)
    latents, error = encoded(encode, images), decoding_error(decode, images)
    residual = float((decode(encode(pixels)) - pixels).square().mean())
    assert error(latents) == pytest.approx(residual, rel=1e-5)
    for rise in (0.01, 0.3):
        truth = math.sqrt(rise * residual * 64 / 5)  # 5 unit directions over 64 pixels
        assert noise_level(error, latents, rise).value == pytest.approx(truth, rel=0.05)
        assert step_level(error, latents, rise).value == pytest.approx(math.sqrt(12) * truth, rel=0.05)


def test_a_decoder_of_doubled_latents_bears_doubled_noise_and_the_information_stays(linear: Linear) -> None:
    encode, decode, pixels = linear
    images = as_images(pixels)
    latents = encoded(encode, images)
    once = noise_level(decoding_error(decode, images), latents).value
    twice = noise_level(decoding_error(lambda z: decode(z / 2), images), 2 * latents).value
    assert twice == pytest.approx(2 * once, rel=1e-3)
    bits = gaussian_information(latents, once).value
    assert gaussian_information(2 * latents, twice).value == pytest.approx(bits, abs=0.02)


def test_what_noise_changes_linearly_does_not_count() -> None:
    latents = normal(30, 3)

    def error(z: np.ndarray) -> float:
        return float(1 + 5 * np.mean(z - latents) + np.mean((z - latents) ** 2))

    assert noise_level(error, latents).value == pytest.approx(0.1, rel=0.1)


def test_the_level_is_the_same_for_the_same_seed_and_leaves_global_randomness_alone(linear: Linear) -> None:
    encode, decode, pixels = linear
    images = as_images(pixels)
    latents, error = encoded(encode, images), decoding_error(decode, images)
    before = np.random.get_state()[1].copy()
    assert noise_level(error, latents, seed=1) == noise_level(error, latents, seed=1)
    assert noise_level(error, latents, seed=1) != noise_level(error, latents, seed=2)
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize("level", [noise_level, step_level])
def test_models_without_a_level_say_why(level: Law) -> None:
    latents = normal(30, 3)
    assert "the decoder ignores its latent" in str(level(lambda z: 0.5, latents))
    assert "the decoder draws the images exactly" in str(level(lambda z: float(np.mean((z - latents) ** 2)), latents))
    assert level(lambda z: 0.5, np.ones((30, 3))).reason == "all latent vectors are equal"
    assert "no smooth function" in str(level(lambda z: 1.0 if np.array_equal(z, latents) else 2.0, latents))


# --- all of it


def test_everything_is_measured_under_its_name_and_reads_the_same_as_alone() -> None:
    latents = normal(300, 3) * [2, 1, 0.5]
    found = measure(latents, 0.3, 0.5, seed=4)
    assert found.gaussian_information == gaussian_information(latents, 0.3, 4)
    assert found.knn == knn_entropy(latents, seed=4)
    assert found.quantised == quantised_bits(latents, 0.5, 4)
    assert found.two_nn == two_nn(latents, 4)
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert plain["sigma"]["value"] == 0.3
    assert len(plain["information_by_dimension"]) == 3
    assert plain["participation_ratio"]["value"] == participation_ratio(latents).value
    rows = dict(found.rows())
    assert rows["latent vectors"] == "300 in 3 dimensions"
    assert rows["information above the noise, Gaussian"] == str(found.gaussian_information)
    assert rows["coordinates with 0.1 bits or more"].startswith("3 of 3; most in coordinate 1: 2.7")
    assert len(rows) == 13
    again = measure(latents, 0.3, 0.5, np.arange(300) // 2)
    assert again.gaussian != found.gaussian
    assert again.sigma == found.sigma
    assert dict(again.rows())["latent vectors"] == ("300 in 3 dimensions; of 150 patients, one image of each at a time")
    alone = measure(latents, 0.3, 0.5, np.arange(300), seed=4)
    assert alone.gaussian == found.gaussian
    assert dict(alone.rows())["latent vectors"] == "300 in 3 dimensions"


def test_where_there_is_no_noise_level_there_is_no_information_and_the_reason_is_passed_on() -> None:
    found = measure(normal(60, 3), Estimate.missing("the decoder ignores its latent"), 0.5)
    assert found.gaussian_information.reason == "the decoder ignores its latent"
    assert [each.reason for each in found.information_by_dimension] == ["the decoder ignores its latent"] * 3
    assert found.gaussian.reason is None
    assert "not estimable: the decoder ignores its latent" in dict(found.rows())["noise (sd)"]
    json.dumps(found.to_json(), allow_nan=False)


# --- wrong input


def test_wrong_input_is_refused_in_one_sentence() -> None:
    for wrong in (np.zeros(5), np.zeros((0, 3)), np.zeros((5, 3, 2))):
        with pytest.raises(ScoresError, match=r"latents: expected shape \(n, d\)"):
            gaussian_entropy(wrong)
    with pytest.raises(ScoresError, match="expected finite numbers, got 1 that are not"):
        two_nn([[math.nan, 1.0]] + [[0.0, 1.0]] * 30)
    with pytest.raises(ScoresError, match=r"groups: expected shape \(60,\)"):
        measure(normal(60, 2), 0.3, 0.5, groups=[1, 2])
    for sigma in (0, -1, math.nan, math.inf):
        with pytest.raises(OptionError, match="sigma: expected a finite number above 0"):
            gaussian_information(normal(60, 2), sigma)
    with pytest.raises(OptionError, match="step"):
        quantised_bits(normal(60, 2), 0)
    with pytest.raises(OptionError, match="k: expected at least 1"):
        knn_entropy(normal(60, 2), k=0)
    with pytest.raises(OptionError, match="k: expected at least 2"):
        levina_bickel(normal(60, 2), k=1)
    with pytest.raises(OptionError, match="rise"):
        noise_level(lambda z: 1.0, normal(60, 2), rise=0)
    with pytest.raises(ScoresError, match="reconstruction error: expected a finite number"):
        noise_level(lambda z: math.nan, normal(60, 2))
