"""The figures of the Twente study: images, their reconstructions, errors one by one, detection against the noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._data import DATA
from ._plots import PALETTE, draw
from ._shape import Figure
from ._twente_numbers import RULES

__all__ = ["error_figure", "image_figures", "sweep_figure"]

_SHOWN = 100
"""Images of each class in Figure 5, as in the paper."""

_NORMAL, _THIRD, _FAINT, _ABNORMAL = PALETTE
_SCORES = {"bce": "cross-entropy", "mse": "squared error"}


def image_figures(prefix: str, shown: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
    """Draw Figures 3 and 4, a row of images per data set, and one image per set under growing noise."""
    originals = {name: list(some["originals"]) for name, some in shown.items()}
    copies = {name: list(some["reconstructions"]) for name, some in shown.items()}
    noise = {name: [some["originals"][0], *some["noisy"].values()] for name, some in shown.items()}
    sigmas = next(([f"σ {sigma}" for sigma in ("0", *some["noisy"])] for some in shown.values()), [])
    titles = {
        "figure3": "Figure 3: held-out images",
        "figure4": "Figure 4: their reconstructions, trained on all classes",
        "noise": "One held-out image of every set under Gaussian noise of deviation σ",
    }
    rows = {"figure3": originals, "figure4": copies, "noise": noise}
    return [
        Figure(f"{prefix}_{name}", title, _images(rows[name], sigmas if name == "noise" else []))
        for name, title in titles.items()
        if shown
    ]


def _images(rows: Mapping[str, Sequence[Any]], heads: Sequence[str]) -> str:
    """Draw rows of grey images, each with its data set's title, under these column heads."""
    columns = len(next(iter(rows.values())))

    def paint(axes: Any) -> None:
        grid = np.reshape(axes, (len(rows), columns))
        for line, (name, images) in zip(grid, rows.items(), strict=True):
            for k, (one, image) in enumerate(zip(line, images, strict=True)):
                one.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
                one.set(xticks=[], yticks=[])
                one.grid(False)
                for side in one.spines.values():
                    side.set_visible(False)
                if k == 0:
                    one.set_ylabel(DATA[name].title, fontsize=8, rotation=0, ha="right", va="center")
        for one, head in zip(grid[0], heads, strict=False):
            one.set_title(head, fontsize=8)

    return draw(paint, rows=len(rows), columns=columns, size=(0.85 * columns + 1.4, 0.9 * len(rows) + 0.2))


def error_figure(prefix: str, name: str, value: Mapping[str, Any]) -> Figure:
    """Draw Figure 5: the errors of normal and abnormal test images one by one, with the thresholds."""

    def paint(axes: Any) -> None:
        for one, (score, label) in zip(axes, _SCORES.items(), strict=True):
            for kind, text, tint, mark in (
                ("held_out", "normal", _NORMAL, "o"),
                ("abnormal", "abnormal", _ABNORMAL, "x"),
            ):
                errors = value["errors"][kind][score][:_SHOWN]
                one.plot(np.arange(len(errors)), errors, mark, color=tint, markersize=4, label=text)
            rule = RULES["two-sided"](value["train"][score])
            for k, threshold in enumerate((rule.low, rule.high)):  # type: ignore[union-attr]
                text = "_" if k else "mean ± 2 sd, training"
                one.axhline(threshold, color=_FAINT, linestyle=(0, (4, 3)), linewidth=1.2, label=text)
            one.set(xlabel="image", ylabel=label)
        axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)

    title = f"Figure 5: reconstruction error of normal and abnormal test images, trained on normals, {DATA[name].title}"
    return Figure(f"{prefix}_figure5_{name}", title, draw(paint, columns=2, size=(9.0, 4.0)))


def sweep_figure(prefix: str, sweep: Mapping[str, Any]) -> Figure:
    """Draw detection against the noise by the two-sided rule, a panel per error, with the false alarms at 0.

    Args:
        prefix: Of the figure's name.
        sweep: Data set to what `_twente_numbers.sweep` returns.
    """
    tints = (_NORMAL, _ABNORMAL, _THIRD)

    def paint(axes: Any) -> None:
        for one, (score, label) in zip(axes, _SCORES.items(), strict=True):
            for tint, mark, (name, of) in zip(tints, "os^", sweep.items(), strict=False):
                x = [0.0, *map(float, of["noise"])]
                shares = [some[score]["two-sided"] for some in (of["clean"], *of["noise"].values())]
                y, low, high = ([100 * share[key] for share in shares] for key in ("value", "low", "high"))
                one.plot(x, y, f"-{mark}", color=tint, markersize=4, label=DATA[name].title)
                one.fill_between(x, low, high, color=tint, alpha=0.13, linewidth=0)
            one.axhline(75, color=_FAINT, linestyle=(0, (4, 3)), linewidth=1.2, label="75 %, the paper's mark")
            one.set(xlabel="σ of the noise; at 0 the false alarms", ylabel="flagged, %", ylim=(-2, 102), title=label)
        axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)

    title = "Detection of own images with noise against its deviation, two-sided rule, with 95 % bands"
    return Figure(f"{prefix}_sweep", title, draw(paint, columns=2, size=(9.0, 4.0)))
