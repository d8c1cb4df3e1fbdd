from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from normoscope import __version__, methods
from normoscope.apps.cli import main
from normoscope.randomisation import Check
from toys import PHANTOM, Typed

COMMANDS = ["demo", "list", "inspect", "fit", "sweep", "score", "evaluate", "entropy", "compare", "calibrate", "report"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A k-NN model of the small phantom."""
    folder = tmp_path_factory.mktemp("fitted") / "model"
    assert main(["fit", "knn", *PHANTOM, "--out", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture
def own_model(tmp_path: Path) -> Path:
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


def scores_in(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# help, version, listings


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, typed: Typed) -> None:
    code, out, err = typed(command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: normoscope {command}")


def test_help_names_every_command(typed: Typed) -> None:
    code, out, _ = typed("--help")
    assert code == 0
    assert all(f"    {command}" in [line[: 4 + len(command)] for line in out.splitlines()] for command in COMMANDS)


@pytest.mark.parametrize("method", methods.names())
def test_help_after_a_method_lists_its_options_with_their_defaults(method: str, typed: Typed) -> None:
    import dataclasses

    _, out, _ = typed("fit", method, "--help")
    assert f"options of {method}" in out
    for field in dataclasses.fields(methods.recipe_class(method)):  # type: ignore[arg-type]
        assert f"--{field.name.replace('_', '-')} VALUE" in out


@pytest.mark.parametrize("words", ["--out pca knn DATA --help", "--quiet --group-regex pca knn --help"])
def test_the_method_is_the_first_word_that_no_option_takes(words: str, typed: Typed) -> None:
    assert "options of knn" in typed("fit", *words.split())[1]


def test_the_version_is_printed(typed: Typed) -> None:
    assert typed("--version") == (0, f"normoscope {__version__}\n", "")


@pytest.mark.parametrize(
    "words", ["--help", "--version", "list methods", "list sources", "list metrics", "score --help"]
)
def test_help_and_listings_import_nothing_heavy(words: str) -> None:
    code = f"""
import sys
from normoscope.apps.cli import main
try:
    main({words.split()!r})
except SystemExit:
    pass
print(sorted({{"torch", "numpy", "scipy", "sklearn", "skimage", "matplotlib"}} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert done.stdout


@pytest.mark.parametrize(
    ("what", "some"),
    [
        ("methods", {"knn", "pca", "cae", "conocc", "ocsvm", "trivial"}),
        ("sources", {"medmnist", "folder", "phantom"}),
        ("metrics", {"auroc", "aupr_abnormal"}),
    ],
)
def test_listings_hold_every_member_with_what_it_is(
    what: str, some: set[str], typed: Typed, answered: Callable[..., dict[str, Any]]
) -> None:
    rows = answered("list", what)[what]
    assert some <= {row["name"] for row in rows}
    assert all(row["what"].endswith(".") for row in rows)
    table = " ".join(typed("list", what)[1].split())
    assert all(row["name"] in table and row["what"] in table for row in rows)
    if what == "methods":
        assert len(rows) >= 20
        assert all(row["reference"] and row["reference"] in table for row in rows)


# the main road


def test_fit_tells_what_was_done(answered: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    found = answered("fit", "pca", *PHANTOM, "--out", tmp_path / "m", "--latent-dim", "7", "--preset", "quick")
    assert found["method"] == "pca"
    assert found["preset"] == "quick with latent_dim changed"
    assert found["recipe"] == {"latent_dim": 7}
    assert found["parts"] == {"train": 54, "select": 6, "calibrate": 40, "test": 40}
    assert found["calibration"]["calibrated"]
    assert found["preprocessing"]["size"] == 28
    text = (tmp_path / "m" / "README.md").read_text()
    assert "normoscope fit pca phantom -o train=60" in text


def test_the_same_words_give_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        words = ["fit", "cae", *PHANTOM, "--epochs", "1", "--seed", seed, "--out", str(tmp_path / name), "--quiet"]
        assert main(words) == 0
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_trained_model_leaves_no_checkpoints_behind(ending: str, tmp_path: Path) -> None:
    assert main(["fit", "cae", *PHANTOM, "--epochs", "1", "--out", f"{tmp_path / 'm'}{ending}", "--quiet"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_scores_have_their_columns_and_every_image_its_row(
    model: Path, answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    found = answered("score", model, *PHANTOM, "--out", tmp_path / "new" / "scores.csv")
    text = (tmp_path / "new" / "scores.csv").read_text()
    assert text.startswith("image_path,pred_score,pvalue,qvalue,pred_label,rule\n")
    rows = scores_in(tmp_path / "new" / "scores.csv")
    assert len(rows) == found["images"] == 140
    assert sum(int(row["pred_label"]) for row in rows) == found["flagged"]
    assert {row["rule"] for row in rows} == {f"score > {found['calibration']['rule']['threshold']:.6g}"}
    for row in rows:
        assert (float(row["pvalue"]) <= 0.05) == (row["pred_label"] == "1")
        assert float(row["pred_score"]) > 0
    pvalues = np.array([float(row["pvalue"]) for row in rows])
    # Benjamini and Hochberg: of all that are called abnormal from p on, n p are expected to be false
    called = np.array([(pvalues <= p).sum() for p in pvalues])
    rates = len(rows) * pvalues / called
    expected = [rates[pvalues >= p].min() for p in pvalues]
    np.testing.assert_allclose([float(row["qvalue"]) for row in rows], expected, rtol=1e-4)


def test_maps_that_fail_their_check_are_told_of(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["fit", "pca", *PHANTOM, "--out", str(tmp_path / "m"), "--quiet"]) == 0
    for median, told in ((0.9, 1), (0.1, 0)):
        monkeypatch.setattr("normoscope.heatmaps.map_check", lambda *_, median=median: Check(median, 3))
        words = ["score", tmp_path / "m", *PHANTOM, "--out", tmp_path / "s.csv", "--maps", tmp_path / "maps"]
        code, _, err = typed(*words)
        assert code == 0
        assert err.count("note: the maps: each fails the sanity check") == told


def test_a_model_that_is_not_calibrated_says_so_everywhere(
    typed: Typed, answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    few = ["phantom", "-o", "train=30", "-o", "validation=12", "-o", "test=10", "-o", "size=28"]
    fitted = answered("fit", "knn", *few, "--out", tmp_path / "m")
    status = "not calibrated: 19 normal patients needed, 10 given"
    assert fitted["calibration"]["status"] == status
    assert fitted["calibration"]["rule"] is None
    answered("score", tmp_path / "m", *few, "--out", tmp_path / "s.csv")
    for row in scores_in(tmp_path / "s.csv"):
        assert (row["pvalue"], row["pred_label"], row["rule"]) == ("", "", status)
    code, out, _ = typed("evaluate", tmp_path / "m", *few, "--quiet")
    assert code == 0
    assert status in out
    assert status in (tmp_path / "m" / "README.md").read_text()


def test_evaluate_on_a_models_own_data_uses_its_test_part(model: Path, answered: Callable[..., dict[str, Any]]) -> None:
    found = answered("evaluate", model, *PHANTOM)
    assert found["part"] == "the model's own test part"
    assert (found["n_normal"], found["n_abnormal"]) == (20, 20)
    assert found["auroc"].keys() >= {"value", "low", "high", "positive_class", "prevalence"}
    assert found["auroc"]["low"] <= found["auroc"]["value"] <= found["auroc"]["high"]
    assert found["auroc"]["prevalence"] == 0.5
    for statistic in ("contrast", "gradient", "bytes"):
        rows = [name for name in found["baselines"] if name.startswith(f"trivial {statistic}")]
        assert len(rows) == 3
        assert sum("oracle" in name for name in rows) == 1


def test_evaluate_refuses_data_that_hold_training_images(
    own_model: Path, scans: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    assert main(["fit", "knn", str(scans), "--out", str(tmp_path / "m"), "--quiet"]) == 0
    scans.rename(tmp_path / "moved")
    sentence = refused("evaluate", tmp_path / "m", tmp_path / "moved", "--quiet")
    assert "test images are exact copies of images in train (normal/" in sentence
    assert sentence.endswith("remove them from one side, a score on seen images means nothing.")


def test_compare_prints_every_method_and_the_trivial_rows_and_writes_them(
    typed: Typed, answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    words = ["compare", "knn", "pca:latent_dim=4", "--data", *PHANTOM, "--out", tmp_path / "t" / "table.json"]
    found = answered(*words)
    rows = list(found["rows"])
    assert rows[:2] == ["knn", "pca:latent_dim=4"]
    assert len(rows) == 2 + 9
    assert found["rows"]["knn"]["difference_to_first"] is None
    assert found["rows"]["pca:latent_dim=4"]["recipe"] == {"latent_dim": 4}
    assert json.loads((tmp_path / "t" / "table.json").read_text())["rows"].keys() == found["rows"].keys()
    code, out, _ = typed(*words, "--quiet")
    assert code == 0
    assert all(f"\n{row} " in out for row in rows)


def test_calibrate_replaces_the_rule_keeps_the_old_one_and_prints_both(
    own_model: Path, typed: Typed, answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    before = (own_model / "calibration.json").read_text()
    found = answered("calibrate", own_model, *PHANTOM, "--false-alarms", "0.2")
    assert (found["old"]["false_alarms"], found["new"]["false_alarms"]) == (0.05, 0.2)
    assert found["new"]["rule"]["threshold"] < found["old"]["rule"]["threshold"]
    assert Path(found["kept"]).read_text() == before
    code, out, _ = typed("calibrate", own_model, *PHANTOM, "--rule", "two-sided", "--k", "3", "--quiet")
    assert code == 0
    assert "0.2 false alarms per patient" in out
    assert "mean ± 3 sd, no guarantee" in out
    assert answered("evaluate", own_model, *PHANTOM)["calibration"]["kind"] == "two-sided"


def test_calibrate_with_too_few_normals_is_refused_and_changes_nothing(
    own_model: Path, refused: Callable[..., str]
) -> None:
    before = {path.name: path.read_bytes() for path in own_model.iterdir()}
    few = ["phantom", "-o", "seed=5", "-o", "train=10", "-o", "validation=0", "-o", "size=28"]
    sentence = refused("calibrate", own_model, *few, "--false-alarms", "0.05", "--quiet")
    assert sentence.startswith("not calibrated: 19 normal patients needed, 9 given")
    assert {path.name: path.read_bytes() for path in own_model.iterdir()} == before


def test_normals_that_recalibrated_a_model_may_not_test_it(
    own_model: Path, scans: Path, answered: Callable[..., dict[str, Any]], refused: Callable[..., str]
) -> None:
    answered("calibrate", own_model, scans)
    assert "copies of images in recalibrate" in refused("evaluate", own_model, scans, "--quiet")
    # back on its own normals, the others are free again
    answered("calibrate", own_model, *PHANTOM)
    assert answered("evaluate", own_model, scans)["n_normal"] == 30


def test_patients_named_at_fit_are_remembered(
    scans: Path, answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    patients = ["--group-regex", r"normal/\d\d"]
    answered("fit", "knn", scans, *patients, "--out", tmp_path / "m", "--false-alarms", "0.5")
    assert answered("calibrate", tmp_path / "m", scans, "--false-alarms", "0.5")["new"]["unit"] == "patient"


def test_patients_the_parts_were_not_cut_by_may_not_calibrate(
    scans: Path, answered: Callable[..., dict[str, Any]], refused: Callable[..., str], tmp_path: Path
) -> None:
    answered("fit", "knn", scans, "--out", tmp_path / "m", "--false-alarms", "0.5")
    sentence = refused("calibrate", tmp_path / "m", scans, "--group-regex", r"normal/\d", "--quiet")
    assert sentence.startswith("--group-regex: expected none as when the model's parts were cut, got ")


def test_a_training_image_under_a_calibration_images_name_may_not_calibrate(
    scans: Path, answered: Callable[..., dict[str, Any]], refused: Callable[..., str], tmp_path: Path
) -> None:
    answered("fit", "knn", scans, "--out", tmp_path / "m")
    parts = json.loads((tmp_path / "m" / "parts.json").read_text())
    train, calibrate = min(parts["train"]), min(parts["calibrate"])
    (scans / calibrate).write_bytes((scans / train).read_bytes())
    sentence = refused("calibrate", tmp_path / "m", scans, "--rule", "upper", "--quiet")
    assert "expected the calibrate images set aside when the model was fitted, got 1 that changed" in sentence
    assert f"(first {calibrate})" in sentence


def test_test_images_that_are_gone_are_counted(
    scans: Path, answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    answered("fit", "knn", scans, "--out", tmp_path / "m")
    for i in range(4):
        (scans / "abnormal" / f"{i:02d}.png").unlink()
    found = answered("evaluate", tmp_path / "m", scans)
    assert found["part"] == "the model's own test part, of which 4 of 12 images are gone"


def test_compare_tells_what_fitting_warned_of(answered: Callable[..., dict[str, Any]]) -> None:
    found = answered("compare", "cae:epochs=1,learning_rate=0.9", "--data", *PHANTOM)
    assert any(
        note.startswith("cae:epochs=1,learning_rate=0.9, seed 0: The network has coll") for note in found["notes"]
    )


def test_compare_takes_no_unlabelled_test_image_for_a_normal_one(tmp_path: Path, refused: Callable[..., str]) -> None:
    rng = np.random.default_rng(0)
    images = {f"{split}_images": rng.integers(0, 255, (40, 28, 28), np.uint8) for split in ("train", "test")}
    np.savez(tmp_path / "half.npz", **images, train_labels=np.zeros(40, int))
    sentence = refused("compare", "knn", "--data", tmp_path / "half.npz", "--normal-class", "0", "--quiet")
    assert sentence == "test: 1 images needed, 0 given; give labelled images."


def test_official_parts_that_share_patients_are_told(
    tmp_path: Path, scans: Path, answered: Callable[..., dict[str, Any]]
) -> None:
    rows = [f"scans/normal/{i:02d}.png,normal,p{i % 20},{'train' if i < 20 else 'val'}" for i in range(30)]
    rows += [f"scans/abnormal/{i:02d}.png,abnormal,a{i},test" for i in range(6)]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["path,label,patient_id,split", *rows]))
    found = answered("fit", "knn", table, "--normal-class", "normal", "--out", tmp_path / "m")
    note = "the official parts share 10 patients: figures and false-alarm rates are too good for new patients"
    assert note in found["notes"]


def test_reconstructions_are_rescored_at_fit_and_at_calibration(
    answered: Callable[..., dict[str, Any]], refused: Callable[..., str], own_model: Path, tmp_path: Path
) -> None:
    scoring = ["--residual", "ssim", "--sigma", "2", "--pooling", "top"]
    answered("fit", "pca", *PHANTOM, "--out", tmp_path / "plain")
    answered("fit", "pca", *PHANTOM, "--out", tmp_path / "ssim", *scoring)
    answered("calibrate", tmp_path / "plain", *PHANTOM, *scoring)
    for name in ("plain", "ssim"):
        answered("score", tmp_path / name, *PHANTOM, "--out", tmp_path / f"{name}.csv")
    assert (tmp_path / "plain.csv").read_text() == (tmp_path / "ssim.csv").read_text()
    sentence = refused("calibrate", own_model, *PHANTOM, *scoring, "--quiet")
    assert sentence.startswith("--residual / --pooling: expected a method that reconstructs")


def test_report_writes_one_page(model: Path, answered: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    found = answered("report", model, *PHANTOM, "--out", tmp_path / "r.html")
    assert found["report"] == str(tmp_path / "r.html")
    assert "not a medical device" in (tmp_path / "r.html").read_text().lower()


def test_inspect_counts_what_is_there(scans: Path, typed: Typed, answered: Callable[..., dict[str, Any]]) -> None:
    found = answered("inspect", scans)
    assert found["classes"] == [
        {"split": "-", "class": "abnormal", "images": 6},
        {"split": "-", "class": "normal", "images": 30},
    ]
    assert found["parts"] == {"train": 17, "select": 2, "calibrate": 5, "test": 12}
    assert found["shapes"] == {"28 x 28 uint8": 36}
    assert found["unreadable"] == []
    said = typed("inspect", scans, "--quiet")[1]
    assert "note: no patient ids" in said
    # a fifth of thirty normals tests, a fifth of the others calibrates
    assert "note: 5 normal images would calibrate, 19 are needed for 5 % false alarms" in said


def test_inspect_also_looks_at_data_nothing_can_be_fitted_on(tmp_path: Path, typed: Typed) -> None:
    images = np.random.default_rng(0).integers(0, 255, (4, 28, 28)).astype(np.uint8)
    np.savez(tmp_path / "t.npz", test_images=images, test_labels=[0, 1, 0, 1])
    code, out, _ = typed("inspect", tmp_path / "t.npz", "--normal-class", "0", "--quiet")
    assert code == 0
    assert "nothing can be fitted on this" in out


def test_unreadable_images_are_listed_all_at_once_or_skipped_and_still_listed(
    scans: Path, typed: Typed, answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (scans / "normal" / "03.png").write_bytes(b"")
    (scans / "normal" / "17.png").write_text("no image")
    code, out, err = typed("fit", "knn", scans, "--out", tmp_path / "m", "--quiet")
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[0].startswith("normoscope: error: 2 of 36 images cannot be read;")
    assert [line.split(": ")[0].rsplit("/", 1)[1] for line in lines[1:]] == ["03.png", "17.png"]
    assert not (tmp_path / "m").exists()
    fitted = answered("fit", "knn", scans, "--out", tmp_path / "m", "--skip-unreadable")
    assert sum("not read: " in note for note in fitted["notes"]) == 2
    scored = answered("score", tmp_path / "m", scans, "--out", tmp_path / "s.csv", "--skip-unreadable")
    assert len(scored["not_scored"]) == 2
    rows = scores_in(tmp_path / "s.csv")
    assert len(rows) == 36
    assert [row["rule"].split(":")[0] for row in rows if not row["pred_score"]] == ["not scored"] * 2
    code, out, _ = typed("inspect", scans, "--quiet")
    assert code == 2
    assert "unreadable   2" in out


def test_quiet_keeps_standard_error_empty_and_notes_appear_without_it(
    scans: Path, typed: Typed, tmp_path: Path
) -> None:
    code, _, err = typed("fit", "knn", scans, "--out", tmp_path / "a")
    assert code == 0
    assert "note: no patient ids" in err
    assert typed("fit", "knn", scans, "--out", tmp_path / "b", "--quiet")[2] == ""


# refusals


def test_an_existing_model_is_not_fitted_over(model: Path, refused: Callable[..., str]) -> None:
    sentence = refused("fit", "knn", *PHANTOM, "--out", model)
    assert sentence == f"--out: expected a path that does not exist yet (or pass --overwrite), got '{model}'."


def test_a_missing_model_is_told(refused: Callable[..., str], tmp_path: Path) -> None:
    sentence = refused("score", tmp_path / "no", "phantom", "--out", tmp_path / "s.csv")
    assert sentence == f"{tmp_path / 'no'}: no model here (model.json is missing); make one with 'normoscope fit'."


def test_the_normal_class_must_be_named_where_the_data_does_not(refused: Callable[..., str], tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (40, 28, 28)).astype(np.uint8)
    splits = {
        f"{k}_{w}": a for k in ("train", "val", "test") for w, a in (("images", images), ("labels", np.arange(40) % 2))
    }
    np.savez(tmp_path / "breastmnist.npz", **splits)
    data = f"medmnist:{tmp_path / 'breastmnist.npz'}"
    found = "classes found: 0 (malignant), 1 (normal, benign); pass --normal-class NAME_OR_INT."
    words = ["fit", "knn", data, "--out", tmp_path / "m", "--quiet"]
    assert refused(*words) == f"{data}: the normal class is not named; {found}"
    assert refused(*words, "--normal-class", "healthy") == f"{data}: there is no class 'healthy'; {found}"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "the following arguments are required: COMMAND; see 'normoscope --help'."),
        ("train", "argument COMMAND: invalid choice: 'train'"),
        ("fit", "the following arguments are required: METHOD, DATA, --out; see 'normoscope fit --help'."),
        ("fit magic phantom --out OUT", f"method: expected one of {', '.join(methods.names())}, got 'magic'."),
        ("fit knn phantom --out OUT --neighbours two", "knn --neighbours: expected a whole number, got 'two'."),
        ("fit knn phantom --out OUT --neighbours 0", "knn --neighbours: expected at least 1, got 0."),
        (
            "fit knn phantom --out OUT --latent-dim 3",
            "unrecognized arguments: --latent-dim 3; see 'normoscope --help'.",
        ),
        ("fit knn phantom --out OUT --false-alarms 2", "argument --false-alarms: expected a rate between 0 and 1"),
        ("fit knn phantom --out OUT --threads 0", "--threads: expected at least 1, got 0."),
        ("fit knn phantom --out OUT --seed -1", "argument --seed: expected a whole number of 0 or more, got '-1'"),
        ("fit knn phantom --out OUT --split-seed x", "argument --split-seed: expected a whole number of 0 or more"),
        ("fit knn phantom --out OUT --device tpu", "--device: expected auto, cpu, cuda or cuda:N, got 'tpu'."),
        (
            "fit knn phantom --out OUT --image-size 4",
            "--image-size: expected 0 (automatic) or 8 to 1024 pixels, got 4.",
        ),
        ("fit knn phantom --out OUT -o train", "--option: expected KEY=VALUE, got 'train'."),
        ("fit knn phantom --out OUT -o trains=5", "option of source phantom: expected one of anatomy, seed, size"),
        ("fit knn phantom --out OUT -o train=many", "phantom option train: expected a number, got 'many'."),
        (
            "fit knn nowhere --out OUT",
            "data: expected an existing folder, .npz, .npy, .csv or .parquet file, or SOURCE",
        ),
        ("fit knn phantom --out OUT --group-regex (", "--group-regex: expected a regular expression"),
        ("fit knn phantom --out OUT --group-regex zz", "--group-regex: expected a pattern that matches every name"),
        ("compare magic --data phantom", "method: expected one of "),
        ("compare knn --data phantom --seeds 0", "--seeds: expected at least 1, got 0."),
        ("compare pca:latent=3 --data phantom", "option of pca: expected one of latent_dim, got 'latent'."),
        ("list models", "argument what: invalid choice: 'models'"),
    ],
)
def test_wrong_words_are_refused_in_one_line(
    words: str, sentence: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    assert refused(*words.replace("OUT", str(tmp_path / "out")).split()).startswith(sentence)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("score MODEL phantom --out FILE", "labels.csv"),
        ("report MODEL phantom --out FILE", "letter.html"),
        ("sanity MODEL phantom --out FILE", "settings.json"),
        ("compare knn --data phantom --out FILE", "settings.json"),
        ("explain MODEL phantom --out FOLDER", "index.html"),
        ("score MODEL phantom --out FOLDER/s.csv --maps FOLDER", "masks.csv"),
    ],
)
def test_what_is_no_earlier_result_is_never_written_over(
    words: str, name: str, model: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    mine = tmp_path / name
    mine.write_text("the only copy", encoding="utf-8")
    places = {"MODEL": str(model), "FILE": str(mine), "FOLDER": str(tmp_path)}
    for place, path in places.items():
        words = words.replace(place, path)
    sentence = refused(*words.split())
    assert sentence.startswith("--"), sentence
    assert ("a new file, or an earlier result" in sentence) or ("a new or empty folder" in sentence)
    assert mine.read_text(encoding="utf-8") == "the only copy"
    assert list(tmp_path.iterdir()) == [mine]


def test_an_earlier_result_is_replaced(answered: Callable[..., Any], tmp_path: Path) -> None:
    answered("fit", "pca", *PHANTOM, "--out", tmp_path / "m")
    words = ("score", tmp_path / "m", *PHANTOM, "--out", tmp_path / "s.csv", "--maps", tmp_path / "maps", "--quiet")
    answered(*words)
    first = (tmp_path / "s.csv").read_bytes()
    (tmp_path / "maps" / "maps.csv").write_text("image_path,anomaly_map,\n", encoding="utf-8")
    answered(*words)
    assert (tmp_path / "s.csv").read_bytes() == first
    assert len((tmp_path / "maps" / "maps.csv").read_text(encoding="utf-8").splitlines()) > 1


def test_an_output_that_cannot_be_written_is_told_in_one_line(
    model: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    sentence = refused("score", model, *PHANTOM, "--out", tmp_path / "file" / "s.csv", "--quiet")
    assert sentence == f"{tmp_path / 'file'}: file exists."
    (tmp_path / "s.csv").mkdir()
    sentence = refused("score", model, *PHANTOM, "--out", tmp_path / "s.csv", "--quiet")
    assert sentence == f"--out: expected a file (this is a folder), got '{tmp_path / 's.csv'}'."
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "s.csv"]


def test_a_reader_that_goes_away_is_no_failure() -> None:
    words = f"{sys.executable} -m normoscope.apps.cli list metrics | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_program_is_a_module_too() -> None:
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run([sys.executable, "-m", "normoscope.apps.cli", "--version"], capture_output=True, text=True,
                          check=True, env=environment)  # fmt: skip
    assert done.stdout == f"normoscope {__version__}\n"


@pytest.mark.slow
def test_the_demo_trains_beats_the_trivial_rows_and_leaves_a_report(
    answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    found = answered("demo", "--out", tmp_path / "demo")
    assert found["beats_trivial"]
    assert (tmp_path / "demo" / "report.html").stat().st_size > 100_000
    assert (tmp_path / "demo" / "model" / "model.json").is_file()


@pytest.mark.parametrize(
    ("option", "reader"),
    [("--sigma", "--residual ssim"), ("--fraction", "--pooling top"), ("--smoothing", "--pooling maximum")],
)
def test_a_scoring_number_that_nothing_would_read_is_refused(
    option: str, reader: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "pca", "phantom", option, "2", "--out", str(tmp_path / "m"), "--quiet"]) == 2
    assert capsys.readouterr().err == f"normoscope: error: {option}: expected to be used with {reader}, got 2.0.\n"


def test_scoring_images_that_fitted_the_model_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, small = str(tmp_path / "m"), ["-o", "train=60", "-o", "validation=40", "-o", "test=40"]
    assert main(["fit", "pca", "phantom", *small, "--out", model, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["score", model, "phantom", *small, "--out", str(tmp_path / "s.csv"), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["seen"] == 100
    assert "100 of these images fitted or calibrated the model: their p-values promise nothing" in said.err


def test_a_recalibration_says_whose_normals_set_the_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, small = str(tmp_path / "m"), ["-o", "train=60", "-o", "validation=40", "-o", "test=40"]
    assert main(["fit", "pca", "phantom", *small, "--out", model, "--quiet"]) == 0
    assert main(["calibrate", model, "phantom", *small, "-o", "seed=7", "--quiet"]) == 0
    assert "normals of phantom seed=7 test=40 train=60 validation=40" in capsys.readouterr().out


def test_a_method_named_twice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "pca", "pca", "--data", "phantom", "--quiet"]) == 2
    assert capsys.readouterr().err == "normoscope: error: METHOD: expected every row once, got 'pca pca'.\n"


def test_images_of_other_proportions_than_those_fitted_on_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, small = str(tmp_path / "m"), ["-o", "train=60", "-o", "validation=40", "-o", "test=40"]
    assert main(["fit", "pca", "phantom", *small, "--out", model, "--quiet"]) == 0
    for name, shape in (("wide", (40, 60)), ("square", (80, 80)), ("nearly", (80, 84))):
        (tmp_path / name).mkdir()
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(tmp_path / name / "a.png")
    capsys.readouterr()
    said = {}
    for name in ("wide", "square", "nearly"):
        assert main(["score", model, str(tmp_path / name), "--out", str(tmp_path / "s.csv")]) == 0
        said[name] = capsys.readouterr().err
    assert "these images are 60 x 40 pixels, those the model learnt from 64 x 64: of other proportions" in said["wide"]
    assert "brought to 64 x 64 by 'pad', and scores may not compare" in said["wide"]
    assert "proportions" not in said["square"] + said["nearly"]


def test_a_rule_set_anew_in_another_unit_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, small = str(tmp_path / "m"), ["-o", "train=60", "-o", "validation=40", "-o", "test=40"]
    assert main(["fit", "pca", "phantom", *small, "--out", model, "--quiet"]) == 0
    other = tmp_path / "recent"
    other.mkdir()
    for number in range(30):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64), np.uint8)
        Image.fromarray(pixels).save(other / f"{number}.png")
    capsys.readouterr()
    assert main(["calibrate", model, str(other), "--normal-class", "recent"]) == 0
    said = capsys.readouterr().err
    assert "the old rule counted per patient, the new one counts per image; --group-regex finds patients" in said
