"""How often a calibrated detector flags normal images: on exchangeable ones, and on an official test set.

    python benchmarks/false_alarms.py --out results/false_alarms.json

One `knn` detector is fitted on half of the training normals. The other half is split 200 times into calibrate and
held-out halves; each split sets the conformal rule and measures the share of held-out normals it flags. The official
test's normals are flagged by the rule of the whole second half.
"""

from __future__ import annotations

import argparse
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import normoscope as ns
from normoscope.calibration import conformal_rule
from normoscope.images import PixelStore
from normoscope.persistence import write_atomically
from normoscope.sources import load
from normoscope.types import Run

SETS = {
    "PneumoniaMNIST": ("medmnist/pneumoniamnist.npz", "0"),
    "chest X-rays, 64 px": ("chest_xray/chest_xray_64.npz", "0"),
}
Scores = npt.NDArray[np.float64]


def study(file: Path, normal_class: str, alphas: tuple[float, ...] = (0.05, 0.1), splits: int = 200) -> dict[str, Any]:
    """Return the false-alarm rates of one data set."""
    collection = load(str(file), normal_class=normal_class)
    normals = {part: [s for s in collection.samples if s.label == 0 and s.split == part] for part in ("train", "test")}
    preprocessor = ns.Preprocessing().plan(normals["train"])
    images = {part: preprocessor.prepare(samples).images for part, samples in normals.items()}
    rng = np.random.default_rng(0)
    order = rng.permutation(len(images["train"]))
    fitted, other = order[: len(order) // 2], order[len(order) // 2 :]
    detector = ns.build("knn").fit(images["train"].subset(fitted), Run())
    scores = {"other": _scores(detector, images["train"].subset(other)), "test": _scores(detector, images["test"])}
    rows = {}
    for alpha in alphas:
        rates = []
        for _ in range(splits):
            shuffled = rng.permutation(scores["other"])
            half = len(shuffled) // 2
            rates.append(float(conformal_rule(shuffled[:half], alpha)(shuffled[half:]).mean()))
        rows[str(alpha)] = {
            "held_out": float(np.mean(rates)),
            "standard_error": float(np.std(rates, ddof=1) / np.sqrt(splits)),
            "official_test": float(conformal_rule(scores["other"], alpha)(scores["test"]).mean()),
        }
    counts = {"fitted": len(fitted), "calibrate": len(other) // 2, "test": len(scores["test"])}
    return {"normals": counts, "splits": splits, "rates": rows}


def _scores(detector: Any, images: PixelStore) -> Scores:
    return np.asarray(detector.anomaly_score(images.batch(np.arange(len(images)))).double().numpy())


def main() -> None:
    """Run both sets and write the result."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", default="results/false_alarms.json")
    out = Path(arguments.parse_args().out)
    root = Path(os.environ["NORMOSCOPE_DATA"])
    results = {name: study(root / file, normal) for name, (file, normal) in SETS.items()}
    content = {
        "command": "python benchmarks/false_alarms.py",
        "date": datetime.now(UTC).date().isoformat(),
        "normoscope": ns.__version__,
        "results": results,
    }
    write_atomically(out, json.dumps(content, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
