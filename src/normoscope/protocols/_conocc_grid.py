"""Figure 5: how ConOCC's AUROC and CAE's depend on the learning rate λ, the weight γ and the interval T."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ._pairs import Difference, differences, told
from ._rows import Row
from ._shape import Figure, Table

__all__ = ["CAE", "RATES", "SETTINGS", "SIDE", "Setting", "grid_figure", "grid_numbers", "grid_table"]

SIDE = 32
"""Of the images: what the paper's MRI have."""
RATES = (1e-4, 1e-3)
GAMMAS = (0.01, 0.1, 1.0, 10.0)
INTERVALS = (20, 40, 60, 80, 100)


@dataclass(frozen=True)
class Setting:
    """What is fixed while λ changes: CAE, which has no settings of its own, or ConOCC's γ and T.

    Args:
        gamma: γ; 0 for CAE.
        interval: T in epochs of the paper's 1,000; 0 for CAE.
    """

    gamma: float = 0.0
    interval: int = 0

    def __str__(self) -> str:
        return f"conocc γ={self.gamma:g} T={self.interval}" if self.interval else "cae"

    def row(self, rate: float) -> str:
        """Name the row of this setting at one λ."""
        method, _, rest = str(self).partition(" ")
        return f"{method} λ={rate:g} {rest}".rstrip()


CAE = Setting()
SETTINGS = (CAE, *(Setting(gamma, interval) for gamma in GAMMAS for interval in INTERVALS))

Values = Mapping[str, float]
"""Row to AUROC."""


def grid_numbers(found: Mapping[str, Row], beside: Mapping[str, Row]) -> dict[str, Any]:
    """Return the AUROC of every row, and how it changes from the larger λ to the smaller one in every setting.

    Args:
        found: Rows by `Setting.row`.
        beside: Rows of what scores the same test images without any of these settings.

    Returns:
        auroc: Row to its mean over seeds.
        beside: The same of what has none of these settings.
        change: Setting to the AUROC at the smaller λ minus that at the larger one.
        minus_cae: ConOCC's rows to their AUROC minus CAE's at the same λ.
        missing: How many settings were not run at both.
    """
    low, high = RATES
    both = {
        str(setting): (found[setting.row(low)], found[setting.row(high)])
        for setting in SETTINGS
        if {setting.row(low), setting.row(high)} <= found.keys()
    }
    above = {
        name: (found[name], found[CAE.row(rate)])
        for rate in RATES
        for setting in SETTINGS
        if setting != CAE and {name := setting.row(rate), CAE.row(rate)} <= found.keys()
    }
    return {
        "auroc": _aurocs(found),
        "beside": _aurocs(beside),
        "change": differences(both, len(SETTINGS)),
        "minus_cae": differences(above, len(RATES) * (len(SETTINGS) - 1)),
        "missing": len(SETTINGS) - len(both),
    }


def _aurocs(rows: Mapping[str, Row]) -> dict[str, float]:
    return {name: fmean(row.by_seed("auroc")) for name, row in rows.items()}


def grid_table(numbers: Mapping[str, Any], notes: Sequence[str]) -> Table:
    """A row per setting, a column per λ, and what λ changes."""
    values: Values = numbers["auroc"]
    changes: Mapping[str, Difference] = numbers["change"]
    rows = []
    for setting in SETTINGS:
        aurocs = [values.get(setting.row(rate)) for rate in RATES]
        if any(value is not None for value in aurocs):
            change = told(changes[str(setting)]) if str(setting) in changes else "–"
            rows.append([str(setting), *("–" if v is None else f"{v:.3f}" for v in aurocs), change])
    columns = ["setting", *(f"AUROC at λ={rate:g}" for rate in RATES), "first minus second, Holm"]
    known = ", ".join(f"{name} {value:.3f}" for name, value in numbers["beside"].items())
    notes = [*notes, f"AUROC on the same images: {known}"] if known else notes
    return Table("Figure 5: AUROC against λ, γ and T, reduced", columns, rows, notes)


def grid_figure(numbers: Mapping[str, Any]) -> Figure:
    """Draw a panel per λ: ConOCC against T, a line per γ, and CAE's level; the paper draws the same as columns."""
    from ..figures import INK
    from ._plots import PALETTE, draw

    values: Values = numbers["auroc"]
    marks = tuple(zip(GAMMAS, PALETTE, ("o", "s", "^", "D"), ("-", "--", "-.", ":"), strict=True))

    def paint(axes: Any) -> None:
        for panel, rate in zip(axes, RATES, strict=True):
            for gamma, colour, marker, dashes in marks:
                settings = [Setting(gamma, interval) for interval in INTERVALS]
                known = [(s.interval, values[s.row(rate)]) for s in settings if s.row(rate) in values]
                if known:
                    x, y = zip(*known, strict=True)
                    panel.plot(x, y, dashes, marker=marker, color=colour, label=f"conocc, γ = {gamma:g}")
            if CAE.row(rate) in values:
                panel.axhline(values[CAE.row(rate)], color=INK, linestyle=(0, (1, 1)), label="cae")
            panel.set(title=f"λ = {rate:g}", xlabel="T in the paper's 1,000 epochs", ylabel="AUROC", xticks=INTERVALS)
        low, high = min(values.values()), max(values.values())
        margin = 0.05 * (high - low) or 0.01
        for panel in axes:
            panel.set_ylim(low - margin, high + margin)
        axes[-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1))

    title = (
        "AUROC of ConOCC (one seed) against T, by γ, and of CAE, at both learning rates λ; "
        f"chest X-rays at {SIDE} px, 150 epochs"
    )
    return Figure("conocc2020_figure5", title, draw(paint, columns=len(RATES), size=(10, 4)))
