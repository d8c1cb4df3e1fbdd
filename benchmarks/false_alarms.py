"""How often a calibrated detector flags normal images: on exchangeable ones, and on an official test set.

    python benchmarks/false_alarms.py --out results/false_alarms.json

One `knn` detector is fitted on half of the training normals. The other half is split 200 times into calibrate and
held-out halves; each split sets the conformal rule and measures the share of held-out normals it flags. The official
test's normals are flagged by the rule of the whole second half. The unit is the patient where patients are known: whole
patients are drawn, and a patient's score is the largest of its images'.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import normoscope as ns
from normoscope.calibration import conformal_rule
from normoscope.images import PixelStore
from normoscope.sources import load
from normoscope.statistics import binomial
from normoscope.types import Run, Sample
from normoscope.written import write_atomically

SETS = {
    "PneumoniaMNIST": ("medmnist/pneumoniamnist.npz", None),
    "chest X-rays, 64 px": ("chest_xray/chest_xray_64.npz", r"(?:NORMAL2-)?IM-\d+|person\d+_(?:bacteria|virus)"),
}
Scores = npt.NDArray[np.float64]


def study(
    file: Path, patients: str | None, alphas: tuple[float, ...] = (0.05, 0.1), splits: int = 200
) -> dict[str, Any]:
    """Return the false-alarm rates of one data set, whose normal class is 0.

    Args:
        file: The data.
        patients: Pattern that finds the patient in an image's name; None where patients are not known.
        alphas: Wished rates.
        splits: How often the second half is cut.
    """
    collection = load(str(file), normal_class="0", group_regex=patients)
    normals = {part: [s for s in collection.samples if s.label == 0 and s.split == part] for part in ("train", "test")}
    preprocessor = ns.Preprocessing().plan(normals["train"])
    images = {part: preprocessor.prepare(samples).images for part, samples in normals.items()}
    units = {part: _units(samples) for part, samples in normals.items()}
    rng = np.random.default_rng(0)
    order = rng.permutation(units["train"].max() + 1)
    fitted = np.isin(units["train"], order[: len(order) // 2])
    detector = ns.build("knn").fit(images["train"].subset(np.flatnonzero(fitted)), Run())
    scores = {
        "other": _largest(_scores(detector, images["train"].subset(np.flatnonzero(~fitted))), units["train"][~fitted]),
        "test": _largest(_scores(detector, images["test"]), units["test"]),
    }
    rows = {}
    for alpha in alphas:
        rates = []
        for _ in range(splits):
            shuffled = rng.permutation(scores["other"])
            half = len(shuffled) // 2
            rates.append(float(conformal_rule(shuffled[:half], alpha)(shuffled[half:]).mean()))
        flagged = conformal_rule(scores["other"], alpha)(scores["test"])
        rows[str(alpha)] = {
            "held_out": float(np.mean(rates)),
            "standard_error": float(np.std(rates, ddof=1) / np.sqrt(splits)),
            "official_test": binomial(float(flagged.sum()), len(flagged)).to_json(),
        }
    counts = {
        "fitted": len(order) // 2,
        "calibrate": len(scores["other"]) // 2,
        "calibrate_for_test": len(scores["other"]),
        "test": len(scores["test"]),
    }
    return {"unit": "image" if patients is None else "patient", "normals": counts, "splits": splits, "rates": rows}


def _units(samples: Sequence[Sample]) -> npt.NDArray[np.int64]:
    """Number the patients, or the images where no patient is known."""
    return np.unique([s.patient or f"image {s.name}" for s in samples], return_inverse=True)[1]


def _largest(scores: Scores, units: npt.NDArray[np.int64]) -> Scores:
    """Return the largest score of each unit."""
    return np.asarray([scores[units == unit].max() for unit in np.unique(units)])


def _scores(detector: Any, images: PixelStore) -> Scores:
    return np.asarray(detector.anomaly_score(images.batch(np.arange(len(images)))).double().numpy())


def main() -> None:
    """Run both sets and write the result."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", default="results/false_alarms.json")
    out = Path(arguments.parse_args().out)
    root = Path(os.environ["NORMOSCOPE_DATA"])
    results = {name: study(root / file, patients) for name, (file, patients) in SETS.items()}
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
