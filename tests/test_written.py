"""What commands know as their own, and everything else that they leave alone."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pytest
import torch

from normoscope.checkpoints import Checkpoint, write
from normoscope.errors import OptionError
from normoscope.written import Written, WrittenFolder, check_companions, check_place, some

SCORES = "image_path,pred_score,pvalue,qvalue,pred_label,rule\n"
LABELLED = "image_path,label,method,seed,pred_score\n"
PAGE = '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta name="generator" content="normoscope 0.1.0">\n<title>'

EDITED = "expected a new file, or an earlier result of the same command, got "


@pytest.mark.parametrize(
    ("kind", "ours", "others"),
    [
        (Written.SCORES, SCORES, SCORES.replace("rule", "rule,my_diagnosis")),
        (Written.SCORES, SCORES.replace("\n", "\r\n"), f"# joined\n{SCORES}"),
        (Written.SCORES, SCORES.replace("\n", ",patient_id,patient_pvalue\n"), SCORES.replace("\n", ",patient_id\n")),
        (Written.LABELLED, LABELLED, LABELLED.replace("\n", ",pvalue\n")),
        (Written.LABELLED, LABELLED.replace("\n", ",patient_id\n"), SCORES),
        (Written.REPORT, f"{PAGE}pca on scans – normoscope report</title>", f"{PAGE}normoscope explanations</title>"),
        (Written.EXPLANATION, f"\n{PAGE}a – why this score</title>", f"{PAGE}pca – normoscope report</title>"),
        (Written.EXPLANATION, '{\n "method": "pca",\n "preset": "quick"', '{"images": []}'),
        (Written.COMPARISON, '{\n "schema": "normoscope/compare/1",', '{"rows": {}, "provenance": {}}'),
        (Written.SANITY, '{"schema": "normoscope/sanity/1"', '{"name": "my card", "provenance": "hospital X"}'),
    ],
)
def test_a_kind_of_file_is_known_by_its_first_bytes(kind: Written, ours: str, others: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(ours, encoding="utf-8", newline="")
    assert kind.path(path) == path
    for text in (others, "", "x" * 10_000 + ours):
        path.write_text(text, encoding="utf-8", newline="")
        with pytest.raises(OptionError, match=EDITED):
            kind.path(path)
        assert path.read_bytes() == text.encode()


def test_no_cell_is_a_formula_and_numbers_stay_numbers() -> None:
    cells = ["=P1", "+1", "@a", "-1-2", "\tx", "-2", "-1.5e-07", "-1E5", "P1", 3]
    text = Written.MAPS.table([["=a.png", *cells]])
    row = next(csv.reader(io.StringIO(text.partition("\n")[2])))
    expected = ["'=P1", "'+1", "'@a", "'-1-2", "'\tx", "-2", "-1.5e-07", "-1E5", "P1", "3"]
    assert row == ["./=a.png", *expected]


@pytest.mark.parametrize("kind", list(Written))
def test_a_pipe_or_a_device_is_never_opened(kind: Written, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/full"), Path("/dev/null")):
        with pytest.raises(OptionError, match=r"expected a regular file \(this is a pipe or a device\), got"):
            kind.path(path)


def test_of_a_large_file_the_beginning_is_read(tmp_path: Path) -> None:
    with (tmp_path / "scores.csv").open("wb") as file:
        file.truncate(2**40)  # holes, more than any memory
    with pytest.raises(OptionError, match=EDITED):
        Written.SCORES.path(tmp_path / "scores.csv")


def test_beside_files_of_other_names_results_are_written_and_beside_anothers_page_they_are_not(tmp_path: Path) -> None:
    assert Written.EXPLANATION.beside(tmp_path / "new", "*.html") == tmp_path / "new"
    (tmp_path / "style.css").write_text("mine")
    (tmp_path / "why.html").write_text(f"{PAGE}normoscope explanations</title>")
    assert Written.EXPLANATION.beside(tmp_path, "*.html", "explanations.json") == tmp_path
    (tmp_path / "explanations.json").write_text("{}")
    with pytest.raises(OptionError, match=rf"{EDITED}'{tmp_path / 'explanations.json'}'"):
        Written.EXPLANATION.beside(tmp_path, "*.html", "explanations.json")


@pytest.mark.parametrize("kind", [Written.SCORES, Written.MAPS])
def test_no_image_name_is_a_formula(kind: Written) -> None:
    names = ["=cmd|' !A0.png", "@SUM(1).png", "+1.png", "-2+3.png", "\tx", "a=1.png", "deep/=1.png", "../a.png", ""]
    text = kind.table([name, "0.5"] for name in names)
    head, *rows = csv.reader(io.StringIO(text))
    assert head[0] == "image_path"
    assert [row[0] for row in rows] == [*(f"./{name}" for name in names[:5]), *names[5:]]
    assert [Path("scans", row[0]) for row in rows] == [Path("scans", name) for name in names]


def test_a_table_is_known_again(tmp_path: Path) -> None:
    for kind in (Written.SCORES, Written.MAPS):
        (tmp_path / "table.csv").write_text(kind.table([]), encoding="utf-8")
        assert kind.path(tmp_path / "table.csv")


def sweep(folder: Path) -> Path:
    """What a killed sweep leaves."""
    key = "0123456789abcdef0123"
    write(folder / f"{key}.checkpoint" / "train.safetensors", Checkpoint({"a": torch.zeros(3)}, {}))
    for name in (f"data-{key}", f".data-{key}-xyz"):
        (folder / name).mkdir()
        (folder / name / "pool.npy").write_bytes(b"\x93NUMPY")
    (folder / f"{key}.json").write_text('{"name": "pca 2", "work": "a:b"}')
    (folder / f".{key}.json.abc.tmp").write_text("")
    (folder / ".lock").write_text("")
    return folder


def test_what_a_killed_run_leaves_is_known_and_deleted_and_a_file_among_it_keeps_all(tmp_path: Path) -> None:
    stages = tmp_path / "m.checkpoint"
    write(stages / "train.safetensors", Checkpoint({"a": torch.zeros(3)}, {"identity": {}}))
    (stages / "head.safetensors.part").write_bytes(b"")
    for kind, folder in ((WrittenFolder.CHECKPOINT, stages), (WrittenFolder.SWEEP, sweep(tmp_path / "m.sweep"))):
        (folder / "my_results.txt").write_text("mine")
        assert kind.strangers(folder) == ["my_results.txt"]
        before = sorted(folder.rglob("*"))
        kind.discard(folder)
        assert sorted(folder.rglob("*")) == before
        (folder / "my_results.txt").unlink()
        assert kind.strangers(folder) == []
        kind.discard(folder)
        assert not folder.exists()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (WrittenFolder.CHECKPOINT, "resnet.safetensors"),
        (WrittenFolder.SWEEP, "0123456789abcdef0123.json"),
        (WrittenFolder.SWEEP, ".lock"),
        (WrittenFolder.MODEL, "model.json"),
    ],
)
def test_anothers_file_of_a_name_of_ours_is_a_stranger(kind: WrittenFolder, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text('{"weights": 1}')
    assert kind.strangers(tmp_path) == [name]
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    assert kind.strangers(tmp_path) == [name]


def test_a_file_in_a_folders_place_is_a_stranger_and_what_is_not_there_holds_none(tmp_path: Path) -> None:
    (tmp_path / "m.checkpoint").write_text("hi")
    assert WrittenFolder.CHECKPOINT.strangers(tmp_path / "m.checkpoint") == ["m.checkpoint"]
    WrittenFolder.CHECKPOINT.discard(tmp_path / "m.checkpoint")
    assert (tmp_path / "m.checkpoint").read_text() == "hi"
    assert WrittenFolder.CHECKPOINT.strangers(tmp_path / "absent") == []


def test_a_linked_folder_is_deleted_with_its_link_and_a_link_in_it_is_a_stranger(tmp_path: Path) -> None:
    real, link = tmp_path / "scratch", tmp_path / "m.sweep"
    link.symlink_to(sweep(real))
    (real / "0123456789abcdef0124.checkpoint").symlink_to(tmp_path)
    assert WrittenFolder.SWEEP.strangers(link) == ["0123456789abcdef0124.checkpoint"]
    (real / "0123456789abcdef0124.checkpoint").unlink()
    WrittenFolder.SWEEP.discard(link)
    assert list(tmp_path.iterdir()) == []


def test_the_place_of_a_link_is_that_of_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    (tmp_path / "link.csv").symlink_to("taken/s.csv")
    with pytest.raises(OptionError, match=r"a path inside a folder \(.*taken is a file\), got"):
        check_place(tmp_path / "link.csv")
    (tmp_path / "there.csv").symlink_to("new/s.csv")
    check_place(tmp_path / "there.csv")


def test_three_names_are_told_and_the_others_counted() -> None:
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_the_root_is_a_place_like_any_other() -> None:
    check_place("/")


def test_files_without_the_result_they_belong_to_are_kept(tmp_path: Path) -> None:
    index = tmp_path / "sweep.json"
    check_companions(index, "sweep.svg")
    (tmp_path / "sweep.svg").write_text("my own drawing")
    with pytest.raises(OptionError, match=r"--out: expected a folder without it, or with the sweep.json it belongs to"):
        check_companions(index, "sweep.svg")
    index.write_text("{}")
    check_companions(index, "sweep.svg")
