from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from normoscope.apps.cli import main
from toys import PHANTOM, Typed, scores_in


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


def test_calibrate_replaces_the_rule_keeps_the_old_one_and_prints_both(
    own_knn_model: Path, typed: Typed, answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    before = (own_knn_model / "calibration.json").read_text()
    found = answered("calibrate", own_knn_model, *PHANTOM, "--false-alarms", "0.2")
    assert (found["old"]["false_alarms"], found["new"]["false_alarms"]) == (0.05, 0.2)
    assert found["new"]["rule"]["threshold"] < found["old"]["rule"]["threshold"]
    assert Path(found["kept"]).read_text() == before
    code, out, _ = typed("calibrate", own_knn_model, *PHANTOM, "--rule", "two-sided", "--k", "3", "--quiet")
    assert code == 0
    assert "0.2 false alarms per patient" in out
    assert "mean ± 3 sd, no guarantee" in out
    assert answered("evaluate", own_knn_model, *PHANTOM)["calibration"]["kind"] == "two-sided"
    # the way back that the tutorial names
    (own_knn_model / "calibration.json").write_text(before)
    assert answered("evaluate", own_knn_model, *PHANTOM)["calibration"] == found["old"]


def test_deviations_are_refused_where_no_rule_counts_them(own_knn_model: Path, refused: Callable[..., str]) -> None:
    sentence = refused("calibrate", own_knn_model, *PHANTOM, "--k", "3", "--quiet")
    assert sentence == "--k: expected to be used with --rule upper or two-sided, got 3.0."


def test_calibrate_with_too_few_normals_is_refused_and_changes_nothing(
    own_knn_model: Path, refused: Callable[..., str]
) -> None:
    before = {path.name: path.read_bytes() for path in own_knn_model.iterdir()}
    few = ["phantom", "-o", "seed=5", "-o", "train=10", "-o", "validation=0", "-o", "size=28"]
    sentence = refused("calibrate", own_knn_model, *few, "--false-alarms", "0.05", "--quiet")
    assert sentence.startswith("not calibrated: 19 normal patients needed, 9 given")
    assert {path.name: path.read_bytes() for path in own_knn_model.iterdir()} == before


def test_normals_that_recalibrated_a_model_may_not_test_it(
    own_knn_model: Path, scans: Path, answered: Callable[..., dict[str, Any]], refused: Callable[..., str]
) -> None:
    answered("calibrate", own_knn_model, scans)
    assert "copies of images in recalibrate" in refused("evaluate", own_knn_model, scans, "--quiet")
    # back on its own normals, the others are free again
    answered("calibrate", own_knn_model, *PHANTOM)
    assert answered("evaluate", own_knn_model, scans)["n_normal"] == 30


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
    answered: Callable[..., dict[str, Any]], refused: Callable[..., str], own_knn_model: Path, tmp_path: Path
) -> None:
    scoring = ["--residual", "ssim", "--sigma", "2", "--pooling", "top"]
    answered("fit", "pca", *PHANTOM, "--out", tmp_path / "plain")
    answered("fit", "pca", *PHANTOM, "--out", tmp_path / "ssim", *scoring)
    told = [(tmp_path / name / "README.md").read_text() for name in ("plain", "ssim")]
    assert "| score | the method's own |" in told[0]
    assert "| score | ssim residual (sigma 2), top (fraction 0.02) pooling, in place of the method's own |" in told[1]
    answered("calibrate", tmp_path / "plain", *PHANTOM, *scoring)
    for name in ("plain", "ssim"):
        answered("score", tmp_path / name, *PHANTOM, "--out", tmp_path / f"{name}.csv")
    assert (tmp_path / "plain.csv").read_text() == (tmp_path / "ssim.csv").read_text()
    sentence = refused("calibrate", own_knn_model, *PHANTOM, *scoring, "--quiet")
    assert sentence.startswith("--residual / --pooling: expected a method that reconstructs")


def test_a_recalibration_says_whose_normals_set_the_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, small = str(tmp_path / "m"), ["-o", "train=60", "-o", "validation=40", "-o", "test=40"]
    assert main(["fit", "pca", "phantom", *small, "--out", model, "--quiet"]) == 0
    assert main(["calibrate", model, "phantom", *small, "-o", "seed=7", "--quiet"]) == 0
    assert "normals of phantom seed=7 test=40 train=60 validation=40" in capsys.readouterr().out


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


def test_images_left_out_of_a_calibration_are_listed(typed: Typed, scans: Path, tmp_path: Path) -> None:
    assert typed("fit", "pca", scans, "--out", tmp_path / "m", "--latent-dim", "4")[0] == 0
    ward = tmp_path / "ward" / "normal"
    ward.mkdir(parents=True)
    for number in range(24):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32), np.uint8)
        Image.fromarray(pixels).save(ward / f"{number}.png")
    (ward / "torn.png").write_bytes(b"")
    code, _, err = typed("calibrate", tmp_path / "m", tmp_path / "ward", "--skip-unreadable")
    assert code == 0
    assert "note: not read: normal/torn.png: the file is empty (0 bytes)\n" in err.replace(
        str(tmp_path / "ward") + "/", ""
    )


def test_copies_are_no_further_normals_and_missing_ones_are_told(typed: Typed, scans: Path, tmp_path: Path) -> None:
    assert typed("fit", "trivial", scans, "--out", tmp_path / "m")[0] == 0
    recent = tmp_path / "recent"
    recent.mkdir()
    for number in range(24):
        pixels = np.random.default_rng(number // 2).integers(0, 256, (32, 32), np.uint8)
        Image.fromarray(pixels).save(recent / f"{number}.png")
    words = [recent, "--normal-class", "recent", "--false-alarms", "0.1"]
    _, out, said = typed("calibrate", tmp_path / "m", *words)
    assert "12 images left out: exact copies of others, which are no further normals" in said
    assert "with 12 normals" in out
    part = json.loads((tmp_path / "m" / "parts.json").read_text())["calibrate"]
    own = next(path for path in scans.rglob("*.png") if any(path.name in name for name in part))
    own.unlink()
    _, _, told = typed("calibrate", tmp_path / "m", scans, "--false-alarms", "0.3")
    assert f"1 of {len(part)} calibration images are gone or not read" in told
