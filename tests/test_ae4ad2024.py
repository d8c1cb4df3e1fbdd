"""AE4AD's sweep and MedIAnomaly's benchmark share their jobs; sizes are chosen and claims judged by numbers alone."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normoscope import metrics, protocols
from normoscope.protocols import Claim, Outcome, Verdict
from normoscope.protocols._ae4ad_claims import claims
from normoscope.protocols._ae4ad_jobs import benchmark_job, epochs_on, has_validation
from normoscope.protocols._pairs import differences, told
from normoscope.protocols._rows import Row
from normoscope.protocols.ae4ad2024 import AE4AD2024, SIZES, knee
from normoscope.protocols.conocc2020 import REFERENCES, ConOCC2020
from normoscope.protocols.medianomaly2025 import MedIAnomaly2025
from normoscope.runner import Job, Result, perform
from toys import TESTED

# jobs


def test_the_sweep_trains_every_size_with_the_papers_settings(small_papers: Path) -> None:
    jobs = [job for job in AE4AD2024().plan().jobs if job.arguments["method"] == "ae"]
    sweep = [job.arguments for job in jobs if job.arguments["data"] == "pneumoniamnist"]
    assert sorted((a["recipe"]["latent_dim"], a["seed"]) for a in sweep) == sorted(
        (size, seed) for size in (1, 2, 4, 8, 16, 32, 64, 128, 1024) for seed in (0, 1, 2)
    )
    for arguments in sweep:
        recipe = arguments["recipe"]
        assert (recipe["learning_rate"], recipe["batch_size"], recipe["epochs"]) == (1e-3, 64, 250)
        assert (recipe["loss"], recipe["patience"]) == ("l2", None)
    assert (epochs_on("brain_tumor", quick=False), epochs_on("rsna", quick=False)) == (600, 250)


def test_only_data_without_validation_normals_gets_models_that_choose(small_papers: Path) -> None:
    assert has_validation("pneumoniamnist")
    assert not has_validation("chest_xray_64")
    choosing = [job.arguments for job in AE4AD2024().plan().jobs if job.arguments["held_out"]]
    assert {a["data"] for a in choosing} == {"chest_xray_64"}
    assert sorted(a["recipe"]["latent_dim"] for a in choosing) == sorted(SIZES)
    assert {(a["held_out"], a["seed"]) for a in choosing} == {(0.1, 0)}


def test_protocols_that_need_the_same_job_give_it_the_same_key(small_papers: Path) -> None:
    def of(protocol: Any) -> dict[str, Job]:
        return {job.key: job for job in protocol.plan().jobs if job.arguments["data"] == "chest_xray_64"}

    sweep, benchmark, conocc = of(AE4AD2024()), of(MedIAnomaly2025()), of(ConOCC2020())
    shared = {sweep[key].arguments["method"] for key in sweep.keys() & benchmark.keys()}
    assert shared == {"ae", "vae", "memae", "ceae", "knn", "trivial"}
    assert len(sweep.keys() & benchmark.keys()) == 3 * (4 + len(REFERENCES))
    assert len(sweep.keys() & conocc.keys()) == 3 * len(REFERENCES)


def test_a_row_sets_what_it_names_and_nothing_else(small_papers: Path) -> None:
    plain = benchmark_job("pneumoniamnist", "ae", 0, quick=False).arguments["recipe"]
    other = benchmark_job("pneumoniamnist", "ae loss=ssim", 0, quick=False).arguments["recipe"]
    assert {**plain, "loss": "ssim"} == other
    trivial = benchmark_job("pneumoniamnist", "trivial bytes", 0, quick=False).arguments["recipe"]
    assert trivial == {"statistic": "bytes", "direction": "two-sided"}


@pytest.mark.parametrize(("name", "fitted"), [("ae4ad2024", 6), ("medianomaly2025", 3)])
def test_the_quick_form_is_a_few_jobs_on_pneumoniamnist(name: str, fitted: int, small_papers: Path) -> None:
    plan = protocols.build(name, quick=True).plan()
    assert len(plan.jobs) == fitted + len(REFERENCES)
    assert not plan.absent
    assert {(job.arguments["data"], job.arguments["seed"]) for job in plan.jobs} == {("pneumoniamnist", 0)}


def test_data_of_the_papers_that_is_absent_is_named(small_papers: Path) -> None:
    four = ["RSNA", "VinDr-CXR", "Brain Tumor", "BraTS2021"]
    assert [data.name for data in AE4AD2024().plan().absent] == four
    seven = {*four, "LAG", "ISIC2018", "Camelyon16"}
    assert {data.name for data in MedIAnomaly2025().plan().absent} == seven


# rows


def result(
    test: Sequence[float], labels: Sequence[int], *, held_out: Sequence[float] = (), mean: float = 0.0
) -> Result:
    own = {"test": list(test), "held_out": list(held_out), "train_mean": mean}
    value = {"labels": list(labels), "groups": [], "own": own, "fit_seconds": 1.0, "losses": None}
    return Result(Job("made up", "", {}), value, 0.0, "", {})


def test_errors_are_means_over_the_images_of_each_part_by_seed() -> None:
    seeds = [
        result([1, 2, 5, 8], [0, 0, 1, 1], held_out=[2, 4], mean=1.0),
        result([3, 4, 7, 10], [0, 0, 1, 1], held_out=[4, 8], mean=2.0),
    ]
    assert Row(seeds).errors == {
        "train": [1.0, 2.0],
        "held_out": [3.0, 6.0],
        "test_normal": [1.5, 3.5],
        "test_abnormal": [6.5, 8.5],
    }
    assert Row([result([1, 2], [0, 1])]).errors["held_out"] == []


def test_halves_share_no_patient_and_have_either_class_and_every_image_once() -> None:
    labels = [0] * 20 + [1] * 10
    groups = [i // 2 for i in range(30)]
    value = result(np.arange(30.0).tolist(), labels)
    row = Row([replace(value, value={**value.value, "groups": groups})])
    first, second = (row.half(second=later).results[0].value for later in (False, True))
    assert sorted(first["own"]["test"] + second["own"]["test"]) == list(range(30))
    assert not set(first["groups"]) & set(second["groups"])
    assert (len(first["labels"]), sum(first["labels"])) == (16, 6)
    for half in (first, second):
        assert half["labels"] == [labels[int(score)] for score in half["own"]["test"]]


def test_differences_are_first_minus_second_and_adjusted_over_the_family() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 50)

    def row(shift: float) -> Row:
        return Row([result((shift * labels + rng.standard_normal(100)).tolist(), labels.tolist())])

    best, near, far = row(1.5), row(1.3), row(0.0)
    found = differences({"near": (best, near), "far": (best, far)}, 2)
    scores = {name: np.asarray(r.results[0].value["own"]["test"]) for name, r in (("best", best), ("far", far))}
    expected = metrics.auroc(labels, scores["best"]) - metrics.auroc(labels, scores["far"])
    assert found["far"]["value"] == pytest.approx(expected)
    assert found["far"]["pvalue"] < found["near"]["pvalue"]
    assert found["far"]["holm"] == pytest.approx(2 * found["far"]["pvalue"])
    assert found["near"]["holm"] == pytest.approx(found["near"]["pvalue"])
    assert differences({}, 2) == {}


def test_the_knee_is_farthest_below_the_chord_over_log2_of_the_size() -> None:
    # scaled: chord 1, 2/3, 1/3, 0; errors 1, 0.2, 0.1, 0: distances 0, 0.467, 0.233, 0
    assert knee({1: 1.1, 2: 0.3, 4: 0.2, 8: 0.1}) == 2
    # distances 0, 0.067, 0.233, 0
    assert knee({8: 0.1, 4: 0.2, 2: 0.7, 1: 1.1}) == 4
    # the gap to 1024 counts by its logarithm: chord at 512 is 0.1, far above an error of 0.05, but at 2 it is 0.9
    assert knee({1: 1.0, 2: 0.5, 512: 0.05, 1024: 0.0}) == 2


@pytest.mark.parametrize("errors", [{1: 1.0, 2: 0.5}, {1: 0.5, 2: 0.4, 4: 0.5}, {1: 0.1, 2: 0.2, 4: 0.3}, {}])
def test_there_is_no_knee_without_three_sizes_and_a_fall(errors: dict[int, float]) -> None:
    assert knee(errors) is None


# outcome

BEST = {"pneumoniamnist": 4, "chest_xray_64": 32}


def made_up(job: Job) -> Result:
    """Invent a trial: AUROC falls away from the best size, errors fall with the size and stay from 64 on.

    Those of the test are lowest at 2, so that choosing by them shows.
    """
    arguments = job.arguments
    rng = np.random.default_rng([arguments["seed"], len(arguments["method"])])
    labels = np.repeat([0, 1], TESTED)
    size = arguments["recipe"].get("latent_dim", 16)
    error = max(0.05 / size, 0.001)
    shift = 2.0 - 0.5 * abs(np.log2(size / BEST[arguments["data"]])) if arguments["method"] == "ae" else 0.5
    of_test = 0.01 * (2 + abs(np.log2(size / 2)))
    test = of_test * (2 + 0.1 * rng.standard_normal(2 * TESTED) + 0.1 * shift * labels)
    held_out = [] if arguments["data"] == "chest_xray_64" and not arguments["held_out"] else [1.5 * error] * 5
    made = result(test.tolist(), labels.tolist(), held_out=held_out, mean=error * (1 + 0.01 * arguments["seed"]))
    groups = [] if arguments["data"] == "pneumoniamnist" else [image // 2 for image in range(2 * TESTED)]
    return Result(job, {**made.value, "groups": groups}, 1.0, "2026-01-01T00:00:00+00:00", {})


def column(rows: Sequence[Sequence[str]], columns: Sequence[str], name: str) -> dict[str, str]:
    return {row[0]: row[list(columns).index(name)] for row in rows}


@pytest.fixture(scope="module")
def swept(small_papers: Path) -> Outcome:
    """What the whole sweep comes to on invented trials."""
    protocol = AE4AD2024()
    plan = protocol.plan()
    return protocol.outcome([made_up(job) for job in plan.jobs], plan.absent)


def test_the_sweeps_tables_show_errors_choices_and_published_numbers(swept: Outcome) -> None:
    sweep = next(t for t in swept.tables if t.title == "Latent sweep: chest X-rays 64 px")
    chosen = column(sweep.rows, sweep.columns, "chosen by")
    assert chosen["ae, d = 32"] == "best AUROC on half of the test (oracle)"
    assert chosen["ae, d = 8"] == "knee of held-out error"  # chord 1 - 3/10, error (0.05/8 - 0.001) / 0.049
    assert chosen["ae, d = 64"] == "lowest held-out error"  # the first of three equals
    assert column(sweep.rows, sweep.columns, "1000 x error, held out")["ae, d = 1"] == "75.00"
    assert column(sweep.rows, sweep.columns, "1000 x error, train")["ae, d = 2"] == "25.25 ± 0.25"
    assert [row[0] for row in sweep.rows[-4:]] == list(REFERENCES)
    ahead = column(sweep.rows, sweep.columns, "AUROC of the best size minus this one's, other half, Holm")
    assert ahead["ae, d = 1024"] == told(swept.numbers["below_best"]["chest_xray_64"]["1024"])
    assert "scores that know nothing reach AUROC 0.500, AUPR of normals 0.500, of abnormals 0.500 (AP)" in sweep.notes
    pneumonia = next(t for t in swept.tables if t.title == "Latent sweep: PneumoniaMNIST 28 px")
    unknown = [any("patients are not known" in note for note in table.notes) for table in (sweep, pneumonia)]
    assert unknown == [False, True]
    assert all(len(row) == len(table.columns) for table in swept.tables for row in table.rows)
    paper = next(t for t in swept.tables if t.title == "Latent sweep on the paper's data")
    assert column(paper.rows, paper.columns, "AUROC / AP paper, VinDr-CXR")["ae, d = 4"] == "0.613 / 0.641"
    assert {row[1] for row in paper.rows} == {"not run: data absent"}
    methods = next(t for t in swept.tables if t.title == "Methods")
    ours = column(methods.rows, methods.columns, "AUROC ours, PneumoniaMNIST 28 px")
    assert ours["ae[d*], d* by test results (oracle); paper: 4, 4, 32, 16"].endswith("(d = 4)")
    assert ours["ae[knee], d by held-out knee"].endswith("(d = 8)")
    assert {"ae", "vae", "memae", "ceae", *REFERENCES} <= ours.keys()


def test_the_sweeps_claims_and_figures_follow_from_its_results(swept: Outcome) -> None:
    assert swept.numbers["choice"]["pneumoniamnist"] == {"oracle": 4, "lowest": 64, "knee": 8}
    verdicts = {claim.text.partition(":")[0]: claim.verdict for claim in swept.claims}
    assert verdicts["errors reach a plateau after 128"] is Verdict.FAILS, "those of the test rise"
    assert verdicts["four data sets of two modalities validate the theory"] is Verdict.UNTESTED
    assert [figure.name for figure in swept.figures] == ["ae4ad2024_auroc", "ae4ad2024_errors"]
    ranking, errors = (ElementTree.fromstring(figure.svg) for figure in swept.figures)
    assert {"AUROC", "AP", "knn, AUROC", "knee of held-out error", "AP of chance", "RSNA", "1024"} <= texts(ranking)
    assert {"train normals", "test abnormals", "chest X-rays 64 px", "published, data set not named"} <= texts(errors)


def test_what_is_ahead_was_measured_where_it_was_not_chosen(swept: Outcome, small_papers: Path) -> None:
    jobs = AE4AD2024().plan().jobs

    def half(row: str) -> Row:
        of = [j for j in jobs if j.name.startswith(f"{row}, chest_xray_64, seed") and not j.arguments["held_out"]]
        return Row([made_up(job) for job in of]).half(second=True)

    best, numbers = half("ae latent_dim=32"), swept.numbers
    for other, family in (("ae latent_dim=1", numbers["below_best"]), ("vae", numbers["tuned_minus"])):
        gap = np.mean(best.by_seed("auroc")) - np.mean(half(other).by_seed("auroc"))
        assert gap > 0.1
        assert family["chest_xray_64"][other.rpartition("=")[2]]["value"] == pytest.approx(gap)


def texts(svg: ElementTree.Element) -> set[str]:
    return {"".join(node.itertext()).strip() for node in svg.iter("{http://www.w3.org/2000/svg}text")}


@pytest.mark.parametrize("name", ["ae4ad2024", "medianomaly2025"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_what_is_missing_takes_no_verdict_back(name: str, share: float, small_papers: Path) -> None:
    protocol = protocols.build(name)
    plan = protocol.plan()
    every = [made_up(job) for job in plan.jobs]
    early, final = (
        {claim.text: claim.verdict for claim in protocol.outcome(results, plan.absent).claims}
        for results in (every[: round(share * len(every))], every)
    )
    decided = {text: verdict for text, verdict in early.items() if verdict is not Verdict.UNTESTED}
    assert decided.items() <= final.items()
    if not share:
        assert not decided


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ae4ad2024", "medianomaly2025"])
def test_the_quick_form_runs_from_jobs_to_tables(name: str, small_papers: Path, tmp_path: Path) -> None:
    protocol = protocols.build(name, quick=True)
    plan = protocol.plan()
    done = [perform(job, tmp_path / job.key) for job in plan.jobs]
    results = [
        Result(job, d["value"], d["seconds"], d["created"], d["where"]) for job, d in zip(plan.jobs, done, strict=True)
    ]
    outcome = protocol.outcome(results, plan.absent)
    assert not outcome.claims
    for table in outcome.tables:
        assert table.rows
        assert all(len(row) == len(table.columns) for row in table.rows)
    value = results[0].value
    labels, scores = np.asarray(value["labels"]), np.asarray(value["own"]["test"])
    assert f"{metrics.auroc(labels, scores):.3f}" in outcome.tables[0].rows[0][1]


# claims


def difference(value: float, holm: float = 0.01) -> dict[str, Any]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02, "holm": holm}


def sized(train: float, normal: float, abnormal: float, auroc: float = 0.6) -> dict[str, Any]:
    means = {"train": train, "held_out": train, "test_normal": normal, "test_abnormal": abnormal}
    errors = {part: [0.999 * mean, mean, 1.001 * mean] for part, mean in means.items()}
    return {"errors": errors, "auroc": {"value": auroc, "low": auroc - 0.05, "high": auroc + 0.05}}


def sweep_numbers(best: Mapping[str, int]) -> dict[str, Any]:
    """Every size loses clearly to the best; errors fall and stay from 128 on."""
    sweep = {str(size): sized(max(1 / size, 1 / 200), 2 / size, 3 / size) for size in SIZES[:-1]}
    sweep["1024"] = sized(0.98 / 128, 2 / 128, 3 / 128)
    for part, values in sweep["1024"]["errors"].items():  # no two sizes vary alike
        sweep["1024"]["errors"][part] = [value * one for value, one in zip(values, (1.0, 0.998, 1.002), strict=True)]
    return {
        "sweep": dict.fromkeys(best, sweep),
        "choice": {data: {"oracle": size, "lowest": 1024, "knee": 8} for data, size in best.items()},
        "below_best": {
            data: {str(other): difference(0.1) for other in SIZES if other != size} for data, size in best.items()
        },
        "tuned_minus": {data: {rival: difference(0.05) for rival in ("vae", "memae", "ceae")} for data in best},
        "methods": {data: {} for data in best},
    }


def judged(numbers: Mapping[str, Any], words: str) -> Claim:
    return next(claim for claim in claims(numbers, quick=False) if words in claim.text)


BOTH = {"pneumoniamnist": 4, "chest_xray_64": 32}


@pytest.mark.parametrize(
    "words",
    ["medium latent size", "restricting", "redrawing", "plateau", "plain autoencoder"],
)
def test_a_claim_about_sizes_holds_where_the_papers_picture_appears(words: str) -> None:
    assert judged(sweep_numbers(BOTH), words).verdict is Verdict.HOLDS
    none = {"sweep": {}, "choice": {}, "below_best": {}, "tuned_minus": {}, "methods": {}}
    assert judged(none, words).verdict is Verdict.UNTESTED


def test_a_medium_size_must_beat_both_extremes_beyond_chance_on_every_set() -> None:
    numbers = sweep_numbers(BOTH)
    numbers["below_best"]["chest_xray_64"]["128"] = difference(0.1, holm=0.2)
    assert judged(numbers, "medium latent size").verdict is Verdict.UNTESTED
    assert judged(numbers, "restricting").verdict is Verdict.UNTESTED
    assert "of 128 by +0.100 [+0.080, +0.120], p = 0.200" in judged(numbers, "medium latent size").why
    assert judged(sweep_numbers({"pneumoniamnist": 1}), "medium latent size").verdict is Verdict.FAILS
    assert judged(sweep_numbers({"pneumoniamnist": 1}), "restricting").verdict is Verdict.HOLDS
    larger = sweep_numbers({"pneumoniamnist": 1024})
    for words in ("restricting", "medium latent size"):
        assert judged(larger, words).verdict is Verdict.UNTESTED, "behind 1024, and yet perhaps above 128"
    large = sweep_numbers({"pneumoniamnist": 128})
    assert judged(large, "restricting").verdict is Verdict.FAILS
    assert judged(large, "medium latent size").verdict is Verdict.FAILS
    large["below_best"]["pneumoniamnist"]["16"] = difference(0.1, holm=0.2)
    assert judged(large, "restricting").verdict is Verdict.UNTESTED, "16 may be as good"
    numbers = sweep_numbers(BOTH)
    numbers["below_best"]["chest_xray_64"]["128"] = difference(-0.1)
    assert judged(numbers, "restricting").verdict is Verdict.UNTESTED, "another size may yet be above 128"
    assert judged(numbers, "medium latent size").verdict is Verdict.UNTESTED


def test_the_papers_own_sets_are_judged_before_those_that_stand_for_them() -> None:
    numbers = sweep_numbers({**BOTH, "rsna": 128})
    claim = judged(numbers, "restricting")
    assert claim.verdict is Verdict.FAILS
    assert claim.why.startswith("RSNA: best at 128")
    assert judged(sweep_numbers(BOTH), "restricting").why.startswith("none of the paper's sets, and the same chest")


def test_redrawing_better_is_not_finding_better_unless_one_size_does_both() -> None:
    numbers = sweep_numbers({"pneumoniamnist": 1024})
    assert judged(numbers, "redrawing").verdict is Verdict.FAILS
    numbers["below_best"]["pneumoniamnist"]["16"] = difference(0.1, holm=0.2)
    assert judged(numbers, "redrawing").verdict is Verdict.UNTESTED
    both = sweep_numbers({"pneumoniamnist": 1024, "chest_xray_64": 4})
    assert judged(both, "redrawing").verdict is Verdict.HOLDS, "one set on which they part is enough"


def test_best_sizes_differ_only_where_a_sets_own_beats_the_others_beyond_chance() -> None:
    numbers = sweep_numbers({"rsna": 4, "brain_tumor": 32})
    assert judged(numbers, "differs between").verdict is Verdict.HOLDS
    numbers["below_best"]["rsna"]["16"] = difference(0.01, holm=0.5)
    assert judged(numbers, "differs between").verdict is Verdict.HOLDS, "16 is behind on the other set"
    numbers["below_best"]["brain_tumor"]["16"] = difference(0.1, holm=0.03)
    assert judged(numbers, "differs between").verdict is Verdict.UNTESTED, "the clearer of two sets, by chance"
    numbers = sweep_numbers({"rsna": 4, "brain_tumor": 32})
    numbers["below_best"]["rsna"]["32"] = difference(0.01, holm=0.5)
    assert judged(numbers, "differs between").verdict is Verdict.UNTESTED, "32 may be best on both"
    alike = sweep_numbers({"rsna": 4, "brain_tumor": 4})
    assert judged(alike, "differs").verdict is Verdict.FAILS
    alike["sweep"]["vindr"] = {"1": sized(0.1, 0.2, 0.3)}
    assert judged(alike, "differs").verdict is Verdict.UNTESTED, "a third set is under way"
    one = judged(sweep_numbers(BOTH), "differs")
    assert one.verdict is Verdict.UNTESTED
    assert "the chest X-rays at 28 and at 64 px are the same images" in one.why


def test_the_plateau_ends_where_an_error_changes_by_more_than_a_tenth() -> None:
    numbers = sweep_numbers({"pneumoniamnist": 4})
    errors = numbers["sweep"]["pneumoniamnist"]["1024"]["errors"]
    before, errors["test_abnormal"] = errors["test_abnormal"], [1.11 * error for error in errors["test_abnormal"]]
    claim = judged(numbers, "plateau")
    assert claim.verdict is Verdict.FAILS
    assert "test abnormal +11.0% [+10.4%, +11.6%]" in claim.why
    assert "train -2.0%" in claim.why
    errors["test_abnormal"] = [factor * error for factor, error in zip((1.0, 1.03, 1.09), before, strict=True)]
    assert judged(numbers, "plateau").verdict is Verdict.UNTESTED, "seeds differ: from -8 % to +16 %"
    for row in numbers["sweep"]["pneumoniamnist"].values():
        row["errors"] = {part: by_seed[:1] for part, by_seed in row["errors"].items()}
    assert judged(numbers, "plateau").verdict is Verdict.UNTESTED, "one seed decides nothing"


def test_how_far_the_errors_are_from_a_copys_is_told_and_not_judged() -> None:
    claim = judged(sweep_numbers({"pneumoniamnist": 4}), "identity")
    assert claim.verdict is Verdict.UNTESTED
    assert "lowest mean error 0.0077, 1494 times that of rounding" in claim.why


def test_the_assumption_breaks_where_abnormal_images_are_redrawn_as_well_as_normal_ones() -> None:
    numbers = sweep_numbers({"pneumoniamnist": 4})
    assert judged(numbers, "do not always").verdict is Verdict.UNTESTED, "no regions are measured"
    numbers["sweep"]["pneumoniamnist"]["64"] = sized(0.1, 0.2, 0.2, auroc=0.5)
    assert judged(numbers, "do not always").verdict is Verdict.UNTESTED
    numbers["sweep"]["pneumoniamnist"]["64"] = sized(0.1, 0.2, 0.1, auroc=0.4)
    claim = judged(numbers, "do not always")
    assert claim.verdict is Verdict.HOLDS
    assert "in 1, above 0.5 with the interval in 8; whole images, no regions: PneumoniaMNIST 28 px at 64" in claim.why
    numbers["sweep"]["pneumoniamnist"]["64"] = sized(0.1, 0.2, 0.1, auroc=0.44)
    assert judged(numbers, "do not always").verdict is Verdict.UNTESTED, "one interval of nine may lie there by chance"


def test_a_set_that_is_under_way_keeps_a_claim_from_holding() -> None:
    numbers = sweep_numbers({"pneumoniamnist": 4})
    numbers["sweep"]["chest_xray_64"] = {"1": sized(0.1, 0.2, 0.3)}
    claim = judged(numbers, "restricting")
    assert claim.verdict is Verdict.UNTESTED
    assert claim.why.endswith("not run to the end yet: chest X-rays 64 px")


def test_a_tuned_autoencoder_must_beat_all_three_rivals() -> None:
    numbers = sweep_numbers({"pneumoniamnist": 4})
    numbers["tuned_minus"]["pneumoniamnist"]["memae"] = difference(-0.02)
    assert judged(numbers, "plain autoencoder").verdict is Verdict.FAILS
    del numbers["tuned_minus"]["pneumoniamnist"]["memae"]
    assert judged(numbers, "plain autoencoder").verdict is Verdict.UNTESTED


def test_the_published_best_sizes_are_judged_on_the_papers_data_alone() -> None:
    theirs = {"rsna": 4, "vindr": 4, "brain_tumor": 32, "brats2021": 16}
    assert judged(sweep_numbers(theirs), "best size is 4 on RSNA").verdict is Verdict.HOLDS
    assert judged(sweep_numbers(theirs), "four data sets").verdict is Verdict.HOLDS
    assert judged(sweep_numbers({**theirs, "vindr": 8}), "best size is 4 on RSNA").verdict is Verdict.FAILS
    picked = sweep_numbers({**theirs, "vindr": 8})
    picked["below_best"]["vindr"]["4"] = difference(0.1, holm=0.02)
    assert judged(picked, "best size is 4 on RSNA").verdict is Verdict.UNTESTED, "one of four sets, by chance"
    close = sweep_numbers(theirs)
    close["below_best"]["vindr"]["8"] = difference(0.01, holm=0.5)
    assert judged(close, "best size is 4 on RSNA").verdict is Verdict.UNTESTED, "8 may be as good"
    close = sweep_numbers({**theirs, "vindr": 8})
    close["below_best"]["vindr"]["4"] = difference(0.01, holm=0.5)
    assert judged(close, "best size is 4 on RSNA").verdict is Verdict.UNTESTED
    assert judged(sweep_numbers({"rsna": 4}), "best size is 4 on RSNA").verdict is Verdict.UNTESTED
    assert judged(sweep_numbers(BOTH), "best size is 4 on RSNA").verdict is Verdict.UNTESTED
