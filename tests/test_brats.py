"""BraTS volumes become labelled axial slices, whatever the file's axes, type and byte order; damage is one sentence."""

from __future__ import annotations

import gzip
import logging
import os
import struct
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest

from normoscope import sources
from normoscope.errors import DataNotFoundError, LayoutError, MissingExtraError, OptionError, UnreadableImageError
from normoscope.sources import brats
from normoscope.sources.brats import BraTS
from normoscope.types import Sample

Array = npt.NDArray[Any]

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # the axes of every BraTS file: to the left, to the back, to the head
RNG = np.random.default_rng(0)
VOLUME = RNG.integers(1, 1000, (6, 8, 5)).astype(np.int16)  # x, y, z


def write(path: Path, array: Array = VOLUME, affine: Array = LPS, kind: Any = nibabel.Nifti1Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(kind(array, affine), path)
    return path


def case(root: Path, name: str = "BraTS2021_00000", volume: Array = VOLUME, lesions: tuple[int, ...] = (2, 3)) -> Path:
    """Write one case; slice number k has one lesion pixel, at row 1 and column 4, for every k in lesions."""
    mask = np.zeros(volume.shape, np.uint8)
    mask[4, 1, list(lesions)] = 4
    write(root / name / f"{name}_seg.nii.gz", mask)
    write(root / name / f"{name}_flair.nii.gz", volume)
    return root


def raw(root: Path, **options: Any) -> list[Array]:
    return [s.read() for s in BraTS(str(root), percentile=0, **options).samples()]


def mask_of(sample: Sample) -> Array:
    assert sample.read_mask is not None
    return sample.read_mask()


def numbers(source: BraTS) -> list[str]:
    return [s.name.partition("/")[2] for s in source.samples()]


# slices


def test_slices_are_labelled_by_their_lesions_and_belong_to_their_case(tmp_path: Path) -> None:
    case(case(tmp_path), "BraTS2021_00002", lesions=())
    collection = sources.load(f"brats:{tmp_path}")
    assert [(s.name, s.class_name, s.label, s.patient, s.split) for s in collection.samples] == [
        ("BraTS2021_00000/000", "normal", 0, "BraTS2021_00000", None),
        ("BraTS2021_00000/001", "normal", 0, "BraTS2021_00000", None),
        ("BraTS2021_00000/002", "abnormal", 1, "BraTS2021_00000", None),
        ("BraTS2021_00000/003", "abnormal", 1, "BraTS2021_00000", None),
        ("BraTS2021_00000/004", "normal", 0, "BraTS2021_00000", None),
        *((f"BraTS2021_00002/00{k}", "normal", 0, "BraTS2021_00002", None) for k in range(5)),
    ]
    assert collection.normal_class == "normal"
    assert collection.notes == ()
    assert collection.grouped
    assert np.argwhere(mask_of(collection.samples[2])).tolist() == [[1, 4]]
    assert not mask_of(collection.samples[4]).any()


def test_a_slice_shows_the_front_at_the_top_and_the_right_at_the_left(tmp_path: Path) -> None:
    for number, slice_ in enumerate(raw(case(tmp_path))):
        assert slice_.dtype == np.float32
        np.testing.assert_array_equal(slice_, VOLUME[:, :, number].T)


@pytest.mark.parametrize(
    ("stored", "affine"),
    [
        (VOLUME[::-1, ::-1], np.diag([1.0, 1.0, 1.0, 1.0])),
        (VOLUME[:, :, ::-1], np.diag([-1.0, -1.0, -1.0, 1.0])),
        # first axis to the head, second to the left, third to the back
        (VOLUME.transpose(2, 0, 1), np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])),
        # turned by ten degrees about the long axis
        (VOLUME, np.array([[-0.985, 0.174, 0, 5], [-0.174, -0.985, 0, 7], [0, 0, 3, 0], [0, 0, 0, 1.0]])),
        (VOLUME[..., None], LPS),
    ],
)
def test_slices_are_the_same_however_the_file_orders_its_axes(tmp_path: Path, stored: Array, affine: Array) -> None:
    write(tmp_path / "P1_flair.nii.gz", np.ascontiguousarray(stored), affine)
    np.testing.assert_array_equal(raw(tmp_path), VOLUME.transpose(2, 1, 0))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".NII.GZ"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4", ">f8", "<u2", "|u1"])
def test_every_version_byte_order_and_type_is_read(tmp_path: Path, ending: str, kind: Any, dtype: str) -> None:
    volume = (VOLUME % 250 + 1).astype(dtype)
    header = kind.header_class(endianness=">" if dtype[0] == ">" else "<")
    header.set_data_dtype(dtype)
    path = tmp_path / "P1_flair.nii"
    nibabel.save(kind(volume, LPS, header), path)
    assert path.read_bytes()[:4] in (b"\x5c\1\0\0", b"\0\0\1\x5c", b"\x1c\2\0\0", b"\0\0\2\x1c")
    assert (path.read_bytes()[0] == 0) == (dtype[0] == ">")
    if ending != ".nii":
        (tmp_path / f"P1_flair{ending}").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    np.testing.assert_array_equal(raw(tmp_path), volume.transpose(2, 1, 0))


def test_the_files_own_scale_is_applied(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOLUME, LPS)
    image.header.set_slope_inter(0.5, 10)
    nibabel.save(image, tmp_path / "P1_flair.nii.gz")
    stored = nibabel.load(tmp_path / "P1_flair.nii.gz")
    expected = np.asarray(stored.dataobj.get_unscaled()) * stored.dataobj.slope + stored.dataobj.inter
    assert stored.dataobj.slope != 1
    np.testing.assert_allclose(raw(tmp_path), expected.transpose(2, 1, 0), rtol=1e-6)


def test_a_segmentation_that_lies_elsewhere_than_its_volume_is_refused(tmp_path: Path) -> None:
    case(tmp_path)
    mask = np.zeros(VOLUME.shape, np.uint8)
    mask[4, 1, 2] = 1
    seg = tmp_path / "BraTS2021_00000/BraTS2021_00000_seg.nii.gz"
    write(seg, mask, np.eye(4))  # as tools write arrays without a header: the lesion would be turned over
    assert broken(tmp_path) == (
        f"{seg}: its header places it 7 mm from its volume BraTS2021_00000_flair.nii.gz; save it with the volume's "
        "affine"
    )
    # turned alike, what belongs together is plain, wherever the origin is said to be
    write(seg, mask, LPS + np.array([[0, 0, 0, 0], [0, 0, 0, 239], [0, 0, 0, 0], [0, 0, 0, 0]]))
    assert [s.class_name for s in BraTS(str(tmp_path)).samples()].index("abnormal") == 2
    # another order of the axes with an affine that says so is the same place, up to rounding
    turned = np.array([[0, 0, 1, -5 + 1e-4], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    write(seg, np.ascontiguousarray(mask.transpose(2, 1, 0)[:, :, ::-1]), turned)
    samples = BraTS(str(tmp_path)).samples()
    assert [s.class_name for s in samples].index("abnormal") == 2
    assert np.argwhere(mask_of(samples[2])).tolist() == [[1, 4]]


# grey values


def test_each_volume_is_scaled_by_its_own_brain(tmp_path: Path) -> None:
    volume = np.zeros((2, 2, 1), np.int16)
    volume[:, :, 0] = [[0, 10], [40, 50]]
    write(tmp_path / "P1_flair.nii", volume)
    write(tmp_path / "P2_flair.nii", volume * 100)
    # the median of 10, 40 and 50 is 40: 10 becomes a quarter of white, 50 is clipped
    for sample in BraTS(str(tmp_path), percentile=50).samples():
        assert sample.read().dtype == np.uint16
        assert sample.read().tolist() == [[0, 65535], [16384, 65535]]
    first = BraTS(str(tmp_path), percentile=100).samples()[0].read()
    assert first.tolist() == [[0, round(0.8 * 65535)], [round(0.2 * 65535), 65535]]


def test_a_volume_without_brain_is_black_where_it_is_wanted(tmp_path: Path) -> None:
    write(tmp_path / "P1_flair.nii", np.zeros((4, 4, 2), np.int16))
    assert BraTS(str(tmp_path)).samples() == []
    assert [s.read().max() for s in BraTS(str(tmp_path), min_brain=0).samples()] == [0, 0]


# which slices


def test_the_benchmarks_cut_takes_fourteen_slices_five_apart(tmp_path: Path) -> None:
    volume = np.ones((12, 14, 155), np.uint8)
    volume[1, 2, 42] = 200
    case(tmp_path, volume=volume, lesions=(41, 47, 48))
    source = BraTS(str(tmp_path), spacing=5, depth=70, crop=8, percentile=100)
    # 155 - 70 = 85 slices stay out, 42 of them below
    assert numbers(source) == [f"{number:03d}" for number in range(42, 112, 5)]
    assert [s.class_name for s in source.samples()].count("abnormal") == 0  # row 1 is above the crop, which begins at 3
    assert {s.read().shape for s in source.samples()} == {(8, 8)}
    assert {mask_of(s).shape for s in source.samples()} == {(8, 8)}
    assert source.samples()[0].read().max() == round(65535 / 200)
    whole = BraTS(str(tmp_path), spacing=5, depth=70)
    assert [s.name[-3:] for s in whole.samples() if s.class_name == "abnormal"] == ["047"]
    assert len(BraTS(str(tmp_path), depth=999).samples()) == 155


def test_the_crop_is_central_for_image_and_mask_alike(tmp_path: Path) -> None:
    case(tmp_path)
    source = BraTS(str(tmp_path), crop=6, percentile=0)
    np.testing.assert_array_equal(source.samples()[2].read(), VOLUME[:, 1:7, 2].T)
    assert np.argwhere(mask_of(source.samples()[2])).tolist() == [[0, 4]]
    with pytest.raises(
        OptionError, match=r"crop: expected at most 6, the shorter side of the slices of .*flair.*got 7"
    ):
        BraTS(str(tmp_path), crop=7).samples()


def test_slices_with_hardly_any_brain_are_left_out_and_counted(tmp_path: Path) -> None:
    volume = np.zeros((10, 10, 4), np.int16)
    volume[:5, :1, 1] = 7  # exactly 5 %
    volume[:4, :1, 2] = 7
    volume[:, :, 3] = 7
    case(tmp_path, volume=volume, lesions=())
    source = BraTS(str(tmp_path))
    assert numbers(source) == ["001", "003"]
    assert source.notes() == (f"{tmp_path}: left out 2 slices with less than 5% brain.",)
    assert numbers(BraTS(str(tmp_path), min_brain=0.5)) == ["003"]


def test_slight_lesions_make_a_slice_neither_normal_nor_abnormal(tmp_path: Path) -> None:
    mask = np.zeros(VOLUME.shape, np.uint8)
    mask[0, :3, 1], mask[0, :2, 2] = 1, 2
    write(tmp_path / "P1_flair.nii.gz")
    write(tmp_path / "P1_seg.nii.gz", mask)
    source = BraTS(str(tmp_path), min_lesion=3)
    assert [(s.name, s.class_name) for s in source.samples()] == [
        ("P1/000", "normal"),
        ("P1/001", "abnormal"),
        ("P1/003", "normal"),
        ("P1/004", "normal"),
    ]
    assert source.notes() == (f"{tmp_path}: left out 1 slice with a lesion of fewer than 3 pixels.",)


def test_a_share_of_the_cases_tests_and_no_case_does_both(tmp_path: Path) -> None:
    for number in range(10):
        case(tmp_path, f"BraTS2021_{number:05d}", lesions=())
    samples = BraTS(str(tmp_path), test_share=0.3).samples()
    of = {split: {s.patient for s in samples if s.split == split} for split in ("train", "test")}
    assert (len(of["train"]), len(of["test"])) == (7, 3)
    assert not of["train"] & of["test"]
    again = BraTS(str(tmp_path), test_share=0.3).samples()
    assert [(s.name, s.split) for s in again] == [(s.name, s.split) for s in samples]


def test_scans_of_one_patient_stay_together(tmp_path: Path) -> None:
    for number in range(4):
        for scan in (100, 101):
            name = f"BraTS-GLI-{number:05d}-{scan}"
            write(tmp_path / name / f"{name}-t2f.nii.gz")
    samples = BraTS(str(tmp_path), test_share=0.5).samples()
    of = {split: {s.patient for s in samples if s.split == split} for split in ("train", "test")}
    assert {len(patients) for patients in of.values()} == {2}
    assert of["train"] | of["test"] == {f"BraTS-GLI-{number:05d}" for number in range(4)}
    assert len({s.name.partition("/")[0] for s in samples}) == 8


# which files


@pytest.mark.parametrize(
    ("modality", "stored"),
    [("flair", "t2f"), ("t2f", "flair"), ("FLAIR", "flair"), ("t1", "t1n"), ("t1ce", "t1c"), ("t1c", "t1ce"),
     ("t2", "t2w"), ("fla", "fla")],
)  # fmt: skip
def test_both_years_names_of_a_modality_find_both(tmp_path: Path, modality: str, stored: str) -> None:
    for suffix in ("flair", "t1", "t1ce", "t2", "t2f", "t1n", "t1c", "t2w", "fla"):
        case_name = "BraTS-GLI-00001-000" if suffix == stored else f"other{suffix}"
        write(tmp_path / case_name / f"{case_name}-{suffix if suffix == stored else 'none'}.nii.gz")
    write(tmp_path / "BraTS-GLI-00001-000/BraTS-GLI-00001-000-seg.nii.gz", np.ones(VOLUME.shape, np.uint8))
    samples = BraTS(str(tmp_path), modality=modality).samples()
    assert {(s.patient, s.class_name) for s in samples} == {("BraTS-GLI-00001", "abnormal")}


def test_t1_is_not_taken_for_t1ce(tmp_path: Path) -> None:
    write(tmp_path / "P1/P1_t1ce.nii.gz")
    write(tmp_path / "P1/P1_t1.nii.gz", VOLUME + 1)
    np.testing.assert_array_equal(raw(tmp_path, modality="t1")[0], VOLUME[:, :, 0].T + 1)
    np.testing.assert_array_equal(raw(tmp_path, modality="t1c")[0], VOLUME[:, :, 0].T)


def test_cases_that_lack_a_file_are_named_in_notes(tmp_path: Path) -> None:
    case(tmp_path)
    write(tmp_path / "P2/P2_flair.nii.gz")
    write(tmp_path / "P3/P3_seg.nii.gz")
    (tmp_path / "P2/._P2_flair.nii.gz").write_bytes(b"left behind by another system")
    collection = sources.load(f"brats:{tmp_path}")
    assert [s.label for s in collection.samples] == [0, 0, 1, 1, 0] + [None] * 5
    assert collection.samples[-1].read_mask is None
    assert collection.notes == (
        f"{tmp_path}: left out 1 case without a flair volume.",
        f"{tmp_path}: no segmentation for 1 case, whose slices have no class.",
    )


def test_linked_cases_are_followed(tmp_path: Path) -> None:
    case(tmp_path / "store")
    (tmp_path / "some").mkdir()
    (tmp_path / "some/BraTS2021_00000").symlink_to("../store/BraTS2021_00000")
    assert len(BraTS(str(tmp_path / "some")).samples()) == 5


def test_what_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError) as missing:
        BraTS(str(tmp_path / "gone")).samples()
    assert str(missing.value) == f"the folder {tmp_path}/gone was not found in {tmp_path}; check the path."
    write(tmp_path / "P1_t2.nii.gz")
    with pytest.raises(LayoutError) as other:
        BraTS(str(tmp_path)).samples()
    assert str(other.value) == (
        f"{tmp_path}: expected volumes named CASE_flair.nii.gz, got 1 NIfTI file (P1_t2.nii.gz); "
        "choose with -o modality=NAME."
    )


def test_two_volumes_for_one_case_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "P1_flair.nii")
    write(tmp_path / "P1_flair.nii.gz")
    with pytest.raises(LayoutError) as caught:
        BraTS(str(tmp_path)).samples()
    assert str(caught.value) == (
        f"{tmp_path}: expected one flair volume for each case, got P1_flair.nii and P1_flair.nii.gz; keep one of them."
    )


# damage


def broken(tmp_path: Path) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        BraTS(str(tmp_path)).samples()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kept", [10, 300, 0.5, 0.99])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_truncated_volume_is_one_sentence(tmp_path: Path, ending: str, kept: float) -> None:
    path = write(tmp_path / f"P1_flair{ending}", RNG.integers(1, 30000, (20, 20, 20)).astype(np.int16))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    cause = "not a NIfTI file" if kept > 1 else "the file is truncated or damaged"  # a header has 348 bytes
    assert broken(tmp_path) == f"{path}: {cause}"


def test_other_content_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "P1_flair.nii.gz"
    path.write_bytes(b"")
    assert broken(tmp_path) == f"{path}: the file is empty (0 bytes)"
    path.write_bytes(b"no volume" * 100)
    assert broken(tmp_path) == f"{path}: not a NIfTI file"
    path.write_bytes(gzip.compress(b"no volume" * 100))
    assert broken(tmp_path) == f"{path}: not a NIfTI file"


def test_what_is_not_one_grey_volume_is_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "P1_flair.nii.gz", np.stack([VOLUME, VOLUME], axis=3))
    assert broken(tmp_path) == f"{path}: its shape is 6 x 8 x 5 x 2; expected one volume of three dimensions"
    write(path, VOLUME[:, :, 0])
    assert broken(tmp_path) == f"{path}: its shape is 6 x 8; expected one volume of three dimensions"
    write(path, VOLUME.astype(np.complex64))
    assert broken(tmp_path) == f"{path}: its voxels are complex64; expected one grey value each"
    holed = VOLUME.astype(np.float32)
    holed[0, 0, :2] = [np.nan, np.inf]
    write(path, holed)
    assert broken(tmp_path) == f"{path}: 2 of its values are NaN or infinite; replace them"


def test_a_header_that_promises_too_much_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    header["magic"], header["vox_offset"] = b"n+1", 352
    path = tmp_path / "P1_flair.nii"
    path.write_bytes(header.binaryblock + b"\0" * 4)
    assert broken(tmp_path) == f"{path}: its header declares more than 100,000,000 voxels"


def header(shape: tuple[int, ...], code: int = 16) -> bytes:
    """Write a NIfTI-1 header of any shape and data type, true or not."""
    block = bytearray(352)
    struct.pack_into("<i", block, 0, 348)
    struct.pack_into("<8h", block, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into("<hh", block, 70, code, 32)
    struct.pack_into("<8f", block, 76, *[1.0] * 8)
    struct.pack_into("<f", block, 108, 352.0)
    block[344:348] = b"n+1\0"
    return bytes(block)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_volume_far_shorter_than_its_header_says_takes_no_memory(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"P1_flair{ending}"
    content = header((460, 460, 460)) + bytes(2000)
    path.write_bytes(gzip.compress(content) if ending == ".nii.gz" else content)
    tracemalloc.start()
    try:
        assert broken(tmp_path) == f"{path}: the file is truncated or damaged"
        assert tracemalloc.get_traced_memory()[1] < 10_000_000  # bytes; the header says 389 million
    finally:
        tracemalloc.stop()


def test_a_gzip_file_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "P1_flair.nii.gz"
    path.write_bytes(gzip.compress(header((500, 500, 500)) + bytes(1_000_000)))
    assert broken(tmp_path) == f"{path}: its header declares more than 100,000,000 voxels"


@pytest.mark.parametrize("shape", [(0, 10, 5), (10, 10, 0), (-5, 10, 10)])
def test_a_volume_without_voxels_is_one_sentence(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    path = tmp_path / "P1_flair.nii"
    path.write_bytes(header(shape) + bytes(2000))
    size = " x ".join(map(str, shape))
    assert broken(tmp_path) == f"{path}: its shape is {size}; expected one volume of three dimensions"


def test_a_header_that_is_not_valid_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "P1_flair.nii"
    path.write_bytes(header((10, 10, 5), code=999) + bytes(2000))
    assert broken(tmp_path) == f"{path}: its header is not valid (data code 999 not recognized)"
    assert capfd.readouterr() == ("", "")
    assert not logging.getLogger("nibabel.global").disabled


def test_a_segmentation_of_another_size_names_both_sizes(tmp_path: Path) -> None:
    write(tmp_path / "P1_flair.nii.gz")
    path = write(tmp_path / "P1_seg.nii.gz", np.zeros((6, 8, 4), np.uint8))
    assert broken(tmp_path) == (
        f"{path}: the segmentation is 6 x 8 x 4 voxels, its volume 6 x 8 x 5; both must have the same size"
    )


def test_a_volume_that_vanishes_is_reported_when_it_is_read(tmp_path: Path) -> None:
    samples = BraTS(str(case(tmp_path))).samples()
    path = tmp_path / "BraTS2021_00000/BraTS2021_00000_flair.nii.gz"
    path.unlink()
    with pytest.raises(UnreadableImageError) as caught:
        samples[0].read()
    assert str(caught.value) == f"{path}: no such file or directory"


def test_without_nibabel_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(MissingExtraError) as caught:
        BraTS(str(case_without_nibabel(tmp_path))).samples()
    assert str(caught.value) == "reading NIfTI volumes needs an optional part: pip install 'normoscope[nifti]'."


def case_without_nibabel(root: Path) -> Path:
    (root / "P1_flair.nii.gz").write_bytes(b"any")
    return root


@pytest.mark.parametrize(
    ("option", "value"),
    [("spacing", 0), ("depth", -1), ("crop", -1), ("min_brain", 1.1), ("min_brain", -0.1), ("min_lesion", 0),
     ("percentile", 101), ("percentile", float("nan")), ("test_share", 1.0), ("test_share", -0.1)],
)  # fmt: skip
def test_values_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(OptionError, match=f"brats option {option}: expected"):
        BraTS("anywhere", **{option: value})


# memory


def test_reading_in_order_unpacks_each_volume_once_and_keeps_one(tmp_path: Path) -> None:
    for number in range(3):
        case(tmp_path, f"BraTS2021_{number:05d}")
    samples = BraTS(str(tmp_path)).samples()
    for kept in (brats._scaled, brats._marked):
        kept.cache_clear()
    for sample in samples:
        sample.read()
        mask_of(sample)
    for kept in (brats._scaled, brats._marked):
        assert kept.cache_info().misses == 3
        assert kept.cache_info().currsize == 1
    pixels = samples[0].read()
    pixels[:] = 0  # a slice is the caller's own
    assert samples[0].read().any()


def test_a_volume_written_anew_is_read_anew(tmp_path: Path) -> None:
    samples = BraTS(str(case(tmp_path)), percentile=0).samples()
    path = tmp_path / "BraTS2021_00000/BraTS2021_00000_flair.nii.gz"
    before = samples[0].read()
    write(path, VOLUME + 1)
    os.utime(path, ns=(1, 1))
    np.testing.assert_array_equal(samples[0].read(), before + 1)


# real files


def test_a_real_case_is_cut_into_slices_whose_masks_lie_in_the_brain(real_data: Any) -> None:
    folder = real_data("nifti/brats_style_case_t2f.nii.gz").parent
    options = {"mask": "seg_PREDICTED", "spacing": "10", "crop": "208"}
    collection = sources.load(f"brats:{folder}", options=options)
    assert [(s.name[-3:], s.label) for s in collection.samples] == [
        *((f"{number:03d}", 1) for number in range(50, 120, 10)),
        ("120", 0),
        ("130", 0),
    ]
    for sample in collection.samples[1:6]:
        lesion, brain = mask_of(sample), sample.read() > 0
        assert sample.read().shape == (208, 208)
        assert lesion.sum() > 400
        assert (lesion & brain).sum() > 0.95 * lesion.sum()
    # a brain is longer than wide
    middle = collection.samples[3].read() > 0
    rows = np.flatnonzero(middle.any(axis=1))
    assert rows[-1] - rows[0] > np.ptp(np.flatnonzero(middle.any(axis=0)))


def test_real_volumes_of_other_makers_are_read(real_data: Any) -> None:
    folder = real_data("nifti/nibabel_anatomical.nii").parent
    source = BraTS(str(folder), modality="anatomical", percentile=0)  # big-endian
    stored = nibabel.load(folder / "nibabel_anatomical.nii")
    canonical = np.asarray(nibabel.as_closest_canonical(stored).dataobj)
    number = int(source.samples()[10].name[-3:])
    np.testing.assert_array_equal(source.samples()[10].read(), canonical[::-1, ::-1, number].T)
