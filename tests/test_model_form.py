"""What the files of a model must hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from normoscope.model_form import CALIBRATION, MODEL, NAMES, Form, misfit

FIXTURE = Path(__file__).parent / "fixtures" / "model-format-1" / "model"


@pytest.mark.parametrize(("name", "form"), [("model", MODEL), ("calibration", CALIBRATION), ("parts", NAMES)])
def test_a_model_of_the_first_format_is_of_the_form(name: str, form: Form) -> None:
    assert misfit(json.loads((FIXTURE / f"{name}.json").read_text()), form) is None


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"a": 1, "b": {"c": "x"}}, None),
        ({"a": 2, "b": {"c": "x"}}, "a"),
        ({"b": {"c": "x"}}, "a"),
        ({"a": 1, "b": "x"}, "b"),
        ({"a": 1}, "b"),
        ({"a": 1, "b": {"c": 3}}, "b.c"),
        ({"a": 1, "b": {}}, "b.c"),
        ({"a": 1, "b": {"c": "x"}, "of a later version": 0}, None),
    ],
)
def test_the_first_field_of_another_form_is_named_by_the_path_to_it(
    content: dict[str, object], field: str | None
) -> None:
    form: Form = {"a": lambda value: value == 1, "b": {"c": lambda value: isinstance(value, str)}}
    assert misfit(content, form) == field


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 10**400, True, "1", None])
def test_a_number_is_finite_and_no_truth_value(number: object) -> None:
    content = json.loads((FIXTURE / "model.json").read_text())
    content["preprocessor"]["low"] = number
    assert misfit(content, MODEL) == "preprocessor.low"


def test_a_rule_has_its_own_bounds_and_no_others() -> None:
    content = json.loads((FIXTURE / "calibration.json").read_text())
    rules: dict[str, object] = {
        "none": None,
        "outside": {"kind": "outside", "low": 0, "high": 1.5},
        "one bound": {"kind": "outside", "low": 0},
        "another's bound": {"kind": "above", "threshold": 1.0, "low": 0.0},
        "unknown": {"kind": "below", "threshold": 1.0},
        "no kind": {"threshold": 1.0},
    }
    accepted = [name for name, rule in rules.items() if _with_rule(content, rule) is None]
    assert accepted == ["none", "outside"]


def _with_rule(content: dict[str, dict[str, object]], rule: object) -> str | None:
    return misfit({**content, "calibration": {**content["calibration"], "rule": rule}}, CALIBRATION)
