from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from normoscope.errors import OptionError
from normoscope.selection import Curves, Selector, choose, evidence


def curves(**given: Any) -> Curves:
    """Curves of five latent sizes whose redraws all equal what was measured, unless given as rows."""
    values = (1, 2, 4, 8, 16)
    rows = {name: np.atleast_2d(np.asarray(value, float)) for name, value in given.items()}
    rows = {name: value if len(value) > 1 else np.repeat(value, 4, 0) for name, value in rows.items()}
    planted = {"blur": rows.pop("planted", np.full((4, 5), 0.5))}
    return Curves("latent_dim", values, rows.get("error"), planted, rows.get("bits"), rows.get("dimension"))


def run(rng: np.random.Generator, shift: float, **more: Any) -> dict[str, Any]:
    """One job value: twenty normals, two copies of each planted with one kind."""
    scores = (rng.normal(size=40) + shift).tolist()
    return {
        "held_out": rng.normal(size=20).tolist(),
        "patients": None,
        "planted": {"blur": {"scores": scores, "from": [*range(20), *range(20)]}},
        "error": None,
        "entropy": None,
        **more,
    }


def test_the_knee_of_a_falling_error_is_where_it_lies_farthest_below_its_chord() -> None:
    # logs: 0, -2, -4, -4.1, -4.2; the chord falls by 1.05 a step, so the third point lies 1.9 below it
    found = curves(error=np.exp([0, -2, -4, -4.1, -4.2]))
    assert choose(found, Selector.KNEE).value == 4


def test_a_dimension_is_rounded_up_to_the_next_size_and_never_beyond_the_largest() -> None:
    assert choose(curves(dimension=[0.9, 1.7, 2.9, 4.4, 4.1]), Selector.DIMENSION).value == 8
    assert choose(curves(dimension=[1, 2, 4, 8, 20]), Selector.DIMENSION).value == 16
    assert choose(curves(dimension=[1, 2, 3, np.nan, np.nan]), Selector.DIMENSION).value == 4


def test_entropy_takes_the_first_size_whose_information_hardly_grows_any_more() -> None:
    assert choose(curves(bits=[2, 5, 8.9, 9.2, 10]), Selector.ENTROPY).value == 8
    assert choose(curves(bits=[2, 5, 9.1, 9.2, 10]), Selector.ENTROPY).value == 4


def test_planted_takes_the_smallest_size_within_one_standard_error_of_the_best() -> None:
    measured = np.array([0.60, 0.66, 0.69, 0.70, 0.68])
    rng = np.random.default_rng(0)
    redrawn = measured + rng.normal(0, 0.02, (4000, 5))
    assert choose(curves(planted=np.vstack([measured, redrawn])), Selector.PLANTED).value == 4
    sure = measured + rng.normal(0, 0.001, (4000, 5))
    assert choose(curves(planted=np.vstack([measured, sure])), Selector.PLANTED).value == 8


def test_a_choice_tells_how_often_redraws_agree() -> None:
    rows = np.array([[0.5, 0.9, 0.5, 0.5, 0.5]] * 4 + [[0.9, 0.5, 0.5, 0.5, 0.5]])
    choice = choose(curves(error=np.exp(-10 * rows)), Selector.KNEE)
    assert choice.value == 2
    assert choice.shares == {1: 0.25, 2: 0.75}
    assert str(choice) == "2 (of the redraws 75 % take 2, 25 % take 1)"


def test_where_nothing_was_drawn_again_no_agreement_is_claimed() -> None:
    rng = np.random.default_rng(0)
    errors = (3.0, 1.0, 0.9)
    one_seed = {size: [run(rng, 1.0, error={"held_out": error})] for size, error in enumerate(errors)}
    choice = choose(evidence("latent_dim", one_seed), Selector.KNEE)
    assert choice.shares == {}
    assert str(choice) == "1 (one seed: nothing was drawn again to tell how sure that is)"
    assert choose(evidence("latent_dim", one_seed), Selector.PLANTED).shares
    nowhere = curves(dimension=[1, 2, 3, np.nan, np.nan])
    assert choose(nowhere, Selector.DIMENSION).shares == {}


def test_a_selector_with_nothing_to_look_at_is_refused_with_those_that_have() -> None:
    found = curves(error=[3, 2, 1, 1, 1])
    assert Selector.usable(found) == [Selector.PLANTED, Selector.KNEE]
    with pytest.raises(OptionError, match=r"expected one of planted, knee, .* got 'entropy'"):
        choose(found, Selector.ENTROPY)


def test_a_knee_needs_the_error_of_every_candidate_and_a_dimension_is_compared_with_sizes_alone() -> None:
    for errors in ([8, 2, 1, 1, np.nan], [3, np.nan, 1, 1, 1], [3, 2, 1, 1, 0]):
        assert Selector.KNEE not in Selector.usable(curves(error=errors))
    found = curves(dimension=[1, 2, 2, 2, 2])
    assert Selector.DIMENSION in Selector.usable(found)
    for field, values in {"method": ("ae", "vae", "cae", "sae", "knn"), "gamma": (10.0, 1.0, 0.1, 0.01, 0.001)}.items():
        other = dataclasses.replace(found, field=field, values=values)
        assert Selector.usable(other) == [Selector.PLANTED]


@pytest.mark.parametrize(
    ("seeds", "spread", "off"), [(1, 0, 0.2), (2, 0, 0.35), (3, 0, 0.2), (5, 0, 0.2), (3, 0.5, 0.2)]
)
def test_redraws_vary_as_much_as_other_seeds_and_normals_would_make_the_figure_vary(
    seeds: int, spread: float, off: float
) -> None:
    rng, values, told = np.random.default_rng(7), [], []
    for _ in range(150):
        shifts = 1 + spread * rng.normal(size=seeds)
        found = evidence("latent_dim", {1: [run(rng, shift) for shift in shifts]}, draws=60).planted["blur"][:, 0]
        values.append(found[0])
        told.append(found[1:].var())
    assert math.sqrt(np.mean(told)) == pytest.approx(np.std(values, ddof=1), rel=off)


def test_patients_are_drawn_whole_with_what_was_planted_in_their_normals() -> None:
    patients, values, told = np.repeat(np.arange(5), 4), [], {True: [], False: []}
    rng = np.random.default_rng(8)
    for _ in range(60):
        one = run(rng, 1.0, patients=patients.tolist())
        one["held_out"] = (rng.normal(size=5)[patients] + 0.1 * rng.normal(size=20)).tolist()
        for known in told:
            job = one if known else one | {"patients": None}
            found = evidence("latent_dim", {1: [job]}, draws=60).planted["blur"][:, 0]
            told[known].append(found[1:].var())
        values.append(found[0])
    assert math.sqrt(np.mean(told[True])) == pytest.approx(np.std(values, ddof=1), rel=0.35)
    assert math.sqrt(np.mean(told[False])) < 0.65 * np.std(values, ddof=1)


def test_evidence_as_measured_is_the_mean_over_seeds_of_sklearns_auroc() -> None:
    rng = np.random.default_rng(1)
    found = {size: [run(rng, shift) for _ in range(3)] for size, shift in ((1, 0.2), (2, 1.0))}
    for i, runs in enumerate(found.values()):
        expected = [
            roc_auc_score([0] * 20 + [1] * 40, one["held_out"] + one["planted"]["blur"]["scores"]) for one in runs
        ]
        assert evidence("latent_dim", found, draws=10).planted["blur"][0, i] == pytest.approx(np.mean(expected))


def test_a_redraw_takes_a_normal_together_with_what_was_planted_in_it() -> None:
    rng = np.random.default_rng(2)
    normal = rng.normal(size=20)
    one = run(rng, 0.0)
    one["held_out"] = normal.tolist()
    # every copy scores just above its own normal: the AUROC can then never fall below one half, whatever is drawn
    one["planted"]["blur"]["scores"] = [*(normal + 1e-9), *(normal + 1e-9)]
    drawn = evidence("latent_dim", {1: [one], 2: [one]}, draws=200).planted["blur"]
    assert drawn.min() > 0.5
    assert drawn[1:, 0].std() > 0


def test_candidates_meet_the_same_redraws_so_that_only_their_difference_counts() -> None:
    rng = np.random.default_rng(3)
    one = run(rng, 1.0)
    drawn = evidence("latent_dim", {1: [one, one], 2: [one, one]}, draws=50).planted["blur"]
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 1])


def test_what_one_seed_cannot_estimate_is_not_estimable() -> None:
    rng = np.random.default_rng(4)
    known = {"gaussian_information": {"value": 3.0}, "levina_bickel": {"value": 2.0}}
    unknown = {"gaussian_information": {"value": None}, "levina_bickel": {"value": 2.5}}
    found = evidence(
        "latent_dim",
        {1: [run(rng, 0, entropy=known)] * 2, 2: [run(rng, 0, entropy=known), run(rng, 0, entropy=unknown)]},
    )
    assert found.bits is not None
    assert found.dimension is not None
    assert found.bits[0, 0] == 3
    assert np.isnan(found.bits[0, 1])
    assert found.dimension[0, 1] == 2.25
