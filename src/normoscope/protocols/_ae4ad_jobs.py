"""The trials of the AE4AD study and of the MedIAnomaly benchmark, which share their network and settings.

    data, row, seed --> trial --> job; a row names a method and what is set otherwise: `ae latent_dim=4`

Their own data sets become 64 pixels, as in both papers.
Both protocols make their jobs here, so that what both need is one job with one key.
"""

from __future__ import annotations

from typing import Any

from ..runner import Job
from ._data import BENCHMARK_SIDE, DATA
from ._jobs import as_job, planned, recipe_with
from ._trial import cut_of

__all__ = ["benchmark_job", "epochs_on", "has_validation", "present"]

_EPOCHS, _QUICK_EPOCHS = 250, 10
_EPOCHS_ON = {"brain_tumor": 600}
_AS_THEY_ARE = ("pneumoniamnist", "chest_xray_64")


def epochs_on(data: str, *, quick: bool) -> int:
    """Return how long the benchmark trains on a data set."""
    return _QUICK_EPOCHS if quick else _EPOCHS_ON.get(data, _EPOCHS)


def benchmark_job(data: str, row: str, seed: int, *, quick: bool, held_out: float = 0.0) -> Job:
    """Make the job of one row for one seed.

    Args:
        data: Name in `_data.DATA`, present.
        row: A method, and after spaces the options that differ from its preset; `trivial contrast` names a statistic.
        seed: Of the run.
        quick: The quick preset and few epochs.
        held_out: Share of the training normals kept from training; 0 takes the official validation normals.
    """
    method, *settings = row.split()
    options: dict[str, Any] = {"epochs": epochs_on(data, quick=quick)}
    for setting in settings:
        key, _, value = setting.rpartition("=")
        options[key or "statistic"] = value
    if quick:
        options["patience"] = None
    recipe = recipe_with(method, "quick" if quick else "paper", **options)
    size = 0 if data in _AS_THEY_ARE else BENCHMARK_SIDE
    kept = f", {held_out:g} of the normals held out" if held_out else ""
    return as_job(
        planned(data, method, recipe, seed=seed, held_out=held_out, size=size), f"{row}, {data}, seed {seed}{kept}"
    )


def has_validation(data: str) -> bool:
    """Tell whether a data set that is present has official validation normals."""
    return len(cut_of(planned(data, "knn", recipe_with("knn"))).held_out) > 0


def present(*names: str) -> tuple[str, ...]:
    """Return those data sets that lie on this machine."""
    return tuple(name for name in names if DATA[name].place is not None)
