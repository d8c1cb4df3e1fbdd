"""How most networks that redraw images are fitted: one network, one loss, one stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from torch import Tensor

from ..nn.detector import Network, ReconstructingDetector
from ..training import History, Phase, Schedule, train
from ..types import Images, Method, Run

__all__ = ["fit_autoencoder"]

Fitted = TypeVar("Fitted", bound=ReconstructingDetector)


class _Scheduled(Method, Protocol):
    @property
    def schedule(self) -> Schedule: ...


def fit_autoencoder(
    recipe: _Scheduled,
    network: Network,
    loss: Callable[[Tensor], Tensor],
    detector: type[Fitted],
    normals: Images,
    run: Run,
    select: Images | None,
) -> Fitted:
    """Train a network by one loss and wrap it.

    Args:
        recipe: The method; its `schedule` says how long.
        network: Untrained; `loss` closes over it.
        loss: Maps images (n, c, h, w) to the mean of their losses.
        detector: What to wrap the trained network in.
        normals: Images to train on.
        run: Seed, device, precision, checkpoints.
        select: Normals whose loss may stop the training.

    Raises:
        TrainingError: Training diverged, or a checkpoint cannot be used.
    """
    history = History()
    phase = Phase(tuple(network.parameters()), loss)
    for _ in train(network, [phase], normals, recipe.schedule, run, history, recipe=recipe, select=select):
        pass
    fitted = detector(recipe, network, run.torch_device, run.autocast_dtype, history)
    history.warnings += fitted.collapse_warnings(normals)
    return fitted
