"""The critical-difference plot: mean ranks on one axis, and bars that join what no test parts.

    Ranking --matplotlib, in the style of the other figures--> SVG text, a file of its own

Reference: Demšar, JMLR 7 (2006), figure 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .errors import OptionError
from .figures import FAINT, INK, NORMAL, _svg
from .ranking import ENOUGH, Ranking

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["critical_difference_plot"]

_ROW = 0.24
"""Inches from one row, of a bar or a name, to the next."""

_RULER, _TOP = -1.6, -2.4
"""Rows of the ruler and of the upper edge; the axis is row 0."""


def critical_difference_plot(ranking: Ranking) -> str:
    """Draw the methods at their mean ranks, the best left, under the critical difference as a ruler.

    Raises:
        OptionError: The ranking was not tested.
    """
    test = ranking.test
    if test is None:
        raise OptionError("critical-difference plot", ranking.verdict, f"{ENOUGH} data sets of distinct sources")
    methods, at = len(ranking.methods), ranking.mean_ranks.tolist()
    bars = [group for group in ranking.groups if len(group) > 1]
    lowest = len(bars) + (methods + 1) // 2

    def draw(axes: Axes) -> None:
        _ruler(axes, test.critical_difference)
        for i, group in enumerate(bars):
            ends = [at[ranking.methods.index(name)] for name in (group[0], group[-1])]
            axes.plot([ends[0] - 0.03, ends[1] + 0.03], [i + 0.6] * 2, color=INK, linewidth=4, solid_capstyle="butt")
        _names(axes, ranking.methods, at, len(bars) + 0.6)
        axes.set(xlim=(1, max(methods, 1 + test.critical_difference)), ylim=(lowest + 0.6, _TOP), yticks=[])
        axes.set_xticks(range(1, methods + 1))
        axes.xaxis.set_ticks_position("top")
        axes.spines["top"].set(visible=True, position=("data", 0))
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.grid(visible=False)
        axes.set_xlabel(f"mean rank over {len(ranking.sources)} data sets (1 is best)")

    alt = f"Mean ranks of {methods} methods; bars join those that no critical difference parts."
    svg = str(_svg(draw, "ranks", alt, (7.6, 1.3 + _ROW * (lowest + 3))))
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" ', 1) + "\n"


def _ruler(axes: Axes, length: float) -> None:
    axes.plot([1, 1 + length], [_RULER] * 2, "|-", color=INK, linewidth=1.4, markersize=7)
    text = f"critical difference {length:.2f}"
    axes.annotate(text, (1, _RULER), (0, 6), textcoords="offset points", va="bottom", fontsize=9)


def _names(axes: Axes, names: Sequence[str], at: Sequence[float], first: float) -> None:
    """Lead from each mean rank to the name: the better half at the left edge, the others at the right one."""
    for i, (name, value) in enumerate(zip(names, at, strict=True)):
        left = 2 * i < len(names)
        row = first + (i if left else len(names) - 1 - i)
        edge = 1.0 if left else float(len(names))
        axes.plot([value, value, edge], [0, row, row], color=FAINT, linewidth=1)
        axes.plot(value, 0, "o", color=NORMAL, markersize=5, clip_on=False, zorder=3)
        text, shift, side = (f"{name}  {value:.2f}", -6, "right") if left else (f"{value:.2f}  {name}", 6, "left")
        axes.annotate(text, (edge, row), (shift, 0), textcoords="offset points", va="center", ha=side, fontsize=9,
                      annotation_clip=False)  # fmt: skip
