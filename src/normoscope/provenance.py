"""When, with what, on what machine and from which images something was computed."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ._version import __version__
from .errors import UnreadableImageError
from .fingerprints import processor
from .images import BATCH
from .partitions import Partition
from .sources import Loaded, place
from .splits import PARTS
from .types import Run, Sample

__all__ = ["provenance", "record"]


def provenance(run: Run, command: str) -> dict[str, Any]:
    """Return when, with what and on what something was computed."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "versions": _versions(),
        "commit": _commit(),
        "hardware": _hardware(run),
    }


def record(data: Partition, run: Run, command: str) -> dict[str, Any]:
    """Return the provenance of any result on this data: versions, commit, seed, split, data hash, hardware."""
    found = data.collection
    source, options = (found.source, found.options) if isinstance(found, Loaded) else (found.spec, {})
    return {
        **provenance(run, command),
        "seed": run.seed,
        "split": {"seed": data.cut.seed, "rule": data.cut.rule, "by_patient": data.cut.by_patient},
        "data": {
            "spec": found.spec,
            "source": source,
            "options": dict(options),
            "place": place(source, options),
            "normal_class": found.normal_class,
            "group_regex": found.group_regex,
            "hash": _data_hash(data.parts),
            "counts": {part: len(data.samples[part]) for part in PARTS},
            "image_shape": _shape(data.samples["train"][0]),
        },
    }


def _shape(sample: Sample) -> tuple[int, int] | None:
    """Return height and width of an image before it was prepared; None where its file is gone since."""
    try:
        height, width, *_ = sample.read().shape
        return height, width
    except UnreadableImageError:
        return None


def _data_hash(parts: Mapping[str, Mapping[str, str]]) -> str:
    """Hash the contents of all parts, whatever their order."""
    digest = hashlib.blake2b(digest_size=16)
    for part in sorted(parts):
        digest.update("".join([part, *sorted(parts[part].values())]).encode())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    return {
        "normoscope": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }


def _commit() -> str | None:
    """Return the commit of the source tree this runs from, None for an installed wheel."""
    here = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "--show-toplevel", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout.split("\n")
    except (OSError, subprocess.SubprocessError):
        return None
    # a wheel installed somewhere below another project's repository is not that project's commit
    return found[1] if Path(found[0], "src", "normoscope") == here else None


def _hardware(run: Run) -> dict[str, Any]:
    return {
        "device": str(run.torch_device),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "precision": str(run.autocast_dtype).removeprefix("torch."),
        "system": platform.platform(),
        "batch": BATCH,
        "executable": Path(sys.executable).name,
    }
