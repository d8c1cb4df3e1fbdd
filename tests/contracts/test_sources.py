"""What every source promises; a new file in `sources/` is judged the moment an example of it stands here."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from normoscope import sources
from normoscope.registry import docstring
from normoscope.types import Source

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (4, 28, 28)).astype(np.uint8)
LABELS = np.array([0, 1, 0, 1], np.uint8)


def medmnist(folder: Path) -> str:
    splits = {
        f"{key}_{what}": a for key in ("train", "val", "test") for what, a in (("images", IMAGES), ("labels", LABELS))
    }
    np.savez_compressed(folder / "octmnist.npz", **splits)
    return str(folder / "octmnist.npz")


def idx(folder: Path) -> str:
    for part in ("train", "t10k"):
        for kind, array in (("images-idx3", IMAGES), ("labels-idx1", LABELS)):
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (folder / f"{part}-{kind}-ubyte").write_bytes(head + array.tobytes())
    return str(folder)


def npz(folder: Path) -> str:
    np.savez(folder / "mine.npz", images=IMAGES.astype(np.uint16) * 257, labels=LABELS)
    return str(folder / "mine.npz")


def pictures(folder: Path) -> str:
    for i, image in enumerate(IMAGES):
        path = folder / ("abnormal" if LABELS[i] else "normal") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return str(folder)


def manifest(folder: Path) -> str:
    pictures(folder)
    rows = [f"{'abnormal' if LABELS[i] else 'normal'}/{i}.png,{LABELS[i]},P{i}" for i in range(4)]
    (folder / "table.csv").write_text("\n".join(["path,label,patient_id", *rows]))
    return str(folder / "table.csv")


def brats(folder: Path) -> str:
    volume = np.moveaxis(1 + IMAGES.astype(np.int16), 0, 2)
    lesion = np.zeros(volume.shape, np.uint8)
    lesion[:5, :5, LABELS == 1] = 4
    for kind, array in (("flair", volume), ("seg", lesion)):
        (folder / "BraTS2021_00000").mkdir(exist_ok=True)
        image = nibabel.Nifti1Image(array, np.diag([-1, -1, 1, 1]))
        nibabel.save(image, folder / f"BraTS2021_00000/BraTS2021_00000_{kind}.nii.gz")
    return str(folder)


def isic2018(folder: Path) -> str:
    name = "ISIC2018_Task3_Training"
    for i, image in enumerate(IMAGES):
        path = folder / f"{name}_Input/ISIC_{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    rows = [f"ISIC_{i}," + ("0.0,1.0" if LABELS[i] else "1.0,0.0") + ",0.0" * 5 for i in range(4)]
    (folder / f"{name}_GroundTruth").mkdir(exist_ok=True)
    table = "\n".join(["image,MEL,NV,BCC,AKIEC,BKL,DF,VASC", *rows])
    (folder / f"{name}_GroundTruth/{name}_GroundTruth.csv").write_text(table)
    return str(folder)


def resc(folder: Path) -> str:
    for i, image in enumerate(IMAGES):
        for kind, ending, array in (
            ("original_images", ".img", image),
            ("label_images", "_labelMark", np.full((28, 28), 128 * LABELS[i], np.uint8)),
        ):
            path = folder / f"Edema_trainingset/{kind}/P1_cube_z{ending}/{i}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    return str(folder)


def phantom(folder: Path) -> str:
    return "chest"


EXAMPLES: dict[str, Callable[[Path], str]] = {
    "brats": brats,
    "fashion_mnist": idx,
    "folder": pictures,
    "isic2018": isic2018,
    "manifest": manifest,
    "medmnist": medmnist,
    "mnist": idx,
    "npz": npz,
    "phantom": phantom,
    "resc": resc,
}
OPTIONS = {"phantom": {"size": "28", "train": "4", "validation": "2", "test": "4"}}

every_source = pytest.mark.parametrize("name", sources.names())


def small(name: str, folder: Path) -> Source:
    """Build a small instance; a source without an example here fails."""
    return sources.parse(f"{name}:{EXAMPLES[name](folder)}", OPTIONS.get(name))


@every_source
def test_a_source_is_a_frozen_dataclass_whose_first_field_is_a_text_and_whose_others_have_defaults(
    name: str, tmp_path: Path
) -> None:
    source = small(name, tmp_path)
    first, *others = dataclasses.fields(source)  # type: ignore[arg-type]
    assert first.type == "str"
    assert all(field.default is not dataclasses.MISSING for field in others)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(source, first.name, "elsewhere")


@every_source
def test_the_docstring_begins_with_one_plain_sentence(name: str) -> None:
    first, _, rest = docstring("sources", name).partition("\n")
    assert first.endswith(".")
    assert 20 < len(first) <= 119
    assert rest.startswith("\n")


@every_source
def test_every_field_is_explained(name: str) -> None:
    cls = sources.source_class(name)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        assert f"    {field.name}: " in (cls.__doc__ or ""), f"{name}.{field.name} is not explained"


@every_source
def test_samples_have_unique_names_and_are_listed_alike_each_time(name: str, tmp_path: Path) -> None:
    source = small(name, tmp_path)
    described = [
        [(s.name, s.class_name, s.split, s.patient, dict(s.subgroups)) for s in listed]
        for listed in (source.samples(), source.samples(), small(name, tmp_path).samples())
    ]
    assert described[0] == described[1] == described[2]
    names = [row[0] for row in described[0]]
    assert len(names) >= 4
    assert len(set(names)) == len(names)


@every_source
def test_pixels_are_grey_or_colour_of_a_promised_type_and_read_alike_each_time(name: str, tmp_path: Path) -> None:
    for sample in small(name, tmp_path).samples():
        pixels = sample.read()
        assert pixels.dtype in (np.uint8, np.uint16, np.float32)
        assert pixels.shape in ((28, 28), (28, 28, 3))
        np.testing.assert_array_equal(sample.read(), pixels)
        if sample.read_mask is not None:
            assert sample.read_mask().shape == pixels.shape[:2]
            assert sample.read_mask().dtype == bool


@every_source
def test_labels_are_left_to_the_user_and_the_named_class_is_normal(name: str, tmp_path: Path) -> None:
    source = small(name, tmp_path)
    assert {s.label for s in source.samples()} == {None}
    spec = f"{name}:{EXAMPLES[name](tmp_path)}"
    class_name = next(s.class_name for s in source.samples() if s.class_name is not None)
    labelled = sources.load(spec, normal_class=class_name, options=OPTIONS.get(name)).samples
    assert {s.label for s in labelled if s.class_name == class_name} == {0}
    assert {s.label for s in labelled if s.class_name != class_name} == {1}


@every_source
def test_other_names_of_classes_lead_to_classes(name: str, tmp_path: Path) -> None:
    source = small(name, tmp_path)
    if name == "medmnist":
        assert source.aliases()["drusen"] == "2"
    assert all(isinstance(target, str) for target in source.aliases().values())
