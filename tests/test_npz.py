from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

import normoscope as ns
from normoscope import images as images_module
from normoscope.errors import DataNotFoundError, LayoutError, NormoscopeError, UnreadableImageError
from normoscope.images import as_images
from normoscope.sources.npz import NPZ

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 12, 10)).astype(np.uint8)
LABELS = np.array([0, 0, 1, 0, 1, 0])


def write(folder: Path, **arrays: object) -> str:
    np.savez_compressed(folder / "set.npz", **arrays)  # type: ignore[arg-type]
    return str(folder / "set.npz")


def refusal(path: str, **keys: str) -> str:
    with pytest.raises(NormoscopeError) as caught:
        NPZ(path, **keys).samples()
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(path, "PATH")


def test_one_set_with_every_companion_array(tmp_path: Path) -> None:
    masks = IMAGES > 128
    names = np.array([f"scan-{i}" for i in range(6)])
    patients = np.array([7, 7, 8, 8, 9, 9])
    samples = NPZ(write(tmp_path, images=IMAGES, labels=LABELS, masks=masks, names=names, patients=patients)).samples()
    assert [s.name for s in samples] == names.tolist()
    assert [s.class_name for s in samples] == ["0", "0", "1", "0", "1", "0"]
    assert [s.patient for s in samples] == ["7", "7", "8", "8", "9", "9"]
    assert {s.split for s in samples} == {None}
    np.testing.assert_array_equal(samples[3].read(), IMAGES[3])
    assert samples[3].read_mask is not None
    np.testing.assert_array_equal(samples[3].read_mask(), masks[3])


def test_three_splits_keep_their_names_below_their_split(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        train_images=IMAGES,
        train_labels=LABELS[:, None],
        train_names=np.array(list("abcdef")),
        test_images=IMAGES[:2],
        test_labels=np.array([b"ill", b"ok"]),
        test_names=np.array(list("ab")),
    )
    samples = NPZ(path).samples()
    assert [s.name for s in samples][4:] == ["train/e", "train/f", "test/a", "test/b"]
    assert [s.class_name for s in samples][4:] == ["1", "0", "ill", "ok"]
    assert [s.split for s in samples][5:] == ["train", "test", "test"]


def test_chosen_keys_are_taken_and_the_only_array_needs_no_key(tmp_path: Path) -> None:
    path = write(tmp_path, x=IMAGES, y=LABELS.astype(float), other=IMAGES)
    samples = NPZ(path, images="x", labels="y").samples()
    assert [s.class_name for s in samples] == ["0", "0", "1", "0", "1", "0"]
    assert [s.class_name for s in ns.load(path, normal_class=0, options={"images": "x", "labels": "y"}).samples][
        2
    ] == "1"
    np.testing.assert_array_equal(NPZ(write(tmp_path, whatever=IMAGES)).samples()[5].read(), IMAGES[5])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_npy_files_hold_one_set(tmp_path: Path, dtype: type) -> None:
    np.save(tmp_path / "set.npy", IMAGES.astype(dtype))
    samples = ns.load(str(tmp_path / "set.npy"), labelled=False).samples
    assert [s.name for s in samples] == list("012345")
    assert samples[2].read().dtype == dtype
    np.testing.assert_array_equal(samples[2].read(), IMAGES[2])


@pytest.mark.parametrize("shape", [(6, 12, 10), (6, 12, 10, 1), (6, 12, 10, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_grey_and_colour_arrays_of_either_memory_order_are_read(
    tmp_path: Path, shape: tuple[int, ...], order: str
) -> None:
    pixels = RNG.random(shape)
    samples = NPZ(write(tmp_path, images=np.asarray(pixels, order=order))).samples()  # type: ignore[call-overload]
    assert samples[1].read().dtype == np.float32
    np.testing.assert_array_equal(samples[1].read(), pixels[1].squeeze().astype(np.float32))


def test_large_arrays_are_unpacked_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, images=IMAGES)
    monkeypatch.setattr(images_module, "IN_MEMORY_BYTES", 100)
    np.testing.assert_array_equal(NPZ(path).samples()[4].read(), IMAGES[4])


def test_nan_images_are_unreadable_by_name_and_the_others_are_not(tmp_path: Path) -> None:
    pixels = RNG.random((3, 8, 8))
    pixels[1, 4, 4] = np.nan
    pixels[2, 0, 0] = np.inf
    samples = NPZ(write(tmp_path, images=pixels, names=np.array(["good", "bad", "worse"]))).samples()
    assert samples[0].read().shape == (8, 8)
    for sample in samples[1:]:
        with pytest.raises(UnreadableImageError, match=f"^{sample.name}: holds NaN or infinite pixels$"):
            sample.read()


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((12, 10), np.uint8), "expected images of shape (n, h, w) or (n, h, w, 3), got shape (12, 10)."),
        (np.zeros((4, 9, 9, 2), np.uint8), "got shape (4, 9, 9, 2)."),
        (np.zeros((0, 9, 9), np.uint8), "got shape (0, 9, 9)."),
        (np.uint8(3), "got shape ()."),
        (np.zeros((4, 9, 9), np.int64), "expected uint8, uint16, float32 or float64 pixels, got int64; convert the"),
        (np.zeros((4, 9, 9), bool), "got bool; convert the array."),
        (np.zeros((4, 9, 9), complex), "got complex128; convert the array."),
    ],
)
def test_arrays_that_are_no_images_are_refused(tmp_path: Path, array: object, sentence: str) -> None:
    assert sentence in refusal(write(tmp_path, images=array))


def test_companions_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        images=IMAGES,
        five=LABELS[:5],
        table=np.zeros((6, 2)),
        scalar=np.array("x"),
        small=IMAGES[:, :8, :8],
        thick=np.stack([IMAGES] * 3, -1),
    )
    assert refusal(path, labels="five") == "PATH, five: expected one value for each of 6 images, got (5,)."
    assert refusal(path, labels="table") == "PATH, table: expected one value for each of 6 images, got (6, 2)."
    assert refusal(path, names="scalar") == "PATH, scalar: expected one value for each of 6 images, got ()."
    assert refusal(path, masks="small") == "PATH: expected masks of shape (6, 12, 10), got (6, 8, 8)."
    assert refusal(path, masks="thick") == "PATH: expected masks of shape (6, 12, 10), got (6, 12, 10, 3)."
    assert refusal(path, labels="nope").startswith("PATH: expected an array 'nope', got images, five, table")


@pytest.mark.parametrize("key", ["labels", "patients", "ids"])
@pytest.mark.parametrize(
    ("values", "got"),
    [
        ([0.0, 0.0, 1.0, np.nan, 1.0, np.nan], "nan (2 of 6)"),
        ([0.0, 0.0, 1.0, np.inf, 1.0, 0.0], "inf (1 of 6)"),
        (["a", "b", "", "c", "", "d"], "an empty text (2 of 6)"),
        (["a", "b", "nan", "c", "d", "NaN"], "nan (2 of 6)"),
        ([b"a", b"", b"b", b"c", b"d", b"e"], "an empty text (1 of 6)"),
    ],
)
def test_values_known_for_some_images_only_are_refused(
    tmp_path: Path, key: str, values: list[object], got: str
) -> None:
    sentence = refusal(write(tmp_path, images=IMAGES, **{key: np.array(values)}))
    assert sentence == f"PATH, {key}: expected a value for every image, got {got}; fill all or none."


@pytest.mark.parametrize("values", [np.full(6, np.nan), np.array([""] * 6), np.array(["nan"] * 6)])
def test_values_known_for_no_image_are_none(tmp_path: Path, values: np.ndarray) -> None:
    samples = NPZ(write(tmp_path, images=IMAGES, labels=values, patients=values, names=values)).samples()
    assert {(s.class_name, s.patient) for s in samples} == {(None, None)}
    assert [s.name for s in samples] == list("012345")


def test_labels_that_are_no_numbers_or_texts_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, images=IMAGES, labels=np.zeros(6, "M8[s]"))
    assert refusal(path) == "PATH, labels: expected numbers or texts, got datetime64[s]."
    path = write(tmp_path, images=IMAGES, labels=np.zeros(6, [("a", "i4")]))
    assert refusal(path) == "PATH, labels: expected numbers or texts, got [('a', '<i4')]."


def test_a_label_of_minus_one_is_a_class(tmp_path: Path) -> None:
    samples = NPZ(write(tmp_path, images=IMAGES, labels=np.array([0.0, 1.0, 0.5, -1.0, 0.0, 1.0]))).samples()
    assert [s.class_name for s in samples] == ["0", "1", "0.5", "-1", "0", "1"]


def test_missing_images_are_told_with_the_keys_found(tmp_path: Path) -> None:
    sentence = refusal(write(tmp_path, a=IMAGES, b=IMAGES))
    assert sentence == "PATH: expected an array 'images', got a, b; choose one with -o images=KEY."


def test_shared_names_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, images=IMAGES, names=np.array(["a", "b", "c", "a", "b", "d"]))
    with pytest.raises(LayoutError) as caught:
        ns.load(path, labelled=False)
    assert str(caught.value) == f"{path}: expected a name of its own for every image, got 2 shared names; first a."


# damaged files: one line, no traceback, no code run


def test_python_objects_are_never_loaded(tmp_path: Path) -> None:
    expected = "array 'images': expected numbers, got Python objects; write plain numeric arrays."
    path = write(tmp_path, images=np.array([{"a": 1}, None], dtype=object))
    assert refusal(path).endswith(expected)
    np.save(tmp_path / "set.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    assert refusal(str(tmp_path / "set.npy")).endswith(expected)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=f"was not found in {tmp_path}; check the path"):
        ns.load(str(tmp_path / "nothing.npz"), labelled=False)


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_empty_text_and_truncated_files_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"set{suffix}"
    path.write_bytes(b"")
    assert ("an empty file" in refusal(str(path))) == (suffix == ".npz")
    path.write_text("these are not the arrays you are looking for")
    assert "damaged or truncated" in refusal(str(path))
    whole = io.BytesIO()
    if suffix == ".npz":
        np.savez_compressed(whole, images=IMAGES)
    else:
        np.save(whole, IMAGES)
    for share in (0.1, 0.5, 0.99):
        path.write_bytes(whole.getvalue()[: int(share * len(whole.getvalue()))])
        assert "damaged or truncated" in refusal(str(path))


def test_an_npz_called_npy_is_refused(tmp_path: Path) -> None:
    path = Path(write(tmp_path, images=IMAGES)).rename(tmp_path / "set.npy")
    assert "damaged or truncated array" in refusal(str(path))


def test_every_flipped_byte_is_either_noticed_in_one_line_or_harmless(tmp_path: Path) -> None:
    path = Path(write(tmp_path, images=IMAGES))
    whole = path.read_bytes()
    noticed = []
    for position in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            samples = NPZ(str(path)).samples()
        except NormoscopeError as error:
            noticed.append(str(error))
        else:
            np.testing.assert_array_equal(np.stack([s.read() for s in samples]), IMAGES)
    assert len(noticed) > 0.8 * len(whole) / 7
    assert not any("\n" in sentence for sentence in noticed)


def zip_with(path: Path, member: bytes, name: str = "images.npy") -> str:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, member)
    return str(path)


def test_a_header_that_lies_about_its_size_takes_no_memory(tmp_path: Path) -> None:
    honest = io.BytesIO()
    np.save(honest, IMAGES)
    claimed = b"(6000000, 12, 10)"
    lying = honest.getvalue().replace(b"(6, 12, 10), }" + b" " * (len(claimed) - 11), claimed + b", }")
    assert lying != honest.getvalue()
    sentence = refusal(zip_with(tmp_path / "set.npz", lying))
    assert "the header claims 720000000 bytes, the member holds 720" in sentence
    (tmp_path / "set.npy").write_bytes(lying)
    assert "damaged or truncated array" in refusal(str(tmp_path / "set.npy"))


def test_members_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    assert "damaged or truncated array" in refusal(zip_with(tmp_path / "a.npz", b"plain text"))
    assert "damaged or truncated array" in refusal(zip_with(tmp_path / "b.npz", b"plain text", "images"))


def test_damage_of_every_kind_of_archive_is_one_sentence(tmp_path: Path) -> None:
    plain = io.BytesIO()
    np.save(plain, IMAGES)
    for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", kind) as archive:
            archive.writestr("images.npy", plain.getvalue())
        content = bytearray((tmp_path / "a.npz").read_bytes())
        content[60:90] = b"\xff" * 30
        (tmp_path / "a.npz").write_bytes(content)
        assert "expected numbers, got a damaged or truncated array" in refusal(str(tmp_path / "a.npz"))


def test_a_header_of_open_brackets_is_refused(tmp_path: Path) -> None:
    header = b"{'descr':'|u1','fortran_order':False,'shape':" + b"(" * 3000 + b"}\n"
    member = b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header
    assert "got a damaged or truncated array" in refusal(zip_with(tmp_path / "a.npz", member))


def test_a_member_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    content = Path(zip_with(tmp_path / "a.npz", b"x", "imagés.npy")).read_bytes()
    (tmp_path / "a.npz").write_bytes(content.replace("é".encode(), b"\xff\xfe"))
    assert ": expected an .npz archive, got a damaged or truncated file (" in refusal(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("name", ["A.NPY", "renamed.npz"])
def test_a_single_array_is_told_by_its_content_or_its_suffix_in_any_case(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    (tmp_path / "a.npy").rename(tmp_path / name)
    np.testing.assert_array_equal(ns.load(str(tmp_path / name), labelled=False).samples[2].read(), IMAGES[2])


def test_images_too_long_to_be_padded_to_a_square_are_refused(tmp_path: Path) -> None:
    sentence = refusal(write(tmp_path, images=np.zeros((2, 1, 10_001), np.uint8)))
    assert sentence == (
        "PATH: expected images of at most 100,000,000 pixels once padded to a square, got (2, 1, 10001)."
    )


def test_masks_of_texts_are_refused_and_masks_with_nan_named(tmp_path: Path) -> None:
    path = write(tmp_path, images=IMAGES, masks=np.full(IMAGES.shape, "x"))
    assert refusal(path) == "PATH, masks: expected masks of numbers, got <U1."
    masks = np.zeros(IMAGES.shape, np.float32)
    masks[1, 2, 3] = np.nan
    good, bad = NPZ(write(tmp_path, images=IMAGES, masks=masks)).samples()[:2]
    assert good.read_mask is not None
    assert not good.read_mask().any()
    assert bad.read_mask is not None
    with pytest.raises(UnreadableImageError, match=r"^1: its mask holds NaN$"):
        bad.read_mask()


def test_a_real_set_with_masks_is_read(real_data: object) -> None:
    path = real_data("lesion_masks/figshare_tumor_256.npz")  # type: ignore[operator]
    samples = NPZ(str(path)).samples()
    assert len(samples) == 64
    assert as_images(np.stack([s.read() for s in samples[:4]])).shape == (4, 1, 256, 256)
    areas = [s.read_mask().mean() for s in samples if s.read_mask is not None]
    assert len(areas) == 64
    assert 0 < min(areas) < max(areas) < 0.2
