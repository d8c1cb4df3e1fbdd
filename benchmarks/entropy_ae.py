"""Is a rate a better handle than a latent size? `entropy_ae` against the plain `ae` chosen without labels, paired.

    NORMOSCOPE_DATA=... python benchmarks/entropy_ae.py --sizes results/latent_size_test.json

On each set `ae` has the latent size that `latent_size.py test` chose from normals; `entropy_ae` has its default rate
weight and is scored by distortion, by rate and by both; `norm` is its latent-norm penalty. Five seeds, each holding out
other normals on which both stop. Test labels are opened to report. Each fit is stored as it ends.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latent_size import TEST, stored
from machine import facts
from normoscope import allocator, methods
from normoscope.evaluation import evaluate, paired
from normoscope.partitions import Partition, partition
from normoscope.runner import Processes
from normoscope.statistics import holm
from normoscope.sweep import PATIENCE, Axis, sweep

ROWS = {
    "entropy_ae, distortion": {"score": "distortion"},
    "entropy_ae, rate": {"score": "rate"},
    "entropy_ae, both": {"score": "both"},
    "entropy_ae, norm": {"penalty": "norm"},
}


def main() -> None:
    """Fit all rows on every set; print and write AUROCs and differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=Path, default=Path("results/latent_size_test.json"))
    parser.add_argument("--out", type=Path, default=Path("results/entropy_ae.json"))
    parser.add_argument("--fits", type=Path, default=Path("results/sweeps"), help="folder of the finished fits")
    parser.add_argument("--only", nargs="*", help="names of sets")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int)
    parser.add_argument("--stored", action="store_true", help="read the finished fits, whatever code they were made by")
    args = parser.parse_args()
    allocator.tune()
    studied = json.loads(args.sizes.read_text(encoding="utf-8"))
    result: dict[str, Any] = {
        "what": __doc__.partition("\n")[0],
        "command": "python benchmarks/entropy_ae.py " + " ".join(sys.argv[1:]),
        "machine": facts(),
        "sets": {},
    }
    for name in studied["sets"]:
        if args.only and name not in args.only:
            continue
        data = partition(TEST[name]())
        size = studied["sets"][name]["choices"][studied["default"]]["value"]
        recipes = {"ae": ("ae", methods.build("ae", overrides={"latent_dim": size, "patience": PATIENCE}))}
        recipes |= {
            row: ("entropy_ae", methods.build("entropy_ae", overrides={**options, "patience": PATIENCE}))
            for row, options in ROWS.items()
        }
        axis, seeds = Axis("row", recipes), range(args.seeds)
        if args.stored:
            found: Mapping[Any, Sequence[Mapping[str, Any]]] = stored(axis, data, args.fits, seeds)
        else:
            engine = Processes(args.processes)
            found = sweep(axis, data, args.fits, seeds=seeds, engine=engine, progress=sys.stderr.isatty()).found
        result["sets"][name] = {"latent_dim": size, "rows": compared(data, found)}
        print(f"\n{name}: ae at latent size {size}")
        for row, figures in result["sets"][name]["rows"].items():
            print(f"  {row:24s} {figures['auroc']['value']:.3f}  {figures.get('minus_ae', '')}")
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def compared(data: Partition, found: Mapping[Any, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """AUROC of every row, and its difference to `ae`, seed by seed on the same images."""
    samples = data.samples["test"]
    labels = np.asarray([int(bool(sample.label)) for sample in samples])
    patients = [sample.patient for sample in samples]
    groups = None if None in patients else [str(patient) for patient in patients]
    scores = {row: np.asarray([run["test"] for run in runs]) for row, runs in found.items()}
    rows: dict[str, Any] = {}
    for row, runs in found.items():
        rows[row] = {
            "auroc": evaluate(labels, scores[row], groups=groups).auroc.to_json(),
            "held_out_error": float(np.mean([run["error"]["held_out"] for run in runs])),
            "bits": [run["entropy"] and run["entropy"]["gaussian_information"]["value"] for run in runs],
            "epochs": [run["epochs"] for run in runs],
            "warnings": sorted({warning for run in runs for warning in run["warnings"]}),
        }
    others = [row for row in found if row != "ae"]
    differences = {row: paired(labels, scores[row], scores["ae"], groups=groups) for row in others}
    corrected = holm(np.asarray([difference.pvalue for difference in differences.values()]))
    for (row, difference), pvalue in zip(differences.items(), corrected, strict=True):
        rows[row]["minus_ae"] = {
            **dataclasses.asdict(difference.auroc),
            "pvalue": difference.pvalue,
            "holm": float(pvalue),
        }
    return rows


if __name__ == "__main__":
    main()
