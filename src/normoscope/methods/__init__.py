"""The detectors: one file per method, and the folder is the registry.

A file `methods/foo.py` holds one public frozen dataclass, the recipe. `names()` reads file names
without importing anything; `recipe_class("foo")` imports that one file.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, cast, get_type_hints

from ..errors import OptionError
from ..registry import members

if TYPE_CHECKING:
    from ..types import Method

__all__ = ["DEFAULT", "PRESETS", "build", "field_help", "from_json", "names", "recipe_class", "to_json"]

PRESETS = ("paper", "quick")

DEFAULT = "local_gaussian"
"""The method to begin with; the README says how it came to be chosen."""


def names() -> list[str]:
    """Every method: the file names of this folder."""
    return members("methods")


def recipe_class(name: str) -> type[Method]:
    """Import `methods/NAME.py` and return its one public dataclass.

    Raises:
        OptionError: No such method.
    """
    if name not in names():
        raise OptionError("method", name, "one of " + ", ".join(names()))
    module = importlib.import_module(f"{__name__}.{name}")
    found = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__
        and dataclasses.is_dataclass(member)
        and not member.__name__.startswith("_")
        and hasattr(member, "fit")
    ]
    assert len(found) == 1, f"{module.__name__} must hold one public recipe"
    return cast("type[Method]", found[0])


def build(name: str, preset: str = "paper", overrides: Mapping[str, Any] | None = None) -> Method:
    """Make a recipe: the preset's values, then the overrides (texts are converted to the field's type).

    Raises:
        OptionError: Unknown method, preset or field, or a value that does not convert.
    """
    if preset not in PRESETS:
        raise OptionError("--preset", preset, " or ".join(PRESETS))
    cls = recipe_class(name)
    hints = get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cast("Any", cls))}
    values: dict[str, Any] = dict(cls.quick) if preset == "quick" else {}
    for key, value in (overrides or {}).items():
        if key not in known:
            raise OptionError(f"option of {name}", key, "one of " + ", ".join(sorted(known)) if known else "no option")
        values[key] = _convert(f"{name} --{key.replace('_', '-')}", value, hints[key])
    return cls(**values)


def _convert(what: str, value: Any, hint: Any) -> Any:
    """Read a text as the field's type; other values pass."""
    if not isinstance(value, str):
        return value
    kinds = [hint] if isinstance(hint, type) else list(getattr(hint, "__args__", ()))
    if type(None) in kinds and value.lower() == "none":
        return None
    try:
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, Enum):
                return kind(value)
            if kind is bool and value.lower() in {"true", "false"}:
                return value.lower() == "true"
            if kind in (int, float):
                return kind(value)
        if str(hint).startswith("tuple"):
            return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise OptionError(what, value, _expected(hint)) from None
    if bool in kinds:
        raise OptionError(what, value, "true or false")
    return value


def _expected(hint: Any) -> str:
    """Say what a field takes."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        return " or ".join(str(member.value) for member in hint)
    return {int: "a whole number", float: "a number"}.get(hint, str(hint))


def field_help(cls: type[Method]) -> dict[str, str]:
    """Read one help line per field off the class docstring's Args section."""
    text = inspect.getdoc(cls) or ""
    _, _, args = text.partition("Args:\n")
    lines = re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", args, re.MULTILINE)
    return {name: " ".join(line.split()) for name, line in lines}


def to_json(recipe: Method) -> dict[str, Any]:
    """Return a recipe's fields as plain values."""
    values = dataclasses.asdict(cast("Any", recipe))
    return {k: v.value if isinstance(v, Enum) else list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def from_json(name: str, values: Mapping[str, Any]) -> Method:
    """Rebuild a recipe from `to_json`."""
    cls = recipe_class(name)
    hints = get_type_hints(cls)

    def read(key: str, value: Any) -> Any:
        hint = hints[key]
        if isinstance(hint, type) and issubclass(hint, Enum):
            return hint(value)
        return tuple(value) if isinstance(value, list) else value

    return cls(**{key: read(key, value) for key, value in values.items()})
