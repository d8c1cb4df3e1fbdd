"""What an assessment says, in sentences that a reader understands in ten seconds.

Assessment --summarise--> Summary: four figures, and one verdict each on ranking, baselines and false alarms
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from .comparison import Assessment
from .statistics import Interval, binomial, holm

__all__ = [
    "Figure",
    "Summary",
    "Verdict",
    "false_alarms",
    "normals_by_unit",
    "percent",
    "percent_interval",
    "summarise",
]

_NBSP = "\u00a0"

_SURPRISING = 0.05
"""Two-sided p up to which nothing is put down to chance."""


class Verdict(Enum):
    """What a figure means for the reader."""

    GOOD = "good"
    BAD = "bad"
    OPEN = "open"


@dataclass(frozen=True)
class Figure:
    """One number of the summary: its title, value, interval or detail, and verdict."""

    title: str
    value: str
    detail: str
    verdict: Verdict = Verdict.OPEN


@dataclass(frozen=True)
class Summary:
    """The figures, and what they mean."""

    figures: tuple[Figure, ...]
    sentences: tuple[tuple[Verdict, str], ...]


def summarise(found: Assessment) -> Summary:
    """Say what was found, bad news as plainly as good."""
    parts = [_ranking(found), _baselines(found), *_rule(found)]
    return Summary(tuple(figure for figure, _ in parts), tuple((f.verdict, text) for f, text in parts if text))


def _ranking(found: Assessment) -> tuple[Figure, str]:
    auroc = found.evaluation.auroc
    if math.isnan(auroc.value):
        return Figure("AUROC", "–", auroc.how), f"There is no AUROC: {auroc.how}."
    verdict, words = _against_chance(auroc)
    ties = np.intersect1d(found.scores[found.labels == 0], found.scores[found.labels == 1]).size
    counted = ", ties counted half" if ties else ""
    text = f"An abnormal image scores higher than a normal one in {_pairs(auroc.value)} of 100 pairs{counted}{words}."
    return Figure("AUROC", f"{auroc.value:.3f}", _bounds(auroc), verdict), text


def _pairs(auroc: float) -> str:
    """Write a share in percent; all and none are said of no other."""
    whole = f"{100 * auroc:.0f}"
    return whole if auroc in (0, 1) or whole not in ("0", "100") else f"{min(max(100 * auroc, 0.1), 99.9):.1f}"


def _against_chance(auroc: Interval) -> tuple[Verdict, str]:
    if math.isnan(auroc.low):
        return Verdict.OPEN, f"; {auroc.how}"
    if auroc.high < 0.5:
        return Verdict.BAD, "; chance would give 50, so normal images look the stranger ones to this model"
    if auroc.low <= 0.5:
        return Verdict.BAD, "; chance would give 50, which the 95 % interval includes"
    return Verdict.GOOD, ""


def _bounds(interval: Interval) -> str:
    if math.isnan(interval.low):
        return interval.how
    return f"95{_NBSP}% interval {interval.low:.3f} to {interval.high:.3f}"


def _baselines(found: Assessment) -> tuple[Figure, str]:
    """Compare with the trivial rows that saw no labels and with the best of all, by paired tests after Holm."""
    known = {name: row for name, row in found.baselines.items() if not math.isnan(row.value)}
    if not known or math.isnan(found.evaluation.auroc.value):
        return Figure("best trivial baseline", "–", "AUROC cannot be computed"), ""
    ranked = sorted(known, key=lambda name: -known[name].value)
    best, honest = ranked[0], [name for name in ranked if name.endswith("two-sided")]
    figure = Figure("best trivial baseline", f"{known[best].value:.3f}", best.removeprefix("trivial "))
    rivals = [name for name in ranked if name == best or name in honest]
    corrected = holm(np.asarray([found.margins[name].pvalue for name in rivals]))
    sure = [name for name, p in zip(rivals, corrected, strict=True) if p <= _SURPRISING]
    behind = [name for name in sure if found.margins[name].auroc.value < 0]
    unsure = [name for name in rivals if name not in sure]
    if not behind and not unsure:
        text = f"It beats every trivial baseline; the best is {_named(best, known[best])}."
        return _with(figure, Verdict.GOOD), text
    worst = (behind or unsure)[0]
    named = _named(worst, known[worst])
    text = f"It cannot be told from a trivial baseline: that it differs from {named} may be chance."
    if behind:
        text = f"It is behind a trivial baseline: {named} ranks these images better."
    if worst not in honest:
        text += (
            " That row was told by the labels which direction is abnormal; "
            f"of those that were not, the best is {_named(honest[0], known[honest[0]])}."
        )
    return _with(figure, Verdict.BAD if behind else Verdict.OPEN), text


def _named(name: str, row: Interval) -> str:
    return f"“{name.removeprefix('trivial ')}” with AUROC {row}"


def _with(figure: Figure, verdict: Verdict) -> Figure:
    return Figure(figure.title, figure.value, figure.detail, verdict)


def _rule(found: Assessment) -> list[tuple[Figure, str]]:
    """Report the frozen rule: what it caught, and what it cried wolf at."""
    calibration, rate = found.model.calibration, false_alarms(found)
    if rate is None:
        none = Figure("frozen rule", "none", calibration.status, Verdict.BAD)
        return [(none, f"There is no decision rule, so nothing is flagged: {calibration.status}.")]
    sensitivity = found.evaluation.decisions["sensitivity"]
    caught = Figure("sensitivity at the frozen rule", percent(sensitivity.value), percent_interval(sensitivity))
    unit = normals_by_unit(found)[1]
    per = f"per {unit}, {percent_interval(rate)}"
    patients = [s.patient for s, label in zip(found.prepared.samples, found.labels, strict=True) if label == 0]
    known = None not in patients
    several = unit == "image" and known and len(set(patients)) < len(patients)
    if calibration.kind != "conformal" or unit != calibration.unit or several or math.isnan(rate.value):
        return [(caught, ""), (Figure("false alarms on test normals", percent(rate.value), per), "")]
    wished = f"{percent(calibration.alpha)} wished"
    verdict, words = _kept(found, rate)
    alarms = Figure("false alarms on test normals", percent(rate.value), f"{wished}, {per}", verdict)
    text = f"The rule flags {percent(rate.value)} of the normal test {unit}s; {wished}: {words}"
    text += "" if known else " Patients are not known: each image counts as another patient's."
    return [(caught, ""), (alarms, text)]


def _kept(found: Assessment, rate: Interval) -> tuple[Verdict, str]:
    """Hold the false alarms against the promise: a test that leaves room for twice the wished rate shows little."""
    calibration, (flagged, of) = found.model.calibration, _alarms(found)
    p = calibration.chance(flagged, of)
    if p > _SURPRISING:
        if rate.high < 2 * calibration.alpha:
            return Verdict.GOOD, "in line with the promise."
        most = percent(calibration.usual(of) / of)
        return Verdict.OPEN, f"no more than chance explains, but so few normals show little: it allows up to {most}."
    surprise = f"than chance explains (p {'< 0.001' if p < 0.001 else f'= {p:.1g}'})"
    if flagged > calibration.alpha * of:
        return Verdict.BAD, (
            f"more {surprise}. The promise holds for normals like those that calibrated the rule; "
            "these seem to differ (another scanner, age group, year or selection). Calibrate on normals from here."
        )
    luck = "" if p < 0.001 else f", or this is one of the {100 * p:.1g} in 100 tests of alike normals that show as much"
    return Verdict.OPEN, f"fewer {surprise}; the test normals differ from those that calibrated the rule{luck}."


def _alarms(found: Assessment) -> tuple[int, int]:
    """Return how many normal test images or patients the rule flags, and how many there are."""
    assert found.flags is not None
    normals, alarms = found.labels == 0, (found.labels == 0) & found.flags
    if normals_by_unit(found)[1] == "image":
        return int(alarms.sum()), int(normals.sum())
    patients = np.asarray([sample.patient for sample in found.prepared.samples])
    return len(set(patients[alarms])), len(set(patients[normals]))


def normals_by_unit(found: Assessment) -> tuple[npt.NDArray[np.float64], str]:
    """Return test normals' scores in the unit the promise speaks of: one per image, or each patient's highest."""
    rows = np.flatnonzero(found.labels == 0)
    patients = [found.prepared.samples[row].patient for row in rows]
    if found.model.calibration.unit == "image" or None in patients:
        return found.scores[rows], "image"
    names, of = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    highest = np.full(len(names), -np.inf)
    np.maximum.at(highest, of, found.scores[rows])
    return highest, "patient"


def false_alarms(found: Assessment) -> Interval | None:
    """Return the share of normal test images or patients that the frozen rule flags; None without a rule."""
    if found.flags is None:
        return None
    if normals_by_unit(found)[1] == "patient":
        return binomial(*_alarms(found), "patients")
    kept = found.evaluation.decisions["specificity"]
    return Interval(1 - kept.value, 1 - kept.high, 1 - kept.low, kept.how)


def percent(rate: float) -> str:
    """Write a rate as people read it."""
    return "–" if math.isnan(rate) else f"{100 * rate:.3g}{_NBSP}%"


def percent_interval(rate: Interval) -> str:
    """Write a rate's 95 % interval, or why there is none."""
    return (
        rate.how
        if math.isnan(rate.low)
        else f"95{_NBSP}% interval {100 * rate.low:.1f} to {100 * rate.high:.1f}{_NBSP}%"
    )
