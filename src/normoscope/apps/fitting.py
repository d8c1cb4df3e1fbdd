"""`normoscope fit`: a detector fitted, alone or by several processes, and its model folder written whole."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from .. import distributed, methods
from ..errors import CheckpointError, NormoscopeError, OptionError, TrainingError
from ..model import Model
from ..model import fit as fit_model
from ..persistence import check_target, save_model
from ..types import Method
from ..written import WrittenFolder, check_place, some
from .arguments import AUTO, Args, command_line, overrides_of, partition_of, run_of, scoring_of
from .output import calibration_json, emit, failure, note, plain, table
from .sweeps import chosen

__all__ = ["fit"]


def fit(args: Args) -> int:
    """Fit a detector and write the model folder."""
    target = Path(args.out)
    checkpoint = Path(f"{target}.checkpoint")  # of the path, not of the text: that may end in a slash
    _check_targets(args, target, checkpoint)
    _recipe_of(args, {name: value for name, value in overrides_of(args).items() if value != AUTO})
    if AUTO in overrides_of(args).values() and args.devices != 1:
        raise OptionError("--devices", args.devices, f"1 where a setting is {AUTO}, for its candidates share the cores")
    if args.devices == 1:
        return _fit_here(args, target, checkpoint)
    if args.devices < 1:
        raise OptionError("--devices", args.devices, "at least 1")
    from torch.multiprocessing.spawn import ProcessExitedException

    with tempfile.TemporaryDirectory(prefix="normoscope-") as folder:
        try:
            distributed.launch(_fit_together, args.devices, args, target, checkpoint, Path(folder, "told"))
        except ProcessExitedException as stopped:
            if stopped.exit_code >= 0:
                return stopped.exit_code
            cause = f"one of {args.devices} processes was ended by signal {-stopped.exit_code} (too little memory?)"
            raise TrainingError(f"{cause}; the same command with --resume, and without --restart, goes on") from None
    return 0


def _fit_together(args: Args, target: Path, checkpoint: Path, told: Path) -> None:
    """Fit in one of several processes: each takes its share of the processor, the first one speaks and writes.

    Of what ends the fit the first process to meet it tells, for the others are stopped as soon as it has ended.
    """
    leads = distributed.team().leads
    args.threads = args.threads or max(1, torch.get_num_threads() // args.devices)
    args.quiet = args.quiet or not leads
    try:
        _fit_here(args, target, checkpoint)
    except (NormoscopeError, OSError) as error:
        if (said := failure(error)) is None:
            raise
        with suppress(FileExistsError), told.open("x"):
            print(f"normoscope: error: {said}", file=sys.stderr, flush=True)
        sys.exit(2)


def _fit_here(args: Args, target: Path, checkpoint: Path) -> int:
    run = run_of(args, checkpoint=checkpoint, resume=args.resume)
    if args.resume and not any(left.exists() for left in (checkpoint, _sweep_of(target))):
        note(f"nothing to resume: there is no {checkpoint}, so fitting starts anew", args.quiet)
    data, scoring, overrides, kept = partition_of(args), scoring_of(args), overrides_of(args), None
    if args.restart and distributed.team().leads:
        _discard(target, checkpoint)
    if AUTO in overrides.values():
        value, kept, sentence = chosen(args, data, overrides, _sweep_of(target))
        note(sentence, args.quiet)
        overrides = {name: value if text == AUTO else text for name, text in overrides.items()}
    recipe, preset = _recipe_of(args, overrides)
    model = fit_model(
        args.method, recipe, data, preset=preset, scoring=scoring, run=run,
        false_alarms=args.false_alarms, command=command_line(args),
    )  # fmt: skip
    if kept is not None:
        notes = [*model.provenance["notes"], f"chosen without labels: {sentence}"]
        model = replace(model, provenance={**model.provenance, "chosen": plain(kept), "notes": notes})
    if not distributed.team().leads:
        return 0
    save_model(model, target, overwrite=args.overwrite)
    _discard(target, checkpoint)
    for sentence in model.provenance["notes"]:
        note(sentence, args.quiet)
    emit("fit", _fit_json(model, target), _fit_text(model, target), args.json)
    return 0


def _sweep_of(target: Path) -> Path:
    """Where the candidates of an `auto` setting lie until the model is written."""
    return Path(f"{target}.sweep")


def _recipe_of(args: Args, overrides: Mapping[str, Any]) -> tuple[Method, str]:
    """Return the recipe and what the preset is called once options changed it."""
    changed = f" with {', '.join(sorted(overrides))} changed" if overrides else ""
    return methods.build(args.method, args.preset, overrides), args.preset + changed


def _check_targets(args: Args, target: Path, checkpoint: Path) -> None:
    """Refuse before the work what would be refused after it."""
    check_place(target)
    check_target(target, overwrite=args.overwrite)
    for left, kind in _leftovers(target, checkpoint).items():
        if foreign := kind.strangers(left):
            raise CheckpointError(str(left), f"not all of it was left by an interrupted run ({some(foreign)})",
                                  "move it away or give another --out")  # fmt: skip
        if left.exists() and any(left.iterdir()) and not (args.resume or args.restart):
            raise CheckpointError(str(left), "an interrupted run left its work here",
                                  "pass --resume to go on or --restart to discard it")  # fmt: skip


def _leftovers(target: Path, checkpoint: Path) -> dict[Path, WrittenFolder]:
    """Where work lies until the model is written."""
    return {checkpoint: WrittenFolder.CHECKPOINT, _sweep_of(target): WrittenFolder.SWEEP}


def _discard(target: Path, checkpoint: Path) -> None:
    for left, kind in _leftovers(target, checkpoint).items():
        kind.discard(left)


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
        "calibration": calibration_json(model),
        "timing": {"fit_seconds": training["seconds"], "train_images_per_second": training["images_per_second"]},
        "hardware": p["hardware"],
        "notes": p["notes"],
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
        ["score", model.scored_by],
        ["rule", model.calibration.status],
        ["model", str(target)],
    ]
    return table(rows)
