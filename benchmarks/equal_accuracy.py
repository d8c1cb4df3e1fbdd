"""Is the fast network as good as the plain one? AUROC on two real sets, five paired seeds.

    NORMOSCOPE_DATA=... python benchmarks/equal_accuracy.py --out results/equal_accuracy.json

Both sides train on all official training normals and are tested on the official test set: the `cae` recipe at the
quick preset's epochs, batch and learning rate, without early stopping, against the plain loop of `baseline.py`. Labels
are used to report, never to choose.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import statistics
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from baseline import autoencoder, score, train
from machine import facts
from normoscope.apps import allocator
from normoscope.images import PixelStore
from normoscope.methods.cae import CAE
from normoscope.types import Run

SETS = {"pneumoniamnist": "medmnist/pneumoniamnist.npz", "chest_xray_64": "chest_xray/chest_xray_64.npz"}
RECIPE = dataclasses.replace(CAE(**CAE.quick), patience=None)


def main() -> None:
    """Train both sides on every set and seed; print and write the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results/equal_accuracy.json"))
    args = parser.parse_args()
    allocator.tune()
    torch.set_num_threads(args.threads)
    figures = {name: compare(name, path, args.seeds) for name, path in SETS.items()}
    result = {
        "what": "AUROC (anomaly = pneumonia) of the cae network trained fast and plainly, paired over seeds",
        "command": "python benchmarks/equal_accuracy.py " + " ".join(sys.argv[1:]),
        "recipe": dataclasses.asdict(RECIPE),
        "precision": str(Run().autocast_dtype).removeprefix("torch."),
        "machine": facts(),
        "figures": figures,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for name, figure in figures.items():
        low, high = figure["difference_95_percent"]
        print(f"{name:16} mean difference {figure['mean_difference']:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}")


def compare(name: str, path: str, seeds: int) -> dict[str, object]:
    """Return both sides' AUROC per seed and the paired difference with its t-interval."""
    file = np.load(Path(os.environ["NORMOSCOPE_DATA"], path))
    normal = file["train_labels"].ravel() == 0
    normals, test = file["train_images"][normal][:, None], file["test_images"][:, None]
    labels = (file["test_labels"].ravel() != 0).astype(int)
    aurocs: dict[str, list[float]] = {"normoscope": [], "baseline": []}
    for seed in range(seeds):
        aurocs["normoscope"].append(fast(normals, test, labels, seed))
        aurocs["baseline"].append(plain(normals, test, labels, seed))
        print(name, "seed", seed, {side: round(values[-1], 4) for side, values in aurocs.items()}, file=sys.stderr)
    differences = [a - b for a, b in zip(*aurocs.values(), strict=True)]
    mean = statistics.fmean(differences)
    half = student.ppf(0.975, seeds - 1) * statistics.stdev(differences) / math.sqrt(seeds)
    return {
        "train_normals": len(normals),
        "test_images": len(test),
        "prevalence": float(labels.mean()),
        "auroc": aurocs,
        "mean_difference": mean,
        "difference_95_percent": [mean - half, mean + half],
    }


def fast(normals: np.ndarray, test: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """Return the package's AUROC."""
    detector = RECIPE.fit(PixelStore(normals), Run(seed=seed))
    scores = detector.anomaly_score(PixelStore(test).batch(np.arange(len(test))))
    return float(roc_auc_score(labels, scores.numpy()))


def plain(normals: np.ndarray, test: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """Return the plain loop's AUROC."""
    torch.manual_seed(seed)
    network = autoencoder(normals.shape[1:])
    images, tested = (torch.from_numpy(array).float() / 255 for array in (normals, test))
    train(network, images, RECIPE.epochs, RECIPE.batch_size, RECIPE.learning_rate)
    return float(roc_auc_score(labels, score(network, tested, 128)[0].numpy()))


if __name__ == "__main__":
    main()
