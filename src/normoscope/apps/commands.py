"""What each command does: arguments in, one result out; all heavy imports live behind this module."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from .. import methods, sources, summary
from ..comparison import Assessment, Comparison, Recipe, assess
from ..comparison import compare as compare_methods
from ..errors import NormalClassError, OptionError, TooFewImagesError
from ..latents import latent_entropy
from ..model import RECALIBRATE, Model
from ..model import fit as fit_model
from ..own_images import chosen
from ..partitions import Partition, partition
from ..persistence import check_target, load_model, replace_calibration, save_model
from ..randomisation import Verdict
from ..splits import PARTS, patients_of
from ..statistics import false_discovery_rates
from ..transforms import Prepared
from ..types import Collection, Sample
from ..written import PATIENT, PATIENTS, Written, read_json, write_atomically
from .arguments import (
    SCORING,
    Args,
    collection_of,
    command_line,
    partition_of,
    progress_of,
    run_of,
    scoring_from,
    scoring_of,
    with_lists,
)
from .fitting import fit
from .output import calibration_json, emit, note, stamped, table, unread

__all__ = ["calibrate", "compare", "demo", "entropy", "evaluate", "fit", "inspect", "report", "score"]


def inspect(args: Args) -> int:
    """Look at data before anything is fitted: classes, splits, sizes, what cannot be read, copies."""
    from ..inspection import inspect as look

    found = look(collection_of(args, labelled=False), progress=progress_of(args))
    emit("inspect", found.to_json(), found.table(), args.json)
    return 0 if not found.problems or args.skip_unreadable else 2


def score(args: Args) -> int:
    """Score images; every image asked for has its row, unreadable ones say why."""
    out, maps = Written.SCORES.path(args.out), args.maps and Written.MAPS.folder(args.maps, "maps.csv")
    if maps and out.resolve().is_relative_to(maps.resolve()):
        raise OptionError("--out", str(out), f"a file outside {maps}, where --maps names its files itself")
    run = run_of(args)
    model = load_model(args.model, run)
    if maps:
        model.check_localizes("--maps")
    collection = collection_of(args, labelled=False, model=model)
    prepared = model.prepare(collection.samples, skip_unreadable=args.skip_unreadable, progress=run.progress)
    began = time.perf_counter()
    scores = model.scores(prepared.images, progress=run.progress)
    seconds = time.perf_counter() - began
    kept = {sample.name for sample in prepared.samples}
    left_out = [sample for sample in collection.samples if sample.name not in kept]
    write_atomically(out, _scores_csv(model, prepared, scores, left_out))
    if maps:
        from ..heatmaps import write_maps

        check = write_maps(model, prepared, maps, progress=run.progress)
        if check.verdict is Verdict.FAILS:
            note(f"the maps: each {check.sentence}", args.quiet)
    flags = model.calibration.flags(scores)
    content = {
        "scores": str(out),
        "method": model.method,
        "preset": model.preset,
        "images": len(scores),
        "seen": model.seen(prepared),
        "flagged": None if flags is None else int(flags.sum()),
        "not_scored": [
            {"image_path": sample.name, "cause": p.cause} for sample, p in zip(left_out, prepared.problems, strict=True)
        ],
        "calibration": calibration_json(model),
        "timing": {"score_seconds": seconds, "score_images_per_second": len(scores) / seconds if seconds else None},
        "hardware": {"device": str(run.torch_device), "threads": torch.get_num_threads()},
    }
    flagged = "not calibrated" if flags is None else f"{int(flags.sum())} of {len(scores)} flagged"
    patients = patients_of(prepared.samples)
    if patients and flags is not None:
        reached = len({patient for patient, flag in zip(patients, flags, strict=True) if flag})
        content["patients"] = {"scored": len({*patients}), "flagged": reached}
        flagged += f"; {reached} of {len({*patients})} patients have a flagged image"
    rows = [
        ["model", f"{args.model}: {model.method} (preset {model.preset})"],
        ["images", f"{len(scores)} scored, {len(prepared.problems)} not readable"],
        ["flagged", flagged],
        ["rule", model.calibration.status],
        ["p-values", model.calibration.pvalue_note if flags is not None else "not calibrated"],
        ["scores", str(out)],
    ]
    for sentence in (*collection.notes, *model.shape_notes(prepared)):
        note(sentence, args.quiet)
    for problem in prepared.problems:
        note(f"not scored: {problem}", args.quiet)
    if content["seen"]:
        note(
            f"{content['seen']} of these images fitted or calibrated the model: their p-values promise nothing",
            args.quiet,
        )
    emit("score", content, table(rows), args.json)
    return 0


def _scores_csv(model: Model, prepared: Prepared, scores: npt.NDArray[np.float64], left_out: Sequence[Sample]) -> str:
    """Write image_path, pred_score, pvalue, qvalue, pred_label, rule; empty where there is nothing to say.

    Where every image's patient is known, patient_id and patient_pvalue follow: a patient's largest score is compared
    with calibration patients' largest, so its p-value stays empty where the rule does not count patients.
    """
    c = model.calibration
    known = c.calibrated
    flags = c.flags(scores)
    pvalues = c.pvalues(scores) if known else np.ones(len(scores))
    qvalues = false_discovery_rates(pvalues)
    rule = str(c.rule) if known else c.status
    rows: list[list[object]] = []
    for i, (sample, value) in enumerate(zip(prepared.samples, scores.tolist(), strict=True)):
        row = [f"{pvalues[i]:.6g}", f"{qvalues[i]:.6g}", int(flags[i])] if flags is not None else ["", "", ""]
        rows.append([sample.name, repr(value), *row, rule])
    for sample, problem in zip(left_out, prepared.problems, strict=True):
        rows.append([sample.name, "", "", "", "", f"not scored: {problem.cause}"])
    patients = patients_of([*prepared.samples, *left_out])
    if not patients:
        return Written.SCORES.table(rows)
    smallest: dict[str, float] = {}
    if known and c.unit == "patient" and c.kind == "conformal":
        for patient, pvalue in zip(patients, pvalues.tolist(), strict=False):
            smallest[patient] = min(pvalue, smallest.get(patient, 1.0))
    for row, patient in zip(rows, patients, strict=True):
        row += [patient, f"{smallest[patient]:.6g}" if patient in smallest else ""]
    return Written.SCORES.table(rows, PATIENTS)


def evaluate(args: Args) -> int:
    """Measure a model on labelled images."""
    scores = args.scores and Written.LABELLED.path(args.scores, option="--scores")
    run = run_of(args)
    model = load_model(args.model, run)
    found = assess(model, collection_of(args, model=model), skip_unreadable=args.skip_unreadable, progress=run.progress)
    if scores:
        own = {model.method: found.scores[None]}
        write_atomically(scores, _labelled_csv(found.prepared.samples, own, int(model.provenance["seed"])))
    for sentence in found.notes:
        note(sentence, args.quiet)
    emit("evaluate", assessment_json(found), assessment_text(found), args.json)
    return 0


def assessment_json(found: Assessment) -> dict[str, Any]:
    """Return every figure of an assessment."""
    return {
        "method": found.model.method,
        "preset": found.model.preset,
        "data": found.collection.spec,
        "normal_class": found.collection.normal_class,
        "part": found.part,
        **found.evaluation.to_json(),
        "calibration": calibration_json(found.model),
        "baselines": {name: interval.to_json() for name, interval in found.baselines.items()},
        "minus_baselines": {name: difference.to_json() for name, difference in found.margins.items()},
        "timing": {"score_seconds": found.seconds, "score_images_per_second": len(found.scores) / found.seconds},
        "notes": [*found.notes],
    }


def assessment_text(found: Assessment) -> str:
    """Print the figures, the rule and the trivial rows."""
    m = found.model
    head = table(
        [
            ["model", f"{m.method} (preset {m.preset})"],
            ["data", f"{found.collection.spec}, normal class {found.collection.normal_class}; {found.part}"],
            ["rule", m.calibration.status],
        ]
    )
    rows = [[name, str(interval)] for name, interval in found.baselines.items()]
    return f"{head}\n\n{found.evaluation.table()}\n\n{table(rows, ['baseline', 'AUROC'])}"


def compare(args: Args) -> int:
    """Fit and measure several methods on the same parts."""
    out = args.out and Written.COMPARISON.path(args.out)
    scores = args.scores and Written.LABELLED.path(args.scores, option="--scores")
    if out and scores and out.resolve() == scores.resolve():
        raise OptionError("--scores", str(scores), "another file than --out's")
    run = run_of(args)
    if args.seeds < 1:
        raise OptionError("--seeds", args.seeds, "at least 1")
    recipes = [_recipe(text, args.preset) for text in args.methods]
    if len({recipe.row for recipe in recipes}) < len(recipes):
        raise OptionError("METHOD", " ".join(args.methods), "every row once")
    data = partition_of(args)
    found = compare_methods(recipes, data, run, seeds=args.seeds, false_alarms=args.false_alarms)
    content = _comparison_json(found, args, data)
    if scores:
        tested = [sample for sample in data.samples["test"] if sample.label is not None]
        by_row = {name: row.scores for name, row in found.rows.items()}
        write_atomically(scores, _labelled_csv(tested, by_row, run.seed))
    if out:
        write_atomically(out, json.dumps(stamped("compare", content), indent=1))
    for sentence in found.notes:
        note(sentence, args.quiet)
    emit("compare", content, _comparison_text(found, args), args.json)
    return 0


def _labelled_csv(samples: Sequence[Sample], scores: Mapping[str, npt.NDArray[np.float64]], first_seed: int) -> str:
    """A row per image, method and seed, for other programs to test: the image, what it is, and its raw score.

    Args:
        samples: The test images.
        scores: Method to (seeds, n).
        first_seed: Of the successive seeds.
    """
    patients = patients_of(samples)
    rows: list[list[object]] = []
    for method, runs in scores.items():
        for seed, run in enumerate(runs.tolist(), first_seed):
            for at, (sample, score) in enumerate(zip(samples, run, strict=True)):
                known = [patients[at]] if patients else []
                rows.append([sample.name, sample.label, method, seed, repr(score), *known])
    return Written.LABELLED.table(rows, PATIENT if patients else ())


def _recipe(text: str, preset: str) -> Recipe:
    """Read NAME or NAME:FIELD=VALUE,FIELD=VALUE."""
    name, _, fields = text.partition(":")
    # a comma before FIELD= ends a value, others part the numbers of a list
    values = dict(pair.partition("=")[::2] for pair in re.split(r",(?=[\w-]*=)", fields)) if fields else {}
    own = {field.name for field in dataclasses.fields(cast("Any", methods.recipe_class(name)))}
    scoring = {key: value for key, value in values.items() if key in SCORING and key not in own}
    overrides = {key: value for key, value in values.items() if key not in scoring}
    return Recipe(text, name, methods.build(name, preset, with_lists(name, overrides)), scoring_from(scoring))


def _comparison_json(found: Comparison, args: Args, data: Partition) -> dict[str, Any]:
    from ..provenance import record

    rows = {
        name: {
            "recipe": row.recipe,
            "fit_seconds": row.fit_seconds,
            "honest": row.honest,
            "oracle": "oracle" in name,
            **row.evaluation.to_json(),
            "difference_to_first": None if row.difference is None else row.difference.to_json(),
            "holm_pvalue": row.corrected,
        }
        for name, row in found.rows.items()
    }
    return {
        "data": args.data,
        "normal_class": data.collection.normal_class,
        "preset": args.preset,
        "seeds": found.seeds,
        "first": found.first,
        "rows": rows,
        "notes": [*found.notes],
        "provenance": record(data, run_of(args), command_line(args)),
    }


def _comparison_text(found: Comparison, args: Args) -> str:
    rows = []
    for name, row in found.rows.items():
        e = row.evaluation
        rows.append(
            [
                name,
                str(e.auroc),
                str(e.ranking["aupr_abnormal"]),
                str(e.ranking["aupr_normal"]),
                "" if row.difference is None else f"{row.difference.auroc.value:+.3f} p={row.corrected:.2g}",
                f"{row.fit_seconds:.1f} s",
            ]
        )
    first = next(iter(found.rows.values())).evaluation
    heading = (
        f"{args.data}: {first.n_normal} normal, {first.n_abnormal} abnormal test images, prevalence "
        f"{first.prevalence:.3f}; preset {args.preset}, {found.seeds} seed(s); 95 % intervals"
    )
    head = ["method", "AUROC", "AUPR abnormal", "AUPR normal", f"AUROC - {found.first} (Holm)", "fit"]
    return f"{heading}\n\n{table(rows, head)}"


def calibrate(args: Args) -> int:
    """Set a model's rule anew; the old calibration is kept beside it."""
    if args.k is not None and args.rule == "conformal":
        raise OptionError("--k", args.k, "to be used with --rule upper or two-sided")
    run = run_of(args)
    model = load_model(args.model, run)
    collection = collection_of(args, model=model)
    own = model.owns(collection)
    samples = _calibration_samples(model, collection, own)
    prepared = model.prepare(samples, skip_unreadable=args.skip_unreadable, progress=run.progress)
    if own:
        model.check_unchanged(prepared, part="calibrate")
        if gone := len(model.parts["calibrate"]) - len(prepared.samples):
            note(f"{gone} of {len(model.parts['calibrate'])} calibration images are gone or not read", args.quiet)
    else:
        model.check_unseen(prepared, parts=("train", "select"))
    first = sorted({content: row for row, content in reversed([*enumerate(prepared.hashes)])}.values())
    if copies := len(prepared.samples) - len(first):
        note(f"{copies} images left out: exact copies of others, which are no further normals", args.quiet)
        prepared = chosen(prepared, np.asarray(first))
    renewed = model.calibrated(
        prepared.images, [s.patient for s in prepared.samples], alpha=args.false_alarms, kind=args.rule,
        k=2.0 if args.k is None else args.k, scoring=scoring_of(args), data="" if own else collection.spec,
    )  # fmt: skip
    others = {} if own else {RECALIBRATE: prepared.contents}
    cut = {part: model.parts[part] for part in PARTS}
    for sentence in (*collection.notes, *unread(prepared), *(() if own else model.shape_notes(prepared))):
        note(sentence, args.quiet)
    before, after = model.calibration.unit, renewed.calibration.unit
    if before != after:
        note(
            f"the old rule counted per {before}, the new one counts per {after}; --group-regex finds patients",
            args.quiet,
        )
    kept = replace_calibration(replace(renewed, parts=cut | others), args.model)
    content = {"old": calibration_json(model), "new": calibration_json(renewed), "kept": str(kept)}
    rows = [["old", model.calibration.status], ["new", renewed.calibration.status], ["old kept in", str(kept)]]
    rows += [["new score", renewed.scored_by]] if renewed.scored_by != model.scored_by else []
    emit("calibrate", content, table(rows), args.json)
    return 0


def _calibration_samples(model: Model, collection: Collection, own: bool) -> list[Sample]:
    """Choose the model's own calibration normals, or of other data the normals outside its official test part."""
    if own:
        _check_patients(model, collection)
        normals = [s for s in collection.samples if s.name in model.parts["calibrate"]]
    else:
        normals = [s for s in collection.samples if s.label == 0 and s.split != "test"]
    if not normals:
        raise TooFewImagesError("calibrate", 1, 0)
    return normals


def _check_patients(model: Model, collection: Collection) -> None:
    """Refuse to promise a rate per patient where the parts were cut through these patients."""
    cut_by = model.provenance["data"]["group_regex"]
    if collection.group_regex != cut_by:
        expected = f"{cut_by!r}" if cut_by else "none"
        raise OptionError("--group-regex", collection.group_regex, f"{expected} as when the model's parts were cut")


def entropy(args: Args) -> int:
    """Measure what a model's latent vectors hold of normal images it was not fitted on."""
    run = run_of(args)
    model = load_model(args.model, run)
    collection = collection_of(args, labelled=False, model=model)
    samples, part = model.test_samples(collection)
    classes = {sample.class_name for sample in samples} - {None}
    if collection.normal_class is None and len(classes) > 1:
        raise NormalClassError(collection.spec, sorted(map(str, classes)), None)
    known = [sample for sample in samples if sample.label == 0]
    normals = known or [sample for sample in samples if sample.label is None]
    prepared = model.prepare(normals, skip_unreadable=args.skip_unreadable, progress=run.progress)
    model.check_unseen(prepared, parts=("train", "select"))
    patients = [sample.patient for sample in prepared.samples]
    found = latent_entropy(model.detector, prepared.images, patients, run.seed)
    if found is None:
        raise OptionError("MODEL", model.method, "an autoencoder, whose latent vector can be decoded (ae, conocc ...)")
    for sentence in (*collection.notes, *unread(prepared)):
        note(sentence, args.quiet)
    if not known:
        note("the images have no labels; all are taken as normal", args.quiet)
    head = table([["model", f"{args.model}: {model.method} (preset {model.preset})"], ["normals of", part]])
    emit("entropy", {"part": part, **found.to_json()}, f"{head}\n\n{table(found.rows())}", args.json)
    return 0


def report(args: Args) -> int:
    """Write the self-contained report."""
    from ..report import write_report

    target = Written.REPORT.path(args.out)
    run = run_of(args)
    model = load_model(args.model, run)
    found = assess(model, collection_of(args, model=model), skip_unreadable=args.skip_unreadable, progress=run.progress)
    out = write_report(found, target, images=not args.no_images, command=command_line(args))
    emit("report", {"report": str(out), **assessment_json(found)}, f"report  {out}", args.json)
    return 0


def demo(args: Args) -> int:
    """Fit, evaluate and report on the phantom."""
    from ..report import write_report

    out, page = Path(args.out), Written.REPORT.path(Path(args.out, "report.html"))
    check_target(out / "model", overwrite=True)
    _check_demo(out / "model")
    run, method = run_of(args), methods.DEFAULT
    data = partition(sources.load("phantom", options={"seed": str(args.seed)}), progress=run.progress)
    model = fit_model(method, methods.build(method), data, preset="paper", run=run, command=command_line(args))
    save_model(model, out / "model", overwrite=True)
    found = assess(model, data.collection, progress=run.progress)
    write_report(found, page, images=True, command=command_line(args))
    said = summary.summarise(found)
    sentences = "\n".join(text for _, text in said.sentences)
    text = f"{assessment_text(found)}\n\n{sentences}\nmodel   {out / 'model'}\nreport  {page}"
    beaten = said.figures[1].verdict is summary.Verdict.GOOD
    emit("demo", {"report": str(page), "beats_trivial": beaten, **assessment_json(found)}, text, args.json)
    return 0


def _check_demo(folder: Path) -> None:
    """Refuse to write over a model of other data than the phantom: nobody asked to replace it."""
    if not (folder / "model.json").is_file():
        return
    try:
        data = str(read_json(folder / "model.json")["provenance"]["data"]["spec"])
    except (ValueError, KeyError, TypeError):  # damaged: of no use to anybody
        return
    if data.partition(":")[0].partition(" ")[0] != "phantom":
        raise OptionError(
            "--out", str(folder.parent), f"a folder without a model of your own (this one's is of {data})"
        )
