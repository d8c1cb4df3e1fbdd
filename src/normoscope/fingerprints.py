"""Who is training what on which machine, in a few words that can be compared later."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .types import Images, Run

__all__ = ["circumstances", "data_fingerprint", "network_fingerprint", "processor"]

_LOOKED_AT = 512


def data_fingerprint(images: Images) -> str:
    """Hash the shape and up to 512 images, evenly spread."""
    count = len(images)
    rows = np.unique(np.linspace(0, count - 1, min(count, _LOOKED_AT)).round().astype(np.int64))
    digest = hashlib.sha256(repr(images.shape).encode())
    for start in range(0, len(rows), 64):
        digest.update(images.batch(rows[start : start + 64]).numpy().tobytes())
    return digest.hexdigest()[:16]


def network_fingerprint(module: nn.Module) -> str:
    """Hash names and shapes of everything a checkpoint of the module holds."""
    shapes = [(name, tuple(value.shape)) for name, value in module.state_dict().items()]
    return hashlib.sha256(repr(shapes).encode()).hexdigest()[:16]


def processor() -> str:
    """Return the processor's type, or its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        return f"{fields['model name']}, family {fields['cpu family']} model {fields['model']}"
    except (OSError, KeyError):
        return platform.processor() or platform.machine()


def circumstances(run: Run) -> dict[str, Any]:
    """Return everything under which results are equal to the last bit, beside seed, data and recipe."""
    device = run.torch_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {
        "processor": name,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "precision": str(run.autocast_dtype).removeprefix("torch."),
        "torch": torch.__version__,
    }
