"""What a claim's verdict follows from: statements that are true, false, or undecided by the data at hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._shape import Claim, Verdict

__all__ = ["Truth", "above", "agree", "all_of", "any_of", "judged", "opposite", "printed"]

Truth = bool | None
"""Whether a statement is true; None where chance explains what was seen, or something is not run yet."""


def all_of(parts: Iterable[Truth]) -> Truth:
    """Tell whether all statements are true: one that is false decides, one that is undecided leaves it open."""
    found = set(parts)
    return False if False in found else None if None in found or not found else True


def any_of(parts: Iterable[Truth]) -> Truth:
    """Tell whether any statement is true: one that is decides, one that is undecided leaves it open."""
    found = set(parts)
    return True if True in found else None if None in found or not found else False


def agree(parts: Sequence[Truth]) -> Truth:
    """Tell what several measures of one thing say where all say the same."""
    return parts[0] if len(set(parts)) == 1 else None


def opposite(truth: Truth) -> Truth:
    return None if truth is None else not truth


def printed(interval: Mapping[str, Any]) -> str:
    """Print a value with its interval, where it has one."""
    bounds = "" if interval["low"] is None else f" [{interval['low']:.3f}, {interval['high']:.3f}]"
    return f"{interval['value']:.3f}{bounds}"


def above(interval: Mapping[str, Any], limit: float) -> Truth:
    """Tell whether a value is above a limit with its whole interval, or below it; undecided without an interval."""
    if interval["low"] is None:
        return None
    return True if interval["low"] > limit else False if interval["high"] < limit else None


def judged(text: str, where: str, truth: Truth, why: str, cell: str) -> Claim:
    """Put a claim that was looked at into words.

    Args:
        text: The claim.
        where: Where the paper makes it.
        truth: What the numbers say.
        why: The numbers.
        cell: Where they stand.
    """
    verdict = {True: Verdict.HOLDS, False: Verdict.FAILS, None: Verdict.UNTESTED}[truth]
    return Claim(text, where, verdict, f"undecided: {why}" if truth is None else why, cell)
