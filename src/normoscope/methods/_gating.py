"""A phase of training that is undone unless it helps normals it did not train on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from ..training import History, Phase, Schedule, mean_loss, train
from ..types import Images, Run

__all__ = ["gated_phase"]


def gated_phase(
    network: nn.Module,
    parts: Iterable[nn.Module],
    loss: Callable[[Tensor], Tensor],
    normals: Images,
    schedule: Schedule,
    run: Run,
    history: History,
    *,
    recipe: object,
    stage: str,
    select: Images | None,
) -> None:
    """Train some parts of a network; put the whole back as it was unless the loss on `select` became lower.

    A resumed run decides as the killed one did, for the decision follows from the weights before and after alone.

    Args:
        network: Everything a checkpoint must hold, on the run's device.
        parts: What may move; the rest is frozen.
        loss: Maps images to the mean of their losses; judged on `select` in evaluation mode.
        normals: Images to train on.
        schedule: How long and in which portions.
        run: Seed, device, precision, checkpoints.
        history: Receives the epochs, and a warning where the phase was undone.
        recipe: The method.
        stage: Name of the phase, unique within a fit.
        select: Normals training does not see; without them the phase is kept.

    Raises:
        TrainingError: Training diverged, or a checkpoint cannot be used.
    """
    network.requires_grad_(False)
    moved = [parameter for part in parts for parameter in part.parameters()]
    for parameter in moved:
        parameter.requires_grad_()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    had = mean_loss(network, loss, select, schedule.batch_size, run)
    phases = [Phase(moved, loss)]
    for _ in train(network, phases, normals, schedule, run, history, recipe=recipe, stage=stage, select=select):
        pass
    has = mean_loss(network, loss, select, schedule.batch_size, run)
    if had is not None and has is not None and not has < had:
        network.load_state_dict(before)
        change = f"loss {had:.4g} before, {has:.4g} after"
        history.warnings.append(f"Phase {stage} was undone: it did not help the select normals ({change}).")
