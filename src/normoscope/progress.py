"""How far training is: the record that stays, the stage under way, and the bar people watch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

__all__ = ["Bar", "Epoch", "History", "Stage", "steps_shown"]


@dataclass(frozen=True)
class Epoch:
    """What one pass over the normals gave.

    Args:
        stage: The stage's name.
        number: 1 for the first pass of its stage.
        losses: Mean loss per image of each phase.
        select_loss: The watched loss on the select images, None without them.
        images: Images passed.
        seconds: Time of the training steps alone.
    """

    stage: str
    number: int
    losses: tuple[float, ...]
    select_loss: float | None
    images: int
    seconds: float


@dataclass
class History:
    """How training went, all stages; a resumed run's history is as long as an undisturbed one's.

    Args:
        epochs: In order.
        warnings: Sentences the user must see.
    """

    epochs: list[Epoch] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def images_per_second(self) -> float | None:
        """Training speed over all epochs, None before the first."""
        seconds = sum(epoch.seconds for epoch in self.epochs)
        return sum(epoch.images for epoch in self.epochs) / seconds if seconds else None

    def record(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"epochs": [asdict(epoch) for epoch in self.epochs], "warnings": list(self.warnings)}


@dataclass
class Stage:
    """A stage under way: everything a checkpoint holds.

    Args:
        name: Unique within a fit.
        module: Networks and buffers.
        optimizers: One per player.
        patience: Epochs to wait for a better select loss; None keeps no best weights.
        epochs: Those done.
        best: The weights of the best epoch, while patience is asked for.
        best_epoch: Its number, 0 before the first.
        done: Whether nothing is left to do.
    """

    name: str
    module: nn.Module
    optimizers: Sequence[torch.optim.Optimizer]
    patience: int | None = None
    epochs: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    best_epoch: int = 0
    done: bool = False

    def note(self, epoch: Epoch) -> None:
        """Append the epoch; keep its weights if its select loss is the least so far."""
        self.epochs.append(epoch)
        if self.patience is None or epoch.select_loss is None:
            return
        before = self.epochs[self.best_epoch - 1].select_loss if self.best_epoch else None
        if before is None or epoch.select_loss < before:
            self.best_epoch = epoch.number
            self.best = {name: value.detach().clone() for name, value in self.module.state_dict().items()}

    def over(self, epochs: int) -> bool:
        """Whether the epochs are used up, or patience is."""
        done = len(self.epochs)
        tired = self.patience is not None and self.best_epoch > 0 and done - self.best_epoch >= self.patience
        return tired or done >= epochs

    def finish(self) -> None:
        """Go back to the best weights, where any were kept."""
        if self.best is not None:
            self.module.load_state_dict(self.best)
        self.done = True


class Bar:
    """A progress bar on standard error with the loss and the time left; imported only when shown.

    Args:
        title: What stands before the bar.
        total: Batches in all.
        done: Batches done before.
        shown: False makes every call do nothing.
    """

    def __init__(self, title: str, total: int, done: int, shown: bool) -> None:
        self._bar: Any = None
        if shown and done < total:
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=done, desc=title, unit="batch")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self) -> None:
        """Say that one batch is done."""
        if self._bar is not None:
            self._bar.update()

    def show(self, losses: Sequence[float]) -> None:
        """Show an epoch's losses."""
        if self._bar is not None:
            self._bar.set_postfix(loss=", ".join(f"{loss:.4g}" for loss in losses))


def steps_shown(title: str, count: int, shown: bool) -> Iterable[int]:
    """Count steps up; where `shown`, with a bar on standard error as soon as they take over half a second."""
    if not shown:
        return range(count)
    from tqdm import tqdm

    bar: Iterable[int] = tqdm(range(count), title, unit="step", delay=0.5, leave=False)
    return bar
