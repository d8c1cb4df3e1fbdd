"""What was typed, turned into the objects the work is done with; wrong values are refused here."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Mapping
from typing import Any, get_args, get_origin, get_type_hints

import torch

from .. import allocator, methods, sources
from ..errors import OptionError
from ..model import Model
from ..partitions import Partition, partition
from ..scoring import Pooling, Residual, Scoring
from ..transforms import Aspect, Intensity, Preprocessing
from ..types import Collection, Run

__all__ = [
    "AUTO",
    "SCORING",
    "Args",
    "collection_of",
    "command_line",
    "options_of",
    "overrides_of",
    "partition_of",
    "progress_of",
    "run_of",
    "scoring_from",
    "scoring_of",
    "with_lists",
]

Args = argparse.Namespace

AUTO = "auto"
"""What a person types for a setting to be chosen."""


def run_of(args: Args, **more: Any) -> Run:
    """Turn the run options into a Run, and tune this process: threads and allocator are the program's business."""
    allocator.tune()
    if args.threads is not None:
        if args.threads < 1:
            raise OptionError("--threads", args.threads, "at least 1")
        torch.set_num_threads(args.threads)
    _check_device(args.device)
    return Run(args.seed, args.device, args.precision, args.threads, progress=progress_of(args), **more)


def progress_of(args: Args) -> bool:
    """Whether to draw bars: for a person at a terminal, never into a log."""
    return not args.quiet and sys.stderr.isatty()


def _check_device(name: str) -> None:
    """Refuse before the work a device that is not there."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise OptionError("--device", name, "auto, cpu, cuda or cuda:N")
    if name.startswith("cuda") and int(name.partition(":")[2] or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count() or "no"
        raise OptionError("--device", name, f"cpu or auto; torch sees {found} CUDA devices here")


def collection_of(args: Args, *, labelled: bool = True, model: Model | None = None) -> Collection:
    """Load DATA; a model's own data keeps the normal class and the patients it was fitted with."""
    options = options_of(args)
    normal, patients = args.normal_class, args.group_regex
    if model is not None and sources.same_data(model.provenance["data"], args.data, options):
        normal = model.provenance["data"]["normal_class"] if normal is None else normal
        patients = model.provenance["data"]["group_regex"] if patients is None else patients
    return sources.load(args.data, normal_class=normal, group_regex=patients, labelled=labelled, options=options)


def options_of(args: Args) -> dict[str, str]:
    """Read the source's fields."""
    options: dict[str, str] = {}
    for pair in args.option:
        key, equals, value = pair.partition("=")
        if not equals:
            raise OptionError("--option", pair, "KEY=VALUE")
        options[key] = value
    return options


def preprocessing_of(args: Args) -> Preprocessing:
    return Preprocessing(args.image_size, args.image_channels, Aspect(args.aspect), Intensity(args.intensity))


def scoring_of(args: Args) -> Scoring | None:
    """Return the scoring asked for on the command line."""
    return scoring_from({name: value for name in SCORING if (value := getattr(args, name)) is not None})


SCORING = ("residual", "pooling", "sigma", "fraction", "smoothing")


def scoring_from(values: Mapping[str, Any]) -> Scoring | None:
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


def partition_of(args: Args) -> Partition:
    return partition(
        collection_of(args),
        preprocessing=preprocessing_of(args),
        split_seed=args.split_seed,
        shares=args.parts,
        skip_unreadable=args.skip_unreadable,
        progress=progress_of(args),
    )


def command_line(args: Args) -> str:
    return "normoscope " + shlex.join(args.typed)


def overrides_of(args: Args) -> dict[str, Any]:
    """Return the method's own options that were typed, by field: texts, and lists of numbers as tuples of them.

    Raises:
        OptionError: A list that is none.
    """
    typed = {key: text for key, text in vars(args).items() if key.startswith("method_") and text is not None}
    return with_lists(args.method, {key.removeprefix("method_"): text for key, text in typed.items()})


def with_lists(method: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """Take the texts of those fields of a method apart that hold a tuple of numbers.

    Raises:
        OptionError: A list that is none.
    """
    hints = get_type_hints(methods.recipe_class(method)) if texts else {}
    return {name: _listed(name, text, hints.get(name)) for name, text in texts.items()}


def _listed(name: str, text: str, hint: Any) -> Any:
    """Take a text apart where the field holds a tuple."""
    if get_origin(hint) is not tuple or text == AUTO:
        return text
    kind = get_args(hint)[0]
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        expected = f"{'whole ' if kind is int else ''}numbers separated by commas"
        raise OptionError(f"--{name.replace('_', '-')}", text, expected) from None
