"""Fits one method at several values of one setting, and gathers what normal images say of each.

    Partition, Axis --share, Job per value and seed--> candidates.work --> Sweep --selection--> Choice

Work is shared: the images are prepared once and mapped by every process, one process per core computes in one thread,
training stops early on held-out normals, and a finished job is never repeated. Every candidate starts from its own
seed, not from a neighbour's weights: those would carry the neighbour's size into the comparison.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, cast, get_origin, get_type_hints

import numpy as np

from . import candidates, methods
from .candidates import Pool, forget, name_of, share
from .errors import OptionError
from .images import PixelStore
from .partitions import Partition
from .runner import Engine, Job, Result, alone, finished, run_jobs
from .types import Method, Precision

__all__ = ["GRIDS", "PATIENCE", "Axis", "Sweep", "axis_of", "sweep"]

GRIDS: Mapping[str, tuple[Any, ...]] = {
    "latent_dim": (1, 2, 4, 8, 16, 32, 64, 128),
    "rate_weight": (1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6),
    "gamma": (10.0, 1.0, 0.1, 0.01),
    "learning_rate": (1e-4, 3e-4, 1e-3, 3e-3),
}
"""What is tried where a setting is to be chosen, in the order of growing capacity."""

PATIENCE = 20
"""Epochs without a lower loss on held-out normals after which a candidate stops, unless the user says."""

_WORK = f"{candidates.__name__}:{candidates.work.__name__}"


@dataclass(frozen=True)
class Axis:
    """What varies.

    Args:
        field: A field of the recipe, or `method`.
        recipes: A recipe and its method's name per value, in order.
    """

    field: str
    recipes: Mapping[Any, tuple[str, Method]]

    @property
    def values(self) -> tuple[Any, ...]:
        """The values, in order."""
        return tuple(self.recipes)


def axis_of(
    method: str,
    field: str = "latent_dim",
    values: Sequence[Any] = (),
    *,
    preset: str = "paper",
    overrides: Mapping[str, Any] | None = None,
) -> Axis:
    """Build the recipes of a sweep.

    Args:
        method: Name of the method; where `field` is `method`, the values name the methods.
        field: What varies.
        values: In order; default the field's grid.
        preset: Of the other settings.
        overrides: Settings that differ from the preset; those a method has not are refused, unless methods vary.

    Raises:
        OptionError: No such field, no values, or a value it cannot take.
    """
    tried = tuple(dict.fromkeys(values or GRIDS.get(field, ())))
    if field == "latent_dim":  # selectors prefer what comes first among equals, and that is to be the smaller one
        tried = tuple(sorted(tried, key=lambda value: (len(str(value)), str(value))))
    if len(tried) < 2:
        raise OptionError("--over", field, f"FIELD=V1,V2,... with two values or more (known grids: {', '.join(GRIDS)})")
    given = dict(overrides or {})
    recipes: dict[Any, tuple[str, Method]] = {}
    for value in tried:
        name = str(value) if field == "method" else method
        fields = {one.name for one in dataclasses.fields(cast("Any", methods.recipe_class(name)))}
        if field in fields and get_origin(get_type_hints(methods.recipe_class(name))[field]) is tuple:
            raise OptionError("--over", field, f"a setting of {name} that holds one value")
        own = {k: v for k, v in given.items() if k in fields} if field == "method" else given
        varied = own if field == "method" else own | {field: value}
        recipe = methods.build(name, preset, varied)
        if "patience" in fields and getattr(recipe, "patience", None) is None and "patience" not in varied:
            recipe = dataclasses.replace(cast("Any", recipe), patience=PATIENCE)
        taken = name if field == "method" else getattr(recipe, field)
        recipes[taken.value if isinstance(taken, Enum) else taken] = (name, recipe)
    if len(recipes) < 2:
        raise OptionError("--over", ",".join(map(str, tried)), f"two values or more of {field}")
    return Axis(field, recipes)


@dataclass(frozen=True)
class Sweep:
    """What came of a sweep.

    Args:
        axis: What varied.
        seeds: Seeds of every value.
        found: The job values, by value and then by seed.
    """

    axis: Axis
    seeds: tuple[int, ...]
    found: Mapping[Any, Sequence[Mapping[str, Any]]]


def sweep(
    axis: Axis,
    data: Partition,
    folder: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    engine: Engine | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    progress: bool = False,
) -> Sweep:
    """Fit every candidate for every seed, as far as that is not done yet.

    Args:
        axis: What varies.
        data: The four parts; *train* and *select* are pooled, and each seed holds out other normals of them.
        folder: Where jobs and the shared images lie; the same folder goes on where it stopped.
        seeds: One fit each.
        engine: What does the work; None takes a process per core.
        device: Where each fit runs, as in `Run`.
        precision: What its layers compute in, as in `Run`.
        progress: Tell on standard error how far it is and what time is left.

    Raises:
        TooFewImagesError: Too few normals.
        ScoresError: All normals are of one patient.
        FolderBusyError: Another sweep works in the folder.
        JobError: A fit failed.
    """
    pool = pool_of(data)
    name = name_of(pool, data.preprocessor)
    how = {"device": device, "precision": precision}
    jobs = {
        (value, seed): Job(
            f"{method}, {axis.field} {value}, seed {seed}",
            _WORK,
            {"data": name, "method": method, "recipe": methods.to_json(recipe), "seed": seed, **how},
            (f"{methods.__name__}.{method}",),
        )
        for value, (method, recipe) in axis.recipes.items()
        for seed in seeds
    }
    folder.mkdir(parents=True, exist_ok=True)
    # the first of two sweeps to end would remove the images under the other's feet
    with alone(folder, ".sweep.lock"):
        try:
            if any(finished(job, folder) is None for job in jobs.values()):
                share(pool, data.preprocessor, folder)
            results: Sequence[Result] = run_jobs(list(jobs.values()), folder, engine=engine, progress=progress)
        finally:
            forget(name, folder)
    values = dict(zip(jobs, (result.value for result in results), strict=True))
    return Sweep(axis, tuple(seeds), {value: [values[value, seed] for seed in seeds] for value in axis.values})


def pool_of(data: Partition) -> Pool:
    """Join *train* and *select*; *calibrate* stays apart, and of the test no label goes along."""
    train, select, test = (data.images[part] for part in ("train", "select", "test"))
    normals = PixelStore(train.pixels, train.intensity, np.concatenate([train.index, select.index]))
    patients = [sample.patient for part in ("train", "select") for sample in data.samples[part]]
    numbers = {patient: number for number, patient in enumerate(dict.fromkeys(patients))}
    groups = () if None in numbers else tuple(numbers[patient] for patient in patients)
    return Pool(normals, groups, test)
