"""What the files of a model must hold, field by field, before anything is built of them.

    content of a file, its form --misfit--> None, or the first field that no fit writes so

A seal says that a file is as it was written, not by whom: a model may come from anywhere.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .splits import PARTS

__all__ = ["CALIBRATION", "MODEL", "NAMES", "Form", "misfit"]

Form = Mapping[str, "Callable[[Any], bool] | Form"]
"""A test for each field; a field that is missing is tested as None."""


def misfit(content: Any, form: Form) -> str | None:
    """Name the first field that is not of the form, by the path to it."""
    for name, wanted in form.items():
        value = content.get(name)
        if not callable(wanted) and isinstance(value, Mapping):
            if within := misfit(value, wanted):
                return f"{name}.{within}"
        elif not callable(wanted) or not wanted(value):
            return name
    return None


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _number(value: Any) -> bool:
    # whole numbers of JSON know no end, and NaN is not below anything
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _whole(low: int, high: float = math.inf) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _one_of(*values: object) -> Callable[[Any], bool]:
    return lambda value: any(type(value) is type(known) and value == known for known in values)


def _or_none(wanted: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or wanted(value)


def _plain(value: Any) -> bool:
    """From Python, options and classes may be numbers."""
    return value is None or isinstance(value, (str, bool)) or _number(value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _ascending(value: Any) -> bool:
    return isinstance(value, list) and all(map(_number, value)) and value == sorted(value)


def _names(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


def _rule(value: Any) -> bool:
    bounds = {"above": {"threshold"}, "outside": {"low", "high"}}
    return (
        isinstance(value, dict)
        and bounds.get(str(value.get("kind"))) == value.keys() - {"kind"}
        and all(_number(bound) for name, bound in value.items() if name != "kind")
    )


def _shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_whole(1), value))


NAMES: Form = dict.fromkeys(PARTS, _names)
"""parts.json"""

MODEL: Form = {
    "method": _text,
    "recipe": _object,
    "preset": _text,
    "preprocessor": {
        "size": _whole(1, 1024),
        "channels": _one_of(1, 3),
        "aspect": _text,
        "intensity": _text,
        "depth": _one_of("uint8", "uint16", "float32", "float64"),
        "low": _number,
        "high": _number,
    },
    "provenance": {
        "created": _text,
        "command": _text,
        "seed": _whole(0),
        "versions": {"normoscope": _text},
        "split": {"rule": _text, "by_patient": _one_of(True, False)},
        "data": {
            "spec": _text,
            "source": _or_none(_text),
            "options": lambda value: value is None or (isinstance(value, dict) and all(map(_plain, value.values()))),
            "place": _or_none(_text),
            "normal_class": _plain,
            "group_regex": _or_none(_text),
            "counts": dict.fromkeys(PARTS, _whole(0)),
            "image_shape": _or_none(_shape),
        },
        "training": {"history": lambda value: isinstance(value, list)},
        "notes": _texts,
    },
    "sha256": {"weights.safetensors": _text, "parts.json": _text},
}
"""model.json"""

CALIBRATION: Form = {
    "calibration": {
        "scores": _ascending,
        "unit": _one_of("image", "patient"),
        "images": _whole(0),
        "alpha": lambda value: _number(value) and 0 < value < 1,
        "kind": _one_of("conformal", "upper", "two-sided"),
        "k": _number,
        "rule": _or_none(_rule),
        "map_scale": _or_none(_number),
        "data": _or_none(_text),
    },
    "scoring": _or_none(_object),
    "normals": _or_none(_names),
    "normal_maps": _or_none(lambda value: isinstance(value, dict) and _ascending(value.get("masses"))),
    "weights": _text,
}
"""calibration.json"""
