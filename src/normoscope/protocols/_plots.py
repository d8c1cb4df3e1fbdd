"""Figures of protocols, as SVG text."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from ..figures import ABNORMAL, FAINT, NORMAL, STYLE, THIRD

__all__ = ["PALETTE", "draw"]

PALETTE = (NORMAL, THIRD, FAINT, ABNORMAL)


def draw(
    paint: Callable[[Any], None], *, rows: int = 1, columns: int = 1, size: tuple[float, float] = (5.2, 4.0)
) -> str:
    """Draw under the report's style.

    Args:
        paint: Given the axes: one, or an array of them (rows, columns).
        rows: Of axes.
        columns: Of axes.
        size: Inches.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure.subplots(rows, columns))
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return file.getvalue()
