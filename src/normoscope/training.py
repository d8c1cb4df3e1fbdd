"""The only training loop: methods call it, it never calls methods.

    for epoch in train(module, [Phase(...)], normals, schedule, run, history):
        ...                                             # what the method does between epochs

Two players are two phases, two stages are two calls. The order and the noise of an epoch derive from the seed, the
stage and the epoch alone, so a run killed at any moment goes on to the same bits.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .checkpoints import Keeper
from .distributed import Team, team
from .errors import DivergedError, OptionError, TooFewImagesError
from .images import batches
from .nn.inference import computing
from .progress import Bar, Epoch, History, Stage
from .types import Images, Run

__all__ = ["Epoch", "History", "Phase", "Schedule", "mean_loss", "train"]

Loss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long and in which portions.

    Args:
        epochs: Passes over the normals.
        batch_size: Images per step; the last, smaller batch is kept.
        smallest_batch: A last batch of fewer images joins the one before it; batch normalisation needs 2.
        learning_rate: Adam's step size, unless a phase has its own.
        patience: Stop after this many epochs without a lower loss on the select images, and go back to the
            best epoch; None, or no select images, trains to the end and keeps the last.

    Raises:
        OptionError: A value out of range.
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 1e-3
    patience: int | None = None
    smallest_batch: int = 1

    def __post_init__(self) -> None:
        counts = {"epochs": self.epochs, "patience": self.patience}
        for name, value in counts.items():
            if value is not None and value < 1:
                raise OptionError(name, value, "at least 1")
        if self.batch_size < self.smallest_batch:
            raise OptionError("batch size", self.batch_size, f"at least {self.smallest_batch}")
        if not 0 < self.learning_rate < math.inf:
            raise OptionError("learning rate", self.learning_rate, "a number above 0")

    def steps(self, count: int) -> int:
        """Return how many batches `count` images make."""
        full, rest = divmod(count, self.batch_size)
        return max(1, full + (rest >= self.smallest_batch))


@dataclass(frozen=True)
class Phase:
    """One player: what it moves and what it wants small.

    Args:
        parameters: The parameters it may move.
        loss: Maps a batch of images to the mean of their losses.
        learning_rate: Step size; None takes the schedule's.
        weight_decay: Adam's L2 penalty.
        betas: Adam's decay rates.
    """

    parameters: Sequence[nn.Parameter]
    loss: Loss
    learning_rate: float | None = None
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)

    def optimizer(self, schedule: Schedule, device: torch.device) -> torch.optim.Adam:
        """Return this player's Adam, fused where the device has it."""
        return torch.optim.Adam(
            self.parameters,
            lr=schedule.learning_rate if self.learning_rate is None else self.learning_rate,
            betas=self.betas,
            weight_decay=self.weight_decay,
            fused=device.type in {"cpu", "cuda"},
        )


def train(
    module: nn.Module,
    phases: Sequence[Phase],
    normals: Images,
    schedule: Schedule,
    run: Run,
    history: History,
    *,
    recipe: object,
    stage: str = "training",
    select: Images | None = None,
    watch: Loss | None = None,
) -> Iterator[Epoch]:
    """Train, yielding after every epoch so that the caller can do what its method does between epochs.

    A checkpoint is written when the caller asks for the next epoch, so it holds what the caller changed in
    the module's buffers. A stage that a resumed run finds finished is restored and yields nothing.

    Args:
        module: Everything a checkpoint must hold: networks, and buffers such as a centre.
        phases: Run one after another on every batch, each with its own optimiser; one that is listed several times
            takes as many steps with it.
        normals: Images to train on.
        schedule: How long and in which portions.
        run: Seed, device, precision, checkpoint folder.
        history: Receives every epoch, those before a resume included, and warnings.
        recipe: The method; a checkpoint is resumed only where its repr is the same.
        stage: Name of the stage and of its checkpoint file, unique within a fit.
        select: Normals that training does not see; their loss may stop it.
        watch: The loss on `select` that patience watches; default the last phase's.

    Yields:
        What each epoch gave.

    Raises:
        DivergedError: A loss is not finite.
        CheckpointError: The checkpoint to resume from belongs to another run or is damaged.
    """
    if len(normals) < schedule.smallest_batch:
        raise TooFewImagesError("train", schedule.smallest_batch, len(normals))
    here, device = team(), run.torch_device
    module.to(device)
    watch = phases[-1].loss if watch is None else watch
    optimizers = {key: phase.optimizer(schedule, device) for key, phase in {id(p): p for p in phases}.items()}
    now = Stage(stage, module, list(optimizers.values()), schedule.patience)
    settings = {"recipe": repr(recipe), "schedule": repr(schedule)}
    keeper = Keeper(now, normals, run, history, settings, here.leads)
    keeper.resume()
    steps = [(here.step(module, phase.loss), optimizers[id(phase)]) for phase in phases]
    per_epoch = schedule.steps(len(normals))
    shown = run.progress and here.leads and not now.done
    with Bar(stage, per_epoch * schedule.epochs, per_epoch * len(now.epochs), shown) as bar:
        while not (now.done or now.over(schedule.epochs)):
            number = len(now.epochs) + 1
            begin = time.perf_counter()
            losses = _one_pass(now, steps, normals, schedule, run, here, bar)
            seconds = time.perf_counter() - begin
            select_loss = mean_loss(module, watch, select, schedule.batch_size, run)
            epoch = Epoch(stage, number, losses, select_loss, len(normals), seconds)
            _check_finite(epoch)
            now.note(epoch)
            history.epochs.append(epoch)
            yield epoch
            if not now.over(schedule.epochs):
                keeper.keep_if_due()
    if not now.done:
        now.finish()
        keeper.keep()
    module.eval()


def _one_pass(
    now: Stage,
    steps: Sequence[tuple[Callable[[Tensor, float], Tensor], torch.optim.Optimizer]],
    normals: Images,
    schedule: Schedule,
    run: Run,
    here: Team,
    bar: Bar,
) -> tuple[float, ...]:
    """Train on every image once; return the mean loss of each phase."""
    device, dtype = run.torch_device, run.autocast_dtype
    now.module.train()
    totals = torch.zeros(len(steps), dtype=torch.float64, device=device)
    with run.seeded(zlib.crc32(now.name.encode()), len(now.epochs)):
        order = torch.randperm(len(normals)).numpy()
        cuts = np.arange(1, schedule.steps(len(order))) * schedule.batch_size
        for batch in np.split(order, cuts):
            batch.sort()  # so that a memory map is read forwards
            mine, weight = here.share(batch)
            images = normals.batch(mine, str(device))
            for phase, (step, optimizer) in enumerate(steps):
                optimizer.zero_grad(set_to_none=True)
                with computing(device, dtype):
                    loss = step(images, weight)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                totals[phase] += loss.detach().double() * len(batch)
            bar.advance()
    losses = (here.total(totals) / len(order)).tolist()
    bar.show(losses)
    return tuple(losses)


def mean_loss(module: nn.Module, loss: Loss, images: Images | None, batch_size: int, run: Run) -> float | None:
    """Return the mean loss over images in evaluation mode, one value for the whole team, None where there are none."""
    if images is None or not len(images):
        return None
    module.eval()
    total, device = 0.0, run.torch_device
    with torch.no_grad(), run.seeded(), computing(device, run.autocast_dtype):
        for batch in batches(images, batch_size, str(device)):
            total += float(loss(batch)) * len(batch)
    return team().agree(total / len(images))


def _check_finite(epoch: Epoch) -> None:
    for loss in (*epoch.losses, epoch.select_loss):
        if loss is not None and not math.isfinite(loss):
            raise DivergedError(epoch.stage, epoch.number, loss)
