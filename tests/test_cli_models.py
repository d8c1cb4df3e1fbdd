from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from normoscope.apps.cli import main
from normoscope.randomisation import Check
from normoscope.written import Written
from toys import PHANTOM, Typed, scores_in


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


def test_scores_have_their_columns_and_every_image_its_row(
    knn_model: Path, answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    found = answered("score", knn_model, *PHANTOM, "--out", tmp_path / "new" / "scores.csv")
    text = (tmp_path / "new" / "scores.csv").read_text()
    assert text.startswith("image_path,pred_score,pvalue,qvalue,pred_label,rule,patient_id,patient_pvalue\n")
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
    # the rule counts patients: one is flagged where its largest score is
    patients = {row["patient_id"] for row in rows}
    flagged = {row["patient_id"] for row in rows if row["pred_label"] == "1"}
    assert found["calibration"]["unit"] == "patient"
    assert found["patients"] == {"scored": len(patients), "flagged": len(flagged)}
    assert len(patients) < len(rows)
    for row in rows:
        own = [float(one["pvalue"]) for one in rows if one["patient_id"] == row["patient_id"]]
        assert float(row["patient_pvalue"]) == min(own)
        assert (float(row["patient_pvalue"]) <= 0.05) == (row["patient_id"] in flagged)


def test_scores_name_patients_where_they_are_known_and_promise_for_them_what_the_rule_counts(
    scans: Path, answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    answered("fit", "knn", scans, "--out", tmp_path / "m", "--parts", "50,0,50", "--false-alarms", "0.1")
    (scans / "abnormal" / "06.png").write_bytes(b"no image")
    words = ["score", tmp_path / "m", scans / "abnormal", "--skip-unreadable", "--out", tmp_path / "s.csv"]
    found = answered(*words)
    assert "patients" not in found
    assert "patient_id" not in scores_in(tmp_path / "s.csv")[0]
    found = answered(*words, "--group-regex", r".\.")
    rows = scores_in(tmp_path / "s.csv")
    assert found["patients"]["scored"] == 6
    assert [row["patient_id"] for row in rows] == ["0.", "1.", "2.", "3.", "4.", "5.", "6."]
    assert {row["patient_pvalue"] for row in rows} == {""}  # the rule counts images
    assert [row["image_path"] for row in rows] == [f"0{i}.png" for i in range(7)]
    assert [one["image_path"] for one in found["not_scored"]] == ["06.png"]


def test_maps_that_fail_their_check_are_told_of(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["fit", "pca", *PHANTOM, "--out", str(tmp_path / "m"), "--quiet"]) == 0
    for median, told in ((0.9, 1), (0.1, 0)):
        monkeypatch.setattr("normoscope.heatmaps.map_check", lambda *_, median=median: Check(median, 3))
        words = ["score", tmp_path / "m", *PHANTOM, "--out", tmp_path / "s.csv", "--maps", tmp_path / "maps"]
        code, _, err = typed(*words)
        assert code == 0
        assert err.count("note: the maps: each fails the sanity check") == told


def test_evaluate_on_a_models_own_data_uses_its_test_part(
    knn_model: Path, answered: Callable[..., dict[str, Any]]
) -> None:
    found = answered("evaluate", knn_model, *PHANTOM)
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
    own_knn_model: Path, scans: Path, refused: Callable[..., str], tmp_path: Path
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
    stored = json.loads((tmp_path / "t" / "table.json").read_text())
    assert (stored["schema"], stored["rows"].keys()) == (found["schema"], found["rows"].keys())
    code, out, _ = typed(*words, "--quiet")
    assert code == 0
    assert all(f"\n{row} " in out for row in rows)


def test_a_list_of_numbers_can_be_typed_for_a_method_that_is_compared(answered: Callable[..., dict[str, Any]]) -> None:
    row = "cae:channels=8,16,epochs=1,latent_dim=4"
    recipe = answered("compare", row, "--data", *PHANTOM)["rows"][row]["recipe"]
    assert (recipe["channels"], recipe["epochs"], recipe["latent_dim"]) == ([8, 16], 1, 4)


def test_scores_with_their_labels_give_the_figures_that_were_printed(
    answered: Callable[..., dict[str, Any]], refused: Callable[..., str], knn_model: Path, tmp_path: Path
) -> None:
    (compared, evaluated) = tmp_path / "c.csv", tmp_path / "e.csv"
    cae = "cae:epochs=1,latent_dim=4"
    found = answered("compare", "knn", cae, "--data", *PHANTOM, "--seeds", "2", "--seed", "5", "--scores", compared)
    rows = scores_in(compared)
    assert rows[0].keys() == {"image_path", "label", "method", "seed", "pred_score", "patient_id"}
    for method, seeds in (("knn", {"5", "6"}), (cae, {"5", "6"}), ("trivial bytes, two-sided", {"5"})):
        own = [row for row in rows if row["method"] == method]
        assert {row["seed"] for row in own} == seeds
        by_seed = [
            roc_auc_score(
                *zip(*((int(r["label"]), float(r["pred_score"])) for r in own if r["seed"] == s), strict=True)
            )
            for s in sorted(seeds)
        ]
        assert found["rows"][method]["auroc"]["value"] == pytest.approx(np.mean(by_seed))
    answered("evaluate", knn_model, *PHANTOM, "--scores", evaluated)
    again = {row["image_path"]: row for row in scores_in(evaluated)}
    assert len(again) == 40
    for row in (row for row in rows if (row["method"], row["seed"]) == ("knn", "5")):
        assert float(again[row["image_path"]]["pred_score"]) == pytest.approx(float(row["pred_score"]), rel=1e-6)
        assert again[row["image_path"]]["label"] == row["label"]
    one = tmp_path / "one"
    said = refused("compare", "knn", "--data", *PHANTOM, "--out", one, "--scores", one)
    assert said.startswith("--scores: expected another file than --out's")
    (tmp_path / "mine.csv").write_text("a,b\n")
    assert "an earlier result" in refused("evaluate", knn_model, *PHANTOM, "--scores", tmp_path / "mine.csv")


def test_test_images_that_are_gone_are_counted(
    scans: Path, answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    answered("fit", "knn", scans, "--out", tmp_path / "m")
    for i in range(4):
        (scans / "abnormal" / f"{i:02d}.png").unlink()
    found = answered("evaluate", tmp_path / "m", scans)
    assert found["part"] == "the model's own test part, of which 4 of 12 images are gone"
    (tmp_path / "elsewhere").symlink_to(scans)
    assert answered("evaluate", tmp_path / "m", f"folder:{tmp_path}/elsewhere") == {**found, "data": ANY, "timing": ANY}


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
    assert sentence == "test: 1 image needed, 0 given; give labelled images."


def test_compare_asks_for_both_kinds_of_test_images(tmp_path: Path, refused: Callable[..., str]) -> None:
    rng = np.random.default_rng(0)
    images = {f"{split}_images": rng.integers(0, 255, (40, 28, 28), np.uint8) for split in ("train", "test")}
    np.savez(tmp_path / "healthy.npz", **images, train_labels=np.zeros(40, int), test_labels=np.zeros(40, int))
    sentence = refused("compare", "knn", "--data", tmp_path / "healthy.npz", "--normal-class", "0", "--quiet")
    assert sentence.startswith("abnormal images of the test part: 1 image needed, 0 given")


def test_report_writes_one_page(knn_model: Path, answered: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    found = answered("report", knn_model, *PHANTOM, "--out", tmp_path / "r.html")
    assert found["report"] == str(tmp_path / "r.html")
    assert "not a medical device" in (tmp_path / "r.html").read_text().lower()
    assert Written.REPORT.path(tmp_path / "r.html")  # may be written over


@pytest.mark.slow
def test_the_demo_trains_beats_the_trivial_rows_and_leaves_a_report(
    answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    found = answered("demo", "--out", tmp_path / "demo")
    assert found["beats_trivial"]
    assert (tmp_path / "demo" / "report.html").stat().st_size > 100_000
    assert (tmp_path / "demo" / "model" / "model.json").is_file()


def test_the_demo_writes_over_no_model_but_its_own(refused: Callable[..., str], scans: Path, tmp_path: Path) -> None:
    assert main(["fit", "knn", str(scans), "--out", str(tmp_path / "work" / "model"), "--quiet"]) == 0
    before = (tmp_path / "work" / "model" / "model.json").read_bytes()
    assert "a folder without a model of your own (this one's is of" in refused("demo", "--out", tmp_path / "work")
    assert (tmp_path / "work" / "model" / "model.json").read_bytes() == before
    assert not (tmp_path / "work" / "report.html").exists()


def test_maps_of_a_method_without_any_are_refused_before_scores_are_replaced(
    knn_model: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    words = ["score", knn_model, *PHANTOM, "--out", tmp_path / "s.csv", "--maps", tmp_path / "maps"]
    assert "a method that localises" in refused(*words)
    assert not (tmp_path / "s.csv").exists()


def test_what_the_source_tells_is_told_where_images_are_scored(typed: Typed, knn_model: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    arrays = {f"{s}_{what}": v for s in ("train", "val", "test") for what, v in
              (("images", images), ("labels", np.array([[0], [1], [0]])))}  # fmt: skip
    np.savez(tmp_path / "pneumoniamnist.npz", **arrays)
    spec = f"medmnist:{tmp_path / 'pneumoniamnist.npz'}"
    code, _, err = typed("score", knn_model, spec, "--out", tmp_path / "s.csv")
    assert code == 0
    assert "note: pneumoniamnist.npz is not the official file" in err


def test_going_on_and_starting_anew_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "pca", "phantom", "--out", "m", "--resume", "--restart"])
    assert stopped.value.code == 2
    assert "not allowed with argument --resume" in capsys.readouterr().err


def test_the_first_of_several_processes_to_meet_a_failure_tells_it(typed: Typed, scans: Path, tmp_path: Path) -> None:
    next((scans / "normal").iterdir()).write_bytes(b"")
    words = [sys.executable, "-m", "normoscope.apps.cli", "fit", "cae", str(scans), "--epochs", "1", "--devices", "2"]
    done = subprocess.run([*words, "--out", str(tmp_path / "m")], capture_output=True, text=True)
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if line.startswith("normoscope: error: ")]
    assert len(said) == 1
    assert "cannot be read" in said[0]


def test_a_full_disk_behind_standard_output_is_told() -> None:
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-m", "normoscope.apps.cli", "list", "metrics"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "normoscope: error: no space left on device.\n")


def test_scoring_images_that_fitted_the_model_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, small = str(tmp_path / "m"), ["-o", "train=60", "-o", "validation=40", "-o", "test=40"]
    assert main(["fit", "pca", "phantom", *small, "--out", model, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["score", model, "phantom", *small, "--out", str(tmp_path / "s.csv"), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["seen"] == 100
    assert "100 of these images fitted or calibrated the model: their p-values promise nothing" in said.err
