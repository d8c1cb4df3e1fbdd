"""What each command does: arguments in, one result out; all heavy imports live behind this module."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import re
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from .. import distributed, methods, sources
from ..comparison import Assessment, Comparison, Recipe, assess
from ..comparison import compare as compare_methods
from ..errors import CheckpointError, NormoscopeError, OptionError, TooFewImagesError
from ..model import RECALIBRATE, Model, Partition, partition
from ..model import fit as fit_model
from ..persistence import load_model, replace_calibration, save_model, write_atomically
from ..scoring import Pooling, Residual, Scoring
from ..splits import PARTS
from ..transforms import Aspect, Intensity, Prepared, Preprocessing
from ..types import Collection, Method, Run, Sample
from . import allocator
from .output import emit, note, plain, table

__all__ = ["calibrate", "compare", "demo", "evaluate", "fit", "inspect", "report", "score"]

Args = argparse.Namespace


def _run(args: Args, **more: Any) -> Run:
    """Turn the run options into a Run, and tune this process: threads and allocator are the program's business."""
    allocator.tune()
    if args.threads is not None:
        if args.threads < 1:
            raise OptionError("--threads", args.threads, "at least 1")
        torch.set_num_threads(args.threads)
    _check_device(args.device)
    return Run(args.seed, args.device, args.precision, args.threads, progress=_progress(args), **more)


def _progress(args: Args) -> bool:
    """Whether to draw bars: for a person at a terminal, never into a log."""
    return not args.quiet and sys.stderr.isatty()


def _check_device(name: str) -> None:
    """Refuse before the work a device that is not there."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise OptionError("--device", name, "auto, cpu, cuda or cuda:N")
    if name.startswith("cuda") and int(name.partition(":")[2] or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count() or "no"
        raise OptionError("--device", name, f"cpu or auto; torch sees {found} CUDA devices here")


def _load(args: Args, *, labelled: bool = True, model: Model | None = None) -> Collection:
    """Load DATA; a model's own data keeps the normal class and the patients it was fitted with."""
    options: dict[str, str] = {}
    for pair in args.option:
        key, equals, value = pair.partition("=")
        if not equals:
            raise OptionError("--option", pair, "KEY=VALUE")
        options[key] = value
    normal, patients = args.normal_class, args.group_regex
    if model is not None and model.provenance["data"]["spec"] == sources.full_spec(args.data, options):
        normal = model.provenance["data"]["normal_class"] if normal is None else normal
        patients = model.provenance["data"]["group_regex"] if patients is None else patients
    return sources.load(args.data, normal_class=normal, group_regex=patients, labelled=labelled, options=options)


def _preprocessing(args: Args) -> Preprocessing:
    return Preprocessing(args.image_size, args.image_channels, Aspect(args.aspect), Intensity(args.intensity))


def _scoring(args: Args) -> Scoring | None:
    """Return the scoring asked for on the command line."""
    return _scoring_of({name: value for name in _SCORING if (value := getattr(args, name)) is not None})


_SCORING = ("residual", "pooling", "sigma", "fraction", "smoothing")


def _scoring_of(values: Mapping[str, Any]) -> Scoring | None:
    """Return the scoring these values name; a number that nothing would read is refused."""
    readers = {"sigma": ("residual", "ssim"), "fraction": ("pooling", "top"), "smoothing": ("pooling", "maximum")}
    numbers = {name: values[name] for name in readers if name in values}
    for name, (option, value) in readers.items():
        if name in numbers and values.get(option) != value:
            raise OptionError(f"--{name}", numbers[name], f"to be used with --{option} {value}")
    if not values:
        return None
    chosen: dict[str, Any] = {"residual": "squared", "pooling": "mean", **values}
    for name, kinds in (("residual", Residual), ("pooling", Pooling)):
        if chosen[name] not in [kind.value for kind in kinds]:
            raise OptionError(name, chosen[name], "one of " + ", ".join(kind.value for kind in kinds))
    return Scoring.from_json(chosen | {name: _number(name, value) for name, value in numbers.items()})


def _number(name: str, value: str | float) -> float:
    try:
        return float(value)
    except ValueError:
        raise OptionError(name, value, "a number") from None


def _partition(args: Args) -> Partition:
    return partition(
        _load(args),
        preprocessing=_preprocessing(args),
        split_seed=args.split_seed,
        shares=args.parts,
        skip_unreadable=args.skip_unreadable,
        progress=_progress(args),
    )


def command_line(args: Args) -> str:
    return "normoscope " + shlex.join(args.typed)


def inspect(args: Args) -> int:
    """Look at data before anything is fitted: classes, splits, sizes, what cannot be read, copies."""
    from ..inspection import inspect as look

    found = look(_load(args, labelled=False), progress=_progress(args))
    emit("inspect", found.to_json(), found.table(), args.json)
    return 0 if not found.problems or args.skip_unreadable else 2


def fit(args: Args) -> int:
    """Fit a detector and write the model folder."""
    target = Path(args.out)
    checkpoint = Path(f"{target}.checkpoint")  # of the path, not of the text: that may end in a slash
    _check_targets(args, target, checkpoint)
    _recipe_of(args)
    if args.devices == 1:
        return _fit_here(args, target, checkpoint)
    if args.devices < 1:
        raise OptionError("--devices", args.devices, "at least 1")
    from torch.multiprocessing.spawn import ProcessExitedException

    try:
        distributed.launch(_fit_together, args.devices, args, target, checkpoint)
    except ProcessExitedException as stopped:
        return stopped.exit_code
    return 0


def _fit_together(args: Args, target: Path, checkpoint: Path) -> None:
    """Fit in one of several processes: each takes its share of the processor, the first one speaks and writes."""
    leads = distributed.team().leads
    args.threads = args.threads or max(1, torch.get_num_threads() // args.devices)
    args.quiet = args.quiet or not leads
    try:
        _fit_here(args, target, checkpoint)
    except NormoscopeError as error:
        if leads:
            print(f"normoscope: error: {error}", file=sys.stderr)
        sys.exit(2)


def _fit_here(args: Args, target: Path, checkpoint: Path) -> int:
    name, recipe, preset = _recipe_of(args)
    run = _run(args, checkpoint=checkpoint, resume=args.resume)
    model = fit_model(
        name, recipe, _partition(args), preset=preset, scoring=_scoring(args), run=run,
        false_alarms=args.false_alarms, command=command_line(args),
    )  # fmt: skip
    if not distributed.team().leads:
        return 0
    save_model(model, target, overwrite=args.overwrite)
    shutil.rmtree(checkpoint, ignore_errors=True)
    for sentence in model.provenance["notes"]:
        note(sentence, args.quiet)
    emit("fit", _fit_json(model, target), _fit_text(model, target), args.json)
    return 0


def _recipe_of(args: Args) -> tuple[str, Method, str]:
    """Return the method's name, its recipe and what the preset is called once options changed it."""
    given = {key: value for key, value in vars(args).items() if key.startswith("method_") and value is not None}
    overrides = {key.removeprefix("method_"): value for key, value in given.items()}
    changed = f" with {', '.join(sorted(overrides))} changed" if overrides else ""
    return args.method, methods.build(args.method, args.preset, overrides), args.preset + changed


def _check_targets(args: Args, target: Path, checkpoint: Path) -> None:
    """Refuse before the work what would be refused after it."""
    if target.exists() and not args.overwrite:
        raise OptionError("--out", str(target), "a path that does not exist yet (or pass --overwrite)")
    if target.exists() and not (target / "model.json").is_file():
        raise OptionError("--out", str(target), "a new path; this one exists and is not a model")
    if args.restart:
        shutil.rmtree(checkpoint, ignore_errors=True)
    elif checkpoint.exists() and not args.resume:
        raise CheckpointError(str(checkpoint), "an interrupted run left checkpoints here",
                              "pass --resume to go on or --restart to discard them")  # fmt: skip


def _fit_json(model: Model, target: Path) -> dict[str, Any]:
    p = model.provenance
    training = p["training"]
    return {
        "model": str(target),
        "method": model.method,
        "preset": model.preset,
        "recipe": methods.to_json(model.recipe),
        "parts": p["data"]["counts"],
        "split": p["split"],
        "preprocessing": model.preprocessor.to_json(),
        "calibration": _calibration_json(model),
        "timing": {"fit_seconds": training["seconds"], "train_images_per_second": training["images_per_second"]},
        "hardware": p["hardware"],
        "notes": p["notes"],
    }


def _calibration_json(model: Model) -> dict[str, Any]:
    c = model.calibration
    return {
        "calibrated": c.calibrated,
        "status": c.status,
        "kind": c.kind,
        "false_alarms": c.alpha if c.kind == "conformal" else None,
        "unit": c.unit,
        "n": len(c.scores),
        "rule": None if c.rule is None else {"kind": type(c.rule).__name__.lower(), **c.rule.__dict__},
        "pvalues": c.pvalue_note,
    }


def _fit_text(model: Model, target: Path) -> str:
    p, counts = model.provenance, model.provenance["data"]["counts"]
    speed = p["training"]["images_per_second"]
    rows = [
        ["method", f"{model.method} (preset {model.preset})"],
        ["data", f"{p['data']['spec']}, normal class {p['data']['normal_class']}"],
        ["images", ", ".join(f"{part} {count}" for part, count in counts.items())],
        ["split", p["split"]["rule"]],
        ["by patient", "yes" if p["split"]["by_patient"] else "no: ids are unknown, or official parts share patients"],
        ["size", f"{model.preprocessor.size} px, {model.preprocessor.channels} channel(s), {model.preprocessor.depth}"],
        ["fitted in", f"{p['training']['seconds']:.1f} s" + (f", {speed:,.0f} images/s" if speed else "")],
        ["rule", model.calibration.status],
        ["model", str(target)],
    ]
    return table(rows)


def score(args: Args) -> int:
    """Score images; every image asked for has its row, unreadable ones say why."""
    run = _run(args)
    model = load_model(args.model, run)
    collection = _load(args, labelled=False, model=model)
    prepared = model.prepare(collection.samples, skip_unreadable=args.skip_unreadable, progress=run.progress)
    began = time.perf_counter()
    scores = model.scores(prepared.images, progress=run.progress)
    seconds = time.perf_counter() - began
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, _scores_csv(model, prepared, scores))
    if args.maps:
        from ..heatmaps import write_maps

        write_maps(model, prepared, Path(args.maps), progress=run.progress)
    flags = model.calibration.flags(scores)
    content = {
        "scores": str(out),
        "method": model.method,
        "preset": model.preset,
        "images": len(scores),
        "seen": model.seen(prepared),
        "flagged": None if flags is None else int(flags.sum()),
        "not_scored": [{"image_path": p.file, "cause": p.cause} for p in prepared.problems],
        "calibration": _calibration_json(model),
        "timing": {"score_seconds": seconds, "score_images_per_second": len(scores) / seconds if seconds else None},
        "hardware": {"device": str(run.torch_device), "threads": torch.get_num_threads()},
    }
    flagged = "not calibrated" if flags is None else f"{int(flags.sum())} of {len(scores)} flagged"
    rows = [
        ["model", f"{args.model}: {model.method} (preset {model.preset})"],
        ["images", f"{len(scores)} scored, {len(prepared.problems)} not readable"],
        ["flagged", flagged],
        ["rule", model.calibration.status],
        ["p-values", model.calibration.pvalue_note if flags is not None else "not calibrated"],
        ["scores", str(out)],
    ]
    for sentence in model.shape_notes(prepared):
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


def _scores_csv(model: Model, prepared: Prepared, scores: npt.NDArray[np.float64]) -> str:
    """Write image_path, pred_score, pvalue, pred_label, rule; empty where there is nothing to say."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["image_path", "pred_score", "pvalue", "pred_label", "rule"])
    c = model.calibration
    known = c.calibrated
    pvalues, flags = c.pvalues(scores), c.flags(scores)
    rule = str(c.rule) if known else c.status
    for i, (sample, value) in enumerate(zip(prepared.samples, scores.tolist(), strict=True)):
        row = [f"{pvalues[i]:.6g}", int(flags[i])] if flags is not None else ["", ""]
        writer.writerow([sample.name, repr(value), *row, rule])
    for problem in prepared.problems:
        writer.writerow([problem.file, "", "", "", f"not scored: {problem.cause}"])
    return file.getvalue()


def evaluate(args: Args) -> int:
    """Measure a model on labelled images."""
    run = _run(args)
    model = load_model(args.model, run)
    found = assess(model, _load(args, model=model), skip_unreadable=args.skip_unreadable, progress=run.progress)
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
        "calibration": _calibration_json(found.model),
        "baselines": {name: interval.to_json() for name, interval in found.baselines.items()},
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
    run = _run(args)
    if args.seeds < 1:
        raise OptionError("--seeds", args.seeds, "at least 1")
    recipes = [_recipe(text, args.preset) for text in args.methods]
    if len({recipe.row for recipe in recipes}) < len(recipes):
        raise OptionError("METHOD", " ".join(args.methods), "every row once")
    data = _partition(args)
    found = compare_methods(recipes, data, run, seeds=args.seeds, false_alarms=args.false_alarms)
    content = _comparison_json(found, args, data)
    if args.out:
        import json

        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(args.out), json.dumps(plain(content), indent=1))
    for sentence in found.notes:
        note(sentence, args.quiet)
    emit("compare", content, _comparison_text(found, args), args.json)
    return 0


def _recipe(text: str, preset: str) -> Recipe:
    """Read NAME or NAME:FIELD=VALUE,FIELD=VALUE."""
    name, _, fields = text.partition(":")
    values = dict(pair.partition("=")[::2] for pair in fields.split(",")) if fields else {}
    own = {field.name for field in dataclasses.fields(cast("Any", methods.recipe_class(name)))}
    scoring = {key: value for key, value in values.items() if key in _SCORING and key not in own}
    overrides = {key: value for key, value in values.items() if key not in scoring}
    return Recipe(text, name, methods.build(name, preset, overrides), _scoring_of(scoring))


def _comparison_json(found: Comparison, args: Args, data: Partition) -> dict[str, Any]:
    from ..model import record

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
        "provenance": record(data, _run(args), command_line(args)),
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
    run = _run(args)
    model = load_model(args.model, run)
    collection = _load(args, model=model)
    own = collection.spec == model.provenance["data"]["spec"]
    samples = _calibration_samples(model, collection, own)
    prepared = model.prepare(samples, skip_unreadable=args.skip_unreadable, progress=run.progress)
    if own:
        model.check_unchanged(prepared, part="calibrate")
    else:
        model.check_unseen(prepared, parts=("train", "select"))
    renewed = model.calibrated(
        prepared.images, [s.patient for s in prepared.samples], alpha=args.false_alarms, kind=args.rule, k=args.k,
        scoring=_scoring(args), data="" if own else collection.spec,
    )  # fmt: skip
    others = {} if own else {RECALIBRATE: prepared.contents}
    cut = {part: model.parts[part] for part in PARTS}
    for sentence in model.shape_notes(prepared):
        note(sentence, args.quiet)
    before, after = model.calibration.unit, renewed.calibration.unit
    if before != after:
        note(
            f"the old rule counted per {before}, the new one counts per {after}; --group-regex finds patients",
            args.quiet,
        )
    kept = replace_calibration(replace(renewed, parts=cut | others), args.model)
    content = {"old": _calibration_json(model), "new": _calibration_json(renewed), "kept": str(kept)}
    rows = [["old", model.calibration.status], ["new", renewed.calibration.status], ["old kept in", str(kept)]]
    emit("calibrate", content, table(rows), args.json)
    return 0


def _calibration_samples(model: Model, collection: Collection, own: bool) -> list[Sample]:
    """Choose the model's own calibration normals, or of other data the normals outside its official test part."""
    if own:
        _check_patients(model, collection)
        chosen = [s for s in collection.samples if s.name in model.parts["calibrate"]]
    else:
        chosen = [s for s in collection.samples if s.label == 0 and s.split != "test"]
    if not chosen:
        raise TooFewImagesError("calibrate", 1, 0)
    return chosen


def _check_patients(model: Model, collection: Collection) -> None:
    """Refuse to promise a rate per patient where the parts were cut through these patients."""
    cut_by = model.provenance["data"]["group_regex"]
    if collection.group_regex != cut_by:
        expected = f"{cut_by!r}" if cut_by else "none"
        raise OptionError("--group-regex", collection.group_regex, f"{expected} as when the model's parts were cut")


def report(args: Args) -> int:
    """Write the self-contained report."""
    from ..report import write_report

    run = _run(args)
    model = load_model(args.model, run)
    found = assess(model, _load(args, model=model), skip_unreadable=args.skip_unreadable, progress=run.progress)
    out = write_report(found, Path(args.out), images=not args.no_images, command=command_line(args))
    emit("report", {"report": str(out), **assessment_json(found)}, f"report  {out}", args.json)
    return 0


def demo(args: Args) -> int:
    """Fit, evaluate and report on the phantom."""
    from ..report import write_report

    out = Path(args.out)
    run = _run(args)
    data = partition(sources.load("phantom", options={"seed": str(args.seed)}), progress=run.progress)
    model = fit_model("cae", methods.build("cae", "quick"), data, preset="quick", run=run, command=command_line(args))
    save_model(model, out / "model", overwrite=(out / "model").exists())
    found = assess(model, data.collection, progress=run.progress)
    page = write_report(found, out / "report.html", images=True, command=command_line(args))
    best = max(interval.value for interval in found.baselines.values())
    beaten = found.evaluation.auroc.value > best
    verdict = (
        f"AUROC {found.evaluation.auroc} {'beats' if beaten else 'does not beat'} every trivial row (best {best:.3f})"
    )
    text = f"{assessment_text(found)}\n\n{verdict}\nmodel   {out / 'model'}\nreport  {page}"
    emit("demo", {"report": str(page), "beats_trivial": beaten, **assessment_json(found)}, text, args.json)
    return 0
