"""MNIST and FashionMNIST: every spelling of the four files, and every damage to them."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normoscope import sources
from normoscope.errors import DataNotFoundError, LayoutError
from normoscope.sources.fashion_mnist import FashionMNIST
from normoscope.sources.mnist import MNIST

DRAW = np.random.default_rng(0)
TRAIN = DRAW.integers(0, 256, (6, 5, 4), dtype=np.uint8)
TEST = DRAW.integers(0, 256, (3, 5, 4), dtype=np.uint8)
TRAIN_LABELS = np.array([3, 1, 4, 1, 5, 9], np.uint8)
TEST_LABELS = np.array([2, 6, 5], np.uint8)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(folder: Path, *, zipped: bool = False, dot: bool = False, only: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"train-images": TRAIN, "train-labels": TRAIN_LABELS, "t10k-images": TEST, "t10k-labels": TEST_LABELS}
    for name, array in arrays.items():
        if name.startswith(only):
            file = f"{name}{'.' if dot else '-'}idx{array.ndim}-ubyte"
            data = idx(array)
            (folder / (file + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)
    return folder


def sentence(path: Path) -> str:
    with pytest.raises(LayoutError) as caught:
        MNIST(str(path)).samples()
    return str(caught.value)


def assert_whole(path: Path) -> None:
    samples = MNIST(str(path)).samples()
    assert [s.name for s in samples] == [*(f"train/{i}" for i in range(6)), *(f"test/{i}" for i in range(3))]
    assert [s.class_name for s in samples] == ["3", "1", "4", "1", "5", "9", "2", "6", "5"]
    assert Counter(s.split for s in samples) == {"train": 6, "test": 3}
    np.testing.assert_array_equal(np.stack([s.read() for s in samples]), np.concatenate([TRAIN, TEST]))
    assert MNIST(str(path)).notes() == ()


def test_two_sets_below_one_folder_are_not_mixed(tmp_path: Path) -> None:
    write(tmp_path / "MNIST/raw")
    write(tmp_path / "MNIST/raw", zipped=True)  # as torchvision leaves them
    assert_whole(tmp_path)
    other = write(tmp_path / "FashionMNIST/raw")
    assert_whole(tmp_path)  # copies are no second set
    (other / "t10k-images-idx3-ubyte").write_bytes(idx(TEST + 1))
    assert sentence(tmp_path) == (
        f"{tmp_path}: expected the files of one set, got FashionMNIST/raw/t10k-images-idx3-ubyte and "
        "MNIST/raw/t10k-images-idx3-ubyte, which differ; pass the folder of one."
    )
    assert_whole(tmp_path / "MNIST")
    write(tmp_path)  # what lies in the folder itself comes first, and other sets have other names
    (tmp_path / "emnist-letters-test-images-idx3-ubyte").write_bytes(idx(TEST))
    (tmp_path / "emnist-letters-test-labels-idx1-ubyte").write_bytes(idx(TEST_LABELS))
    assert_whole(tmp_path)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("below", ["", "MNIST/raw"])
def test_four_idx_files_are_read(tmp_path: Path, zipped: bool, dot: bool, below: str) -> None:
    write(tmp_path / below, zipped=zipped, dot=dot)
    assert_whole(tmp_path)


@pytest.mark.parametrize("names", [("train_{}s", "test_{}s"), ("x", "y")], ids=["medmnist", "keras"])
def test_npz_of_either_naming_is_read(tmp_path: Path, names: tuple[str, str]) -> None:
    keys = (
        ["x_train", "y_train", "x_test", "y_test"]
        if names == ("x", "y")
        else ["train_images", "train_labels", "test_images", "test_labels"]
    )
    arrays = dict(zip(keys, [TRAIN, TRAIN_LABELS, TEST, TEST_LABELS[:, None]], strict=True))
    np.savez_compressed(tmp_path / "mnist.npz", **arrays)
    assert_whole(tmp_path / "mnist.npz")
    assert_whole(tmp_path)


def test_one_idx_file_means_its_part(tmp_path: Path) -> None:
    source = MNIST(str(write(tmp_path) / "t10k-images-idx3-ubyte"))
    assert [s.name for s in source.samples()] == ["test/0", "test/1", "test/2"]
    assert source.notes() == (f"{tmp_path}/t10k-images-idx3-ubyte: holds only the test part.",)


def test_the_test_part_alone_is_read_with_a_note(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", test_images=TEST, test_labels=TEST_LABELS)
    collection = sources.load(f"fashion_mnist:{tmp_path}/f.npz", normal_class="sandal")
    assert collection.notes == (f"{tmp_path}/f.npz: holds only the test part.",)
    assert len(collection) == 3


def test_clothes_go_by_name_or_number(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", test_images=TEST, test_labels=TEST_LABELS)
    for name in ("shirt", "6", 6):
        collection = sources.load(f"fashion_mnist:{tmp_path}/f.npz", normal_class=name)
        assert [s.label for s in collection.samples] == [1, 0, 1]
    assert FashionMNIST().aliases()["ankle boot"] == "9"


def test_images_share_one_array(tmp_path: Path) -> None:
    samples = MNIST(str(write(tmp_path))).samples()
    assert np.shares_memory(samples[0].read(), samples[0].read())


def test_without_a_path_the_data_folder_is_looked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "mnist")
    monkeypatch.setenv("NORMOSCOPE_DATA", str(tmp_path))
    assert len(MNIST().samples()) == 9
    with pytest.raises(DataNotFoundError) as caught:
        FashionMNIST().samples()
    assert str(caught.value) == (
        f"fashion_mnist was not found in {tmp_path}/fashion_mnist; download its four idx files and pass their folder "
        "as fashion_mnist:FOLDER, or set NORMOSCOPE_DATA."
    )
    monkeypatch.delenv("NORMOSCOPE_DATA")
    with pytest.raises(DataNotFoundError, match="NORMOSCOPE_DATA, which is not set; download"):
        MNIST().samples()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "expected an idx file of bytes (magic 0 0 8 1 or 0 0 8 3), got magic []"),
        (b"\0\0\x0d\x03", "expected an idx file of bytes (magic 0 0 8 1 or 0 0 8 3), got magic [0, 0, 13, 3]"),
        (idx(TRAIN)[:10], "expected 3 sizes of at most 4 GiB together, got (6,)"),
        (idx(TRAIN)[:100], "expected 120 bytes, as its header says, got 84 (truncated)"),
        (idx(TRAIN) + b"x", "expected 120 bytes, as its header says, got more"),
        (
            b"\0\0\x08\x03" + b"\xff" * 12,
            "expected 3 sizes of at most 4 GiB together, got (4294967295, 4294967295, 4294967295)",
        ),
    ],
)
def test_a_bad_idx_file_is_one_sentence(tmp_path: Path, content: bytes, expected: str) -> None:
    file = write(tmp_path) / "train-images-idx3-ubyte"
    file.write_bytes(content)
    assert sentence(tmp_path) == f"{file}: {expected}; download the four files again."


def test_a_truncated_gzip_file_is_one_sentence(tmp_path: Path) -> None:
    file = write(tmp_path, zipped=True) / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:60])
    assert sentence(tmp_path).startswith(f"{file}: expected a whole gzip file, got a truncated or damaged one (")


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    (write(tmp_path, only="train") / "train-labels-idx1-ubyte").unlink()
    assert sentence(tmp_path) == (
        f"{tmp_path}: expected train-labels-idx1-ubyte beside its images, got train-images-idx3-ubyte; "
        "download the four files again."
    )


def test_a_label_too_few_is_refused(tmp_path: Path) -> None:
    (write(tmp_path) / "train-labels-idx1-ubyte").write_bytes(idx(TRAIN_LABELS[:5]))
    assert sentence(tmp_path) == (
        f"{tmp_path}/train-images-idx3-ubyte: expected one label for each of 6 images, got 5 labels; "
        "download the four files again."
    )


def test_labels_beyond_9_are_refused(tmp_path: Path) -> None:
    (write(tmp_path) / "train-labels-idx1-ubyte").write_bytes(idx(TRAIN_LABELS + 1))
    assert "expected labels from 0 to 9, got uint8 labels 2 to 10." in sentence(tmp_path)


def test_another_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert sentence(tmp_path) == (
        f"{tmp_path}: expected idx files (train-images-idx3-ubyte.gz ...) or one .npz, got a.png; check the path."
    )
    np.savez(tmp_path / "a.npz", foo=TRAIN)
    assert sentence(tmp_path) == (
        f"{tmp_path}/a.npz: expected train_images, train_labels, test_images, test_labels "
        "(or x_train, y_train, x_test, y_test), got foo."
    )


def test_a_header_that_promises_much_takes_no_memory(tmp_path: Path) -> None:
    file = write(tmp_path) / "train-images-idx3-ubyte"
    file.write_bytes(b"\0\0\x08\x03" + struct.pack(">3I", 1 << 20, 32, 32) + b"x")
    tracemalloc.start()
    try:
        assert "got 1 (truncated)" in sentence(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_real_mnist_is_whole(real_data: Any) -> None:
    samples = MNIST(str(real_data("mnist"))).samples()
    assert Counter(s.split for s in samples) == {"train": 60_000, "test": 10_000}
    assert [s.class_name for s in samples[:5]] == ["5", "0", "4", "1", "9"]
    assert samples[0].read().shape == (28, 28)
    assert sum(s.class_name == "0" for s in samples if s.split == "test") == 980


def test_real_fashion_mnist_has_a_thousand_of_each(real_data: Any) -> None:
    samples = FashionMNIST(str(real_data("fashion_mnist"))).samples()
    assert Counter(s.class_name for s in samples) == {str(digit): 1000 for digit in range(10)}
