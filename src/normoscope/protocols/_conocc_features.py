"""How compact ConOCC's features are beside CAE's: what Figure 6 shows, and what t-SNE cannot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..runner import Result
from ..statistics import seeds_interval
from ._shape import Figure, Table
from ._tables import spread

__all__ = ["features_figure", "features_table", "in_numbers"]

_RINGS = 10
_OTHERS = {"held_out": "held-out", "normal": "test normal", "abnormal": "test abnormal"}


def in_numbers(found: Mapping[str, Sequence[Result]]) -> dict[str, Any]:
    """Return what figures are made of, without the points of the drawing.

    Args:
        found: Method to its results, one per seed.

    Returns:
        Method to a list over seeds; against_cae: ConOCC minus CAE, with Student's t interval over seeds, of the log of
        mean ||z - mu||^2 (log_spread) and of the neighbours with the same label (purity); a difference that is
        undefined, for codes that have collapsed to a point, has no value.
    """
    numbers: dict[str, Any] = {method: [_numbers(result.value) for result in of] for method, of in found.items()}
    if {"cae", "conocc"} <= numbers.keys():
        pairs = list(zip(numbers["conocc"], numbers["cae"], strict=True))
        gaps = {
            "log_spread": [_log_ratio(one["spread"]["train"], other["spread"]["train"]) for one, other in pairs],
            "purity": [one["purity"] - other["purity"] for one, other in pairs],
        }
        numbers["against_cae"] = {
            name: {**seeds_interval(np.asarray(gap))[0].to_json(), "seeds": len(gap)} for name, gap in gaps.items()
        }
    return numbers


def _log_ratio(one: float, other: float) -> float:
    return math.log(ratio) if (ratio := _ratio(one, other)) > 0 else math.nan


def _ratio(one: float, other: float) -> float:
    """Return one / other, nan where the other's codes have collapsed to a point."""
    return one / other if other > 0 else math.nan


def _numbers(value: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value[name] for name in ("variance", "spread", "purity", "chance")}
    return {**kept, "inner": {part: _inner(value["radii"][part]) for part in ("train", "held_out")}}


def features_table(numbers: Mapping[str, Any], notes: Sequence[str]) -> Table:
    """Compactness of CAE and ConOCC over seeds, each in units of CAE's variance and of its own."""
    rows = []
    cae = numbers.get("cae")
    for method in (name for name in ("cae", "conocc") if name in numbers):
        of = numbers[method]
        spreads = [one["spread"] for one in of]
        relative = [_ratio(one["train"], base["variance"]) for one, base in zip(spreads, cae or (), strict=bool(cae))]
        rows.append(
            [
                method,
                spread(relative),
                *(spread([_ratio(one[part], one["train"]) for one in spreads]) for part in _OTHERS),
                *(spread([one["inner"][part] for one in of]) for part in ("train", "held_out")),
                f"{spread([one['purity'] for one in of])} ({of[0]['chance']:.3f})",
            ]
        )
    columns = [
        "method",
        "mean ‖z−μ‖² train / variance of cae",
        *(f"mean ‖z−μ‖² {name} / train" for name in _OTHERS.values()),
        "share of train within half its 95 % radius",
        "share of held-out within half its 95 % radius",
        "neighbour purity on test (chance)",
    ]
    notes = [
        "a code can shrink without becoming more telling: of these columns only the second depends on its scale",
        "neighbour purity: share of a test image's five nearest test codes with its label; some are of its patient",
        "the sd is over seeds alone, on the same images",
        *notes,
    ]
    return Table("Figure 6 in numbers: features of CAE and ConOCC, reduced", columns, rows, notes)


def _inner(radii: Sequence[float]) -> float:
    """Return the share of radii below half the 95 % one, which outliers do not move; nan without any."""
    if not radii:
        return math.nan
    values = np.asarray(radii)
    return float(np.mean(values < np.quantile(values, 0.95) / 2))


def features_figure(found: Mapping[str, Sequence[Result]]) -> Figure:
    """Draw both planes, coloured by distance to the centre, and the distances of every part, of the first seed."""
    from ._plots import PALETTE, draw

    def paint(axes: Any) -> None:
        # one scale for both methods, or a compact code and a wide one would look alike
        firsts = {method: result.value for method, (result, *_) in found.items()}
        largest = max(max(radii) for value in firsts.values() for radii in value["radii"].values() if radii)
        bins = np.linspace(0, largest, 4 * _RINGS + 1)
        for column, (method, value) in enumerate(firsts.items()):
            plane = value["tsne"]
            points = axes[0, column].scatter(
                plane["x"], plane["y"], c=plane["radius"], s=6, cmap="viridis", vmin=0, vmax=largest
            )
            axes[0, column].set(title=f"{method}: t-SNE of training codes", xticks=[], yticks=[])
            axes[0, column].figure.colorbar(points, ax=axes[0, column], label="‖z − μ‖")
            for colour, (part, radii) in zip(PALETTE, value["radii"].items(), strict=False):
                label = _OTHERS.get(part, part)
                axes[1, column].hist(radii, bins, density=True, histtype="step", color=colour, label=label)
            axes[1, column].set(xlabel="‖z − μ‖", ylabel="share of images per unit of distance")
            axes[1, column].legend()

    title = "Features of CAE and ConOCC: t-SNE, coloured by the distance to the mean, and those distances"
    return Figure("conocc2020_figure6", title, draw(paint, rows=2, columns=2, size=(9, 7)))
