"""`normoscope sanity`: every map of a model beside maps that know nothing, and whether it survives random weights."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from ..comparison import with_masks
from ..own_images import training_normals
from ..persistence import load_model
from ..sanity import Row, Sanity
from ..sanity import sanity as judge
from ..written import Written, write_atomically
from .arguments import collection_of, command_line, run_of
from .output import emit, note, stamped, table, unread

__all__ = ["sanity"]

_READING = """pointing, AUPRO and AP: higher is better, of abnormal images only; deletion: lower is better, insertion:
higher; all to be read beside the last four rows, which know nothing of the model."""


def sanity(args: argparse.Namespace) -> int:
    """Print what every map is worth; store it if asked to."""
    out = args.out and Written.SANITY.path(args.out)
    run = run_of(args)
    model = load_model(args.model, run)
    collection = collection_of(args, labelled=False, model=model)
    samples, part = model.test_samples(collection)
    prepared = model.prepare(samples, skip_unreadable=args.skip_unreadable, progress=run.progress)
    model.check_unseen(prepared)
    if model.owns(collection):
        model.check_unchanged(prepared)
    prepared, _ = with_masks(model, prepared, args.skip_unreadable)
    own = training_normals(model, collection)
    found = judge(
        model, prepared, None if own is None else own.images, seed=args.seed, few=args.few, progress=run.progress
    )
    told = list(found.notes)
    if own is None:
        told.append("no nearest normal to compare with: no training normal of the model could be read from these data")
    for sentence in (*collection.notes, *unread(prepared), *model.shape_notes(prepared), *told):
        note(sentence, args.quiet)
    content = {"model": args.model, "preset": model.preset, "data": collection.spec, "part": part, "seed": args.seed,
               **found.to_json(), "notes": told}  # fmt: skip
    if out:
        _write(out, content, args)
    emit("sanity", content, f"{_head(args, found, part)}\n\n{_text(found)}", args.json)
    return 0


def _write(out: Path, content: dict[str, Any], args: argparse.Namespace) -> None:
    from ..provenance import provenance

    stored = stamped("sanity", {**content, "provenance": provenance(run_of(args), command_line(args))})
    write_atomically(out, json.dumps(stored, indent=1) + "\n")


def _head(args: argparse.Namespace, found: Sanity, part: str) -> str:
    return table(
        [
            ["model", f"{args.model}: {found.method}"],
            ["data", f"{args.data}; {part}"],
            ["normal images with a mark", _figure(found.marked_normals)],
            ["lesions of 1 % or more hit", _figure(found.hit_lesions)],
            ["share of lesion pixels", "no masks" if math.isnan(found.lesion_share) else f"{found.lesion_share:.4f}"],
            ["attributions compare with", found.counterpart or "nothing"],
        ]
    )


def _text(found: Sanity) -> str:
    """Two tables: do maps find lesions, and do they tell where the score comes from."""
    located = [[name, *_located(row)] for name, row in found.rows.items()]
    first = table(located, ["map", "images", "pointing", "pointing, 0.5-3 % lesions", "AUPRO", "pixel AP"])
    counterparts = list(next(iter(found.rows.values())).deletion)
    explained = [[name, *_explained(row, counterparts)] for name, row in found.rows.items()]
    curves = [f"{curve}, {name}" for name in counterparts for curve in ("deletion", "insertion")]
    second = table(explained, ["map", *curves, "random weights"])
    checks = [f"{name}: {row.check.sentence}" for name, row in found.rows.items() if row.check.images]
    return "\n\n".join([first, second, "\n".join([" ".join(_READING.split()), *checks])])


def _located(row: Row) -> list[str]:
    return [str(row.images), *(_figure(one) for one in (row.pointing, row.pointing_small, row.aupro, row.pixel_ap))]


def _explained(row: Row, counterparts: list[str]) -> list[str]:
    areas = [str(curve[name]) for name in counterparts for curve in (row.deletion, row.insertion)]
    verdict = row.check.verdict.value
    return [*areas, f"{verdict} ({row.check.median:.2f})" if row.check.images else verdict]


def _figure(interval: Any) -> str:
    """Show a figure, or why there is none."""
    return str(interval.how if str(interval) == "-" else interval)
