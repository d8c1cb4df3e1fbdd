from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import normoscope as ns
from normoscope.calibration import Above, Calibration, Outside, conformal_rule, mean_sd_rule, needed_for
from normoscope.errors import NotCalibratedError, OptionError, ScoresError
from normoscope.images import as_images
from normoscope.methods.knn import KNN
from normoscope.statistics import binomial
from normoscope.types import Run

ALPHAS = st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.29, 1 / 3, 0.5, 0.9])


def brute_pvalue(calibration: NDArray[np.float64], score: float) -> float:
    return (1 + sum(1 for s in calibration if s >= score)) / (len(calibration) + 1)


@settings(max_examples=200, deadline=None)
@given(
    calibration=st.lists(st.integers(0, 8), min_size=1, max_size=40),
    scores=st.lists(st.integers(-1, 9), min_size=1, max_size=20),
    alpha=ALPHAS,
)
def test_pvalues_follow_their_definition_and_the_rule_flags_exactly_those_up_to_alpha_ties_included(
    calibration: list[int], scores: list[int], alpha: float
) -> None:
    normals, new = np.array(calibration, float), np.array(scores, float)
    fitted = Calibration.fit(normals, alpha=alpha)
    pvalues = fitted.pvalues(new)
    np.testing.assert_allclose(pvalues, [brute_pvalue(normals, s) for s in new], rtol=1e-15)
    flags = fitted.flags(new)
    if flags is None:
        assert len(normals) < needed_for(alpha)
    else:
        np.testing.assert_array_equal(flags, pvalues <= alpha + 1e-12)


@pytest.mark.parametrize(("alpha", "needed"), [(0.05, 19), (0.01, 99), (0.1, 9), (0.2, 4), (0.29, 3), (0.5, 1)])
def test_a_rate_needs_this_many_normals_and_not_one_fewer(alpha: float, needed: int) -> None:
    assert needed_for(alpha) == needed
    assert conformal_rule(np.arange(needed, dtype=float), alpha) == Above(needed - 1)
    if needed > 1:
        with pytest.raises(NotCalibratedError):
            conformal_rule(np.arange(needed - 1, dtype=float), alpha)


def test_a_rate_whose_binary_form_falls_short_still_allows_what_it_says() -> None:
    # 0.29 * 100 is 28.999999999999996 in binary: 29 of 100 ranks are allowed, not 28
    assert conformal_rule(np.arange(99, dtype=float), 0.29).threshold == 70.0


def test_with_too_few_normals_fitting_succeeds_and_says_what_is_missing() -> None:
    fitted = Calibration.fit(np.arange(18.0))
    assert not fitted.calibrated
    assert fitted.status == "not calibrated: 19 normals needed, 18 given"
    assert fitted.flags(np.array([100.0])) is None
    with pytest.raises(NotCalibratedError, match="not calibrated: 19 normals needed, 18 given"):
        Calibration.fit(np.arange(18.0), strict=True)


def test_no_normals_at_all_leave_a_calibration_that_says_so() -> None:
    assert Calibration.fit(np.empty(0)).status == "not calibrated: 19 normals needed, 0 given"


def test_the_band_holds_the_realised_rate_nine_times_in_ten() -> None:
    rng = np.random.default_rng(0)
    n, alpha = 200, 0.05
    low, high = Calibration.fit(rng.random(n), alpha=alpha).band()
    # on uniform scores the rate one calibration realises is one minus its threshold
    rates = np.array([1 - conformal_rule(rng.random(n), alpha).threshold for _ in range(4000)])
    assert np.mean((rates >= low) & (rates <= high)) == pytest.approx(0.9, abs=0.015)
    assert np.mean(rates < low) == pytest.approx(0.05, abs=0.012)
    assert f"{low:.3f}-{high:.3f}" in Calibration.fit(rng.random(n), alpha=alpha).status


def test_of_tied_scores_no_false_alarm_rate_is_promised_from_below() -> None:
    collapsed = Calibration.fit(np.zeros(135))
    assert not collapsed.rule(np.zeros(10)).any()
    assert "the realised rate is at most 0.076 nineteen times in twenty (scores tie" in collapsed.status
    assert "0.020-0.076 nine times in ten" in Calibration.fit(np.arange(135.0)).status


def test_the_chance_of_so_many_false_alarms_counts_the_orders_of_exchangeable_normals() -> None:
    n, of = 40, 30
    fitted, allowed = Calibration.fit(np.arange(float(n))), 2
    # in how many of all orders of calibration and new scores do exactly k new ones lie above the threshold
    ways = [math.comb(k + allowed - 1, k) * math.comb(n - allowed + of - k, of - k) for k in range(of + 1)]
    assert sum(ways) == math.comb(n + of, of)
    for k in range(of + 1):
        tail = min(sum(ways[k:]), sum(ways[: k + 1])) / sum(ways)
        assert fitted.chance(k, of) == pytest.approx(min(1.0, 2 * tail))


def test_what_chance_allows_is_the_most_that_is_not_surprising() -> None:
    fitted = Calibration.fit(np.arange(60.0))
    most = fitted.usual(100)
    assert fitted.chance(most + 1, 100) <= 0.05 < fitted.chance(most, 100)


def test_the_histogram_of_new_normals_lies_in_the_band_nineteen_times_in_twenty() -> None:
    rng, inside = np.random.default_rng(0), []
    for _ in range(400):
        fitted = Calibration.fit(rng.random(39))
        usual = fitted.usual_shares(200, 10)
        assert usual is not None
        low, high = usual
        shares = np.histogram(fitted.pvalues(rng.random(200)), 10, (0, 1))[0] / 200
        inside.append((low <= shares) & (shares <= high))
    assert 0.95 <= np.mean(inside) < 0.975  # counts are whole, so a little more
    assert high.max() > 0.2  # around an expected 0.1
    few = Calibration.fit(np.arange(4.0), alpha=0.5).usual_shares(20, 10)
    assert few is not None
    assert few[:, 0].tolist() == [0.0, 0.0]


def test_scores_that_repeat_have_no_band_for_their_histogram() -> None:
    rng = np.random.default_rng(0)
    assert Calibration.fit(rng.integers(0, 4, 60).astype(float)).usual_shares(200, 10) is None
    assert Calibration.fit(np.append(rng.random(59), 0.5)).usual_shares(200, 10) is not None


def test_without_any_calibration_score_there_is_no_pvalue() -> None:
    with pytest.raises(NotCalibratedError, match="not calibrated: 19 normals needed, 0 given"):
        Calibration.fit(np.empty(0)).pvalues(np.array([1.0]))
    assert Calibration.fit(np.arange(4.0)).pvalues(np.array([9.0])).tolist() == [0.2]  # few, and no rule at 5 %


def test_scores_that_are_no_numbers_and_patients_of_another_length_are_refused() -> None:
    fitted = Calibration.fit(np.arange(40.0))
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ScoresError, match="anomaly scores: expected finite numbers, got 1 of 2 that are not"):
            fitted.pvalues(np.array([bad, 100]))
        with pytest.raises(ScoresError, match="anomaly scores: expected finite numbers, got 1 of 2 that are not"):
            fitted.flags(np.array([bad, 100]))  # nan would pass for normal
        with pytest.raises(ScoresError, match="got 1 of 41 that are not"):
            Calibration.fit(np.append(np.arange(40.0), bad))
    for patients in (["a", "b"], ["a", None]):
        with pytest.raises(ScoresError, match=f"patients: expected 4, one per score, got {len(patients)}"):
            Calibration.fit(np.arange(4.0), patients)


def test_few_calibration_normals_do_not_make_other_normals_of_the_kind_look_strange() -> None:
    rng = np.random.default_rng(0)
    surprising, outside = [], []
    for _ in range(600):
        fitted, new = Calibration.fit(rng.random(60)), rng.random(300)
        flags = fitted.flags(new)
        assert flags is not None
        surprising.append(fitted.chance(int(flags.sum()), len(new)) < 0.05)
        rate = binomial(int(flags.sum()), len(new), "images")
        outside.append(not rate.low <= 0.05 <= rate.high)
    assert np.mean(surprising) <= 0.06
    assert np.mean(outside) > 0.2  # why the rate's own interval does not tell


def test_scores_tied_with_the_threshold_make_too_few_alarms_no_surprise() -> None:
    scores = np.repeat([0.0, 1.0], [100, 100])
    assert Calibration.fit(scores, alpha=0.2).chance(0, 1000) == 1.0
    assert Calibration.fit(np.arange(200.0), alpha=0.2).chance(0, 1000) < 1e-9
    assert Calibration.fit(scores, alpha=0.2).chance(900, 1000) < 1e-9


def test_with_patients_the_unit_is_each_patients_largest_score() -> None:
    scores = np.array([0.1, 0.9, 0.5, 0.3, 0.7, 0.2])
    fitted = Calibration.fit(scores, ["a", "a", "b", "c", "c", "c"], alpha=0.3)
    assert fitted.scores.tolist() == [0.5, 0.7, 0.9]
    assert (fitted.unit, fitted.images) == ("patient", 6)
    assert fitted.rule == Above(0.9)
    assert fitted.pvalue_note == "per image, not guaranteed across patients"


def test_with_patients_it_is_patients_that_are_too_few() -> None:
    patients = [str(i // 10) for i in range(100)]
    fitted = Calibration.fit(np.arange(100.0), patients)
    assert fitted.status == "not calibrated: 19 normal patients needed, 10 given"
    with pytest.raises(NotCalibratedError, match="19 normal patients needed, 10 given"):
        Calibration.fit(np.arange(100.0), patients, strict=True)


def test_images_of_unknown_patients_make_the_image_the_unit() -> None:
    fitted = Calibration.fit(np.arange(4.0), ["a", None, "b", "b"], alpha=0.25)
    assert (fitted.unit, len(fitted.scores)) == ("image", 4)
    assert fitted.pvalue_note == "per image"


def test_mean_and_sd_rules_by_hand() -> None:
    scores = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    sd = 2.5**0.5
    upper, both = mean_sd_rule(scores, 1.5), mean_sd_rule(scores, 1.5, two_sided=True)
    assert upper == Above(pytest.approx(3 + 1.5 * sd))
    assert both == Outside(pytest.approx(3 - 1.5 * sd), pytest.approx(3 + 1.5 * sd))
    assert both(np.array([0.6, 0.7, 5.3, 5.4])).tolist() == [True, False, False, True]
    assert upper(np.array([0.0, 5.3, 5.4])).tolist() == [False, False, True]
    status = Calibration.fit(scores, kind="two-sided", k=1.5).status
    assert status == "score < 0.628292 or score > 5.37171 (mean ± 1.5 sd, no guarantee)"


def test_one_normal_has_no_standard_deviation() -> None:
    assert Calibration.fit(np.array([1.0]), kind="upper").status == "not calibrated: 2 normals needed, 1 given"


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 5.0, float("nan")])
def test_a_rate_outside_0_and_1_is_refused(alpha: float) -> None:
    with pytest.raises(OptionError, match="--false-alarms: expected a rate between 0 and 1"):
        Calibration.fit(np.arange(30.0), alpha=alpha)


def test_an_unknown_rule_and_a_nonsensical_k_are_refused() -> None:
    with pytest.raises(OptionError, match="--rule: expected conformal, upper or two-sided, got 'youden'"):
        Calibration.fit(np.arange(30.0), kind="youden")
    for k in (0.0, -1.0, float("nan")):
        with pytest.raises(OptionError, match="--k: expected a number above 0"):
            Calibration.fit(np.arange(30.0), kind="upper", k=k)


@pytest.mark.parametrize("kind", ["conformal", "upper", "two-sided"])
@pytest.mark.parametrize("count", [1, 40])
def test_a_calibration_survives_json(kind: str, count: int) -> None:
    scores = np.random.default_rng(0).random(count)
    fitted = Calibration.fit(scores, [f"p{i}" for i in range(count)], kind=kind, map_scale=0.25)
    again = Calibration.from_json(json.loads(json.dumps(fitted.to_json())))
    np.testing.assert_array_equal(again.scores, np.sort(scores))
    assert again.to_json() == fitted.to_json()
    assert again.rule == fitted.rule
    assert again.status == fitted.status


def test_on_exchangeable_scores_the_mean_false_alarm_rate_keeps_its_promise() -> None:
    rng = np.random.default_rng(7)
    alpha, rates = 0.05, []
    for _ in range(200):
        scores = rng.lognormal(size=600)
        calibration = Calibration.fit(scores[:300], alpha=alpha)
        flags = calibration.flags(scores[300:])
        assert flags is not None
        rates.append(flags.mean())
    monte_carlo = np.std(rates, ddof=1) / len(rates) ** 0.5
    assert np.mean(rates) <= alpha + 2 * monte_carlo
    # nor is the promise kept by flagging nothing
    assert np.mean(rates) >= alpha - 1 / 301 - 3 * monte_carlo


def test_on_real_normals_false_alarms_keep_their_rate_and_the_official_test_need_not(
    real_data: Callable[[str], Path],
) -> None:
    path = real_data("medmnist/pneumoniamnist.npz")
    samples = ns.load(f"medmnist:{path}", normal_class="normal").samples
    pixels = {
        split: np.stack([s.read() for s in samples if s.label == 0 and s.split == split]) for split in ("train", "test")
    }
    assert len(pixels["train"]) == 1214
    rng = np.random.default_rng(0)
    order = rng.permutation(1214)
    detector = KNN().fit(as_images(pixels["train"][order[:607]]), Run())
    scores = {
        split: detector.anomaly_score(as_images(rows).batch(np.arange(len(rows)))).double().numpy()
        for split, rows in (("rest", pixels["train"][order[607:]]), ("test", pixels["test"]))
    }
    alpha, held_out, official = 0.05, [], []
    for _ in range(200):
        cut = rng.permutation(607)
        rule = conformal_rule(scores["rest"][cut[:303]], alpha)
        held_out.append(rule(scores["rest"][cut[303:]]).mean())
        official.append(rule(scores["test"]).mean())
    assert np.mean(held_out) <= alpha + 0.01
    # PneumoniaMNIST's test normals are not exchangeable with its training normals, and the rate there shows it
    print(f"false alarms: held-out {np.mean(held_out):.3f}, official test {np.mean(official):.3f}, wished {alpha}")
    assert np.mean(official) > np.mean(held_out)


def test_mean_and_sd_rules_are_of_images_also_where_patients_are_known() -> None:
    rng = np.random.default_rng(0)
    scores, patients = rng.normal(size=4000), [str(i // 4) for i in range(4000)]
    fitted = Calibration.fit(scores, patients, kind="two-sided")
    assert fitted.unit == "patient"
    assert fitted.rule == mean_sd_rule(scores, 2.0, two_sided=True)
    assert fitted.rule(rng.normal(size=100_000)).mean() == pytest.approx(0.046, abs=0.01)
    assert Calibration.fit(np.ones(1), ["a"], kind="upper").status == "not calibrated: 2 normals needed, 1 given"


def test_a_rate_next_to_1_allows_no_more_than_all_normals() -> None:
    assert conformal_rule(np.arange(20.0), 1 - 1e-11) == Above(0.0)
