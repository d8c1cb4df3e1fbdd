"""Two encoders with one decoder against a single autoencoder as large, by number of normals, beside classifiers.

Reference: the abstract of a one-class model for BraTS2021, RESC and BreastMNIST with two encoders, one shared decoder
and several phases of training and validation; the rest of it is not known.

differs from the paper in: this is our reading of an abstract; no published number exists to match, so nothing here is
a reproduction. BraTS2021 and RESC run only where they are at hand; PneumoniaMNIST, which the abstract does not name,
is added. A fit sees n normals: 80 % train and 20 % validate the phases (in the row without validation all train).
Every phase may take about 400 steps whatever n is, in whole epochs of batches of up to 64, and stops after a fifth of
its epochs without a lower loss on the validating normals; the method's own default is 100 epochs. This reduced budget
keeps the protocol below two hours of a processor core, and as many steps for every n keep small sets from being
trained less. With 10 normals the phases and the scale of both parts of the score come from two of them, without
validation from all. The single autoencoder has the same decoder and code and one encoder so wide that both have as
many parameters within 2 %; each parameter may take as many steps at the same step sizes, fewer where its phase stops
early. Decisions are those of a conformal rule at alpha 0.05 from the official validation normals (from a fifth of the
training normals where the data has none), which come on top of the n. Grey values are scaled by the range of all
training normals. Logistic regression on HOG and a small CNN (supervised, they see labels; the CNN takes 200 steps) get
n labelled images of both classes; their threshold is 0.5. Data whose training images are all normal has no such rows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .. import methods
from ..methods.dual_encoder import DualEncoder
from ..runner import Job, Result
from ..types import Sample
from . import _dual_fit, _dual_supervised
from ._data import DATA, Absent, read
from ._dual_claims import claims
from ._dual_fit import Fit, seconds
from ._dual_rows import (
    DUAL,
    NAMED,
    ROWS,
    SEES_LABELS,
    SINGLE,
    TRIVIAL,
    UNGATED,
    Comparison,
    Images,
    Measured,
    Place,
    compared,
    comparisons,
    curves,
    scored,
)
from ._dual_supervised import Supervised, has_both, labelled
from ._jobs import as_job, planned, recipe_with
from ._shape import Outcome, Plan
from ._trial import Trial, cut_of

__all__ = ["DualEncoderBySize"]

SETS = ("breastmnist", "pneumoniamnist", "brats2021", "resc")
FEWEST = 10
SIZES = (FEWEST, 25, 50, 100, 0)
SHARE = 0.2
STEPS, QUICK_STEPS, CNN_STEPS, BATCH = 400, 40, 200, 64
HELD_OUT = 0.2
MODELS = dict(zip(SEES_LABELS, ("hog", "cnn"), strict=True))


@dataclass(frozen=True)
class DualEncoderBySize:
    """The protocol.

    Args:
        quick: PneumoniaMNIST alone, 25 and all normals, 40 steps per phase, one seed.
        seeds: Runs per method and number of normals.
    """

    quick: bool = False
    seeds: int = 5

    @property
    def data(self) -> list[str]:
        """Names of the data sets that are present."""
        return [name for name in self._wanted if DATA[name].place is not None]

    @property
    def _wanted(self) -> Sequence[str]:
        return ("pneumoniamnist",) if self.quick else SETS

    def plan(self) -> Plan:
        """Every method at every number of normals."""
        absent = [DATA[name].absent for name in self._wanted if DATA[name].place is None]
        return Plan([job for jobs in self._jobs.values() for job in jobs], absent)

    def outcome(self, results: Sequence[Result], absent: Sequence[Absent]) -> Outcome:
        """A table per data set, the paired differences, the curves and the claims."""
        done = {result.job.key: result for result in results}
        found = {
            place: Measured([done[job.key] for job in jobs], place.row in SEES_LABELS)
            for place, jobs in self._jobs.items()
            if all(job.key in done for job in jobs)
        }
        families = self._families(found)
        steps = QUICK_STEPS if self.quick else STEPS
        tables = [scored(data, found, self._images[data], steps, self.quick) for data in self.data]
        tables.append(compared([one for family in families.values() for one in family], self._normals))
        numbers: dict[str, Any] = {
            "steps": steps,
            "pixels": {data: images.side for data, images in self._images.items()},
            "normals": self._normals,
            "labelled": self._labelled,
            "rows": _nested(found),
            "waiting": len(self._jobs) - len(found),
            **{name: [one.to_json() for one in family] for name, family in families.items()},
        }
        name = "dual_encoder_quick_by_size" if self.quick else "dual_encoder_by_size"
        figures = [curves(name, found, self._normals)] if found else []
        return Outcome(tables, claims(numbers, quick=self.quick), figures, numbers)

    def _families(self, found: Mapping[Place, Measured]) -> dict[str, list[Comparison]]:
        """Compare what the claims ask of; each claim's own is corrected together, and what decides none apart."""

        def ask(
            asked_by: str, metric: str, rivals: Sequence[str], sets: Sequence[str] = SETS, sizes: Any = None
        ) -> list[Comparison]:
            places = [place for place in self._jobs if place.data in sets]
            return comparisons(found, places, asked_by, metric, rivals, sizes)

        rivals, others = [SINGLE, "knn", *SEES_LABELS], [data for data in SETS if data not in NAMED]
        accuracy = {data: f"accuracy on {DATA[data].title}" for data in SETS}
        return {
            "against_single": ask("two encoders", "auroc", [SINGLE]),
            "against_ungated": ask("validated phases", "auroc", [UNGATED]),
            "against_classifiers": [
                one for data, by in accuracy.items() for one in ask(by, "accuracy", SEES_LABELS, [data])
            ],
            "against_knn": [
                one for data in SETS for one in ask(f"{accuracy[data]}, one class", "accuracy", ["knn"], [data])
            ],
            "with_few": [
                *ask("small data", "auroc", rivals, NAMED, (FEWEST,)),
                *ask("small data, sets not in the abstract", "auroc", rivals, others, (FEWEST,)),
            ],
            "across_types": ask("types of images", "auroc", TRIVIAL, sizes=(0,)),
        }

    @cached_property
    def _samples(self) -> Mapping[str, Sequence[Sample]]:
        return {name: read(name).samples for name in self.data}

    @cached_property
    def _labelled(self) -> Mapping[str, Mapping[str, int]]:
        """Data sets with both classes in training to how many labelled training images there are."""
        labels = {
            name: [int(s.label) for s in samples if s.split == "train" and s.label is not None]
            for name, samples in self._samples.items()
        }
        return {name: {"images": len(of), "abnormal": sum(of)} for name, of in labels.items() if 0 < sum(of) < len(of)}

    @cached_property
    def _images(self) -> Mapping[str, Images]:
        """Data sets to what there is to train on."""
        sides = {name: cut_of(self._trial(name)).train.shape[2] for name in self.data}
        known = {name: of["images"] for name, of in self._labelled.items()}
        return {name: Images(self._normals[name], known.get(name), sides[name]) for name in self.data}

    @cached_property
    def _normals(self) -> Mapping[str, int]:
        """Data sets to how many normals there are to fit on."""
        return {name: len(cut_of(self._trial(name)).train) for name in self.data}

    @cached_property
    def _held_out(self) -> Mapping[str, float]:
        """Data sets to the share held out of their training normals: none where there are validation normals."""
        validated = {
            name: any(sample.split == "validation" and sample.label == 0 for sample in samples)
            for name, samples in self._samples.items()
        }
        return {name: 0.0 if official else HELD_OUT for name, official in validated.items()}

    def _trial(self, data: str, seed: int = 0, size: int = 0) -> Trial:
        """Name the images of a number of normals."""
        return Trial(data, "knn", {}, seed, held_out=self._held_out[data], limit=size)

    @cached_property
    def _jobs(self) -> Mapping[Place, Sequence[Job]]:
        """Places to their jobs, one per seed; rows without chance have one where all normals are taken."""
        jobs: dict[Place, list[Job]] = {}
        for data in self.data:
            for size in (25, 0) if self.quick else SIZES:
                if size >= self._normals[data]:
                    continue
                for row in ROWS:
                    if row in MODELS and not has_both(data):
                        continue
                    certain = not size and (row == "knn" or row.startswith("trivial"))
                    seeds = range(1 if self.quick or certain else self.seeds)
                    jobs[Place(data, size, row)] = [self._job(Place(data, size, row), seed) for seed in seeds]
        return jobs

    def _job(self, place: Place, seed: int) -> Job:
        data, size, row = place
        trial = self._trial(data, seed, size)
        count = size or self._normals[data]
        steps = QUICK_STEPS if self.quick else STEPS
        name = f"{row}, {data}, {count} normals, seed {seed}"
        if row in MODELS:
            given = Supervised(data, MODELS[row], count, seed, CNN_STEPS, BATCH)
            given = dataclasses.replace(given, digest=labelled(data, count, seed).digest)
            return Job(name, f"{_dual_supervised.__name__}:work", dataclasses.asdict(given))
        if row in (DUAL, SINGLE, UNGATED):
            share = 0.0 if row == UNGATED else SHARE
            recipe = _recipe(count - round(share * count), steps, gated=bool(share))
            fit = Fit(
                data, methods.to_json(recipe), row == SINGLE, share, seed, trial.held_out, size, cut_of(trial).digest
            )
            return Job(name, f"{_dual_fit.__name__}:work", dataclasses.asdict(fit), cost=seconds(fit))
        method, _, statistic = row.partition(" ")
        baseline = recipe_with(method, **({"statistic": statistic} if statistic else {}))
        return as_job(planned(data, method, baseline, seed=seed, held_out=trial.held_out, limit=size), name)


def _recipe(train: int, steps: int, *, gated: bool) -> DualEncoder:
    """Spread the steps of a phase over whole epochs; a batch is never larger than the training normals."""
    batch = min(BATCH, train)
    epochs = math.ceil(steps / math.ceil(train / batch))
    return DualEncoder(epochs=epochs, batch_size=batch, patience=max(1, epochs // 5) if gated else None)


def _nested(found: Mapping[Place, Measured]) -> dict[str, dict[str, dict[str, Any]]]:
    """Sort figures by data set, number of normals and row."""
    numbers: dict[str, dict[str, dict[str, Any]]] = {}
    for (data, size, row), measured in found.items():
        numbers.setdefault(data, {}).setdefault(str(size or "all"), {})[row] = measured.to_json()
    return numbers
