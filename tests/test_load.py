from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from normoscope import sources
from normoscope.errors import LayoutError, NormalClassError, OptionError, UnreadableImageError
from normoscope.sources.folder import Folder
from normoscope.sources.manifest import Manifest
from normoscope.sources.npz import NPZ
from normoscope.sources.phantom import Phantom

PHANTOM = {"train": "12", "validation": "2", "test": "4", "size": "28"}


def arrays(folder: Path, **more: object) -> str:
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8)).astype(np.uint8)
    np.savez(folder / "set.npz", images=images, labels=np.array([0, 1, 2, 1]), **more)  # type: ignore[arg-type]
    return str(folder / "set.npz")


def test_the_folder_is_the_registry() -> None:
    files = Path(sources.__file__).parent.glob("[!_]*.py")
    assert sources.names() == sorted(file.stem for file in files)
    assert {"folder", "manifest", "medmnist", "npz", "phantom"} <= set(sources.names())


def test_the_kind_of_a_path_is_plain_from_its_name(tmp_path: Path) -> None:
    assert sources.parse(str(tmp_path)) == Folder(str(tmp_path))
    for suffix, kind in ((".npz", NPZ), (".NPY", NPZ), (".csv", Manifest), (".parquet", Manifest)):
        assert sources.parse(f"set{suffix}") == kind(f"set{suffix}")
    with pytest.raises(OptionError, match=r"data: expected an existing folder or image, .* got 'scan\.png'"):
        sources.parse("scan.png")


def test_options_are_read_as_their_fields_types() -> None:
    assert sources.parse("phantom:brain", {"seed": "3", "prevalence": "0.25"}) == Phantom("brain", 3, prevalence=0.25)
    with pytest.raises(OptionError, match="phantom option seed: expected a number, got 'three'"):
        sources.parse("phantom", {"seed": "three"})
    with pytest.raises(OptionError, match=r"option of source phantom: expected one of anatomy, seed, .* got 'sead'"):
        sources.parse("phantom", {"sead": "3"})


def test_data_that_are_named_twice_are_refused(tmp_path: Path) -> None:
    sentence = f"folder option path: expected nothing, as {tmp_path} says it already, got 'other'."
    with pytest.raises(OptionError) as caught:
        sources.parse(str(tmp_path), {"path": "other"})
    assert str(caught.value) == sentence
    assert sources.parse("folder", {"path": str(tmp_path)}) == Folder(str(tmp_path))


def test_a_source_that_needs_an_argument_says_so() -> None:
    with pytest.raises(OptionError, match="data: expected npz:PATH, got 'npz'"):
        sources.parse("npz")


def test_records_of_the_same_data_are_equal_however_it_was_typed() -> None:
    assert sources.full_spec("./scans/") == sources.full_spec("scans") == "scans"
    assert sources.full_spec("folder:a/../b/") == "folder:b"
    options = {"seed": "1", "anatomy": "brain"}
    assert sources.full_spec("phantom", options) == "phantom anatomy=brain seed=1"


def test_a_place_is_the_same_from_every_folder_and_however_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = tmp_path / "a" / "scans"
    scans.mkdir(parents=True)
    (tmp_path / "b" / "scans").mkdir(parents=True)
    (tmp_path / "link").symlink_to(scans)
    asked = sources.place(str(scans))
    monkeypatch.chdir(tmp_path / "a")
    ways = ("scans", "./scans/", "../a/scans", "folder:scans", "folder:../link", str(tmp_path / "link"))
    assert {sources.place(way) for way in ways} == {asked}
    monkeypatch.chdir(scans)
    assert {sources.place(way) for way in (".", "folder:.", "../scans")} == {asked}
    for text in ("~nobody here/x", "x" * 5000, "a\0b"):
        assert sources.place(text) == sources.place(text) != asked
    assert str(tmp_path) not in asked  # a record that is handed on does not tell the place
    assert sources.place("scans", {"layout": "flat"}) != asked
    monkeypatch.chdir(tmp_path / "b")
    assert sources.place("scans") != asked
    assert sources.place("phantom") != sources.place("phantom:brain")
    recorded = {"spec": "scans", "place": asked}
    assert sources.same_data(recorded, "../a/scans")
    assert sources.same_data(recorded, "scans")  # as typed: model and data may have moved together
    assert not sources.same_data({"spec": "../a/scans"}, str(scans))  # models of earlier versions tell no place


def test_a_path_is_never_taken_for_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("phantom").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("phantom/a.png")
    for path in (Path("phantom"), tmp_path / "phantom"):
        found = sources.load(path, labelled=False)
        assert [sample.name for sample in found.samples] == ["a.png"]
        assert sources.same_data({"spec": found.spec, "place": sources.place(found.source)}, str(tmp_path / "phantom"))


def test_the_named_class_is_normal_and_every_other_is_not(tmp_path: Path) -> None:
    collection = sources.load(arrays(tmp_path), normal_class=1)
    assert [s.label for s in collection.samples] == [1, 0, 1, 0]
    assert collection.normal_class == "1"


def test_the_normal_class_is_named_by_the_user_or_by_the_layout_never_guessed(tmp_path: Path) -> None:
    path = arrays(tmp_path)
    with pytest.raises(NormalClassError) as caught:
        sources.load(path)
    assert str(caught.value) == (
        f"{path}: the normal class is not named; classes found: 0, 1, 2; pass --normal-class NAME_OR_INT."
    )
    assert {s.label for s in sources.load(path, labelled=False).samples} == {None}
    for name in ("Normal", "odd"):
        (tmp_path / "scans" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "scans" / name / "a.png")
    assert sources.load(str(tmp_path / "scans")).normal_class == "Normal"
    assert sources.load(str(tmp_path / "scans"), normal_class="odd").normal_class == "odd"


def test_one_image_is_data_of_its_folders_class(tmp_path: Path) -> None:
    (tmp_path / "Normal").mkdir()
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save(tmp_path / "Normal" / "a.png")
    loaded = sources.load(str(tmp_path / "Normal" / "a.png"))
    assert [(s.name, s.label, int(s.read().max())) for s in loaded.samples] == [("a.png", 0, 7)]
    (tmp_path / "a.tsv").write_text("x")
    with pytest.raises(LayoutError, match=r"a\.tsv: expected an image or a folder of images, got a \.tsv file; check"):
        sources.load(str(tmp_path / "a.tsv"))
    (tmp_path / "a.dcm").write_bytes(b"\0" * 128 + b"DICM")
    (sample,) = sources.load(str(tmp_path / "a.dcm"), labelled=False).samples
    with pytest.raises(UnreadableImageError, match="a DICOM file, which is not read yet"):
        sample.read()


def test_patients_are_the_first_group_or_the_whole_match() -> None:
    def patients(pattern: str) -> list[str | None]:
        return [s.patient for s in sources.load("phantom", group_regex=pattern, options=PHANTOM).samples][:2]

    assert patients(r"normal-(\d+)") == ["00000", "00001"]
    assert patients(r"\d+$") == ["00000", "00001"]
    assert patients(r"(?:ab)?normal-\d+") == ["normal-00000", "normal-00001"]
    assert sources.load("phantom", group_regex=r"\d+$", options=PHANTOM).group_regex == r"\d+$"


def test_patterns_that_name_no_patient_are_refused() -> None:
    for pattern, sentence in (
        ("(", r"--group-regex: expected a regular expression \(missing \), .*, got '\('"),
        ("train", "expected a pattern that matches every name; it misses validation/normal-00000, got 'train'"),
        # the optional group says nothing of most names, though the pattern matches all of them
        (r"(ab)?normal-\d+", "a first group that holds the patient; it is empty in train/normal-00000; group with"),
        (r"x*", r"a first group that holds the patient; it is empty in train/normal-00000"),
    ):
        with pytest.raises(OptionError, match=sentence):
            sources.load("phantom", group_regex=pattern, options=PHANTOM)


def test_no_images_at_all_are_refused(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("path,label\n")
    with pytest.raises(LayoutError, match=r"table\.csv: expected at least one image, got none; check the path"):
        sources.load(str(tmp_path / "table.csv"), normal_class="0")
