"""Trials as jobs: their recipes, their names, and how long they will take."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from .. import methods
from ..nn.inference import chunk_size
from ..runner import Job
from ..types import Method, Run
from . import _trial
from ._trial import Trial, cut_of, scores_of

__all__ = ["as_job", "planned", "recipe_with", "timed"]

_WORK = f"{_trial.__name__}:{_trial.work.__name__}"
_TIMED_STEPS = 20
_FREE = {"latent_dim", "gamma", "update_interval", "learning_rate", "patience", "statistic", "loss", "milestone"}


def planned(data: str, method: str, recipe: Method, **more: Any) -> Trial:
    """Make a trial and hash its images; `more` are its other fields."""
    trial = Trial(data, method, methods.to_json(recipe), **more)
    return dataclasses.replace(
        trial, digest=_digest(data, trial.fold, trial.held_out, trial.limit, trial.size, trial.seed)
    )


@cache
def _digest(data: str, fold: str, held_out: float, limit: int, size: int, seed: int) -> str:
    """Hash the images of such trials; kept, for a plan asks again and again, for more folds than are held in memory."""
    return cut_of(Trial(data, "", {}, seed, fold, held_out, limit, size)).digest


def as_job(trial: Trial, name: str = "") -> Job:
    """Return the job that does the trial."""
    fold = "" if trial.fold == "official" else f", fold {trial.fold}"
    name = name or f"{trial.method}, {trial.data}{fold}, seed {trial.seed}"
    return Job(name, _WORK, dataclasses.asdict(trial), (f"{methods.__name__}.{trial.method}",))


def timed(jobs: Sequence[Job], *, progress: bool = False) -> list[Job]:
    """Say of every trial about how long it will take; other jobs keep what they say themselves.

    Trials that differ only in seed, fold, number of epochs or the settings of `_FREE` share one timing.
    """
    from tqdm import tqdm

    trials = {job.key: Trial(**job.arguments) for job in jobs if job.work == _WORK}
    kinds = {_kind(trial): trial for trial in trials.values()}
    shown = tqdm(kinds.items(), "timing", unit="method", disable=not progress, delay=1, leave=False)
    rates = {kind: _rate(trial) for kind, trial in shown}
    return [
        dataclasses.replace(job, cost=rates[_kind(trial)].seconds(trial)) if (trial := trials.get(job.key)) else job
        for job in jobs
    ]


def _kind(trial: Trial) -> str:
    return repr((trial.data, trial.size, trial.method, sorted(_costly(trial).items())))


def _costly(trial: Trial) -> dict[str, Any]:
    """Return the hyperparameters on which the time of one step depends."""
    return {k: v for k, v in trial.recipe.items() if not k.endswith("epochs") and k not in _FREE}


def recipe_with(name: str, preset: str = "paper", **changes: Any) -> Method:
    """Build a recipe; changes it has no field for are left out, so that one set of settings serves many methods."""
    fields = {field.name for field in dataclasses.fields(methods.recipe_class(name))}  # type: ignore[arg-type]
    return methods.build(name, preset, {key: value for key, value in changes.items() if key in fields})


@dataclasses.dataclass(frozen=True)
class _Rate:
    """Seconds of one image in one epoch, and of one score."""

    step: float
    score: float

    def seconds(self, trial: Trial) -> float:
        cut = cut_of(trial)
        epochs: int = sum(count for name, count in trial.recipe.items() if name.endswith("epochs"))
        images = min(512, len(cut.train)) + len(cut.held_out) + len(cut.test)
        return self.step * len(cut.train) * epochs + self.score * images


def _rate(trial: Trial) -> _Rate:
    """Time 20 training steps and a few scores; of two short fits the second, for the first also pays for setting up."""
    cut = cut_of(trial)
    recipe: Any = methods.from_json(trial.method, trial.recipe)
    names = [name for name in trial.recipe if name.endswith("epochs")]
    if not names:
        return _Rate(0.0, 0.0)
    short = dict.fromkeys(names, 1) | {name: 1 for name in ("update_interval", "milestone") if name in trial.recipe}
    if trial.method == "conocc":  # needs an epoch after its warm-up
        short["epochs"] = 2
    epochs = sum(short[name] for name in names)
    train = cut.train.subset(np.arange(min(len(cut.train), max(1, _TIMED_STEPS // epochs) * recipe.batch_size)))
    few = cut.test.subset(np.arange(min(len(cut.test), chunk_size(cut.test.shape[1:]))))  # a smaller chunk is padded
    quick = dataclasses.replace(recipe, **short)
    quick.fit(train, Run(seed=trial.seed))
    began = time.perf_counter()
    detector = quick.fit(train, Run(seed=trial.seed))
    fitted = time.perf_counter()
    scores_of(detector, few)
    scored = time.perf_counter()
    return _Rate((fitted - began) / (len(train) * epochs), (scored - fitted) / len(few))
