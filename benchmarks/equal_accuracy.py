"""Is the fast network as good as the plain one? AUROC on two real sets, five paired seeds.

    NORMOSCOPE_DATA=... python benchmarks/equal_accuracy.py --out results/equal_accuracy.json

Both sides train on all official training normals and are tested on the official test set: the `cae` recipe at the
quick preset's epochs, batch and learning rate, without early stopping, against the plain loop of `baseline.py`. Labels
are used to report, never to choose. Each seed is stored as it ends; a run that was stopped goes on there.
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
from normoscope import allocator
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
    recipe = json.loads(json.dumps(dataclasses.asdict(RECIPE)))
    before = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
    aurocs = before["auroc"] if before.get("recipe") == recipe else {name: [] for name in SETS}
    result = {
        "what": "AUROC (anomaly = pneumonia) of the cae network trained fast and plainly, a pair per seed; "
        "mean difference and its paired 95 % t-interval",
        "command": "python benchmarks/equal_accuracy.py " + " ".join(sys.argv[1:]),
        "recipe": recipe,
        "precision": str(Run().autocast_dtype).removeprefix("torch."),
        "machine": facts(),
        "auroc": aurocs,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for name, path in SETS.items():
        images = load(path)
        for seed in range(len(aurocs[name]), args.seeds):
            aurocs[name].append([fast(*images, seed), plain(*images, seed)])
            args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
            print(name, "seed", seed, "normoscope, baseline:", aurocs[name][-1], file=sys.stderr)
    result["difference"] = {name: difference(pairs) for name, pairs in aurocs.items()}
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for name, (mean, low, high) in result["difference"].items():
        print(f"{name:16} mean difference {mean:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}")


def load(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return training normals, test images (n, 1, h, w) and test labels."""
    file = np.load(Path(os.environ["NORMOSCOPE_DATA"], path))
    normal = file["train_labels"].ravel() == 0
    labels = (file["test_labels"].ravel() != 0).astype(int)
    return file["train_images"][normal][:, None], file["test_images"][:, None], labels


def difference(pairs: list[list[float]]) -> tuple[float, float, float]:
    """Return the mean difference over seeds, normoscope less baseline, and its paired t-interval."""
    differences = [a - b for a, b in pairs]
    mean = statistics.fmean(differences)
    half = student.ppf(0.975, len(pairs) - 1) * statistics.stdev(differences) / math.sqrt(len(pairs))
    return mean, mean - half, mean + half


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
