"""The localisation benchmark: what it stores is of one kind, and the slices that it heals are healed once."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from normoscope.methods.pca import PCA

FIGURES = {"few": 4, "localises": False}


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))


@pytest.fixture
def localisation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = importlib.import_module("localisation")
    monkeypatch.setattr(module, "_judged", lambda name, args, seed: {**FIGURES, "few": args.few})
    return module


def run(localisation: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["localisation.py", "--only", "pca", *words])
    localisation.main()


def test_seed_and_file_are_named_so_that_no_development_run_lands_among_the_stored(
    localisation: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(localisation, monkeypatch)
    assert "required: --seed, --out" in capsys.readouterr().err


def test_runs_of_different_numbers_of_images_are_not_averaged(
    localisation: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["--out", str(tmp_path / "found.json"), "--seed"]
    run(localisation, monkeypatch, *words, "0", "--few", "4")
    run(localisation, monkeypatch, *words, "1", "--few", "4")
    with pytest.raises(SystemExit, match="runs of pca with --few 4"):
        run(localisation, monkeypatch, *words, "2", "--few", "5")
    assert list(json.loads((tmp_path / "found.json").read_text())["methods"]["pca"]["runs"]) == ["0", "1"]


def test_slices_are_healed_once_and_every_fold_has_its_own_chance_maps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module: Any = importlib.import_module("healed")
    rng, masks = np.random.default_rng(0), np.zeros((40, 32, 32), np.uint8)
    masks[:, 10:14, 12:16] = 1
    (tmp_path / module.FILE).parent.mkdir()
    np.savez(tmp_path / module.FILE, images=rng.integers(0, 255, (40, 32, 32), np.uint8), masks=masks)
    monkeypatch.setenv("NORMOSCOPE_DATA", str(tmp_path))
    healed: list[Any] = []
    seeds: list[int] = []
    own = module.chance_maps

    def heal(image: Any, mask: Any) -> Any:
        healed.append(image)
        return image

    def chance_maps(chance: Any, images: Any, seed: int) -> Any:
        seeds.append(seed)
        return own(chance, images, seed)

    monkeypatch.setattr(module, "healed", heal)
    monkeypatch.setattr(module, "chance_maps", chance_maps)
    for seed in (0, 1):
        found = module.healed_figures(PCA(2), "pca", 28, seed)
        assert found["rows"]["random"]["images"] == 40
    assert len(healed) == 40
    assert len(set(seeds)) == 2 * 5
