from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import normoscope as ns
from normoscope import sources
from normoscope.errors import DataNotFoundError, LayoutError, NormalClassError, OptionError
from normoscope.sources import medmnist
from normoscope.sources.medmnist import MD5, MedMNIST

Arrays = dict[str, NDArray[np.generic]]


def arrays(labels: NDArray[np.generic] | None = None, channels: tuple[int, ...] = (), dtype: type = np.uint8) -> Arrays:
    """Four training, two validation and two test images, their labels 0 and 1 in turn."""
    rng = np.random.default_rng(0)
    made: Arrays = {}
    for key, count in (("train", 4), ("val", 2), ("test", 2)):
        made[f"{key}_images"] = rng.integers(0, 256, (count, 28, 28, *channels)).astype(dtype)
        made[f"{key}_labels"] = np.arange(count)[:, None] % 2 if labels is None else labels[:count]
    return made


def write(path: Path, content: Arrays) -> Path:
    np.savez_compressed(path, **content)  # type: ignore[arg-type]
    return path


@pytest.fixture(autouse=True)
def no_local_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NORMOSCOPE_DATA", raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve a folder on the loopback; yield its address and the folder."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", folder
    running.shutdown()
    thread.join()
    running.server_close()


def test_a_set_is_downloaded_once_checked_and_kept(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = server
    official = write(folder / "octmnist.npz", arrays())
    monkeypatch.setitem(MD5, "octmnist", hashlib.md5(official.read_bytes()).hexdigest())
    source = MedMNIST("octmnist", cache=str(tmp_path / "cache"), server=address)
    assert len(source.samples()) == 8
    assert source.notes() == ()
    official.unlink()
    assert len(source.samples()) == 8
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["octmnist.npz"]


def test_a_download_with_another_md5_is_refused_and_nothing_is_kept(server: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = server
    content = write(folder / "octmnist.npz", arrays()).read_bytes()
    with pytest.raises(LayoutError) as caught:
        MedMNIST("octmnist", cache=str(tmp_path / "cache"), server=address).samples()
    assert str(caught.value) == (
        f"{address}/octmnist.npz: expected a file with md5 {MD5['octmnist']}, "
        f"got md5 {hashlib.md5(content).hexdigest()}; download it again."
    )
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_missing_file_on_the_server_is_told_with_the_places_looked_in(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORMOSCOPE_DATA", str(tmp_path / "data"))
    cache = tmp_path / "cache"
    with pytest.raises(DataNotFoundError) as caught:
        MedMNIST("bloodmnist_64", cache=str(cache), server=server[0]).samples()
    assert str(caught.value) == (
        f"bloodmnist_64.npz was not found in {tmp_path / 'data' / 'medmnist'} and {cache}; and "
        f"{server[0]}/bloodmnist_64.npz could not be downloaded (HTTP Error 404: File not found); "
        "put the file there by hand."
    )
    assert list(cache.iterdir()) == []


def test_no_server_at_all_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"could not be downloaded .*refused.*; put the file there by hand"):
        MedMNIST("bloodmnist", cache=str(tmp_path), server="http://127.0.0.1:9").samples()


def test_an_interrupted_download_leaves_nothing(tmp_path: Path) -> None:
    class Cut(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"PK")

        def log_message(self, *args: object) -> None:
            pass

    running = http.server.HTTPServer(("127.0.0.1", 0), Cut)
    thread = threading.Thread(target=running.handle_request)
    thread.start()
    address = f"http://127.0.0.1:{running.server_port}"
    with pytest.raises((DataNotFoundError, LayoutError), match=r"could not be downloaded|expected a file with md5"):
        MedMNIST("bloodmnist", cache=str(tmp_path / "cache"), server=address).samples()
    thread.join()
    running.server_close()
    assert list((tmp_path / "cache").iterdir()) == []


def test_local_files_come_first_and_one_that_is_not_official_is_told_with_its_md5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "medmnist").mkdir()
    path = write(tmp_path / "medmnist" / "pneumoniamnist.npz", arrays())
    monkeypatch.setenv("NORMOSCOPE_DATA", str(tmp_path))
    found = hashlib.md5(path.read_bytes()).hexdigest()
    collection = ns.load("medmnist:pneumoniamnist", normal_class="normal")
    assert len(collection) == 8
    assert collection.notes == (
        f"pneumoniamnist.npz is not the official file: md5 {found}, official {MD5['pneumoniamnist']}",
    )


def test_a_path_with_an_unknown_name_is_told_with_its_md5(tmp_path: Path) -> None:
    path = write(tmp_path / "mymnist.npz", arrays())
    notes = MedMNIST(str(path)).notes()
    assert notes == (f"mymnist.npz is no known MedMNIST file; its md5 is {hashlib.md5(path.read_bytes()).hexdigest()}",)


def test_a_renamed_file_is_known_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "octmnist (1).npz", arrays())
    assert MedMNIST(str(path)).aliases() == {}
    monkeypatch.setitem(medmnist.MD5, "octmnist", hashlib.md5(path.read_bytes()).hexdigest())
    assert MedMNIST(str(path)).aliases()["normal"] == "3"
    assert MedMNIST(str(path)).notes() == ()


def test_a_home_folder_is_found_behind_the_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "breastmnist.npz", arrays())
    assert len(sources.load("medmnist:~/breastmnist.npz", normal_class="1")) > 0
    np.savez(tmp_path / "own.npz", images=np.zeros((2, 8, 8), np.uint8))
    assert len(sources.load("npz:~/own.npz", labelled=False)) == 2


def test_splits_labels_and_names_are_read_off_the_keys(tmp_path: Path) -> None:
    content = arrays()
    samples = MedMNIST(str(write(tmp_path / "pneumoniamnist.npz", content))).samples()
    assert [s.name for s in samples] == [
        *(f"train/{i}" for i in range(4)),
        *(f"val/{i}" for i in range(2)),
        *(f"test/{i}" for i in range(2)),
    ]
    assert [s.split for s in samples] == ["train"] * 4 + ["validation"] * 2 + ["test"] * 2
    assert [s.class_name for s in samples] == ["0", "1"] * 4
    np.testing.assert_array_equal(samples[5].read(), content["val_images"][1])


def test_colour_sets_keep_three_channels(tmp_path: Path) -> None:
    content = arrays(channels=(3,))
    samples = MedMNIST(str(write(tmp_path / "bloodmnist.npz", content))).samples()
    np.testing.assert_array_equal(samples[0].read(), content["train_images"][0])
    assert samples[0].read().shape == (28, 28, 3)


def test_of_several_labels_any_makes_a_finding(tmp_path: Path) -> None:
    labels = np.zeros((4, 14), np.uint8)
    labels[1, 13] = labels[2, 0] = labels[2, 5] = 1
    samples = MedMNIST(str(write(tmp_path / "chestmnist.npz", arrays(labels)))).samples()
    assert [s.class_name for s in samples[:4]] == ["no finding", "finding", "finding", "no finding"]
    collection = ns.load(f"medmnist:{tmp_path / 'chestmnist.npz'}", normal_class="no finding")
    assert [s.label for s in collection.samples[:4]] == [0, 1, 1, 0]


def test_the_normal_class_is_never_guessed_and_breastmnists_is_1(tmp_path: Path) -> None:
    path = write(tmp_path / "breastmnist.npz", arrays())
    with pytest.raises(NormalClassError) as caught:
        ns.load(f"medmnist:{path}")
    assert str(caught.value) == (
        f"medmnist:{path}: the normal class is not named; classes found: 0 (malignant), "
        "1 (normal, benign); pass --normal-class NAME_OR_INT."
    )
    for name in ("1", 1, "normal, benign", "normal", "benign"):
        assert [s.label for s in ns.load(f"medmnist:{path}", normal_class=name).samples[:2]] == [1, 0]
    with pytest.raises(NormalClassError, match="there is no class 'healthy'; classes found: 0"):
        ns.load(f"medmnist:{path}", normal_class="healthy")


def test_an_unknown_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"medmnist set: expected a path or one of bloodmnist, .*, got 'lungmnist'"):
        MedMNIST("lungmnist").samples()
    assert len(MD5) == 48
    assert {name.partition("_")[0] for name in MD5} == set(medmnist.LABELS)


def test_files_without_a_split_or_with_fewer_labels_are_refused(tmp_path: Path) -> None:
    content = arrays()
    short = {**content, "val_labels": content["val_labels"][:1]}
    with pytest.raises(LayoutError, match="expected 2 val_labels, got 1"):
        MedMNIST(str(write(tmp_path / "a.npz", short))).samples()
    del content["test_labels"]
    with pytest.raises(LayoutError, match="expected arrays test_images and test_labels, got train_images"):
        MedMNIST(str(write(tmp_path / "b.npz", content))).samples()


def test_a_path_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"nothing\.npz was not found in"):
        ns.load(f"medmnist:{tmp_path / 'nothing.npz'}", normal_class="0")
