"""Everything that is said about scores on a test set, each number with its interval.

    labels, scores, flags, masks, maps --evaluate--> Evaluation --> to_json() for machines, table() for people

Every metric in `metrics.__all__` whose inputs are given appears. What cannot be computed (one class only) is said
in a sentence where the interval's origin would stand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int

from . import metrics
from .delong import delong_paired
from .errors import ScoresError
from .intervals import Intervals, missing_class
from .metrics import Metric, of_kind, title
from .statistics import Interval, seeds_interval

__all__ = ["Evaluation", "PairedDifference", "Subgroup", "evaluate", "paired"]

_FEW = 20
"""Images or patients of a class below which percentile intervals are told to be too narrow."""


@dataclass(frozen=True)
class Subgroup:
    """Figures of one subgroup (one sex, one site ...).

    Args:
        n_normal: Normal images in it.
        n_abnormal: Abnormal images in it.
        auroc: Its AUROC; a nan value with the reason where a class is missing.
        false_alarm_rate: Share of its normals flagged; None without decisions.
    """

    n_normal: int
    n_abnormal: int
    auroc: Interval
    false_alarm_rate: Interval | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values; nan becomes None."""
        alarms = None if self.false_alarm_rate is None else self.false_alarm_rate.to_json()
        counts = {"n_normal": self.n_normal, "n_abnormal": self.n_abnormal}
        return {**counts, "auroc": self.auroc.to_json(), "false_alarm_rate": alarms}


@dataclass(frozen=True)
class Evaluation:
    """What the scores are worth on these test images.

    Args:
        n_normal: Normal test images.
        n_abnormal: Abnormal test images.
        positive_class: What abnormal images are called.
        ranking: Metrics of the scores by name, averaged over seeds.
        decisions: Metrics of the frozen rule by name; empty without one.
        pixels: Metrics of the maps and predicted masks by name; empty without masks.
        lesion_share: Share of lesion pixels, the pixel AP of maps without information; nan without masks.
        auroc_by_seed: One AUROC per seed.
        subgroups: Column to value to figures.
        notes: Sentences the reader must see.
    """

    n_normal: int
    n_abnormal: int
    positive_class: str
    ranking: Mapping[str, Interval]
    decisions: Mapping[str, Interval] = field(default_factory=dict)
    pixels: Mapping[str, Interval] = field(default_factory=dict)
    lesion_share: float = math.nan
    auroc_by_seed: tuple[float, ...] = ()
    subgroups: Mapping[str, Mapping[str, Subgroup]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def auroc(self) -> Interval:
        """AUROC with its interval."""
        return self.ranking["auroc"]

    @property
    def prevalence(self) -> float:
        """Share of abnormal test images: what AUPR reaches without information."""
        total = self.n_normal + self.n_abnormal
        return self.n_abnormal / total if total else math.nan

    def positive(self, metric: str) -> tuple[str, float]:
        """Return the class a ranking metric takes as positive, and its prevalence."""
        return ("normal", 1 - self.prevalence) if metric == "aupr_normal" else (self.positive_class, self.prevalence)

    def to_json(self) -> dict[str, Any]:
        """Return every figure under its metric's name, in plain values; nan becomes None."""
        ranking = {}
        for name, interval in self.ranking.items():
            positive, prevalence = self.positive(name)
            of_class = {"positive_class": positive, "prevalence": _or_none(prevalence)}
            ranking[name] = {**interval.to_json(), **of_class, "point_of_test_curve": _is_point(name)}
        return {
            "n_normal": self.n_normal,
            "n_abnormal": self.n_abnormal,
            "prevalence": _or_none(self.prevalence),
            "positive_class": self.positive_class,
            **ranking,
            **{name: interval.to_json() for name, interval in {**self.decisions, **self.pixels}.items()},
            "lesion_share": _or_none(self.lesion_share),
            "auroc_by_seed": [_or_none(value) for value in self.auroc_by_seed],
            "subgroups": {
                column: {value: row.to_json() for value, row in rows.items()} for column, rows in self.subgroups.items()
            },
            "notes": list(self.notes),
        }

    def table(self) -> str:
        """Return an aligned table in plain text."""
        rows = [(self._label(name), str(value), self._remark(name, value)) for name, value in self._all()]
        for column, values in self.subgroups.items():
            for value, row in values.items():
                counts = f"{row.n_normal} normal, {row.n_abnormal} abnormal"
                rows.append((f"AUROC, {column} = {value}", str(row.auroc), f"{counts}; {row.auroc.how}"))
                if row.false_alarm_rate is not None:
                    alarms = row.false_alarm_rate
                    rows.append((f"false alarms, {column} = {value}", str(alarms), alarms.how))
        widths = [max(len(row[i]) for row in rows) for i in range(2)]
        lines = [f"{name:<{widths[0]}}  {value:<{widths[1]}}  {remark}".rstrip() for name, value, remark in rows]
        return "\n".join([self._heading(), *lines, *self._seed_line(), *(f"note: {note}" for note in self.notes)])

    def _all(self) -> list[tuple[str, Interval]]:
        return list({**self.ranking, **self.decisions, **self.pixels}.items())

    def _heading(self) -> str:
        counts = f"{self.n_normal} normal, {self.n_abnormal} abnormal"
        what = "" if self.positive_class == "abnormal" else f" ({self.positive_class})"
        return f"{self.n_normal + self.n_abnormal} test images: {counts}{what}; values with 95 % intervals"

    def _label(self, name: str) -> str:
        """Name the metric, and the positive class where it matters most."""
        return f"AUPR, {self.positive(name)[0]} positive" if name.startswith("aupr_") else title(name)

    def _remark(self, name: str, interval: Interval) -> str:
        """Say beside a value what one must know to read it."""
        if _is_point(name):
            return f"(point of the test curve) {interval.how}"
        if name.startswith("aupr_"):
            return f"prevalence {self.positive(name)[1]:.3f}; {interval.how}"
        if name == "pixel_ap":
            return f"share of lesion pixels {self.lesion_share:.4f}; {interval.how}"
        return interval.how

    def _seed_line(self) -> list[str]:
        if len(self.auroc_by_seed) < 2:
            return []
        interval, sd = seeds_interval(np.array(self.auroc_by_seed))
        return [f"AUROC over {len(self.auroc_by_seed)} seeds: {interval}, sd {sd:.3f} (seeds alone)"]


@dataclass(frozen=True)
class PairedDifference:
    """Two methods on the same test images.

    Args:
        auroc: AUROC of the first minus that of the second.
        pvalue: Two-sided, of no difference; nan where there is no test. Adjust several with `statistics.holm`.
    """

    auroc: Interval
    pvalue: float

    @property
    def how(self) -> str:
        """How interval and p-value were made."""
        return self.auroc.how

    def to_json(self) -> dict[str, Any]:
        """Return plain values; nan becomes None."""
        return {"auroc": self.auroc.to_json(), "pvalue": _or_none(self.pvalue)}


def evaluate(
    labels: Int[np.ndarray, " n"],
    scores: Float[np.ndarray, "*seeds n"],
    *,
    flags: Bool[np.ndarray, "*seeds n"] | None = None,
    groups: Sequence[str] | None = None,
    subgroups: Mapping[str, Sequence[str]] | None = None,
    masks: Bool[np.ndarray, "n h w"] | None = None,
    maps: Float[np.ndarray, "*seeds n h w"] | None = None,
    pred_masks: Bool[np.ndarray, "*seeds n h w"] | None = None,
    positive_class: str = "abnormal",
    seed: int = 0,
    draws: int = 2000,
) -> Evaluation:
    """Evaluate scores, decisions and maps on a test set.

    AUROC has DeLong's interval, over images or patients, and seeds, and exact bounds at 0 and 1. Rates at the frozen
    rule have exact binomial bounds for one seed and independent images, and at 0 and 1, there counting patients where
    they are known. All else is bootstrapped over images or patients, and seeds, by percentiles: with 100 normal and 15
    abnormal images and a true AUROC of 0.76, 90 % of the intervals of the abnormal class's AUPR hold the truth, 86 % of
    the normal class's, and 72 % of those of the false-positive rate at 95 % sensitivity. A note says so.

    Args:
        labels: 1 anomalous, 0 normal.
        scores: Higher is more anomalous; one row per seed where there are several.
        flags: Decisions of a rule frozen before the test.
        groups: Patient of each image, the unit drawn by the bootstrap.
        subgroups: Column to one value per image, for figures per value.
        masks: Lesions; all 0 on normal images.
        maps: Per-pixel scores on the masks' grid.
        pred_masks: Decisions per pixel.
        positive_class: What the abnormal class is called in outputs.
        seed: Of the bootstrap.
        draws: Of the bootstrap.

    Raises:
        ScoresError: Shapes differ, a label is not 0 or 1, or a score is not finite.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    by_seed = tuple(metrics.auroc(labels, run) for run in np.atleast_2d(scores))  # also checks what was passed
    how = Intervals(None if groups is None else _per_image("groups", groups, labels), draws, seed)
    decided = None if flags is None else np.asarray(flags)
    columns = {column: _per_image(column, values, labels) for column, values in (subgroups or {}).items()}
    return Evaluation(
        n_normal=int(np.sum(labels == 0)),
        n_abnormal=int(np.sum(labels == 1)),
        positive_class=positive_class,
        ranking={name: how.of_ranking(metric, labels, scores) for name, metric in of_kind("scores").items()},
        decisions={}
        if decided is None
        else {name: how.of_decisions(metric, labels, decided) for name, metric in of_kind("flags").items()},
        pixels={} if masks is None else _pixels(np.asarray(masks), maps, pred_masks, how),
        lesion_share=math.nan if masks is None else float(np.mean(masks)),
        auroc_by_seed=by_seed,
        subgroups={column: _subgroups(labels, scores, decided, values, how) for column, values in columns.items()},
        notes=(*_notes(labels, masks), *_few(labels, how.groups)),
    )


def paired(
    labels: Int[np.ndarray, " n"],
    a: Float[np.ndarray, "*seeds n"],
    b: Float[np.ndarray, "*seeds n"],
    *,
    groups: Sequence[str] | None = None,
) -> PairedDifference:
    """Compare the AUROC of two methods by paired DeLong over images or patients, and seeds.

    Args:
        labels: 1 anomalous, 0 normal.
        a: Scores of the first method; one row per seed where there are several.
        b: Scores of the second, on the same images.
        groups: Patient of each image.

    Raises:
        ScoresError: As `evaluate`.
    """
    labels, a, b = np.asarray(labels), np.asarray(a), np.asarray(b)
    patients = None if groups is None else _per_image("groups", groups, labels)
    if missing := missing_class(labels):
        return PairedDifference(Interval.without_bounds(math.nan, f"{missing}: AUROC cannot be compared"), math.nan)
    return PairedDifference(*delong_paired(labels, a, b, patients))


def _pixels(
    masks: npt.NDArray[Any], maps: npt.NDArray[Any] | None, pred_masks: npt.NDArray[Any] | None, how: Intervals
) -> dict[str, Interval]:
    """Every pixel metric whose input is given."""
    judged = {**_with(of_kind("maps"), maps), **_with(of_kind("pred_masks"), pred_masks)}
    return {name: how.of_pixels(metric, masks, np.asarray(given)) for name, (metric, given) in judged.items()}


def _with(kind: dict[str, Metric], given: npt.NDArray[Any] | None) -> dict[str, tuple[Metric, npt.NDArray[Any]]]:
    """Pair metrics with their input, if there is one."""
    return {} if given is None else {name: (metric, given) for name, metric in kind.items()}


def _subgroups(
    labels: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    flags: npt.NDArray[Any] | None,
    values: npt.NDArray[Any],
    how: Intervals,
) -> dict[str, Subgroup]:
    """Figures for every value of one column."""
    found = {}
    for value in np.unique(values):
        rows = values == value
        own, within = labels[rows], how.within(rows)
        found[str(value)] = Subgroup(
            n_normal=int(np.sum(own == 0)),
            n_abnormal=int(np.sum(own == 1)),
            auroc=within.of_ranking(metrics.auroc, own, scores[..., rows]),
            false_alarm_rate=None if flags is None else _false_alarms(own, flags[..., rows], within),
        )
    return found


def _false_alarms(labels: npt.NDArray[Any], flags: npt.NDArray[Any], how: Intervals) -> Interval:
    """One minus the specificity."""
    kept = how.of_decisions(metrics.specificity, labels, flags)
    return Interval(1 - kept.value, 1 - kept.high, 1 - kept.low, kept.how)


def _notes(labels: npt.NDArray[Any], masks: npt.NDArray[Any] | None) -> tuple[str, ...]:
    """What the reader must know and no figure says."""
    notes = (
        [f"{missing}: nothing that compares the classes can be computed"] if (missing := missing_class(labels)) else []
    )
    if masks is not None:
        empty = ~np.any(np.reshape(masks, (len(labels), -1)), axis=1)
        if unmarked := int(np.sum(empty & (labels == 1))):
            notes.append(f"{unmarked} abnormal images have an empty mask; their pixels count as normal")
        if marked := int(np.sum(~empty & (labels == 0))):
            notes.append(f"{marked} normal images have lesion pixels in their mask; check labels and masks")
    return tuple(notes)


def _few(labels: npt.NDArray[Any], groups: npt.NDArray[Any] | None) -> tuple[str, ...]:
    """Say where a class has so few images or patients that drawing them again shows too little of their spread."""
    units, unit = (np.arange(len(labels)), "images") if groups is None else (groups, "patients")
    counts = {kind: len(np.unique(units[labels == label])) for label, kind in enumerate(("normal", "abnormal"))}
    kind = min(counts, key=lambda name: counts[name])
    if not 1 < counts[kind] < _FEW:
        return ()
    of = f"{counts[kind]} {kind} {unit}" if groups is None else f"{counts[kind]} {unit} with {kind} images"
    return (
        f"{of}: with so few, the bootstrapped intervals (of AUPR, of points of the test curve) are too narrow; they "
        "hold the truth less often than 95 % of the time",
    )


def _per_image(what: str, values: npt.ArrayLike, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Check that there is one value per image."""
    array = np.asarray(values)
    if array.shape != labels.shape:
        raise ScoresError(what, f"{len(labels)} values, one per image", f"shape {array.shape}", "pass one per image")
    return array


def _is_point(metric: str) -> bool:
    """Whether the metric's threshold was chosen on the test images."""
    return "_at_" in metric


def _or_none(value: float) -> float | None:
    """JSON has no nan."""
    return None if math.isnan(value) else value
