"""Several devices on one machine, through torch's own DistributedDataParallel.

`launch` starts one process per device; inside them `train` finds the process group by itself: each process takes
its share of every batch, gradients are averaged by the number of images, and process 0 alone writes and prints.
Without a process group this module costs nothing and imports nothing.

Tested with two processes on the processor (gloo); not tested on GPUs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

__all__ = ["Team", "launch", "team"]


@dataclass(frozen=True)
class Team:
    """This process among its equals.

    Args:
        rank: 0 leads: it alone writes files and prints.
        size: How many processes train together.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def share(self, batch: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], float]:
        """Return this process's part of a batch and its weight in the batch's mean.

        A batch smaller than the team leaves some processes one image of weight 0, because every process must
        take part in averaging the gradients.
        """
        mine = batch[self.rank :: self.size]
        return (mine, len(mine) / len(batch)) if len(mine) else (batch[:1], 0.0)

    def step(self, module: nn.Module, loss: Callable[[Tensor], Tensor]) -> Callable[[Tensor, float], Tensor]:
        """Return a function (images, weight) -> weighted loss whose gradients add up over the team."""
        if self.size == 1:
            return lambda images, weight: loss(images) * weight if weight != 1 else loss(images)
        from torch.nn.parallel import DistributedDataParallel

        whole = DistributedDataParallel(_Step(module, loss), find_unused_parameters=True, broadcast_buffers=False)
        # The engine divides gradients by the team's size; shares are already weighted, so undo it.
        return lambda images, weight: _rescaled(whole(images) * weight, self.size)

    def total(self, value: Tensor) -> Tensor:
        """Add a value up over the team."""
        if self.size > 1:
            torch.distributed.all_reduce(value)
        return value

    def agree(self, value: float | None) -> float | None:
        """Return the team's mean of a value, so that all decide alike."""
        if self.size == 1 or value is None:
            return value
        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        return float(self.total(torch.tensor(value, dtype=torch.float64, device=device))) / self.size


class _Step(nn.Module):
    """A loss as a module, which is what the engine wraps."""

    def __init__(self, module: nn.Module, loss: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.module = module
        self.loss = loss

    def forward(self, images: Tensor) -> Tensor:
        return self.loss(images)


def _rescaled(loss: Tensor, size: int) -> Tensor:
    """Scale the gradient by size, not the value."""
    return loss.detach() + size * (loss - loss.detach())


def team() -> Team:
    """Return this process's place: alone, unless a process group was initialised."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return Team()
    return Team(torch.distributed.get_rank(), torch.distributed.get_world_size())


def launch(function: Callable[..., None], devices: int, *args: Any) -> None:
    """Run `function(*args)` in one process per device and wait for all of them.

    With CUDA, process i sees device i as `cuda`; otherwise all share the processor.

    Args:
        function: A function at the top level of a module; it must be the same in all processes.
        devices: How many processes.
        args: Passed to every process.
    """
    with tempfile.TemporaryDirectory(prefix="normoscope-") as folder:
        from torch.multiprocessing.spawn import spawn

        meeting = (Path(folder) / "meeting").as_uri()
        spawn(_worker, (function, devices, meeting, args), nprocs=devices)  # type: ignore[no-untyped-call]


def _worker(rank: int, function: Callable[..., None], size: int, meeting: str, args: tuple[Any, ...]) -> None:
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group(backend, init_method=meeting, rank=rank, world_size=size)
    try:
        function(*args)
    finally:
        torch.distributed.destroy_process_group()
