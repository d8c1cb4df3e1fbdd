"""The dual encoder's protocol: a fair rival, honest labels, a frozen rule, and claims judged by numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from normoscope import metrics, protocols
from normoscope.errors import DataChangedError
from normoscope.images import PixelStore
from normoscope.methods.dual_encoder import DualEncoder
from normoscope.nn.dual import DualAutoencoder, Reading
from normoscope.protocols import Claim, Verdict, _dual_fit, _dual_supervised, _trial, dual_encoder
from normoscope.protocols._dual_claims import claims
from normoscope.protocols._dual_fit import Fit, SingleAutoencoder, fit_single, parameters, parted
from normoscope.protocols._dual_rows import (
    COMPARED,
    DUAL,
    SEES_LABELS,
    SINGLE,
    TRIVIAL,
    UNGATED,
    Images,
    Measured,
    Place,
    comparisons,
    scored,
    title,
)
from normoscope.protocols._dual_supervised import Supervised, labelled, shares
from normoscope.protocols._trial import Trial, cut_of
from normoscope.protocols.dual_encoder import DualEncoderBySize
from normoscope.runner import Job, Result, perform
from normoscope.types import Run
from toys import draw_blobs

CHANNELS, CODE = (32, 64, 128), 16


# two networks as large


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 64, 64), (3, 64, 64), (1, 99, 70)])
def test_the_single_autoencoder_has_as_many_parameters_within_two_percent(shape: tuple[int, int, int]) -> None:
    dual = DualAutoencoder(shape, CHANNELS, CODE, Reading.TWO_VIEWS)
    single = SingleAutoencoder(shape, CHANNELS, CODE)
    assert abs(parameters(single) / parameters(dual) - 1) < 0.02
    images = torch.rand(2, *shape)
    assert single(images).shape == images.shape
    assert single.encode(images).shape == (2, CODE)
    for part in ("from_latent", "up"):  # the same decoder
        ours, theirs = getattr(single, part).state_dict(), getattr(dual, part).state_dict()
        assert {name: value.shape for name, value in ours.items()} == {n: v.shape for n, v in theirs.items()}


def test_at_28_pixels_the_parameters_are_those_counted_by_hand() -> None:
    encoder = (9 * 1 + 1) * 32 + (9 * 32 + 1) * 64 + (9 * 64 + 1) * 128 + (2048 + 1) * 16
    decoder = (16 + 1) * 2048 + (9 * 128 + 1) * 64 + (9 * 64 + 1) * 32 + (9 * 32 + 1) * 1
    dual = DualAutoencoder((1, 28, 28), CHANNELS, CODE, Reading.TWO_VIEWS)
    assert parameters(dual) == 2 * encoder + decoder
    single = SingleAutoencoder((1, 28, 28), CHANNELS, CODE)
    assert parameters(single.from_latent) + parameters(single.up) == decoder


def test_counting_parameters_draws_no_random_numbers() -> None:
    _dual_fit.matched_channels.cache_clear()
    torch.manual_seed(3)
    wide = _dual_fit.matched_channels((1, 28, 28), CHANNELS, CODE)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))
    assert all(width > before for width, before in zip(wide, CHANNELS, strict=True))


def test_the_single_autoencoder_learns_and_is_gated_like_the_dual_encoder(
    normals: PixelStore, unseen_normals: Tensor, anomalies: Tensor
) -> None:
    recipe = DualEncoder(latent_dim=4, channels=(8, 16), epochs=30, batch_size=20, patience=10)
    train, select = parted(normals, 0.2, 0)
    detector = fit_single(recipe, train, Run(), select)
    first, *_, last = detector.history.epochs
    assert last.losses[0] < first.losses[0] / 4
    assert {epoch.stage for epoch in detector.history.epochs} == {"p1", "p3"}
    assert all(epoch.select_loss is not None for epoch in detector.history.epochs)
    scores = torch.cat([detector.anomaly_score(unseen_normals), detector.anomaly_score(anomalies)])
    labels = np.repeat([0, 1], [len(unseen_normals), len(anomalies)])
    assert metrics.auroc(labels, scores.double().numpy()) > 0.95


def test_normals_are_parted_without_overlap_and_by_the_seed(normals: PixelStore) -> None:
    train, select = parted(normals, 0.2, 0)
    assert select is not None
    assert (len(train), len(select)) == (48, 12)
    assert sorted([*train.index, *select.index]) == list(range(60))
    other, _ = parted(normals, 0.2, 1)
    assert list(other.index) != list(train.index)
    everything, none = parted(normals, 0.0, 0)
    assert everything is normals
    assert none is None


# data small enough to run everything on


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Forget images read from other folders under the same name, before and after."""
    caches: list[Any] = [_trial._cut, _dual_supervised._pool]
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgetful: None) -> Path:
    """A made PneumoniaMNIST of blobs; one abnormal training image stands in the test too, as normal."""

    def blobs(count: int, seed: int, bright: bool = False) -> np.ndarray:
        return (draw_blobs(count, seed, bright=bright)[:, 0] * 255).round().byte().numpy()

    parts = {"train": (40, 60), "val": (20, 5), "test": (12, 18)}
    arrays: dict[str, np.ndarray] = {}
    for seed, (part, (normal, abnormal)) in enumerate(parts.items()):
        arrays[f"{part}_images"] = np.concatenate([blobs(normal, 10 + seed), blobs(abnormal, 20 + seed, True)])
        arrays[f"{part}_labels"] = np.repeat([0, 1], [normal, abnormal])[:, None].astype(np.uint8)
    arrays["train_images"][40] = arrays["test_images"][0]
    folder = tmp_path / "data" / "medmnist"
    folder.mkdir(parents=True)
    np.savez(folder / "pneumoniamnist.npz", **arrays)
    monkeypatch.setenv("NORMOSCOPE_DATA", str(folder.parent))
    return folder.parent


def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dual_encoder, "QUICK_STEPS", 2)
    monkeypatch.setattr(_dual_fit, "_TIMED_EPOCHS", 1)


def done(jobs: list[Job], folder: Path) -> list[Result]:
    contents = [perform(job, folder / job.key) for job in jobs]
    # through JSON and back, as the runner stores them
    return [
        Result(job, json.loads(json.dumps(content["value"])), content["seconds"], content["created"], content["where"])
        for job, content in zip(jobs, contents, strict=True)
    ]


def test_labelled_images_have_both_classes_in_the_datas_shares_and_none_of_the_tests(small: Path) -> None:
    assert shares(np.repeat([0, 1], [40, 60]), 10) == (4, 6)
    assert shares(np.repeat([0, 1], [99, 1]), 10) == (9, 1)
    assert shares(np.repeat([0, 1], [1, 99]), 10) == (1, 9)
    data = labelled("pneumoniamnist", 99, 0)
    assert len(data.train) == 99
    assert data.train_labels.tolist() == [0] * 40 + [1] * 59  # the sixtieth is a test image
    pixels = {image.numpy().tobytes() for image in data.test.batch(np.arange(30))}
    assert not pixels & {image.numpy().tobytes() for image in data.train.batch(np.arange(99))}
    few = [labelled("pneumoniamnist", 10, seed) for seed in (0, 0, 1)]
    assert [one.train_labels.tolist() for one in few] == [[0] * 4 + [1] * 6] * 3
    assert few[0].digest == few[1].digest != few[2].digest


def test_classifiers_are_tested_on_the_images_that_trials_are_tested_on(small: Path) -> None:
    ours = labelled("pneumoniamnist", 10, 0)
    theirs = cut_of(Trial("pneumoniamnist", "knn", {}))
    assert ours.labels.tolist() == theirs.labels.tolist()
    rows = np.arange(30)
    assert torch.equal(ours.test.batch(rows), theirs.test.batch(rows))


@pytest.mark.parametrize("model", ["hog", "cnn"])
def test_classifiers_learn_from_labels_and_repeat_themselves(model: str, small: Path, tmp_path: Path) -> None:
    given = Supervised("pneumoniamnist", model, 60, 0, 120, 32, labelled("pneumoniamnist", 60, 0).digest)
    first, second = (_dual_supervised.work(given.__dict__, tmp_path) for _ in range(2))
    assert first["own"] == second["own"]
    scores = np.asarray(first["own"]["test"])
    assert metrics.auroc(np.asarray(first["labels"]), scores) > 0.95
    assert scores.min() >= 0
    assert scores.max() <= 1
    assert first["counts"] == {"train": 60, "abnormal": 36, "held_out": 0, "test": 30}


def test_without_a_select_share_a_fit_is_the_trial_of_the_same_recipe(small: Path, tmp_path: Path) -> None:
    recipe = {"latent_dim": 4, "channels": [4, 8], "epochs": 2, "batch_size": 8}
    fit = Fit("pneumoniamnist", recipe, single=False, share=0.0, seed=1, limit=20)
    ours = _dual_fit.work(fit.__dict__, tmp_path / "ours")
    theirs = _trial.work(Trial("pneumoniamnist", "dual_encoder", recipe, 1, limit=20).__dict__, tmp_path / "theirs")
    assert ours["own"] == {part: theirs["own"][part] for part in ("test", "held_out")}
    assert ours["counts"] == {"train": 20, "select": 0, "held_out": 20, "test": 30}
    assert ours["epochs"] == {"p1": 2, "p2": 2, "p3": 2}


def test_images_other_than_those_planned_with_are_refused(small: Path, tmp_path: Path) -> None:
    with pytest.raises(DataChangedError, match="pneumoniamnist"):
        _dual_supervised.work(Supervised("pneumoniamnist", "hog", 10, 0, 1, 8, "another").__dict__, tmp_path)
    fit = Fit("pneumoniamnist", {"epochs": 1, "batch_size": 8}, single=True, share=0.0, digest="another")
    with pytest.raises(DataChangedError, match="pneumoniamnist"):
        _dual_fit.work(fit.__dict__, tmp_path)


def test_a_share_of_the_few_normals_gates_the_phases(small: Path, tmp_path: Path) -> None:
    recipe = {"latent_dim": 4, "channels": [4, 8], "epochs": 2, "batch_size": 8}
    for single in (False, True):
        fit = Fit("pneumoniamnist", recipe, single, share=0.2, limit=20)
        value = _dual_fit.work(fit.__dict__, tmp_path / str(single))
        assert value["counts"] == {"train": 16, "select": 4, "held_out": 20, "test": 30}
        assert not any("No select normals" in warning for warning in value["warnings"])


# the plan


def test_the_plan_has_every_row_at_every_size_and_one_run_of_what_knows_no_chance(small: Path) -> None:
    protocol = DualEncoderBySize(seeds=2)
    plan = protocol.plan()
    assert {data.name for data in plan.absent} == {"BreastMNIST 28 px", "BraTS2021", "RESC"}
    assert {place.size for place in protocol._jobs} == {10, 25, 0}  # 50 and 100 are more than there are
    for place, jobs in protocol._jobs.items():
        certain = place.size == 0 and place.row in ("knn", *TRIVIAL)
        assert len(jobs) == (1 if certain else 2), place
    assert len({job.key for job in plan.jobs}) == len(plan.jobs) == 3 * 9 * 2 - 4


def test_batches_are_never_larger_than_the_normals_and_every_size_takes_as_many_steps(
    small: Path,
) -> None:
    deep = [job for job in DualEncoderBySize(seeds=1).plan().jobs if "recipe" in job.arguments and job.cost]
    assert len(deep) == 9
    for job in deep:
        fit = Fit(**job.arguments)
        train, _ = parted(cut_of(fit.trial).train, fit.share, fit.seed)
        batch, epochs = fit.recipe["batch_size"], fit.recipe["epochs"]
        assert batch <= len(train)
        assert 400 <= epochs * -(-len(train) // batch) < 400 + -(-len(train) // batch)
        assert (fit.recipe["patience"] is None) == (fit.share == 0)


def test_data_without_validation_normals_holds_out_a_fifth_and_says_where_that_is_too_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgetful: None
) -> None:
    for seed, (place, count) in enumerate({"train/good": 40, "test/good": 6, "test/ungood": 6}.items()):
        folder = tmp_path / "data" / "resc" / place
        folder.mkdir(parents=True)
        for i, image in enumerate(draw_blobs(count, seed, bright=place == "test/ungood")):
            Image.fromarray((image[0] * 255).byte().numpy()).save(folder / f"{i}.png")
    monkeypatch.setenv("NORMOSCOPE_DATA", str(tmp_path / "data"))
    protocol = DualEncoderBySize(seeds=1)
    jobs = [protocol._jobs[Place("resc", 10, row)][0] for row in ("knn", "trivial bytes")]
    results = done(jobs, tmp_path)
    assert results[0].value["counts"] == {"train": 10, "held_out": 8, "test": 12}
    outcome = protocol.outcome(results, [])
    table = outcome.tables[0]
    assert table.title.startswith("RESC")
    assert [row[:2] for row in table.rows] == [["10", "knn"], ["10", "trivial bytes"]]
    assert all(row[3:] == ["–"] * 4 for row in table.rows)
    assert "rule of the one-class rows: not calibrated: 19 normals needed, 8 given" in table.notes


def test_quick_runs_all_rows_to_tables_figure_and_json(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_steps(monkeypatch)
    protocol = protocols.build("dual_encoder", quick=True)
    plan = protocol.plan()
    assert len(plan.jobs) == 18
    results = done(list(plan.jobs), tmp_path)
    outcome = protocol.outcome(results, plan.absent)
    assert len(outcome.tables[0].rows) == 18
    assert len(outcome.tables[1].rows) == 2 * (1 + 1 + 2 + 1) + 3, "quick has no ten normals"
    assert outcome.tables[1].columns[0] == "asked by"
    asked = {row[0] for row in outcome.tables[1].rows}
    accuracy = "accuracy on PneumoniaMNIST 28 px"
    assert asked == {"two encoders", "validated phases", accuracy, f"{accuracy}, one class", "types of images"}
    assert "about 2 steps a phase at 28 px" in outcome.tables[0].notes[0]
    assert "at most 40 of 100 labelled images" in " ".join(outcome.tables[0].notes)
    assert outcome.numbers["labelled"] == {"pneumoniamnist": {"images": 100, "abnormal": 60}}
    assert not any("nan" in cell for table in outcome.tables for row in table.rows for cell in row)
    assert not outcome.claims
    [figure] = outcome.figures
    assert figure.name == "dual_encoder_quick_by_size"  # beside the full run's, not over it
    text = "".join(ElementTree.fromstring(figure.svg).itertext())
    for word in ("balanced accuracy", "AUROC", "all 40", "25", *SEES_LABELS):
        assert word in text
    knn = outcome.numbers["rows"]["pneumoniamnist"]["all"]["knn"]
    row = next(r for r in outcome.tables[0].rows if r[:2] == ["all 40", "knn"])
    assert row[2].startswith(f"{knn['auroc']['value']:.3f}")
    assert json.loads(json.dumps(outcome.numbers))["normals"] == {"pneumoniamnist": 40}
    fewer = protocol.outcome(results[3:], plan.absent)  # the deep rows at 25 are missing
    assert len(fewer.tables[0].rows) == 15
    assert len(fewer.tables[1].rows) == 5 + 3
    assert fewer.numbers["waiting"] == 3


def test_data_without_abnormal_training_images_have_no_supervised_rows(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = small / "medmnist" / "pneumoniamnist.npz"
    with np.load(file) as stored:
        arrays = dict(stored)
    for name in ("train_images", "train_labels"):
        arrays[name] = arrays[name][:40]
    np.savez(file, **arrays)
    plan = protocols.build("dual_encoder", quick=True).plan()
    assert len(plan.jobs) == 14
    assert not [job.name for job in plan.jobs if "supervised" in job.name]
    outcome = protocols.build("dual_encoder", quick=True).outcome([], [])
    assert outcome.numbers["labelled"] == {}
    assert not [note for note in outcome.tables[0].notes if "labelled" in note]


# the frozen rule


def result(value: dict[str, Any]) -> Result:
    return Result(Job("made", "none:none", {}), value, 0.0, "", {})


def one(test: list[float], labels: list[int], held_out: list[float]) -> Result:
    return result({"labels": labels, "groups": [], "own": {"test": test, "held_out": held_out}, "fit_seconds": 0.0})


def test_the_rule_flags_scores_above_the_largest_of_nineteen_held_out_normals() -> None:
    nineteen = [float(n) for n in range(1, 20)]
    labels = [1, 1, 1, 0, 0]
    first = one([19.5, 30.0, 19.0, 20.0, 2.0], labels, nineteen)
    second = one([19.5, 30.0, 40.0, 1.0, 2.0], labels, nineteen)
    measured = Measured([first, second], sees_labels=False)
    assert measured.flags is not None
    assert measured.flags.tolist() == [[True, True, False, True, False], [True, True, True, False, False]]
    assert measured.by_seed("accuracy") == pytest.approx([3 / 5, 1.0])
    assert measured.by_seed("balanced_accuracy") == pytest.approx([(2 / 3 + 1 / 2) / 2, 1.0])
    accuracy = measured.interval("accuracy")
    assert accuracy is not None
    assert accuracy.value == pytest.approx(0.8)
    assert measured.rule.startswith("conformal, 0.05 false alarms per image; with 19 normals")


def test_with_eighteen_held_out_normals_nothing_is_decided() -> None:
    made = one([19.5, 30.0, 19.0, 2.0], [1, 1, 0, 0], [float(n) for n in range(18)])
    measured = Measured([made], sees_labels=False)
    assert measured.flags is None
    assert measured.by_seed("accuracy") == []
    assert measured.rule == "not calibrated: 19 normals needed, 18 given"
    table = scored("breastmnist", {Place("breastmnist", 10, DUAL): measured}, Images(399, 546, 28), 400, quick=False)
    assert table.rows[0][2:] == [table.rows[0][2], "–", "–", "–", "–"]
    assert "a dash: too few held-out normals for the rule" in table.notes


def test_classifiers_flag_above_one_half_whatever_is_held_out() -> None:
    measured = Measured([one([0.5, 0.51, 0.2], [1, 1, 0], [])], sees_labels=True)
    assert measured.flags is not None
    assert measured.flags.tolist() == [False, True, False]
    assert measured.by_seed("sensitivity") == [0.5]


def test_a_table_says_what_its_figures_rest_on() -> None:
    held_out = [float(n) for n in range(1, 40)]  # of 39, the 38th is the largest that is not flagged
    labels = [1] * 10 + [0] * 20
    like = one([50.0] * 10 + [39.0] + [1.0] * 19, labels, held_out)  # 5 % false alarms
    unlike = one([50.0] * 10 + [39.0] * 10 + [1.0] * 10, labels, held_out)
    found = {
        Place("breastmnist", 10, DUAL): Measured([like], sees_labels=False),
        Place("breastmnist", 10, SINGLE): Measured([unlike], sees_labels=False),
        Place("breastmnist", 10, SEES_LABELS[0]): Measured([like], sees_labels=True),
    }
    like_chance, unlike_chance, none = [measured.surprise for measured in found.values()]
    assert none is None
    assert like_chance == 1.0
    assert unlike_chance is not None
    assert unlike_chance < 0.001
    notes = scored("breastmnist", found, Images(399, 546, 28), 400, quick=False).notes
    assert notes[0] == (
        "our reading of an abstract: no architecture, loss or epochs are given there; about 400 steps a phase at 28 px"
    )
    assert "abnormal: malignant; normal: normal or benign" in notes
    told = " ".join(notes)
    assert "intervals are too narrow where a patient has several" in told
    assert "more or fewer than chance explains (after Holm) in 1 of 2 rows, so these differ from those" in told
    assert "as many labelled images as the others saw normals, at most 399 of 546 labelled images" in told
    unknown = " ".join(scored("resc", found_on("resc", found), Images(399, None, 64), 400, quick=False).notes)
    assert "at most 399, both classes" in unknown
    assert "malignant" not in unknown
    del found[Place("breastmnist", 10, SINGLE)]
    notes = scored("breastmnist", found, Images(399, 546, 28), 400, quick=False).notes
    assert any(note.endswith("than chance explains (after Holm) in 0 of 1 rows") for note in notes)


def found_on(data: str, found: dict[Place, Measured]) -> dict[Place, Measured]:
    return {place._replace(data=data): measured for place, measured in found.items()}


def test_patients_that_are_known_are_not_called_unknown() -> None:
    made = result({"labels": [1, 0], "groups": [0, 1], "own": {"test": [2.0, 1.0], "held_out": []}})
    found = {Place("resc", 10, DUAL): Measured([made], sees_labels=False)}
    assert not [note for note in scored("resc", found, Images(9, None, 64), 400, quick=False).notes if "narrow" in note]


# paired comparisons


def place_of(size: int, row: str) -> Place:
    return Place("breastmnist", size, row)


def test_differences_are_ours_minus_theirs_and_holm_counts_one_family() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40).tolist()
    good = [(np.asarray(labels) + rng.normal(0, 0.7, 80)).tolist() for _ in range(5)]
    bad = [rng.normal(0, 1, 80).tolist() for _ in range(5)]
    nineteen = np.linspace(-1, 1, 19).tolist()

    def rows(scores: list[list[float]], sees_labels: bool = False) -> Measured:
        return Measured([one(seed, labels, nineteen) for seed in scores], sees_labels)

    found = {
        place_of(10, DUAL): rows(good),
        place_of(10, SINGLE): rows(good),
        place_of(25, DUAL): rows(good),
        place_of(25, SINGLE): rows(bad),
        place_of(25, UNGATED): rows(bad),
        place_of(25, SEES_LABELS[0]): rows(bad, sees_labels=True),
    }
    equal, better = comparisons(found, list(found), "two encoders", "auroc", [SINGLE])
    assert (equal.size, better.size) == (10, 25)
    assert equal.difference.value == 0
    assert equal.pvalue == equal.corrected == 1
    expected = np.mean([metrics.auroc(np.asarray(labels), np.asarray(s)) for s in good])
    expected -= np.mean([metrics.auroc(np.asarray(labels), np.asarray(s)) for s in bad])
    assert better.difference.value == pytest.approx(expected)
    assert better.pvalue < 0.01
    assert better.to_json()["asked_by"] == "two encoders"
    assert better.corrected == pytest.approx(2 * better.pvalue)
    assert [one.size for one in comparisons(found, list(found), "", "auroc", [SINGLE], sizes=(10,))] == [10]
    waiting = [*found, place_of(50, SINGLE), place_of(100, SINGLE)]
    _, of_four = comparisons(found, waiting, "", "auroc", [SINGLE])
    assert of_four.corrected == pytest.approx(4 * better.pvalue), "two that wait count as equal"
    [alone] = comparisons(found, list(found), "", "auroc", [UNGATED])
    assert alone.corrected == alone.pvalue == better.pvalue
    [decided] = comparisons(found, list(found), "", "accuracy", SEES_LABELS)
    ours, theirs = found[place_of(25, DUAL)], found[place_of(25, SEES_LABELS[0])]
    assert decided.difference.value == pytest.approx(
        np.mean(ours.by_seed("accuracy")) - np.mean(theirs.by_seed("accuracy"))
    )


def test_what_one_claim_asks_of_is_corrected_together_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30).tolist()

    def row(shift: float, name: str) -> Measured:
        scores = (shift * np.asarray(labels) + rng.normal(0, 1, 60)).tolist()
        return Measured([one(scores, labels, rng.normal(0, 1, 39).tolist())], name in SEES_LABELS)

    found = {
        Place(data, size, name): row(1.0 if name == DUAL else 0.3, name)
        for data in ("breastmnist", "pneumoniamnist")
        for size in (10, 0)
        for name in (DUAL, SINGLE, "knn", *SEES_LABELS)
    }
    protocol = DualEncoderBySize()
    protocol.__dict__["_jobs"] = {place: [] for place in found}
    families = protocol._families(found)
    both, apart = families["against_single"], families["against_classifiers"]
    assert {test.asked_by for test in both} == {"two encoders"}
    assert min(test.corrected for test in both) == pytest.approx(4 * min(test.pvalue for test in both))
    for name in ("BreastMNIST 28 px", "PneumoniaMNIST 28 px"):
        own = [test for test in apart if test.asked_by == f"accuracy on {name}"]
        assert len(own) == 4
        assert min(test.corrected for test in own) == pytest.approx(4 * min(test.pvalue for test in own))
    few = [test for test in families["with_few"] if test.asked_by == "small data"]
    assert {test.data for test in few} == {"breastmnist"}
    assert min(test.corrected for test in few) == pytest.approx(4 * min(test.pvalue for test in few))
    assert len(families["with_few"]) == 8


# claims

ALL_SIZES = (10, 25, 50, 0)
BREAST, CHEST = "breastmnist", "pneumoniamnist"


def interval(value: float, half: float = 0.05) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


def figures(value: float) -> dict[str, Any]:
    decided = {"accuracy": interval(value), "balanced_accuracy": interval(value)}
    return {"auroc": interval(value), **decided, "prevalence": 0.27}


def numbers(*sets: str) -> dict[str, Any]:
    """Everything as the abstract has it: 0.9 against 0.6 on every set and at every size."""
    sets = sets or (BREAST, CHEST)
    rivals = (SINGLE, UNGATED, "knn", *TRIVIAL, *SEES_LABELS)

    def against(*names: str, sizes: tuple[int, ...] = ALL_SIZES) -> list[dict[str, Any]]:
        return [
            {"data": data, "size": size, "rival": name, "difference": interval(0.3), "corrected": 0.01}
            for data in sets for size in sizes for name in names
        ]  # fmt: skip

    return {
        "steps": 400,
        "pixels": dict.fromkeys(sets, 28),
        "normals": {data: 1214 if data == CHEST else 399 for data in sets},
        "labelled": {CHEST: {"images": 4708, "abnormal": 3494}},
        "rows": {
            data: {
                str(size or "all"): {DUAL: figures(0.9), **{rival: figures(0.6) for rival in rivals}}
                for size in ALL_SIZES
            }
            for data in sets
        },
        "against_single": against(SINGLE),
        "against_ungated": against(UNGATED),
        "against_classifiers": against(*SEES_LABELS),
        "against_knn": against("knn"),
        "with_few": against(SINGLE, "knn", *SEES_LABELS, sizes=(10,)),
        "across_types": against(*TRIVIAL, sizes=(0,)),
        "waiting": 0,
    }


def differs(given: dict[str, Any], family: str, data: str, sizes: tuple[int, ...], value: float, chance: float) -> None:
    """Change the comparisons with the last rival of a family."""
    last = given[family][-1]["rival"]
    for test in given[family]:
        if test["data"] == data and test["size"] in sizes and test["rival"] == last:
            test.update(difference=interval(value), corrected=chance)


def found_in(given: dict[str, Any], words: str) -> Claim:
    [claim] = [claim for claim in claims(given, quick=False) if words in claim.text]
    return claim


def verdict(given: dict[str, Any], words: str) -> Verdict:
    return found_in(given, words).verdict


SMALL, LARGE, FEW, TYPES = "on small data sets", "on large data sets", "does well on small data", "is robust"
ACCURATE, ELSEWHERE = 'anomalous images" on BreastMNIST', 'anomalous images" on PneumoniaMNIST'
ENCODERS, PHASES = "two encoders", "several phases"
JUDGED = [SMALL, LARGE, FEW, TYPES, ACCURATE, ENCODERS, PHASES]


@pytest.mark.parametrize("words", JUDGED)
def test_each_judged_claim_holds_where_all_is_as_it_says_and_has_been_run(words: str) -> None:
    claim = found_in(numbers(), words)
    assert claim.verdict is Verdict.HOLDS
    assert claim.why.endswith("our reading of an abstract, about 400 steps a phase at 28 px")
    assert {*claim.cell.split("; ")} <= {title(BREAST), title(CHEST), COMPARED}
    early = found_in(numbers() | {"waiting": 1}, words)
    assert early.verdict is Verdict.UNTESTED
    assert early.why.endswith("; some of it is not run yet")
    families = ("against_single", "against_ungated", "against_classifiers", "against_knn", "with_few", "across_types")
    empty = {key: [] for key in families}
    assert verdict(numbers() | {"rows": {}, "waiting": 1, **empty}, words) is Verdict.UNTESTED


@pytest.mark.parametrize("metric", ["auroc", "balanced_accuracy"])
def test_detecting_asks_for_every_interval_of_ranking_and_of_decisions(metric: str) -> None:
    given = numbers()
    row = given["rows"][BREAST]["25"][DUAL]
    row[metric] = interval(0.54)
    assert verdict(given, SMALL) is Verdict.UNTESTED
    assert verdict(given, LARGE) is Verdict.HOLDS
    row[metric] = interval(0.44)  # one interval of eight lies below by chance
    assert verdict(given, SMALL) is Verdict.UNTESTED
    row[metric] = interval(0.42)
    assert verdict(given, SMALL) is Verdict.FAILS
    assert verdict(given | {"waiting": 1}, SMALL) is Verdict.FAILS
    given["rows"][CHEST]["all"][DUAL][metric] = interval(0.42)
    assert verdict(given, LARGE) is Verdict.FAILS


def test_without_a_rule_detecting_is_undecided() -> None:
    given = numbers()
    del given["rows"][BREAST]["10"][DUAL]["balanced_accuracy"]
    claim = found_in(given, SMALL)
    assert claim.verdict is Verdict.UNTESTED
    assert "10 normals AUROC 0.900 [0.850, 0.950], balanced accuracy without a rule" in claim.why


def test_breastmnist_is_small_with_all_its_normals_and_pneumoniamnist_stands_in_for_large_sets() -> None:
    given = numbers()
    given["rows"][BREAST]["all"][DUAL]["auroc"] = interval(0.3)
    assert verdict(given, SMALL) is Verdict.FAILS
    large = found_in(given, LARGE)
    assert large.verdict is Verdict.HOLDS
    assert large.cell == title(CHEST)
    told = "BreastMNIST counts as small", "another set where both are absent", "all 1,214 normals"
    for words in (*told, "PneumoniaMNIST 28 px not named in the abstract", "absent of its own sets: BraTS2021, RESC"):
        assert words in large.why
    assert found_in(numbers(BREAST), LARGE).why == "no large data set is here"
    own = numbers(BREAST, CHEST, "resc")
    own["rows"][CHEST]["all"][DUAL]["auroc"] = interval(0.3)
    assert verdict(own, LARGE) is Verdict.HOLDS
    assert found_in(own, LARGE).cell == title("resc")
    own["rows"]["resc"]["all"][DUAL]["auroc"] = interval(0.3)
    assert verdict(own, LARGE) is Verdict.FAILS


def test_the_abstracts_own_sets_decide_and_others_are_told() -> None:
    given = numbers()
    given["rows"][CHEST]["10"][DUAL]["auroc"] = interval(0.3)
    differs(given, "with_few", CHEST, (10,), -0.3, 0.01)
    for words in (SMALL, FEW):
        claim = found_in(given, words)
        assert claim.verdict is Verdict.HOLDS
        told = claim.why.partition("not named in the abstract and decides nothing: PneumoniaMNIST 28 px, 10 normals")
        assert "0.300" in told[2]
        assert "asked of BreastMNIST 28 px; absent of its own sets: BraTS2021, RESC" in claim.why
    alone = numbers(CHEST)
    alone["rows"][CHEST]["10"][DUAL]["auroc"] = interval(0.3)
    for words in (SMALL, FEW):
        claim = found_in(alone, words)
        assert claim.verdict is Verdict.FAILS
        assert "PneumoniaMNIST 28 px not named in the abstract" in claim.why
    alone["normals"] |= {BREAST: 399}
    assert {verdict(alone | {"waiting": 1}, words) for words in (SMALL, FEW)} == {Verdict.UNTESTED}, "not run yet"


@pytest.mark.parametrize(("words", "family", "size"), [(FEW, "with_few", 10), (TYPES, "across_types", 0)])
def test_being_ahead_asks_for_every_rival_and_for_more_than_a_coin(words: str, family: str, size: int) -> None:
    given = numbers()
    differs(given, family, BREAST, (size,), -0.3, 0.2)
    claim = found_in(given, words)
    assert claim.verdict is Verdict.UNTESTED
    assert "lower in 0; above 0.5" in claim.why
    differs(given, family, BREAST, (size,), -0.3, 0.01)
    claim = found_in(given, words)
    assert claim.verdict is Verdict.FAILS
    assert "lower in 1; above 0.5" in claim.why
    for value, expected in ((0.54, Verdict.UNTESTED), (0.44, Verdict.UNTESTED), (0.3, Verdict.FAILS)):
        coin = numbers()
        coin["rows"][BREAST][str(size or "all")][DUAL]["auroc"] = interval(value)
        assert verdict(coin, words) is expected


def test_robustness_across_types_asks_for_two_data_sets() -> None:
    claim = found_in(numbers(BREAST), TYPES)
    assert claim.verdict is Verdict.UNTESTED
    assert "fewer than 2 sets" in claim.why
    given = numbers(BREAST)
    differs(given, "across_types", BREAST, (0,), -0.3, 0.01)
    assert verdict(given, TYPES) is Verdict.FAILS
    given = numbers()
    differs(given, "across_types", CHEST, (0,), -0.3, 0.01)
    assert verdict(given, TYPES) is Verdict.FAILS, "a type is a type, whether the abstract names it or not"


def test_more_accurate_asks_for_both_kinds_of_rivals_and_for_more_than_one_answer_for_all() -> None:
    given = numbers()
    differs(given, "against_classifiers", BREAST, (25,), 0.1, 0.06)
    assert verdict(given, ACCURATE) is Verdict.UNTESTED
    differs(given, "against_classifiers", BREAST, (25,), -0.1, 0.01)
    claim = found_in(given, ACCURATE)
    assert claim.verdict is Verdict.UNTESTED, "ahead of knn everywhere, and which rivals are meant is not said"
    assert "classifiers more accurate in 7 of 8 comparisons, in 7 after Holm (asked: all), less in 1" in claim.why
    assert "than knn more accurate in 4 of 4 comparisons" in claim.why
    differs(given, "against_knn", BREAST, (10,), -0.1, 0.01)
    assert verdict(given, ACCURATE) is Verdict.FAILS, "behind one of either kind"
    for value in (0.77, 0.5):  # one answer for all has 0.730
        constant = numbers()
        constant["rows"][BREAST]["50"][DUAL]["accuracy"] = interval(value)
        claim = found_in(constant, ACCURATE)
        assert claim.verdict is Verdict.UNTESTED
        assert "above the 0.730 of one answer for all with its whole interval in 3 of 4" in claim.why
    constant["rows"][BREAST]["50"][DUAL]["accuracy"] = interval(0.79)
    assert verdict(constant, ACCURATE) is Verdict.HOLDS
    alone = numbers()
    alone["against_classifiers"] = [one for one in alone["against_classifiers"] if one["rival"] == SEES_LABELS[1]]
    assert verdict(alone, ACCURATE) is Verdict.UNTESTED
    for sign in (1, -1):
        differs(given, "against_classifiers", CHEST, (25,), sign * 0.1, 0.01)
        differs(given, "against_knn", CHEST, (25,), sign * 0.1, 0.01)
        assert verdict(given, ELSEWHERE) is Verdict.UNTESTED, "a sentence that the abstract does not make"


def test_the_classifiers_images_are_counted_and_a_set_the_abstract_does_not_name_is_said_to_be_none() -> None:
    named, unnamed = found_in(numbers(), ACCURATE), found_in(numbers(), ELSEWHERE)
    assert named.where == "abstract"
    assert unnamed.where == "not named in the abstract"
    assert "1,214 of 4,708 labelled images: dual_encoder 0.900, logistic regression on HOG 0.600" in unnamed.why
    assert "399 labelled images: dual_encoder" in named.why
    assert "all images" not in named.why + unnamed.why


HELPS = [(ENCODERS, "against_single", SINGLE), (PHASES, "against_ungated", UNGATED)]


@pytest.mark.parametrize(("words", "family", "rival"), HELPS)
def test_helping_asks_for_half_of_the_sizes_of_every_set(words: str, family: str, rival: str) -> None:
    given = numbers()
    for data in (BREAST, CHEST):
        differs(given, family, data, (10, 25), -0.01, 0.9)
    claim = found_in(given, words)
    assert claim.verdict is Verdict.HOLDS, "exactly half"
    assert "BreastMNIST 28 px: higher in 2 of 4 (after Holm in 2), lower in 0" in claim.why
    uneven = numbers()
    differs(uneven, family, CHEST, (10, 25, 50), 0.01, 0.9)
    assert verdict(uneven, words) is Verdict.UNTESTED, "five of eight, and one of four on one set"
    coin = numbers()
    for size in ("10", "25", "50"):
        coin["rows"][BREAST][size][DUAL]["auroc"] = interval(0.54)
    assert verdict(coin, words) is Verdict.UNTESTED, "better than the rival, and no better than a coin"


@pytest.mark.parametrize(("words", "family", "rival"), HELPS)
def test_losing_once_refutes_only_where_the_rival_is_more_than_a_coin(words: str, family: str, rival: str) -> None:
    given = numbers()
    differs(given, family, CHEST, (25,), -0.04, 0.01)
    assert verdict(given, words) is Verdict.FAILS
    given["rows"][CHEST]["25"][rival]["auroc"] = interval(0.52)
    claim = found_in(given, words)
    assert claim.verdict is Verdict.HOLDS, "both at chance there, and ahead at the other sizes"
    assert "PneumoniaMNIST 28 px: higher in 3 of 4 (after Holm in 3), lower in 0 (after Holm in 1)" in claim.why
    differs(given, family, CHEST, (10, 25, 50), -0.04, 0.01)
    for size in ("10", "25", "50"):
        given["rows"][CHEST][size][rival]["auroc"] = interval(0.52)
    assert verdict(given, words) is Verdict.UNTESTED


def test_the_rival_without_validation_is_said_to_train_on_more_normals() -> None:
    assert "the rival trains on all normals, this one on 80 % of them" in found_in(numbers(), PHASES).why
    assert "80 %" not in found_in(numbers(), ENCODERS).why


def test_absent_data_and_what_no_figure_can_judge_is_not_testable_here() -> None:
    found = claims(numbers(), quick=False)
    untested = {claim.text: claim for claim in found if claim.verdict is Verdict.UNTESTED}
    absent = [text for text, claim in untested.items() if claim.why == "the data is absent"]
    assert [text.rpartition(" ")[2] for text in absent] == ["BraTS2021", "RESC"]
    quoted = (
        "a novel model",
        "often perform poorly on small sample datasets",
        "lack robustness across various types of medical imaging",
        "limited and imbalanced datasets, where anomaly samples often dominated in publicly available data",
        "explores the interpretability of latent space features using explanation methods along with visualization",
        "aligns with Malaysia’s Healthcare Government Plan 2023",
        "reduces workload for healthcare professionals",
        "foundation for developing reliable diagnostic tools with interpretable latent space",
    )
    assert all(sum(words in text for text in untested) == 1 for words in quoted)
    assert len(untested) == 2 + len(quoted) + 1, "and what is said of a set that the abstract does not name"
    poorly = found_in(numbers(), "often perform poorly on small sample").why
    assert "BreastMNIST 28 px, 10 normals knn 0.600, logistic regression on HOG 0.600, CNN 0.600" in poorly
    assert "PneumoniaMNIST 28 px 3,494 of 4,708" in found_in(numbers(), "anomaly samples often dominated").why
    assert all("abstract" in claim.where for claim in found)
    assert not claims(numbers(), quick=True)
