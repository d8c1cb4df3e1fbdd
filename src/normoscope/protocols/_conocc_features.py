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


def in_numbers(found: Mapping[str, Sequence[Result]]) -> dict[str, Any]:
    """Return what figures are made of, without the points of the drawing.

    Args:
        found: Method to its results, one per seed.

    Returns:
        Method to a list over seeds; against_cae: ConOCC minus CAE, with Student's t interval over seeds, of the log of
        mean ||z - mu||^2 (log_spread), of the share of the training codes within half the 95 % radius (inner), and of
        the neighbours with the same label (purity).
    """
    numbers: dict[str, Any] = {method: [_numbers(result.value) for result in of] for method, of in found.items()}
    if {"cae", "conocc"} <= numbers.keys():
        pairs = list(zip(numbers["conocc"], numbers["cae"], strict=True))
        gaps = {
            "log_spread": [_log_ratio(one["spread"]["train"], other["spread"]["train"]) for one, other in pairs],
            **{name: [one[name] - other[name] for one, other in pairs] for name in ("inner", "purity")},
        }
        numbers["against_cae"] = {
            name: {**seeds_interval(np.asarray(gap))[0].to_json(), "seeds": len(gap)} for name, gap in gaps.items()
        }
    return numbers


def _log_ratio(one: float, other: float) -> float:
    """Return log(one / other), nan where codes have collapsed to a point."""
    return math.log(one / other) if one > 0 and other > 0 else math.nan


def _numbers(value: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value[name] for name in ("variance", "spread", "purity", "chance")}
    return {**kept, "inner": _inner(value["radii"]["train"])}


def features_table(numbers: Mapping[str, Any], notes: Sequence[str]) -> Table:
    """Compactness of CAE and ConOCC over seeds, each in units of CAE's variance and of its own."""
    rows = []
    cae = numbers.get("cae")
    for method in (name for name in ("cae", "conocc") if name in numbers):
        of = numbers[method]
        spreads = [one["spread"] for one in of]
        relative = [one["train"] / base["variance"] for one, base in zip(spreads, cae or (), strict=bool(cae))]
        rows.append(
            [
                method,
                spread(relative),
                *(spread([one[part] / one["train"] for one in spreads]) for part in ("held_out", "normal", "abnormal")),
                spread([one["inner"] for one in of]),
                f"{spread([one['purity'] for one in of])} ({of[0]['chance']:.3f})",
            ]
        )
    columns = [
        "method",
        "mean ‖z−μ‖² train / variance of cae",
        *(f"mean ‖z−μ‖² {part} / train" for part in ("held-out", "test normal", "test abnormal")),
        "share of train within half the 95 % radius",
        "neighbour purity on test (chance)",
    ]
    notes = [
        "a code can shrink without becoming more telling: of these columns only the second depends on its scale",
        "neighbour purity: share of a test image's five nearest test codes with its label",
        *notes,
    ]
    return Table("Figure 6 in numbers: features of CAE and ConOCC, reduced", columns, rows, notes)


def _inner(radii: Sequence[float]) -> float:
    """Return the share of radii below half the 95 % one, which outliers do not move."""
    values = np.asarray(radii)
    return float(np.mean(values < np.quantile(values, 0.95) / 2))


def features_figure(found: Mapping[str, Sequence[Result]]) -> Figure:
    """Draw both planes, coloured by distance to the centre, and the distances of every part, of the first seed."""
    from ._plots import PALETTE, draw

    def paint(axes: Any) -> None:
        for column, (method, (result, *_)) in enumerate(found.items()):
            plane = result.value["tsne"]
            axes[0, column].scatter(plane["x"], plane["y"], c=plane["radius"], s=6, cmap="viridis")
            axes[0, column].set(title=f"{method}: t-SNE of training codes", xticks=[], yticks=[])
            largest = max(max(radii) for radii in result.value["radii"].values() if radii)
            bins = np.linspace(0, largest, 4 * _RINGS + 1)
            for colour, (part, radii) in zip(PALETTE, result.value["radii"].items(), strict=False):
                axes[1, column].hist(
                    radii, bins, density=True, histtype="step", color=colour, label=part.replace("_", "-")
                )
            axes[1, column].set(xlabel="‖z − μ‖", ylabel="density")
            axes[1, column].legend()

    title = "Features of CAE and ConOCC: t-SNE, coloured by the distance to the mean, and those distances"
    return Figure("conocc2020_figure6", title, draw(paint, rows=2, columns=2, size=(9, 7)))
