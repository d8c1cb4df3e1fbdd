"""From results to the cells of tables: metrics over seeds with their intervals, and the spread over runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import metrics
from ..runner import Result
from ..statistics import Interval

__all__ = ["over_runs", "spread", "with_interval"]


def over_runs(results: Sequence[Result], metric: str, part: str = "own") -> list[float]:
    """Return a metric of every trial by itself; their test images may differ."""
    function: Any = getattr(metrics, metric)
    return [
        float(function(np.asarray(r.value["labels"]), np.asarray(r.value[part]["test"], np.float64))) for r in results
    ]


def spread(values: Sequence[float]) -> str:
    """Print mean ± standard deviation; one value alone has none."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return "–"
    deviation = f" ± {statistics.stdev(known):.3f}" if len(known) > 1 else ""
    return f"{statistics.fmean(known):.3f}{deviation}"


def with_interval(interval: Interval, values: Sequence[float] = ()) -> str:
    """Print mean ± sd over seeds where there are several, and the 95 % interval where there is one."""
    value = spread(values) if len(values) > 1 else f"{interval.value:.3f}"
    return value if math.isnan(interval.low) else f"{value} [{interval.low:.3f}, {interval.high:.3f}]"
