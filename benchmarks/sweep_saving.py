"""What does a sweep save against fitting its parts one by one? Both typed, timed in one run, one after the other.

    python benchmarks/sweep_saving.py --out results/sweep_saving.json

`normoscope sweep ae phantom` over eight latent sizes, one seed, against `normoscope fit ae phantom --latent-dim D`
eight times: the same images, recipe and machine, each with the threads it takes by itself. The sweep also plants
anomalies, measures entropies and chooses; the single fits calibrate and write models.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from machine import facts
from normoscope.sweep import GRIDS

DATA = ["phantom", "-o", "size=28", "-o", "train=300", "-o", "validation=50", "-o", "test=50", "--quiet"]
TYPED = [sys.executable, "-m", "normoscope.apps.cli"]


def main() -> None:
    """Time both and write the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=250)
    parser.add_argument("--out", type=Path, default=Path("results/sweep_saving.json"))
    args = parser.parse_args()
    epochs = ["--epochs", str(args.epochs)]
    with TemporaryDirectory() as folder:
        whole = timed(["sweep", "ae", *DATA, *epochs, "--seeds", "1", "--out", f"{folder}/sweep"])
        found = json.loads(Path(folder, "sweep", "sweep.json").read_text(encoding="utf-8"))
        parts = {
            size: timed(["fit", "ae", *DATA, *epochs, "--latent-dim", str(size), "--out", f"{folder}/{size}"])
            for size in GRIDS["latent_dim"]
        }
        # the same with the sweep's early stopping, so that the saving can be told apart
        stopped = {
            size: timed(["fit", "ae", *DATA, *epochs, "--patience", "20", "--latent-dim", str(size),
                         "--out", f"{folder}/{size}-stopped"])
            for size in GRIDS["latent_dim"]
        }  # fmt: skip
    result = {
        "what": "seconds of one sweep over eight latent sizes, and of the eight fits typed one by one",
        "command": "python benchmarks/sweep_saving.py " + " ".join(sys.argv[1:]),
        "machine": facts(),
        "sweep_seconds": whole,
        "sweep_epochs": {size: figures["epochs"] for size, figures in found["candidates"].items()},
        "fit_seconds": parts,
        "fit_seconds_with_early_stopping": stopped,
        "ratio": sum(parts.values()) / whole,
        "ratio_with_early_stopping": sum(stopped.values()) / whole,
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"sweep {whole:.0f} s, one by one {sum(parts.values()):.0f} s ({result['ratio']:.1f} times), with early "
          f"stopping {sum(stopped.values()):.0f} s ({result['ratio_with_early_stopping']:.1f} times)")  # fmt: skip


def timed(words: list[str]) -> float:
    """Type a command; return its wall-clock seconds."""
    began = time.perf_counter()
    subprocess.run([*TYPED, *words], check=True, capture_output=True)
    return round(time.perf_counter() - began, 2)


if __name__ == "__main__":
    main()
