"""The evaluation chooses the right interval, says what is missing, and prints what one must know."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from normoscope import metrics
from normoscope.delong import delong, delong_paired
from normoscope.errors import ScoresError
from normoscope.evaluation import evaluate, paired
from normoscope.intervals import Intervals
from normoscope.metrics import of_kind
from normoscope.statistics import binomial

RNG = np.random.default_rng(0)
LABELS = (np.arange(200) % 4 == 0).astype(int)
SCORES = RNG.normal(size=200) + 1.2 * LABELS
FLAGS = SCORES > 1.5
PATIENTS = [f"p{i // 2}" for i in range(200)]
DRAWS = 300


def test_one_seed_without_patients_gets_delong_and_exact_binomial_intervals() -> None:
    evaluation = evaluate(LABELS, SCORES, flags=FLAGS, draws=DRAWS)
    assert evaluation.auroc == delong(LABELS, SCORES)
    assert (evaluation.n_normal, evaluation.n_abnormal, evaluation.prevalence) == (150, 50, 0.25)
    right = int(np.sum(FLAGS[LABELS == 1]))
    assert evaluation.decisions["sensitivity"] == binomial(right, 50, "images")
    assert evaluation.decisions["accuracy"].how == "exact binomial over 200 images"
    assert evaluation.ranking["aupr_abnormal"].how == "bootstrap over 200 images, 300 draws"


def test_every_metric_of_the_registry_appears_with_its_own_value() -> None:
    masks = np.zeros((200, 8, 8), dtype=bool)
    masks[LABELS == 1, 2:5, 2:5] = True
    maps = RNG.normal(size=masks.shape) + masks
    evaluation = evaluate(
        LABELS, SCORES, flags=FLAGS, masks=masks, maps=maps, pred_masks=maps > 1, draws=DRAWS, groups=PATIENTS
    )
    found = {**evaluation.ranking, **evaluation.decisions, **evaluation.pixels}
    assert set(found) == set(metrics.__all__)
    truths = {
        "scores": (LABELS, SCORES),
        "flags": (LABELS, FLAGS),
        "maps": (masks, maps),
        "pred_masks": (masks, maps > 1),
    }
    for kind, inputs in truths.items():
        for name, metric in of_kind(kind).items():  # type: ignore[arg-type]
            assert found[name].value == pytest.approx(metric(*inputs), abs=1e-12)
            assert found[name].low <= found[name].value <= found[name].high
    assert evaluation.lesion_share == pytest.approx(0.25 * 9 / 64)


def test_intervals_are_over_patients_and_seeds() -> None:
    runs = np.stack([SCORES + 0.3 * RNG.normal(size=200) for _ in range(5)])
    evaluation = evaluate(LABELS, runs, flags=runs > 1.5, groups=PATIENTS, draws=DRAWS)
    assert evaluation.auroc.how == "DeLong over 100 patients x 5 seeds"
    assert evaluation.decisions["specificity"].how == "bootstrap over 100 patients x 5 seeds, 300 draws"
    assert evaluation.auroc_by_seed == tuple(metrics.auroc(LABELS, run) for run in runs)
    assert evaluation.auroc.value == pytest.approx(np.mean(evaluation.auroc_by_seed))
    assert "AUROC over 5 seeds" in evaluation.table()


def test_balanced_accuracy_counts_patients_with_images_of_both_classes_once() -> None:
    rng = np.random.default_rng(3)
    patients, labels = np.repeat(np.arange(40), 12), np.tile(np.repeat([0, 1], 6), 40)
    inside = []
    for _ in range(60):
        sure = rng.random(40) < 0.5  # of a patient every image is decided right, or each by a coin
        right = np.repeat(sure, 12) | (rng.random(480) < 0.5)
        found = evaluate(labels, rng.random(480), flags=right == labels, groups=list(map(str, patients)), draws=200)
        interval = found.decisions["balanced_accuracy"]
        inside.append(interval.low <= 0.75 <= interval.high)
    assert "no narrower than square-and-add" in interval.how
    assert np.mean(inside) > 0.88  # as if independent: 0.82
    apart = evaluate(np.repeat([0, 1], 30), rng.random(60), flags=rng.random(60) < 0.5, draws=DRAWS)
    assert apart.decisions["balanced_accuracy"].how == "square-and-add of the two rates' bounds"


def test_normals_of_a_single_patient_have_no_spread_whoever_has_abnormal_images() -> None:
    labels = np.r_[np.zeros(20, int), np.tile(1, 18)]
    patients = ["p0"] * 20 + [f"p{1 + i // 2}" for i in range(18)]
    patients[20] = patients[21] = "p0"  # whose normals these are has abnormal images, too
    found = evaluate(labels, np.random.default_rng(0).normal(size=38) + labels, groups=patients, draws=DRAWS)
    for metric in ("aupr_normal", "aupr_abnormal", "sensitivity_at_95_specificity"):
        assert found.ranking[metric].how == "no interval: one patient of a class, its spread is unknown"
    many = ["p0", *(f"p{i}" for i in range(1, 20)), *(f"p{i}" for i in range(1, 19))]
    whole = evaluate(labels, np.random.default_rng(0).normal(size=38) + labels, groups=many, draws=DRAWS)
    assert not np.isnan(whole.ranking["aupr_normal"].low), "one patient without abnormal images is no class of one"


@pytest.mark.parametrize("seeds", [1, 3])
def test_perfect_scores_and_decisions_get_exact_bounds_over_patients(seeds: int) -> None:
    labels = np.repeat([0, 1], [40, 20])
    patients = np.arange(60) // 4
    scores = np.stack([labels + 0.1] * seeds)
    evaluation = evaluate(labels, scores, flags=scores > 1, groups=list(map(str, patients)), draws=DRAWS)
    assert evaluation.auroc.value == 1
    assert evaluation.auroc.low == pytest.approx(0.025 ** (1 / 5))
    assert evaluation.auroc.how == "exact binomial over 5 independent pairs"
    assert evaluation.decisions["sensitivity"] == binomial(5, 5, "patients")
    assert evaluation.decisions["specificity"] == binomial(10, 10, "patients")
    assert evaluation.decisions["balanced_accuracy"].low < 0.9


def test_json_names_the_positive_class_and_its_prevalence() -> None:
    plain = evaluate(LABELS, SCORES, positive_class="pneumonia", draws=DRAWS).to_json()
    assert plain["auroc"]["positive_class"] == plain["aupr_abnormal"]["positive_class"] == "pneumonia"
    assert plain["aupr_abnormal"]["prevalence"] == 0.25
    assert plain["aupr_normal"]["positive_class"] == "normal"
    assert plain["aupr_normal"]["prevalence"] == 0.75
    assert plain["fpr_at_95_sensitivity"]["point_of_test_curve"] is True
    assert plain["auroc"]["point_of_test_curve"] is False
    assert plain["auroc"]["value"] == metrics.auroc(LABELS, SCORES)
    assert set(plain["auroc"]) >= {"value", "low", "high", "how", "positive_class", "prevalence"}
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


@pytest.mark.parametrize(("label", "missing"), [(0, "abnormal"), (1, "normal")])
def test_one_class_only_is_said_in_a_sentence(label: int, missing: str) -> None:
    evaluation = evaluate(np.full(20, label), np.arange(20.0), flags=np.arange(20) > 15, draws=DRAWS)
    assert np.isnan(evaluation.auroc.value)
    assert evaluation.auroc.how == f"no {missing} images: AUROC cannot be computed"
    assert f"no {missing} images: balanced accuracy cannot be computed" in evaluation.table()
    assert evaluation.decisions["accuracy"].value == (0.8 if label == 0 else 0.2)
    plain = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert plain["auroc"]["value"] is None
    assert paired(np.full(20, label), np.arange(20.0), np.arange(20.0)).how.startswith(f"no {missing} images")


def test_no_images_at_all_are_said_in_a_sentence() -> None:
    evaluation = evaluate(np.zeros(0, int), np.zeros(0), flags=np.zeros(0, bool))
    assert evaluation.auroc.how == "no images: AUROC cannot be computed"
    assert evaluation.decisions["accuracy"].how == "no images: accuracy cannot be computed"
    assert evaluation.to_json()["prevalence"] is None


def test_subgroups_have_their_own_auroc_and_false_alarms() -> None:
    sex = np.where(np.arange(200) % 3 == 0, "f", "m")
    site = np.where((np.arange(200) < 8) & (LABELS == 0), "small", "large")
    evaluation = evaluate(LABELS, SCORES, flags=FLAGS, subgroups={"sex": list(sex), "site": list(site)}, draws=DRAWS)
    women = evaluation.subgroups["sex"]["f"]
    rows = sex == "f"
    assert women.auroc == delong(LABELS[rows], SCORES[rows])
    normals = rows & (LABELS == 0)
    expected = binomial(int(FLAGS[normals].sum()), int(normals.sum()))
    assert women.false_alarm_rate is not None
    alarms = women.false_alarm_rate
    assert (alarms.value, alarms.low, alarms.high) == pytest.approx((expected.value, expected.low, expected.high))
    small = evaluation.subgroups["site"]["small"]
    assert (small.n_normal, small.n_abnormal) == (6, 0)
    assert small.auroc.how == "no abnormal images: AUROC cannot be computed"
    assert evaluation.to_json()["subgroups"]["site"]["small"]["auroc"]["value"] is None
    assert (
        evaluate(LABELS, SCORES, subgroups={"sex": list(sex)}, draws=DRAWS).subgroups["sex"]["f"].false_alarm_rate
        is None
    )


def test_a_subgroup_counts_its_own_patients_only() -> None:
    half = ["left" if i < 100 else "right" for i in range(200)]
    evaluation = evaluate(LABELS, SCORES, groups=PATIENTS, subgroups={"half": half}, draws=DRAWS)
    assert evaluation.subgroups["half"]["left"].auroc.how == "DeLong over 50 patients"


def test_the_table_is_aligned_and_says_what_one_must_know() -> None:
    table = evaluate(LABELS, SCORES, flags=FLAGS, positive_class="tumour", draws=DRAWS).table()
    lines = table.splitlines()
    assert lines[0] == "200 test images: 150 normal, 50 abnormal (tumour); values with 95 % intervals"
    assert lines[1].split()[:2] == ["AUROC", f"{metrics.auroc(LABELS, SCORES):.3f}"]
    assert any(line.startswith("AUPR, tumour positive") and "prevalence 0.250" in line for line in lines)
    assert any(line.startswith("AUPR, normal positive") and "prevalence 0.750" in line for line in lines)
    assert sum("(point of the test curve)" in line for line in lines) == 2
    assert len({line.index("[") for line in lines[1:]}) == 1


def test_masks_that_contradict_the_labels_are_noted() -> None:
    masks = np.zeros((200, 4, 4), dtype=bool)
    masks[np.flatnonzero(LABELS == 1)[:47], 1, 1] = True
    masks[1, 0, 0] = True
    notes = evaluate(LABELS, SCORES, masks=masks, maps=RNG.normal(size=masks.shape), draws=DRAWS).notes
    assert notes == (
        "3 abnormal images have an empty mask; their pixels count as normal",
        "1 normal images have lesion pixels in their mask; check labels and masks",
    )


def test_masks_without_a_lesion_leave_pixel_metrics_undefined() -> None:
    masks = np.zeros((200, 4, 4), dtype=bool)
    evaluation = evaluate(LABELS, SCORES, masks=masks, maps=RNG.normal(size=masks.shape), draws=DRAWS)
    assert evaluation.pixels["pixel_ap"].how == "no lesion pixels: pixel AP cannot be computed"
    assert np.isnan(evaluation.pixels["aupro"].value)


@pytest.mark.parametrize("what", ["groups", "sex"])
def test_values_that_are_not_one_per_image_are_refused(what: str) -> None:
    short = ["a"] * 199
    arguments = {"groups": short} if what == "groups" else {"subgroups": {"sex": short}}
    with pytest.raises(ScoresError, match=f"{what}: expected 200 values, one per image"):
        evaluate(LABELS, SCORES, **arguments)  # type: ignore[arg-type]


def test_scores_that_are_not_finite_are_refused_before_any_work() -> None:
    scores = SCORES.copy()
    scores[17] = np.nan
    with pytest.raises(ScoresError, match="at index 17"):
        evaluate(LABELS, scores)


def test_paired_is_delongs_of_one_seed_and_of_several() -> None:
    worse = SCORES + RNG.normal(size=200)
    difference = paired(LABELS, SCORES, worse)
    assert (difference.auroc, difference.pvalue) == delong_paired(LABELS, SCORES, worse)
    by_patient = paired(LABELS, SCORES, worse, groups=PATIENTS)
    assert by_patient.how == "paired DeLong over 100 patients"
    assert by_patient.auroc.value == pytest.approx(difference.auroc.value)
    by_seed = paired(LABELS, np.stack([SCORES, worse]), worse)
    assert by_seed.how == "paired DeLong over 200 images x 2 and 1 seeds"
    assert json.loads(json.dumps(by_seed.to_json(), allow_nan=False))["auroc"]["value"] == by_seed.auroc.value


def test_too_few_images_or_patients_of_a_class_for_the_bootstrap_are_told() -> None:
    labels, scores = np.repeat([0, 1], [60, 19]), np.random.default_rng(0).normal(size=79)
    assert evaluate(labels, scores, draws=DRAWS).notes[0].startswith("19 abnormal images: with so few")
    assert evaluate(1 - labels, scores, draws=DRAWS).notes[0].startswith("19 normal images: with so few")
    assert (
        evaluate(labels[1:], scores[1:], groups=list(map(str, np.arange(78) // 6)), draws=DRAWS)
        .notes[0]
        .startswith("4 patients with abnormal images: with so few")
    )
    enough = np.repeat([0, 1], [60, 20])
    assert evaluate(enough, np.arange(80.0), draws=DRAWS).notes == ()


@pytest.mark.slow
def test_the_bootstrap_of_few_abnormal_images_covers_as_seldom_as_is_said() -> None:
    rng, labels = np.random.default_rng(1), np.repeat([0, 1], [100, 15])
    of = (metrics.aupr_abnormal, metrics.aupr_normal, metrics.fpr_at_95_sensitivity)
    many = np.repeat([0, 1], [400_000, 60_000])
    everyone = rng.normal(size=len(many)) + many
    truths = [metric(many, everyone) for metric in of]
    held = np.zeros(3)
    for _ in range(200):
        intervals = Intervals(draws=300)
        scores = rng.normal(size=115) + labels
        found = [intervals.of_ranking(metric, labels, scores) for metric in of]
        held += [one.low <= truth <= one.high for one, truth in zip(found, truths, strict=True)]
    assert held / 200 == pytest.approx([0.90, 0.86, 0.72], abs=0.08)


def test_the_same_seed_gives_the_same_evaluation() -> None:
    first, second = (evaluate(LABELS, SCORES, groups=PATIENTS, draws=DRAWS, seed=3).to_json() for _ in range(2))
    assert first == second


def test_a_rate_of_one_patient_has_no_bounds_and_that_of_the_other_class_has_its_own() -> None:
    labels, flags = np.repeat([1, 0], [10, 40]), np.zeros(50, bool)
    flags[:9] = flags[10:14] = True
    groups = np.array(["p"] * 10 + [f"n{i // 2}" for i in range(40)])
    ours, other = (Intervals(groups).of_decisions(m, labels, flags) for m in (metrics.sensitivity, metrics.specificity))
    assert (ours.value, math.isnan(ours.low)) == (0.9, True)
    assert ours.how == "no interval: one patient of a class, its spread is unknown"
    assert (other.value, other.how) == (0.9, "exact binomial over 20 patients")
    assert (other.low, other.high) == pytest.approx((stats.beta.ppf(0.025, 18, 3), stats.beta.ppf(0.975, 19, 2)))


def test_a_rate_near_zero_over_seeds_is_no_surer_than_one_seeds() -> None:
    labels = np.repeat([0, 1], [100, 42])
    flags = np.zeros((5, 142), bool)
    flags[0, 100] = True
    near, none = (Intervals().of_decisions(metrics.sensitivity, labels, some) for some in (flags, flags[1:]))
    assert near.value == pytest.approx(1 / 5 / 42)
    assert near.low == pytest.approx(stats.beta.ppf(0.025, 0.2, 42.8), abs=1e-6)
    assert near.high == pytest.approx(stats.beta.ppf(0.975, 1.2, 41.8))
    assert near.high > none.high > 0.08
    assert "no narrower than exact binomial over 42 images" in near.how
    middle = Intervals().of_decisions(metrics.sensitivity, labels, np.arange(142) % 2 == np.zeros((3, 1)))
    assert "binomial" not in middle.how
