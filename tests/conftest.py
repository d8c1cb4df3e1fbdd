"""Shared toy data, and the door to real data."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from normoscope.apps.cli import main
from normoscope.images import PixelStore, as_images
from normoscope.partitions import Partition, partition
from normoscope.protocols import _jobs, _trial
from normoscope.sources import load
from toys import PHANTOM, TESTED, Result, Typed, draw_blobs

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Return a path under NORMOSCOPE_DATA; skip where it is absent, fail under NORMOSCOPE_REQUIRE_DATA=1."""

    def find(relative: str) -> Path:
        root = os.environ.get("NORMOSCOPE_DATA")
        path = Path(root, relative) if root else None
        if path is not None and path.exists():
            return path
        reason = f"real data is absent: set NORMOSCOPE_DATA to a folder that holds {relative}"
        if os.environ.get("NORMOSCOPE_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)

    return find


@pytest.fixture(scope="module")
def open_page() -> Iterator[Callable[..., AbstractContextManager[Any]]]:
    """Open an HTML file in a real browser: `with open_page(path, width) as page:` fails on whatever it complains of."""
    from browser import launched, watched

    with launched() as browser:
        yield partial(watched, browser)


@pytest.fixture(scope="session")
def normals() -> PixelStore:
    """Sixty toy normals to fit on."""
    return as_images(draw_blobs(60, seed=1))


@pytest.fixture(scope="session")
def unseen_normals() -> Tensor:
    """Thirty toy normals no method was fitted on."""
    return draw_blobs(30, seed=2)


@pytest.fixture(scope="session")
def anomalies() -> Tensor:
    """Thirty toy images with the bright square."""
    return draw_blobs(30, seed=3, bright=True)


@pytest.fixture(scope="session")
def small_phantom() -> Partition:
    """A 28-pixel phantom of 60 training, 40 validation and 40 test images, cut and preprocessed."""
    options = {"size": "28", "train": "60", "validation": "40", "test": "40"}
    return partition(load("phantom", options=options))


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command: exit code, standard output, standard error."""

    def run(*words: str | Path) -> Result:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def refused(typed: Typed) -> Callable[..., str]:
    """Type a command that must be refused in one line; return what follows 'normoscope: error: '."""

    def run(*words: str | Path) -> str:
        code, out, err = typed(*words)
        assert (code, out) == (2, "")
        assert err.startswith("normoscope: error: ")
        assert err.count("\n") == 1
        return err.removeprefix("normoscope: error: ").rstrip("\n")

    return run


@pytest.fixture
def answered(typed: Typed) -> Callable[..., dict[str, Any]]:
    """Type a command with --json; return its object."""

    def run(*words: str | Path) -> dict[str, Any]:
        code, out, err = typed(*words, "--json", "--quiet")
        assert (code, err) == (0, "")
        content: dict[str, Any] = json.loads(out)
        assert content["schema"] == f"normoscope/{words[0]}/1"
        return content

    return run


@pytest.fixture(scope="module")
def knn_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A k-NN model of the small phantom."""
    folder = tmp_path_factory.mktemp("fitted") / "model"
    assert main(["fit", "knn", *PHANTOM, "--out", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture
def own_knn_model(tmp_path: Path) -> Path:
    """A k-NN model a test may change."""
    assert main(["fit", "knn", *PHANTOM, "--out", str(tmp_path / "own"), "--quiet"]) == 0
    return tmp_path / "own"


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder of 30 normal and 6 abnormal pictures."""
    rng = np.random.default_rng(0)
    for kind, count in (("normal", 30), ("abnormal", 6)):
        (tmp_path / "scans" / kind).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 200, (28, 28)).astype(np.uint8)
            if kind == "abnormal":
                pixels[5:15, 5:15] = 255
            Image.fromarray(pixels).save(tmp_path / "scans" / kind / f"{i:02d}.png")
    return tmp_path / "scans"


def _pixels(count: int, seed: int, *, bright: bool = False) -> npt.NDArray[np.uint8]:
    return (255 * draw_blobs(count, seed, bright=bright)[:, 0]).round().byte().numpy()


@pytest.fixture(scope="module")
def small_papers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The papers' two chest sets in small, found by protocols: one with validation images, one with patients' names."""
    folder = tmp_path_factory.mktemp("data")
    test = np.concatenate([_pixels(TESTED, 3), _pixels(TESTED, 4, bright=True)])
    arrays = {
        "train_images": _pixels(40, 1),
        "train_labels": np.zeros(40, int),
        "test_images": test,
        "test_labels": np.repeat([0, 1], TESTED),
    }
    (folder / "medmnist").mkdir()
    (folder / "chest_xray").mkdir()
    val = {"val_images": _pixels(20, 2), "val_labels": np.zeros(20, int)}
    np.savez(folder / "medmnist" / "pneumoniamnist.npz", **arrays, **val)
    names = {
        "train_names": np.asarray([f"IM-{i:04d}-0001" for i in range(40)]),
        "test_names": np.asarray(
            [f"NORMAL2-IM-{i:04d}-0001" for i in range(TESTED)] + [f"person{i}_virus_1" for i in range(TESTED)]
        ),
    }
    np.savez(folder / "chest_xray" / "chest_xray_64.npz", **arrays, **names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORMOSCOPE_DATA", str(folder))
        for kept in (_trial._cut, _jobs._digest):
            kept.cache_clear()
        yield folder
        for kept in (_trial._cut, _jobs._digest):
            kept.cache_clear()
