"""ConOCC against seven one-class methods: Tables 2 and 3, how robust it is to its settings, and its features.

Reference: Gao, Liu, Arefan, Panigrahy and Wu, Constrained Deep One-Class Feature Learning for Classifying Imbalanced
Medical Images, 2020.

differs from the paper in: its breast images are not published, and its chest X-rays are 64 pixels here, 100 there. λ
is the learning rate, γ the weight of the constraint, T the epochs between two updates of the centre; AUPR-maj is that
of normals, AUPR-min that of abnormals. Cross-validation, grid and features take 150 epochs instead of 1,000, with T
scaled alike (marked reduced). λ cannot be scaled, and 1e-4 has not converged by then: cross-validation has both, the
features' CAE has ConOCC's 1e-3, and how λ moves ConOCC is judged at 1,000 epochs. Grid and features are of chest
X-rays, there of breast images, whose sizes they have: the grid the MRI's 32 pixels, the features the mammograms' 64.
Losses are sums over pixels, so in the tables the same γ weighs 2.4 times as much beside 64 x 64 pixels as beside
100 x 100. Of the paper's two orders of training the joint one is taken, after T epochs without the constraint. That one
method is better than another is judged by AUROC; both AUPRs stand beside it. The paper does not say how its test
normals rotate; here every fold tests as many normals as there are test abnormals, in evenly spaced stretches of one
seeded order, and no patient both trains and tests. AnoGAN has a quarter of its channels and 200 of its 500 search
steps, for at full width one of its fifteen runs takes thirteen hours of a processor core.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..runner import Job, Result
from . import _conocc_codes
from ._conocc_claims import claims
from ._conocc_features import features_figure, features_table, in_numbers
from ._conocc_grid import CAE, RATES, SETTINGS, SIDE, grid_figure, grid_numbers, grid_table
from ._conocc_tables import EIGHT, FAVOURED, METRICS, at, families, pairs_table, results_table
from ._data import DATA, Absent
from ._jobs import as_job, planned, recipe_with
from ._pairs import differences, differences_over_folds
from ._rows import REFERENCES, Row, arithmetic
from ._shape import Figure, Outcome, Plan, Table
from ._trial import Trial

__all__ = ["ConOCC2020"]

EPOCHS, REDUCED, FOLDS = 1000, 150, 4
SLOWER = "conocc at the smaller λ"
SCALE = REDUCED / EPOCHS
NARROW = {"width": 16, "search_steps": 200}
NOTES = (
    "the paper picks λ for CAE and SAE by test results, which makes the better of two rows an oracle; beside it the λ "
    "with the lower error on held-out normals, of one model per λ trained as long without a tenth of the normals",
    f"anogan has {NARROW['width']} of 64 channels and {NARROW['search_steps']} of 500 search steps; dagmm keeps its 8 "
    "latent dimensions, where conocc has 256; sae's penalty, not in the paper, is 1e-5 times the codes' L1 norm, which "
    "leaves it close to cae; losses are sums over pixels, so conocc's γ weighs 2.4 times as much as at 100 px",
)


@dataclass(frozen=True)
class ConOCC2020:
    """The protocol.

    Args:
        quick: All eight methods on PneumoniaMNIST, 30 epochs, Table 2 alone.
        seeds: Runs per method; the paper averages three.
    """

    quick: bool = False
    seeds: int = 3

    @property
    def data(self) -> str:
        """Name of the data set."""
        return "pneumoniamnist" if self.quick else "chest_xray_64"

    def plan(self) -> Plan:
        """Table 2 first, then the choice of λ, the grid and the folds."""
        absent = [DATA[name].absent for name in (self.data,) if DATA[name].place is None]
        if not self.quick:
            absent += [DATA[name].absent for name in ("conocc_mri", "conocc_ffdm")]
        if DATA[self.data].place is None:
            return Plan([], absent)
        return Plan(list({job.key: job for jobs in self._jobs.values() for job in jobs}.values()), absent)

    def outcome(self, results: Sequence[Result], absent: Sequence[Absent]) -> Outcome:
        """Tables 2 and 3, the grid, the features, and the claims."""
        done = {result.job.key: result for result in results}
        found = {
            name: [done[job.key] for job in jobs]
            for name, jobs in self._jobs.items()
            if all(job.key in done for job in jobs)
        }
        table2, table3 = _rows("table2", found), _rows("table3", found)
        once, folds = _chosen(found, "table2"), _chosen(found, "table3")
        numbers: dict[str, Any] = {
            "table2": {name: row.to_json(METRICS) for name, row in table2.items()},
            "table2_pairs": {favour: families(table2, once, differences, favour=favour) for favour in FAVOURED},
        }
        tables = [self._table2(table2, once), pairs_table("Table 2", numbers["table2_pairs"])]
        figures: list[Figure] = []
        if self.quick:
            return Outcome(tables[:1], claims(numbers, quick=True), figures, numbers)
        numbers["table3"] = {name: {m: row.by_seed(m) for m in METRICS} for name, row in table3.items()}
        numbers["table3_pairs"] = {
            favour: families(table3, folds, differences_over_folds, favour=favour) for favour in FAVOURED
        }
        numbers["rate"] = self._rate_changes(table2, found)
        grid = {name.removeprefix("grid "): of for name, of in found.items() if name.startswith("grid ")}
        beside = {method: Row(found[name]) for method in REFERENCES if (name := f"beside the grid {method}") in found}
        numbers["figure5"] = grid_numbers({name: Row(of, _part(name)) for name, of in grid.items()}, beside)
        features = {m: found[name] for m in ("cae", "conocc") if (name := f"figure6 {m}") in found}
        numbers["figure6"] = in_numbers(features)
        numbers["chosen_rate"] = {"table2": once, "table3": folds}
        reduced = f"{REDUCED} epochs, T scaled by {SCALE:g}; chest X-rays instead of breast"
        in_grid = [
            f"ConOCC with one seed, as published, CAE with {self.seeds}; {reduced} MRI, at its {SIDE} px",
            "of one run each, ConOCC's intervals between two λ leave out what another seed would change",
        ]
        of_codes = [f"both at λ = 1e-3, mean ± sd over {self.seeds} seeds; {reduced} mammograms"]
        tables += [self._table3(table3, folds), pairs_table("Table 3", numbers["table3_pairs"])]
        tables += [grid_table(numbers["figure5"], in_grid), features_table(numbers["figure6"], of_codes)]
        figures += [grid_figure(numbers["figure5"])] if grid else []
        figures += [features_figure(features)] if features else []
        tables = [tables[0], *(table for table in tables[1:] if table.rows)]
        return Outcome(tables, claims(numbers, quick=False), figures, numbers)

    @cached_property
    def _jobs(self) -> Mapping[str, Sequence[Job]]:
        """Rows to their jobs."""
        seeds = range(1 if self.quick else self.seeds)
        rows: dict[str, list[Trial]] = {}

        def trial(method: str, seed: int = 0, *, epochs: int = EPOCHS, fold: str = "official", held_out: float = 0.0,
                  size: int = 0, **changes: Any) -> Trial:  # fmt: skip
            name, _, statistic = method.partition(" ")
            if statistic:
                changes["statistic"] = statistic
            if name != "deep_svdd":  # "default parameters"
                changes["epochs"] = epochs
            if name == "conocc":
                changes.setdefault("update_interval", round(60 * epochs / EPOCHS))
            if name == "anogan":
                changes |= NARROW
            if self.quick:
                changes |= {"patience": None, "epochs": 30}
                changes |= {"update_interval": 4} if name == "conocc" else {}
            recipe = recipe_with(name, "quick" if self.quick else "paper", **changes)
            return planned(self.data, name, recipe, seed=seed, fold=fold, held_out=held_out, size=size)

        def over_seeds(*methods: str, rate: float | None = None) -> None:
            given: dict[str, Any] = {} if rate is None else {"learning_rate": rate}
            for method in methods:
                rows[f"table2 {method}{at(rate)}"] = [trial(method, seed, **given) for seed in seeds]

        def over_folds(*methods: str, rate: float | None = None) -> None:
            given: dict[str, Any] = {} if rate is None else {"learning_rate": rate}
            for method in methods:
                rows[f"table3 {method}{at(rate)}"] = [
                    trial(method, seed, epochs=REDUCED, fold=f"{fold}/{FOLDS}/{seed}", **given)
                    for fold in range(FOLDS)
                    for seed in seeds
                ]

        over_seeds("conocc", "ocsvm", *REFERENCES)
        over_seeds("cocsvm", "sae", rate=None if self.quick else min(RATES))
        over_seeds("deep_svdd", "dagmm", "anogan")
        if self.quick:
            return _named(rows)
        over_seeds("cocsvm", "sae", rate=max(RATES))
        for table, epochs in (("table3", REDUCED), ("table2", EPOCHS)):
            for rate in RATES:
                for method in ("cocsvm", "sae"):
                    one = trial(method, epochs=epochs, held_out=0.1, learning_rate=rate)
                    rows[f"choice {table} {method}{at(rate)}"] = [one]
        over_folds("conocc", "ocsvm", "deep_svdd", "dagmm", *REFERENCES)
        for rate in RATES:
            over_folds("cocsvm", "sae", rate=rate)
        for rate in RATES:
            for setting in SETTINGS:
                more: dict[str, Any] = {"epochs": REDUCED, "learning_rate": rate, "size": SIDE}
                if setting != CAE:
                    more |= {"gamma": setting.gamma, "update_interval": round(setting.interval * SCALE)}
                method, several = ("cocsvm", seeds) if setting == CAE else ("conocc", range(1))
                rows[f"grid {setting.row(rate)}"] = [trial(method, seed, **more) for seed in several]
        rows |= {f"beside the grid {method}": [trial(method, size=SIDE)] for method in REFERENCES}
        over_folds("anogan")
        rows[SLOWER] = [trial("conocc", seed, learning_rate=min(RATES)) for seed in seeds]
        jobs = dict(_named(rows))
        for method in ("cae", "conocc"):
            trials = [trial(method, seed, epochs=REDUCED, held_out=0.1, learning_rate=max(RATES)) for seed in seeds]
            made = [as_job(one, f"figure6 {method}, seed {one.seed}") for one in trials]
            jobs[f"figure6 {method}"] = [
                dataclasses.replace(job, work=f"{_conocc_codes.__name__}:work") for job in made
            ]
        return jobs

    def _table2(self, rows: Mapping[str, Row], chosen: Mapping[str, float]) -> Table:
        """Three runs."""
        notes = [
            "mean ± sd over seeds [95 % interval over patients and seeds]; paper: mean of three runs at 100 px",
            *_uninformed(rows),
            *NOTES,
            *arithmetic(rows),
            *self._waiting("table2", rows),
        ]
        if self.quick:
            notes = ["30 epochs of the quick preset on another data set: a check that all runs, no reproduction"]
        return results_table(f"Table 2: {DATA[self.data].title}", rows, chosen, notes, folds=False)

    def _table3(self, rows: Mapping[str, Row], chosen: Mapping[str, float]) -> Table:
        """Cross-validation."""
        notes = [
            f"{FOLDS} folds, each with as many test normals as abnormals; {REDUCED} epochs and T = {60 * SCALE:g}, in "
            "the paper 1,000 and 60; mean ± sd over folds and seeds [95 % interval, corrected for folds that share "
            "images]",
            *_uninformed(rows),
            *NOTES,
            "deep_svdd keeps its own 150 + 150 epochs; of the normals whose error chooses λ some are tested in a fold",
            "in four of the twelve folds of three seeds one test normal is a copy of a training image under another "
            "patient's name",
            *arithmetic(rows),
            *self._waiting("table3", rows),
        ]
        title = "Table 3: cross-validation on chest X-rays, reduced"
        return results_table(title, rows, chosen, notes, folds=True)

    def _rate_changes(self, table2: Mapping[str, Row], found: Mapping[str, Sequence[Result]]) -> Mapping[str, Any]:
        """Return what the smaller λ changes at full length: AUROC of CAE and of ConOCC there, minus at the larger."""
        low, high = RATES
        pairs = {
            "cae": (table2.get(f"cae{at(low)}"), table2.get(f"cae{at(high)}")),
            "conocc": (Row(found[SLOWER]) if SLOWER in found else None, table2.get("conocc")),
        }
        known = {name: (one, other) for name, (one, other) in pairs.items() if one and other}
        return differences(known, len(pairs))

    def _waiting(self, table: str, rows: Mapping[str, Row]) -> list[str]:
        """Name the rows that are not run yet."""
        missing = [name for row in self._jobs if (name := row.removeprefix(f"{table} ")) != row and name not in rows]
        # cocsvm's jobs train the cae whose row stands beside theirs
        missing = [f"{name} and its cae" if name.startswith("cocsvm ") else name for name in missing]
        return [f"not run yet: {', '.join(missing)}"] if missing else []


def _named(rows: Mapping[str, Sequence[Trial]]) -> Mapping[str, Sequence[Job]]:
    return {row: [as_job(t, f"{row}, seed {t.seed}, {t.fold}") for t in trials] for row, trials in rows.items()}


def _part(name: str) -> str:
    """Say whose scores a row named `cae ...` means: the autoencoder inside cocsvm, which has cae's weights."""
    return "autoencoder" if name.partition(" ")[0] == "cae" else "own"


def _rows(table: str, found: Mapping[str, Sequence[Result]]) -> dict[str, Row]:
    """Rows of Table 2 or 3, in the paper's order."""
    stored = {name.removeprefix(f"{table} "): of for name, of in found.items() if name.startswith(f"{table} ")}
    rows: dict[str, Row] = {}
    for method in (*EIGHT, *REFERENCES):
        held_in = "cocsvm" if method == "cae" else method
        for name, results in stored.items():
            if name == held_in or name.startswith(f"{held_in} λ"):
                rows[name.replace(held_in, method)] = Row(results, _part(method))
    return rows


def _uninformed(rows: Mapping[str, Row]) -> list[str]:
    return [f"{row.uninformed}; in the paper AUPR-maj and AUPR-min" for row in [*rows.values()][:1]]


def _chosen(found: Mapping[str, Sequence[Result]], table: str) -> dict[str, float]:
    """Return the λ with the lower mean error on held-out normals, by models trained as long as the table's."""
    chosen = {}
    for method, stored, part in (
        ("cae", "cocsvm", "autoencoder"),
        ("cocsvm", "cocsvm", "autoencoder"),
        ("sae", "sae", "own"),
    ):
        errors = {
            rate: float(np.mean(found[name][0].value[part]["held_out"]))
            for rate in RATES
            if (name := f"choice {table} {stored}{at(rate)}") in found
        }
        if len(errors) == len(RATES):
            chosen[method] = min(errors, key=lambda rate: errors[rate])
    return chosen
