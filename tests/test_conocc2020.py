"""ConOCC's protocol: its tables, its grid, its features, and claims judged by numbers alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from normoscope.protocols import Claim, Outcome, Verdict
from normoscope.protocols._conocc_claims import claims
from normoscope.protocols._conocc_features import purity
from normoscope.protocols._conocc_grid import RATES, SETTINGS, grid_figure, grid_numbers, grid_table
from normoscope.protocols._pairs import clear, differences_over_folds, told
from normoscope.protocols._rows import Row
from normoscope.protocols.conocc2020 import PUBLISHED, ConOCC2020
from normoscope.runner import Job, Result
from toys import TESTED

# claims


def difference(value: float, holm: float | None = 0.001) -> dict[str, Any]:
    """A difference of two AUROCs, as the tables hold it."""
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "how": "", "pvalue": holm, "holm": holm}


def numbers(
    pairs: Mapping[str, Mapping[str, Any]], change: Mapping[str, Any] | None = None, figure6: Any = None
) -> dict[str, Any]:
    return {"table2_pairs": pairs, "table3_pairs": {}, "figure5": {"change": change or {}}, "figure6": figure6 or {}}


def test_claims_hold_fail_or_wait_by_the_numbers() -> None:
    rivals = [method for method in PUBLISHED if method != "conocc"]
    ahead = dict.fromkeys(rivals, difference(0.1))
    found = {c.text: c for c in claims(numbers({"conocc": ahead, "sae": {"cae": difference(-0.1)}}), quick=False)}
    first = "ConOCC's AUROC is above that of all seven rivals"
    assert found[first].verdict is Verdict.HOLDS
    assert "sae +0.100 [+0.090, +0.110], p = 0.001" in found[first].why
    assert found["SAE is better than CAE"].verdict is Verdict.FAILS
    assert found["the same under cross-validation"].verdict is Verdict.UNTESTED

    def verdict(**other: Any) -> Verdict:
        return claims(numbers({"conocc": ahead | other}), quick=False)[0].verdict

    assert verdict(sae=difference(-0.1)) is Verdict.FAILS
    assert verdict(sae=difference(0.1, 0.06)) is Verdict.FAILS, "ahead, but not beyond chance"
    assert verdict(sae=difference(0.1, None)) is Verdict.FAILS, "no test"
    some = claims(numbers({"conocc": {"cae": difference(0.1)}}), quick=False)
    assert some[0].verdict is Verdict.UNTESTED
    assert "not run yet: ocsvm" in some[0].why
    assert some[2].verdict is Verdict.HOLDS, "better than CAE asks for no other rival"


def test_robustness_compares_what_the_learning_rate_changes() -> None:
    def claim(cae: Any, *ours: float) -> Claim:
        change = {"cae": cae, **{f"conocc γ=1 T={number}": difference(value) for number, value in enumerate(ours)}}
        return next(c for c in claims(numbers({}, change), quick=False) if "robust" in c.text)

    held = claim(difference(-0.1), 0.05, -0.05, 0.2)
    assert held.verdict is Verdict.HOLDS
    assert "CAE's AUROC by -0.100" in held.why
    assert "by 0.100 on average" in held.why
    assert "in 2 of 3 settings" in held.why
    assert claim(difference(-0.1), 0.05, -0.15).verdict is Verdict.FAILS, "half is no majority"
    assert claim(difference(-0.1, 0.2), 0.05).verdict is Verdict.FAILS, "CAE does not change beyond chance"


def made_row(results: list[list[float]], labels: list[int], part: str = "own") -> Row:
    """A row of trials that scored the same images."""
    values = [
        {"labels": labels, "groups": [], "counts": {"train": 8, "held_out": 0, "test": len(labels)}, part: {"test": r}}
        for r in results
    ]
    return Row([Result(Job("", "", {}), value, 0.0, "", {}) for value in values], part)


def test_differences_over_folds_are_of_the_mean_and_their_variance_counts_the_overlap() -> None:
    labels = [0, 0, 1, 1]
    perfect, half, none = [0.0, 0.1, 0.8, 0.9], [0.0, 0.8, 0.1, 0.9], [0.9, 0.8, 0.1, 0.0]
    one, other = made_row([perfect] * 3, labels), made_row([half, none, half], labels)
    found = differences_over_folds({"other": (one, other), "itself": (one, one)})
    values = np.array([0.25, 1.0, 0.25])
    error = np.sqrt((1 / 3 + 4 / 8) * np.var(values, ddof=1))
    assert found["other"]["value"] == pytest.approx(0.5)
    assert found["other"]["high"] - 0.5 == pytest.approx(stats.t.ppf(0.975, 2) * error)
    assert found["other"]["pvalue"] == pytest.approx(2 * stats.t.sf(0.5 / error, 2))
    assert found["other"]["holm"] == pytest.approx(min(1, 2 * found["other"]["pvalue"]))
    assert not clear(found["other"])
    assert found["itself"]["pvalue"] == 1.0
    assert told(found["itself"]) == "+0.000, p = 1.000"


def test_the_grid_compares_both_rates_of_every_setting_and_draws_them() -> None:
    labels = [0, 0, 1, 1]
    perfect, half = [0.0, 0.1, 0.8, 0.9], [0.0, 0.8, 0.1, 0.9]
    found = {"cae λ=0.0001": made_row([perfect], labels, "autoencoder"), "cae λ=0.001": made_row([half], labels)}
    found |= {SETTINGS[1].row(rate): made_row([half], labels) for rate in RATES}
    assert "conocc λ=0.001 γ=0.01 T=20" in found
    made = grid_numbers(found)
    assert made["auroc"]["cae λ=0.0001"] == 1.0
    assert made["change"]["cae"]["value"] == pytest.approx(0.25)
    assert made["change"]["conocc γ=0.01 T=20"]["value"] == 0.0
    rows = grid_table(made, []).rows
    assert [row[:3] for row in rows] == [["cae", "1.000", "0.750"], ["conocc γ=0.01 T=20", "0.750", "0.750"]]
    assert "conocc, γ = 0.01" in grid_figure(made).svg


# features


def test_neighbour_purity_counts_the_five_nearest_others_with_the_same_label() -> None:
    near = np.arange(6) * 0.01
    codes = np.concatenate([near, 10 + near])[:, None]
    apart = np.repeat([0, 1], 6)
    assert purity(codes, apart) == 1.0
    # one stranger in each cluster: it has no neighbour of its label, the five others have four of five
    mixed = apart.copy()
    mixed[[0, 6]] = [1, 0]
    assert purity(codes, mixed) == pytest.approx((10 * 0.8 + 0) / 12)


def test_compactness_is_judged_by_scale_and_density() -> None:
    def features(spread: float, inner: float) -> dict[str, Any]:
        return {"variance": 2.0, "spread": {"train": spread}, "inner": inner, "purity": 0.6, "chance": 0.5}

    def verdict(ours: dict[str, Any]) -> Verdict:
        both = numbers({}, figure6={"cae": features(2.0, 0.3), "conocc": ours})
        return next(c.verdict for c in claims(both, quick=False) if "compact" in c.text and "Figure 6" in c.where)

    assert verdict(features(0.1, 0.4)) is Verdict.HOLDS
    assert verdict(features(0.1, 0.2)) is Verdict.FAILS
    assert verdict(features(2.5, 0.4)) is Verdict.FAILS


# tables

STRENGTH = {"conocc": 2.0, "cae": 1.0, "sae": 1.0, "cocsvm": 0.8, "ocsvm": 0.6, "dagmm": 0.5, "deep_svdd": 0.4,
            "anogan": 0.3, "knn": 3.0, "trivial": 0.2}  # fmt: skip
"""How far apart the classes score, in standard deviations of a class."""


def made_up(job: Job) -> Result:
    """Invent a trial: the larger λ takes half of a method's strength, but none of ConOCC's."""
    arguments = job.arguments
    rng = np.random.default_rng([arguments["seed"], len(job.name)])
    labels = np.repeat([0, 1], TESTED)
    rate = arguments["recipe"].get("learning_rate", 0)

    def part(method: str) -> dict[str, Any]:
        shift = STRENGTH[method] * (0.5 if rate == max(RATES) and method != "conocc" else 1.0)
        return {"test": (rng.standard_normal(2 * TESTED) + shift * labels).tolist(), "held_out": [rate + 1.0] * 5}

    method = arguments["method"]
    value: dict[str, Any] = {
        "labels": labels.tolist(),
        "groups": [],
        "counts": {"train": 40, "held_out": 0, "test": 2 * TESTED},
        "own": part(method),
        "autoencoder": part("cae") if method == "cocsvm" else None,
        "losses": None,
        "fit_seconds": 1.0,
    }
    if job.name.startswith("figure6"):
        radii = {name: [0.5, 1.0, 2.0] for name in ("train", "held_out", "normal", "abnormal")}
        spread = dict.fromkeys(radii, 1.0 if method == "cae" else 0.1)
        plane = {"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 0.0], "radius": [0.5, 1.0, 2.0]}
        value = {"variance": 1.0, "spread": spread, "radii": radii, "purity": 0.6, "chance": 0.5, "tsne": plane}
    return Result(job, value, 1.0, "2026-01-01T00:00:00+00:00", {})


@pytest.fixture(scope="module")
def outcome(small_papers: Path) -> Outcome:
    """What the protocol comes to on invented trials."""
    protocol = ConOCC2020()
    plan = protocol.plan()
    return protocol.outcome([made_up(job) for job in plan.jobs], plan.absent)


def lines(outcome: Outcome, title: str) -> dict[str, list[str]]:
    table = next(table for table in outcome.tables if table.title.startswith(title))
    assert all(len(row) == len(table.columns) for row in table.rows)
    return {row[0]: list(row[1:]) for row in table.rows}


def test_table_2_has_every_method_and_says_how_each_rate_was_chosen(outcome: Outcome) -> None:
    found = lines(outcome, "Table 2: chest")
    assert list(found) == [
        "ocsvm",
        "cocsvm λ=0.0001, lowest held-out error",
        "cocsvm λ=0.001",
        "dagmm",
        "deep_svdd",
        "anogan",
        "sae λ=0.0001, lowest held-out error, better on the test (oracle)",
        "sae λ=0.001",
        "cae λ=0.0001, lowest held-out error, better on the test (oracle)",
        "cae λ=0.001",
        "conocc",
        "knn",
        "trivial contrast",
        "trivial gradient",
        "trivial bytes",
    ]
    assert [found["conocc"][k] for k in (1, 3, 5)] == ["0.624", "0.519", "0.739"]
    assert found["knn"][1] == "–"


def test_differences_stand_beside_the_published_ones(outcome: Outcome) -> None:
    once, folds = (lines(outcome, f"{name}: paired differences") for name in ("Table 2", "Table 3"))
    assert once["conocc − ocsvm"][1] == f"{0.624 - 0.548:+.3f}"
    assert folds["conocc − ocsvm"][1] == f"{0.616 - 0.580:+.3f}"
    assert once["conocc − knn"][1] == "–"
    assert once.keys() == folds.keys()
    assert len(once) == 7 + 4 + 3 + 4
    best = outcome.numbers["table2"]["cae λ=0.0001"]["auroc"]["value"]
    assert outcome.numbers["table2_pairs"]["conocc"]["cae"]["value"] == pytest.approx(
        outcome.numbers["table2"]["conocc"]["auroc"]["value"] - best
    )


def test_every_claim_is_judged_by_invented_trials(outcome: Outcome) -> None:
    verdicts = {claim.text.partition(":")[0]: claim.verdict for claim in outcome.claims}
    assert verdicts.pop("best on breast MRI and on FFDM") is Verdict.UNTESTED
    assert verdicts["ConOCC's AUROC is above that of all seven rivals"] is Verdict.HOLDS
    assert verdicts["SAE is better than CAE"] is Verdict.FAILS
    assert set(verdicts.values()) == {Verdict.HOLDS, Verdict.FAILS}
    assert [figure.name for figure in outcome.figures] == ["conocc2020_figure5", "conocc2020_figure6"]
    assert len(lines(outcome, "Figure 5")) == 21


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_results_may_be_missing(share: float, small_papers: Path) -> None:
    protocol = ConOCC2020(seeds=1)
    plan = protocol.plan()
    outcome = protocol.outcome([made_up(job) for job in plan.jobs[: round(share * len(plan.jobs))]], plan.absent)
    assert outcome.tables
    assert Verdict.UNTESTED in {claim.verdict for claim in outcome.claims}
    if not share:
        assert {claim.verdict for claim in outcome.claims} == {Verdict.UNTESTED}
