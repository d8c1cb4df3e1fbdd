"""From results to rows: figures at the frozen rule, paired comparisons, their tables and the drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import metrics
from ..bootstrap import bootstrap_paired
from ..calibration import Calibration
from ..evaluation import Evaluation, evaluate, paired
from ..runner import Result
from ..statistics import Interval, holm
from ._data import DATA
from ._plots import PALETTE, draw
from ._shape import Figure, Table
from ._tables import spread, with_interval

__all__ = [
    "COMPARED",
    "DECISIONS",
    "DUAL",
    "NAMED",
    "ROWS",
    "SEES_LABELS",
    "SINGLE",
    "TRIVIAL",
    "UNGATED",
    "Comparison",
    "Images",
    "Measured",
    "Place",
    "compared",
    "comparisons",
    "curves",
    "scored",
    "title",
]

ALPHA = 0.05
DECISIONS = ("accuracy", "balanced_accuracy", "sensitivity", "specificity")
DUAL, SINGLE, UNGATED = "dual_encoder", "single autoencoder", "dual_encoder, no validation"
SEES_LABELS = ("logistic regression on HOG (supervised, sees labels)", "CNN (supervised, sees labels)")
TRIVIAL = ("trivial contrast", "trivial gradient", "trivial bytes")
COMPARED = "Paired differences"
NAMED = ("breastmnist", "brats2021", "resc")
"""The data sets that the abstract names."""
ROWS = (DUAL, SINGLE, UNGATED, "knn", *TRIVIAL, *SEES_LABELS)
_CLASSES = {"breastmnist": "abnormal: malignant; normal: normal or benign"}


class Place(NamedTuple):
    """Where figures stand: data set, number of normals (0 for all) and row."""

    data: str
    size: int
    row: str


class Images(NamedTuple):
    """What there is to train on.

    Args:
        normals: How many.
        labelled: Training images of both classes, None where that is not known.
        side: In pixels.
    """

    normals: int
    labelled: int | None
    side: int


@dataclass(frozen=True)
class Measured:
    """Results of one place, one per seed.

    Args:
        results: As the jobs returned them; all on the same test images.
        sees_labels: Whether scores are probabilities, flagged above one half.
    """

    results: Sequence[Result]
    sees_labels: bool

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(n,) 1 abnormal, 0 normal."""
        return np.asarray(self.results[0].value["labels"], np.int64)

    @property
    def groups(self) -> list[str] | None:
        """Patient of each test image, None where patients are not known."""
        return [str(group) for group in self.results[0].value["groups"]] or None

    @cached_property
    def scores(self) -> npt.NDArray[np.float64]:
        """(seeds, n), or (n,) of one seed."""
        return _of_seeds([np.asarray(result.value["own"]["test"], np.float64) for result in self.results])

    @cached_property
    def flags(self) -> npt.NDArray[np.bool_] | None:
        """Decisions, shaped as the scores; None where too few normals were held out for the rule."""
        if self.sees_labels:
            return np.asarray(self.scores > 0.5)
        rules = [self._calibration(result) for result in self.results]
        decided = [rule.flags(result.value["own"]["test"]) for rule, result in zip(rules, self.results, strict=True)]
        known = [flags for flags in decided if flags is not None]
        return _of_seeds(known) if len(known) == len(decided) else None

    @property
    def rule(self) -> str:
        """Say what decided, without its threshold, or why nothing did."""
        if self.sees_labels:
            return "probability > 0.5"
        status = self._calibration(self.results[0]).status
        return status.partition(" (")[2].removesuffix(")") or status

    @property
    def surprise(self) -> float | None:
        """How likely chance alone puts the test's false alarms, averaged over seeds, so far off the promise.

        None without a rule, and where patients are known, whose images are not independent.
        """
        if self.sees_labels or self.flags is None or self.groups is not None:
            return None
        normals = int(np.sum(self.labels == 0))
        flagged = round((1 - float(np.mean(self.by_seed("specificity")))) * normals)
        return self._calibration(self.results[0]).chance(flagged, normals)

    @cached_property
    def evaluation(self) -> Evaluation:
        """Every metric with its interval over patients, where known, and seeds."""
        return evaluate(self.labels, self.scores, flags=self.flags, groups=self.groups)

    def by_seed(self, metric: str) -> list[float]:
        """Return a metric of every seed by itself; empty where nothing was decided."""
        given = self.flags if metric in DECISIONS else self.scores
        function: Any = getattr(metrics, metric)
        return [] if given is None else [float(function(self.labels, run)) for run in np.atleast_2d(given)]

    def interval(self, metric: str) -> Interval | None:
        """Return a metric with its interval, None where nothing was decided."""
        return {**self.evaluation.ranking, **self.evaluation.decisions}.get(metric)

    def to_json(self) -> dict[str, Any]:
        """Return AUROC and decisions with bounds and values per seed, and how the fits went."""
        values = {}
        for metric in ("auroc", *DECISIONS):
            interval = self.interval(metric)
            if interval is not None:
                values[metric] = {**interval.to_json(), "by_seed": self.by_seed(metric)}
        kept = ("counts", "parameters", "epochs", "warnings", "fit_seconds")
        fits = [{name: result.value[name] for name in kept if name in result.value} for result in self.results]
        return {**values, "rule": self.rule, "prevalence": self.evaluation.prevalence, "fits": fits}

    @staticmethod
    def _calibration(result: Result) -> Calibration:
        return Calibration.fit(np.asarray(result.value["own"]["held_out"], np.float64), alpha=ALPHA)


def _of_seeds(runs: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.stack(runs) if len(runs) > 1 else runs[0]


@dataclass(frozen=True)
class Comparison:
    """The dual encoder against another row, on the same test images and seeds.

    Args:
        asked_by: What asks; all comparisons that it asks of are corrected together.
        data: Name of the data set.
        size: Number of normals, 0 for all.
        rival: The other row.
        metric: What is compared.
        difference: The dual encoder's minus the rival's.
        pvalue: Of no difference; nan where there is no test.
        corrected: The same after Holm, over all comparisons of its family.
    """

    asked_by: str
    data: str
    size: int
    rival: str
    metric: str
    difference: Interval
    pvalue: float
    corrected: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values; nan becomes None."""
        tests = {"pvalue": self.pvalue, "corrected": self.corrected}
        known = {name: None if math.isnan(value) else value for name, value in tests.items()}
        where = {"data": self.data, "size": self.size, "rival": self.rival, "metric": self.metric}
        return {"asked_by": self.asked_by, **where, "difference": self.difference.to_json(), **known}


def comparisons(
    found: Mapping[Place, Measured],
    planned: Sequence[Place],
    asked_by: str,
    metric: str,
    rivals: Sequence[str],
    sizes: Sequence[int] | None = None,
) -> list[Comparison]:
    """Compare the dual encoder with each rival at every place both stand at; one family of tests.

    Args:
        found: What was measured.
        planned: Every place there will be; a comparison that waits counts as one that shows nothing.
        asked_by: What asks.
        metric: auroc (paired DeLong) or accuracy (paired bootstrap).
        rivals: Rows.
        sizes: Numbers of normals; every one where None.
    """
    pairs, waiting = [], 0
    for place in planned:
        if place.row not in rivals or (sizes is not None and place.size not in sizes):
            continue
        ours, theirs = found.get(place._replace(row=DUAL)), found.get(place)
        if ours is None or theirs is None:
            waiting += 1
        elif (difference := _difference(metric, ours, theirs)) is not None:
            pairs.append((*place, metric, *difference))
    corrected = holm(np.asarray([*(pvalue for *_, pvalue in pairs), *[1.0] * waiting]))
    return [Comparison(asked_by, *pair, float(p)) for pair, p in zip(pairs, corrected, strict=False)]


def _difference(metric: str, ours: Measured, theirs: Measured) -> tuple[Interval, float] | None:
    if metric == "auroc":
        found = paired(ours.labels, ours.scores, theirs.scores, groups=ours.groups)
        return found.auroc, found.pvalue
    if ours.flags is None or theirs.flags is None:
        return None
    return bootstrap_paired(metrics.accuracy, ours.labels, ours.flags, theirs.flags, ours.groups)


def title(data: str) -> str:
    """Return the title of a data set's table."""
    return f"{DATA[data].title}: one-class methods and classifiers by number of normals"


def scored(data: str, found: Mapping[Place, Measured], images: Images, steps: int, quick: bool) -> Table:
    """List every row of a data set, by number of normals."""
    rows = []
    own = {place: measured for place, measured in found.items() if place.data == data}
    for place, measured in own.items():
        cells = [_cell(measured, metric) for metric in ("auroc", *DECISIONS)]
        rows.append([str(place.size or f"all {images.normals}"), place.row, *cells])
    columns = ["normals", "method", "auroc", *(metric.replace("_", " ") for metric in DECISIONS)]
    notes = [
        "our reading of an abstract: no architecture, loss or epochs are given there; about "
        f"{steps} steps a phase at {images.side} px",
        "no published number exists to stand beside these",
        *([_CLASSES[data]] if data in _CLASSES else []),
        *_notes(list(own.values()), images),
    ]
    if quick:
        notes.append("quick: a check that all runs, with too few steps and one seed")
    return Table(title(data), columns, rows, notes)


def _notes(own: Sequence[Measured], images: Images) -> list[str]:
    """Say what the figures of a table rest on."""
    notes = ["mean ± sd over seeds [95 % interval over images, or patients where known, and seeds]; of one run "
             "the interval leaves out what another would change"]  # fmt: skip
    if own:
        share = own[0].evaluation.prevalence
        answer = "abnormal" if share > 0.5 else "normal"
        notes.append(f"answering {answer} always would have an accuracy of {max(share, 1 - share):.3f}")
        if own[0].groups is None:
            notes.append("patients are not known: images count as independent, and intervals are too narrow where a "
                         "patient has several")  # fmt: skip
    rules = {measured.rule for measured in own if not measured.sees_labels}
    notes += [f"rule of the one-class rows: {rule}" for rule in sorted(rules)]
    surprises = [one.surprise for one in own if one.surprise is not None]
    if surprises:
        beyond = int(np.sum(holm(np.asarray(surprises)) <= ALPHA))
        unlike = ", so these differ from those" if beyond else ""
        notes.append("its rate holds for normals like the held-out normals; false alarms on the test normals are more "
                     f"or fewer than chance explains (after Holm) in {beyond} of {len(surprises)} rows"
                     f"{unlike}")  # fmt: skip
    if any(measured.flags is None for measured in own):
        notes.append("a dash: too few held-out normals for the rule")
    notes.append("the held-out normals of the rule come on top of the normals in the first column")
    if any(measured.sees_labels for measured in own):
        most = f"{images.normals:,}" + (f" of {images.labelled:,} labelled images" if images.labelled else "")
        notes.append(f"supervised rows saw as many labelled images as the others saw normals, at most {most}, both "
                     "classes in the data's shares; they are flagged above a probability of 0.5")  # fmt: skip
    return notes


def _cell(measured: Measured, metric: str) -> str:
    interval = measured.interval(metric)
    if interval is None:
        return "–"
    values = measured.by_seed(metric)
    return spread(values) if math.isnan(interval.low) else with_interval(interval, values)


def compared(tests: Sequence[Comparison], sizes: Mapping[str, int]) -> Table:
    """List paired differences with their p-values.

    Args:
        tests: Comparisons, those of one claim together.
        sizes: Data sets to how many normals there are.
    """
    rows = []
    for one in tests:
        pvalues = [_pvalue(p) for p in (one.pvalue, one.corrected)]
        size = str(one.size or f"all {sizes[one.data]}")
        rows.append([one.asked_by, DATA[one.data].title, size, one.metric, one.rival, str(one.difference), *pvalues])
    columns = ["asked by", "data", "normals", "metric", "dual_encoder minus", "difference", "p", "p after Holm"]
    notes = [
        "same test images and seeds; over images (patients where known) and seeds, AUROC by paired DeLong and accuracy "
        "by a paired bootstrap",
        "Holm over the rows with one entry in the first column; a comparison that two claims ask of stands twice",
    ]
    return Table(COMPARED, columns, rows, notes)


def _pvalue(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}" if value >= 1e-4 else "< 0.0001"


_LINES: dict[str, tuple[str, Any, str]] = {
    DUAL: (PALETTE[0], "-", "o"),
    SINGLE: (PALETTE[3], "-", "s"),
    UNGATED: (PALETTE[0], (0, (2, 2)), ""),
    "knn": (PALETTE[1], "-", "^"),
    SEES_LABELS[0]: (PALETTE[2], (0, (5, 2)), "v"),
    SEES_LABELS[1]: (PALETTE[2], (0, (1, 1.5)), "D"),
    **dict.fromkeys(TRIVIAL, ("#c3ccd5", "-", "")),
}


def curves(name: str, found: Mapping[Place, Measured], sizes: Mapping[str, int]) -> Figure:
    """Draw AUROC and balanced accuracy against the number of normals, a row of axes per data set."""
    title = "AUROC and balanced accuracy against the number of normals"
    sets = list(dict.fromkeys(place.data for place in found))

    def paint(axes: Any) -> None:
        grid = np.reshape(axes, (len(sets), 2))
        for data, pair in zip(sets, grid, strict=True):
            for metric, axis in zip(("auroc", "balanced_accuracy"), pair, strict=True):
                _paint(axis, {place: m for place, m in found.items() if place.data == data}, metric, sizes[data])
                axis.set(title=DATA[data].title, ylabel="AUROC" if metric == "auroc" else "balanced accuracy")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        grid[0, 0].figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=2)

    size = (8.6, 3.0 * len(sets) + 1.6)
    return Figure(name, title, draw(paint, rows=len(sets), columns=2, size=size))


def _paint(axis: Any, found: Mapping[Place, Measured], metric: str, every: int) -> None:
    axis.axhline(0.5, color="#52606d", linewidth=0.8, zorder=1)
    for row in reversed(_LINES):
        known = [(place.size or every, m) for place, m in found.items() if place.row == row and m.interval(metric)]
        points = [(x, m.interval(metric)) for x, m in sorted(known, key=lambda one: one[0])]
        if not points:
            continue
        x, intervals = zip(*points, strict=True)
        values = np.asarray([interval.value for interval in intervals])
        colour, dash, marker = _LINES[row]
        label = None if row in TRIVIAL[1:] else "trivial statistics" if row in TRIVIAL else row
        axis.plot(x, values, color=colour, linestyle=dash, marker=marker, markersize=5, label=label)
        if row in (DUAL, SINGLE):
            low, high = (np.asarray([getattr(interval, end) for interval in intervals]) for end in ("low", "high"))
            axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    ticks = sorted({place.size or every for place in found})
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"all {n}" if n == every else str(n) for n in ticks])
    axis.minorticks_off()
    axis.set(ylim=(0, 1), xlabel="training normals (labelled images for supervised rows)")
