from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

import normoscope as ns
from normoscope.errors import (
    ImageShapeError,
    LeakageError,
    NotCalibratedError,
    OptionError,
    ScoresError,
    TooFewImagesError,
    UnreadableImageError,
    UnreadableImagesError,
)
from normoscope.images import as_images
from normoscope.methods.pca import PCA
from normoscope.partitions import Partition
from normoscope.scoring import Residual, Scoring
from normoscope.types import Collection, Sample, Split
from toys import draw_blobs

Pixels = NDArray[np.uint8]


def read(pixels: Pixels) -> Pixels:
    return pixels


def fail(name: str) -> Pixels:
    raise UnreadableImageError(name, "the file is empty")


def toy(count: int = 60, abnormal: int = 10, split: Split | None = None) -> list[Sample]:
    """Blobs, the last ones with the bright square."""
    pixels = [draw_blobs(count, 0), draw_blobs(abnormal, 1, bright=True)]
    return [
        Sample(f"{split}/{label}-{i}", partial(read, (image * 255).numpy().astype(np.uint8)), str(label), label, split)
        for label, images in enumerate(pixels)
        for i, image in enumerate(images[:, 0])
    ]


def cut(samples: Sequence[Sample], **options: object) -> Partition:
    return ns.partition(Collection("toy", samples, "0"), **options)  # type: ignore[arg-type]


def test_images_samples_and_records_of_a_part_belong_together() -> None:
    data = cut(toy())
    assert {part: len(images) for part, images in data.images.items()} == {
        "train": 34,
        "select": 4,
        "calibrate": 10,
        "test": 22,
    }
    for part, images in data.images.items():
        assert [s.name for s in data.samples[part]] == list(data.parts[part])
        for row in range(len(images)):
            np.testing.assert_array_equal(images.pixels[images.index[row], 0], data.samples[part][row].read())


def test_preprocessing_is_fitted_on_the_training_normals_alone() -> None:
    data = cut(toy())
    train = np.stack([s.read() for s in data.samples["train"]])
    everything = np.stack([s.read() for part in data.samples.values() for s in part])
    assert data.preprocessor.low == pytest.approx(train.min() / 255)
    assert data.preprocessor.high == pytest.approx(train.max() / 255)
    assert train.max() < everything.max()


def test_a_part_without_images_is_empty_and_the_model_is_not_calibrated() -> None:
    data = cut([*toy(5, 0, "train"), *toy(4, 4, "test")])
    assert [len(data.images[part]) for part in ("train", "select", "calibrate")] == [4, 0, 1]
    model = ns.fit("pca", PCA(), data)
    assert model.calibration.status == "not calibrated: 19 normals needed, 1 given"
    nobody = cut([*toy(1, 0, "train"), *toy(4, 4, "test")])
    assert [len(nobody.images[part]) for part in ("train", "select", "calibrate")] == [1, 0, 0]


def test_a_copy_of_a_test_image_in_another_part_is_refused() -> None:
    samples = [*toy(40, 0, "train"), *toy(5, 5, "test")]
    samples[3] = dataclasses.replace(samples[3], read=samples[-1].read)
    distinct = [*samples[:40], samples[-1]]  # the other test normals are the first training images again
    with pytest.raises(LeakageError, match=r"1 test images are exact copies of images in \w+ \(test/1-4 = train/0-3\)"):
        cut(distinct)


def test_a_copy_of_a_training_image_does_not_calibrate() -> None:
    fitting, calibrating = toy(60, 0, "train"), toy(30, 0, "validation")
    trained = cut([*fitting, *calibrating]).samples["train"][0]
    copies = [dataclasses.replace(sample, read=trained.read) for sample in calibrating[:3]]
    data = cut([*fitting, *copies, *calibrating[3:]])
    assert [sample.name for sample in data.samples["calibrate"]] == [sample.name for sample in calibrating[3:]]
    assert list(data.parts["calibrate"]) == [sample.name for sample in calibrating[3:]]
    assert len(data.images["calibrate"]) == 27
    assert "3 images left out of calibrate: exact copies of others there or in earlier parts" in data.notes


def test_a_copy_of_a_calibration_image_is_no_further_normal() -> None:
    fitting, calibrating = toy(60, 0, "train"), toy(30, 0, "validation")
    copies = [dataclasses.replace(sample, read=calibrating[0].read) for sample in calibrating[1:11]]
    data = cut([*fitting, calibrating[0], *copies, *calibrating[11:]])
    names = [sample.name for sample in data.samples["calibrate"]]
    assert names == [calibrating[0].name, *(sample.name for sample in calibrating[11:])]
    assert "10 images left out of calibrate: exact copies of others there or in earlier parts" in data.notes


def test_another_normal_class_on_the_models_own_data_is_refused() -> None:
    data = cut(toy())
    model = ns.fit("pca", ns.build("pca", overrides={"latent_dim": 4}), data)
    assert model.owns(data.collection)
    assert not model.owns(dataclasses.replace(data.collection, spec="other"))
    assert not [note for note in data.notes if note.startswith("no image stands")]
    two = [dataclasses.replace(one, patient=f"p{i % 2}") for i, one in enumerate(toy(40, 0))]
    assert "no image stands in calibrate: there are too few patients or images to cut" in cut(two).notes
    swapped = dataclasses.replace(data.collection, normal_class="lesion")
    with pytest.raises(OptionError, match=r"fitted with on this data, got .lesion"):
        model.test_samples(swapped)


def test_other_copies_and_conflicting_labels_are_notes() -> None:
    samples = [*toy(40, 0, "train"), *toy(0, 5, "test")]
    samples[7] = dataclasses.replace(samples[7], read=samples[6].read)
    data = cut(samples)
    assert "1 images stand in the data more than once (first: train/0-6, train/0-7)" in data.notes


def test_unreadable_images_stop_the_work_or_are_noted() -> None:
    samples = toy()
    samples[0] = dataclasses.replace(samples[0], read=partial(fail, samples[0].name))
    with pytest.raises(UnreadableImagesError, match="1 of 70 images cannot be read"):
        cut(samples)
    data = cut(samples, skip_unreadable=True)
    assert sum(len(part) for part in data.samples.values()) == 69
    assert data.notes[-1] == "not read: None/0-0: the file is empty"


def test_data_whose_every_training_image_is_unreadable_is_refused() -> None:
    samples = [dataclasses.replace(s, read=partial(fail, s.name)) for s in toy(20, 0)]
    with pytest.raises(TooFewImagesError, match="train: 1 image needed, 0 given; no training image can be read"):
        cut(samples, skip_unreadable=True)


def test_missing_patients_are_noted_and_known_ones_are_the_unit() -> None:
    assert any(note.startswith("no patient ids") for note in cut(toy()).notes)
    known = [dataclasses.replace(s, patient=str(i // 2)) for i, s in enumerate(toy(200, 0))]
    model = ns.fit("pca", PCA(), cut(known))
    assert (model.calibration.unit, len(model.calibration.scores), model.calibration.images) == ("patient", 16, 32)
    assert not any(note.startswith("no patient ids") for note in model.provenance["notes"])


def test_a_score_does_not_depend_on_how_many_are_scored_with_it() -> None:
    data = cut(toy(400, 0))
    model = ns.fit("pca", PCA(), data)
    train = data.images["train"]
    rows = np.random.default_rng(0).permutation(len(train))[:50]
    np.testing.assert_allclose(model.scores(train.subset(rows)), model.scores(train)[rows], rtol=1e-5)


def test_the_map_scale_is_what_one_normal_in_twenty_exceeds() -> None:
    data = cut(toy(400, 0))
    model = ns.fit("pca", PCA(), data)
    peaks = sorted(float(pixel_scores.max()) for pixel_scores in model.maps(data.images["calibrate"]))
    allowed = (len(peaks) + 1) // 20
    assert allowed > 1
    assert model.calibration.map_scale == pytest.approx(peaks[-allowed])
    few = model.calibrated(data.images["calibrate"].subset(range(10)), None, alpha=0.5)
    assert few.calibration.map_scale == max(
        float(m.max()) for m in few.maps(data.images["calibrate"].subset(range(10)))
    )
    assert ns.fit("knn", ns.build("knn"), data).calibration.map_scale is None


def test_the_median_image_is_the_median_of_the_training_normals_at_each_pixel() -> None:
    data = cut(toy())
    train = data.images["train"].batch(np.arange(len(data.images["train"]))).numpy()
    median = ns.fit("pca", PCA(), data).median
    assert median is not None
    # of an even number, the lower of the two in the middle
    np.testing.assert_array_equal(median.numpy(), np.sort(train, axis=0)[(len(train) - 1) // 2])
    assert np.abs(median.numpy() - train.mean(0)).max() > 0.01


def test_images_of_another_shape_are_refused() -> None:
    model = ns.fit("pca", PCA(), cut(toy()))
    with pytest.raises(ImageShapeError, match=r"images must have shape \(n, 1, 28, 28\), got \(3, 1, 20, 20\)"):
        model.scores(as_images(np.zeros((3, 20, 20), np.uint8)))


def test_images_that_were_prepared_otherwise_are_refused() -> None:
    data = cut(toy())
    model = ns.fit("pca", PCA(), data)
    with pytest.raises(OptionError, match="images: expected those of this model's prepare or prepare_arrays, got"):
        model.scores(as_images(np.zeros((3, 28, 28), np.uint8)))  # in range, but not on the scale that was fitted


def test_arrays_are_prepared_as_files_are() -> None:
    data = cut(toy())
    model = ns.fit("pca", PCA(), data)
    samples = data.samples["test"]
    arrays = [sample.read() for sample in samples]
    found = model.prepare_arrays(arrays)
    assert [sample.name for sample in found.samples][:2] == ["array 0", "array 1"]
    np.testing.assert_array_equal(model.scores(found.images), model.scores(data.images["test"]))
    assert model.seen(model.prepare_arrays([data.samples["train"][0].read(), arrays[0]], ["a", "b"])) == 1
    for names in (["a"], ["a", "a"]):
        with pytest.raises(OptionError, match="names: expected 2, one of its own per array, got '1 different ones'"):
            model.prepare_arrays(arrays[:2], names)


@pytest.mark.parametrize(
    ("array", "cause"),
    [
        (np.zeros((28, 28, 4), np.uint8), r"expected numbers \(h, w\) or \(h, w, 3\), got 28 x 28 x 4 of uint8"),
        (np.zeros((1, 28, 28), np.uint8), "got 1 x 28 x 28 of uint8"),
        (np.zeros((0, 5), np.uint8), "got 0 x 5 of uint8"),
        (np.zeros((28, 28), complex), "got 28 x 28 of complex128"),
        (None, "got a single value of object"),
        (np.zeros((28, 28), np.int32), "expected uint8 pixels as in the training images, got int32"),
        (np.full((28, 28), np.nan, np.float32), "784 of its values are NaN or infinite; replace them"),
    ],
)
def test_arrays_that_are_no_images_are_named(array: NDArray[np.generic], cause: str) -> None:
    model = ns.fit("pca", PCA(), cut(toy()))
    good = np.zeros((30, 20), np.uint8)
    with pytest.raises(UnreadableImagesError, match=f"scan 7: .*{cause}"):
        model.prepare_arrays([good, array], ["fine", "scan 7"])


def test_an_image_that_is_gone_since_it_was_read_ends_nothing() -> None:
    data = cut(toy())
    model = ns.fit("pca", PCA(), data)

    def gone() -> Pixels:
        raise UnreadableImageError("upload", "no such file or directory")

    prepared = model.prepare(data.samples["test"][:2])
    left = dataclasses.replace(prepared.samples[0], read=gone)
    assert model.shape_notes(dataclasses.replace(prepared, samples=(left, prepared.samples[1]))) == []
    # training may take hours: that a share is unmounted meanwhile costs no model
    first, *others = data.samples["train"]
    samples = {**data.samples, "train": [dataclasses.replace(first, read=gone), *others]}
    late = ns.fit("pca", PCA(), dataclasses.replace(data, samples=samples))
    assert late.provenance["data"]["image_shape"] is None
    assert late.shape_notes(prepared) == []


def test_methods_without_maps_or_reconstructions_say_so() -> None:
    data = cut(toy())
    model = ns.fit("knn", ns.build("knn"), data)
    with pytest.raises(OptionError, match="maps: expected a method that localises"):
        next(model.maps(data.images["test"]))
    with pytest.raises(OptionError, match="--residual / --pooling: expected a method that reconstructs"):
        ns.fit("knn", ns.build("knn"), data, scoring=Scoring(Residual.SSIM))


def test_a_wrong_rate_is_refused_before_anything_is_fitted() -> None:
    with pytest.raises(OptionError, match="--false-alarms: expected a rate between 0 and 1"):
        ns.fit("knn", ns.build("knn", overrides={"neighbours": 10_000}), cut(toy()), false_alarms=5)


def test_calibrating_anew_changes_the_rule_and_nothing_else() -> None:
    data = cut(toy(400, 0))
    model = ns.fit("pca", PCA(), data)
    normals = data.images["calibrate"]
    renewed = model.calibrated(normals, None, alpha=0.2)
    assert renewed.calibration.alpha == 0.2
    np.testing.assert_array_equal(renewed.scores(data.images["test"]), model.scores(data.images["test"]))
    assert np.mean(renewed.calibration.flags(renewed.scores(normals))) == pytest.approx(0.2, abs=0.02)
    with pytest.raises(NotCalibratedError, match="19 normals needed, 5 given"):
        model.calibrated(normals.subset(np.arange(5)), None)
    with pytest.raises(ScoresError, match="one per score"):
        model.calibrated(normals, ["a"])


def test_the_record_says_what_it_takes_to_make_the_model_again() -> None:
    data = cut(toy())
    record = ns.fit("pca", PCA(), data, run=ns.Run(seed=4), command="normoscope fit pca toy").provenance
    assert record["seed"] == 4
    assert record["command"] == "normoscope fit pca toy"
    assert record["versions"].keys() == {"normoscope", "python", "torch", "numpy"}
    assert record["data"]["counts"] == {"train": 34, "select": 4, "calibrate": 10, "test": 22}
    assert record["data"]["hash"] == ns.fit("pca", PCA(), cut(toy())).provenance["data"]["hash"]
    assert record["data"]["hash"] != ns.fit("pca", PCA(), cut(toy(59))).provenance["data"]["hash"]
