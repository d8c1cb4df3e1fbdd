"""AE4AD: how the latent size decides what an autoencoder can find, and a tuned plain one against VAE, MemAE and CeAE.

Reference: Cai, Chen and Cheng, Rethinking Autoencoders for Medical Anomaly Detection from A Theoretical Perspective,
MICCAI 2024; the published numbers were read from the tables and the figure of its public repository. The full text was
not at hand: claims are those of its abstract, tables and figures, and of its theory as others sum it up.

differs from the paper in: chest X-rays stand for its four data sets where those are absent, the same ones at 28 and at
64 pixels, which are no two witnesses. They are 1,214 and 1,341 normals for 250 epochs, 0.3 to 0.55 of the paper's
steps. The paper picks the best size by test results; here it is chosen on one half of the test, marked oracle, and
compared on the other, beside the two that held-out normals choose: lowest error, and knee of the error (largest
distance below the chord, over log2 of the size). Where there are no official validation normals, a model of one seed
per size, trained without a tenth of the normals, gives the held-out errors. VAE is scored at the mean of its code, in
the benchmark at a draw. Pixel metrics are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

import numpy as np

from ..runner import Job, Result
from ._ae4ad_claims import SETS, claims
from ._ae4ad_figures import draw_errors, draw_ranking
from ._ae4ad_jobs import benchmark_job, has_validation, present
from ._data import DATA, Absent
from ._pairs import differences, told
from ._rows import REFERENCES, Row
from ._shape import Figure, Outcome, Plan, Table

__all__ = ["AE4AD2024", "METRICS", "knee"]

SWEEP = {  # latent size to AUC and AP in per cent on RSNA, VinDr-CXR, Brain Tumor, BraTS2021
    1: ((66.5, 63.6), (59.4, 58.6), (36.6, 42.4), (72.8, 84.5)),
    2: ((67.5, 65.4), (60.5, 59.7), (47.3, 48.3), (77.2, 87.5)),
    4: ((72.9, 70.3), (61.3, 64.1), (70.8, 64.1), (79.4, 89.6)),
    8: ((69.4, 68.3), (57.4, 61.7), (84.1, 75.5), (81.0, 90.9)),
    16: ((67.5, 66.7), (56.4, 60.2), (85.9, 76.9), (82.6, 92.0)),
    32: ((62.8, 62.5), (52.5, 55.6), (87.1, 77.8), (82.1, 91.6)),
    64: ((60.7, 60.7), (49.0, 52.0), (86.8, 77.2), (81.3, 91.0)),
    128: ((60.5, 60.3), (48.6, 51.9), (86.5, 76.9), (80.5, 90.5)),
}
METHODS = {  # at latent size 16, and at the best size
    "ae": SWEEP[16],
    "vae": ((67.9, 67.0), (56.4, 60.1), (85.3, 76.5), (80.6, 90.9)),
    "memae": ((69.6, 68.1), (56.9, 60.9), (82.6, 74.3), (63.9, 78.5)),
    "ceae": ((68.0, 66.8), (56.1, 60.1), (85.3, 76.0), (81.7, 91.5)),
    "ae[d*]": ((72.9, 70.3), (61.3, 64.1), (87.1, 77.8), (82.6, 92.0)),
}
ERRORS = {  # latent size to mean error of train normals, test normals and test abnormals; data set not named
    size: dict(zip(("train", "test_normal", "test_abnormal"), errors, strict=True))
    for size, errors in {
        1: (0.05, 0.073, 0.098),
        32: (0.0067, 0.0121, 0.0158),
        128: (0.0053, 0.0086, 0.0105),
        1024: (0.0052, 0.0087, 0.0107),
    }.items()
}
RIVALS = ("vae", "memae", "ceae")
SIZES = (*SWEEP, 1024)
METRICS = {"auroc": "AUROC", "aupr_abnormal": "AP"}
HERE = ("pneumoniamnist", "chest_xray_64")
CHOICES = {
    "oracle": "best AUROC on half of the test (oracle)",
    "lowest": "lowest held-out error",
    "knee": "knee of held-out error",
}
KEPT = 0.1
NOT_RUN = "not run: data absent"


@dataclass(frozen=True)
class AE4AD2024:
    """The protocol.

    Args:
        quick: Three sizes and a few epochs on PneumoniaMNIST, one seed.
        seeds: Runs per setting; the paper averages three.
    """

    quick: bool = False
    seeds: int = 3

    @property
    def data(self) -> tuple[str, ...]:
        """Names of the data sets."""
        return HERE[:1] if self.quick else (*HERE, *SETS)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Latent sizes."""
        return (1, 16, 128) if self.quick else SIZES

    def plan(self) -> Plan:
        """The sweep, the other methods, and the models that choose a size, on every data set that is present."""
        absent = [DATA[name].absent for name in self.data if DATA[name].place is None]
        return Plan([job for jobs in self._jobs.values() for job in jobs], absent)

    def outcome(self, results: Sequence[Result], absent: Sequence[Absent]) -> Outcome:
        """The sweep and the methods beside the published numbers, the curves, and the claims."""
        done = {result.job.key: result for result in results}
        rows: dict[str, dict[str, Row]] = {}
        for (data, row), jobs in self._jobs.items():
            found = [done[job.key] for job in jobs if job.key in done]
            if len(found) == len(jobs):
                rows.setdefault(data, {})[row] = Row(found)
        numbers = self._numbers(rows)
        tables = [self._sweep_table(data, rows[data], numbers) for data in rows if numbers["sweep"][data]]
        tables.append(self._methods_table(rows, numbers))
        if not self.quick:
            tables[-1:-1] = [_published_sweep(rows), _published_errors()]
        return Outcome(tables, claims(numbers, quick=self.quick), self._figures(numbers), numbers)

    @cached_property
    def _jobs(self) -> Mapping[tuple[str, str], Sequence[Job]]:
        """Data sets and rows to their jobs; a row that begins with `choice` chooses a size."""
        found: dict[tuple[str, str], list[Job]] = {}
        for data in present(*self.data):
            for row in (*map(_ae, self.sizes), *RIVALS, *REFERENCES):
                seeds = range(1 if self.quick else self.seeds)
                found[data, row] = [benchmark_job(data, row, seed, quick=self.quick) for seed in seeds]
            if not has_validation(data):
                for row in map(_ae, self.sizes):
                    found[data, f"choice {row}"] = [benchmark_job(data, row, 0, quick=self.quick, held_out=KEPT)]
        return found

    def _numbers(self, rows: Mapping[str, Mapping[str, Row]]) -> dict[str, Any]:
        """Every figure behind tables and claims, by data set."""
        here = present(*self.data)
        numbers: dict[str, Any] = {
            name: {data: {} for data in here} for name in ("sweep", "choice", "below_best", "tuned_minus", "methods")
        }
        numbers["abnormal"] = {}  # share of the test images
        for data in here:
            found = rows.get(data, {})
            for size in self.sizes:
                if _ae(size) in found:
                    errors = found[_ae(size)].errors
                    if f"choice {_ae(size)}" in found:
                        errors["held_out"] = found[f"choice {_ae(size)}"].errors["held_out"]
                    numbers["sweep"][data][str(size)] = {**found[_ae(size)].to_json(tuple(METRICS)), "errors": errors}
            others = [row for row in (*RIVALS, *REFERENCES) if row in found]
            numbers["methods"][data] = {row: found[row].to_json(tuple(METRICS)) for row in others}
            if found:
                numbers["abnormal"][data] = float(next(iter(found.values())).labels.mean())
            choice = self._choice(numbers["sweep"][data], found)
            numbers["choice"][data] = choice
            if choice["oracle"] is not None:
                # chosen on the first half of the test images, compared on the second
                other = {row: found[row].half(second=True) for row in found if row in (*map(_ae, self.sizes), *RIVALS)}
                best = other[_ae(choice["oracle"])]
                sizes = {str(size): (best, other[_ae(size)]) for size in self.sizes if size != choice["oracle"]}
                numbers["below_best"][data] = differences(sizes, len(sizes))
                rivals = {row: (best, other[row]) for row in RIVALS if row in other}
                numbers["tuned_minus"][data] = differences(rivals, len(RIVALS))
        return numbers

    def _choice(self, sweep: Mapping[str, Any], rows: Mapping[str, Row]) -> dict[str, int | None]:
        """Choose a size by half of the test (oracle) and by held-out normals, once all sizes are there."""
        if len(sweep) < len(self.sizes):
            return dict.fromkeys(CHOICES)
        best = max(self.sizes, key=lambda size: fmean(rows[_ae(size)].half(second=False).by_seed("auroc")))
        errors = {size: sweep[str(size)]["errors"]["held_out"] for size in self.sizes}
        if not all(errors.values()):
            return {"oracle": best, "lowest": None, "knee": None}
        means = {size: fmean(by_seed) for size, by_seed in errors.items()}
        return {"oracle": best, "lowest": min(means, key=lambda size: means[size]), "knee": knee(means)}

    def _sweep_table(self, data: str, rows: Mapping[str, Row], numbers: Mapping[str, Any]) -> Table:
        """Metrics and errors by size, and which rule chooses it."""
        sweep, choice = numbers["sweep"][data], numbers["choice"][data]
        parts = ("train", "held_out", "test_normal", "test_abnormal")
        cells = []
        for size in (size for size in self.sizes if str(size) in sweep):
            errors = [sweep[str(size)]["errors"][part] for part in parts]
            chosen = ", ".join(text for name, text in CHOICES.items() if choice[name] == size) or "–"
            below = numbers["below_best"][data].get(str(size))
            cells.append(
                [
                    f"ae, d = {size}",
                    *_cells(rows[_ae(size)]),
                    "–" if below is None else told(below),
                    *map(_thousandths, errors),
                    chosen,
                ]
            )
        cells += [[row, *_cells(rows[row]), *["–"] * (len(parts) + 2)] for row in REFERENCES if row in rows]
        columns = ["method", *METRICS.values(), "AUROC of the best size minus this one's, other half, Holm",
                   *(f"1000 x error, {part.replace('_', ' ')}" for part in parts), "chosen by"]  # fmt: skip
        one = next(iter(rows.values()))
        notes = [
            "mean ± sd over seeds [95 % interval over patients, where known, and seeds]",
            f"{one.uninformed} (AP)",
            "error: mean squared error per pixel of grey values in [−1, 1], mean ± sd over seeds, of at most 512 train "
            "normals; test errors are shown and choose nothing",
            "the best size is an oracle, chosen on one half of the test images; what it is ahead was measured on the "
            "other half, with the same models, so that a seed that is lucky on both favours it"
            + ("; patients are not known, and one may be in both halves" if one.groups is None else ""),
        ]
        if self.quick:
            notes.append("quick preset, 10 epochs: a check that all runs, no reproduction")
        elif not has_validation(data):
            notes.append(f"held-out error: of a model of one seed trained without {KEPT:.0%} of the normals")
        return Table(f"Latent sweep: {DATA[data].title}", columns, cells, notes)

    def _methods_table(self, rows: Mapping[str, Mapping[str, Row]], numbers: Mapping[str, Any]) -> Table:
        """The methods at 16, the plain autoencoder at its chosen sizes, and the references."""
        names = ["ae", *RIVALS, "ae[d*]", "ae[knee]", *REFERENCES]
        cells = []
        for name in names:
            line = [
                name
                + {
                    "ae[d*]": ", d* by test results (oracle); paper: 4, 4, 32, 16",
                    "ae[knee]": ", d by held-out knee",
                }.get(name, "")
            ]
            for data in rows:
                choice = numbers["choice"][data]
                size = {"ae": 16, "ae[d*]": choice["oracle"], "ae[knee]": choice["knee"]}.get(name)
                row = rows[data].get(name if size is None else _ae(size))
                at = f" (d = {size})" if size is not None and name != "ae" else ""
                line += [metric + at for metric in _cells(row)] if row else ["–"] * len(METRICS)
            published = METHODS.get(name)
            line += [" / ".join(f"{x / 100:.3f}" for x in pair) for pair in published] if published else ["–"] * 4
            cells.append(line)
        ours = [f"{metric} ours, {DATA[data].title}" for data in rows for metric in METRICS.values()]
        absent = [f"AUROC / AP paper, {DATA[data].title}" + _absence(data, rows) for data in SETS]
        notes = [
            "mean ± sd over seeds [95 % interval over patients, where known, and seeds]",
            "all at latent size 16 unless said; VAE, MemAE and CeAE have the benchmark's loss weights and settings",
            "AP of chance in the paper: 0.500, 0.500, 0.500, 0.702; the sd of its AUROC of MemAE on BraTS2021 is 0.077",
        ]
        notes += [f"{DATA[data].title}: {next(iter(found.values())).uninformed} (AP)" for data, found in rows.items()]
        notes += [
            f"{DATA[data].title}: AUROC of ae at its best size minus {rival}, on the half of the test that did not "
            f"choose it, Holm over the three: {told(value)}"
            for data, found in numbers["tuned_minus"].items()
            for rival, value in found.items()
        ]
        return Table("Methods", ["method", *ours, *absent], cells, notes)

    def _figures(self, numbers: Mapping[str, Any]) -> list[Figure]:
        """AUROC and errors against the latent size."""
        titles = {data: DATA[data].title for data, sweep in numbers["sweep"].items() if sweep}
        if not titles:
            return []
        sweeps = {title: numbers["sweep"][data] for data, title in titles.items()}
        choices = {title: numbers["choice"][data] for data, title in titles.items()}
        abnormal = {title: numbers["abnormal"][data] for data, title in titles.items()}
        levels = {
            title: found["knn"]["auroc"]["value"]
            for data, title in titles.items()
            if "knn" in (found := numbers["methods"][data])
        }
        published = {DATA[data].title: {d: SWEEP[d][k][0] / 100 for d in SWEEP} for k, data in enumerate(SETS)}
        name = "ae4ad2024_quick" if self.quick else "ae4ad2024"
        return [
            Figure(
                f"{name}_auroc",
                "AUROC and average precision against the latent size, and the published AUROC",
                draw_ranking(sweeps, choices, levels, abnormal, published),
            ),
            Figure(
                f"{name}_errors",
                "Mean reconstruction error of normal and of abnormal images against the latent size, and the published",
                draw_errors(sweeps, ERRORS),
            ),
        ]


def _thousandths(errors: Sequence[float]) -> str:
    """Print 1000 times mean ± sd over seeds."""
    if not errors:
        return "–"
    deviation = f" ± {1000 * stdev(errors):.2f}" if len(errors) > 1 else ""
    return f"{1000 * fmean(errors):.2f}{deviation}"


def _cells(row: Row) -> list[str]:
    """Print AUROC and AP."""
    return [row.cell(metric) for metric in METRICS]


def knee(errors: Mapping[int, float]) -> int | None:
    """Return the latent size at the knee of a falling error curve.

    With log2 of the size and the error both scaled to [0, 1], it is the size whose error lies farthest below the line
    from the first point to the last; where two lie equally far, the smaller.

    Args:
        errors: Mean error on held-out normals by latent size.

    Returns:
        The size; None with fewer than three sizes or without a fall from the first to the last.

    Reference: Satopää et al., Finding a "Kneedle" in a Haystack, ICDCS Workshops 2011.
    """
    sizes = sorted(errors)
    if len(sizes) < 3 or not errors[sizes[0]] > errors[sizes[-1]]:
        return None
    x, y = np.log2(sizes), np.asarray([errors[size] for size in sizes])
    below = (1 - (x - x[0]) / (x[-1] - x[0])) - (y - y[-1]) / (y[0] - y[-1])
    return sizes[int(np.argmax(below))]


def _ae(size: int) -> str:
    """Name the row of a latent size."""
    return f"ae latent_dim={size}"


def _absence(data: str, rows: Mapping[str, Any]) -> str:
    return f" ({NOT_RUN})" if DATA[data].place is None else "" if data in rows else " (not run yet)"


def _published_sweep(rows: Mapping[str, Mapping[str, Row]]) -> Table:
    """The paper's Table 1, ours beside it where the data is present."""
    cells = []
    for size, published in SWEEP.items():
        line = [f"ae, d = {size}"]
        for data, pair in zip(SETS, published, strict=True):
            row = rows.get(data, {}).get(_ae(size))
            ours = NOT_RUN if DATA[data].place is None else "–" if row is None else " / ".join(_cells(row))
            line += [ours, " / ".join(f"{x / 100:.3f}" for x in pair)]
        cells.append(line)
    for reference in REFERENCES:
        line = [reference]
        for data in SETS:
            row = rows.get(data, {}).get(reference)
            line += [NOT_RUN if DATA[data].place is None else "–" if row is None else " / ".join(_cells(row)), "–"]
        cells.append(line)
    columns = ["method", *(f"AUROC / AP {who}, {DATA[data].title}" for data in SETS for who in ("ours", "paper"))]
    notes = [
        "the paper's means over three runs; its standard deviations are mostly 0.001 to 0.012, at 4 on RSNA 0.021",
        "AP of chance in the paper: 0.500, 0.500, 0.500, 0.702",
    ]
    return Table("Latent sweep on the paper's data", columns, cells, notes)


def _published_errors() -> Table:
    """The paper's figure of errors, in numbers."""
    rows = [[f"ae, d = {size}", *(f"{1000 * error:g}" for error in errors.values())] for size, errors in ERRORS.items()]
    columns = ["method", *(f"1000 x error, {part.replace('_', ' ')}" for part in ERRORS[1])]
    notes = ["read from a figure whose data set is not named, of grey values in [−1, 1]"]
    return Table("Published errors", columns, rows, notes)
