"""How far a run of jobs is: a bar for a person at a terminal, now and then a line for a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

__all__ = ["JobProgress", "duration"]

_BETWEEN_LINES = 30.0
"""Seconds; what is over sooner needs no line."""

_BETWEEN_LOOKS = 1.0
"""Seconds after which the bar's time left is told anew."""

_TRUST = 0.05
"""Share of all the expected work that what was expected is worth, against what the finished jobs took."""


def duration(seconds: float) -> str:
    """Print a time as people say it."""
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


class JobProgress:
    """Counts finished jobs and tells, on standard error, how many there are and how long the rest will take.

    Args:
        total: Jobs in all, those that were done before too.
        costs: Seconds that each job left will take, 0 where nobody knows; by key.
        at_once: How many are done at the same time.
        shown: False makes it silent.
    """

    def __init__(self, total: int, costs: Mapping[str, float], at_once: int, shown: bool) -> None:
        self._total, self._at_once, self._shown = total, at_once, shown
        self._known = any(costs.values())
        self._left = {key: cost or 1.0 for key, cost in costs.items()}
        self._expected, self._longest = sum(self._left.values()), max(self._left.values(), default=0.0)
        self._done = self._took = 0.0
        self._began = self._told = time.monotonic()
        self._bar: Any = None
        self._over = threading.Event()

    def __enter__(self) -> Self:
        if self._shown and self._left and sys.stderr.isatty():
            from tqdm import tqdm

            form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"
            self._bar = tqdm(total=self._expected, desc=self._count, bar_format=form)
            threading.Thread(target=self._tick, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._bar is not None:
            self._bar.close()

    @property
    def _count(self) -> str:
        return f"{self._total - len(self._left)} of {self._total} jobs"

    def advance(self, key: str, name: str, seconds: float | None) -> None:
        """Count a job.

        Args:
            key: Whose.
            name: What people call it.
            seconds: How long it took; None where it failed.
        """
        cost = self._left.pop(key)
        if seconds is not None:
            self._done += cost
            self._took += seconds
        if self._bar is not None:
            self._bar.set_description_str(self._count, refresh=False)
            self._bar.update(cost)
        elif self._shown and time.monotonic() - self._told >= _BETWEEN_LINES:
            self._told = time.monotonic()
            took = "failed" if seconds is None else duration(seconds)
            parts = [f"{self._count} done", f"last {name}: {took}", self._time_left()]
            print("note: " + ", ".join(filter(None, parts)), file=sys.stderr, flush=True)

    def remaining(self) -> float | None:
        """Return the seconds left: what was expected, corrected by what finished jobs took; None before any is known.

        All the work is counted and the time since the beginning taken off, for of a job under way nothing is known.
        """
        trust = _TRUST * self._expected if self._known else 0.0
        if self._done + trust == 0:
            return None
        pace = (self._took + trust) / (self._done + trust)
        needed = max(self._expected / self._at_once, self._longest)
        return max(0.0, pace * needed - (time.monotonic() - self._began))

    def _time_left(self) -> str:
        left = self.remaining()
        return f"about {duration(left)} left" if self._left and left else ""

    def _tick(self) -> None:
        """Let the time left run while long jobs are under way."""
        while not self._over.wait(_BETWEEN_LOOKS):
            self._bar.set_postfix_str(self._time_left())
