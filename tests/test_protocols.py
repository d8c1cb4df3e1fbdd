"""Protocols name their data and jobs, cut folds as they say, and judge claims by numbers alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from normoscope import protocols
from normoscope.errors import OptionError
from normoscope.protocols import Outcome, Table, Verdict, _data, _trial
from normoscope.protocols._conocc_claims import claims
from normoscope.protocols._conocc_features import purity
from normoscope.protocols._conocc_grid import RATES, SETTINGS, grid_figure, grid_numbers, grid_table
from normoscope.protocols._data import Absent
from normoscope.protocols._pages import as_json, latex, markdown
from normoscope.protocols._pairs import clear, differences_over_folds, told
from normoscope.protocols._rows import Row
from normoscope.protocols._shape import Claim
from normoscope.protocols.conocc2020 import FOLDS, PUBLISHED
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


def test_an_unknown_protocol_and_a_negative_number_are_refused() -> None:
    with pytest.raises(OptionError, match="protocol: expected one of"):
        protocols.build("conocc1999")
    with pytest.raises(OptionError, match="--seeds"):
        protocols.build("conocc2020", seeds=-1)


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


# claims


def difference(value: float, holm: float | None = 0.001) -> dict[str, Any]:
    """A difference of two AUROCs, as the tables hold it."""
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "how": "", "pvalue": holm, "holm": holm}


def numbers(
    pairs: Mapping[str, Mapping[str, Any]], change: Mapping[str, Any] | None = None, figure6: Any = None
) -> dict[str, Any]:
    return {"table2_pairs": pairs, "table3_pairs": {}, "figure5": {"change": change or {}}, "figure6": figure6 or {}}


def test_claims_hold_fail_or_wait_by_the_numbers() -> None:
    rivals = [method for method in PUBLISHED if method != "conocc"]
    ahead = dict.fromkeys(rivals, difference(0.1))
    found = {c.text: c for c in claims(numbers({"conocc": ahead, "sae": {"cae": difference(-0.1)}}), quick=False)}
    first = "ConOCC's AUROC is above that of all seven rivals"
    assert found[first].verdict is Verdict.HOLDS
    assert "sae +0.100 [+0.090, +0.110], p = 0.001" in found[first].why
    assert found["SAE is better than CAE"].verdict is Verdict.FAILS
    assert found["the same under cross-validation"].verdict is Verdict.UNTESTED

    def verdict(**other: Any) -> Verdict:
        return claims(numbers({"conocc": ahead | other}), quick=False)[0].verdict

    assert verdict(sae=difference(-0.1)) is Verdict.FAILS
    assert verdict(sae=difference(0.1, 0.06)) is Verdict.FAILS, "ahead, but not beyond chance"
    assert verdict(sae=difference(0.1, None)) is Verdict.FAILS, "no test"
    some = claims(numbers({"conocc": {"cae": difference(0.1)}}), quick=False)
    assert some[0].verdict is Verdict.UNTESTED
    assert "not run yet: ocsvm" in some[0].why
    assert some[2].verdict is Verdict.HOLDS, "better than CAE asks for no other rival"


def test_robustness_compares_what_the_learning_rate_changes() -> None:
    def claim(cae: Any, *ours: float) -> Claim:
        change = {"cae": cae, **{f"conocc γ=1 T={number}": difference(value) for number, value in enumerate(ours)}}
        return next(c for c in claims(numbers({}, change), quick=False) if "robust" in c.text)

    held = claim(difference(-0.1), 0.05, -0.05, 0.2)
    assert held.verdict is Verdict.HOLDS
    assert "CAE's AUROC by -0.100" in held.why
    assert "by 0.100 on average" in held.why
    assert "in 2 of 3 settings" in held.why
    assert claim(difference(-0.1), 0.05, -0.15).verdict is Verdict.FAILS, "half is no majority"
    assert claim(difference(-0.1, 0.2), 0.05).verdict is Verdict.FAILS, "CAE does not change beyond chance"


def made_row(results: list[list[float]], labels: list[int], part: str = "own") -> Row:
    """A row of trials that scored the same images."""
    values = [
        {"labels": labels, "groups": [], "counts": {"train": 8, "held_out": 0, "test": len(labels)}, part: {"test": r}}
        for r in results
    ]
    return Row([Result(Job("", "", {}), value, 0.0, "", {}) for value in values], part)


def test_differences_over_folds_are_of_the_mean_and_their_variance_counts_the_overlap() -> None:
    labels = [0, 0, 1, 1]
    perfect, half, none = [0.0, 0.1, 0.8, 0.9], [0.0, 0.8, 0.1, 0.9], [0.9, 0.8, 0.1, 0.0]
    one, other = made_row([perfect] * 3, labels), made_row([half, none, half], labels)
    found = differences_over_folds({"other": (one, other), "itself": (one, one)})
    values = np.array([0.25, 1.0, 0.25])
    error = np.sqrt((1 / 3 + 4 / 8) * np.var(values, ddof=1))
    assert found["other"]["value"] == pytest.approx(0.5)
    assert found["other"]["high"] - 0.5 == pytest.approx(stats.t.ppf(0.975, 2) * error)
    assert found["other"]["pvalue"] == pytest.approx(2 * stats.t.sf(0.5 / error, 2))
    assert found["other"]["holm"] == pytest.approx(min(1, 2 * found["other"]["pvalue"]))
    assert not clear(found["other"])
    assert found["itself"]["pvalue"] == 1.0
    assert told(found["itself"]) == "+0.000, p = 1.000"


def test_the_grid_compares_both_rates_of_every_setting_and_draws_them() -> None:
    labels = [0, 0, 1, 1]
    perfect, half = [0.0, 0.1, 0.8, 0.9], [0.0, 0.8, 0.1, 0.9]
    found = {"cae λ=0.0001": made_row([perfect], labels, "autoencoder"), "cae λ=0.001": made_row([half], labels)}
    found |= {SETTINGS[1].row(rate): made_row([half], labels) for rate in RATES}
    assert "conocc λ=0.001 γ=0.01 T=20" in found
    made = grid_numbers(found)
    assert made["auroc"]["cae λ=0.0001"] == 1.0
    assert made["change"]["cae"]["value"] == pytest.approx(0.25)
    assert made["change"]["conocc γ=0.01 T=20"]["value"] == 0.0
    rows = grid_table(made, []).rows
    assert [row[:3] for row in rows] == [["cae", "1.000", "0.750"], ["conocc γ=0.01 T=20", "0.750", "0.750"]]
    assert "conocc, γ = 0.01" in grid_figure(made).svg


# pages


def test_pages_hold_every_cell_and_escape_what_their_language_reads() -> None:
    table = Table("A & B: 50 %", ["method", "a|b"], [["deep_svdd", "0.5 ± 0.1"]], ["a note"])
    absent = Absent("BraTS", "https://example.org", "free", "put it at $NORMOSCOPE_DATA/brats")
    made = {
        "created": "2026-01-01T00:00",
        "command": "x",
        "commit": "c",
        "hardware": {"processor": "p", "precision": "f"},
    }
    content = as_json(Outcome([table], claims(numbers({}), quick=False)), [absent], made)
    page = markdown(content)
    assert "| deep_svdd | 0.5 ± 0.1 |" in page
    assert "a\\|b" in page
    assert "not testable here" in page
    assert "Get it from https://example.org (free)" in page
    text = latex(content)
    assert r"deep\_svdd & 0.5 $\pm$ 0.1 \\" in text
    assert r"A \& B: 50 \%" in text


# features


def test_neighbour_purity_counts_the_five_nearest_others_with_the_same_label() -> None:
    near = np.arange(6) * 0.01
    codes = np.concatenate([near, 10 + near])[:, None]
    apart = np.repeat([0, 1], 6)
    assert purity(codes, apart) == 1.0
    # one stranger in each cluster: it has no neighbour of its label, the five others have four of five
    mixed = apart.copy()
    mixed[[0, 6]] = [1, 0]
    assert purity(codes, mixed) == pytest.approx((10 * 0.8 + 0) / 12)


def test_compactness_is_judged_by_scale_and_density() -> None:
    def features(spread: float, inner: float) -> dict[str, Any]:
        return {"variance": 2.0, "spread": {"train": spread}, "inner": inner, "purity": 0.6, "chance": 0.5}

    def verdict(ours: dict[str, Any]) -> Verdict:
        both = numbers({}, figure6={"cae": features(2.0, 0.3), "conocc": ours})
        return next(c.verdict for c in claims(both, quick=False) if "compact" in c.text and "Figure 6" in c.where)

    assert verdict(features(0.1, 0.4)) is Verdict.HOLDS
    assert verdict(features(0.1, 0.2)) is Verdict.FAILS
    assert verdict(features(2.5, 0.4)) is Verdict.FAILS
