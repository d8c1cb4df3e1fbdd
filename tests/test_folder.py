"""Folders of images: every layout as it is, every file accounted for."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from normoscope import sources
from normoscope.errors import DataNotFoundError, LayoutError, NormalClassError, OptionError, UnreadableImageError
from normoscope.sources.folder import Folder
from normoscope.types import Sample


def draw(root: Path, *names: str, value: int = 100, size: int = 4) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((size, size), value, np.uint8)).save(path)


def table(samples: Any) -> list[tuple[str, str | None, str | None]]:
    return [(s.name, s.class_name, s.split) for s in samples]


def mask_of(sample: Sample) -> np.ndarray:
    assert sample.read_mask is not None
    return sample.read_mask()


def layout_error(root: Path, **options: str) -> str:
    with pytest.raises(LayoutError) as caught:
        Folder(str(root), **options).samples()
    return str(caught.value)


def test_class_folders_are_classes_in_natural_order(tmp_path: Path) -> None:
    draw(tmp_path, "normal/a10.png", "normal/a2.png", "abnormal/p1/deep/x.png", "normal/A1.jpg")
    assert table(Folder(str(tmp_path)).samples()) == [
        ("abnormal/p1/deep/x.png", "abnormal", None),
        ("normal/A1.jpg", "normal", None),
        ("normal/a2.png", "normal", None),
        ("normal/a10.png", "normal", None),
    ]


def test_normal_is_found_however_it_is_spelt(tmp_path: Path) -> None:
    draw(tmp_path, "train/NORMAL/a.png", "test/Normal/b.png", "test/Tumour/c.png")
    collection = sources.load(str(tmp_path))
    assert collection.normal_class == "Normal"
    assert [(s.name, s.label) for s in collection.samples] == [
        ("test/Normal/b.png", 0),
        ("test/Tumour/c.png", 1),
        ("train/NORMAL/a.png", 0),
    ]


def test_good_beside_normal_is_not_guessed(tmp_path: Path) -> None:
    draw(tmp_path, "good/a.png", "normal/b.png")
    with pytest.raises(NormalClassError) as caught:
        sources.load(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}: the normal class is not named; classes found: good, normal; pass --normal-class NAME_OR_INT."
    )
    assert [s.label for s in sources.load(str(tmp_path), normal_class="good").samples] == [0, 1]


def test_a_flat_folder_is_one_class_named_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path, "normal/a.png", "normal/b.png")
    collection = sources.load(f"folder:{tmp_path}/normal/")
    assert [(s.name, s.label) for s in collection.samples] == [("a.png", 0), ("b.png", 0)]
    monkeypatch.chdir(tmp_path / "normal")
    assert [s.class_name for s in Folder(".").samples()] == ["normal", "normal"]


def test_flat_can_be_chosen_for_nested_folders(tmp_path: Path) -> None:
    draw(tmp_path, "scans/p1/a.png", "scans/b.png")
    assert table(Folder(str(tmp_path / "scans"), layout="flat").samples()) == [
        ("b.png", "scans", None),
        ("p1/a.png", "scans", None),
    ]


def test_folders_of_patients_are_told_how_to_be_read(tmp_path: Path) -> None:
    draw(tmp_path, *(f"all scans/P{i:02d}/a.png" for i in range(30)))
    with pytest.raises(NormalClassError) as caught:
        sources.load(f"{tmp_path}/all scans")
    told = "where each folder is a patient's, -o layout=flat --normal-class 'all scans' --group-regex '^[^/]+'."
    assert "P18, P19 and 10 more; pass --normal-class NAME_OR_INT; or, " in str(caught.value)
    assert str(caught.value).endswith(told)
    with pytest.raises(NormalClassError) as caught:
        sources.load(f"{tmp_path}/all scans", normal_class="al scans")  # who names a class knows what classes are
    assert "patient's" not in str(caught.value)
    found = sources.load(
        f"{tmp_path}/all scans", normal_class="all scans", group_regex="^[^/]+", options={"layout": "flat"}
    )
    assert (len({s.patient for s in found.samples}), {s.label for s in found.samples}) == (30, {0})


@pytest.mark.parametrize("name", ["val", "valid", "validation", "VAL"])
def test_split_folders_are_splits(tmp_path: Path, name: str) -> None:
    draw(tmp_path, "train/normal/a.png", f"{name}/normal/b.png", "test/sick/deep/c.png")
    assert sorted(table(Folder(str(tmp_path)).samples()), key=lambda row: row[2] or "") == [
        ("test/sick/deep/c.png", "sick", "test"),
        ("train/normal/a.png", "normal", "train"),
        (f"{name}/normal/b.png", "normal", "validation"),
    ]


def test_mvtec_is_read_as_it_is_with_masks(tmp_path: Path) -> None:
    draw(tmp_path, "train/good/0.png", "test/good/0.png", "test/crack/0.png", "test/hole/0.png", "test/hole/1.png")
    draw(tmp_path, "ground_truth/crack/0_mask.png", value=255)
    draw(tmp_path, "ground_truth/hole/0_mask.png", value=0)
    (tmp_path / "license.txt").write_text("CC BY-NC-SA 4.0")
    source = Folder(str(tmp_path))
    samples = {s.name: s for s in source.samples()}
    assert table(samples.values()) == [
        ("test/crack/0.png", "crack", "test"),
        ("test/good/0.png", "good", "test"),
        ("test/hole/0.png", "hole", "test"),
        ("test/hole/1.png", "hole", "test"),
        ("train/good/0.png", "good", "train"),
    ]
    assert mask_of(samples["test/crack/0.png"]).sum() == 16
    assert mask_of(samples["test/hole/0.png"]).sum() == 0
    assert mask_of(samples["test/good/0.png"]).tolist() == np.zeros((4, 4), bool).tolist()
    assert samples["test/hole/1.png"].read_mask is None
    assert source.notes() == (
        f"{tmp_path}: ignored 1 file that cannot be images: license.txt.",
        f"{tmp_path}: no mask for 1 image not called normal.",
    )
    assert sources.load(str(tmp_path)).normal_class == "good"


@pytest.mark.parametrize("masks", ["label", "anomaly_mask"])
def test_bmad_is_read_as_it_is_with_masks(tmp_path: Path, masks: str) -> None:
    draw(tmp_path, "train/good/img/7.png", "valid/good/img/7.png", "test/good/img/8.png", "test/Ungood/img/7.png")
    draw(tmp_path, "valid/Ungood/img/9.png", f"valid/Ungood/{masks}/9.png", f"test/Ungood/{masks}/7.png", value=255)
    source = Folder(str(tmp_path))
    samples = {s.name: s for s in source.samples()}
    assert sorted(table(samples.values())) == [
        ("test/Ungood/img/7.png", "Ungood", "test"),
        ("test/good/img/8.png", "good", "test"),
        ("train/good/img/7.png", "good", "train"),
        ("valid/Ungood/img/9.png", "Ungood", "validation"),
        ("valid/good/img/7.png", "good", "validation"),
    ]
    assert mask_of(samples["test/Ungood/img/7.png"]).all()
    assert not mask_of(samples["test/good/img/8.png"]).any()
    assert samples["test/Ungood/img/7.png"].read()[0, 0] == 100
    assert source.notes() == ()


def test_mask_folders_beside_or_inside_class_folders_are_not_classes(tmp_path: Path) -> None:
    draw(tmp_path, "a/normal/1.png", "a/sick/1.png", "b/normal/1.png", "b/sick/images/1.png")
    draw(tmp_path, "a/masks/sick/1.png", "b/sick/masks/1.png", value=255)
    for name, sick in (("a", "sick/1.png"), ("b", "sick/images/1.png")):
        samples = {s.name: s for s in Folder(str(tmp_path / name)).samples()}
        assert list(samples) == ["normal/1.png", sick]
        assert [int(mask_of(s).sum()) for s in samples.values()] == [0, 16]


def test_bmad_without_masks_and_with_the_other_nesting(tmp_path: Path) -> None:
    draw(tmp_path, "c16/train/good/1.png", "c16/test/Ungood/1.png")
    assert all(s.read_mask is None for s in Folder(str(tmp_path / "c16")).samples())
    draw(tmp_path, "liver/train/good/1.png", "liver/test/img/Ungood/1.png", "liver/test/label/Ungood/1.png", value=9)
    samples = {s.name: s for s in Folder(str(tmp_path / "liver")).samples()}
    assert samples["test/img/Ungood/1.png"].class_name == "Ungood"
    assert mask_of(samples["test/img/Ungood/1.png"]).all()


def test_medianomaly_is_read_from_data_json(tmp_path: Path) -> None:
    draw(tmp_path, *(f"images/{i}.png" for i in range(5)))
    draw(tmp_path, "masks/3.png", value=255)
    data = {"train": {"0": ["1.png", "0.png"]}, "test": {"0": ["2.png"], "1": ["3.png"]}}
    (tmp_path / "data.json").write_text(json.dumps(data))
    collection = sources.load(str(tmp_path))
    assert [(s.name, s.class_name, s.split, s.label) for s in collection.samples] == [
        ("images/1.png", "normal", "train", 0),
        ("images/0.png", "normal", "train", 0),
        ("images/2.png", "normal", "test", 0),
        ("images/3.png", "abnormal", "test", 1),
    ]
    assert mask_of(collection.samples[3]).all()
    assert collection.notes == (f"{tmp_path}: left out 1 image not listed in data.json.",)


def test_the_brats_set_of_medianomaly_is_read_as_it_is(tmp_path: Path) -> None:
    draw(tmp_path, "train/p1_flair_3.png", "test/normal/p2_flair_5.png", "test/tumor/p2_flair_9.png")
    draw(tmp_path, "test/annotation/p2_seg_9.png", value=255)
    samples = Folder(str(tmp_path)).samples()
    assert table(samples) == [
        ("test/normal/p2_flair_5.png", "normal", "test"),
        ("test/tumor/p2_flair_9.png", "tumor", "test"),
        ("train/p1_flair_3.png", "normal", "train"),
    ]
    assert [int(mask_of(s).sum()) for s in samples] == [0, 16, 0]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"train": {"0": ["a.png"', "expected a JSON file, got one that cannot be read (Expecting ',' delimiter"),
        ("[1]", 'expected lists of file names under "train"/"0", "test"/"0" and "test"/"1", got list.'),
        ('{"train": ["a.png"]}', '"test"/"1", got an entry \'train\' of another form.'),
        ('{"train": {"2": []}}', '"test"/"1", got an entry \'train\' of another form.'),
        ('{"train": {"0": [1]}}', "\"test\"/\"1\", got an entry 'train'/'0' that is no list of names."),
        ('{"train": {"0": ["../a.png"]}}', "expected names below images/, got '../a.png'."),
        (
            '{"train": {"0": ["a.png"]}, "test": {"1": ["a.png"]}}',
            "expected every image once, got 'a.png' twice; list it in one part.",
        ),
    ],
)
def test_a_bad_data_json_is_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    draw(tmp_path, "images/a.png")
    (tmp_path / "data.json").write_text(content)
    message = layout_error(tmp_path)
    assert message.startswith(f"{tmp_path}/data.json: expected")
    assert sentence in message


def test_an_image_data_json_lists_but_that_is_not_there_is_reported_when_read(tmp_path: Path) -> None:
    draw(tmp_path, "images/a.png")
    (tmp_path / "data.json").write_text('{"train": {"0": ["a.png", "gone.png"]}}')
    with pytest.raises(UnreadableImageError) as caught:
        Folder(str(tmp_path)).samples()[1].read()
    assert str(caught.value) == f"{tmp_path}/images/gone.png: no such file or directory"


def test_no_file_is_dropped_in_silence(tmp_path: Path) -> None:
    draw(tmp_path, "normal/a.png", "normal/.hidden.png", "__MACOSX/normal/b.png", ".git/c.png")
    (tmp_path / "normal/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "normal/odd.xyz").write_text("what is this")
    (tmp_path / "normal/Thumbs.db").write_text("")
    for name in ("notes.txt", "normal/b.csv", "normal/c.CSV", "d.md"):
        (tmp_path / name).write_text("")
    source = Folder(str(tmp_path))
    causes = {}
    for sample in source.samples():
        try:
            sample.read()
        except UnreadableImageError as error:
            causes[sample.name] = error.cause
    assert [s.name for s in source.samples()] == ["normal/a.png", "normal/broken.png", "normal/odd.xyz"]
    assert causes == {
        "normal/broken.png": "the file is truncated or damaged",
        "normal/odd.xyz": "not an image: its content is not PNG, JPEG, TIFF, WebP or BMP",
    }
    assert source.notes() == (
        f"{tmp_path}: ignored 4 files that cannot be images: d.md, normal/b.csv, normal/c.CSV and 1 more.",
    )


def test_a_mask_of_another_size_names_both_sizes(tmp_path: Path) -> None:
    draw(tmp_path, "train/good/0.png", "test/crack/0.png")
    draw(tmp_path, "ground_truth/crack/0_mask.png", size=5)
    with pytest.raises(UnreadableImageError) as caught:
        mask_of(Folder(str(tmp_path)).samples()[0])
    assert str(caught.value) == (
        f"{tmp_path}/ground_truth/crack/0_mask.png: the mask is 5 x 5 pixels, its image 4 x 4; "
        "both must have the same size"
    )


def test_a_mask_without_its_image_is_counted(tmp_path: Path) -> None:
    draw(tmp_path, "train/good/0.png", "test/crack/0.png", "ground_truth/crack/0_mask.png", "ground_truth/crack/9.png")
    assert Folder(str(tmp_path)).notes() == (f"{tmp_path}: left out 1 mask without an image.",)


def test_masks_at_the_wrong_depth_are_counted(tmp_path: Path) -> None:
    draw(tmp_path, "train/good/0.png", "test/crack/0.png", "ground_truth/0_mask.png")
    assert Folder(str(tmp_path)).notes() == (
        f"{tmp_path}: no mask for 1 image not called normal.",
        f"{tmp_path}: left out 1 mask without an image.",
    )


def test_two_masks_for_one_image_are_refused(tmp_path: Path) -> None:
    draw(tmp_path, "train/good/0.png", "test/crack/0.png", "ground_truth/crack/0.png", "ground_truth/crack/0.bmp")
    assert layout_error(tmp_path) == (
        f"{tmp_path}: expected one file for each image or mask, got ground_truth/crack/0.bmp and "
        "ground_truth/crack/0.png; keep one of them."
    )


def test_links_that_lead_back_end(tmp_path: Path) -> None:
    draw(tmp_path, "normal/a.png", "abnormal/b.png")
    (tmp_path / "normal/up").symlink_to("..")
    (tmp_path / "normal/self").symlink_to("self")
    (tmp_path / "abnormal/here").symlink_to(".")
    samples = {s.name: s for s in Folder(str(tmp_path)).samples()}
    assert list(samples) == ["abnormal/b.png", "normal/a.png", "normal/self"]
    with pytest.raises(UnreadableImageError, match="too many levels of symbolic links"):
        samples["normal/self"].read()


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    draw(tmp_path, "store/a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/normal").symlink_to("../store")
    assert table(Folder(str(tmp_path / "data")).samples()) == [("normal/a.png", "normal", None)]


def test_a_folder_that_two_ways_lead_to_is_refused(tmp_path: Path) -> None:
    draw(tmp_path, "normal/a.png", "abnormal/b.png")
    (tmp_path / "normal/x").symlink_to("../abnormal")
    assert layout_error(tmp_path) == (
        f"{tmp_path}/normal/x: expected every folder once, got {tmp_path}/abnormal again; remove the link."
    )


def test_folders_that_all_link_to_each_other_end_at_once(tmp_path: Path) -> None:
    for one in range(9):
        draw(tmp_path, f"{one}/a.png")
        for other in set(range(9)) - {one}:
            (tmp_path / f"{one}/to{other}").symlink_to(f"../{other}")
    assert "expected every folder once" in layout_error(tmp_path)


def test_folders_may_nest_deeper_than_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path, "a.png")
    monkeypatch.chdir(tmp_path)
    try:
        for _ in range(1100):
            os.mkdir("d")
            os.chdir("d")
        (tmp_path / "a.png").rename("a.png")
        (sample,) = Folder(str(tmp_path)).samples()
        assert sample.name == "d/" * 1100 + "a.png"
        assert sample.read().shape == (4, 4)
    finally:
        monkeypatch.undo()
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # too deep for pytest's own clean-up


def test_a_path_longer_than_the_system_takes_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(20):
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    assert layout_error(tmp_path).endswith(": expected a readable folder, got file name too long.")


def test_odd_names_are_read(tmp_path: Path) -> None:
    names = ["röntgen bild.png", "line\nbreak.png", 'quo"te,;.png', "日本.png", os.fsdecode(b"bytes\xff.png")]
    for name in names:
        draw(tmp_path, "a.png")
        (tmp_path / "a.png").rename(tmp_path / name)
    samples = Folder(str(tmp_path)).samples()
    assert {s.name for s in samples} == {*names[:4], "bytes\\udcff.png"}
    assert [s.read().shape for s in samples] == [(4, 4)] * 5
    json.dumps([s.name for s in samples], ensure_ascii=False).encode("utf-8")


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError) as caught:
        Folder(str(tmp_path / "gone")).samples()
    assert str(caught.value) == f"the folder {tmp_path}/gone was not found in {tmp_path}; check the path."


def test_an_empty_folder_is_one_sentence(tmp_path: Path) -> None:
    assert layout_error(tmp_path) == f"{tmp_path}: expected images, got 0 files, none of them an image; check the path."
    (tmp_path / "a.txt").touch()
    assert "got 1 file, none of them an image" in layout_error(tmp_path)


def test_an_unknown_layout_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OptionError) as caught:
        Folder(str(tmp_path), layout="x").samples()
    assert str(caught.value) == (
        "layout: expected one of auto, flat, classes, splits, mvtec, bmad, medianomaly, got 'x'."
    )


def test_images_beside_class_folders_are_refused(tmp_path: Path) -> None:
    draw(tmp_path, "normal/a.png", "b.png")
    assert layout_error(tmp_path) == (
        f"{tmp_path}: expected images in class folders only, got 1 outside them (b.png); "
        "move them, or read everything as one class with -o layout=flat."
    )


def test_a_folder_of_data_sets_is_refused(tmp_path: Path) -> None:
    draw(tmp_path, "bottle/train/good/a.png", "cable/train/good/a.png")
    assert layout_error(tmp_path) == (
        f"{tmp_path}: expected class folders, got data sets with splits of their own (bottle, cable); "
        f"pass one of them: {tmp_path}/bottle."
    )


def test_folders_beside_splits_are_refused(tmp_path: Path) -> None:
    draw(tmp_path, "train/good/a.png", "extra/good/a.png")
    assert layout_error(tmp_path) == (
        f"{tmp_path}: expected folders named train, valid or test, got extra; "
        "move them elsewhere, or name a layout with -o layout=NAME."
    )


def test_a_layout_that_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    draw(tmp_path, "a.png")
    for layout in ("classes", "splits", "mvtec", "bmad", "medianomaly"):
        assert "got 1 outside them (a.png)" in layout_error(tmp_path, layout=layout)


def test_the_real_jpeg_folder_is_labelled_by_its_names(real_data: Any) -> None:
    collection = sources.load(str(real_data("chest_xray/jpeg")))
    assert [s.label for s in collection.samples] == [0] * 12 + [1] * 12
    assert collection.samples[0].read().ndim == 2
