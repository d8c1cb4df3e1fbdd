"""What the machine can do, and what a network asks of it."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["facts", "matrix_peak", "work"]


def facts() -> dict[str, object]:
    """Return processor, cores, versions and date."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return {
        "processor": fields.get("model name", platform.machine()),
        "processor_family_model": f"{fields.get('cpu family', '?')}/{fields.get('model', '?')}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def matrix_peak(dtype: torch.dtype, side: int = 4096, rounds: int = 5) -> float:
    """Return the best of some products of two square matrices, in FLOP/s."""
    a, b = torch.randn(side, side, dtype=dtype), torch.randn(side, side, dtype=dtype)
    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - begin)
    return 2 * side**3 / best


def work(network: nn.Module, image_shape: tuple[int, int, int]) -> dict[str, float]:
    """Return FLOP per image of scoring (forward) and of training (forward and backward), layers as written."""
    images = torch.rand(2, *image_shape)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        network(images)
    with FlopCounterMode(display=False) as both:
        network(images).sum().backward()
    return {"score": forward.get_total_flops() / 2, "train": both.get_total_flops() / 2}
