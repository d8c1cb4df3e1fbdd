"""The Twente study's protocol draws, trains and counts as its docstring says, on small made files."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from interruptions import Failing
from normoscope import metrics
from normoscope.errors import DataChangedError
from normoscope.fingerprints import code_fingerprint
from normoscope.images import PixelStore
from normoscope.intervals import Intervals
from normoscope.methods.twente import Twente
from normoscope.protocols import Outcome, Verdict
from normoscope.protocols import _twente_work as work
from normoscope.protocols._rows import REFERENCES
from normoscope.protocols._twente_claims import claims
from normoscope.protocols._twente_images import NOISE, drawn, noisy, pictures, standard_noise, uniform_noise
from normoscope.protocols._twente_numbers import (
    ERRORS,
    RULES,
    against_references,
    artificial,
    cost,
    cost_ratios,
    real,
    sweep,
)
from normoscope.protocols._twente_paper import PUBLISHED
from normoscope.protocols.twente2023 import Twente2023
from normoscope.runner import Job, Result, perform
from normoscope.types import Run
from toys import draw_blobs

SMALL: dict[str, Any] = {"epochs": 2, "limit": 60, "held_out": 24, "anomalies": 16}


def grey(count: int, seed: int, *, bright: bool = False) -> np.ndarray[Any, Any]:
    return (draw_blobs(count, seed, bright=bright)[:, 0] * 255).round().to(torch.uint8).numpy()


def write(home: Path) -> None:
    """Write MNIST and PneumoniaMNIST as blobs and FashionMNIST as noise; OCTMNIST stays absent."""
    parts: dict[str, Any] = {}
    for seed, (part, normal, abnormal) in enumerate([("train", 40, 40), ("val", 10, 10), ("test", 20, 12)]):
        parts[f"{part}_images"] = np.concatenate([grey(normal, seed), grey(abnormal, seed + 10, bright=True)])
        parts[f"{part}_labels"] = np.repeat([0, 1], [normal, abnormal])[:, None].astype(np.uint8)
    for folder in ("medmnist", "mnist", "fashion_mnist"):
        (home / folder).mkdir()
    np.savez(home / "medmnist/pneumoniamnist.npz", **parts)
    digits = {"train_images": grey(70, 20), "train_labels": np.arange(70) % 10}
    digits |= {"test_images": grey(30, 21), "test_labels": np.arange(30) % 10}
    np.savez(home / "mnist/mnist.npz", **digits)
    clothes = uniform_noise(25, 3).pixels[:, 0]
    np.savez(home / "fashion_mnist/test.npz", test_images=clothes, test_labels=np.arange(25) % 10)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of small made files."""
    write(tmp_path)
    monkeypatch.setenv("NORMOSCOPE_DATA", str(tmp_path))
    return tmp_path


def done(jobs: list[Job], folder: Path) -> list[Result]:
    """Do jobs here, through JSON as a run's results go."""
    contents = [json.loads(json.dumps(perform(job, folder / job.key))) for job in jobs]
    return [Result(j, c["value"], c["seconds"], c["created"], c["where"]) for j, c in zip(jobs, contents, strict=True)]


# what is drawn


def test_all_classes_train_on_everything_but_the_test_part_and_normals_on_normals_alone(made: Path) -> None:
    chest = pictures("pneumoniamnist")
    everything = chest.training(normals_alone=False, limit=1000, seed=0)
    normals = chest.training(normals_alone=True, limit=1000, seed=0)
    assert (len(everything), len(normals)) == (100, 50)
    assert not chest.testing[everything.index].any()
    assert not chest.labels[normals.index].any()
    some = [chest.training(normals_alone=False, limit=60, seed=seed).index.tolist() for seed in (0, 0, 1)]
    assert len(set(some[0])) == 60
    assert some[0] == some[1] != some[2]
    assert len(pictures("mnist").training(normals_alone=False, limit=1000, seed=0)) == 70


def test_tested_images_are_official_and_missing_anomalies_are_borrowed_from_what_normals_never_trained_on(
    made: Path,
) -> None:
    chest = pictures("pneumoniamnist")
    held_out, labels = chest.tested(1000)
    abnormal, _ = chest.tested(16, 1)
    borrowed = chest.borrowed(16 - len(abnormal))
    assert borrowed is not None
    assert (len(held_out), sum(labels), len(abnormal), len(borrowed)) == (32, 12, 12, 4)
    assert chest.testing[abnormal.index].all()
    assert chest.labels[abnormal.index].all()
    assert not chest.testing[borrowed.index].any()
    assert chest.labels[borrowed.index].all()
    assert chest.borrowed(0) is None


def test_a_draw_is_the_first_of_a_seeded_shuffle_and_keeps_the_order() -> None:
    rows = np.arange(100, 200)
    few, many = drawn(rows, 10, 4), drawn(rows, 50, 4)
    assert set(few.tolist()) < set(many.tolist()) <= set(rows.tolist())
    assert (np.diff(many) > 0).all()
    assert drawn(rows, 500, 4).tolist() == rows.tolist()


def test_the_digest_follows_every_pixel_and_label(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = pictures("pneumoniamnist").digest
    digests = {before}
    for number, name in enumerate(("test_images", "train_labels")):
        with np.load(made / "medmnist/pneumoniamnist.npz") as file:
            parts = {key: file[key].copy() for key in file}
        parts[name].flat[7] ^= 1
        home = made / f"other{number}"
        (home / "medmnist").mkdir(parents=True)
        np.savez(home / "medmnist/pneumoniamnist.npz", **parts)
        monkeypatch.setenv("NORMOSCOPE_DATA", str(home))
        digests.add(pictures("pneumoniamnist").digest)
    assert len(digests) == 3


def test_noise_has_the_deviation_asked_for_grows_along_one_draw_and_is_clipped() -> None:
    middle = torch.full((50, 1, 28, 28), 0.5)
    noise = standard_noise(middle, 0)
    assert float((noisy(middle, noise, 0.1) - middle).std()) == pytest.approx(0.1, rel=0.02)
    assert torch.allclose(noisy(middle, noise, 0.1) - middle, 2 * (noisy(middle, noise, 0.05) - middle), atol=1e-6)
    loud = noisy(middle, noise, 0.5)
    assert (float(loud.min()), float(loud.max())) == (0.0, 1.0)
    assert not torch.equal(noise, standard_noise(middle, 1))


# the jobs


def expected(images: Tensor, copies: Tensor) -> tuple[list[float], list[float]]:
    """Cross-entropy in nats and squared error, per image, by numpy in double precision."""
    x, y = images.double().numpy(), copies.double().numpy()
    cross = -(x * np.log(y) + (1 - x) * np.log(1 - y))
    return cross.mean((1, 2, 3)).tolist(), ((x - y) ** 2).mean((1, 2, 3)).tolist()


def test_the_errors_of_a_job_are_those_of_the_network_on_the_images_it_names(made: Path, tmp_path: Path) -> None:
    setting = {**SMALL, "data": "pneumoniamnist", "seed": 2, "strangers": "fashion_mnist", "pictures": 3}
    value = work.artificial(setting, tmp_path / "checkpoint")
    chest = pictures("pneumoniamnist")
    train = chest.training(normals_alone=False, limit=60, seed=2)
    network = Twente(epochs=2).fit(train, Run(seed=2)).network
    held_out, labels = chest.tested(24)
    images = held_out.batch(np.arange(24))
    corrupted = (images[:16] + 0.2 * standard_noise(images[:16], 2)).clamp(0, 1)
    clothes = pictures("fashion_mnist").some(16).batch(np.arange(16))
    with torch.no_grad():
        for name, some in {"held_out": images, "noise": corrupted, "fashion": clothes}.items():
            cross, squared = expected(some, network(some))
            # the jobs compute in what the processor is fast in, at least 8 bits
            assert value["errors"][name]["bce"] == pytest.approx(cross, rel=0.02), name
            assert value["errors"][name]["mse"] == pytest.approx(squared, rel=0.05), name
        every = train.batch(np.arange(60))
        cross, squared = expected(every, network(every))
    assert value["train"]["bce"]["mean"] == pytest.approx(np.mean(cross), rel=0.01)
    assert value["train"]["mse"]["sd"] == pytest.approx(np.std(squared, ddof=1), rel=0.1)
    assert value["labels"] == labels
    assert value["counts"] == {"train": 60, "held_out": 24, "noise": 16, "fashion": 16}
    assert value["sweep"]["0.2"]["mse"] == value["errors"]["noise"]["mse"]
    mean = every.double().mean(0)
    assert value["reconstruction"]["train"]["mean_image"] == pytest.approx(
        float((every - mean).square().mean()), rel=1e-5
    )
    likeness = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(images[:16], corrupted, strict=True)]
    assert value["likeness"]["0.2"] == pytest.approx(np.mean(likeness), rel=1e-5)
    assert np.asarray(value["pictures"]["originals"]).tolist() == (images[:3, 0] * 255).round().int().tolist()
    assert value["losses"]["last"] < value["losses"]["first"]
    assert "knn" not in value["train"]


def test_a_job_killed_in_training_ends_as_an_undisturbed_one(made: Path, tmp_path: Path) -> None:
    setting = {**SMALL, "data": "pneumoniamnist", "seed": 1, "epochs": 4, "limit": 100}
    whole = work.real(setting, tmp_path / "whole")
    folder = tmp_path / "killed"
    folder.mkdir()
    train = pictures("pneumoniamnist").training(normals_alone=True, limit=100, seed=1)
    run = Run(seed=1, checkpoint=folder, resume=True, checkpoint_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        Twente(epochs=4).fit(Failing(train, 4), run)
    assert list(folder.iterdir())
    resumed = work.real(setting, folder)
    assert resumed["errors"] == whole["errors"]
    assert resumed["losses"] == whole["losses"]
    assert resumed["epochs"] == 4
    assert resumed["seconds"] > 0
    assert resumed["counts"] == {"train": 50, "held_out": 20, "abnormal": 12, "borrowed": 4}


def test_measures_of_images_are_what_their_formulas_say() -> None:
    half = torch.zeros(1, 1, 28, 28)
    half[..., ::2] = 1.0
    grey_image = torch.full((1, 1, 28, 28), 0.25)
    halves, flat = work._measures(half), work._measures(grey_image)
    assert halves["shannon"] == [1.0]
    ones = 4 / 7  # of the columns in blocks that begin with a white one, 3 / 7 in the others
    block = -ones * math.log2(ones) - (1 - ones) * math.log2(1 - ones)
    assert halves["local"] == [pytest.approx(block)]
    assert halves["neighbours"] == [pytest.approx(-1.0)]
    assert halves["floor"] == [0.0]
    assert flat["shannon"] == flat["local"] == [0.0]
    assert flat["neighbours"] == [0.0]
    assert flat["floor"] == [pytest.approx(-0.25 * math.log(0.25) - 0.75 * math.log(0.75))]
    assert halves["bytes"][0] < 40
    assert work._measures(uniform_noise(1, 0).batch(np.arange(1)))["bytes"][0] > 700


def test_cost_is_timed_in_turns_on_equally_many_images(made: Path, tmp_path: Path) -> None:
    arguments = {"data": ["mnist", "pneumoniamnist"], "seed": 1, "images": 90, "rounds": 2, "digest": []}
    value = work.cost(arguments, tmp_path)
    assert list(value["seconds"]) == ["mnist", "pneumoniamnist", NOISE]
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in value["seconds"].values())
    assert value["images"] == 70  # what the smallest set has
    # 3 x 3 convolutions, 2 operations per weight and position, at 28, 14, 7 and 4 pixels; then doubled to 8, 16 (14 are
    # kept) and 28, where doubling inside the convolution saves up to 2.25 times
    down = 18 * (784 * 1 * 16 + 196 * 16 * 8 + 49 * 8 * 8 + 16 * 8 * 8)
    up = 18 * (64 * 8 * 8 + 256 * 8 * 16 + 784 * 16 * 1)
    assert down + up / 2.25 < value["flops"] < down + up


def test_no_job_takes_other_images_than_it_was_planned_with(made: Path, tmp_path: Path) -> None:
    plan = Twente2023(quick=True).plan()
    by_kind = {job.work.rpartition(":")[2]: job for job in plan.jobs if job.arguments["data"] != NOISE}
    assert by_kind.keys() == {"artificial", "real", "describe", "cost"}
    for kind, job in by_kind.items():
        digest = job.arguments["digest"]
        other = [*digest[:-1], "other"] if isinstance(digest, list) else "other"
        with pytest.raises(DataChangedError, match="its images are not those the job was planned with"):
            getattr(work, kind)({**job.arguments, "digest": other}, tmp_path / kind)


# the numbers


def trained(held_out: list[float], **kinds: list[float]) -> dict[str, Any]:
    """A job's value with errors alone, thresholds 0.8 and 1.2."""
    errors = {name: {"bce": scores} for name, scores in {"held_out": held_out, **kinds}.items()}
    return {"train": {"bce": {"mean": 1.0, "sd": 0.1}}, "errors": errors}


def test_both_rules_flag_by_two_deviations_of_the_training_errors() -> None:
    scores = np.array([0.79, 0.81, 1.0, 1.19, 1.21])
    moments = {"mean": 1.0, "sd": 0.1}
    assert RULES["two-sided"](moments)(scores).tolist() == [True, False, False, False, True]
    assert RULES["upper"](moments)(scores).tolist() == [False, False, False, False, True]


def test_detection_counts_borrowed_anomalies_and_auroc_does_not() -> None:
    values = [
        trained([0.7, 1.0, 1.1, 1.15], abnormal=[0.5, 1.3], borrowed=[1.5, 1.0]),
        trained([1.0, 1.0, 1.0, 1.3], abnormal=[1.4, 1.5], borrowed=[1.0, 1.0]),
    ]
    found = real(values)["bce"]
    of = {rule: {name: share["by_seed"] for name, share in found[rule].items()} for rule in RULES}
    assert of["two-sided"] == {"detected": [0.75, 0.5], "false_alarms": [0.25, 0.25], "detected_in_test": [1.0, 1.0]}
    assert of["upper"] == {"detected": [0.5, 0.5], "false_alarms": [0.0, 0.25], "detected_in_test": [0.5, 1.0]}
    flags = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], bool)  # thresholds 0.8 and 1.2
    expected = Intervals().of_decisions(metrics.sensitivity, np.ones(4, int), flags)
    detected = found["two-sided"]["detected"]
    assert (detected["value"], detected["low"], detected["high"]) == (0.625, expected.low, expected.high)
    assert found["auroc"]["by_seed"] == [0.5, 1.0]
    assert found["auroc"]["value"] == 0.75


def test_false_alarms_of_the_normal_class_leave_the_others_out() -> None:
    value = trained([1.0, 1.3, 1.4, 1.0], noise=[1.1, 1.5]) | {"labels": [0, 0, 1, 1], "noisy": [0, 1]}
    value["errors"]["noise"]["mse"] = value["errors"]["noise"]["bce"]
    value["errors"]["held_out"]["mse"] = value["errors"]["held_out"]["bce"]
    value["train"]["mse"] = value["train"]["bce"]
    found = artificial([value], medical=True)
    assert list(found) == ["noise"]  # FashionMNIST was absent
    assert found["noise"]["bce"]["normals_alone"]["upper"]["by_seed"] == [0.5]
    assert {name: share["value"] for name, share in found["noise"]["bce"]["upper"].items()} == {
        "detected": 0.5,
        "false_alarms": 0.5,
    }
    assert "over 4 images, each with its noisy copy" in found["noise"]["bce"]["auroc"]["how"]
    assert "normals_alone" not in artificial([value], medical=False)["noise"]["bce"]


def test_a_score_without_thresholds_has_an_auroc_and_no_rates() -> None:
    value = trained([1.0, 1.1], abnormal=[1.2, 1.3])
    for scores in value["errors"].values():
        scores["knn"] = scores["bce"]
    found = real([value])["knn"]
    assert found["auroc"]["value"] == 1.0
    assert found["two-sided"] is None


def test_cost_is_images_over_seconds_and_its_ratio_is_of_rounds_side_by_side() -> None:
    found = cost([{"counts": {"train": 11000}, "seconds": 324.35}, {"counts": {"train": 11000}, "seconds": 110.0}])
    assert found["rate"] == [pytest.approx(PUBLISHED["mnist"].rate), 100.0]
    assert PUBLISHED["mnist"].rate == pytest.approx(33.91, abs=0.005)
    seconds = {"mnist": [1.0, 3.0, 2.0], "pneumoniamnist": [2.0, 6.0, 4.0], NOISE: [1.0, 6.0, 2.0]}
    one = {"seconds": seconds, "images": 10, "flops": 5}
    [alone, three] = [
        cost_ratios([one, *more])["sets"] for more in ([], [one, one | {"seconds": {**seconds, NOISE: [1, 3, 2]}}])
    ]
    assert alone[NOISE]["ratio"] == {"value": pytest.approx(2 ** (1 / 3)), "low": None, "high": None}
    assert three["pneumoniamnist"]["ratio"] == {"value": pytest.approx(2.0), "low": None, "high": None}, "all equal"
    logs = np.log(2) / 3 * np.array([1, 1, 0])  # a mean over rounds for every process
    half = stats.t.ppf(0.975, 2) * logs.std(ddof=1) / 3**0.5
    assert three[NOISE]["ratio"]["value"] == pytest.approx(np.exp(logs.mean()))
    assert three[NOISE]["ratio"]["high"] == pytest.approx(np.exp(logs.mean() + half))


def test_the_sweep_gives_the_detected_share_by_noise_score_and_rule() -> None:
    value = trained([1.0, 1.3, 1.0, 1.0, 0.5]) | {"sweep": {"0.1": {"bce": [0.5, 1.0, 1.3, 1.4]}}}
    found = sweep([value | {"likeness": {"0.1": 0.9}, "noisy": [0, 1, 2, 3]}] * 2)
    assert found["noise"]["0.1"]["likeness"] == [0.9, 0.9]
    of = {rule: found["noise"]["0.1"]["bce"][rule]["by_seed"] for rule in RULES}
    assert of == {"two-sided": [0.75, 0.75], "upper": [0.5, 0.5]}
    clean = {rule: share["value"] for rule, share in found["clean"]["bce"].items()}
    assert clean == {"two-sided": 0.25, "upper": 0.25}, "of the images that get noise, not of all"


def test_both_errors_are_compared_with_every_reference_on_the_same_images() -> None:
    rng = np.random.default_rng(0)

    def job() -> dict[str, Any]:
        def scores(shift: float) -> dict[str, list[float]]:
            by = {"bce": 0.0, "mse": 1.0, "knn": 3.0, "trivial contrast": 0.0}
            drawn = {name: rng.standard_normal(60) + shift * by.get(name, 0.5) for name in (*ERRORS, *REFERENCES)}
            return {name: values.tolist() for name, values in drawn.items()}

        return {"errors": {"held_out": scores(0), "noise": scores(1)}, "labels": [0] * 60, "noisy": list(range(60))}

    values = [job(), job()]
    found = against_references(values, "noise")
    assert {error: list(of) for error, of in found.items()} == {key: list(REFERENCES) for key in ERRORS}

    def auroc(name: str) -> float:
        labels = np.repeat([0, 1], 60)
        runs = [[*v["errors"]["held_out"][name], *v["errors"]["noise"][name]] for v in values]
        return float(np.mean([metrics.auroc(labels, np.asarray(run)) for run in runs]))

    for error in ERRORS:
        for other in REFERENCES:
            assert found[error][other]["value"] == pytest.approx(auroc(error) - auroc(other))
    assert found["bce"]["knn"]["holm"] >= found["bce"]["knn"]["pvalue"]
    assert found["bce"]["knn"]["value"] < -0.3
    assert "paired DeLong over 60 images, each with its noisy copy" in found["bce"]["knn"]["how"]


# plan, tables and figures


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What the quick form comes to on made files."""
    home = tmp_path_factory.mktemp("data")
    write(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORMOSCOPE_DATA", str(home))
        protocol = Twente2023(quick=True)
        plan = protocol.plan()
        return protocol.outcome(done(list(plan.jobs), home / "jobs"), plan.absent)


def test_every_present_set_is_planned_for_every_seed_and_the_absent_one_named(made: Path) -> None:
    plan = Twente2023().plan()
    names = [job.name for job in plan.jobs]
    assert [str(data).partition(" 28 px:")[0] for data in plan.absent] == ["OCTMNIST"]
    for experiment in ("artificial, mnist", "artificial, pneumoniamnist", "real, pneumoniamnist", "cost"):
        assert sum(name.startswith(f"{experiment}, seed") for name in names) == 5
    assert sum(name.startswith("entropy") for name in names) == 4
    assert len({job.key for job in plan.jobs}) == len(names) == 24
    assert not any("octmnist" in name or name.startswith("real, mnist") for name in names)
    assert all(job.cost > 0 for job in plan.jobs)
    arguments = plan.jobs[0].arguments
    assert (arguments["epochs"], arguments["limit"], arguments["anomalies"]) == (25, 11000, 500)
    assert [job.key for job in Twente2023().plan().jobs] == [job.key for job in plan.jobs]


def test_without_fashion_mnist_the_rest_runs_and_the_table_says_so(made: Path, tmp_path: Path) -> None:
    (made / "fashion_mnist/test.npz").unlink()
    (made / "fashion_mnist").rmdir()
    protocol = Twente2023(quick=True)
    plan = protocol.plan()
    assert [data.name for data in plan.absent] == ["OCTMNIST 28 px", "FashionMNIST"]
    jobs = [job for job in plan.jobs if job.name.startswith("artificial, mnist")]
    assert jobs[0].arguments["strangers"] == ""
    table = protocol.outcome(done(jobs, tmp_path / "jobs"), plan.absent).tables[0]
    cells = dict(zip(table.columns, table.rows[0], strict=True))
    assert cells["FashionMNIST %"] == "not run: data absent"
    assert cells["Gaussian noise %"][0].isdigit()


def test_a_finished_run_fills_every_cell_and_draws_every_figure(quick: Outcome) -> None:
    for table in quick.tables:
        assert table.rows, table.title
        assert {len(row) for row in table.rows} == {len(table.columns)}, table.title
        assert not any("nan" in cell for row in table.rows for cell in row), table.title
    every = [dict(zip(quick.tables[0].columns, row, strict=True)) for row in quick.tables[0].rows]
    first = [row for row in every if "," not in row["data"]]
    assert [row["data"].partition(", ")[2] for row in every[:6]] == ["", "mse", *REFERENCES]
    assert every[2]["FashionMNIST %"].startswith("no bounds; AUROC ")
    assert [row["data"].split()[0] for row in first] == ["MNIST", "PneumoniaMNIST", "OCTMNIST"]
    assert first[0]["real anomalies %"] == "n/a"
    assert first[1]["real anomalies %, paper"] == "26.0"
    assert first[2]["recon. BCE"] == "not run: data absent"
    assert "(" in first[1]["real anomalies %"]  # the false alarms
    names = [figure.name.removeprefix("twente2023_quick_") for figure in quick.figures]
    assert names == ["figure3", "figure4", "noise", "figure5_pneumoniamnist", "sweep"]
    for figure in quick.figures:
        assert ET.fromstring(figure.svg).tag.endswith("svg")
    assert quick.figures[0].svg.count("<image") == 16
    assert quick.claims == []
    judged = claims(quick.numbers)  # the quick form prints none, but its numbers have their shape
    assert {claim.verdict for claim in judged} >= {Verdict.UNTESTED}
    assert all(claim.why for claim in judged)
    json.dumps(quick.numbers, allow_nan=False)


def test_rates_in_the_table_are_those_of_the_raw_errors(quick: Outcome) -> None:
    table = next(table for table in quick.tables if table.title.startswith("Experiment 3"))
    cells = dict(zip(table.columns, next(row for row in table.rows if row[1] == "mse"), strict=True))
    judged = quick.numbers["real"]["pneumoniamnist"]["mse"]
    assert cells["upper: detected %"].startswith(f"{100 * judged['upper']['detected']['by_seed'][0]:.1f} [")
    assert cells["AUROC"].startswith(f"{judged['auroc']['by_seed'][0]:.3f} [")
    assert judged["auroc"]["value"] > 0.9  # the made anomalies carry a bright square


def test_an_interrupted_run_says_what_was_not_run_yet(made: Path) -> None:
    protocol = Twente2023()
    outcome = protocol.outcome([], protocol.plan().absent)
    first = outcome.tables[0]
    assert first.rows[0][1] == "not run yet"
    assert first.rows[2][1] == "not run: data absent"
    assert outcome.figures == []
    assert {claim.verdict for claim in outcome.claims} == {Verdict.UNTESTED}


def test_a_key_follows_the_work_and_not_tables_figures_or_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    module = (work.__name__,)
    before, read = code_fingerprint.__wrapped__(module), Path.read_bytes

    def changed(name: str) -> str:
        def edited(path: Path) -> bytes:
            return read(path) + (b"\nEXTRA = 1\n" if path.name == name else b"")

        monkeypatch.setattr(Path, "read_bytes", edited)
        return code_fingerprint.__wrapped__(module)

    for name in ("_twente_work.py", "_twente_images.py", "twente.py", "knn.py", "features.py"):
        assert changed(name) != before, name
    told = ("tables", "figures", "claims", "truths", "noise", "numbers")
    for name in (*(f"_twente_{part}.py" for part in told), "twente2023.py"):
        assert changed(name) == before, name


# real images


def test_the_sizes_behind_the_published_costs_are_those_of_the_real_sets(real_data: Any) -> None:
    real_data("medmnist/pneumoniamnist.npz")
    chest = pictures("pneumoniamnist")
    assert len(chest.training(normals_alone=False, limit=11000, seed=0)) == PUBLISHED["pneumoniamnist"].images == 5232
    assert len(chest.training(normals_alone=True, limit=11000, seed=0)) == 1349
    assert len(chest.tested(1000, 0)[0]) == 234
    assert len(chest.tested(500, 1)[0]) == 390
    measured_floor = work._measures(chest.training(normals_alone=False, limit=500, seed=0).batch(np.arange(500)))[
        "floor"
    ]
    assert float(np.mean(measured_floor)) == pytest.approx(0.622, abs=0.004)


def test_the_store_of_uniform_noise_is_uniform() -> None:
    store = uniform_noise(20, 0)
    assert isinstance(store, PixelStore)
    values = store.batch(np.arange(20))
    assert float(values.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(values.var()) == pytest.approx(1 / 12, abs=0.002)
