"""`normoscope sweep`, and `auto` as a value of `fit`'s options: a setting chosen by what normal images say."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import OptionError
from ..evaluation import evaluate
from ..partitions import Partition
from ..provenance import record
from ..runner import Processes
from ..selection import DEFAULT, Choice, Curves, Selector, choose, evidence
from ..splits import patients_of
from ..statistics import Interval
from ..sweep import GRIDS, Sweep, axis_of
from ..sweep import sweep as run_sweep
from ..sweep_figure import sweep_plot
from ..types import Run
from ..written import Written, check_companions, write_atomically
from .arguments import AUTO, Args, command_line, overrides_of, partition_of
from .output import emit, note, stamped, table

__all__ = ["chosen", "sweep"]


def chosen(args: Args, data: Partition, overrides: Mapping[str, Any], folder: Path) -> tuple[Any, dict[str, Any], str]:
    """Choose the one setting that is `auto` among its grid.

    Returns:
        The value; the record of the choice, for the model's provenance; the same in one sentence.

    Raises:
        OptionError: More than one setting is `auto`, or there is no grid for it.
    """
    [field, *others] = [name for name, value in overrides.items() if value == AUTO]
    if others or field not in GRIDS:
        what = ", ".join("--" + name.replace("_", "-") for name in (field, *others))
        raise OptionError(what, AUTO, "one setting at a time, of " + ", ".join(GRIDS))
    fixed = {name: value for name, value in overrides.items() if value != AUTO}
    axis = axis_of(args.method, field, preset=args.preset, overrides=fixed)
    seeds = tuple(range(args.seed, args.seed + 3))
    found = run_sweep(
        axis, data, folder, seeds=seeds, engine=Processes(args.threads), device=args.device, precision=args.precision,
        progress=not args.quiet,
    )  # fmt: skip
    curves = evidence(axis.field, found.found)
    choice = choose(curves, DEFAULT)
    kept = {"field": field, "seeds": seeds, "choice": choice.to_json(), "candidates": _figures(found, curves)}
    return choice.value, kept, f"--{field.replace('_', '-')} {choice}"


def sweep(args: Args) -> int:
    """Fit a method at several values of one setting, and choose without labels."""
    out = Path(args.out)
    check_companions(Written.SWEEP.path(out / "sweep.json"), "sweep.svg")
    if args.seeds < 1:
        raise OptionError("--seeds", args.seeds, "at least 1")
    if args.processes is not None and args.processes < 1:
        raise OptionError("--processes", args.processes, "at least 1")
    field, _, listed = args.over.partition("=")
    field = field.replace("-", "_")
    fixed = overrides_of(args)
    if field in fixed:
        raise OptionError(f"--{field.replace('_', '-')}", fixed[field], f"nothing, for --over varies {field}")
    axis = axis_of(
        args.method, field, [value for value in listed.split(",") if value], preset=args.preset,
        overrides=fixed,
    )  # fmt: skip
    if args.selector == Selector.DIMENSION.value and axis.field != "latent_dim":
        raise OptionError(
            "--selector", args.selector, "another one, for dimensions are compared with latent sizes alone"
        )
    data = partition_of(args)
    for sentence in data.notes:
        note(sentence, args.quiet)
    truth = _Truth.of(data) if args.labels else None
    fits = len(axis.values) * args.seeds
    note(f"{fits} fits, resumable: the same command goes on where it stopped", args.quiet)
    engine = Processes(args.processes)
    found = run_sweep(axis, data, out / "jobs", seeds=range(args.seeds), engine=engine, progress=not args.quiet)
    curves = evidence(axis.field, found.found)
    choices = {selector: choose(curves, selector) for selector in Selector.usable(curves)}
    oracle = None if truth is None else {value: truth.auroc(runs) for value, runs in found.found.items()}
    default = Selector(args.selector)
    if default not in choices:
        raise OptionError("--selector", args.selector, "one of " + ", ".join(one.value for one in choices))
    content = {
        "method": args.method,
        "preset": args.preset,
        "data": data.collection.spec,
        "field": axis.field,
        "seeds": list(found.seeds),
        "candidates": _figures(found, curves),
        "selector": default.value,
        "choice": choices[default].to_json(),
        "choices": {selector.value: choice.to_json() for selector, choice in choices.items()},
        "oracle": None if oracle is None else {str(value): one.to_json() for value, one in oracle.items()},
        "provenance": record(data, Run(), command_line(args)),
    }
    write_atomically(out / "sweep.json", json.dumps(stamped("sweep", content), indent=1) + "\n")
    write_atomically(out / "sweep.svg", sweep_plot(curves, choices[default], oracle))
    emit("sweep", content, _text(found, curves, choices, default, oracle, out), args.json)
    return 0


@dataclass(frozen=True)
class _Truth:
    """What the test's labels say; read only where it was asked for, and after the choice."""

    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    groups: list[str] | None

    @classmethod
    def of(cls, data: Partition) -> _Truth:
        samples = data.samples["test"]
        rows = np.asarray([i for i, sample in enumerate(samples) if sample.label is not None], np.int64)
        labels = np.asarray([samples[i].label for i in rows], np.int64)
        if not 0 < labels.sum() < len(labels):
            expected = "data whose test part has labelled normals and abnormals"
            raise OptionError("--labels", data.collection.spec, expected)
        return cls(rows, labels, patients_of([samples[i] for i in rows]))

    def auroc(self, runs: Sequence[Mapping[str, Any]]) -> Interval:
        """AUROC of one candidate over its seeds."""
        scores = np.asarray([run["test"] for run in runs], np.float64)[:, self.rows]
        return evaluate(self.labels, scores if len(scores) > 1 else scores[0], groups=self.groups).auroc


def _figures(found: Sweep, curves: Curves) -> dict[str, Any]:
    """What normals say of every candidate, by value."""
    return {
        str(value): {
            "error": None if curves.error is None else float(curves.error[0, i]),
            "bits": None if curves.bits is None else float(curves.bits[0, i]),
            "dimension": None if curves.dimension is None else float(curves.dimension[0, i]),
            "planted": float(curves.detection[0, i]),
            "planted_by_kind": {kind: float(curve[0, i]) for kind, curve in curves.planted.items()},
            "epochs": [run["epochs"] for run in found.found[value]],
            "fit_seconds": [run["fit_seconds"] for run in found.found[value]],
            "warnings": sorted({warning for run in found.found[value] for warning in run["warnings"]}),
        }
        for i, value in enumerate(curves.values)
    }


def _text(
    found: Sweep,
    curves: Curves,
    choices: Mapping[Selector, Choice],
    default: Selector,
    oracle: Mapping[Any, Interval] | None,
    out: Path,
) -> str:
    head = [curves.field, "held-out error", "bits", "dimension", "planted AUROC", "epochs", "fit"]
    rows = []
    for i, value in enumerate(curves.values):
        runs = found.found[value]
        rows.append(
            [
                str(value),
                _number(curves.error, i, ".5f"),
                _number(curves.bits, i, ".1f"),
                _number(curves.dimension, i, ".1f"),
                f"{curves.detection[0, i]:.3f} ± {curves.detection[1:, i].std():.3f}",
                f"{np.mean([run['epochs'] for run in runs]):.0f}",
                f"{np.mean([run['fit_seconds'] for run in runs]):.1f} s",
                *([str(oracle[value])] if oracle is not None else []),
            ]
        )
    head += ["AUROC (oracle)"] if oracle is not None else []
    made = [[name.value + (" (default)" if name is default else ""), str(choice)] for name, choice in choices.items()]
    files = f"{out / 'sweep.json'}, {out / 'sweep.svg'}"
    return f"{table(rows, head)}\n\n{table(made, ['chosen by', curves.field])}\n\n{files}"


def _number(curve: np.ndarray[Any, Any] | None, i: int, form: str) -> str:
    if curve is None:
        return "–"
    return "not estimable" if math.isnan(curve[0, i]) else format(curve[0, i], form)
