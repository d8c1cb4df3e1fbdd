"""Speed against the plain loop, in alternating rounds, each side in its own process.

    python benchmarks/bench.py --out results/bench.json

Ours is the installed program: `normoscope fit cae` and `normoscope score`, with their own report of images per second
(all training steps, the first included; all scoring, reading the file excluded on both sides).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from baseline import autoencoder
from machine import facts, matrix_peak, work
from normoscope.nn.autoencoder import ConvAutoencoder

HERE = Path(__file__).parent
PHASES = ("train", "score")


def main() -> None:
    """Run the rounds, print a table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=4096, help="training images of each side")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results/bench.json"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    peaks = {name: matrix_peak(getattr(torch, name)) for name in ("float32", "bfloat16")}
    rounds = []
    with tempfile.TemporaryDirectory(prefix="normoscope-bench-") as folder:
        for number in range(args.rounds):
            rounds.append({"baseline": baseline(Path(folder), args), "normoscope": ours(Path(folder), args)})
            print(f"round {number + 1} of {args.rounds}: {rounds[-1]}", file=sys.stderr)
    result = summary(rounds, peaks, args)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(table(result))


def image_file(folder: Path, count: int, size: int, name: str) -> Path:
    """Write seeded noise images, once; what they show does not change how long they take."""
    file = folder / f"{name}.npz"
    if not file.exists():
        images = np.random.default_rng(0).integers(0, 256, (count, size, size), dtype=np.uint8)
        # Named splits, so that all of `train` is trained on; one class, named 0.
        splits = {"train_images": images, "train_labels": np.zeros(count), "val_images": images[:20] ^ 1,
                  "val_labels": np.zeros(20)} if name == "splits" else {"images": images}  # fmt: skip
        np.savez(file, **splits)
    return file


def baseline(folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """Run the plain loop in its own process."""
    file = image_file(folder, args.images, args.size, "plain")
    command = [sys.executable, str(HERE / "baseline.py"), str(file), "--epochs", str(args.epochs)]
    command += ["--batch-size", str(args.batch_size), "--threads", str(args.threads)]
    return json.loads(output_of(command))


def ours(folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """Run the installed program."""
    train, score = (image_file(folder, args.images, args.size, name) for name in ("splits", "plain"))
    program, model = shutil.which("normoscope", path=str(Path(sys.executable).parent)), folder / "model"
    assert program, "normoscope is not installed beside this python"
    common = ["--threads", str(args.threads), "--json", "--quiet"]
    fit = [program, "fit", "cae", f"npz:{train}", "--normal-class", "0", "--out", str(model), "--overwrite"]
    fit += ["--epochs", str(args.epochs), "--batch-size", str(args.batch_size), "--learning-rate", "1e-3"]
    fitted = json.loads(output_of(fit + common))["timing"]
    scoring = [program, "score", str(model), f"npz:{score}", "--out", str(folder / "scores.csv")]
    scored = json.loads(output_of(scoring + common))["timing"]
    return {
        "train_images_per_second": fitted["train_images_per_second"],
        "score_images_per_second": scored["score_images_per_second"],
    }


def output_of(command: list[str]) -> str:
    """Run a command and return what it printed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def summary(
    rounds: list[dict[str, dict[str, float]]], peaks: dict[str, float], args: argparse.Namespace
) -> dict[str, object]:
    """Put medians, spreads, ratios and shares of the peak beside what they were measured on."""
    shape = (1, args.size, args.size)
    plain, folded = work(autoencoder(shape), shape), work(ConvAutoencoder(shape), shape)
    figures = {}
    for phase in PHASES:
        key = f"{phase}_images_per_second"
        speeds = {side: [r[side][key] for r in rounds] for side in ("baseline", "normoscope")}
        ratios = [r["normoscope"][key] / r["baseline"][key] for r in rounds]
        median = {side: statistics.median(values) for side, values in speeds.items()}
        figures[phase] = {
            **{side: {"median": median[side], "min": min(v), "max": max(v)} for side, v in speeds.items()},
            "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
            "flop_per_image": {"baseline": plain[phase], "normoscope": folded[phase]},
            "baseline_share_of_float32_peak": median["baseline"] * plain[phase] / peaks["float32"],
            "normoscope_share_of_bfloat16_peak": median["normoscope"] * folded[phase] / peaks["bfloat16"],
        }
    return {
        "what": "images per second of the cae network: plain float32 loop against the installed program",
        "command": "python benchmarks/bench.py " + " ".join(sys.argv[1:]),
        "settings": {key: value for key, value in vars(args).items() if key != "out"},
        "machine": facts(),
        "matrix_product_peak_flop_per_second": peaks,
        "figures": figures,
        "rounds": rounds,
    }


def table(result: dict[str, object]) -> str:
    """Return the figures as lines for people."""
    lines = [f"{'':8}{'baseline':>12}{'normoscope':>12}{'ratio':>8}{'spread':>16}{'of bf16 peak':>14}"]
    for phase, f in result["figures"].items():  # type: ignore[attr-defined]
        spread = f"{f['ratio']['min']:.1f} to {f['ratio']['max']:.1f}"
        lines.append(
            f"{phase:8}{f['baseline']['median']:12,.0f}{f['normoscope']['median']:12,.0f}"
            f"{f['ratio']['median']:8.1f}{spread:>16}{f['normoscope_share_of_bfloat16_peak']:14.0%}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
