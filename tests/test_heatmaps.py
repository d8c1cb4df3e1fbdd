"""Heatmaps: one absolute scale, blank normals, and files that stay in their folder."""

from __future__ import annotations

import csv
import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from normoscope import methods, sources
from normoscope.comparison import assess
from normoscope.errors import OptionError, ScoresError
from normoscope.heatmaps import FLOOR, colour, file_names, greyscale, overlay, write_maps
from normoscope.model import Model, _full_scale, fit
from normoscope.partitions import Partition, partition
from normoscope.randomisation import Check
from normoscope.transforms import Prepared
from normoscope.written import Written

GREY = np.full((1, 4, 4), 0.4, np.float32)


@pytest.fixture(scope="module")
def data() -> Partition:
    options = {"size": "28", "train": "40", "validation": "30", "test": "12"}
    return partition(sources.load("phantom", options=options))


@pytest.fixture(scope="module")
def pca(data: Partition) -> Model:
    return fit("pca", methods.build("pca", overrides={"latent_dim": 8}), data)


def prepared(model: Model, data: Partition, names: list[str] | None = None) -> Prepared:
    """The test images, renamed where names are given."""
    samples = list(data.samples["test"])
    if names is not None:
        samples = [dataclasses.replace(s, name=name) for s, name in zip(samples, names, strict=False)]
    return model.prepare(samples)


def test_below_the_floor_the_image_shows_unchanged() -> None:
    quiet = overlay(GREY, np.full((4, 4), FLOOR * 2.0), scale=2.0)
    assert np.array_equal(quiet, greyscale(GREY))


def test_the_same_pixel_score_has_the_same_colour_whatever_else_is_in_the_image() -> None:
    lonely, crowded = np.zeros((4, 4)), np.full((4, 4), 30.0)
    lonely[1, 2] = crowded[1, 2] = 1.7
    a, b = overlay(GREY, lonely, 2.0), overlay(GREY, crowded, 2.0)
    assert np.array_equal(a[1, 2], b[1, 2])
    assert not np.array_equal(a[0, 0], b[0, 0])


def test_colours_grow_brighter_up_to_the_scale_and_stay_there() -> None:
    shares = np.array([[0.6, 0.7, 0.8, 0.9, 1.0, 1.5, 40.0]])
    luminance = overlay(np.zeros((1, 1, 7), np.float32), shares, 1.0)[0] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance[:5]) > 0).all()
    assert luminance[4] == luminance[5] == luminance[6]


def test_the_image_still_shows_through_the_brightest_colour() -> None:
    _, opacity = colour(np.array([0.0, FLOOR, 0.75, 1.0, 9.0]))
    np.testing.assert_allclose(opacity, [0, 0, 0.425, 0.85, 0.85])


def test_colour_images_keep_their_colours() -> None:
    image = np.stack([np.full((2, 2), v, np.float32) for v in (1.0, 0.5, 0.0)])
    assert overlay(image, np.zeros((2, 2)), 1.0)[0, 0].tolist() == [255, 128, 0]


def test_a_scale_of_nothing_is_refused() -> None:
    for scale in (0.0, None):
        with pytest.raises(OptionError, match=r"scale: expected a pixel score above 0, which calibration normals set"):
            overlay(GREY, np.zeros((4, 4)), scale)
    with pytest.raises(ScoresError, match="an anomaly map: expected finite numbers, got 1 that are not"):
        overlay(GREY, np.diag([np.nan, 0, 0, 0]), 1.0)


def test_normals_stay_blank_and_one_in_twenty_reaches_the_scale(pca: Model, data: Partition) -> None:
    scale = pca.calibration.map_scale
    assert scale is not None
    peaks = np.array([m.max() for m in pca.maps(data.images["calibrate"])])
    assert np.mean(peaks >= scale) <= 0.07
    drawn = [np.mean(m > FLOOR * scale) for m in pca.maps(data.images["calibrate"])]
    assert np.median(drawn) < 0.02


def test_images_of_one_patient_set_the_scale_once() -> None:
    rng = np.random.default_rng(0)
    above = []
    for _ in range(400):
        people = rng.standard_normal(31)
        peaks = people[:30].repeat(4)  # alike within a patient
        above.append(people[30] > _full_scale(peaks, [str(number) for number in range(30) for _ in range(4)]))
    assert 0.01 < np.mean(above) < 0.05  # 1 of 31
    few = np.array([1.0] * 59 + [2.0])
    assert _full_scale(few, ["a"] * 30 + ["b"] * 30) == 2.0  # of two patients there is no twentieth: the highest
    assert _full_scale(few, None) == 1.0
    assert _full_scale(np.arange(40.0), None) == 38.0


def test_every_image_gets_its_raw_map_and_heatmap(pca: Model, data: Partition, tmp_path: Path) -> None:
    images = prepared(pca, data)
    write_maps(pca, images, tmp_path / "deep" / "maps")
    rows = list(csv.DictReader((tmp_path / "deep" / "maps" / "maps.csv").open()))
    assert [row["image_path"] for row in rows] == [s.name for s in images.samples]
    for i, (row, expected) in enumerate(zip(rows, pca.maps(images.images), strict=True)):
        stored = np.load(tmp_path / "deep" / "maps" / row["anomaly_map"], allow_pickle=False)
        assert stored.dtype == np.float32
        np.testing.assert_array_equal(stored, expected)
        scale = pca.calibration.map_scale
        assert scale is not None
        shown = np.asarray(Image.open(tmp_path / "deep" / "maps" / row["heatmap"]))
        np.testing.assert_array_equal(shown, overlay(images.images.batch([i])[0].numpy(), expected, scale))


def test_marked_regions_are_written_counted_and_in_the_lesions(pca: Model, data: Partition, tmp_path: Path) -> None:
    images = pca.prepare(data.samples["test"])
    write_maps(pca, images, tmp_path)
    assert pca.normal_maps is not None
    hits = 0
    for row, sample, expected in zip(
        csv.DictReader((tmp_path / "maps.csv").open()), images.samples, pca.maps(images.images), strict=True
    ):
        mask = np.asarray(Image.open(tmp_path / row["pred_mask"])) > 0
        np.testing.assert_array_equal(mask, pca.marked(expected))
        assert mask.any() == (int(row["regions"]) > 0) == (float(row["region_pvalue"]) <= pca.calibration.alpha)
        assert sample.read_mask is not None
        hits += bool((mask & pca.preprocessor.mask(sample.read_mask())).any())
    assert hits >= 3


def test_where_no_region_could_stand_none_is_denied(pca: Model, data: Partition, tmp_path: Path) -> None:
    few = pca.calibrated(data.images["calibrate"], None, alpha=0.01, strict=False)  # which needs 99 normals
    assert few.normal_maps is not None
    write_maps(few, prepared(few, data), tmp_path)
    rows = list(csv.DictReader((tmp_path / "maps.csv").open()))
    assert {(row["pred_mask"], row["regions"], row["region_pvalue"]) for row in rows} == {("", "", "")}
    assert not (tmp_path / "masks").exists()
    assert "dice" not in assess(few, data.collection).evaluation.pixels
    assert "dice" in assess(pca, data.collection).evaluation.pixels


def test_the_list_says_what_the_check_by_random_weights_says_and_on_how_many_images(
    pca: Model, data: Partition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> set[tuple[str, str]]:
        rows = csv.DictReader((tmp_path / "maps.csv").open())
        return {(row["sanity"], row["sanity_images"]) for row in rows}

    images = prepared(pca, data)
    assert write_maps(pca, images, tmp_path).reason == "the method has no weights"
    assert said() == {("not applicable", "0")}
    for check, verdict in ((Check(0.9, 3), "fails"), (Check(0.1, 12), "holds")):
        monkeypatch.setattr("normoscope.heatmaps.map_check", lambda *_, check=check: check)
        assert write_maps(pca, images, tmp_path) is check
        assert said() == {(verdict, str(check.images))}


def test_no_name_can_leave_the_folder(pca: Model, data: Partition, tmp_path: Path) -> None:
    names = ["../../evil", "/etc/passwd", "C:\\scan.png", "a/b.png", "a_b.png", "A_B", "..", "\x00\n", "ü" * 300]
    target = tmp_path / "here" / "maps"
    write_maps(pca, prepared(pca, data, names), target)
    written = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.parent for path in written} == {Path("here/maps"), Path("here/maps/masks")}
    assert len(written) == 3 * len(names) + 1


def test_no_image_of_the_list_is_a_formula(pca: Model, data: Partition, tmp_path: Path) -> None:
    write_maps(pca, prepared(pca, data, ["=cmd|' !A0.png", "a.png"]), tmp_path)
    rows = csv.DictReader((tmp_path / "maps.csv").open())
    assert [row["image_path"] for row in rows] == ["./=cmd|' !A0.png", "a.png"]


def test_file_names_are_plain_distinct_and_not_too_long() -> None:
    names = file_names(["a/b.png", "a_b.jpg", "A-B", "a_B", "scan v1.2", "x" * 500, "", ".hidden", "a_b-2"])
    assert names == ["a_b", "a_b-2", "A-B", "a_B-3", "scan_v1.2", "x" * 120, "image", "hidden", "a_b-2-2"]
    assert len({name.lower() for name in names}) == len(names)


def test_a_method_that_cannot_localise_writes_nothing(data: Partition, tmp_path: Path) -> None:
    knn = fit("knn", methods.build("knn"), data)
    with pytest.raises(OptionError, match="a method that localises"):
        write_maps(knn, prepared(knn, data), tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


def test_without_calibration_normals_there_are_raw_maps_alone(pca: Model, data: Partition, tmp_path: Path) -> None:
    bare = dataclasses.replace(pca, calibration=dataclasses.replace(pca.calibration, map_scale=None))
    write_maps(bare, prepared(bare, data), tmp_path)
    assert not list(tmp_path.glob("*.png"))
    assert len(list(tmp_path.glob("*.npy"))) == 12
    assert {row["heatmap"] for row in csv.DictReader((tmp_path / "maps.csv").open())} == {""}


def test_an_interrupted_run_leaves_an_empty_list_and_no_half_written_file(
    pca: Model, data: Partition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = prepared(pca, data)
    write_maps(pca, images, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.glob("*.npy")}
    (tmp_path / "mine.txt").write_text("kept")

    replace = os.replace

    def full_disk(source: str | Path, target: str | Path) -> None:
        if str(target).endswith(".npy"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_maps(pca, images, tmp_path)
    assert (tmp_path / "maps.csv").read_text().count("\n") == 1
    assert Written.MAPS.folder(tmp_path, "maps.csv") == tmp_path, "the same command may go over it"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert all(path.read_bytes() == content for path, content in before.items())
    assert (tmp_path / "mine.txt").read_text() == "kept"
