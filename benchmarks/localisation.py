"""How well does every method localise, and are its maps sane? The phantom chest, beside maps that know nothing.

    python benchmarks/localisation.py --seed 0 --few 16 --out results/localisation.json
    NORMOSCOPE_DATA=... python benchmarks/localisation.py --healed --seed 0 --out results/localisation_healed.json

Every method is fitted with one preset; those that then draw maps are judged by `normoscope.sanity`. A seed draws other
phantom patients and other weights. Seeds from 100 on are for development and go to a file of their own: whatever was
tried on them says less of new ones. Each fit's figures are stored as it ends, and what is stored is not done again. A
method that searches for every score anew (`anogan`) takes hours with the usual number of images for curves: run it
apart, with a small --few.

The phantom's lesions are drawn, not grown, and its normals are as alike as their generator makes them: figures compare
methods, and promise nothing of patients. `--healed` judges on real tumours, with the limits told in `healed.py`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from healed import healed_figures
from machine import facts
from normoscope import allocator, methods
from normoscope.apps.output import plain
from normoscope.model import fit
from normoscope.partitions import partition
from normoscope.sanity import FEW, sanity
from normoscope.sources import load
from normoscope.statistics import seeds_interval
from normoscope.types import Run
from normoscope.written import write_atomically

SHARES = ("marked_normals", "hit_lesions")
FIGURES = ("pointing", "pointing_small", "aupro", "pixel_ap")
Figures = Mapping[str, Any]


def main() -> None:
    """Fit and judge what is not stored yet."""
    args = _arguments()
    allocator.tune()
    torch.set_num_threads(args.threads)
    options = {"preset": args.preset, "size": args.size, "epochs": args.epochs, "healed": args.healed}
    result = _stored(args.out, options)
    for name in args.only or methods.names():
        runs = result["methods"].setdefault(name, {"runs": {}})["runs"]
        _check_few(name, runs, args)
        for seed in range(args.seed, args.seed + args.seeds):
            if str(seed) not in runs:
                runs[str(seed)] = _judged(name, args, seed)
                _store(args.out, result)
            print(_line(name, seed, runs[str(seed)]), flush=True)
        if any(run["localises"] for run in runs.values()):
            result["methods"][name]["mean"] = mean_over_seeds(list(runs.values()))
            _store(args.out, result)


def _judged(name: str, args: argparse.Namespace, seed: int) -> dict[str, Any]:
    began = time.perf_counter()
    found = healed_figures(_recipe(name, args), name, args.size, seed) if args.healed else _phantom(name, args, seed)
    return {**found, "seconds": round(time.perf_counter() - began, 1), "machine": facts()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=methods.PRESETS, default="quick")
    parser.add_argument("--seed", type=int, required=True, help="first seed")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--few", type=int, default=FEW, help="images for attributions and curves")
    parser.add_argument("--epochs", type=int, help="instead of the preset's, to try the benchmark out")
    parser.add_argument("--only", nargs="*", metavar="METHOD")
    parser.add_argument("--healed", action="store_true", help="real tumours instead of the phantom")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def _stored(out: Path, options: Figures) -> dict[str, Any]:
    """Return what is stored under the same options, or a new result."""
    command = "python benchmarks/localisation.py " + shlex.join(sys.argv[1:])
    if not out.exists():
        what = (__doc__ or "").partition("\n")[0]
        return {"what": what, "commands": [command], "options": dict(options), "machine": facts(), "methods": {}}
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    if result["options"] != options:
        raise SystemExit(f"{out} holds figures of other options ({result['options']}); name another file with --out.")
    return {**result, "commands": list(dict.fromkeys([*result["commands"], command]))}


def _check_few(name: str, runs: Mapping[str, Figures], args: argparse.Namespace) -> None:
    """Refuse to average runs whose dear figures are of different numbers of images."""
    other = sorted({run["few"] for run in runs.values() if "few" in run} - {args.few})
    if other:
        raise SystemExit(f"{args.out} holds runs of {name} with --few {other[0]}; keep to it, or name another file.")


def _store(out: Path, result: Figures) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, json.dumps(plain(dict(result)), indent=1) + "\n")


def _recipe(name: str, args: argparse.Namespace) -> Any:
    recipe: Any = methods.build(name, args.preset)
    if args.epochs is None or not hasattr(recipe, "epochs"):
        return recipe
    return methods.build(name, args.preset, {"epochs": args.epochs})


def _phantom(name: str, args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Fit a method on the phantom of one seed and judge its maps."""
    data = partition(load("phantom", options={"seed": str(seed), "size": str(args.size)}))
    progress = sys.stderr.isatty()
    model = fit(name, _recipe(name, args), data, preset=args.preset, run=Run(seed=seed, progress=progress))
    if not model.localizes:
        return {"localises": False}
    test = model.prepare(data.samples["test"])
    return {
        "localises": True,
        **sanity(model, test, data.images["train"], seed=seed, few=args.few, progress=progress).to_json(),
    }


def mean_over_seeds(runs: Sequence[Figures]) -> dict[str, Any]:
    """Return every figure's mean over seeds with Student's interval; a map must be drawn in every run."""
    known = [run for run in runs if run["localises"]]
    names = [name for name in known[0]["rows"] if all(name in run["rows"] for run in known)]
    rows = {name: _means([_flat(run["rows"][name]) for run in known]) for name in names}
    return {**_means([{name: run[name]["value"] for name in SHARES} for run in known]), "rows": rows}


def _flat(row: Figures) -> dict[str, float | None]:
    """Name every value of a row."""
    curves = ("deletion", "insertion")
    areas = {f"{curve}, {of}": area["value"] for curve in curves for of, area in row.get(curve, {}).items()}
    check = {"random_weights": row["check"]["median"]} if "check" in row else {}
    return {**{name: row[name]["value"] for name in FIGURES if name in row}, **areas, **check}


def _means(runs: Sequence[Mapping[str, float | None]]) -> dict[str, Any]:
    values = {name: [run[name] for run in runs if run.get(name) is not None] for name in runs[0]}
    return {name: seeds_interval(np.asarray(found))[0].to_json() for name, found in values.items() if found}


def _line(name: str, seed: int, run: Figures) -> str:
    if not run["localises"]:
        return f"{name:16s} seed {seed}: draws no map"
    own = {key: value for key, value in _flat(run["rows"]["map"]).items() if value is not None}
    shares = {key: run[key]["value"] for key in SHARES if run[key]["value"] is not None}
    told = "  ".join(f"{key} {value:.3f}" for key, value in {**shares, **own}.items())
    return f"{name:16s} seed {seed}: {told}"


if __name__ == "__main__":
    main()
