"""What the abstract claims, judged by the numbers of the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._data import DATA
from ._dual_rows import COMPARED, DUAL, SEES_LABELS
from ._shape import Claim, Verdict
from ._verdicts import Truth, above, all_of, judged, printed

__all__ = ["claims"]

_LEVEL = 0.05
_WHERE = "abstract"
_IMPLIED = "abstract, implied"
_TESTED_ON = ("breastmnist", "brats2021", "resc")

Rows = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Data set, number of normals, row -> figures."""


def claims(numbers: Mapping[str, Any], *, quick: bool) -> list[Claim]:
    """Judge every claim of the abstract; nothing else of the paper is known."""
    if quick:
        return []
    rows: Rows = numbers["rows"]
    small = _sizes(rows, lambda size: size != "all")
    all_normals = _sizes(rows, lambda size: size == "all")
    waiting: bool = numbers["waiting"] > 0
    return [
        _better_than_chance(
            "tells anomalous from normal images on small data sets, by reconstruction error", small, waiting
        ),
        _better_than_chance("the same on large data sets", all_normals, waiting),
        _ahead("does well on small data, where other models often do poorly", numbers["with_few"], waiting),
        _ahead(
            "is robust across types of images: ahead of three one-number statistics on each",
            numbers["across_types"],
            waiting,
        ),
        *(_more_accurate(data, numbers) for data in _TESTED_ON),
        _helps("two encoders do better than one as large", numbers["against_single"], rows, waiting),
        _helps(
            "several phases, each validated, do better than the same phases without validation",
            numbers["against_ungated"],
            rows,
            waiting,
        ),
        Claim(
            "explanation methods and pictures make the latent features understandable",
            _WHERE,
            Verdict.UNTESTED,
            "the abstract names no method and no figure",
        ),
        Claim(
            "automating diagnosis takes work off healthcare professionals, and the model can be a foundation for tools",
            _WHERE,
            Verdict.UNTESTED,
            "needs a study with readers",
        ),
    ]


Places = Sequence[tuple[str, str, Mapping[str, Any]]]
"""Data set, number of normals and figures by row, where the dual encoder was run."""


def _sizes(rows: Rows, wanted: Any) -> Places:
    return [(d, n, of) for d, sizes in rows.items() for n, of in sizes.items() if wanted(n) and DUAL in of]


def _untested(text: str, where: str, why: str = "not run yet") -> Claim:
    return Claim(text, where, Verdict.UNTESTED, why)


def _at(data: str, size: str) -> str:
    return f"{DATA[data].title}, {size} normals"


def _better_than_chance(text: str, places: Places, waiting: bool) -> Claim:
    """Ask of every interval of the AUROC that it lies above one half; one that lies below refutes."""
    if not places:
        return _untested(text, _WHERE)
    aurocs = {_at(data, size): of[DUAL]["auroc"] for data, size, of in places}
    sides = [above(auroc, 0.5) for auroc in aurocs.values()]
    listed = "; ".join(f"{where} {printed(auroc)}" for where, auroc in aurocs.items())
    why = f"the AUROC's interval lies above 0.5 in {sides.count(True)} of {len(aurocs)}: {listed}{_rest(waiting)}"
    return judged(text, _WHERE, _so_far(all_of(sides), waiting), why, "tables by number of normals, dual_encoder")


def _so_far(truth: Truth, waiting: bool) -> Truth:
    """Let what is not run yet keep a claim from holding."""
    return None if waiting and truth else truth


def _rest(waiting: bool) -> str:
    return "; some of it is not run yet" if waiting else ""


def _ahead(text: str, tests: Sequence[Mapping[str, Any]], waiting: bool) -> Claim:
    """Ask that the AUROC is above that of every rival beyond chance, wherever they were run."""
    if not tests:
        return _untested(text, _WHERE)
    listed = "; ".join(
        f"{_at(one['data'], str(one['size'] or 'all'))}, minus {one['rival']} {one['difference']['value']:+.3f}"
        for one in tests
    )
    why = (
        f"AUROC higher after Holm in {_significant(tests, 1)} of {len(tests)} comparisons, lower in "
        f"{_significant(tests, -1)}: {listed}{_rest(waiting)}"
    )
    return judged(text, _WHERE, _so_far(all_of(map(_better, tests)), waiting), why, COMPARED)


def _more_accurate(data: str, numbers: Mapping[str, Any]) -> Claim:
    """Ask that it is more accurate than both classifiers, beyond chance, at every number of images."""
    text = f"is more accurate than established classification methods on {DATA[data].title}"
    if DATA[data].place is None and data not in numbers["rows"]:
        return _untested(text, _WHERE, "the data is absent")
    tests = [one for one in numbers["against_classifiers"] if one["data"] == data]
    if not {*SEES_LABELS} <= {one["rival"] for one in tests}:
        return _untested(text, _WHERE, "no classifier to compare with, or not run yet")
    above = sum(one["difference"]["value"] > 0 for one in tests)
    parts = []
    for size, of in numbers["rows"][data].items():
        if all(row in of and "accuracy" in of[row] for row in (DUAL, *SEES_LABELS)):
            accuracies = (f"{row} {of[row]['accuracy']['value']:.3f}" for row in (DUAL, *SEES_LABELS))
            parts.append(f"{size} images: {', '.join(accuracies)}")
    share = next(iter(next(iter(numbers["rows"][data].values())).values()))["prevalence"]
    waiting: bool = numbers["waiting"] > 0
    why = (
        f"more accurate in {above} of {len(tests)} comparisons, in {_significant(tests, 1)} after Holm (less in "
        f"{_significant(tests, -1)}); {'; '.join(parts)}; one answer for all {max(share, 1 - share):.3f}; classifiers "
        f"of our choice, for the abstract names none{_rest(waiting)}"
    )
    return judged(text, _WHERE, _so_far(all_of(map(_better, tests)), waiting), why, COMPARED)


def _better(one: Mapping[str, Any]) -> Truth:
    """Tell whether the dual encoder is the better one; None where chance explains the difference."""
    if one["corrected"] is None or one["corrected"] >= _LEVEL:
        return None
    return bool(one["difference"]["value"] > 0)


def _significant(tests: Sequence[Mapping[str, Any]], sign: int) -> int:
    """Count the differences of this sign that stand after Holm."""
    return [_better(one) for one in tests].count(sign > 0)


def _helps(text: str, tests: Sequence[Mapping[str, Any]], rows: Rows, waiting: bool) -> Claim:
    """Ask that the AUROC is higher after Holm, and above chance, in at least half of the comparisons; lower in none."""
    if not tests:
        return _untested(text, _IMPLIED)
    useful = [one for one in tests if above(rows[one["data"]][str(one["size"] or "all")][DUAL]["auroc"], 0.5)]
    better, worse = _significant(tests, 1), _significant(tests, -1)
    counted = _significant(useful, 1)
    listed = ", ".join(f"{one['difference']['value']:+.3f}" for one in tests)
    why = (
        f"AUROC higher after Holm in {better} of {len(tests)} comparisons, with its interval above 0.5 in {counted} "
        f"(asked: half of all), and lower in {worse} (asked: none); differences {listed}{_rest(waiting)}"
    )
    truth: Truth = False if worse else True if 2 * counted >= len(tests) else None
    return judged(text, _IMPLIED, _so_far(truth, waiting), why, COMPARED)
