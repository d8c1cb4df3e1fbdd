"""Which selector finds a good latent size without labels, and what does its choice cost?

    NORMOSCOPE_DATA=... python benchmarks/latent_size.py development --out results/latent_size_development.json
    NORMOSCOPE_DATA=... python benchmarks/latent_size.py test --out results/latent_size_test.json

`development` has phantoms of other seeds and the official validation images of two real sets, their labels a declared
oracle; selectors were made with it. `test` opens the test labels, once the default was frozen. Both sweep `ae` over its
latent sizes, three seeds. Regret: the AUROC of the size that is best on one half of the test images (patients, where
known) minus that of the chosen size, both on the other half; 200 halvings. Each fit is stored as it ends.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from machine import facts
from normoscope import allocator, methods, sources
from normoscope.candidates import cut, name_of
from normoscope.figures import ABNORMAL, FAINT, NORMAL, standalone
from normoscope.metrics import auroc
from normoscope.partitions import Partition, partition
from normoscope.runner import Processes
from normoscope.selection import DEFAULT, Selector, choose, evidence
from normoscope.sweep import Axis, axis_of, pool_of, sweep
from normoscope.types import Collection

HALVINGS = 200
FIXED = 16


def real(path: str, normal: str, **options: Any) -> Collection:
    """Load a set from the data folder."""
    return sources.load(str(Path(os.environ["NORMOSCOPE_DATA"]) / path), normal_class=normal, **options)


def validated(collection: Collection) -> Collection:
    """Let the official validation images stand for the test, which is left out."""
    samples = [s for s in collection.samples if s.split != "test"]
    moved = [dataclasses.replace(s, split="test") if s.split == "validation" else s for s in samples]
    return dataclasses.replace(collection, samples=moved)


def phantom(**options: str) -> Collection:
    """Draw a phantom."""
    return sources.load("phantom", options=options)


PNEUMONIA, BREAST = ("medmnist/pneumoniamnist.npz", "0"), ("medmnist/breastmnist.npz", "1")
PATIENTS = r"(?:NORMAL2-)?IM-\d+|person\d+_(?:bacteria|virus)"
DEVELOPMENT: Mapping[str, Callable[[], Collection]] = {
    "pneumoniamnist, validation": lambda: validated(real(*PNEUMONIA)),
    "breastmnist, validation": lambda: validated(real(*BREAST)),
    "phantom chest, seed 11": lambda: phantom(seed="11", size="32", train="300", validation="50"),
    "phantom brain, seed 12": lambda: phantom(seed="12", size="32", train="300", validation="50", anatomy="brain"),
}
TEST: Mapping[str, Callable[[], Collection]] = {
    "pneumoniamnist": lambda: real(*PNEUMONIA),
    "breastmnist": lambda: real(*BREAST),
    "phantom": phantom,
    "chest_xray_64": lambda: real("chest_xray/chest_xray_64.npz", "0", group_regex=PATIENTS),
}


def main() -> None:
    """Sweep every set, let every selector choose, and measure regret."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["development", "test"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fits", type=Path, default=Path("results/sweeps"), help="folder of the finished fits")
    parser.add_argument("--only", nargs="*", help="names of sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int)
    parser.add_argument("--fit", action="store_true", help="fit alone: neither labels nor choices are looked at")
    parser.add_argument("--stored", action="store_true", help="read the finished fits, whatever code they were made by")
    args = parser.parse_args()
    allocator.tune()
    chosen_sets = DEVELOPMENT if args.part == "development" else TEST
    result: dict[str, Any] = {
        "what": __doc__.partition("\n")[0],
        "command": "python benchmarks/latent_size.py " + " ".join(sys.argv[1:]),
        "default": DEFAULT.value,
        "machine": facts(),
        "sets": {},
    }
    for name, load in chosen_sets.items():
        if args.only and name not in args.only:
            continue
        data = partition(load())
        axis = axis_of("ae", "latent_dim")
        if args.stored:
            found = stored(axis, data, args.fits, range(args.seeds))
        else:
            engine = Processes(args.processes)
            shown = sys.stderr.isatty()
            found = sweep(axis, data, args.fits, seeds=range(args.seeds), engine=engine, progress=shown).found
        if not args.fit:
            result["sets"][name] = studied(data, found)
            told(name, result["sets"][name])
            args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            args.out.with_suffix(".svg").write_text(drawn(result["sets"]), encoding="utf-8")


def stored(axis: Axis, data: Partition, folder: Path, seeds: Sequence[int]) -> dict[Any, list[dict[str, Any]]]:
    """Read fits of these images by what they were asked to do: rules can change without fitting anew.

    Bits and dimensions are those that the code of the fits measured; patients of held-out normals are told anew.
    """
    pool = pool_of(data)
    name = name_of(pool, data.preprocessor)
    jobs = [json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*.json")]
    asked = {_asked(**job["arguments"]): job for job in jobs if job["arguments"]["data"] == name}
    found: dict[Any, list[dict[str, Any]]] = {}
    for value, (method, recipe) in axis.recipes.items():
        for seed in seeds:
            fit, held = asked[_asked(method, methods.to_json(recipe), seed)]["value"], cut(pool, seed)[1]
            assert len(held) == len(fit["held_out"]), "other normals were held out"
            patients = [pool.groups[row] for row in held] if pool.groups else None
            found.setdefault(value, []).append(fit | {"patients": patients})
    return found


def _asked(method: str, recipe: Mapping[str, Any], seed: int, **_: Any) -> tuple[str, str, int]:
    return method, json.dumps(recipe, sort_keys=True), seed


def studied(data: Partition, found: Mapping[Any, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Every candidate's figures, every selector's choice and its regret."""
    samples = data.samples["test"]
    labels = np.asarray([int(bool(s.label)) for s in samples])
    patients = [s.patient for s in samples]
    unit = np.arange(len(labels)) if None in patients else np.unique(patients, return_inverse=True)[1]
    scores = np.asarray([[run["test"] for run in runs] for runs in found.values()])
    curves = evidence("latent_dim", found)
    sizes = list(curves.values)
    choices = {selector.value: choose(curves, selector) for selector in Selector.usable(curves)}
    rules: dict[str, Sequence[int]] = {name: [sizes.index(choice.value)] for name, choice in choices.items()}
    positions = sorted(positions[0] for positions in rules.values())
    rules["median of these"] = [positions[(len(positions) - 1) // 2]]
    rules["the smallest of these"] = [positions[0]]
    rules["planted, highest"] = [int(np.argmax(curves.detection[0]))]
    rules["lowest error"] = [int(np.argmin(curves.error[0]))] if curves.error is not None else []
    rules |= {f"always {FIXED}": [sizes.index(FIXED)], "a random size": range(len(sizes)), "the worst size": []}
    shown = {
        "error": curves.error,
        "bits": curves.bits,
        "dimension": curves.dimension,
        "planted": curves.detection,
        **{f"planted {kind}": curve for kind, curve in curves.planted.items()},
    }
    return {
        "images": {"normal": int((labels == 0).sum()), "abnormal": int(labels.sum())},
        "counts": found[sizes[0]][0]["counts"],
        "sizes": sizes,
        "auroc": [[auroc(labels, run) for run in runs] for runs in scores],
        "figures": {name: curve[0].tolist() for name, curve in shown.items() if curve is not None},
        "spread": {name: curve[1:].std(axis=0).tolist() for name, curve in shown.items() if curve is not None},
        "epochs": [[run["epochs"] for run in runs] for runs in found.values()],
        "fit_seconds": [[run["fit_seconds"] for run in runs] for runs in found.values()],
        "rules": {name: list(positions) for name, positions in rules.items()},
        "choices": {name: choice.to_json() for name, choice in choices.items()},
        "regret": regrets(labels, unit, scores, rules),
    }


def regrets(
    labels: npt.NDArray[np.int64],
    unit: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    rules: Mapping[str, Sequence[int]],
) -> dict[str, dict[str, float]]:
    """Halve the test 200 times, and compare what is best on one half with what each rule takes, on the other.

    Returns:
        Mean over halvings with the 2.5 and 97.5 % quantiles, in AUROC. A rule of several positions takes their mean;
        one of none takes the position that is worst on the half that the best was found on.
    """
    rng = np.random.default_rng(0)
    lost: dict[str, list[float]] = {name: [] for name in rules}
    while len(lost["a random size"]) < HALVINGS:
        first = halved(labels, unit, rng)
        halves = first, ~first
        if any(len(set(labels[half].tolist())) < 2 for half in halves):
            continue
        # the mean of the seeds' AUROCs
        here, there = (
            np.asarray([np.mean([auroc(labels[half], run[half]) for run in runs]) for runs in scores])
            for half in halves
        )
        for name, positions in rules.items():
            taken = there[list(positions)].mean() if positions else there[np.argmin(here)]
            lost[name].append(float(there[np.argmax(here)] - taken))
    return {name: summary(values) for name, values in lost.items()}


def summary(values: Sequence[float]) -> dict[str, float]:
    """Mean and quantiles."""
    low, high = np.quantile(values, [0.025, 0.975])
    return {"mean": float(np.mean(values)), "low": float(low), "high": float(high)}


def halved(
    labels: npt.NDArray[np.int64], unit: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Draw half of the patients with, and half of those without abnormal images."""
    abnormal = np.bincount(unit, labels) > 0
    taken = np.zeros(len(abnormal), bool)
    for members in (np.flatnonzero(abnormal), np.flatnonzero(~abnormal)):
        taken[rng.permutation(members)[: len(members) // 2]] = True
    return taken[unit]


def drawn(sets: Mapping[str, Any]) -> str:
    """Draw, per set, what the planted anomalies say beside the truth, and the size chosen."""

    def paint(panels: Any) -> None:
        for axes, (name, found) in zip(np.atleast_1d(panels), sets.items(), strict=True):
            at = np.arange(len(found["sizes"]))
            truth, planted = np.asarray(found["auroc"]), np.asarray(found["figures"]["planted"])
            spread = np.asarray(found["spread"]["planted"])
            axes.plot(at, truth.mean(1), "s-", color=ABNORMAL, label="AUROC by the labels (oracle)")
            axes.fill_between(at, truth.min(1), truth.max(1), color=ABNORMAL, alpha=0.15, linewidth=0)
            axes.plot(at, planted, "o-", color=NORMAL, label="AUROC of planted anomalies")
            axes.fill_between(at, planted - spread, planted + spread, color=NORMAL, alpha=0.15, linewidth=0)
            chosen = found["sizes"].index(found["choices"][DEFAULT.value]["value"])
            axes.axvline(chosen, color=FAINT, linestyle="--", linewidth=1.2)
            axes.axhline(0.5, color=FAINT, linewidth=0.8)
            axes.set(title=name, xticks=at, xlabel="latent size")
            axes.set_xticklabels(found["sizes"])
        np.atleast_1d(panels)[0].legend()

    return standalone(paint, columns=len(sets), size=(3.6 * len(sets), 3.4))


def told(name: str, found: Mapping[str, Any]) -> None:
    """Print a set's sweep and regrets."""
    print(f"\n{name}")
    print("  size     AUROC  planted   error    bits  dimension")
    for i, size in enumerate(found["sizes"]):
        figures = [
            found["figures"].get(key, [float("nan")] * (i + 1))[i] for key in ("planted", "error", "bits", "dimension")
        ]
        print(f"  {size:4d}  {np.mean(found['auroc'][i]):8.3f}" + "{:9.3f}{:8.4f}{:8.1f}{:11.1f}".format(*figures))
    for rule, lost in found["regret"].items():
        choice = found["sizes"][found["rules"][rule][0]] if len(found["rules"][rule]) == 1 else ""
        print(f"  regret {rule:16s} {choice!s:4s} {lost['mean']:+.3f} [{lost['low']:+.3f}, {lost['high']:+.3f}]")


if __name__ == "__main__":
    main()
