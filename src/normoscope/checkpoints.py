"""What a training run leaves on disk so that a killed one can go on.

One safetensors file per stage: the module, the optimisers, the best weights so far, and in the header, as JSON,
the facts: how far it is, whose run it is, and under which circumstances. It is written under another name,
flushed and renamed, so a file that exists is whole whatever moment the process died at.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from .errors import CheckpointError
from .fingerprints import circumstances, data_fingerprint, network_fingerprint
from .progress import Epoch, History, Stage
from .types import Images, Run

__all__ = ["Checkpoint", "Keeper", "read", "write"]

_FORMAT = 1
_FACTS = "facts"


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to go on.

    Args:
        tensors: Module, optimisers and best weights, by prefixed name.
        facts: Plain JSON values.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def write(file: Path, checkpoint: Checkpoint) -> None:
    """Write the file whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    facts = json.dumps({"format": _FORMAT, **checkpoint.facts})
    with part.open("wb") as stream:
        stream.write(save(checkpoint.tensors, {_FACTS: facts}))
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)
    _flush_folder(file.parent)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(file: Path) -> Checkpoint:
    """Read a file that `write` wrote.

    Raises:
        CheckpointError: It is damaged, or of another format.
    """
    try:
        with safe_open(file, framework="pt") as stream:
            facts = json.loads((stream.metadata() or {})[_FACTS])
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(str(file), f"it cannot be read ({error})", "delete it and train again") from None
    if not isinstance(facts, dict) or facts.get("format") != _FORMAT:
        raise CheckpointError(str(file), "it has another format", "resume with the version that wrote it")
    return Checkpoint(tensors, facts)


class Keeper:
    """Writes and reads one stage's checkpoint; without `run.checkpoint` it does nothing.

    Args:
        stage: What to keep; `resume` fills it.
        normals: The training images, for the fingerprint.
        run: Folder, and how often to write.
        history: Receives what a resume finds.
        settings: What must be equal for a checkpoint to belong to this run (recipe, schedule ...).
        writes: Whether this process is the one that writes.
    """

    def __init__(
        self,
        stage: Stage,
        normals: Images,
        run: Run,
        history: History,
        settings: dict[str, str],
        writes: bool = True,
    ) -> None:
        self._stage, self._run, self._history, self._writes = stage, run, history, writes
        self._file = None if run.checkpoint is None else run.checkpoint / f"{stage.name}.safetensors"
        self._last = time.monotonic()
        if self._file is not None:
            self._identity = {
                "seed": run.seed,
                **settings,
                "training data": data_fingerprint(normals),
                "network": network_fingerprint(stage.module),
            }
            self._circumstances = circumstances(run)

    def resume(self) -> None:
        """Restore the stage if the run resumes and a checkpoint is there; otherwise forget an old one.

        Raises:
            CheckpointError: It belongs to another run or is damaged.
        """
        if self._file is None:
            return
        if not self._run.resume:
            if self._writes:
                self._file.unlink(missing_ok=True)
            return
        if self._file.exists():
            self._restore(self._file, read(self._file))

    def _restore(self, file: Path, found: Checkpoint) -> None:
        facts = found.facts
        changed = _differences(facts["identity"], self._identity)
        if changed:
            cause = "it belongs to another run (" + "; ".join(changed) + ")"
            raise CheckpointError(str(file), cause, "resume with the same settings and data, or use another folder")
        self._stage.best = _put_back(found.tensors, self._stage.module, self._stage.optimizers)
        self._stage.epochs = [Epoch(**{**epoch, "losses": tuple(epoch["losses"])}) for epoch in facts["epochs"]]
        self._stage.best_epoch, self._stage.done = facts["best_epoch"], facts["done"]
        self._history.epochs += self._stage.epochs
        elsewhere = _differences(facts["circumstances"], self._circumstances)
        if elsewhere:
            facts["warnings"].append(
                "Resumed under other circumstances, results may differ in the last bits: " + "; ".join(elsewhere) + "."
            )
        self._history.warnings += [text for text in facts["warnings"] if text not in self._history.warnings]

    def keep_if_due(self) -> None:
        """Write, if the last time is long enough ago."""
        if time.monotonic() - self._last >= self._run.checkpoint_seconds:
            self.keep()

    def keep(self) -> None:
        """Write."""
        if self._file is None or not self._writes:
            return
        facts = {
            "identity": self._identity,
            "circumstances": self._circumstances,
            "epochs": [asdict(epoch) for epoch in self._stage.epochs],
            "warnings": self._history.warnings,
            "best_epoch": self._stage.best_epoch,
            "done": self._stage.done,
        }
        stage = self._stage
        write(self._file, Checkpoint(_collect(stage.module, stage.optimizers, stage.best), facts))
        self._last = time.monotonic()


def _differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Say in which entries two descriptions differ, one phrase each."""
    return [f"{key} was {then.get(key)}, is {value}" for key, value in now.items() if then.get(key) != value]


def _collect(
    module: nn.Module, optimizers: Sequence[torch.optim.Optimizer], best: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """Name a copy of every tensor of the module, the optimisers and the best weights."""
    tensors = {f"module.{name}": value for name, value in module.state_dict().items()}
    for number, optimizer in enumerate(optimizers):
        for parameter, values in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{parameter}.{key}": value for key, value in values.items()}
    tensors |= {f"best.{name}": value for name, value in (best or {}).items()}
    return {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}


def _put_back(
    tensors: dict[str, Tensor], module: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> dict[str, Tensor] | None:
    """Load module and optimisers in place; return the best weights, None where none were kept."""
    module.load_state_dict(_under("module.", tensors))
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(f"optimizer.{number}.", tensors).items():
            parameter, _, key = name.partition(".")
            state.setdefault(int(parameter), {})[key] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return _under("best.", tensors) or None


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
