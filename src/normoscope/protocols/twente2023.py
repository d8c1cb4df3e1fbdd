"""A small autoencoder on digits, chest X-rays and retinal scans: four experiments, each with its false alarms.

Reference: van het Reve, Detecting Rare Diseases: Autoencoders for Detecting Anomalies in Medical Imaging, University
of Twente, 2023.

differs from the paper in: the network is read off a picture (see the method twente). The paper does not say which
images it draws; here MNIST and OCTMNIST train on 11,000 of their official train and validation images by a seeded
shuffle, PneumoniaMNIST on all 5,232, the numbers its costs betray, and test images are the same for every seed. Noise
goes onto held-out test images and is clipped to [0, 1], without which the cross-entropy has no value. PneumoniaMNIST
tests 390 pneumonias; the other 110 of "500 anomalies" are borrowed from train and validation, where a network trained
on normals has not seen them. FashionMNIST images come from whichever part is there. The paper names the cross-entropy
for the error that it prints and none for its flags, so both are set by cross-entropy and by squared error; its two-
sided rule stands beside its upper half and the area under the ROC curve. Every detection rate has the false alarms on
held-out images beside it; the paper reports none. Cost is measured on a processor with one thread, there on Google
Colab, and also with equally many images of every set in turns, for images over seconds alone cannot tell the data from
the machine.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from ..methods.twente import Twente
from ..runner import Job, Result
from ..types import Run
from . import _twente_work as work
from ._data import DATA, Absent
from ._shape import Figure, Outcome, Plan
from ._twente_claims import claims
from ._twente_figures import error_figure, image_figures, sweep_figure
from ._twente_images import NOISE, pictures, uniform_noise
from ._twente_numbers import against_references, artificial, cost, cost_ratios, real, reconstruction, sweep
from ._twente_paper import ANOMALIES, EPOCHS, FASHION, HELD_OUT, IMAGES, MEDICAL, SETS
from ._twente_tables import tables

__all__ = ["Twente2023"]

_SHOWN = 8
_TIMED_STEPS = 20
_SCORING = 8
"""Scoring an image by all scores takes about as long as so many passes of training, measured at 28 pixels."""


@dataclass(frozen=True)
class _Sizes:
    """How much of everything."""

    epochs: int = EPOCHS
    limit: int = IMAGES
    held_out: int = HELD_OUT
    anomalies: int = ANOMALIES
    described: int = 1000
    timed_images: int = 1500
    rounds: int = 16


_QUICK = _Sizes(5, 600, 200, 200, 200, 300, 8)


@dataclass(frozen=True)
class Twente2023:
    """The protocol.

    Args:
        quick: Five epochs on 600 images, one seed.
        seeds: Trainings per data set and experiment; the paper has one.
    """

    quick: bool = False
    seeds: int = 5

    def plan(self) -> Plan:
        """All sets trained on all classes first, then on normals, then what is measured without a network."""
        absent = [DATA[name].absent for name in (*SETS, FASHION) if DATA[name].place is None]
        jobs = self._jobs
        return Plan([job for row in jobs.values() for job in row], absent)

    def outcome(self, results: Sequence[Result], absent: Sequence[Absent]) -> Outcome:
        """Table 1, every experiment with its false alarms, the sweep, the entropy, Figures 3 to 5 and the claims."""
        done = {result.job.key: result.value for result in results}
        found = {row: [done[job.key] for job in jobs if job.key in done] for row, jobs in self._jobs.items()}
        found = {row: values for row, values in found.items() if values and len(values) == len(self._jobs[row])}
        numbers = _numbers(found)
        numbers["absent"] = [name for name in SETS if DATA[name].absent in absent]
        missing = {name for name in (*SETS, FASHION) if DATA[name].absent in absent}
        judged = [] if self.quick else claims(numbers)
        return Outcome(tables(numbers, missing, quick=self.quick), judged, self._figures(found, numbers), numbers)

    @cached_property
    def _jobs(self) -> Mapping[str, Sequence[Job]]:
        """Experiments and sets to their jobs."""
        there = [name for name in SETS if DATA[name].place is not None]
        if not there:
            return {}
        sizes, seeds = _QUICK if self.quick else _Sizes(), range(1 if self.quick else self.seeds)
        strangers = FASHION if DATA[FASHION].place is not None else ""
        more = {name: getattr(sizes, name) for name in ("epochs", "limit", "held_out", "anomalies")}
        rows: dict[str, list[Job]] = {}
        for name in there:
            digest = pictures(name).digest + (pictures(strangers).digest if strangers else "")
            settings = [
                work.Setting(name, seed, **more, strangers=strangers, pictures=0 if seed else _SHOWN, digest=digest)
                for seed in seeds
            ]
            rows[f"artificial {name}"] = [_training("artificial", setting) for setting in settings]
        for name in there:
            if name in MEDICAL:
                settings = [work.Setting(name, seed, **more, digest=pictures(name).digest) for seed in seeds]
                rows[f"real {name}"] = [_training("real", setting) for setting in settings]
        for name in [*there, *([strangers] if strangers else []), NOISE]:
            digest = "" if name == NOISE else pictures(name).digest
            arguments = {"data": name, "images": sizes.described, "digest": digest}
            rows[f"entropy {name}"] = [_job(f"entropy, {name}", "describe", arguments, 5.0)]
        rows["cost"] = [
            _job(
                f"cost, seed {seed}",
                "cost",
                {
                    "data": there,
                    "seed": seed,
                    "images": sizes.timed_images,
                    "rounds": sizes.rounds,
                    "digest": [pictures(name).digest for name in there],
                },
                _rate() * sizes.timed_images * (sizes.rounds * (len(there) + 1) + 1),
            )
            for seed in seeds
        ]
        return rows

    def _figures(self, found: Mapping[str, Sequence[Any]], numbers: Mapping[str, Any]) -> list[Figure]:
        """Figures 3 to 5 of the first seed, the noise as a person sees it, and the sweep."""
        prefix = "twente2023" + ("_quick" if self.quick else "")
        shown = {name: found[row][0]["pictures"] for name in SETS if (row := f"artificial {name}") in found}
        figures = image_figures(prefix, shown)
        figures += [error_figure(prefix, name, found[row][0]) for name in MEDICAL if (row := f"real {name}") in found]
        return figures + ([sweep_figure(prefix, numbers["sweep"])] if numbers["sweep"] else [])


def _numbers(found: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return every number by experiment and data set."""
    trained = {name: found[row] for name in SETS if (row := f"artificial {name}") in found}
    on_normals = {name: found[row] for name in MEDICAL if (row := f"real {name}") in found}
    compared: dict[str, dict[str, Any]] = {
        name: {kind: against_references(values, kind) for kind in ("fashion", "noise") if kind in values[0]["errors"]}
        for name, values in trained.items()
    }
    for name, values in on_normals.items():
        compared.setdefault(name, {})["abnormal"] = against_references(values, "abnormal")
    return {
        "reconstruction": {name: reconstruction(values) for name, values in trained.items()},
        "artificial": {name: artificial(values, medical=name in MEDICAL) for name, values in trained.items()},
        "sweep": {name: sweep(values) for name, values in trained.items()},
        "real": {name: real(values) for name, values in on_normals.items()},
        "against_references": compared,
        "cost": {name: cost(values) for name, values in trained.items()},
        "cost_ratios": cost_ratios(found["cost"]) if "cost" in found else None,
        "entropy": {name: found[row][0] for name in (*SETS, FASHION, NOISE) if (row := f"entropy {name}") in found},
        "counts": {row: values[0]["counts"] for row, values in found.items() if "counts" in values[0]},
        "losses": {row: [v["losses"] for v in values] for row, values in found.items() if "losses" in values[0]},
    }


def _job(name: str, function: str, arguments: Mapping[str, Any], seconds: float) -> Job:
    return Job(name, f"{work.__name__}:{function}", arguments, cost=seconds)


def _training(experiment: str, setting: work.Setting) -> Job:
    """Return a training's job; it takes as long as its passes and the scores."""
    passes = setting.epochs + _SCORING
    normals_alone = experiment == "real"
    train = pictures(setting.data).training(normals_alone=normals_alone, limit=setting.limit, seed=setting.seed)
    name = f"{experiment}, {setting.data}, seed {setting.seed}"
    return _job(name, experiment, dataclasses.asdict(setting), _rate() * passes * len(train))


@cache
def _rate() -> float:
    """Time 20 training steps, seconds per image; of two short fits the second, for the first also pays for set-up."""
    recipe = Twente(epochs=1)
    images = uniform_noise(_TIMED_STEPS * recipe.batch_size, 0)
    recipe.fit(images, Run())
    began = time.perf_counter()
    recipe.fit(images, Run())
    return (time.perf_counter() - began) / len(images)
