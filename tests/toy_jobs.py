"""Jobs small enough to watch, and a driver to kill."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from normoscope import methods
from normoscope.errors import LayoutError
from normoscope.images import batches
from normoscope.partitions import partition
from normoscope.runner import Job, Processes, run_jobs
from normoscope.sources import load
from normoscope.types import Run
from normoscope.written import write_atomically


def square(arguments: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Log the start, take a while, square a number."""
    if "log" in arguments:
        with Path(arguments["log"]).open("a") as log:
            log.write(f"{arguments['number']} {os.getpid()}\n")
    time.sleep(arguments.get("seconds", 0.0))
    return {"square": arguments["number"] ** 2}


def refuse(arguments: Mapping[str, Any], checkpoint: Path) -> None:
    """Fail."""
    raise ValueError("no number today")


def surroundings(arguments: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Say where and how the job is done."""
    checkpoint.mkdir(parents=True)
    return {
        "parent": os.getppid(),
        "checkpoint": str(checkpoint),
        "threads": torch.get_num_threads(),
        "faults": page_faults({}, checkpoint)[-1],
        "variables": [os.environ[name] for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")],
        "data": os.environ.get("NORMOSCOPE_DATA"),
    }


def page_faults(arguments: Mapping[str, Any], checkpoint: Path) -> list[int]:
    """Fill and free the same 64 MiB three times; count the page faults of each."""
    counts = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        bytearray(2**26)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return counts


def score_phantom(arguments: Mapping[str, Any], checkpoint: Path) -> list[float]:
    """Log the start, fit a method on a small phantom, score its test images.

    A job that `hangs` waits at its first attempt to be killed.
    """
    log = Path(arguments["log"])
    with log.open("a") as file:
        file.write(f"{arguments['number']} {os.getppid()}\n")
    attempts = [line for line in log.read_text().splitlines() if line.split()[0] == str(arguments["number"])]
    deadline = time.monotonic() + 200
    while arguments["hangs"] and len(attempts) == 1:
        assert time.monotonic() < deadline, "nobody killed this attempt"
        time.sleep(0.02)
    seed = arguments["seed"]
    options = {"size": "28", "train": "40", "validation": "20", "test": "20", "seed": str(seed)}
    data = partition(load("phantom", options=options))
    recipe = methods.build(arguments["method"], "quick", arguments["changes"])
    detector = recipe.fit(data.images["train"], Run(seed=seed, checkpoint=checkpoint, resume=True))
    return np.concatenate([detector.anomaly_score(batch) for batch in batches(data.images["test"])]).tolist()


def refuse_with_facts(arguments: Mapping[str, Any], checkpoint: Path) -> None:
    """Fail with an exception that cannot be rebuilt from its text."""
    raise LayoutError("shelf", "books", "jars")


def die(arguments: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    """End the process as a kill would, as often as told; then work."""
    log = Path(arguments["log"])
    with log.open("a") as file:
        file.write("x")
    if len(log.read_text()) <= arguments["deaths"]:
        os._exit(9)
    return {"square": 1}


def count_up(arguments: Mapping[str, Any], checkpoint: Path) -> int:
    """Count to ten in the checkpoint, so that a killed count goes on."""
    checkpoint.mkdir(parents=True, exist_ok=True)
    file = checkpoint / "count"
    done = int(file.read_text()) if file.exists() else 0
    for number in range(done, 10):
        with Path(arguments["log"]).open("a") as log:
            log.write(f"{arguments['number']}:{number}\n")
        write_atomically(file, str(number + 1))
        time.sleep(0.1)
    return arguments["number"] * 10


def counts(log: Path, count: int = 4) -> list[Job]:
    """Name jobs that count."""
    return [Job(f"count {n}", "toy_jobs:count_up", {"number": n, "log": str(log)}) for n in range(count)]


if __name__ == "__main__":
    run_jobs(counts(Path(sys.argv[2])), Path(sys.argv[1]), engine=Processes(2))
