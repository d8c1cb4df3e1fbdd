from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import normoscope as ns
from normoscope import comparison
from normoscope.comparison import Comparison, Recipe, Row, _names, assess, compare
from normoscope.errors import LeakageError, TooFewImagesError, UnreadableImageError, UnreadableImagesError
from normoscope.methods.trivial import Direction, Statistic
from normoscope.model import Model, fit
from normoscope.partitions import Partition
from normoscope.statistics import Interval, holm
from normoscope.types import Collection, Pixels, Run


@pytest.fixture(scope="module")
def compared(small_phantom: Partition) -> Comparison:
    cae = ns.build("cae", overrides={"epochs": 2, "batch_size": 16, "latent_dim": 8})
    recipes = [Recipe("cae", "cae", cae), Recipe("knn", "knn", ns.build("knn")), Recipe("pca", "pca", ns.build("pca"))]
    return compare(recipes, small_phantom, Run(seed=3), seeds=2)


def labels(data: Partition) -> list[int]:
    return [int(s.label or 0) for s in data.samples["test"]]


def aurocs(rows: Mapping[str, Row]) -> dict[str, float]:
    return {name: row.evaluation.auroc.value for name, row in rows.items()}


def test_figures_are_those_of_the_scores_averaged_over_seeds(compared: Comparison, small_phantom: Partition) -> None:
    for row in compared.rows.values():
        expected = np.mean([roc_auc_score(labels(small_phantom), scores) for scores in row.scores])
        assert row.evaluation.auroc.value == pytest.approx(expected)


def test_of_one_seed_it_says_that_training_again_would_tell_more(
    compared: Comparison, small_phantom: Partition
) -> None:
    said = [note for note in compared.notes if note.startswith("one seed: ")]
    assert said == []
    cae = ns.build("cae", overrides={"epochs": 2, "batch_size": 16, "latent_dim": 8})
    knn = Recipe("knn", "knn", ns.build("knn"))
    trained = compare([knn, Recipe("cae", "cae", cae)], small_phantom, Run())
    assert any("trained again, a method scores otherwise" in note for note in trained.notes)
    assert not any("trained again" in note for note in compare([knn], small_phantom, Run()).notes)


def test_seeds_matter_to_methods_that_draw_and_to_no_other(compared: Comparison) -> None:
    assert compared.rows["cae"].scores.shape == (2, 40)
    assert (compared.rows["cae"].scores[0] != compared.rows["cae"].scores[1]).any()
    np.testing.assert_array_equal(compared.rows["knn"].scores[0], compared.rows["knn"].scores[1])


def test_nine_trivial_rows_stand_below_and_the_better_direction_is_an_oracle(compared: Comparison) -> None:
    assert list(compared.rows)[:3] == ["cae", "knn", "pca"]
    assert len(compared.rows) == 12
    for statistic in ("contrast", "gradient", "bytes"):
        rows = {n: v for n, v in aurocs(compared.rows).items() if n.startswith(f"trivial {statistic}")}
        oracle = next(name for name in rows if name.endswith("(oracle)"))
        low, high = (v for n, v in rows.items() if "two-sided" not in n)
        assert rows[oracle] == max(low, high)
        assert low + high == pytest.approx(1)


def test_without_both_kinds_of_labels_no_direction_is_an_oracle() -> None:
    unknown = dict.fromkeys(Direction, Interval(math.nan, math.nan, math.nan, ""))
    names = _names(Statistic.CONTRAST, unknown)
    assert not any("oracle" in name for name in names.values())


def test_the_time_of_a_row_is_that_of_its_training_alone(
    small_phantom: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[float] = []

    def watched(*args: Any, **options: Any) -> Model:
        model = fit(*args, **options)
        trained.append(model.provenance["training"]["seconds"])
        return model

    monkeypatch.setattr(comparison, "fit", watched)
    found = compare([Recipe("knn", "knn", ns.build("knn"))], small_phantom, Run(), seeds=2)
    assert len(trained) == 2
    assert found.rows["knn"].fit_seconds == np.mean(trained)


def test_differences_are_taken_to_the_first_method_and_corrected_together(compared: Comparison) -> None:
    values = aurocs(compared.rows)
    paired = {name: row for name, row in compared.rows.items() if row.difference is not None}
    assert set(paired) == {"knn", "pca", *(f"trivial {s}, two-sided" for s in ("contrast", "gradient", "bytes"))}
    for name, row in paired.items():
        assert row.difference is not None
        assert row.difference.auroc.value == pytest.approx(values[name] - values["cae"])
    raw = np.array([row.difference.pvalue for row in paired.values() if row.difference is not None])
    assert [row.corrected for row in paired.values()] == pytest.approx(holm(raw).tolist())


def test_an_assessment_agrees_with_the_comparison_and_with_its_own_scores(
    compared: Comparison, small_phantom: Partition
) -> None:
    model = ns.fit("knn", ns.build("knn"), small_phantom)
    found = assess(model, small_phantom.collection)
    assert found.part == "the model's own test part"
    np.testing.assert_allclose(found.scores, compared.rows["knn"].scores[0], rtol=1e-6)
    assert found.labels.tolist() == labels(small_phantom)
    assert found.flags is not None
    assert found.pvalues is not None
    np.testing.assert_array_equal(found.flags, found.pvalues <= 0.05)
    trivial = {name: value for name, value in aurocs(compared.rows).items() if name.startswith("trivial")}
    assert {name: interval.value for name, interval in found.baselines.items()} == pytest.approx(trivial)


@dataclass(frozen=True)
class Mean:
    """A method that is no part of the package, as the how-to has it."""

    def fit(self, normals: Any, run: Run, select: Any = None) -> Any:
        return Fitted(normals.batch(np.arange(len(normals))).mean(0))


@dataclass
class Fitted:
    mean: Any

    def anomaly_score(self, images: Any) -> Any:
        return (images - self.mean.to(images.device)).square().mean((1, 2, 3))


def test_a_method_of_ones_own_is_compared(small_phantom: Partition) -> None:
    mine: Any = Mean()
    found = ns.compare(
        [ns.Recipe("mine", "mine", mine), Recipe("knn", "knn", ns.build("knn"))], small_phantom, ns.Run()
    )
    train, test = (
        small_phantom.images[part].batch(np.arange(len(small_phantom.images[part]))) for part in ("train", "test")
    )
    expected = (test - train.mean(0)).square().mean((1, 2, 3)).numpy()
    np.testing.assert_allclose(found.rows["mine"].scores[0], expected, rtol=1e-5)
    assert found.first == "mine"
    assert found.rows["knn"].corrected is not None


def _no_mask(name: str) -> Pixels:
    raise UnreadableImageError(name, "no mask")


def test_masks_that_cannot_be_read_are_listed_all_at_once_or_their_images_left_out(small_phantom: Partition) -> None:
    model = ns.fit("pca", ns.build("pca"), small_phantom)
    collection = small_phantom.collection
    whole = assess(model, collection)
    lost = {"test/abnormal-00001", "test/normal-00003"}
    samples = [replace(s, read_mask=partial(_no_mask, s.name)) if s.name in lost else s for s in collection.samples]
    damaged = replace(collection, samples=samples)
    with pytest.raises(UnreadableImagesError) as caught:
        assess(model, damaged)
    assert {problem.file for problem in caught.value.problems} == lost
    assert str(caught.value).startswith("2 of 40 images cannot be read;")
    rest = assess(model, damaged, skip_unreadable=True)
    kept = [row for row, s in enumerate(whole.prepared.samples) if s.name not in lost]
    assert len(kept) == 38
    np.testing.assert_array_equal(rest.scores, whole.scores[kept])
    assert rest.labels.tolist() == whole.labels[kept].tolist()
    assert {"not read: test/abnormal-00001: no mask", "not read: test/normal-00003: no mask"} <= set(rest.notes)
    none = [replace(s, read_mask=partial(_no_mask, s.name)) for s in collection.samples]
    with pytest.raises(UnreadableImagesError, match="40 of 40 images cannot be read"):
        assess(model, replace(collection, samples=none), skip_unreadable=True)


def test_assessing_on_images_that_trained_the_model_is_refused(small_phantom: Partition) -> None:
    model = ns.fit("knn", ns.build("knn"), small_phantom)
    # the same seed draws the same training images under another record
    seen = ns.load("phantom", options={"size": "28", "train": "5", "validation": "0", "test": "0"})
    with pytest.raises(LeakageError, match="exact copies of images in train"):
        assess(model, seen)


def test_without_labelled_test_images_nothing_is_measured(small_phantom: Partition) -> None:
    model = ns.fit("knn", ns.build("knn"), small_phantom)
    unlabelled = [replace(s, label=None) for s in small_phantom.collection.samples]
    with pytest.raises(TooFewImagesError, match="test: 1 image needed, 0 given; give labelled images"):
        assess(model, Collection("elsewhere", unlabelled))


def test_test_images_without_a_label_count_as_neither(small_phantom: Partition) -> None:
    some = [replace(one, label=None) if row % 4 == 0 else one for row, one in enumerate(small_phantom.samples["test"])]
    data = replace(small_phantom, samples={**small_phantom.samples, "test": some})
    row = compare([Recipe("knn", "knn", ns.build("knn"))], data, Run()).rows["knn"]
    told = [one.label for one in some if one.label is not None]
    assert (row.evaluation.n_normal, row.evaluation.n_abnormal) == (told.count(0), told.count(1))
    assert row.scores.shape == (1, len(told))
