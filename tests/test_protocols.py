"""Protocols name their data and jobs, cut folds as they say, and judge claims by numbers alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from normoscope import protocols
from normoscope.errors import LayoutError, OptionError
from normoscope.protocols import Claim, Outcome, Table, Verdict, _data, _jobs, _trial
from normoscope.protocols._data import Absent
from normoscope.protocols._pages import as_json, latex, markdown
from normoscope.protocols._rows import Row, arithmetic
from normoscope.protocols.conocc2020 import FOLDS
from normoscope.registry import docstring
from normoscope.runner import Job, Result
from normoscope.types import Collection, Sample

every_protocol = pytest.mark.parametrize("name", protocols.names())


@every_protocol
@pytest.mark.parametrize("quick", [False, True])
def test_without_data_nothing_is_planned_and_everything_absent_is_named(
    name: str, quick: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NORMOSCOPE_DATA", str(tmp_path))
    plan = protocols.build(name, quick=quick).plan()
    assert not plan.jobs
    assert plan.absent
    assert all(": not run, data absent. Get it from " in str(data) for data in plan.absent if not data.private)
    assert all(str(data) == f"{data.name}: not run, {data.private}" for data in plan.absent if data.private)


@every_protocol
def test_a_protocol_says_what_it_is_and_what_differs(name: str) -> None:
    text = docstring("protocols", name)
    assert text.partition("\n")[0].endswith(".")
    assert "Reference:" in text
    assert "differs from the paper in:" in text


def test_an_unknown_protocol_and_no_seeds_are_refused() -> None:
    with pytest.raises(OptionError, match="protocol: expected one of"):
        protocols.build("conocc1999")
    with pytest.raises(OptionError, match="--seeds: expected at least 1, got 0"):
        protocols.build("conocc2020", seeds=0)


# folds


def collection(patients: bool) -> Collection:
    """200 normals of 100 patients and 60 abnormals, a fifth of them test."""

    def sample(number: int, label: int) -> Sample:
        split = "test" if number % 5 == 0 else "train"
        patient = f"p{label}{number // 2}" if patients else None
        read = lambda: np.zeros((8, 8), np.uint8)  # noqa: E731
        return Sample(f"{label}/{number}", read, class_name=str(label), split=split, label=label, patient=patient)

    return Collection("made up", [*(sample(n, 0) for n in range(200)), *(sample(n, 1) for n in range(200))], "0")


@pytest.mark.parametrize("patients", [False, True])
def test_every_fold_tests_as_many_normals_as_abnormals_and_shares_no_patient(patients: bool) -> None:
    data = collection(patients)
    tested: set[int] = set()
    for fold in range(FOLDS):
        train, test = _trial._rotation(data, fold, FOLDS, 0)
        labels = [data.samples[i].label for i in test]
        assert labels.count(0) == labels.count(1) == 40
        assert all(data.samples[i].label == 0 for i in train)
        assert not set(train) & set(test)
        if patients:
            of = [{data.samples[i].patient for i in part} for part in (train, test)]
            assert not of[0] & of[1]
            assert len(train) >= 158  # the stretch may cut a patient at either end
        else:
            assert len(train) == 160
        tested |= {i for i in test if data.samples[i].label == 0}
    assert len(tested) >= 159
    assert _trial._rotation(data, 0, FOLDS, 0) != _trial._rotation(data, 0, FOLDS, 1)


def test_held_out_normals_share_no_patient_with_training() -> None:
    data = collection(patients=True)
    train, kept = _trial._held_out(data.samples, list(range(200)), 0.1)
    assert len(kept) == 20
    assert not {data.samples[i].patient for i in train} & {data.samples[i].patient for i in kept}
    assert len(train) in (179, 180)


# what is absent


def test_every_data_set_says_where_to_get_it_and_where_to_put_it() -> None:
    for name, data in _data.DATA.items():
        assert data.title, name
        text = str(data.absent)
        if data.absent.private:
            assert (data.absent.where, data.absent.licence, data.absent.layout) == ("", "", ""), name
            continue
        assert data.absent.where.startswith("http"), name
        assert data.absent.licence, name
        assert f"$NORMOSCOPE_DATA/{data.path}" in text, name


def test_a_folder_with_other_classes_is_refused_with_the_layout_it_should_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORMOSCOPE_DATA", str(tmp_path))
    for part in ("left", "right"):
        (tmp_path / "rsna" / part).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "rsna" / part / f"{part}.png")
    with pytest.raises(LayoutError) as told:
        _data.read("rsna")
    assert str(told.value) == (
        f"{tmp_path}/rsna: expected RSNA with 'normal' among its classes, got classes left, right; "
        "rename its folder RSNA, with images/ and data.json, to $NORMOSCOPE_DATA/rsna."
    )


# time


def test_trials_of_one_kind_share_one_timing_and_cost_by_their_epochs(
    small_papers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timings: list[str] = []
    rate = _jobs._rate
    monkeypatch.setattr(_jobs, "_rate", lambda trial: timings.append(trial.method) or rate(trial))

    def job(method: str, **options: Any) -> Job:
        return _jobs.as_job(_jobs.planned("pneumoniamnist", method, _jobs.recipe_with(method, "quick", **options)))

    network = [job("cae", epochs=epochs) for epochs in (20, 40, 60)]
    costs = [one.cost for one in _jobs.timed([*network, job("knn")])]
    assert costs[2] - costs[1] == pytest.approx(costs[1] - costs[0])
    assert 0 < costs[0] < costs[1]
    assert costs[3] == 0.0
    assert sorted(timings) == ["cae", "knn"]


# pages


def test_what_was_trained_in_another_precision_is_named() -> None:
    def row(*precisions: str, losses: Any = ({"total": 1.0},)) -> Row:
        return Row([Result(Job("", "", {}), {"losses": losses}, 0.0, "", {"precision": p}) for p in precisions])

    rows = {"cae": row("float32", "float32"), "knn": row("bfloat16", losses=None)}
    assert arithmetic(rows) == []
    [mixed] = arithmetic(rows | {"sae": row("bfloat16"), "vae": row("float32", "bfloat16")})
    assert mixed.endswith(": bfloat16: sae; bfloat16 and float32: vae; float32: cae")
    assert arithmetic({"vae": row("float32", "bfloat16")}) != []


CLAIM = Claim("as good as hoped", "abstract", Verdict.UNTESTED, "not run yet")


def test_pages_hold_every_cell_and_escape_what_their_language_reads() -> None:
    table = Table("A & B: 50 %", ["method", "a|b"], [["deep_svdd", "0.5 ± 0.1, p < 0.001"]], ["a note"])
    absent = Absent("BraTS", "https://example.org", "free", "put it at $NORMOSCOPE_DATA/brats")
    made = {
        "created": "2026-01-01T00:00",
        "command": "x",
        "commit": "c",
        "jobs": {"asked": 3, "done": 2},
        "first": "2026-01-01T00:00",
        "last": "2026-01-02T00:00",
        "where": [{"processor": name, "precision": "f", "jobs": 1} for name in ("p", "q", "q")],
    }
    content = as_json(Outcome([table], [CLAIM]), [absent], made)
    page = markdown(content)
    assert "| deep_svdd | 0.5 ± 0.1, p < 0.001 |" in page
    assert "a\\|b" in page
    assert "not testable here" in page
    assert "2 of 3 jobs ran, 2026-01-01 to 2026-01-02, on p, f: 1; q, f: 2." in page
    assert "Get it from https://example.org (free)" in page
    text = latex(content)
    assert r"deep\_svdd & 0.5 $\pm$ 0.1, p $<$ 0.001 \\" in text
    assert r"a\textbar{}b" in text
    assert r"A \& B: 50 \%" in text
