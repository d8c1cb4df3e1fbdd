"""What a protocol is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from typing import Protocol as Shape

from ..runner import Job, Result
from ._data import Absent

__all__ = ["Claim", "Figure", "Outcome", "Plan", "Protocol", "Table", "Verdict"]


@dataclass(frozen=True)
class Plan:
    """What there is to do, and what cannot be done here."""

    jobs: Sequence[Job]
    absent: Sequence[Absent] = ()


@dataclass(frozen=True)
class Table:
    """One table: ours beside the published numbers.

    Args:
        title: What it shows.
        columns: Headings.
        rows: Cells as they are printed.
        notes: What differs from the paper, one sentence each.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Figure:
    """One figure.

    Args:
        name: File name without ending.
        title: What it shows; also its alternative text.
        svg: The drawing.
    """

    name: str
    title: str
    svg: str


class Verdict(Enum):
    """What became of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNTESTED = "not testable here"


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper and what our numbers say of it.

    Args:
        text: The claim, in our words.
        where: Where the paper makes it.
        verdict: What became of it.
        why: The figures that decided, or what is missing.
        cell: The table and row they stand in; empty where nothing was run.
    """

    text: str
    where: str
    verdict: Verdict
    why: str
    cell: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a protocol came to.

    Args:
        tables: In the paper's order.
        claims: Every claim of abstract, results and conclusion.
        figures: Drawings.
        numbers: Every figure behind the tables, as JSON values.
    """

    tables: Sequence[Table]
    claims: Sequence[Claim]
    figures: Sequence[Figure] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)


class Protocol(Shape):
    """A published experiment: a frozen dataclass whose fields are `quick` and `seeds`."""

    quick: bool

    def plan(self) -> Plan:
        """Name the jobs for the data found, and the data that is absent."""
        ...

    def outcome(self, results: Sequence[Result], absent: Sequence[Absent]) -> Outcome:
        """Put our numbers beside the published ones and judge the paper's claims; some results may be missing."""
        ...
