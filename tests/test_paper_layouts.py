"""Every data set the papers use is read in the exact layout in which it is given out, from small made files."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from normoscope import sources
from normoscope.errors import DataNotFoundError, LayoutError, NormalClassError, UnreadableImageError
from normoscope.protocols._data import DATA, read
from normoscope.sources.isic2018 import ISIC2018
from normoscope.sources.resc import RESC
from normoscope.types import Collection, Sample

RNG = np.random.default_rng(0)


def draw(
    root: Path, *names: str, value: int | None = None, colour: bool = False, size: tuple[int, int] = (12, 12)
) -> None:
    """Write images of noise, or of one grey value."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shape = (*size, 3) if colour else size
        pixels = RNG.integers(0, 256, shape) if value is None else np.full(shape, value)
        Image.fromarray(pixels.astype(np.uint8)).save(root / name)


def medmnist(classes: int) -> Callable[[Path], None]:
    """Return a writer of train, val and test arrays, (n, 28, 28) and (n, 1), two images per class and part."""

    def write(path: Path) -> None:
        labels = np.repeat(np.arange(classes, dtype=np.uint8), 2)[:, None]
        images = RNG.integers(0, 256, (len(labels), 28, 28)).astype(np.uint8)
        arrays = {f"{part}_{what}": array for part in ("train", "val", "test")
                  for what, array in (("images", images), ("labels", labels))}  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)

    return write


KAGGLES = ("IM-0115-0001", "NORMAL2-IM-0383-0001", "person1000_bacteria_2931", "person1000_virus_1681")
MENDELEYS = ("NORMAL-1003233-0001", "NORMAL-1003233-0002", "BACTERIA-1008087-0001", "VIRUS-1000148-0001")


def chest_xray_64(path: Path, names: Sequence[str] = KAGGLES) -> None:
    arrays: dict[str, Any] = {}
    for part in ("train", "test"):
        arrays[f"{part}_images"] = RNG.integers(0, 256, (4, 64, 64)).astype(np.uint8)
        arrays[f"{part}_labels"] = np.array([0, 0, 1, 1], np.uint8)
        arrays[f"{part}_names"] = np.array([f"{name}.jpeg" for name in names])
    path.parent.mkdir(parents=True)
    np.savez(path, **arrays)


def mendeley_chest_xray_64(path: Path) -> None:
    chest_xray_64(path, MENDELEYS)


def kaggle_chest_xray(root: Path) -> None:
    for part in ("train", "val", "test"):
        draw(root, f"{part}/NORMAL/IM-0115-0001.jpeg", f"{part}/NORMAL/NORMAL2-IM-0383-0001.jpeg")
        draw(root, f"{part}/PNEUMONIA/person1000_bacteria_2931.jpeg", f"{part}/PNEUMONIA/person1000_virus_1681.jpeg")
        (root / part / ".DS_Store").write_bytes(b"\0")


def mendeley_chest_xray(root: Path) -> None:
    for part in ("train", "test"):
        draw(root, f"{part}/NORMAL/NORMAL-1003233-0001.jpeg", f"{part}/NORMAL/NORMAL-1003233-0002.jpeg")
        draw(root, f"{part}/PNEUMONIA/BACTERIA-1008087-0001.jpeg", f"{part}/PNEUMONIA/VIRUS-1000148-0001.jpeg")


def idx(root: Path) -> None:
    """Write the four files of MNIST and FashionMNIST: two images of each digit in train, one in test."""
    root.mkdir(parents=True)
    for part, count in (("train", 20), ("t10k", 10)):
        images, labels = RNG.integers(0, 256, (count, 28, 28)), np.arange(count) % 10
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (root / f"{part}-{kind}-ubyte").write_bytes(head + array.astype(np.uint8).tobytes())


def medianomaly(root: Path, *, pool: bool = False, ending: str = "png") -> None:
    names = [f"{number:04d}.{ending}" for number in range(9)]
    draw(root, *(f"images/{name}" for name in names))
    train: dict[str, Any] = {"0": names[:3]}
    if pool:
        train["unlabeled"] = {"0": names[6:7], "1": names[7:]}
    (root / "data.json").write_text(json.dumps({"train": train, "test": {"0": names[3:4], "1": names[4:6]}}))


def pooled(root: Path) -> None:
    """The same as DDAD's repository has it: with unlabelled images, fundus photographs as JPEG."""
    medianomaly(root, pool=True, ending="jpg")


def medianomaly_brats(root: Path) -> None:
    draw(root, "train/BraTS2021_00003_flair_70.png", "train/BraTS2021_00003_flair_75.png")
    draw(root, "test/normal/BraTS2021_00005_flair_60.png", "test/tumor/BraTS2021_00005_flair_65.png")
    draw(root, "test/annotation/BraTS2021_00005_seg_65.png", value=255)


def bmad_brats(root: Path) -> None:
    draw(root, "train/good/img/00003_60.png", "train/good/img/00003_61.png")
    draw(root, "valid/good/img/00025_99.png", "test/good/img/00000_96.png")
    for part in ("valid", "test"):
        draw(root, f"{part}/Ungood/img/00124_60.png")
        draw(root, f"{part}/Ungood/label/00124_60.png", value=255)


def bmad_resc(root: Path) -> None:
    """One scan to train; another to validate and test, with slices of both classes."""
    draw(root, "train/good/10_1.png", "train/good/10_2.png")  # no folder img in this part
    for part in ("val", "test"):
        draw(root, f"{part}/good/img/10_3.png", f"{part}/ungood/img/10_40.png")
        draw(root, f"{part}/ungood/label/10_40.png", value=191)


def bmad_resc_as_issued(root: Path) -> None:
    draw(root, "train/good/1.png", "train/good/2.png")
    for part in ("valid", "test"):
        draw(root, f"{part}/good/img/3.png", f"{part}/Ungood/img/4.png")
        draw(root, f"{part}/good/label/3.png", value=0)
        draw(root, f"{part}/Ungood/label/4.png", value=191)


def bmad_resc_in_folders_of_their_own(root: Path) -> None:
    draw(root, "Train/train/good/10_1.png", "Train/train/good/10_2.png")
    for part in ("Val", "Test"):
        inner = f"{part}/{part.lower()}"
        draw(root, f"{inner}/good/10_3.png", f"{inner}/Ungood/10_40.png")
        draw(root, f"{inner}_label/Ungood/10_40.png", value=191)


def challenge_resc(root: Path) -> None:
    """Two eyes of one patient to train, one of another to validate."""
    scan = "{}_MacularCube512x128_12-10-2013_10-48-27_{}_sn14231_cube_z"
    for part, eye, greys in (
        ("Edema_trainingset", scan.format("PC034", "OS"), (0, 255, 0)),
        ("Edema_trainingset", scan.format("PC034", "OD"), (128,)),
        ("Edema_validationset", scan.format("PC012", "OS"), (191, 0)),
    ):
        for number, grey in enumerate(greys, 1):
            draw(root / part, f"original_images/{eye}.img/{number}.bmp")
            draw(root / part, f"label_images/{eye}_labelMark/{number}.bmp", value=grey)
    draw(root / "Edema_testset", f"original_images/{scan.format('P9', 'OS')}.img/1.bmp")


def nested_challenge_resc(root: Path) -> None:
    challenge_resc(root / "ai_challenger_fl2018_trainingset")


def isic(root: Path) -> None:
    for part, kinds in (("Training", ("NV", "MEL", "NV")), ("Test", ("NV", "BCC", "VASC"))):
        name = f"ISIC2018_Task3_{part}"
        columns = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
        rows = [[f"ISIC_{part}{i}", *("1.0" if c == kind else "0.0" for c in columns)] for i, kind in enumerate(kinds)]
        draw(root, *(f"{name}_Input/{row[0]}.jpg" for row in rows), colour=True, size=(450, 600))
        (root / f"{name}_Input/LICENSE.txt").write_text("CC BY-NC 4.0")
        (root / f"{name}_GroundTruth").mkdir()
        table = "\n".join(",".join(row) for row in [["image", *columns], *rows]) + "\n"
        (root / f"{name}_GroundTruth/{name}_GroundTruth.csv").write_text(table)


def camelyon(root: Path) -> None:
    draw(root, "train/good/1.png", "train/good/2.png", "test/good/1.png", "test/Ungood/1.png", colour=True)


def nifti_brats(root: Path) -> None:
    """Six cases of four modalities; 16 % of six is one, which tests."""
    for number in range(6):
        name = f"BraTS2021_{number:05d}"
        (root / name).mkdir(parents=True)
        volume = RNG.integers(1, 500, (210, 212, 12)).astype(np.int16)
        lesion = np.zeros(volume.shape, np.uint8)
        lesion[100:110, 100:110, 5] = 4
        for kind in ("flair", "t1", "t1ce", "t2", "seg"):
            image = nibabel.Nifti1Image(lesion if kind == "seg" else volume, np.diag([-1.0, -1.0, 1.0, 1.0]))
            nibabel.save(image, root / name / f"{name}_{kind}.nii.gz")


def nested_nifti_brats(root: Path) -> None:
    nifti_brats(root / "BraTS2021_Training_Data")


def linked_nifti_brats(root: Path) -> None:
    nifti_brats(root.parent / "archive")
    root.symlink_to("archive")


TWO_EACH = {("train", 0): 2, ("train", 1): 2, ("test", 0): 2, ("test", 1): 2}
BENCHMARK = {("train", 0): 3, ("test", 0): 1, ("test", 1): 2}
ONE_PIECE = {("train", 0): 2, ("test", 0): 1, ("test", 1): 1}
WITH_VALIDATION = {**ONE_PIECE, ("validation", 0): 1, ("validation", 1): 1}
DIGITS = {("train", 0): 2, ("train", 1): 18, ("test", 0): 1, ("test", 1): 9}

# name, how it is given out, (split, label) counts, number of masks, number of patients
GIVEN_OUT: list[tuple[str, Callable[[Path], None], dict[tuple[str, int], int], int, int]] = [
    ("pneumoniamnist", medmnist(2), {**TWO_EACH, ("validation", 0): 2, ("validation", 1): 2}, 0, 0),
    ("breastmnist", medmnist(2), {**TWO_EACH, ("validation", 0): 2, ("validation", 1): 2}, 0, 0),
    ("octmnist", medmnist(4), {(part, label): (2, 6)[label] for part in ("train", "validation", "test")
                               for label in (0, 1)}, 0, 0),
    ("chest_xray_64", chest_xray_64, TWO_EACH, 0, 4),
    ("chest_xray_64", mendeley_chest_xray_64, TWO_EACH, 0, 3),
    ("chest_xray", kaggle_chest_xray, {**TWO_EACH, ("validation", 0): 2, ("validation", 1): 2}, 0, 4),
    ("chest_xray", mendeley_chest_xray, TWO_EACH, 0, 3),
    ("mnist", idx, DIGITS, 0, 0),
    ("fashion_mnist", idx, DIGITS, 0, 0),
    ("rsna", medianomaly, BENCHMARK, 0, 0),
    ("vindr", medianomaly, BENCHMARK, 0, 0),
    ("brain_tumor", medianomaly, BENCHMARK, 0, 0),
    ("lag", medianomaly, BENCHMARK, 0, 0),
    ("lag", pooled, BENCHMARK, 0, 0),
    ("camelyon16", camelyon, ONE_PIECE, 0, 0),
    ("isic2018", isic, {("train", 0): 2, ("train", 1): 1, ("test", 0): 1, ("test", 1): 2}, 0, 0),
    ("brats2021", medianomaly_brats, ONE_PIECE, 4, 2),
    ("brats2021", bmad_brats, WITH_VALIDATION, 6, 4),
    ("brats2021", nifti_brats, {("train", 0): 10, ("train", 1): 5, ("test", 0): 2, ("test", 1): 1}, 18, 6),
    ("brats2021", nested_nifti_brats, {("train", 0): 10, ("train", 1): 5, ("test", 0): 2, ("test", 1): 1}, 18, 6),
    ("brats2021", linked_nifti_brats, {("train", 0): 10, ("train", 1): 5, ("test", 0): 2, ("test", 1): 1}, 18, 6),
    ("resc", bmad_resc, WITH_VALIDATION, 6, 2),
    ("resc", bmad_resc_as_issued, WITH_VALIDATION, 6, 4),
    ("resc", bmad_resc_in_folders_of_their_own, WITH_VALIDATION, 6, 2),
    ("resc", challenge_resc, {("train", 0): 2, ("train", 1): 2, ("test", 0): 1, ("test", 1): 1}, 6, 2),
    ("resc", nested_challenge_resc, {("train", 0): 2, ("train", 1): 2, ("test", 0): 1, ("test", 1): 1}, 6, 2),
]  # fmt: skip


def collection_of(
    name: str, give_out: Callable[[Path], None], root: Path, monkeypatch: pytest.MonkeyPatch
) -> Collection:
    """Put a made set where its papers look for it, and read it."""
    monkeypatch.setenv("NORMOSCOPE_DATA", str(root))
    assert DATA[name].place is None
    give_out(root / DATA[name].path)
    return read(name)


def mask_of(sample: Sample) -> np.ndarray:
    assert sample.read_mask is not None
    return sample.read_mask()


@pytest.mark.parametrize(
    ("name", "give_out", "counts", "masks", "patients"),
    [pytest.param(*row, id=f"{row[0]}-{getattr(row[1], '__name__', '')}") for row in GIVEN_OUT],
)
def test_a_data_set_is_read_as_it_is_given_out(
    name: str,
    give_out: Callable[[Path], None],
    counts: dict[tuple[str, int], int],
    masks: int,
    patients: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collection = collection_of(name, give_out, tmp_path, monkeypatch)
    assert Counter((s.split, s.label) for s in collection.samples) == counts
    with_masks = [s for s in collection.samples if s.read_mask is not None]
    assert len(with_masks) == masks
    for sample in with_masks:
        assert mask_of(sample).shape == sample.read().shape[:2]
        assert mask_of(sample).any() == bool(sample.label), sample.name
    assert len({s.patient for s in collection.samples} - {None}) == patients
    assert collection.grouped == bool(patients)
    assert len({s.read().dtype for s in collection.samples}) == 1


def test_every_data_set_that_can_be_had_is_tested_here() -> None:
    assert {row[0] for row in GIVEN_OUT} == {name for name, data in DATA.items() if not data.absent.private}


@pytest.mark.parametrize(("name", "shape"), [("lag", (64, 64)), ("isic2018", (64, 64)), ("camelyon16", (64, 64, 3))])
def test_the_benchmarks_sets_are_grey_squares_but_for_the_coloured_one(
    name: str, shape: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wide(root: Path) -> None:
        medianomaly(root)
        bars = np.zeros((40, 80, 3), np.uint8)
        bars[:, 40:] = (0, 255, 0)
        Image.fromarray(bars).save(root / "images/0000.png")

    made = {"lag": wide, "isic2018": isic, "camelyon16": camelyon}
    collection = collection_of(name, made[name], tmp_path, monkeypatch)
    assert {s.read().shape for s in collection.samples} == {shape}
    if name == "lag":  # no black bars, and green as bright as eyes see it
        pixels = collection.samples[0].read()
        assert pixels.dtype == np.uint8
        assert (np.unique(pixels[:, :31]), np.unique(pixels[:, 33:])) == ([0], [round(0.587 * 255)])


def test_names_of_another_form_are_the_folders_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LayoutError) as caught:
        collection_of("chest_xray_64", lambda path: chest_xray_64(path, list("abcd")), tmp_path, monkeypatch)
    where = tmp_path / "chest_xray/chest_xray_64.npz"
    assert str(caught.value).startswith(f"{where}: expected chest X-rays 64 px as it is given out, got --group-regex")
    assert "it misses train/a.jpeg" in str(caught.value)


def test_attention_maps_beside_the_images_are_left_out_and_counted(tmp_path: Path) -> None:
    for kind in ("non_glaucoma", "suspicious_glaucoma"):  # LAG as its authors give it out
        draw(tmp_path, f"{kind}/image/1.jpg", f"{kind}/image/2.jpg", f"{kind}/attention_map/1.jpg")
        (tmp_path / kind / "label").mkdir()
        (tmp_path / kind / "label/1.txt").write_text("1")
    collection = sources.load(str(tmp_path), normal_class="non_glaucoma")
    assert [(s.name, s.label) for s in collection.samples] == [
        ("non_glaucoma/image/1.jpg", 0),
        ("non_glaucoma/image/2.jpg", 0),
        ("suspicious_glaucoma/image/1.jpg", 1),
        ("suspicious_glaucoma/image/2.jpg", 1),
    ]
    assert collection.notes[-1] == (
        f"{tmp_path}: left out 2 files that are no images, in non_glaucoma/attention_map, "
        "suspicious_glaucoma/attention_map."
    )


def test_folders_beside_a_folder_of_images_are_read_too(tmp_path: Path) -> None:
    draw(tmp_path, "normal/images/1.png", "normal/images_2/1.png", "normal/siteB/3.png", "normal/4.png", "ill/5.png")
    collection = sources.load(str(tmp_path))
    assert len(collection) == 5
    assert collection.notes == ()


def test_a_class_may_be_called_as_its_split(tmp_path: Path) -> None:
    for part in ("train", "test"):
        draw(tmp_path, f"{part}/train/p1/1.png", f"{part}/car/p1/1.png")
    collection = sources.load(str(tmp_path), normal_class="train")
    assert {s.class_name for s in collection.samples} == {"train", "car"}


def test_brats_volumes_are_cut_as_the_benchmark_cuts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = collection_of("brats2021", nifti_brats, tmp_path, monkeypatch)
    # of 12 slices every fifth; 210 x 212 becomes 208 x 208
    assert [s.name for s in collection.samples[:3]] == [f"BraTS2021_00000/{number:03d}" for number in (0, 5, 10)]
    assert {s.read().shape for s in collection.samples} == {(208, 208)}
    assert mask_of(collection.samples[1]).sum() == 100


def test_the_unlabelled_pool_of_the_benchmark_is_left_out_and_counted(tmp_path: Path) -> None:
    pooled(tmp_path)
    draw(tmp_path, "images/stray.jpg")
    collection = sources.load(str(tmp_path))
    assert [s.name for s in collection.samples] == [f"images/{number:04d}.jpg" for number in range(6)]
    assert collection.notes == (
        f"{tmp_path}: left out 3 images of the unlabelled pool.",
        f"{tmp_path}: left out 1 image not listed in data.json.",
    )


@pytest.mark.parametrize(
    ("pool", "sentence"),
    [
        ("[]", "an entry 'train'/'unlabeled' of another form."),
        ('{"0": ["a.png", 3]}', "an entry 'train'/'unlabeled/0' that is no list of names."),
        ('{"0": ["../a.png"]}', "expected names below images/, got '../a.png'."),
    ],
)
def test_a_pool_of_another_form_is_one_sentence(tmp_path: Path, pool: str, sentence: str) -> None:
    draw(tmp_path, "images/a.png")
    (tmp_path / "data.json").write_text(f'{{"train": {{"0": ["a.png"], "unlabeled": {pool}}}}}')
    with pytest.raises(LayoutError) as caught:
        sources.load(str(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path}/data.json: expected ")
    assert str(caught.value).endswith(sentence)


def test_kaggles_brain_tumours_are_read_as_they_are(tmp_path: Path) -> None:
    for part in ("Training", "Testing"):
        for kind in ("glioma", "meningioma", "notumor", "pituitary"):
            draw(tmp_path, f"{part}/{kind}/Tr-{kind[:2]}_0010.jpg")
    with pytest.raises(NormalClassError, match="classes found: glioma, meningioma, notumor, pituitary"):
        sources.load(str(tmp_path))
    collection = sources.load(str(tmp_path), normal_class="notumor")
    assert Counter((s.split, s.label) for s in collection.samples) == {
        ("train", 0): 1, ("train", 1): 3, ("test", 0): 1, ("test", 1): 3,
    }  # fmt: skip


def test_kaggles_chest_x_rays_with_their_second_copy_inside_are_refused(tmp_path: Path) -> None:
    kaggle_chest_xray(tmp_path)
    kaggle_chest_xray(tmp_path / "chest_xray")
    draw(tmp_path, "__MACOSX/chest_xray/x.png")
    with pytest.raises(LayoutError, match="expected folders named train, valid or test, got chest_xray; move them"):
        sources.load(str(tmp_path))


# RESC as its challenge gave it out


def test_an_eye_keeps_its_case_and_a_patient_both_eyes(tmp_path: Path) -> None:
    challenge_resc(tmp_path / "fl2018")
    draw(tmp_path, "fl2018/Edema_trainingset/original_images/PC1_cube_z.img/7.bmp")
    source = RESC(str(tmp_path))
    eye = "MacularCube512x128_12-10-2013_10-48-27_{}_sn14231_cube_z"
    assert [(s.name, s.class_name, s.split, s.patient) for s in source.samples()] == [
        (f"Edema_trainingset/PC034_{eye.format('OD')}/1", "abnormal", "train", "PC034"),
        (f"Edema_trainingset/PC034_{eye.format('OS')}/1", "normal", "train", "PC034"),
        (f"Edema_trainingset/PC034_{eye.format('OS')}/2", "abnormal", "train", "PC034"),
        (f"Edema_trainingset/PC034_{eye.format('OS')}/3", "normal", "train", "PC034"),
        (f"Edema_validationset/PC012_{eye.format('OS')}/1", "abnormal", "test", "PC012"),
        (f"Edema_validationset/PC012_{eye.format('OS')}/2", "normal", "test", "PC012"),
    ]
    assert source.notes() == (f"{tmp_path}: left out 1 slice without a mask.",)


def test_a_challenge_folder_without_masks_or_with_a_broken_one_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError):
        RESC(str(tmp_path / "gone")).samples()
    draw(tmp_path, "Edema_trainingset/original_images/P1_cube_z.img/1.bmp")
    with pytest.raises(LayoutError) as caught:
        RESC(str(tmp_path)).samples()
    assert str(caught.value) == (
        f"{tmp_path}: expected Edema_trainingset/{{original_images,label_images}}/CASE/NUMBER.bmp, got 1 slice, none "
        "with a mask; check the path."
    )
    mask = tmp_path / "Edema_trainingset/label_images/P1_cube_z_labelMark/1.bmp"
    mask.parent.mkdir(parents=True)
    mask.write_bytes(b"BM")
    with pytest.raises(UnreadableImageError) as broken:
        RESC(str(tmp_path)).samples()
    assert str(broken.value) == f"{mask}: the file is truncated or damaged"


# ISIC 2018


def test_the_seven_kinds_are_classes_with_names_in_words(tmp_path: Path) -> None:
    isic(tmp_path)
    source = ISIC2018(str(tmp_path))
    assert [(s.name, s.class_name, s.split) for s in source.samples()] == [
        ("Training/ISIC_Training0", "NV", "train"),
        ("Training/ISIC_Training1", "MEL", "train"),
        ("Training/ISIC_Training2", "NV", "train"),
        ("Test/ISIC_Test0", "NV", "test"),
        ("Test/ISIC_Test1", "BCC", "test"),
        ("Test/ISIC_Test2", "VASC", "test"),
    ]
    assert source.samples()[0].read().shape == (450, 600, 3)
    assert source.notes() == (
        f"{tmp_path}: no part Validation.",
        f"{tmp_path}: images of one lesion may fall into different parts, for "
        "ISIC2018_Task3_Training_LesionGroupings.csv, from the page of the other files, is not there.",
    )
    assert sources.load(f"isic2018:{tmp_path}", normal_class="nevus").normal_class == "NV"


def test_images_of_one_lesion_stay_together_where_the_table_says_so(tmp_path: Path) -> None:
    isic(tmp_path)
    table = tmp_path / "ISIC2018_Task3_Training_LesionGroupings.csv"
    head = "image,lesion_id,diagnosis_confirm_type\n"
    table.write_text(head + "".join(f"ISIC_Training{n},HAM_000{n // 2},serial imaging\n" for n in range(3)))
    collection = sources.load(f"isic2018:{tmp_path}", normal_class="NV")
    patients = [s.patient for s in collection.samples]
    assert patients == ["HAM_0000", "HAM_0000", "HAM_0001", "ISIC_Test0", "ISIC_Test1", "ISIC_Test2"]
    assert collection.notes == (f"{tmp_path}: no part Validation.",)
    table.write_text(head + "ISIC_Training0,,x\n")
    with pytest.raises(
        LayoutError, match=r"Groupings\.csv, line 2: expected an image and a lesion, got ISIC_Training0,,x"
    ):
        sources.load(f"isic2018:{tmp_path}", normal_class="NV")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("", ": expected the columns image,MEL,NV,BCC,AKIEC,BKL,DF,VASC, got an empty file."),
        ("image,NV\n", ": expected the columns image,MEL,NV,BCC,AKIEC,BKL,DF,VASC, got image,NV."),
        ("image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\na,1,0,0,0,0,0,0\nb,1,1,0,0,0,0,0\n",
         ", line 3: expected an image and 1 in one of seven columns, got b,1,1,0,0,0,0,0."),
        ("image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\na,1,0\n",
         ", line 2: expected an image and 1 in one of seven columns, got a,1,0."),
        ("image,MEL,NV,BCC,AKIEC,BKL,DF,VASC,UNK\n",
         ": expected the columns image,MEL,NV,BCC,AKIEC,BKL,DF,VASC, got image,MEL,NV,BCC,AKIEC,BKL,DF,VASC,UNK."),
    ],
)  # fmt: skip
def test_a_table_of_another_form_is_one_sentence(tmp_path: Path, table: str, sentence: str) -> None:
    name = "ISIC2018_Task3_Test_GroundTruth"
    with pytest.raises(DataNotFoundError, match=r"Training_GroundTruth\.csv was not found"):
        ISIC2018(str(tmp_path)).samples()
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{name}.csv").write_text(table)
    with pytest.raises(LayoutError) as caught:
        ISIC2018(str(tmp_path)).samples()
    assert str(caught.value) == f"{tmp_path}/{name}/{name}.csv{sentence}"
