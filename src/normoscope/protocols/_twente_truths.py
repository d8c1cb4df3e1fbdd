"""What the Twente study's claims share: when a share or an error of seeds is above a limit, and what waits.

An error of a trained network decides where its t interval over seeds lies on one side of the limit, a share or a
ranking of test images where its interval over images and seeds does; one seed decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..statistics import seeds_interval
from ._data import DATA
from ._shape import Claim, Verdict
from ._twente_numbers import Share
from ._verdicts import Truth, above, all_of, opposite

__all__ = [
    "CRUCIAL",
    "NOT_RUN",
    "WELL",
    "apart",
    "close_to",
    "missing_too",
    "seeds_above",
    "share_above",
    "title",
    "under_way",
    "without",
]

WELL = 0.75
"""Detected share the paper calls enough."""

CRUCIAL = 0.5
"""Ours, for the paper names none: a difference in detected share that is crucial."""

NOT_RUN = "not run"


def title(name: str) -> str:
    return DATA[name].title if name in DATA else name


def seeds_above(values: Sequence[float], limit: float) -> Truth:
    """Tell whether a mean over seeds is above a limit with its whole interval, or below it."""
    return above(seeds_interval(np.asarray(values))[0].to_json(), limit)


def close_to(values: Sequence[float], target: float, width: float) -> Truth:
    """Tell whether a mean over seeds is within so much of a target with its whole interval, or outside."""
    past_low, past_high = seeds_above(values, target - width), seeds_above(values, target + width)
    return all_of([past_low, opposite(past_high)])


def share_above(share: Share, limit: float) -> Truth:
    """Tell whether a share is above a limit with its interval over images and seeds; one seed decides nothing."""
    return above(share, limit) if len(share["by_seed"]) > 1 else None


def without(text: str, where: str, names: Sequence[str]) -> Claim:
    return Claim(text, where, Verdict.UNTESTED, f"{', '.join(map(title, names))}: {NOT_RUN}")


def missing_too(names: Sequence[str], found: Mapping[str, Any]) -> str:
    """Name the sets a claim speaks of that were not run."""
    missing = [title(name) for name in names if name not in found]
    return f"; {NOT_RUN}: {', '.join(missing)}" if missing else ""


def under_way(numbers: Mapping[str, Any], names: Sequence[str], found: Mapping[str, Any]) -> list[Truth]:
    """Count a set that is there and not finished as undecided, so that no verdict is taken back."""
    return [None for name in names if name not in found and name not in numbers["absent"]]


def apart(high: Share, low: Share, limit: float) -> Truth:
    """Tell whether two shares differ by more than a limit, with square-and-add of their bounds (Newcombe 1998)."""
    if min(len(high["by_seed"]), len(low["by_seed"])) < 2:
        return None
    gap = high["value"] - low["value"]
    least = gap - math.hypot(high["value"] - high["low"], low["high"] - low["value"])
    most = gap + math.hypot(high["high"] - high["value"], low["value"] - low["low"])
    return above({"low": least, "high": most}, limit)
