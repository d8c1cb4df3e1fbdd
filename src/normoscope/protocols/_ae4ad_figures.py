"""The latent sweep's figures: ranking quality and reconstruction errors against the latent size, as SVG files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from ..figures import ABNORMAL, FAINT, INK, NORMAL, THIRD
from ._plots import draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_errors", "draw_ranking"]

_LINES = {
    "train": ("train normals", FAINT, "-", "s"),
    "held_out": ("held-out normals", THIRD, "--", "^"),
    "test_normal": ("test normals", NORMAL, "-", "o"),
    "test_abnormal": ("test abnormals", ABNORMAL, "-", "D"),
}
_GREYS = (("-", "o"), ("--", "s"), ("-.", "^"), (":", "D"))

Sweep = Mapping[str, Mapping[str, Any]]
"""Latent size, as text, to its numbers."""


def draw_ranking(
    sweeps: Mapping[str, Sweep],
    choices: Mapping[str, Mapping[str, int | None]],
    levels: Mapping[str, float],
    abnormal: Mapping[str, float],
    published: Mapping[str, Mapping[int, float]],
) -> str:
    """Draw AUROC and AP against the latent size, a panel per data set, and the published AUROC in one of its own.

    Args:
        sweeps: Data set's title to its sweep.
        choices: Data set's title to how a size may be chosen and the size.
        levels: Data set's title to the AUROC of knn, where it was run.
        abnormal: Data set's title to the share of its test images that are abnormal, the AP of chance.
        published: Data set's title to AUROC in [0, 1] by size.
    """

    def panel(title: str) -> Callable[[Axes], None]:
        def paint(axes: Axes) -> None:
            sizes = _sizes(sweeps[title])
            for metric, label, tint, marker in (("auroc", "AUROC", NORMAL, "o"), ("aupr_abnormal", "AP", THIRD, "s")):
                found = [sweeps[title][str(size)][metric] for size in sizes]
                axes.plot(sizes, [value["value"] for value in found], color=tint, marker=marker, label=label)
                bounds = [(v["low"], v["high"]) for v in found if v["low"] is not None]
                if len(bounds) == len(found):
                    low, high = zip(*bounds, strict=True)
                    axes.fill_between(sizes, low, high, color=tint, alpha=0.13, linewidth=0)
            if title in levels:
                axes.axhline(levels[title], color=INK, linestyle=(0, (2, 2)), linewidth=1.2, label="knn, AUROC")
            for value, tint, label in ((0.5, NORMAL, "AUROC of chance"), (abnormal[title], THIRD, "AP of chance")):
                axes.axhline(value, color=tint, linestyle=":", linewidth=1.2, label=label)
            for name, style in (("oracle", "-"), ("knee", "--")):
                size = choices.get(title, {}).get(name)
                if size is not None:
                    label = {"oracle": "best on half of the test (oracle)", "knee": "knee of held-out error"}[name]
                    axes.axvline(size, color=FAINT, linestyle=style, linewidth=1.2, zorder=1, label=label)
            _label(axes, title, sizes, "on test images, with 95 % band")

        return paint

    def theirs(axes: Axes) -> None:
        for (line, marker), (title, values) in zip(_GREYS, published.items(), strict=False):
            axes.plot(list(values), list(values.values()), color=INK, linestyle=line, marker=marker, label=title)
        _label(axes, "published", sorted({size for values in published.values() for size in values}), "AUROC")

    return _svg([*map(panel, sweeps), theirs])


def draw_errors(sweeps: Mapping[str, Sweep], published: Mapping[int, Mapping[str, float]]) -> str:
    """Draw the mean errors of train, held-out and test normals and of test abnormals against the latent size.

    Args:
        sweeps: Data set's title to its sweep.
        published: Size to the paper's error by part, of a data set that it does not name.
    """

    def panel(title: str) -> Callable[[Axes], None]:
        def paint(axes: Axes) -> None:
            sizes = _sizes(sweeps[title])
            for part, (label, tint, line, marker) in _LINES.items():
                errors = [sweeps[title][str(size)]["errors"][part] for size in sizes]
                if all(errors):
                    means = [fmean(by_seed) for by_seed in errors]
                    axes.plot(sizes, means, color=tint, linestyle=line, marker=marker, label=label)
            _decades(axes)
            _label(axes, title, sizes, "mean squared error, grey values in [−1, 1]")

        return paint

    def theirs(axes: Axes) -> None:
        for part, (label, tint, line, marker) in _LINES.items():
            values = {size: errors[part] for size, errors in published.items() if part in errors}
            if values:
                axes.plot(list(values), list(values.values()), color=tint, linestyle=line, marker=marker, label=label)
        _decades(axes)
        _label(axes, "published, data set not named", list(published), "mean squared error, grey values in [−1, 1]")

    return _svg([*map(panel, sweeps), theirs])


def _sizes(sweep: Sweep) -> list[int]:
    return sorted(map(int, sweep))


def _label(axes: Axes, title: str, sizes: Sequence[int], y: str) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.xaxis.minorticks_off()
    axes.set(title=title, xlabel="latent size d", ylabel=y)
    # below the axes, where no curve can run through it
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)


def _decades(axes: Axes) -> None:
    """Scale errors by decades, with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.minorticks_off()


def _svg(panels: Sequence[Callable[[Axes], None]]) -> str:
    """Draw panels side by side."""

    def paint(axes: Any) -> None:
        for panel, one in zip(panels, np.ravel(axes), strict=True):
            panel(one)

    return draw(paint, columns=len(panels), size=(5.2 * len(panels), 4.6))
