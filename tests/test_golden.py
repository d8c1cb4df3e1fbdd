"""AUROC of every method on one phantom, as it was: a change that moves one must say so by writing the file anew.

    python tests/test_golden.py        # fits every method and writes tests/golden.json

float32, one thread, seed 0, the quick preset with few epochs. Processors round differently, and training
carries that on; TOLERANCE is what other processors and library versions may differ by.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from normoscope import methods
from normoscope.partitions import Partition, partition
from normoscope.sources import load
from normoscope.types import Run

GOLDEN = Path(__file__).with_name("golden.json")
TOLERANCE = 0.03
BUDGET = {"epochs": 6, "update_interval": 2, "batch_size": 16}


@cache
def phantom() -> Partition:
    options = {"size": "28", "train": "160", "validation": "20", "test": "120"}
    return partition(load("phantom", options=options))


def auroc(name: str) -> float:
    """Fit the method and measure it."""
    data = phantom()
    fields = {field.name for field in dataclasses.fields(methods.recipe_class(name))}  # type: ignore[arg-type]
    recipe = methods.build(name, "quick", {key: value for key, value in BUDGET.items() if key in fields})
    detector = recipe.fit(data.images["train"], Run(device="cpu", precision="float32"), data.images["select"])
    test = data.images["test"]
    scores = detector.anomaly_score(test.batch(np.arange(len(test))))
    return float(roc_auc_score([sample.label for sample in data.samples["test"]], scores.numpy()))


@pytest.mark.slow
@pytest.mark.parametrize("name", methods.names())
def test_auroc_is_what_it_was(name: str) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert name in golden, f"no golden number for {name}: run python tests/test_golden.py"
    assert auroc(name) == pytest.approx(golden[name], abs=TOLERANCE)


if __name__ == "__main__":
    torch.set_num_threads(1)
    chosen = sys.argv[1:] or methods.names()
    known = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    known |= {name: round(auroc(name), 4) for name in chosen}
    kept = {name: known[name] for name in methods.names() if name in known}
    GOLDEN.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(kept, indent=1))
