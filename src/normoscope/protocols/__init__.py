"""The published experiments: one file per paper, and the folder is the registry.

A file `protocols/foo2020.py` holds one public frozen dataclass with `plan` and `outcome`. Its jobs are done by
`runner`; what they return is all that tables, figures and claims are made of.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from typing import cast

from ..errors import OptionError
from ..registry import members
from ._data import Absent
from ._shape import Claim, Figure, Outcome, Plan, Protocol, Table, Verdict

__all__ = ["Absent", "Claim", "Figure", "Outcome", "Plan", "Protocol", "Table", "Verdict", "build", "names"]


def names() -> list[str]:
    """Every protocol: the file names of this folder."""
    return members("protocols")


def build(name: str, *, quick: bool = False, seeds: int | None = None) -> Protocol:
    """Import `protocols/NAME.py` and make its one public dataclass.

    Args:
        name: File name.
        quick: The short form.
        seeds: How many seeds; None takes the protocol's own number.

    Raises:
        OptionError: No such protocol, or a number below 1.
    """
    if name not in names():
        raise OptionError("protocol", name, "one of " + ", ".join(names()))
    if seeds is not None and seeds < 1:
        raise OptionError("--seeds", seeds, "at least 1")
    module = importlib.import_module(f"{__name__}.{name}")
    found = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__ and dataclasses.is_dataclass(member) and hasattr(member, "plan")
    ]
    assert len(found) == 1, f"{module.__name__} must hold one public protocol"
    maker = cast("Callable[..., Protocol]", found[0])
    return maker(quick) if seeds is None else maker(quick, seeds)
