"""MedIAnomaly's benchmark: tables, ranks, and claims judged by numbers alone; its jobs are tested with AE4AD's."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from normoscope.protocols import Claim, Outcome, Table, Verdict
from normoscope.protocols._medianomaly_claims import METHODS, OTHER, SETS, claims
from normoscope.protocols._pairs import told
from normoscope.protocols._rows import REFERENCES, Row
from normoscope.protocols.medianomaly2025 import ELSEWHERE, MedIAnomaly2025, _rank_figures, _ranks
from normoscope.runner import Job, Result
from test_ae4ad2024 import column, result, texts

# outcome

HERE = ("rsna", "vindr", "lag")
LABELS = np.repeat([0, 1], 50)
SHIFT = {
    "ae": 0.6,
    "ae loss=l1": 0.7,
    "ae loss=ssim": 1.5,
    "ae width=8": 0.5,
    "ae width=32": 0.65,
    "aeu": 1.6,
    "dae": 2,
}
"""How far abnormal images score above normal ones, by row; the others by 0.3."""


@pytest.fixture(scope="module")
def own_sets(small_papers: Path) -> Path:
    """Three of the benchmark's sets in small, beside the chest X-rays that are not among them."""
    rng = np.random.default_rng(0)
    for data in HERE:
        (small_papers / data / "images").mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(0, 256, (8, 8)).astype(np.uint8)
            Image.fromarray(pixels).save(small_papers / data / "images" / f"{i}.png")
        parts = {
            "train": {"0": [f"{i}.png" for i in range(4)]},
            "test": {"0": ["4.png", "5.png"], "1": ["6.png", "7.png"]},
        }
        (small_papers / data / "data.json").write_text(json.dumps(parts))
    return small_papers


@cache
def first_half() -> npt.NDArray[np.bool_]:
    """Tell which test images the best method is chosen on."""
    one = Row([result(np.arange(len(LABELS)).tolist(), LABELS.tolist())]).half(second=False)
    return np.isin(np.arange(len(LABELS)), one.results[0].value["own"]["test"])


def made_up(job: Job) -> Result:
    """Invent a trial; on RSNA aeu is perfect on the half that chooses the best method, and blind on the other."""
    row, data, _ = job.name.split(", ")
    shift: Any = SHIFT.get(row, 0.3)
    if (row, data) == ("aeu", "rsna"):
        shift = np.where(first_half(), 9.0, 0.0)
    rng = np.random.default_rng([job.arguments["seed"], *row.encode(), *data.encode()])
    test = shift * LABELS + rng.standard_normal(len(LABELS))
    return replace(result(test.tolist(), LABELS.tolist()), job=job)


@pytest.fixture(scope="module")
def ran(own_sets: Path) -> Outcome:
    """What the benchmark comes to where ceae has not run to the end on VinDr-CXR, and nothing on LAG."""
    protocol = MedIAnomaly2025()
    plan = protocol.plan()
    waiting = ("ceae, vindr, seed 2", "lag, seed")
    results = [made_up(job) for job in plan.jobs if not any(words in job.name for words in waiting)]
    return protocol.outcome(results, plan.absent)


def table(outcome: Outcome, title: str) -> Table:
    return next(one for one in outcome.tables if one.title == title)


def test_tables_stand_beside_the_published_column(ran: Outcome) -> None:
    assert [one.title for one in ran.tables] == [
        "Benchmark: RSNA",
        "Benchmark: VinDr-CXR",
        "Benchmark: chest X-rays 64 px, not one of its sets",
        "Ranks",
        "The benchmark's own data",
    ]
    assert all(len(row) == len(one.columns) for one in ran.tables for row in one.rows)
    other = ran.tables[2]
    assert [row[0] for row in other.rows] == [*METHODS, *REFERENCES]
    theirs = column(other.rows, other.columns, "AUROC paper, RSNA")
    assert (theirs["ae"], theirs["ae loss=ssim"], theirs["memae"]) == ("0.675 ± 0.009", "0.809", "–")
    minus = column(other.rows, other.columns, "AUROC minus ae, Holm")
    assert minus["ae"] == "–"
    assert minus["dae"] == told(ran.numbers["rows"][OTHER]["dae"]["minus_ae"])
    assert any("not among the methods here: AE-PL 0.875 ± 0.002 / 0.848, AE-Grad" in note for note in other.notes)


def test_tables_say_what_chance_reaches_and_how_methods_differ_from_the_papers(ran: Outcome) -> None:
    chance = "scores that know nothing reach AUROC 0.500, AUPR of normals 0.500, of abnormals 0.500 (AP)"
    own = table(ran, "The benchmark's own data")
    assert {f"RSNA: {chance}", f"VinDr-CXR: {chance}"} <= {*own.notes}
    theirs = (
        "AP of chance in the paper: RSNA 0.500, VinDr-CXR 0.500, Brain Tumor 0.500, LAG 0.500, ISIC2018 0.399, "
        "Camelyon16 0.498, BraTS2021 0.702"
    )
    assert theirs in own.notes
    other = ran.tables[2]
    assert {chance, "AP of chance in the paper: RSNA 0.500"} <= {*other.notes}
    for one in (own, other):
        notes = "; ".join(one.notes)
        assert "dae has 64 pixels here and 128 in the paper" in notes
        assert "VAE is scored at the mean" in notes
        assert "GANomaly by running statistics" in notes
    assert any("dae on BraTS2021 is another's" in note for note in own.notes)
    assert any("aeu and AE-PL on VinDr-CXR and LAG were not read but derived" in note for note in own.notes)


def test_the_own_data_shows_every_row_that_ran_and_every_published_one(ran: Outcome) -> None:
    own = table(ran, "The benchmark's own data")
    ours, paper, again = (
        column(own.rows, own.columns, name) for name in ("AUROC ours", "AUROC paper", "AUROC, independent rerun")
    )
    assert {name for name in ours if name.startswith("RSNA")} == {
        f"RSNA: {row}" for row in (*METHODS, *ELSEWHERE, *REFERENCES)
    }
    assert (ours["RSNA: AE-PL"], paper["RSNA: AE-PL"], again["RSNA: AE-PL"]) == (
        "not among the methods here", "0.875 ± 0.002", "0.876",
    )  # fmt: skip
    assert (again["LAG: aeu"], again["VinDr-CXR: ae loss=ssim"], again["VinDr-CXR: AE-PL"]) == (
        "0.825",
        "0.545",
        "0.755",
    )
    known = {row[0]: row[1] for row in ran.tables[1].rows}
    assert (ours["VinDr-CXR: memae"], ours["VinDr-CXR: knn"]) == (known["memae"], known["knn"])
    assert ours["LAG: ae"] == "not run yet"
    assert {ours["BraTS2021: dae"], ours["Brain Tumor: all methods"]} == {"not run: data absent"}


def test_the_best_is_chosen_on_one_half_and_compared_on_the_other(ran: Outcome, own_sets: Path) -> None:
    rsna = ran.numbers["rows"]["rsna"]
    assert max(METHODS, key=lambda row: rsna[row]["auroc"]["value"]) == "dae"
    assert [row for row in METHODS if "below_best" not in rsna[row]] == ["aeu"]
    assert rsna["dae"]["below_best"]["value"] < -0.2, "the one that was picked is behind on the other half"
    jobs = [job for job in MedIAnomaly2025().plan().jobs if ", rsna, " in job.name]

    def half(row: str) -> float:
        of = Row([made_up(job) for job in jobs if job.name.startswith(f"{row}, ")]).half(second=True)
        return float(np.mean(of.by_seed("auroc")))

    assert rsna["dae"]["below_best"]["value"] == pytest.approx(half("aeu") - half("dae"))


def test_claims_follow_from_sets_that_ran_to_the_end(ran: Outcome) -> None:
    assert ran.numbers["rows"]["lag"] == {}
    capacity, above, winner = ran.claims[:3]
    assert capacity.why.startswith("undecided: RSNA: AUROC spans")
    assert "chest X-rays" not in capacity.why
    assert "not run to the end yet: LAG; absent: Brain Tumor" in capacity.why, "VinDr-CXR lacks ceae alone"
    assert above.why.startswith("undecided: ae loss=ssim +")
    assert winner.verdict is Verdict.UNTESTED
    assert "two of its data sets; not run to the end yet: VinDr-CXR, LAG; absent: Brain Tumor" in winner.why


def test_ranks_are_told_and_not_tested_below_eight_sources(ran: Outcome) -> None:
    ranks = table(ran, "Ranks")
    assert ranks.columns == ["method", "mean rank", "RSNA", "chest X-rays 64 px"], "VinDr-CXR lacks ceae"
    assert ranks.rows[0][0] == "dae"
    assert column(ranks.rows, ranks.columns, "RSNA")["dae"] == "1"
    assert ranks.notes[-1] == "too few data sets to test: 2 of 8"
    assert not ran.figures


def test_eight_sources_are_tested_and_drawn() -> None:
    seven = {data: rows for name in SETS for data, rows in numbers_of(name, aeu=0.9, dae=0.8).items()}
    few = _ranks(seven)
    assert few is not None
    assert few.test is None
    assert not _rank_figures(few)
    ranks = _ranks({**seven, **numbers_of(OTHER, aeu=0.9, dae=0.8)})
    assert ranks is not None
    assert ranks.methods[:2] == ("aeu", "dae")
    (figure,) = _rank_figures(ranks)
    assert "aeu  1.00" in texts(ElementTree.fromstring(figure.svg))
    assert _ranks({"rsna": {}}) is None


# claims


def difference(value: float, holm: float = 0.001) -> dict[str, Any]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02, "holm": holm}


def numbers_of(data: str, **aurocs: float) -> dict[str, Any]:
    """Rows with these AUROCs, options by their values; the others at 0.6; clear where above ae or below the best."""
    values = {row: aurocs.get(row.partition("=")[2] or row, 0.6) for row in METHODS}
    rows: dict[str, Any] = {row: {"auroc": {"value": value}} for row, value in values.items()}
    best = max(METHODS, key=lambda row: values[row])
    for row in METHODS:
        if row != "ae":
            rows[row]["minus_ae"] = difference(values[row] - values["ae"])
        if row != best:
            rows[row]["below_best"] = difference(values[best] - values[row])
    return {data: rows}


def found(numbers: Mapping[str, Any], words: str) -> Claim:
    return next(claim for claim in claims(numbers) if words in claim.text)


def test_loss_outweighs_capacity_where_its_least_change_is_twice_the_most_of_a_width() -> None:
    def verdict(ssim: float, eight: float) -> Claim:
        return found(numbers_of("rsna", ssim=ssim, **{"8": eight}), "capacity")

    claim = verdict(0.9, 0.5)  # 0.3 ± 0.02 by the loss, 0.1 ± 0.02 by the width
    assert claim.verdict is Verdict.HOLDS
    assert "RSNA: AUROC spans 0.300 over l2, l1 and ssim, 0.100 over widths" in claim.why
    assert verdict(0.8, 0.5).verdict is Verdict.UNTESTED, "0.2 ± 0.02 may be less than twice 0.1 ± 0.02"
    assert verdict(0.7, 0.4).verdict is Verdict.FAILS
    assert verdict(0.6, 0.6).verdict is Verdict.UNTESTED, "nothing moves"
    assert found({}, "capacity").verdict is Verdict.UNTESTED


def test_capacity_waits_for_every_set_and_takes_others_only_where_there_is_none() -> None:
    clear, other = numbers_of("rsna", ssim=0.9), numbers_of(OTHER, ssim=0.7, **{"8": 0.4})
    assert found({**clear, **other}, "capacity").verdict is Verdict.HOLDS, "the chest X-rays are none of its sets"
    for started in ({}, {"ae": numbers_of("lag")["lag"]["ae"]}):
        claim = found({**clear, "lag": started}, "capacity")
        assert claim.verdict is Verdict.UNTESTED
        assert "; not run to the end yet: LAG; absent: VinDr-CXR, Brain Tumor, ISIC2018" in claim.why
    waiting = found({"lag": {}, **other}, "capacity")
    assert (waiting.verdict, waiting.why[:37]) == (Verdict.UNTESTED, "not run yet; not run to the end yet: ")
    alone = found(other, "capacity")
    assert alone.verdict is Verdict.FAILS
    assert alone.why.startswith("none of its sets: chest X-rays 64 px: AUROC spans")


def test_well_above_the_plain_autoencoder_is_judged_on_rsna_by_a_margin() -> None:
    better = {"ssim": 0.8, "aeu": 0.8, "dae": 0.8}
    good = numbers_of("rsna", **better)
    assert found(good, "well above").verdict is Verdict.HOLDS
    assert found(numbers_of("rsna", **better | {"dae": 0.62}), "well above").verdict is Verdict.FAILS, "not by 0.05"
    assert found(numbers_of("rsna", **better | {"dae": 0.66}), "well above").verdict is Verdict.UNTESTED
    del good["rsna"]["dae"]
    claim = found(good, "well above")
    assert claim.verdict is Verdict.UNTESTED
    assert "; not run to the end yet: dae (well: by more than 0.05 with the interval)" in claim.why
    assert found({"rsna": {}, **numbers_of(OTHER, **better)}, "well above").why == "not run yet"


@pytest.mark.parametrize("dae", [0.5, 0.8])
def test_other_chest_x_rays_decide_nothing_about_rsna(dae: float) -> None:
    claim = found(numbers_of(OTHER, ssim=0.8, aeu=0.8, dae=dae), "well above")
    assert claim.verdict is Verdict.UNTESTED
    assert claim.why.startswith("RSNA absent; other chest X-rays: ae loss=ssim +0.200 [+0.180, +0.220], p = 0.001; aeu")
    assert found({OTHER: {}}, "well above").why == "RSNA absent; other chest X-rays: not run yet"


def test_no_method_wins_everywhere_needs_two_of_the_benchmarks_sets() -> None:
    one = numbers_of("rsna", aeu=0.9)
    assert found({**one, **numbers_of(OTHER, dae=0.9)}, "wins").verdict is Verdict.UNTESTED
    held = found({**one, **numbers_of("lag", dae=0.9)}, "wins")
    assert held.verdict is Verdict.HOLDS
    assert "RSNA: aeu (oracle) 0.900; LAG: dae (oracle) 0.900; on the other half nowhere behind" in held.why
    assert "of 7 sets: none; absent: VinDr-CXR, Brain Tumor" in held.why
    alike = found({**one, **numbers_of("lag", aeu=0.9)}, "wins")
    assert alike.verdict is Verdict.UNTESTED, "two sets are not everywhere"
    everywhere = {data: rows for name in SETS for data, rows in numbers_of(name, aeu=0.9).items()}
    assert found(everywhere, "wins").verdict is Verdict.FAILS
    del everywhere["brats2021"]["vae"]
    assert found(everywhere, "wins").verdict is Verdict.UNTESTED, "not run to the end on one"
    incomplete = numbers_of("lag", dae=0.9)
    del incomplete["lag"]["vae"]
    claim = found({**one, **incomplete}, "wins")
    assert claim.verdict is Verdict.UNTESTED
    assert claim.why.startswith("needs at least two of its data sets; not run to the end yet: LAG; absent: VinDr-CXR")


def test_a_winner_is_behind_beyond_the_chance_of_seven_sets() -> None:
    numbers = {**numbers_of("rsna", aeu=0.9), **numbers_of("lag", dae=0.9)}
    numbers["lag"]["aeu"]["below_best"] = difference(0.3, holm=0.008)
    unsure = found(numbers, "wins")
    assert unsure.verdict is Verdict.UNTESTED, "0.008 on one of seven sets may be chance"
    assert "the chance of 7 sets: aeu; absent: " in unsure.why
    numbers["lag"]["aeu"]["below_best"] = difference(0.3, holm=0.007)
    for further in ({}, {"vindr": {}}, numbers_of("vindr", aeu=0.9)):
        assert found({**numbers, **further}, "wins").verdict is Verdict.HOLDS, "the next set takes nothing back"
    for row in METHODS:
        if row != "aeu":
            numbers["rsna"][row]["below_best"] = difference(-0.1)
    behind = found(numbers, "wins")
    assert behind.verdict is Verdict.UNTESTED, "what was picked on one half is behind on the other, and shows nothing"
    assert "the chance of 7 sets: dae; absent: " in behind.why
