"""MedIAnomaly: the shared benchmark of autoencoders, one network and many losses.

Reference: Cai, Zhang, Chen and Cheng, MedIAnomaly: A comparative study of anomaly detection in medical images, Medical
Image Analysis 2025. Its RSNA column and one row on BraTS2021 were available, through third parties who transcribed or
reran them; its findings through its group's public pages and remarks in its code.

differs from the paper in: chest X-rays of 64 pixels, not one of its seven sets, are run beside those that are present.
Scores by another network, by gradients and by self-supervised tasks are left out; they rescore or need networks of
their own. Its own sets become 64 pixels for every method, grey where they are there; the denoising autoencoder has 128
pixels there. BraTS2021 given as volumes has test patients and grey values of our own choice. VAE is scored at
the mean of its code and GANomaly by running statistics; there codes are drawn, and each test image is normalised by
itself. Two autoencoders of half and double width are added, to set capacity against loss. Pixel metrics are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from ..rank_figure import critical_difference_plot
from ..ranking import Ranking, rank
from ..runner import Job, Result
from ._ae4ad_jobs import benchmark_job, present
from ._data import DATA, Absent
from ._medianomaly_claims import METHODS, OTHER, SETS, claims
from ._pairs import differences, told
from ._rows import REFERENCES, Row
from ._shape import Figure, Outcome, Plan, Table
from .ae4ad2024 import METRICS

__all__ = ["MedIAnomaly2025"]

PUBLISHED: Mapping[str, Mapping[str, tuple[float, float | None, float]]] = {  # AUC, its sd, AP in per cent
    "rsna": {
        "ae": (67.5, 0.9, 66.7),
        "ae loss=l1": (68.1, None, 67.9),
        "ae loss=ssim": (80.9, None, 78.6),
        "vae": (67.9, None, 67.0),
        "aeu": (86.5, 0.9, 84.4),
        "dae": (86.1, 0.7, 83.3),
        "AE-PL": (87.5, 0.2, 84.8),
        "AE-Grad": (73.7, None, 71.0),
        "VAE-Grad": (71.6, None, 69.3),
        "VAE-combi": (67.4, None, 67.3),
    },
    "brats2021": {"dae": (85.9, 1.0, 93.4)},
}
RERUN: Mapping[str, Mapping[str, float]] = {  # AUC in per cent of independent reruns
    "rsna": {
        "ae": 68.35,
        "ae loss=ssim": 80.81,
        "vae": 67.33,
        "aeu": 86.86,
        "dae": 83.87,
        "AE-PL": 87.58,
        "AE-Grad": 73.86,
    },
    "vindr": {"ae": 56.03, "ae loss=ssim": 54.47, "aeu": 74.1, "AE-PL": 75.5},
    "lag": {"ae": 78.96, "ae loss=ssim": 67.35, "aeu": 82.5, "AE-PL": 85.9},
    "brats2021": {"dae": 85.7},
}
ELSEWHERE = ("AE-PL", "AE-Grad", "VAE-Grad", "VAE-combi")
"""Methods of the benchmark that are not run here."""

CHANCE = {
    "rsna": 0.5,
    "vindr": 0.5,
    "brain_tumor": 0.5,
    "lag": 0.5,
    "isic2018": 0.399,
    "camelyon16": 0.498,
    "brats2021": 0.702,
}
"""AP of chance in the paper: its test's share of abnormal images."""

DIFFERS = (
    "dae has 64 pixels here and 128 in the paper; its noise has mean 0 and covers whole images, the benchmark's is "
    "shifted, and masked on brains",
    "VAE is scored at the mean of its code, in the benchmark at a draw; GANomaly by running statistics, in the "
    "benchmark each test image by its own",
    "of BraTS2021 as volumes, slices are cut as the benchmark's are, but the 200 test patients are drawn here and each "
    "volume is scaled by itself",
    "the SSIM loss has full support through replicated borders, the benchmark's windows are cut off there",
)
"""What to know of methods before ours are set beside the published."""


@dataclass(frozen=True)
class MedIAnomaly2025:
    """The protocol.

    Args:
        quick: Three methods and a few epochs on PneumoniaMNIST, one seed.
        seeds: Runs per method; the benchmark has three.
    """

    quick: bool = False
    seeds: int = 3

    @property
    def data(self) -> tuple[str, ...]:
        """Names of the data sets."""
        return ("pneumoniamnist",) if self.quick else (*SETS, OTHER)

    @property
    def rows(self) -> tuple[str, ...]:
        """Methods and references."""
        return (*(("ae", "vae", "aeu") if self.quick else METHODS), *REFERENCES)

    def plan(self) -> Plan:
        """Every method on every data set that is present."""
        absent = [DATA[name].absent for name in self.data if DATA[name].place is None]
        return Plan([job for jobs in self._jobs.values() for job in jobs], absent)

    def outcome(self, results: Sequence[Result], absent: Sequence[Absent]) -> Outcome:
        """A table per data set that was run, one of the published numbers, and the claims."""
        done = {result.job.key: result for result in results}
        rows: dict[str, dict[str, Row]] = {data: {} for data, _ in self._jobs}
        for (data, row), jobs in self._jobs.items():
            found = [done[job.key] for job in jobs if job.key in done]
            if len(found) == len(jobs):
                rows[data][row] = Row(found)
        numbers = {data: self._numbers(measured) for data, measured in rows.items()}
        tables = [self._table(data, rows[data], numbers[data]) for data in rows if rows[data]]
        if self.quick:
            return Outcome(tables, [], (), {"rows": numbers})
        ranks = _ranks(numbers)
        tables += [*([] if ranks is None else [_rank_table(ranks)]), _published(rows)]
        in_numbers = {"rows": numbers, "ranks": None if ranks is None else ranks.to_json()}
        return Outcome(tables, claims(numbers), _rank_figures(ranks), in_numbers)

    def _numbers(self, measured: Mapping[str, Row]) -> dict[str, Any]:
        """Return a data set's figures by row; the best by one half is compared with the others on the other half."""
        numbers: dict[str, Any] = {row: one.to_json(tuple(METRICS)) for row, one in measured.items()}
        if plain := measured.get("ae"):
            pairs = {row: (one, plain) for row, one in measured.items() if row != "ae"}
            for row, difference in differences(pairs, len(self.rows) - 1).items():
                numbers[row]["minus_ae"] = difference
        if all(row in measured for row in METHODS):
            best = max(METHODS, key=lambda row: fmean(measured[row].half(second=False).by_seed("auroc")))
            others = {row: measured[row].half(second=True) for row in METHODS}
            ahead = others.pop(best)
            for row, difference in differences({row: (ahead, o) for row, o in others.items()}, len(others)).items():
                numbers[row]["below_best"] = difference
        return numbers

    @cached_property
    def _jobs(self) -> Mapping[tuple[str, str], Sequence[Job]]:
        """Data sets and rows to their jobs."""
        seeds = range(1 if self.quick else self.seeds)
        return {
            (data, row): [benchmark_job(data, row, seed, quick=self.quick) for seed in seeds]
            for data in present(*self.data)
            for row in self.rows
        }

    def _table(self, data: str, rows: Mapping[str, Row], numbers: Mapping[str, Any]) -> Table:
        """Ours by method, with the published numbers of the set, or of RSNA where it is another."""
        theirs = data if data in SETS else "rsna"
        cells = []
        for row in (row for row in self.rows if row in rows):
            difference = numbers[row].get("minus_ae")
            cells.append(
                [
                    row,
                    *(rows[row].cell(metric) for metric in METRICS),
                    "–" if difference is None else told(difference),
                    *_theirs(theirs, row),
                ]
            )
        other = "" if data in SETS else ", not one of its sets"
        columns = ["method", *(f"{metric} ours" for metric in METRICS.values()), "AUROC minus ae, Holm",
                   *(f"{metric} paper, {DATA[theirs].title}" for metric in METRICS.values())]  # fmt: skip
        notes = [
            "mean ± sd over seeds [95 % interval over patients, where known, and seeds]",
            f"{next(iter(rows.values())).uninformed} (AP)",
            *_chance(theirs),
        ]
        if self.quick:
            notes.append("quick preset, 10 epochs: a check that all runs, no reproduction")
        else:
            notes += [*_elsewhere(theirs), *DIFFERS]
        return Table(f"Benchmark: {DATA[data].title}{other}", columns, cells, notes)


def _theirs(data: str, row: str) -> list[str]:
    """Print the published AUROC and AP."""
    if row not in PUBLISHED.get(data, {}):
        return ["–"] * len(METRICS)
    auroc, sd, ap = PUBLISHED[data][row]
    return [f"{auroc / 100:.3f}" + ("" if sd is None else f" ± {sd / 100:.3f}"), f"{ap / 100:.3f}"]


def _chance(*sets: str) -> list[str]:
    """Say what AP chance has in the paper, where that is known."""
    known = [f"{DATA[data].title} {CHANCE[data]:.3f}" for data in sets if data in CHANCE]
    return [f"AP of chance in the paper: {', '.join(known)}"] if known else []


def _elsewhere(data: str) -> list[str]:
    """Tell the published numbers of methods that are not run here, among them the best."""
    known = [f"{row} {' / '.join(_theirs(data, row))}" for row in ELSEWHERE if row in PUBLISHED.get(data, {})]
    return [f"AUROC / AP paper, {DATA[data].title}, not among the methods here: {', '.join(known)}"] if known else []


def _published(rows: Mapping[str, Mapping[str, Row]]) -> Table:
    """What is known of the benchmark's own sets, ours beside it."""
    cells = []
    for data in SETS:
        found, again = rows.get(data, {}), RERUN.get(data, {})
        known = {*found, *PUBLISHED.get(data, {}), *again}
        for row in [row for row in (*METHODS, *ELSEWHERE, *REFERENCES) if row in known] or ["all methods"]:
            cells.append(
                [
                    f"{DATA[data].title}: {row}",
                    *(found[row].cell(metric) if row in found else _missing(data, row) for metric in METRICS),
                    *_theirs(data, row),
                    f"{again[row] / 100:.3f}" if row in again else "–",
                ]
            )
    columns = ["data and method", *(f"{metric} {who}" for who in ("ours", "paper") for metric in METRICS.values()),
               "AUROC, independent rerun"]  # fmt: skip
    notes = [
        "the published numbers reached this project through a third party and could not be checked against the paper",
        "the independent rerun has 64 pixels throughout, and of dae one seed; dae on BraTS2021 is another's, of a size "
        "that is not stated",
        "the rerun's aeu and AE-PL on VinDr-CXR and LAG were not read but derived from other numbers, AE-PL roughly",
        *(f"{DATA[data].title}: {next(iter(rows[data].values())).uninformed} (AP)" for data in SETS if rows.get(data)),
        *_chance(*SETS),
        *DIFFERS,
    ]
    return Table("The benchmark's own data", columns, cells, notes)


def _missing(data: str, row: str) -> str:
    """Say why there is no number of ours."""
    if row in ELSEWHERE:
        return "not among the methods here"
    return "not run: data absent" if DATA[data].place is None else "not run yet"


def _ranks(numbers: Mapping[str, Mapping[str, Any]]) -> Ranking | None:
    """Rank the methods by mean AUROC over seeds on the sets, each a source of its own, where all of them ran."""
    aurocs = {
        DATA[data].title: {row: found[row]["auroc"]["value"] for row in METHODS}
        for data, found in numbers.items()
        if all(row in found for row in METHODS)
    }
    return rank(aurocs, {title: title for title in aurocs}) if aurocs else None


def _rank_table(found: Ranking) -> Table:
    """Ranks by method and set, and what may be said of them."""
    cells = [
        [name, f"{mean:.2f}", *(f"{one:g}" for one in ranks)]
        for name, mean, ranks in zip(found.methods, found.mean_ranks, found.ranks.T, strict=True)
    ]
    notes = ["by mean AUROC over seeds, 1 is best; sets on which all methods ran", found.verdict]
    return Table("Ranks", ["method", "mean rank", *found.sources], cells, notes)


def _rank_figures(found: Ranking | None) -> Sequence[Figure]:
    """Draw the critical difference where there is a test."""
    if found is None or found.test is None:
        return ()
    title = "Mean ranks of the methods, and bars that join what no critical difference parts"
    return [Figure("medianomaly2025_ranks", title, critical_difference_plot(found))]
