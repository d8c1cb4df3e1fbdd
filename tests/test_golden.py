"""AUROC and mean score of every method on one phantom, as they were: a change that moves one must write the file anew.

    python tests/test_golden.py        # fits every method on four instruction sets and writes tests/golden.json

float32, one thread, seed 0, the quick preset with two epochs. Processors round differently and training carries that
on: after 20 steps AUROC of an adversarial network differs by 0.04, after 60 steps of some autoencoders by 0.2. So
training is short, and the file holds the lowest and highest figure that instruction sets gave; a processor that none
of them is like may lie as far outside as they lie apart.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
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
BUDGET = {"epochs": 2, "update_interval": 1, "batch_size": 16}
LEAST = 0.01  # what libraries' versions may move a figure, of AUROC absolute and of the score relative
OLD_VECTORS = {"ATEN_CPU_CAPABILITY": "default"}
OLD_MATRICES = {"DNNL_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
PROCESSORS = ({}, OLD_VECTORS, OLD_MATRICES, OLD_VECTORS | OLD_MATRICES)

Figures = dict[str, float]


@cache
def phantom() -> Partition:
    options = {"size": "28", "train": "160", "validation": "20", "test": "120"}
    return partition(load("phantom", options=options))


def figures(name: str) -> Figures:
    """Fit the method and measure it."""
    data = phantom()
    fields = {field.name for field in dataclasses.fields(methods.recipe_class(name))}  # type: ignore[arg-type]
    recipe = methods.build(name, "quick", {key: value for key, value in BUDGET.items() if key in fields})
    detector = recipe.fit(data.images["train"], Run(device="cpu", precision="float32"), data.images["select"])
    test = data.images["test"]
    scores = detector.anomaly_score(test.batch(np.arange(len(test)))).numpy()
    auroc = roc_auc_score([sample.label for sample in data.samples["test"]], scores)
    return {"auroc": float(auroc), "mean score": float(scores.mean())}


@pytest.mark.parametrize("name", methods.names())
def test_figures_are_what_they_were(name: str) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert name in golden, f"no golden figures for {name}: run python tests/test_golden.py"
    for figure, now in figures(name).items():
        low, high = golden[name][figure]
        least = LEAST if figure == "auroc" else LEAST * abs(high)
        margin = max(high - low, least)
        assert low - margin <= now <= high + margin, f"{figure} of {name}: {now}, it was {low} to {high}"


def _on(processor: dict[str, str], names: list[str]) -> dict[str, Figures]:
    """Measure in a process that may use this processor's instructions alone."""
    command = [sys.executable, __file__, "--here", *names]
    done = subprocess.run(command, env=os.environ | processor, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--here"]:
        print(json.dumps({name: figures(name) for name in sys.argv[2:]}))
        sys.exit()
    chosen = sys.argv[1:] or methods.names()
    known = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    runs = [_on(processor, chosen) for processor in PROCESSORS]
    for name in chosen:
        both = {figure: [run[name][figure] for run in runs] for figure in runs[0][name]}
        known[name] = {figure: [float(f"{end:.5g}") for end in (min(v), max(v))] for figure, v in both.items()}
    kept = {name: known[name] for name in methods.names() if name in known}
    GOLDEN.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
