"""`sweep`, `fit --SETTING auto` and `entropy` as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normoscope.apps.cli import SELECTORS, main
from normoscope.persistence import load_model
from normoscope.selection import DEFAULT, Selector
from normoscope.sweep import Sweep, axis_of, sweep
from toys import PHANTOM, Typed

Answered = Callable[..., dict[str, Any]]
Refused = Callable[..., str]


def test_a_sweep_shows_what_normals_say_and_what_each_selector_takes(typed: Typed, tmp_path: Path) -> None:
    words = ["sweep", "pca", *PHANTOM, "--over", "latent-dim=2,8,32", "--seeds", "2", "--out", tmp_path / "s"]
    code, out, err = typed(*words, "--processes", "1")
    assert code == 0
    assert "6 fits, resumable" in err
    lines = out.splitlines()
    assert lines[0].split() == [
        "latent_dim",
        "held-out",
        "error",
        "bits",
        "dimension",
        "planted",
        "AUROC",
        "epochs",
        "fit",
    ]
    assert [line.split()[0] for line in lines[2:5]] == ["2", "8", "32"]
    assert any(line.startswith("planted (default)") for line in lines)
    assert not any(line.startswith("entropy") for line in lines)  # pca has no latent that can be decoded
    stored = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert stored["oracle"] is None
    assert stored["choice"]["value"] in (2, 8, 32)
    assert (tmp_path / "s" / "sweep.svg").read_text().startswith("<?xml")
    assert {file.suffix or file.name for file in (tmp_path / "s" / "jobs").iterdir()} == {".json", ".lock"}


def test_the_smaller_of_two_sizes_comes_first_whatever_was_typed() -> None:
    typed, sorted_ = (axis_of("pca", values=values) for values in (["32", "4", "8"], ["4", "8", "32"]))
    assert typed.values == sorted_.values == (4, 8, 32)


def test_what_varies_is_not_also_fixed(refused: Refused, tmp_path: Path) -> None:
    words = ["sweep", "pca", *PHANTOM, "--over", "latent-dim=2,8", "--latent-dim", "4", "--out", tmp_path / "s"]
    assert refused(*words) == "--latent-dim: expected nothing, for --over varies latent_dim, got '4'."


def test_methods_are_swept_and_what_some_of_them_lack_chooses_nothing(answered: Answered, tmp_path: Path) -> None:
    larger = ["phantom", "-o", "train=120", "-o", "validation=40", "-o", "test=10", "-o", "size=28"]
    found = answered("sweep", "ae", *larger, "--over", "method=ae,knn", "--preset", "quick", "--epochs", "1",
                     "--seeds", "1", "--processes", "1", "--out", tmp_path / "s")  # fmt: skip
    assert found["candidates"]["ae"]["dimension"] is not None
    assert found["candidates"]["knn"]["error"] is None
    assert set(found["choices"]) <= {"planted", "entropy"}  # no knee without an error, no size to hold a dimension


def test_settings_that_are_words_are_swept(answered: Answered, tmp_path: Path) -> None:
    found = answered("sweep", "ae", *PHANTOM, "--over", "loss=l2,l1", "--preset", "quick", "--epochs", "1",
                     "--seeds", "1", "--processes", "1", "--out", tmp_path / "s")  # fmt: skip
    assert list(found["candidates"]) == ["l2", "l1"]
    assert found["choice"]["value"] in ("l2", "l1")


def test_the_selectors_that_can_be_typed_are_those_that_are() -> None:
    assert tuple(selector.value for selector in Selector) == SELECTORS
    assert SELECTORS[0] == DEFAULT.value


def test_labels_add_an_oracle_and_change_nothing_else(answered: Answered, tmp_path: Path) -> None:
    words = [
        "sweep",
        "pca",
        *PHANTOM,
        "--over",
        "latent_dim=2,16",
        "--seeds",
        "1",
        "--processes",
        "1",
        "--out",
        tmp_path / "s",
    ]
    blind = answered(*words)
    seen = answered(*words, "--labels")
    assert set(seen["oracle"]) == {"2", "16"}
    assert 0 < seen["oracle"]["2"]["value"] < 1
    assert {key: value for key, value in seen.items() if key not in ("oracle", "provenance")} == {
        key: value for key, value in blind.items() if key not in ("oracle", "provenance")
    }


def test_a_setting_left_to_the_normals_is_chosen_recorded_and_leaves_no_folder_behind(
    answered: Answered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("normoscope.apps.sweeps.GRIDS", {"latent_dim": (2, 8)})
    monkeypatch.setattr("normoscope.sweep.GRIDS", {"latent_dim": (2, 8)})
    asked: dict[str, Any] = {}

    def watched(*args: Any, **more: Any) -> Sweep:
        asked.update(more)
        return sweep(*args, **more)

    monkeypatch.setattr("normoscope.apps.sweeps.run_sweep", watched)
    how = ["--device", "cpu", "--precision", "float32"]
    found = answered("fit", "pca", *PHANTOM, "--latent-dim", "auto", *how, "--out", tmp_path / "m")
    assert (asked["device"], asked["precision"]) == ("cpu", "float32")
    model = load_model(tmp_path / "m")
    chosen = model.provenance["chosen"]
    assert found["recipe"]["latent_dim"] == chosen["choice"]["value"] in (2, 8)
    assert set(chosen["candidates"]) == {"2", "8"}
    assert any("chosen without labels: --latent-dim" in note for note in found["notes"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fit", "ae", *PHANTOM, "--width", "auto"], "--width: expected one setting at a time, of latent_dim"),
        (["fit", "ae", *PHANTOM, "--latent-dim", "auto", "--learning-rate", "auto"], "one setting at a time"),
        (["fit", "ae", *PHANTOM, "--latent-dim", "auto", "--devices", "2"], "1 where a setting is auto"),
        (["sweep", "ae", *PHANTOM, "--over", "latent_dim=4"], "two values or more"),
        (["sweep", "ae", *PHANTOM, "--over", "depth=1,2"], "option of ae"),
        (["sweep", "nosuch", *PHANTOM], "method"),
        (["sweep", "ae", *PHANTOM, "--seeds", "0"], "--seeds"),
        (["sweep", "ae", *PHANTOM, "--processes", "0"], "--processes"),
        (["sweep", "ae", *PHANTOM, "--over", "width=4,8", "--selector", "dimension"], "--selector: expected another"),
    ],
)
def test_wrong_sweeps_are_refused_before_the_work(
    words: list[str], sentence: str, refused: Refused, tmp_path: Path
) -> None:
    assert sentence in refused(*words, "--out", tmp_path / "o", "--quiet")
    assert not list(tmp_path.iterdir())


def test_labels_must_be_there_to_be_shown(refused: Refused, tmp_path: Path) -> None:
    words = [
        "sweep",
        "pca",
        *PHANTOM,
        "-o",
        "prevalence=0",
        "--over",
        "latent_dim=2,4",
        "--labels",
        "--out",
        tmp_path / "s",
    ]
    assert "labelled normals and abnormals" in refused(*words, "--quiet")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted") / "model"
    words = ["fit", "ae", *PHANTOM, "--epochs", "3", "--hidden", "16", "--latent-dim", "4", "--out", str(folder)]
    assert main([*words, "--quiet"]) == 0
    return folder


def test_entropy_tells_what_the_latent_holds_of_unseen_normals(
    answered: Answered, typed: Typed, autoencoder: Path
) -> None:
    found = answered("entropy", autoencoder, *PHANTOM)
    assert found["images"] == 20  # the normals of the test part
    assert found["dimensions"] == 4
    assert found["gaussian_information"]["unit"] == "bits"
    assert len(found["information_by_dimension"]) == 4
    out = typed("entropy", autoencoder, *PHANTOM)[1]
    assert "information above the noise, Gaussian" in out


def test_entropy_of_a_method_without_a_decoder_is_refused(refused: Refused, tmp_path: Path) -> None:
    assert main(["fit", "knn", *PHANTOM, "--out", str(tmp_path / "m"), "--quiet"]) == 0
    assert "an autoencoder, whose latent vector can be decoded" in refused("entropy", tmp_path / "m", *PHANTOM)


def test_entropy_takes_no_unnamed_classes_for_normal(refused: Refused, autoencoder: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28), np.uint8)
    np.savez(tmp_path / "two.npz", images=images, labels=np.arange(60) % 2)
    sentence = refused("entropy", autoencoder, tmp_path / "two.npz")
    assert "the normal class is not named; classes found: 0, 1; pass --normal-class" in sentence


def test_entropy_needs_normals(refused: Refused, autoencoder: Path) -> None:
    few = ["phantom", "-o", "train=60", "-o", "validation=40", "-o", "test=10", "-o", "size=28"]
    assert "20 images needed, 5 given" in refused("entropy", autoencoder, *few)
