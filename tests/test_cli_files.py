from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from normoscope.apps.cli import main
from normoscope.apps.output import emit
from normoscope.checkpoints import Checkpoint, write
from normoscope.errors import UnreadableImageError, UnreadableImagesError
from toys import PHANTOM, Typed, scores_in


@pytest.fixture
def masked(scans: Path) -> Path:
    """The scans, and a mask for every abnormal one, in the layout of BMAD."""
    for part in ("img", "label"):
        (scans / "abnormal" / part).mkdir()
    for path in sorted((scans / "abnormal").glob("*.png")):
        mask = np.zeros((28, 28), np.uint8)
        mask[5:15, 5:15] = 255
        Image.fromarray(mask).save(scans / "abnormal/label" / path.name)
        path.rename(scans / "abnormal/img" / path.name)
    return scans


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_trained_model_leaves_no_checkpoints_behind(ending: str, tmp_path: Path) -> None:
    assert main(["fit", "cae", *PHANTOM, "--epochs", "1", "--out", f"{tmp_path / 'm'}{ending}", "--quiet"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


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
    told = "note: 5 normal images would calibrate, 19 are needed for 5 % false alarms"
    assert told in said
    assert "give more normals, or more of them to calibrate by --parts" in said
    (scans / "train").mkdir()
    (scans / "normal").rename(scans / "train" / "normal")
    (scans / "val" / "normal").mkdir(parents=True)
    for i in range(5):
        (scans / "train" / "normal" / f"{i:02d}.png").rename(scans / "val" / "normal" / f"{i:02d}.png")
    (scans / "test").mkdir()
    (scans / "abnormal").rename(scans / "test" / "abnormal")
    said = typed("inspect", scans, "--quiet", "--normal-class", "normal")[1]
    assert told in said
    assert "they are the official validation part, whatever --parts says: move training normals there" in said


def test_inspect_keeps_every_fact_on_one_line_whatever_the_names_hold(tmp_path: Path, typed: Typed) -> None:
    images = np.random.default_rng(0).integers(0, 255, (3, 28, 28)).astype(np.uint8)
    names = np.array(["a\nb", "c", "d\re"])
    np.savez(tmp_path / "t.npz", images=images[[0, 1, 0]], labels=["\x1b[31mill\n", "ok", "ok"], names=names)
    out = typed("inspect", tmp_path / "t.npz", "--normal-class", "ok", "--quiet")[1]
    assert r"\x1b[31mill\n" in out
    assert r"(first: a\nb, d\re)" in out
    assert all(line.isprintable() for line in out.split("\n"))


def test_no_command_hands_control_characters_from_names_to_the_terminal(tmp_path: Path, typed: Typed) -> None:
    images = np.random.default_rng(0).integers(0, 255, (60, 28, 28)).astype(np.uint8)
    names = np.array([f"\x1b]0;owned\x07{i}" for i in range(60)])
    np.savez(tmp_path / "t.npz", images=images, labels=["ok"] * 50 + ["ill"] * 10, names=names)
    np.savez(tmp_path / "one.npz", images=images[:1] // 2, names=names[:1])
    data = (tmp_path / "t.npz", "--normal-class", "ok")
    said = [
        typed("fit", "knn", *data, "--out", tmp_path / "m"),
        typed("explain", tmp_path / "m", tmp_path / "one.npz", "--out", tmp_path / "e"),
    ]
    assert [code for code, _, _ in said] == [0, 0]
    text = "".join(out + err for _, out, err in said)
    assert "owned" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_inspect_of_images_none_of_which_can_be_read_knows_no_grey_values(tmp_path: Path, typed: Typed) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    code, out, _ = typed("inspect", tmp_path, "--quiet")
    assert code == 2
    assert "grey values  not known\n" in out
    content = json.loads(typed("inspect", tmp_path, "--quiet", "--json")[1])
    assert content["grey"] == {"low": None, "high": None, "constant_images": 0}


def test_inspect_reads_the_masks_too(masked: Path, typed: Typed) -> None:
    code, out, _ = typed("inspect", masked, "--quiet")
    assert code == 0
    assert "unreadable   0\n" in out
    (masked / "abnormal/label/01.png").write_text("no mask")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(masked / "abnormal/label/02.png")
    code, out, _ = typed("inspect", masked, "--quiet")
    assert code == 2
    assert "unreadable   2\n" in out
    assert f"  {masked}/abnormal/label/01.png: not an image: its content is not PNG" in out
    assert f"  {masked}/abnormal/label/02.png: the mask is 9 x 9 pixels, its image 28 x 28; both must have" in out


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


def test_where_no_image_can_be_read_nothing_is_scored_nor_explained(
    knn_model: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    (folder / "a.png").write_text("no image")
    for words in (["score", knn_model, folder], ["explain", knn_model, folder / "a.png"]):
        sentence = refused(*words, "--skip-unreadable", "--quiet", "--out", tmp_path / "out")
        assert sentence.startswith("images: expected at least one that can be read, got 1 that cannot, first ")
        assert "a.png" in sentence
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("fit knn phantom --out FILE/m", "--out"),
        ("sweep cae phantom --out FILE", "--out"),
        ("score MODEL phantom --out FILE/s.csv", "--out"),
        ("score MODEL phantom --out FREE --maps FILE", "--maps"),
        ("report MODEL phantom --out FILE/deep/r.html", "--out"),
        ("explain MODEL phantom --out FILE", "--out"),
        ("compare knn --data phantom --out FILE/c.json", "--out"),
        ("reproduce twente2023 --quick --out FILE", "--out"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_refused_before_any_work(
    words: str, option: str, knn_model: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("the only copy", encoding="utf-8")
    for place, path in {"MODEL": knn_model, "FILE": taken, "FREE": tmp_path / "free"}.items():
        words = words.replace(place, str(path))
    expected = f"{option}: expected a path inside a folder ({taken} is a file), got "
    assert refused(*words.split()).startswith(expected)
    assert [path.name for path in tmp_path.iterdir() if path != knn_model] == ["taken"]


def test_a_models_own_file_is_no_earlier_result(knn_model: Path, refused: Callable[..., str]) -> None:
    kept = (knn_model / "model.json").read_bytes()
    sentence = refused("compare", "knn", "--data", *PHANTOM, "--out", knn_model / "model.json")
    assert sentence.startswith("--out: expected a new file, or an earlier result of the same command")
    assert (knn_model / "model.json").read_bytes() == kept


def test_resuming_what_was_never_begun_starts_anew_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "knn", *PHANTOM, "--resume", "--out", str(tmp_path / "m")]) == 0
    said = f"nothing to resume: there is no {tmp_path / 'm.checkpoint'}, so fitting starts anew"
    assert said in capsys.readouterr().err


def test_one_image_is_scored(knn_model: Path, answered: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    Image.fromarray(np.full((64, 64), 90, np.uint8)).save(tmp_path / "scan.png")
    answered("score", knn_model, tmp_path / "scan.png", "--out", tmp_path / "s.csv")
    head, row = (tmp_path / "s.csv").read_text().splitlines()
    assert head.startswith("image_path,pred_score")
    assert row.startswith("scan.png,")


def test_an_existing_model_is_not_fitted_over(knn_model: Path, refused: Callable[..., str]) -> None:
    sentence = refused("fit", "knn", *PHANTOM, "--out", knn_model)
    assert sentence == f"--out: expected a path that does not exist yet (or pass --overwrite), got '{knn_model}'."


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
    words: str, name: str, knn_model: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    mine = tmp_path / name
    mine.write_text("the only copy", encoding="utf-8")
    places = {"MODEL": str(knn_model), "FILE": str(mine), "FOLDER": str(tmp_path)}
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
    listed = (tmp_path / "maps" / "maps.csv").read_text(encoding="utf-8")
    (tmp_path / "maps" / "maps.csv").write_text(listed.splitlines(keepends=True)[0], encoding="utf-8")
    answered(*words)
    assert (tmp_path / "s.csv").read_bytes() == first
    assert (tmp_path / "maps" / "maps.csv").read_text(encoding="utf-8") == listed


@pytest.mark.parametrize(
    ("words", "name", "text"),
    [
        ("score MODEL phantom --out FILE", "s.csv", "image_path,pred_score,pvalue,qvalue,pred_label,rule,mine\n"),
        ("score MODEL phantom --out NEW --maps FOLDER", "maps.csv", "image_path,anomaly_map,mine\n"),
        ("sanity MODEL phantom --out FILE", "card.json", '{"name": "my card", "provenance": "hospital X"}'),
        ("compare knn --data phantom --out FILE", "sane.json", '{"schema": "normoscope/sanity/1"}'),
        ("explain MODEL phantom --out FOLDER", "explanations.json", "{}"),
        ("explain MODEL phantom --out FOLDER", "scan.html", "<h1>mine</h1>"),
        ("demo --out FOLDER", "report.html", "<h1>mine</h1>"),
    ],
)
def test_what_looks_like_a_result_and_is_none_is_never_written_over(
    words: str, name: str, text: str, knn_model: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    mine = tmp_path / "out" / name
    mine.parent.mkdir()
    mine.write_text(text, encoding="utf-8")
    places = {"MODEL": knn_model, "FILE": mine, "FOLDER": mine.parent, "NEW": tmp_path / "new.csv"}
    for place, path in places.items():
        words = words.replace(place, str(path))
    option = "--maps" if name == "maps.csv" else "--out"
    expected = f"{option}: expected a new file, or an earlier result of the same command, got '{mine}'."
    assert refused(*words.split()) == expected
    assert mine.read_text(encoding="utf-8") == text
    assert list(tmp_path.rglob("*")) == [mine.parent, mine]


def test_scores_are_no_file_among_the_maps(knn_model: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    sentence = refused("score", knn_model, *PHANTOM, "--out", tmp_path / "x/../maps/maps.csv", "--maps", maps)
    assert sentence.startswith(f"--out: expected a file outside {maps}, where --maps names its files itself, got ")
    assert not maps.exists()


def test_a_fit_over_a_model_keeps_the_images_in_its_folder(
    scans: Path, own_knn_model: Path, refused: Callable[..., str]
) -> None:
    kept = scans.rename(own_knn_model / "scans")
    sentence = refused("fit", "knn", kept, "--out", own_knn_model, "--overwrite")
    assert sentence.startswith("--out: expected a folder with a model alone (this one also holds scans), got ")
    assert len(list(kept.rglob("*.png"))) == 36
    assert main(["score", str(own_knn_model), str(kept), "--out", str(kept / "s.csv"), "--quiet"]) == 0


@pytest.mark.parametrize("flag", ["", "--resume", "--restart"])
@pytest.mark.parametrize("left", ["m.checkpoint", "m.sweep"])
def test_a_folder_that_no_run_left_is_never_deleted(
    flag: str, left: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / left).mkdir()
    (tmp_path / left / "my_results.txt").write_text("the only copy", encoding="utf-8")
    sentence = refused("fit", "knn", *PHANTOM, "--out", tmp_path / "m", *flag.split())
    assert sentence == (
        f"{tmp_path / left}: not all of it was left by an interrupted run (my_results.txt); "
        "move it away or give another --out."
    )
    assert (tmp_path / left / "my_results.txt").read_text(encoding="utf-8") == "the only copy"


def test_an_interrupted_runs_work_is_discarded_only_once_the_new_one_can_begin(
    refused: Callable[..., str], answered: Callable[..., Any], tmp_path: Path
) -> None:
    stage = tmp_path / "m.checkpoint" / "train.safetensors"
    write(stage, Checkpoint({"a": torch.zeros(1)}, {}))
    words = ("fit", "knn", *PHANTOM, "--out", tmp_path / "m")
    assert refused(*words).endswith("pass --resume to go on or --restart to discard it.")
    for wrong in (("--normal-class", "nothing"), ("--residual", "ssim", "--sigma", "x"), ("-o", "nothing=1")):
        refused(*words, "--restart", *wrong)
        assert stage.exists()
    answered(*words, "--restart")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_paths_that_are_no_text_are_escaped_and_lose_no_work(scans: Path, typed: Typed, tmp_path: Path) -> None:
    strange = scans.rename(tmp_path / os.fsdecode(b"sc\xffans"))
    (strange / "normal").rename(strange / os.fsdecode(b"norm\xff"))
    model, table = (tmp_path / os.fsdecode(name) for name in (b"mod\xff", b"s\xff.csv"))
    normal = ("--normal-class", os.fsdecode(b"norm\xff"))
    for words in (
        ("inspect", strange),
        ("fit", "knn", strange, *normal, "--out", model),
        ("score", model, strange, "--out", table),
        ("evaluate", model, strange, *normal),
    ):
        code, out, _ = typed(*words)
        assert code == 0
        assert "\\udcff" in out
    assert "sc\\udcffans" in (model / "README.md").read_text(encoding="utf-8")
    assert len(scores_in(table)) == 36


def test_an_output_that_knows_few_letters_gets_the_others_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", narrow := io.TextIOWrapper(io.BytesIO(), "ascii"))
        emit("inspect", {}, "mean ± 2 sd", as_json=False)
    narrow.seek(0)
    assert narrow.read() == "mean \\xb1 2 sd\n"


def test_scores_go_through_a_link_to_the_file_it_names(
    knn_model: Path, answered: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "latest.csv").symlink_to("runs/7.csv")
    for _ in range(2):
        answered("score", knn_model, *PHANTOM, "--out", tmp_path / "latest.csv")
        assert (tmp_path / "latest.csv").is_symlink()
        assert len(scores_in(tmp_path / "runs" / "7.csv")) == 140


def test_an_output_that_cannot_be_written_is_told_in_one_line(
    knn_model: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / ("s" * 300 + ".csv")
    assert refused("score", knn_model, *PHANTOM, "--out", out, "--quiet") == f"{out}: file name too long."
    (tmp_path / "s.csv").mkdir()
    sentence = refused("score", knn_model, *PHANTOM, "--out", tmp_path / "s.csv", "--quiet")
    assert sentence == f"--out: expected a file (this is a folder), got '{tmp_path / 's.csv'}'."
    assert [path.name for path in tmp_path.iterdir()] == ["s.csv"]


@pytest.mark.parametrize(("channels", "told"), [(1, "the first image has colour"), (3, "the first image is grey")])
def test_colour_where_the_model_takes_grey_is_told_and_the_other_way_round(
    channels: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, small = str(tmp_path / "m"), ["-o", "train=60", "-o", "validation=40", "-o", "test=40"]
    chosen = ["--image-channels", str(channels), "--out", model, "--quiet"]
    assert main(["fit", "pca", "phantom", *small, *chosen]) == 0
    grey = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    colour = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for name, pixels in (("grey", grey), ("as_rgb", np.stack([grey] * 3, axis=-1)), ("colour", colour)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    capsys.readouterr()
    said = {}
    for name in ("grey", "as_rgb", "colour"):
        assert main(["score", model, str(tmp_path / f"{name}.png"), "--out", str(tmp_path / "s.csv")]) == 0
        said[name] = capsys.readouterr().err
    expected = {"colour"} if channels == 1 else {"grey", "as_rgb"}
    assert {name for name, words in said.items() if told in words} == expected
    assert not any("the first image" in words for name, words in said.items() if name not in expected)


def test_many_files_with_the_same_fault_are_counted_behind_the_first(tmp_path: Path) -> None:
    same = [UnreadableImageError(f"{number}.png", "empty file") for number in range(12)]
    few = [UnreadableImageError(f"{number}.tif", "two pages") for number in range(2)]
    error = UnreadableImagesError([*same, *few], 20)
    assert len(error.problems) == 14
    head, *lines = str(error).splitlines()
    assert head.startswith("14 of 20 images cannot be read")
    assert lines == [
        "  0.png, 1.png, 2.png, 3.png, 4.png and 7 more: empty file",
        "  0.tif: two pages",
        "  1.tif: two pages",
    ]


def test_images_of_other_proportions_or_far_fewer_pixels_than_those_fitted_on_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, small = str(tmp_path / "m"), ["-o", "train=60", "-o", "validation=40", "-o", "test=40"]
    assert main(["fit", "pca", "phantom", *small, "--out", model, "--quiet"]) == 0
    for name, shape in (("wide", (40, 60)), ("square", (80, 80)), ("nearly", (80, 84)), ("coarse", (32, 32))):
        (tmp_path / name).mkdir()
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(tmp_path / name / "a.png")
    capsys.readouterr()
    said = {}
    for name in ("wide", "square", "nearly", "coarse"):
        assert main(["score", model, str(tmp_path / name), "--out", str(tmp_path / "s.csv")]) == 0
        said[name] = capsys.readouterr().err
    assert "these images are 60 x 40 pixels, those the model learnt from 64 x 64: of other proportions" in said["wide"]
    assert "brought to 64 x 64 by 'pad', and scores may not compare" in said["wide"]
    assert "proportions" not in said["square"] + said["nearly"] + said["coarse"]
    coarse = (
        "these images are 32 x 32 pixels, those the model learnt from 64 x 64: enlarged to 64 x 64 they are smoother"
    )
    assert coarse in said["coarse"]
    assert "enlarged" not in said["square"] + said["nearly"]
