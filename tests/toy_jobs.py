"""Jobs small enough to watch, and a driver to kill."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from normoscope.runner import Job, Processes, run_jobs


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
        file.write_text(str(number + 1))
        time.sleep(0.1)
    return arguments["number"] * 10


def counts(log: Path, count: int = 4) -> list[Job]:
    """Name jobs that count."""
    return [Job(f"count {n}", "toy_jobs:count_up", {"number": n, "log": str(log)}) for n in range(count)]


if __name__ == "__main__":
    run_jobs(counts(Path(sys.argv[2])), Path(sys.argv[1]), engine=Processes(2))
