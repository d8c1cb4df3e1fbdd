"""`normoscope explain`: a page per image that says why it has its score, and a summary for machines."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from .. import sources
from ..decoding import read_image
from ..errors import NormoscopeError, OptionError, printable
from ..explanation import explain as why
from ..explanation_page import Context, write_explanations
from ..explanation_text import sentences
from ..latent_groups import Group, fitted_groups, scored_group
from ..latent_view import LatentView, latent_view
from ..latents import FEWEST, LatentEntropy, latent_entropy
from ..model import Model
from ..own_images import training_normals, unchanged
from ..persistence import load_model
from ..transforms import Prepared
from ..types import Collection, Embeds, Sample
from ..written import Written
from .arguments import command_line, options_of, run_of
from .output import emit, note

__all__ = ["explain"]

_OPTION = re.compile(r" (\w+)=(\S*)$")


def explain(args: argparse.Namespace) -> int:
    """Write the pages; nothing is written where an image cannot be read."""
    out = Written.EXPLANATION.beside(args.out, "*.html", "explanations.json")
    run = run_of(args)
    model = load_model(args.model, run)
    if args.most < 1:
        raise OptionError("--most", args.most, "at least 1")
    asked = _asked(args, model)
    prepared = model.prepare(asked.samples, skip_unreadable=args.skip_unreadable, progress=run.progress)
    notes = [*asked.notes, *model.shape_notes(prepared)]
    notes += [f"not explained: {problem}" for problem in prepared.problems]
    if seen := model.seen(prepared):
        notes.append(f"{seen} of these images fitted or calibrated the model: their p-values promise nothing")
    own, why_none = _own_data(args, model)
    normals = None if own is None else training_normals(model, own)
    if normals is None:
        latent = ", no neighbours, no latent space, no latent dimensions" if isinstance(model.detector, Embeds) else ""
        notes.append(f"no nearest normal to compare with{latent}: {why_none or 'no training normal could be read'}")
    found, missing = why(model, prepared, normals, seed=args.seed, progress=run.progress)
    scored = scored_group(asked, prepared, np.asarray([one.score for one in found]), args.seed)
    view = _view(model, scored, own, normals, args.seed)
    typed = printable(command_line(args))
    context = Context(model, normals, view, [*notes, *missing], asked.spec, typed)
    index = write_explanations(found, context, out)
    for sentence in context.notes:
        note(sentence, args.quiet)
    told_all = [[one.name, *sentences(one, model.calibration)] for one in found]
    content = {"index": str(index), "images": {name: lines for name, *lines in told_all}, "notes": list(context.notes)}
    text = "\n\n".join("\n  ".join(lines) for lines in told_all)
    emit("explain", content, f"{text}\n\npages  {index}", args.json)
    return 0


def _asked(args: argparse.Namespace, model: Model) -> Collection:
    """List the images that are named: files, DATA#NAME for one image of some data, or all of some data."""
    found = [_named(text, args, model.provenance["data"]) for text in args.images]
    named = [pair for pairs, _ in found for pair in pairs]
    for (_, sample), count in Counter((spec, sample.name) for spec, sample in named).items():
        if count > 1:
            raise OptionError("IMAGE", sample, "every image once")
    alike = Counter(sample.name for _, sample in named)
    # pages and figures are found by name
    samples = [
        replace(sample, name=f"{printable(spec)}#{sample.name}") if spec and alike[sample.name] > 1 else sample
        for spec, sample in named
    ]
    if len(samples) > args.most:
        expected = f"at most --most {args.most} images (they are {len(samples)}); name single ones as DATA#NAME"
        raise OptionError("IMAGE", " ".join(args.images), expected)
    told = tuple(dict.fromkeys(sentence for _, notes in found for sentence in notes))
    return Collection(printable(" ".join(args.images)), samples, notes=told)


def _named(
    text: str, args: argparse.Namespace, recorded: Mapping[str, Any]
) -> tuple[Sequence[tuple[str, Sample]], Sequence[str]]:
    """Find what one IMAGE names, each with its data, and what is to be told of all of some data.

    Of the model's own data normal class and patients are known.
    """
    path = Path(text)
    if path.is_file() and path.suffix.lower() not in {".npz", ".npy", ".csv", ".parquet"}:
        return [("", Sample(printable(text), partial(read_image, path)))], ()
    data, name = (text, None) if path.exists() else _parted(text)
    options, normal, patients = options_of(args), args.normal_class, None
    if sources.same_data(recorded, data, options):
        normal = recorded["normal_class"] if normal is None else normal
        patients = recorded["group_regex"]
    loaded = sources.load(data, normal_class=normal, group_regex=patients, labelled=False, options=options)
    found = [(loaded.spec, sample) for sample in loaded.samples if name in (None, sample.name)]
    if not found:
        raise OptionError("IMAGE", text, f"an image of {data}, for instance {data}#{loaded.samples[0].name}")
    return found, loaded.notes if name is None else ()


def _parted(text: str) -> tuple[str, str | None]:
    """Split DATA#NAME at the first '#' that ends what is there, for both may hold one; without any, all is DATA."""
    parts = [(text[:at], text[at + 1 :]) for at, sign in enumerate(text) if sign == "#"]
    there = [pair for pair in parts if _is_there(pair[0])]
    return next(iter(there or parts), (text, None))


def _is_there(data: str) -> bool:
    head, _, rest = data.partition(":")
    return Path(rest if head in sources.names() else data).exists()


def _own_data(args: argparse.Namespace, model: Model) -> tuple[Collection | None, str]:
    """Load what the model was fitted on; where it is not there, None, why, and what to do."""
    recorded = model.provenance["data"]
    spec, options = _loaded_by(recorded)
    try:
        loaded = sources.load(
            args.normals or spec,
            normal_class=recorded["normal_class"],
            group_regex=recorded["group_regex"],
            options=_options_for(args.normals, options) if args.normals else options,
        )
    except NormoscopeError as error:
        if args.normals:
            raise
        return None, f"the model's own data are not here ({error}) Name them with --normals."
    # the same images at another path are still the model's own, name by name and hash by hash
    return Collection(recorded["spec"], loaded.samples, loaded.normal_class, loaded.notes, loaded.titles), ""


def _options_for(data: str, recorded: Mapping[str, str]) -> dict[str, str]:
    """Keep of the options that the model's data were read with those that this source has, but no paths."""
    _, *fields = (field.name for field in dataclasses.fields(cast("Any", sources.parse(data))))
    return {name: value for name, value in recorded.items() if name in fields and name != "root"}


def _loaded_by(recorded: Mapping[str, Any]) -> tuple[str, Mapping[str, str]]:
    """Return the source and its options; models of earlier versions hold both in one text."""
    if "source" in recorded:
        return recorded["source"], recorded["options"]
    spec, options = recorded["spec"], {}
    while found := _OPTION.search(spec):
        options[found[1]] = found[2]
        spec = spec[: found.start()]
    return spec, options


def _view(
    model: Model, scored: Group, own: Collection | None, normals: Prepared | None, seed: int
) -> LatentView | None:
    """Lay the latent space out; None without a latent vector or without training normals to compare with."""
    if own is None or normals is None or not isinstance(model.detector, Embeds):
        return None
    kept = model.parts["select"]
    select = unchanged(model, [sample for sample in own.samples if sample.name in kept], "select")
    groups, notes = fitted_groups(model, own, seed, {"train": normals, "select": select})
    return latent_view(model, [*groups, scored], entropy=_entropy(model, select), notes=notes, seed=seed)


def _entropy(model: Model, select: Prepared | None) -> LatentEntropy | None:
    """Measure what the latent vectors hold of *select* normals, where enough are left."""
    if select is None or len(select.samples) < FEWEST:
        return None
    return latent_entropy(model.detector, select.images, [sample.patient for sample in select.samples])
