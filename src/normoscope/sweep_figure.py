"""The sweep's figure: what normals say of every candidate, and which one was chosen.

Curves, Choice --matplotlib, in the style of the other figures--> SVG text, a file of its own
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .figures import ABNORMAL, FAINT, INK, NORMAL, standalone
from .selection import Choice, Curve, Curves
from .statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["sweep_plot"]


def sweep_plot(curves: Curves, choice: Choice, oracle: Mapping[Any, Interval] | None = None) -> str:
    """Draw error, information and AUROC against the setting; the band is one standard deviation of the redraws.

    Args:
        curves: What normals say.
        choice: Marked by a line.
        oracle: AUROC by the test labels, where it was asked for.
    """
    at = np.arange(len(curves.values))

    def panel(axes: Axes, curve: Curve, label: str, color: str) -> None:
        axes.plot(at, curve[0], "o-", color=color, label=label, markersize=4)
        spread = curve[1:].std(axis=0)
        axes.fill_between(at, curve[0] - spread, curve[0] + spread, color=color, alpha=0.15, linewidth=0)

    def paint(panels: Any) -> None:
        chosen = curves.values.index(choice.value)
        panels = np.atleast_1d(panels)
        for axes, (curve, title) in zip(panels, shown, strict=True):
            panel(axes, curve, title, NORMAL)
            axes.axvline(chosen, color=FAINT, linewidth=1.2, linestyle="--")
            # the same values under one another, where a curve ends early, too
            axes.set(ylabel=title, xlim=(-0.3, len(at) - 0.7), xticks=at, xticklabels=[])
        last = panels[-1]
        if oracle is not None:
            values = [oracle[value] for value in curves.values]
            last.errorbar(
                at, [one.value for one in values],
                [[one.value - one.low for one in values], [one.high - one.value for one in values]],
                fmt="s:", color=ABNORMAL, label="test labels (oracle)", markersize=4, linewidth=1.2, capsize=2,
            )  # fmt: skip
        last.axhline(0.5, color=INK, linewidth=0.8)
        last.legend()
        last.set_xlabel(curves.field.replace("_", " "))
        last.set_xticklabels([f"{value:g}" if isinstance(value, float) else str(value) for value in curves.values])
        text = f"chosen by {choice.selector.value}: {choice.value}"
        panels[0].annotate(text, (chosen, 1), (4, -4), xycoords=("data", "axes fraction"),
                           textcoords="offset points", va="top", fontsize=9)  # fmt: skip

    every = [(curves.error, "held-out error"), (curves.bits, "information, bits"), (curves.detection, "AUROC, planted")]
    shown = [(curve, title) for curve, title in every if curve is not None]
    return standalone(paint, rows=len(shown), size=(6.4, 1.2 + 2.0 * len(shown)))
