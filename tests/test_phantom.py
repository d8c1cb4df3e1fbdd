"""The phantom: the same images everywhere, plausible anatomy, exact masks, and no cheap way to tell lesions."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import binary_dilation
from skimage.feature import hog
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM

from normoscope import sources
from normoscope.errors import NormoscopeError, OptionError
from normoscope.sources._phantom_lesions import KINDS
from normoscope.sources._phantom_shapes import View, grid
from normoscope.sources.phantom import Phantom
from normoscope.types import Sample

Array = npt.NDArray[np.float64]
SEEDS = range(5)


def part(samples: list[Sample], split: str, abnormal: bool = False) -> list[Sample]:
    return [s for s in samples if s.split == split and (s.class_name != "normal") == abnormal]


def small(**options: object) -> list[Sample]:
    return list(Phantom(**{"train": 24, "validation": 6, "test": 42, **options}).samples())  # type: ignore[arg-type]


def mask(sample: Sample) -> npt.NDArray[np.bool_]:
    assert sample.read_mask is not None
    return sample.read_mask()


def fingerprint(samples: list[Sample]) -> str:
    chosen = part(samples, "train")[:20] + part(samples, "test")[:10] + part(samples, "test", True)[:10]
    digest = hashlib.sha256()
    for sample in chosen:
        digest.update(sample.read().tobytes())
        digest.update(mask(sample).tobytes())
    return digest.hexdigest()


def blocks(image: npt.NDArray[np.uint8]) -> Array:
    return image.reshape(4, image.shape[0] // 4, 4, image.shape[1] // 4).mean((1, 3))


# --- the same images everywhere


@pytest.mark.parametrize(
    ("anatomy", "expected"),
    [
        ("chest", "05566f06fbc3e2f1fabc464f6819a0c7b5a9f98abedf444eb17a112df7b3b7d9"),
        ("brain", "eac0ef5b49fe3f6ac83f660b47ac556d4b4b6b156d10af3acb9b8dbef5e51e2b"),
    ],
)
def test_the_first_images_and_masks_of_seed_0_never_change(anatomy: str, expected: str) -> None:
    assert fingerprint(small(anatomy=anatomy)) == expected


@pytest.mark.parametrize(
    ("anatomy", "first", "areas"),
    [
        (
            "chest",
            [
                [117.9, 133.8, 135.3, 102.3],
                [100.2, 115.9, 103.2, 96.3],
                [80.6, 118.7, 144.5, 83.9],
                [138.2, 166.2, 150.7, 114.3],
            ],
            [28, 303, 219, 65, 233, 230, 34],
        ),
        (
            "brain",
            [
                [39.7, 106.9, 105.9, 32.1],
                [81.9, 135.0, 137.2, 61.0],
                [87.6, 128.2, 115.6, 55.1],
                [43.2, 101.2, 87.0, 30.2],
            ],
            [32, 361, 219, 27, 233, 231, 33],
        ),
    ],
)
def test_block_means_and_mask_areas_of_seed_0_hold_even_where_rounding_differs(
    anatomy: str, first: list[list[float]], areas: list[int]
) -> None:
    samples = small(anatomy=anatomy)
    np.testing.assert_allclose(blocks(part(samples, "train")[0].read()), first, atol=0.1)
    found = [int(mask(sample).sum()) for sample in part(samples, "test", True)[:7]]
    np.testing.assert_allclose(found, areas, atol=2)


def test_an_image_does_not_depend_on_how_many_others_there_are() -> None:
    few, many = small(), small(train=60, validation=30, test=120, prevalence=0.8)
    for split, abnormal in [("train", False), ("validation", False), ("test", False), ("test", True)]:
        for a, b in zip(part(few, split, abnormal), part(many, split, abnormal), strict=False):
            assert (a.name, a.class_name, a.patient) == (b.name, b.class_name, b.patient)
            np.testing.assert_array_equal(a.read(), b.read())


def test_reading_twice_and_listing_again_give_the_same_pixels_and_mask() -> None:
    one, other = part(small(), "test", True)[3], part(small(), "test", True)[3]
    first = one.read()
    np.testing.assert_array_equal(first, one.read())
    np.testing.assert_array_equal(first, other.read())
    np.testing.assert_array_equal(mask(one), mask(other))


def test_all_images_differ_within_a_seed_between_seeds_and_between_splits() -> None:
    images = {s.read().tobytes() for seed in (0, 1) for s in small(seed=seed)}
    assert len(images) == 2 * (24 + 6 + 42)


@pytest.mark.parametrize("anatomy", ["chest", "brain"])
def test_a_larger_size_shows_the_same_body_and_lesion_in_more_detail(anatomy: str) -> None:
    for small_one, large_one in zip(small(anatomy=anatomy), small(anatomy=anatomy, size=128), strict=True):
        halved = large_one.read().reshape(64, 2, 64, 2).mean((1, 3))
        assert np.corrcoef(small_one.read().ravel(), halved.ravel())[0, 1] > 0.98
        assert abs(mask(small_one).mean() - mask(large_one).mean()) < 0.006


@pytest.mark.parametrize("size", [28, 64, 256])
def test_images_are_square_eight_bit_greyscale_and_use_most_of_the_range(size: int) -> None:
    for sample in small(size=size, train=2, validation=0, test=2):
        image = sample.read()
        assert image.shape == (size, size)
        assert image.dtype == np.uint8
        assert image.max() - int(image.min()) > 120
        assert mask(sample).shape == (size, size)
        assert mask(sample).dtype == np.bool_


# --- classes, splits, patients


def test_the_defaults_are_600_200_and_150_normals_and_150_abnormals() -> None:
    samples = Phantom().samples()
    assert Counter((s.split, s.class_name != "normal") for s in samples) == {
        ("train", False): 600,
        ("validation", False): 200,
        ("test", False): 150,
        ("test", True): 150,
    }
    assert len({s.name for s in samples}) == 1100


def test_prevalence_sets_the_share_of_abnormal_test_images() -> None:
    assert len(part(small(test=40, prevalence=0.25), "test", True)) == 10
    assert part(small(prevalence=0.0), "test", True) == []
    assert part(small(prevalence=1.0), "test") == []


def test_the_kinds_of_lesions_are_the_classes_and_about_equally_frequent() -> None:
    counts = Counter(s.class_name for s in part(list(Phantom().samples()), "test", True))
    assert set(counts) == set(KINDS)
    assert len(counts) == 7
    assert max(counts.values()) - min(counts.values()) <= 3


def test_loading_the_bare_word_labels_normal_0_and_every_lesion_1() -> None:
    collection = sources.load("phantom", options={"train": "6", "validation": "0", "test": "14"})
    assert collection.normal_class == "normal"
    assert [s.label for s in collection.samples] == [0] * 13 + [1] * 7
    assert collection.grouped


def test_some_patients_have_two_images_and_none_stands_in_two_splits_or_classes() -> None:
    samples = Phantom().samples()
    per_patient = Counter(s.patient for s in samples)
    assert Counter(per_patient.values()) == {1: 734, 2: 183}
    homes: dict[str | None, set[tuple[str | None, str | None]]] = {}
    for sample in samples:
        homes.setdefault(sample.patient, set()).add((sample.split, sample.class_name))
    assert {len(home) for home in homes.values()} == {1}


def test_two_images_of_a_patient_are_alike_but_not_equal_and_show_the_same_lesion() -> None:
    samples = part(small(test=84), "test", True)
    by_patient: dict[str | None, list[Sample]] = {}
    for sample in samples:
        by_patient.setdefault(sample.patient, []).append(sample)
    first = [images[0] for images in by_patient.values()]
    between = [np.corrcoef(a.read().ravel(), b.read().ravel())[0, 1] for a, b in pairwise(first)]
    pairs = [images for images in by_patient.values() if len(images) == 2]
    within = [np.corrcoef(a.read().ravel(), b.read().ravel())[0, 1] for a, b in pairs]
    assert np.mean(within) > np.mean(between) + 0.02
    assert max(within) < 1
    for one, other in pairs:
        centres = [np.argwhere(mask(s)).mean(0) for s in (one, other)]
        # poses shift the body by about a pixel and turn it by about two degrees
        assert np.hypot(*(centres[0] - centres[1])) < 8


def test_site_b_holds_a_third_of_the_patients_and_is_a_little_brighter() -> None:
    samples = part(list(Phantom(train=300).samples()), "train")
    site = np.array([s.subgroups["site"] for s in samples])
    means = np.array([s.read().mean() for s in samples])
    assert 0.3 < (site == "B").mean() < 0.37
    shift = means[site == "B"].mean() - means[site == "A"].mean()
    assert 0 < shift < 2 * means[site == "A"].std()


# --- lesions and masks


def test_masks_are_empty_for_normals_and_never_for_abnormals() -> None:
    for anatomy in ("chest", "brain"):
        samples = small(anatomy=anatomy, test=84)
        assert not any(mask(s).any() for s in part(samples, "test"))
        assert all(mask(s).any() for s in part(samples, "test", True))


def test_most_lesions_cover_between_3_permille_and_8_percent_of_the_image_and_many_under_3_percent() -> None:
    areas = np.array([mask(s).mean() for s in part(list(Phantom(test=600).samples()), "test", True)])
    assert ((areas > 0.003) & (areas < 0.08)).mean() > 0.97
    assert ((areas > 0.005) & (areas < 0.03)).mean() > 0.4


@pytest.mark.parametrize("anatomy", ["chest", "brain"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_lesion_changes_its_mask_and_leaves_what_is_far_from_it_alone(anatomy: str, kind: str) -> None:
    from normoscope.sources.phantom import _SUBJECTS

    x, y = grid(64)
    for seed in range(20):
        body = _SUBJECTS[anatomy].draw(np.random.default_rng(seed))
        view = View(body, x, y, body(x, y))
        changed, where = KINDS[kind](np.random.default_rng(seed + 100), view)
        change = np.abs(changed - view.tissue.attenuation)
        far = ~binary_dilation(where, iterations=12)
        assert change[where].mean() > 0.02
        assert change[where].mean() > 10 * change[far].mean()


@pytest.mark.parametrize(("kind", "sign"), [("nodule", 1), ("opacity", 1), ("streak", 1), ("cavity", -1)])
def test_bright_lesions_are_brighter_and_holes_darker_than_the_normal_mean_there(kind: str, sign: int) -> None:
    samples = list(Phantom(train=60, test=140).samples())
    usual = np.mean([s.read() for s in part(samples, "train")], axis=0)
    shifts = [(s.read() - usual)[mask(s)].mean() for s in part(samples, "test", True) if s.class_name == kind]
    assert sign * np.mean(shifts) > 15


# --- options


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"anatomy": "knee"}, "phantom option anatomy: expected one of chest, brain, got 'knee'."),
        ({"seed": -1}, "phantom option seed: expected 0 or more, got -1."),
        ({"size": 27}, "phantom option size: expected 28 to 256 pixels, got 27."),
        ({"size": 257}, "phantom option size: expected 28 to 256 pixels, got 257."),
        ({"train": 0}, "phantom option train: expected 1 or more images, got 0."),
        ({"validation": -1}, "phantom option validation: expected 0 or more images, got -1."),
        ({"test": -1}, "phantom option test: expected 0 or more images, got -1."),
        ({"prevalence": 1.5}, "phantom option prevalence: expected a share from 0 to 1, got 1.5."),
        ({"prevalence": float("nan")}, "phantom option prevalence: expected a share from 0 to 1, got nan."),
    ],
)
def test_a_value_out_of_range_is_one_sentence(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        small(**options)
    assert str(caught.value) == sentence


def test_the_text_after_the_colon_names_the_anatomy() -> None:
    assert sources.parse("phantom:brain") == Phantom("brain")
    assert sources.parse("phantom", {"seed": "3", "size": "128"}) == Phantom(seed=3, size=128)
    with pytest.raises(NormoscopeError, match="got 'knee'"):
        sources.parse("phantom:knee")


# --- no cheap way to tell lesions: five seeds, statistics written here from their definitions


@cache
def drawn(seed: int) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Train normals, test images in [0, 1], and which of these are abnormal."""
    samples = list(Phantom(seed=seed, validation=0).samples())
    test = [s for s in samples if s.split == "test"]
    train = np.stack([s.read() for s in part(samples, "train")]) / 255
    return train, np.stack([s.read() for s in test]) / 255, np.array([s.class_name != "normal" for s in test])


def contrast(image: Array) -> float:
    return float(image.std())


def gradient(image: Array) -> float:
    return float(np.square(np.diff(image, axis=0)).mean() + np.square(np.diff(image, axis=1)).mean())


def compressed_size(image: Array) -> float:
    return float(len(zlib.compress(np.round(image * 255).astype(np.uint8).tobytes())))


@pytest.mark.slow
@pytest.mark.parametrize("statistic", [contrast, gradient, compressed_size])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_trivial_statistic_tells_lesions_well(seed: int, statistic: object) -> None:
    assert callable(statistic)
    train, test, abnormal = drawn(seed)
    usual, found = np.array([statistic(i) for i in train]), np.array([statistic(i) for i in test])
    median = np.median(usual)
    deviation = np.abs(found - median) / np.median(np.abs(usual - median))
    high = roc_auc_score(abnormal, found)
    assert 0.5 <= roc_auc_score(abnormal, deviation) <= 0.75
    assert max(high, 1 - high) <= 0.75


def nearest(train: Array, test: Array) -> Array:
    neighbours = NearestNeighbors(n_neighbors=5).fit(train)
    return np.asarray(neighbours.kneighbors(test)[0].mean(1))


def gradients(images: Array) -> Array:
    return np.stack(
        [hog(i, orientations=8, pixels_per_cell=(16, 16), cells_per_block=(2, 2), block_norm="L2-Hys") for i in images]
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_nearest_neighbours_stay_below_095_and_methods_spread_by_a_tenth(seed: int) -> None:
    train, test, abnormal = drawn(seed)
    flat_train, flat_test = train.reshape(len(train), -1), test.reshape(len(test), -1)
    pca = PCA(32, svd_solver="full").fit(flat_train)
    scores = {
        "hog": nearest(gradients(train), gradients(test)),
        "pixels": nearest(flat_train, flat_test),
        "pca": np.square(flat_test - pca.inverse_transform(pca.transform(flat_test))).mean(1),
        "ocsvm": -OneClassSVM(nu=0.1).fit(flat_train).decision_function(flat_test),
    }
    auroc = {name: roc_auc_score(abnormal, score) for name, score in scores.items()}
    assert 0.6 < auroc["hog"] < 0.95
    assert 0.6 < auroc["pixels"] < 0.95
    assert auroc["pca"] > 0.8
    assert max(auroc.values()) - min(auroc.values()) >= 0.1
