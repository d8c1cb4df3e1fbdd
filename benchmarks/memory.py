"""Peak anonymous memory of scoring, many images against few: it must not grow with their number.

python benchmarks/memory.py --out results/memory.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from machine import facts

SIZE = 64


def main() -> None:
    """Fit once, score both numbers of images, print and write the peaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=20_000)
    parser.add_argument("--many", type=int, default=200_000)
    parser.add_argument("--method", default="cae")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="where the images are written for the time being (default: the system's)")
    parser.add_argument("--out", type=Path, default=Path("results/memory.json"))
    args = parser.parse_args()
    program = shutil.which("normoscope", path=str(Path(sys.executable).parent))
    assert program, "normoscope is not installed beside this python"
    with tempfile.TemporaryDirectory(prefix="normoscope-memory-", dir=args.folder) as name:
        folder = Path(name)
        fit(program, folder, args)
        peaks = {count: scoring_peak(program, folder, count, args) for count in (args.few, args.many)}
    growth = peaks[args.many] - peaks[args.few]
    result = {
        "what": f"peak anonymous memory (MB) of `normoscope score` with {args.method} at {SIZE} px",
        "command": "python benchmarks/memory.py " + " ".join(sys.argv[1:]),
        "machine": facts(),
        "peak_anonymous_megabytes": {str(count): round(peak / 1e6, 1) for count, peak in peaks.items()},
        "growth_megabytes": round(growth / 1e6, 1),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for count, peak in peaks.items():
        print(f"{count:>9,} images {peak / 1e6:8.0f} MB")
    print(f"{'growth':>16} {growth / 1e6:8.0f} MB")


def write_images(file: Path, key: str, count: int) -> None:
    """Write seeded noise images without holding them twice."""
    images = np.random.default_rng(count).integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8)
    np.savez(file, **{key: images, key.replace("images", "labels"): np.zeros(count, np.uint8)})


def fit(program: str, folder: Path, args: argparse.Namespace) -> None:
    """Fit a model for one epoch; how good it is does not matter here."""
    write_images(folder / "train.npz", "images", 1000)
    command = [program, "fit", args.method, f"npz:{folder / 'train.npz'}", "--normal-class", "0", "--quiet"]
    command += ["--out", str(folder / "model"), "--threads", str(args.threads)]
    command += ["--epochs", "1"] if args.method == "cae" else []
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def scoring_peak(program: str, folder: Path, count: int, args: argparse.Namespace) -> int:
    """Return the peak anonymous memory, in bytes, of scoring this many images."""
    file = folder / f"{count}.npz"
    write_images(file, "images", count)
    command = [program, "score", str(folder / "model"), f"npz:{file}", "--out", str(folder / f"{count}.csv")]
    process = subprocess.Popen([*command, "--quiet", "--threads", str(args.threads)], stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, anonymous_bytes(process.pid))
        time.sleep(0.01)
    assert process.returncode == 0, f"scoring {count} images failed"
    file.unlink()
    return peak


def anonymous_bytes(pid: int) -> int:
    """Read the anonymous part of a process's resident memory; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


if __name__ == "__main__":
    main()
