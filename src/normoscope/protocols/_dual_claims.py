"""What the abstract claims, judged by the numbers of the protocol."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ._data import DATA
from ._dual_rows import COMPARED, DUAL, NAMED, SEES_LABELS, title
from ._shape import Claim, Verdict
from ._verdicts import Truth, above, all_of, judged, printed

__all__ = ["claims"]

_LEVEL = 0.05
_FAR = 1.5
_WHERE = "abstract"
_IMPLIED = "abstract, implied"
_SMALL = "breastmnist"
"""All of its normals are few: 399."""

Numbers = Mapping[str, Any]
Tests = Sequence[Mapping[str, Any]]
"""Comparisons, as `Comparison.to_json` has them."""


def claims(numbers: Numbers, *, quick: bool) -> list[Claim]:
    """Judge every claim of the abstract; nothing else of the paper is known."""
    if quick:
        return []
    present = list(numbers["normals"])
    return [
        _tells("small", numbers),
        _tells("large", numbers),
        _ahead(
            'does well on small data, where current models "often perform poorly"',
            "with_few",
            _deciding(present),
            numbers,
        ),
        _ahead(
            'is robust "across various types of medical imaging": ahead of three one-number statistics on two or more',
            "across_types",
            present,
            numbers,
            fewest=2,
        ),
        *(_more_accurate(data, numbers) for data in dict.fromkeys((*NAMED, *present))),
        _helps("two encoders do better than one as large", "against_single", numbers),
        _helps(
            "several phases, each validated, do better than the same phases without validation",
            "against_ungated",
            numbers,
            "; the rival trains on all normals, this one on 80 % of them",
        ),
        *_not_testable(numbers),
    ]


def _deciding(sets: Sequence[str]) -> Sequence[str]:
    """Return the sets that the abstract names, any others only where none of those is here."""
    return [data for data in sets if data in NAMED] or sets


def _tells(size: str, numbers: Numbers) -> Claim:
    """Ask of AUROC and of balanced accuracy at the frozen rule that every interval lies above one half.

    Either one far enough below refutes, wherever the abstract's own sets have it, or another set where none is here.
    """
    text = f'"capable of detecting anomalies" on {size} data sets, by reconstruction error'
    sets = [data for data in numbers["normals"] if size == "small" or data != _SMALL]
    deciding = _deciding(sets)
    found = {
        (data, normals): rows[DUAL]
        for data in sets
        for normals, rows in numbers["rows"].get(data, {}).items()
        if DUAL in rows and (data == _SMALL or normals != "all") == (size == "small")
    }
    asked = {place: row for place, row in found.items() if place[0] in deciding}
    if not asked:
        return Claim(text, _WHERE, Verdict.UNTESTED, "not run yet" if sets else f"no {size} data set is here")
    aurocs, rules = ([_over_half(row.get(of)) for row in asked.values()] for of in ("auroc", "balanced_accuracy"))
    meant = (
        "BreastMNIST with any number of normals, others with fewer than all"
        if size == "small"
        else "BraTS2021 and RESC with all normals, another set where both are absent; BreastMNIST counts as small"
    )
    listed = {place: f"{_at(*place, numbers)} {_ranked_and_decided(row)}" for place, row in found.items()}
    why = (
        f"{size}: {meant}; AUROC above 0.5 with its whole interval in {aurocs.count(True)} of {len(asked)}, balanced "
        f"accuracy at the frozen rule in {rules.count(True)} (asked: all), below 0.5 with even {_FAR:g} times "
        f"the interval in {aurocs.count(False)} and {rules.count(False)}: {'; '.join(listed[place] for place in asked)}"
        f"{_told([listed[place] for place in found if place not in asked])}{_sets(deciding, numbers)}"
    )
    cell = "; ".join(title(data) for data in dict.fromkeys(data for data, _ in asked))
    return _judged(text, _WHERE, all_of([*aurocs, *rules]), why, cell, numbers)


def _ranked_and_decided(row: Mapping[str, Any]) -> str:
    decided = printed(row["balanced_accuracy"]) if "balanced_accuracy" in row else "without a rule"
    return f"AUROC {printed(row['auroc'])}, balanced accuracy {decided}"


def _over_half(interval: Mapping[str, Any] | None) -> Truth:
    """Tell whether a value is above one half with its whole interval, or below it by more than its interval.

    One refutation is picked among several intervals, so it asks for more.
    """
    if interval is None or interval["low"] is None:
        return None
    below = interval["value"] + _FAR * (interval["high"] - interval["value"]) < 0.5
    return True if interval["low"] > 0.5 else False if below else None


def _ahead(text: str, family: str, deciding: Collection[str], numbers: Numbers, fewest: int = 1) -> Claim:
    """Ask that the AUROC is above 0.5, and above that of every rival beyond chance, wherever they were run.

    Args:
        text: The claim.
        family: The comparisons in `numbers`.
        deciding: Data sets that decide.
        numbers: All of them.
        fewest: Data sets without which it cannot hold.
    """
    tests = [one for one in numbers[family] if one["data"] in deciding]
    if not tests:
        return Claim(text, _IMPLIED, Verdict.UNTESTED, "not run yet")
    own = [_over_half(auroc) for auroc in {_place(one): _auroc(one, DUAL, numbers) for one in tests}.values()]
    few = len({one["data"] for one in tests}) < fewest
    truth = all_of([*map(_better, tests), *own, *([None] if few else [])])
    why = (
        f"AUROC higher after Holm in {_significant(tests, 1)} of {len(tests)} comparisons (asked: all), lower in "
        f"{_significant(tests, -1)}; above 0.5 with its whole interval in {own.count(True)} of {len(own)} (asked: "
        f"all): {'; '.join(_differences(tests, numbers))}"
        f"{_told(_differences([one for one in numbers[family] if one['data'] not in deciding], numbers))}"
    )
    why += f"; fewer than {fewest} sets" if few else ""
    return _judged(text, _IMPLIED, truth, why + _sets(deciding, numbers), COMPARED, numbers)


def _differences(tests: Tests, numbers: Numbers) -> list[str]:
    """Print the differences of AUROC, one text per data set and number of normals."""
    parts: dict[tuple[str, str], list[str]] = {}
    for one in tests:
        own = f"{_at(*_place(one), numbers)} {printed(_auroc(one, DUAL, numbers))}"
        parts.setdefault(_place(one), [own]).append(f"minus {_short(one['rival'])} {one['difference']['value']:+.3f}")
    return [", ".join(listed) for listed in parts.values()]


def _more_accurate(data: str, numbers: Numbers) -> Claim:
    """Ask that it is more accurate than its rivals beyond chance, and than one answer for all, at every size.

    The abstract names no rival, its keywords name one-class classification: where supervised classifiers and `knn` tell
    different things, it stays open. A set that the abstract does not name decides nothing.
    """
    text = (
        f'"outperforms established classification methods" by "superior accuracy in distinguishing normal and '
        f'anomalous images" on {DATA[data].title}'
    )
    where = _WHERE if data in NAMED else "not named in the abstract"
    if data not in numbers["normals"]:
        return Claim(text, where, Verdict.UNTESTED, "the data is absent")
    supervised, one_class = (
        [one for one in numbers[family] if one["data"] == data] for family in ("against_classifiers", "against_knn")
    )
    if not {*SEES_LABELS} <= {one["rival"] for one in supervised}:
        return Claim(text, where, Verdict.UNTESTED, "no classifier to compare with, or not run yet")
    rows = {size: numbers["rows"][data][size] for size in dict.fromkeys(_place(one)[1] for one in supervised)}
    share = next(iter(rows.values()))[DUAL]["prevalence"]
    constant = max(share, 1 - share)
    own = [above(of[DUAL]["accuracy"], constant) for of in rows.values()]
    labelled = f" of {numbers['labelled'][data]['images']:,}" if data in numbers["labelled"] else ""
    parts = []
    for size, of in rows.items():
        known = (row for row in (DUAL, *SEES_LABELS, "knn") if "accuracy" in of.get(row, {}))
        accuracies = ", ".join(f"{_short(row)} {of[row]['accuracy']['value']:.3f}" for row in known)
        count = numbers["normals"][data] if size == "all" else int(size)
        parts.append(f"{count:,}{labelled} labelled images: {accuracies}")
    counted = [
        f"than {rivals} more accurate in {sum(one['difference']['value'] > 0 for one in tests)} of {len(tests)} "
        f"comparisons, in {_significant(tests, 1)} after Holm (asked: all), less in {_significant(tests, -1)}"
        for rivals, tests in {"classifiers": supervised, "knn": one_class}.items()
    ]
    why = (
        f"{'; '.join(counted)}; above the {constant:.3f} of one answer for all with its whole interval in "
        f"{own.count(True)} of {len(own)} (asked: all); with as many normals as the classifiers had "
        f"labelled images, {'; '.join(parts)}; classifiers of our choice, for the abstract names none"
    )
    cell = f"{title(data)}; {COMPARED}"
    if data not in NAMED:
        return Claim(text, where, Verdict.UNTESTED, f"decides nothing: {why}", cell)
    truths = [all_of(map(_better, tests)) for tests in (supervised, one_class) if tests]
    ahead = truths[0] if len({*truths}) == 1 else None
    return _judged(text, where, all_of([ahead, *(side or None for side in own)]), why, cell, numbers)


def _helps(text: str, family: str, numbers: Numbers, more: str = "") -> Claim:
    """Ask that the AUROC is higher after Holm in at least half of the sizes of every data set, and lower in none.

    What is no better than a coin counts on neither side: higher asks for its own interval above 0.5, lower for the
    rival's.
    """
    tests = numbers[family]
    if not tests:
        return Claim(text, _IMPLIED, Verdict.UNTESTED, "not run yet")
    truths: list[Truth] = []
    parts = []
    sets = list(dict.fromkeys(one["data"] for one in tests))
    for data in sets:
        own = [one for one in tests if one["data"] == data]
        higher = sum(_better(one) is True and above(_auroc(one, DUAL, numbers), 0.5) is True for one in own)
        lower = sum(_better(one) is False and above(_auroc(one, one["rival"], numbers), 0.5) is True for one in own)
        truths.append(False if lower else True if 2 * higher >= len(own) else None)
        listed = ", ".join(f"{one['difference']['value']:+.3f}" for one in own)
        parts.append(
            f"{DATA[data].title}: higher in {higher} of {len(own)} (after Holm in {_significant(own, 1)}), lower in "
            f"{lower} (after Holm in {_significant(own, -1)}), differences {listed}"
        )
    why = (
        "asked: AUROC higher after Holm, and above 0.5 with its whole interval, in half of the sizes of every set; in "
        f"none lower than a rival's above 0.5; {'; '.join(parts)}{more}{_sets(sets, numbers)}"
    )
    return _judged(text, _IMPLIED, all_of(truths), why, COMPARED, numbers)


def _not_testable(numbers: Numbers) -> list[Claim]:
    """List what the abstract says and no number here can judge."""
    aurocs = [
        f"{_at(data, size, numbers)} "
        + ", ".join(f"{_short(row)} {of[row]['auroc']['value']:.3f}" for row in ("knn", *SEES_LABELS) if row in of)
        for data, sizes in numbers["rows"].items()
        for size, of in sizes.items()
        if size in ("10", "all") and "knn" in of
    ]
    shares = [f"{DATA[data].title} {of['abnormal']:,} of {of['images']:,}" for data, of in numbers["labelled"].items()]
    why = {
        '"a novel model"': "no experiment decides what is new",
        'current models "often perform poorly on small sample datasets"': "no model is named and no size; AUROC here: "
        + ("; ".join(aurocs) or "not run yet"),
        'current models "lack robustness across various types of medical imaging"': "no model is named and no measure; "
        "for AUROCs on the sets here see the claim above",
        '"limited and imbalanced datasets, where anomaly samples often dominated in publicly available data"': "a "
        f"remark on public data; abnormal among the labelled training images here: {'; '.join(shares) or 'none'}",
        '"explores the interpretability of latent space features using explanation methods along with visualization '
        'techniques"': "the abstract names no method, figure or result",
        '"aligns with Malaysia’s Healthcare Government Plan 2023"': "no experiment compares a model with a plan",
        '"reduces workload for healthcare professionals"': "needs a study with readers",
        '"can serve as a foundation for developing reliable diagnostic tools with interpretable latent space to '
        'understand the model’s decision"': "needs such tools, and a study with readers",
    }
    return [Claim(text, _WHERE, Verdict.UNTESTED, reason) for text, reason in why.items()]


def _judged(text: str, where: str, truth: Truth, why: str, cell: str, numbers: Numbers) -> Claim:
    """Put a claim into words; what is not run yet keeps it from holding, and a verdict tells what it rests on."""
    if numbers["waiting"]:
        why += "; some of it is not run yet"
        truth = None if truth else truth
    if truth is not None:
        sides = " and ".join(map(str, sorted({*numbers["pixels"].values()})))
        why += f"; our reading of an abstract, about {numbers['steps']} steps a phase at {sides} px"
    return judged(text, where, truth, why, cell)


def _sets(deciding: Collection[str], numbers: Numbers) -> str:
    """Say which sets decide, which of them the abstract does not name, and which of its own are absent."""
    unnamed = [DATA[data].title for data in deciding if data not in NAMED]
    absent = [DATA[data].title for data in NAMED if data not in numbers["normals"]]
    parts = [f"asked of {', '.join(DATA[data].title for data in deciding)}"]
    parts += [f"{', '.join(unnamed)} not named in the abstract"] if unnamed else []
    parts += [f"absent of its own sets: {', '.join(absent)}"] if absent else []
    return f"; {'; '.join(parts)}"


def _told(listed: Sequence[str]) -> str:
    """Tell figures of sets that decide nothing."""
    return f"; not named in the abstract and decides nothing: {'; '.join(listed)}" if listed else ""


def _at(data: str, size: str, numbers: Numbers) -> str:
    count = f"all {numbers['normals'][data]:,}" if size == "all" else size
    return f"{DATA[data].title}, {count} normals"


def _place(one: Mapping[str, Any]) -> tuple[str, str]:
    return one["data"], str(one["size"] or "all")


def _auroc(one: Mapping[str, Any], row: str, numbers: Numbers) -> Mapping[str, Any]:
    """Return the AUROC of a row where a comparison was made."""
    data, size = _place(one)
    found: Mapping[str, Any] = numbers["rows"][data][size][row]["auroc"]
    return found


def _short(row: str) -> str:
    return row.partition(" (")[0]


def _better(one: Mapping[str, Any]) -> Truth:
    """Tell whether the dual encoder is the better one; None where chance explains the difference."""
    if one["corrected"] is None or one["corrected"] >= _LEVEL:
        return None
    return bool(one["difference"]["value"] > 0)


def _significant(tests: Tests, sign: int) -> int:
    """Count the differences of this sign that stand after Holm."""
    return [_better(one) for one in tests].count(sign > 0)
