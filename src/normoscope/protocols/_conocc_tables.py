"""ConOCC's Tables 2 and 3, ours beside the published numbers, and which rows are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

import numpy as np

from ._conocc_grid import RATES
from ._pairs import Difference, mean_over_folds, told
from ._rows import REFERENCES, Row
from ._shape import Table
from ._tables import spread, with_interval

__all__ = ["EIGHT", "FAVOURED", "METRICS", "PUBLISHED", "at", "families", "pairs_table", "results_table"]

PUBLISHED = {  # AUC, AUPR-maj, AUPR-min on ChestX: Table 2 | AUC, AUPR-maj, AUPR-min and their sd: Table 3
    "ocsvm": ((0.548, 0.449, 0.756), ((0.580, 0.037), (0.522, 0.063), (0.613, 0.020))),
    "cocsvm": ((0.587, 0.413, 0.674), ((0.613, 0.058), (0.582, 0.064), (0.605, 0.063))),
    "dagmm": ((0.564, 0.423, 0.694), ((0.542, 0.052), (0.501, 0.178), (0.617, 0.092))),
    "deep_svdd": ((0.579, 0.422, 0.684), ((0.562, 0.065), (0.461, 0.069), (0.671, 0.057))),
    "anogan": ((0.594, 0.446, 0.702), ((0.608, 0.049), (0.410, 0.021), (0.465, 0.035))),
    "sae": ((0.603, 0.435, 0.748), ((0.588, 0.050), (0.551, 0.074), (0.607, 0.043))),
    "cae": ((0.576, 0.394, 0.675), ((0.599, 0.049), (0.552, 0.061), (0.638, 0.023))),
    "conocc": ((0.624, 0.519, 0.739), ((0.616, 0.015), (0.597, 0.002), (0.619, 0.021))),
}
METRICS = ("auroc", "aupr_normal", "aupr_abnormal")
EIGHT = tuple(PUBLISHED)
DEEP = ("dagmm", "deep_svdd", "anogan")
FAVOURED = ("rival", "first")
COMPARED = {"conocc": EIGHT[:-1], "sae": ("cae", *DEEP), "cae": DEEP}

Families = Mapping[str, Mapping[str, Difference]]
"""First method to each other one, and the AUROC of the first minus that of the other; `rows` names the two rows."""

Compare = Callable[[Mapping[str, tuple[Row, Row]], int], Mapping[str, Difference]]


def at(rate: float | None) -> str:
    return "" if rate is None else f" λ={rate:g}"


def results_table(
    title: str, rows: Mapping[str, Row], chosen: Mapping[str, float], notes: Sequence[str], *, folds: bool
) -> Table:
    """Table 2 or 3, ours beside the published.

    Args:
        title: Of the table.
        rows: Name, with a λ of two after it, to what was measured.
        chosen: Method to the λ that held-out normals choose.
        notes: What differs.
        folds: Table 3, means over folds and seeds, instead of Table 2, over seeds.
    """
    cells, favoured = [], _favoured(rows)
    for name, row in rows.items():
        published = _published(name, favoured)[int(folds)] or ["–"] * len(METRICS)
        line = [_marked(name, favoured, chosen)]
        for metric, theirs in zip(METRICS, published, strict=True):
            line += [_over_folds(row, metric) if folds else row.cell(metric), theirs]
        cells.append(line)
    ours = "ours, reduced" if folds else "ours"
    columns = ["method", *(f"{metric} {who}" for metric in METRICS for who in (ours, "paper"))]
    return Table(title, columns, cells, notes)


def _over_folds(row: Row, metric: str) -> str:
    """Print mean ± sd over folds and seeds; AUROC, a mean over images, with an interval."""
    values = row.by_seed(metric)
    return with_interval(mean_over_folds(row), values) if metric == "auroc" else spread(values)


def _favoured(rows: Mapping[str, Row]) -> dict[str, str]:
    """Name each method's row; of two λ the one that the test favours, as in the paper (an oracle), once both ran."""
    found: dict[str, str] = {}
    for name, row in rows.items():
        method, _, rate = name.partition(" λ=")
        if rate and any(f"{method}{at(other)}" not in rows for other in RATES):
            continue
        if method not in found or fmean(row.by_seed("auroc")) > fmean(rows[found[method]].by_seed("auroc")):
            found[method] = name
    return found


def families(rows: Mapping[str, Row], chosen: Mapping[str, float], compare: Compare, *, favour: str) -> Families:
    """Compare what the paper compares, a family per method that it puts first, and ConOCC with the references.

    Of two λ, one side stands at the one that the test favours, the other at the one that held-out normals choose. A
    method is the better one beyond dispute if it is so with the rival favoured, and the worse one if it is so while
    favoured itself.

    Args:
        rows: Of one table.
        chosen: Method to the λ that held-out normals choose.
        compare: `differences` or `differences_over_folds`.
        favour: One of FAVOURED.

    Returns:
        Family to the other method to the difference; what has no λ chosen yet is left out.
    """
    best = _favoured(rows)
    settled = {method: f"{method}{at(chosen[method])}" for method in best if method in chosen}
    settled |= {method: name for method, name in best.items() if name == method}
    first_at, other_at = (best, settled) if favour == "first" else (settled, best)
    found = {}
    for family, others in {**COMPARED, "conocc, references": REFERENCES}.items():
        if (first := first_at.get(family.partition(",")[0])) is not None:
            named = {other: (first, other_at[other]) for other in others if other in other_at}
            pairs = {other: (rows[one], rows[two]) for other, (one, two) in named.items()}
            found[family] = {
                other: {**difference, "rows": list(named[other])}
                for other, difference in compare(pairs, len(others)).items()
            }
    return found


def pairs_table(of: str, favouring: Mapping[str, Families]) -> Table:
    """Differences of AUROC, ours beside the published.

    Args:
        of: Table 2 or Table 3.
        favouring: Whom of FAVOURED to `families`.
    """
    column = int(of == "Table 3")
    rows = []
    for family, pairs in favouring["rival"].items():
        first = family.partition(",")[0]
        for other, difference in pairs.items():
            published, otherwise = "–", "–"
            if other in PUBLISHED:
                mine, theirs = (np.ravel(PUBLISHED[method][column])[0] for method in (first, other))
                published = f"{mine - theirs:+.3f}"
            swapped = favouring["first"].get(family, {}).get(other)
            if swapped is not None and swapped["rows"] != difference["rows"]:
                otherwise = f"{' − '.join(swapped['rows'])}: {told(swapped)}"
            rows.append([" − ".join(difference["rows"]), told(difference), otherwise, published])
    notes = [
        "difference [95 %, not adjusted], p-value adjusted by Holm over each of: conocc's seven rivals, its "
        "references, sae's rivals, cae's rivals; a pair that was not run yet counts as one without a difference",
        "paired DeLong over patients and seeds"
        if of == "Table 2"
        else "corrected t test over folds and seeds, with all test images counted against the training images, and the "
        "spread of the abnormal images, which every fold shares, added",
        "of two λ, the second method stands at the one that the test favours (oracle) and the first at the one that "
        "held-out normals choose, and the other way round in the third column; a claim holds by the second column and "
        "fails by the third, where there is one",
        "the paper has one row of each, at its best λ; it names none for C-OCSVM",
    ]
    columns = ["difference", "ours", "ours, the first one favoured", "paper"]
    return Table(f"{of}: paired differences of AUROC", columns, rows, notes)


def _published(row: str, favoured: Mapping[str, str]) -> tuple[Sequence[str], Sequence[str]]:
    """Print the paper's figures in Tables 2 and 3; of two λ in the row whose λ it names, or that it would have picked.

    It names 1e-4 for CAE, the network under C-OCSVM, and none for SAE.
    """
    method, _, rate = row.partition(" λ=")
    its_own = favoured.get(method) == row if method == "sae" else rate == f"{min(RATES):g}"
    if method not in PUBLISHED or (rate and not its_own):
        return (), ()
    once, folds = PUBLISHED[method]
    return [f"{value:.3f}" for value in once], ["{:.3f} ± {:.3f}".format(*pair) for pair in folds]


def _marked(row: str, favoured: Mapping[str, str], chosen: Mapping[str, float]) -> str:
    """Say of a row with a λ of two how that came about."""
    method, _, rate = row.partition(" λ=")
    marks = [row]
    if rate:
        marks += ["lowest held-out error"] if chosen.get(method) == float(rate) else []
        marks += ["better on the test (oracle)"] if favoured.get(method) == row else []
    return ", ".join(marks)
