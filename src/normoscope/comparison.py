"""Honest figures for one model, and for several side by side; trivial baselines always stand beside them.

Model, Collection --assess--> Assessment (scores, p-values, flags, Evaluation, trivial rows)
recipes, Partition --compare--> Comparison (a row per method and per trivial statistic, paired differences)
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from . import methods
from .errors import TooFewImagesError, UnreadableImageError, UnreadableImagesError
from .evaluation import Evaluation, PairedDifference, evaluate, paired
from .images import batches
from .methods.trivial import Direction, Statistic, Trivial
from .model import Model, fit, rescore
from .own_images import chosen
from .partitions import Partition
from .rescoring import check_recipe
from .scoring import Scoring
from .splits import patients_of
from .statistics import Interval, holm
from .transforms import Prepared
from .types import Collection, Detector, Images, Method, Run, Sample

__all__ = ["Assessment", "Comparison", "Recipe", "Row", "assess", "compare", "with_masks"]

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Assessment:
    """One model on one set of labelled test images.

    Args:
        model: The model.
        collection: Where the images came from.
        part: Which of its images were used, in words.
        prepared: The images.
        labels: (n,) 1 anomalous, 0 normal.
        scores: (n,) raw, higher is more anomalous.
        pvalues: (n,) conformal; None where not calibrated.
        flags: (n,) decisions of the frozen rule; None where not calibrated.
        evaluation: Every figure with its interval.
        baselines: AUROC of each trivial row, named as in tables.
        margins: The model's AUROC minus each trivial row's.
        notes: Sentences the reader must see.
        seconds: Time the scoring took.
    """

    model: Model
    collection: Collection
    part: str
    prepared: Prepared
    labels: npt.NDArray[np.int64]
    scores: Scores
    pvalues: Scores | None
    flags: npt.NDArray[np.bool_] | None
    evaluation: Evaluation
    baselines: Mapping[str, Interval]
    margins: Mapping[str, PairedDifference]
    notes: tuple[str, ...]
    seconds: float


def assess(
    model: Model, collection: Collection, *, skip_unreadable: bool = False, progress: bool = False
) -> Assessment:
    """Score the test images of a labelled collection and measure.

    Raises:
        LeakageError: A test image was used in fitting.
        TooFewImagesError: No labelled test image.
        UnreadableImagesError: Images or their masks cannot be read, and `skip_unreadable` is off or none is left.
    """
    samples, part = model.test_samples(collection)
    samples = [sample for sample in samples if sample.label is not None]
    if not samples:
        raise TooFewImagesError("test", 1, 0, "give labelled images")
    prepared = model.prepare(samples, skip_unreadable=skip_unreadable, progress=progress)
    model.check_unseen(prepared)
    if model.owns(collection):
        model.check_unchanged(prepared)
    prepared, masks = with_masks(model, prepared, skip_unreadable)
    began = time.perf_counter()
    scores = model.scores(prepared.images, progress=progress)
    seconds = time.perf_counter() - began
    labels = _labels(prepared.samples)
    flags = model.calibration.flags(scores)
    groups = patients_of(prepared.samples)
    trivial = _trivial_rows(model.baselines, prepared.images, labels, groups)
    evaluation = evaluate(
        labels,
        scores,
        flags=flags,
        groups=groups,
        subgroups=_subgroups(prepared.samples),
        **_pixels(model, prepared, masks, progress),
    )
    return Assessment(
        model,
        collection,
        part,
        prepared,
        labels,
        scores,
        model.calibration.pvalues(scores) if model.calibration.calibrated else None,
        flags,
        evaluation,
        {name: auroc for name, (auroc, _) in trivial.items()},
        {name: paired(labels, scores, theirs, groups=groups) for name, (_, theirs) in trivial.items()},
        (
            *collection.notes,
            *(() if model.owns(collection) else model.shape_notes(prepared)),
            *evaluation.notes,
            *(f"not read: {problem}" for problem in prepared.problems),
        ),
        seconds,
    )


def _labelled(data: Partition) -> Partition:
    """Leave out test images of which nobody says what they are."""
    rows = [row for row, sample in enumerate(data.samples["test"]) if sample.label is not None]
    images, samples = data.images["test"].subset(rows), [data.samples["test"][row] for row in rows]
    return replace(data, images={**data.images, "test": images}, samples={**data.samples, "test": samples})


def _labels(samples: Sequence[Sample]) -> npt.NDArray[np.int64]:
    return np.asarray([int(bool(sample.label)) for sample in samples], np.int64)


def _subgroups(samples: Sequence[Sample]) -> dict[str, list[str]]:
    columns = sorted({column for sample in samples for column in sample.subgroups})
    return {column: [sample.subgroups.get(column, "") for sample in samples] for column in columns}


def with_masks(
    model: Model, prepared: Prepared, skip_unreadable: bool
) -> tuple[Prepared, npt.NDArray[np.bool_] | None]:
    """Read the masks, where the data has them and the model draws maps; leave out images whose mask cannot be read.

    Raises:
        UnreadableImagesError: Some cannot be, and `skip_unreadable` is off or none is left.
    """
    if not model.localizes or not any(sample.read_mask and sample.label for sample in prepared.samples):
        return prepared, None
    empty = np.zeros((model.preprocessor.size,) * 2, bool)
    masks: dict[int, npt.NDArray[np.bool_]] = {}
    problems = []
    for row, sample in enumerate(prepared.samples):
        try:
            masks[row] = model.preprocessor.mask(sample.read_mask()) if sample.read_mask else empty
        except UnreadableImageError as problem:
            problems.append(problem)
    if problems and not (skip_unreadable and masks):
        raise UnreadableImagesError(problems, len(prepared.samples))
    kept = replace(chosen(prepared, np.array(list(masks), int)), problems=(*prepared.problems, *problems))
    return kept, np.array(list(masks.values()), bool)


def _pixels(model: Model, prepared: Prepared, masks: npt.NDArray[np.bool_] | None, progress: bool) -> dict[str, Any]:
    """Masks and maps, where there are masks to compare the maps with."""
    if masks is None:
        return {}
    maps = np.stack(list(model.maps(prepared.images, progress=progress)))
    found = {"masks": masks, "maps": maps}
    return (
        found if model.region_judge is None else found | {"pred_masks": np.stack([model.marked(one) for one in maps])}
    )


def _trivial_rows(
    baselines: Mapping[str, Detector], images: Images, labels: npt.NDArray[np.int64], groups: list[str] | None
) -> dict[str, tuple[Interval, Scores]]:
    """AUROC and scores of the trivial statistics: two-sided, and both directions with the better one marked oracle."""
    rows: dict[str, tuple[Interval, Scores]] = {}
    for statistic in Statistic:
        state = baselines[statistic.value].state()
        found = {}
        for direction in Direction:
            scores = _scores(Trivial(statistic=statistic, direction=direction).restore(state), images)
            found[direction] = evaluate(labels, scores, groups=groups).auroc, scores
        names = _names(statistic, {direction: auroc for direction, (auroc, _) in found.items()})
        rows |= {names[direction]: row for direction, row in found.items()}
    return rows


def _names(statistic: Statistic, aurocs: Mapping[Direction, Interval]) -> dict[Direction, str]:
    """Name the three rows; only labels can tell which fixed direction is the better one."""
    better = max((Direction.LOW, Direction.HIGH), key=lambda direction: aurocs[direction].value)
    known = not math.isnan(aurocs[better].value)  # without labels of both kinds neither is
    marks = {direction: " (oracle)" if direction is better and known else "" for direction in Direction}
    return {direction: f"trivial {statistic.value}, {direction.value}{marks[direction]}" for direction in Direction}


def _scores(detector: Detector, images: Images) -> Scores:
    parts = [detector.anomaly_score(batch).double().cpu().numpy() for batch in batches(images)]
    return np.concatenate(parts) if parts else np.empty(0)


@dataclass(frozen=True)
class Recipe:
    """A method to compare: its row's name, its registry name, its hyperparameters, and how it is scored.

    Recipes that differ in the scoring alone are fitted once.
    """

    row: str
    method: str
    recipe: Method
    scoring: Scoring | None = None


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        evaluation: Figures over all seeds.
        scores: (seeds, n).
        fit_seconds: Mean time to fit.
        recipe: Hyperparameters.
        honest: False for rows that presume which way anomalies deviate, as only labels could tell.
        difference: AUROC difference to the first method; None for the first and for rows that are not honest.
        corrected: Its p-value after Holm's correction over all differences.
    """

    evaluation: Evaluation
    scores: Scores
    fit_seconds: float
    recipe: Mapping[str, Any]
    honest: bool = True
    difference: PairedDifference | None = None
    corrected: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Rows in the order asked for, trivial rows last; `first` is what differences are taken to."""

    rows: Mapping[str, Row]
    first: str
    seeds: int
    notes: tuple[str, ...]


def compare(
    recipes: Sequence[Recipe], data: Partition, run: Run, *, seeds: int = 1, false_alarms: float = 0.05
) -> Comparison:
    """Fit every method on the same parts for several seeds and measure all on the same test images.

    Args:
        recipes: What to fit; the trivial rows are added.
        data: The four parts.
        run: Device, precision and threads; its seed is the first of `seeds` successive ones.
        seeds: How often each method is fitted.
        false_alarms: Wished rate of the frozen rule.

    Raises:
        OptionError: A scoring for a method that does not reconstruct.
        TooFewImagesError: The data has no test images, or of one kind alone.
    """
    data = _labelled(data)
    test, samples = data.images["test"], data.samples["test"]
    if not samples:
        raise TooFewImagesError("test", 1, 0, "give labelled images")
    labels, groups = _labels(samples), patients_of(samples)
    for label, kind in enumerate(("normal", "abnormal")):
        if label not in labels:
            raise TooFewImagesError(f"{kind} images of the test part", 1, 0, "a comparison needs both kinds")
    for item in recipes:
        check_recipe(item.method, item.recipe, item.scoring)
    rows: dict[str, Row] = {}
    notes = list(data.notes)
    fitted: dict[tuple[Method, int], Model] = {}
    left = Counter(item.recipe for item in recipes)
    for item in recipes:
        models, taken = [], []
        for seed in range(run.seed, run.seed + seeds):
            if (item.recipe, seed) not in fitted:
                how = run.replace(seed=seed)
                fitted[item.recipe, seed] = fit(item.method, item.recipe, data, run=how, false_alarms=false_alarms)
            model = fitted[item.recipe, seed]
            models.append(rescore(model, item.scoring, data, false_alarms=false_alarms) if item.scoring else model)
            taken.append(model.provenance["training"]["seconds"])
        left -= Counter([item.recipe])
        if not left[item.recipe]:  # no later row scores these models otherwise: free them
            fitted = {key: model for key, model in fitted.items() if key[0] != item.recipe}
        scores = np.stack([model.scores(test, progress=run.progress) for model in models])
        flags = [model.calibration.flags(s) for model, s in zip(models, scores, strict=True)]
        rows[item.row] = Row(
            evaluate(labels, scores if seeds > 1 else scores[0], flags=_stacked(flags), groups=groups),
            scores,
            float(np.mean(taken)),
            methods.to_json(item.recipe) | ({"scoring": item.scoring.to_json()} if item.scoring else {}),
        )
        told = [(model.provenance["seed"], model.provenance["notes"]) for model in models]
        notes += [f"{item.row}, seed {seed}: {own}" for seed, every in told for own in every if own not in data.notes]
    if seeds == 1 and any("epochs" in row.recipe for row in rows.values()):
        notes.append("one seed: intervals and p-values are of these fitted models; trained again, a method scores "
                     "otherwise, which only several seeds can tell")  # fmt: skip
    first = next(iter(rows))
    rows |= _trivial_comparison(data, labels, groups, run)
    return Comparison(_with_differences(rows, first, labels, groups), first, seeds, tuple(notes))


def _stacked(flags: Sequence[npt.NDArray[np.bool_] | None]) -> npt.NDArray[np.bool_] | None:
    known = [f for f in flags if f is not None]
    if len(known) < len(flags):
        return None
    return np.stack(known) if len(known) > 1 else known[0]


def _trivial_comparison(
    data: Partition, labels: npt.NDArray[np.int64], groups: list[str] | None, run: Run
) -> dict[str, Row]:
    """Fit and measure the nine trivial rows."""
    rows: dict[str, Row] = {}
    for statistic in Statistic:
        found = {}
        for direction in Direction:
            recipe = Trivial(statistic=statistic, direction=direction)
            began = time.perf_counter()
            detector = recipe.fit(data.images["train"], run)
            seconds = time.perf_counter() - began
            scores = _scores(detector, data.images["test"])
            evaluation = evaluate(labels, scores, groups=groups)
            honest = direction is Direction.TWO_SIDED
            found[direction] = Row(evaluation, scores[None], seconds, methods.to_json(recipe), honest)
        names = _names(statistic, {direction: row.evaluation.auroc for direction, row in found.items()})
        rows |= {names[direction]: row for direction, row in found.items()}
    return rows


def _with_differences(
    rows: dict[str, Row], first: str, labels: npt.NDArray[np.int64], groups: list[str] | None
) -> dict[str, Row]:
    """Pair every row that saw no labels with the first, and correct the p-values together."""
    reference = rows[first].scores
    others = [name for name, row in rows.items() if name != first and row.honest]
    differences = {name: paired(labels, rows[name].scores, reference, groups=groups) for name in others}
    corrected = holm(np.asarray([d.pvalue for d in differences.values()]))
    for (name, difference), p in zip(differences.items(), corrected, strict=True):
        rows[name] = replace(rows[name], difference=difference, corrected=float(p))
    return rows
