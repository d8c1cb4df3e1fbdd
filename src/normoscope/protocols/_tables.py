"""From results to the cells of tables: metrics over seeds with their intervals, and the spread over runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import metrics
from ..evaluation import Evaluation, evaluate
from ..runner import Result
from ..statistics import Interval

__all__ = ["measured", "over_runs", "spread", "with_interval"]


def measured(results: Sequence[Result], part: str = "own") -> Evaluation:
    """Evaluate trials on the same test images, one per seed; intervals over patients, where known, and seeds."""
    first = results[0].value
    scores = np.asarray([result.value[part]["test"] for result in results])
    groups = [str(group) for group in first["groups"]] or None
    return evaluate(np.asarray(first["labels"]), scores if len(scores) > 1 else scores[0], groups=groups)


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
    """Print mean ± sd over seeds where there are several, and the 95 % interval."""
    value = spread(values) if len(values) > 1 else f"{interval.value:.3f}"
    return f"{value} [{interval.low:.3f}, {interval.high:.3f}]"
