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
from normoscope.protocols._conocc_codes import purity
from normoscope.protocols._conocc_features import features_table, in_numbers
from normoscope.protocols._conocc_grid import RATES, SETTINGS, grid_figure, grid_numbers, grid_table
from normoscope.protocols._conocc_tables import PUBLISHED
from normoscope.protocols._pairs import better, differences, differences_over_folds, told
from normoscope.protocols._rows import Row
from normoscope.protocols.conocc2020 import ConOCC2020
from normoscope.runner import Job, Result
from toys import TESTED

# claims


def difference(value: float, holm: float | None = 0.001) -> dict[str, Any]:
    """A difference of two AUROCs, as the tables hold it."""
    bounds = {"low": value - 0.01, "high": value + 0.01}
    return {"value": value, **bounds, "how": "", "pvalue": holm, "holm": holm, "rows": ["", ""]}


def numbers(
    pairs: Mapping[str, Mapping[str, Any]], change: Mapping[str, Any] | None = None, figure6: Any = None,
    minus_cae: Mapping[str, Any] | None = None, missing: int = 0, first_favoured: Any = None, rate: Any = None,
) -> dict[str, Any]:  # fmt: skip
    auroc = dict.fromkeys(minus_cae or {}, 0.6)
    grid = {"change": change or {}, "auroc": auroc, "minus_cae": minus_cae or {}, "missing": missing}
    grid["beside"] = {}
    once = {"rival": pairs, "first": pairs if first_favoured is None else first_favoured}
    folds: dict[str, Any] = {"rival": {}, "first": {}}
    of_pairs = {"table2_pairs": once, "table3_pairs": folds}
    return {"table2": {}, **of_pairs, "figure5": grid, "rate": rate or {}, "figure6": figure6 or {}}


RIVALS = [method for method in PUBLISHED if method != "conocc"]
FIRST = "ConOCC is better than all seven rivals (AUROC, chest X-rays, Table 2)"
SAE_FIRST = "SAE is better than CAE (AUROC, chest X-rays, Table 2)"


def test_claims_hold_fail_or_wait_by_the_numbers() -> None:
    ahead = dict.fromkeys(RIVALS, difference(0.1))
    found = {c.text: c for c in claims(numbers({"conocc": ahead, "sae": {"cae": difference(-0.1)}}), quick=False)}
    assert found[FIRST].verdict is Verdict.HOLDS
    assert "sae +0.100 [+0.090, +0.110], p = 0.001" in found[FIRST].why
    of_abnormals = "aupr_abnormal of ocsvm 0.756 above 0.739, aupr_abnormal of sae 0.748 above 0.739"
    assert f"in the paper's own table {of_abnormals}" in found[FIRST].why
    [beyond_sae] = [
        why for text, why in ((c.text, c.why) for c in found.values()) if "than SAE: " in text and "2)" in text
    ]
    assert "in the paper's own table aupr_abnormal of sae 0.748 above 0.739" in beyond_sae
    assert "anogan with a quarter of its channels and 200 of 500 search steps" in found[FIRST].why
    assert found[SAE_FIRST].verdict is Verdict.FAILS
    assert found[FIRST.replace("Table 2", "Table 3")].verdict is Verdict.UNTESTED

    def claim(**other: Any) -> Claim:
        return claims(numbers({"conocc": ahead | other}), quick=False)[0]

    assert claim(sae=difference(-0.1)).verdict is Verdict.FAILS
    assert claim(sae=difference(-0.1), cae=difference(0.1, 0.06)).verdict is Verdict.FAILS, "one refutes all"
    for open_one in (difference(0.1, 0.06), difference(-0.1, 0.06), difference(0.1, None)):
        assert claim(sae=open_one).verdict is Verdict.UNTESTED, "chance decides nothing"
        assert claim(sae=open_one).why.startswith("undecided: ")
    some = claims(numbers({"conocc": {"cae": difference(0.1)}}), quick=False)
    assert some[0].verdict is Verdict.UNTESTED
    assert "not run yet: ocsvm" in some[0].why
    alone = next(c for c in some if c.text.startswith("ConOCC is better than CAE"))
    assert alone.verdict is Verdict.HOLDS, "better than CAE asks for no other rival"


def test_a_method_of_two_rates_is_better_by_the_rivals_best_one_and_worse_only_by_its_own() -> None:
    def claim(rival_favoured: float, first_favoured: float) -> Claim:
        swapped = {**difference(first_favoured), "rows": ["sae λ=0.0001", "cae λ=0.001"]}
        made = numbers({"sae": {"cae": difference(rival_favoured)}}, first_favoured={"sae": {"cae": swapped}})
        return next(c for c in claims(made, quick=False) if c.text == SAE_FIRST)

    assert claim(0.1, 0.2).verdict is Verdict.HOLDS
    torn = claim(-0.1, 0.1)
    assert torn.verdict is Verdict.UNTESTED, "the learning rate decides, not the method"
    assert "with sae's λ by the test, the other's by normals: cae +0.100" in torn.why
    assert claim(-0.2, -0.1).verdict is Verdict.FAILS
    waits = numbers({"sae": {"cae": difference(-0.1)}}, first_favoured={})
    assert next(c for c in claims(waits, quick=False) if c.text == SAE_FIRST).verdict is Verdict.UNTESTED


def test_robustness_compares_what_the_learning_rate_changes_at_full_length() -> None:
    def claim(cae: Any, conocc: Any, change: Mapping[str, Any] | None = None) -> Claim:
        made = numbers({}, change, rate={"cae": cae, "conocc": conocc})
        return next(c for c in claims(made, quick=False) if "robust" in c.text)

    def still(value: float) -> dict[str, Any]:
        return difference(value, 0.2)

    grid = {"cae": difference(-0.2), "conocc γ=1 T=20": still(0.05), "conocc γ=1 T=40": still(-0.15)}
    held = claim(difference(-0.1), still(0.02), grid)
    assert held.verdict is Verdict.HOLDS
    assert "the AUROC of cae by -0.100" in held.why
    assert "that of cae by -0.200 [-0.210, -0.190], p = 0.001 and conocc's by 0.100 on average" in held.why
    assert claim(difference(-0.1), difference(0.03)).verdict is Verdict.HOLDS, "it moves, but less than half as much"
    assert claim(difference(-0.1), difference(0.06)).verdict is Verdict.UNTESTED, "it moves more than half as much"
    assert claim(difference(-0.1), still(0.095)).verdict is Verdict.UNTESTED, "its interval reaches as far as CAE"
    assert claim(difference(-0.1), difference(-0.15)).verdict is Verdict.FAILS
    for near in (0.085, 0.105):
        assert claim(difference(-0.1), difference(near)).verdict is Verdict.UNTESTED, "both intervals overlap"
    assert claim(still(0.01), difference(-0.15)).verdict is Verdict.FAILS, "CAE is the steadier one"
    assert claim(still(-0.1), still(0.05)).verdict is Verdict.UNTESTED, "CAE does not change beyond chance"
    alone = next(c for c in claims(numbers({}, grid), quick=False) if "robust" in c.text)
    assert alone.verdict is Verdict.UNTESTED, "the grid decides nothing"
    assert alone.why.startswith("not run yet; at 150 and 32 px, ")


def test_high_counts_settings_above_cae_and_decides_nothing_of_one_seed() -> None:
    def claim(*ours: Any) -> Claim:
        against = {f"conocc λ=0.001 γ=1 T={number}": one for number, one in enumerate(ours)}
        found = claims(numbers({}, minus_cae=against), quick=False)
        return next(c for c in found if "majority of γ and T" in c.text)

    up, down, equal = difference(0.1), difference(-0.1), difference(0.1, 0.2)
    for two, above, below in ((up, 2, 0), (down, 0, 2)):
        found = claim(two, two, equal)
        assert found.verdict is Verdict.UNTESTED, "of one seed each, which all share"
        assert f"above CAE beyond chance in {above} of 3 settings and rates, below in {below};" in found.why
        assert "what another would change is not known" in found.why


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
    found = differences_over_folds({"other": (one, other), "itself": (one, one)}, 2)
    values = np.array([0.25, 1.0, 0.25])
    # the abnormal images, the same in every fold: what each adds to the difference, averaged over the folds
    by_image = np.mean([[0.5, 0.0], [1.0, 1.0], [0.5, 0.0]], axis=0)
    error = np.sqrt((1 / 3 + 4 / 8) * np.var(values, ddof=1) + np.var(by_image, ddof=1) / 2)
    assert found["other"]["value"] == pytest.approx(0.5)
    assert found["other"]["high"] - 0.5 == pytest.approx(stats.t.ppf(0.975, 2) * error)
    assert found["other"]["pvalue"] == pytest.approx(2 * stats.t.sf(0.5 / error, 2))
    assert found["other"]["holm"] == pytest.approx(min(1, 2 * found["other"]["pvalue"]))
    assert better(found["other"]) is None
    assert found["itself"]["pvalue"] == 1.0
    assert told(found["itself"]) == "+0.000, p = 1.000"


def test_abnormal_images_of_one_patient_count_together_over_folds() -> None:
    labels = [0, 0, 1, 1, 1, 1]
    apart = [[0.0, 0.1, 0.8, 0.9, 0.8, 0.9], [0.0, 0.5, 0.8, 0.9, 0.8, 0.3]]
    mixed = [[0.0, 0.1, -1.0, -1.0, 0.8, 0.9], [0.0, 0.5, -1.0, -1.0, 0.8, 0.9]]

    def width(groups: list[int]) -> float:
        rows = [made_row(runs, labels) for runs in (apart, mixed)]
        for row in rows:
            for result in row.results:
                result.value["groups"] = groups
        found = differences_over_folds({"mixed": (rows[0], rows[1])}, 1)["mixed"]
        return float(found["high"] - found["low"])

    assert width([0, 1, 2, 2, 3, 3]) > width([0, 1, 2, 3, 4, 5])


def test_a_pair_that_waits_counts_as_one_without_a_difference() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    good = made_row([(rng.standard_normal(400) + 0.4 * labels).tolist()], labels.tolist())
    bad = made_row([rng.standard_normal(400).tolist()], labels.tolist())
    alone, of_seven = (differences({"bad": (good, bad)}, planned)["bad"] for planned in (1, 7))
    assert alone["holm"] == alone["pvalue"]
    assert of_seven["holm"] == pytest.approx(min(1.0, 7 * alone["pvalue"]))


def test_the_grid_compares_both_rates_of_every_setting_and_draws_them() -> None:
    labels = [0, 0, 1, 1]
    perfect, half = [0.0, 0.1, 0.8, 0.9], [0.0, 0.8, 0.1, 0.9]
    found = {"cae λ=0.0001": made_row([perfect], labels, "autoencoder"), "cae λ=0.001": made_row([half], labels)}
    found |= {SETTINGS[1].row(rate): made_row([half], labels) for rate in RATES}
    assert "conocc λ=0.001 γ=0.01 T=20" in found
    made = grid_numbers(found, {"knn": made_row([half], labels)})
    assert made["auroc"]["cae λ=0.0001"] == 1.0
    assert made["change"]["cae"]["value"] == pytest.approx(0.25)
    assert made["change"]["conocc γ=0.01 T=20"]["value"] == 0.0
    of = {name: value["value"] for name, value in made["minus_cae"].items()}
    assert of == {"conocc λ=0.0001 γ=0.01 T=20": pytest.approx(-0.25), "conocc λ=0.001 γ=0.01 T=20": 0.0}
    assert made["missing"] == len(SETTINGS) - 2
    table = grid_table(made, [])
    assert table.notes == ["AUROC on the same images: knn 0.750"]
    rows = table.rows
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


def test_the_purity_of_codes_that_have_collapsed_is_chance_whatever_their_order() -> None:
    labels = np.repeat([0, 1], [8, 12])
    expected = (8 * 7 + 12 * 11) / (20 * 19)
    shuffled = np.random.default_rng(0).permutation(labels)
    assert [purity(np.zeros((20, 4)), each) for each in (labels, shuffled)] == pytest.approx([expected] * 2)


def drawn(spread: float, inner: float, purity: float, noise: float) -> dict[str, Any]:
    """What the job of Figure 6 returns, with so many radii within half the 95 % one."""
    few = round(inner * 1000)
    radii = [*np.full(few, 0.1), *np.full(1000 - few, 1.0)]
    spreads = dict.fromkeys(("train", "held_out", "normal", "abnormal"), spread * (1 + noise))
    value = {"variance": 2.0, "spread": spreads, "purity": purity + noise, "chance": 0.5}
    return value | {"radii": dict.fromkeys(spreads, radii), "tsne": {}}


def figure6(*ours: tuple[float, float, float]) -> dict[str, Verdict]:
    """Verdicts of ConOCC's three seeds beside CAE's with spread 2, 300 of 1,000 inside, purity 0.6."""

    def results(of: Any) -> list[Result]:
        return [Result(Job("", "", {}), value, 0.0, "", {}) for value in of]

    cae = results(drawn(2.0, 0.3, 0.6, noise) for noise in (0.0, 0.01, 0.02)[: len(ours)])
    made = results(drawn(*one, noise=0.0) for one in ours)
    found = claims(numbers({}, figure6=in_numbers({"cae": cae, "conocc": made})), quick=False)
    words = {"compact": "more compact", "apart": "more distinguishable"}
    assert all(c.verdict is Verdict.UNTESTED for c in found if "density" in c.text or "distances" in c.text)
    return {name: next(c.verdict for c in found if text in c.text) for name, text in words.items()}


def test_features_are_judged_by_what_seeds_agree_on() -> None:
    better_all = figure6((0.2, 0.4, 0.8), (0.21, 0.41, 0.8), (0.2, 0.4, 0.81))
    assert set(better_all.values()) == {Verdict.HOLDS}
    worse = figure6((4.0, 0.2, 0.5), (4.1, 0.21, 0.5), (4.0, 0.2, 0.51))
    assert set(worse.values()) == {Verdict.FAILS}
    torn = figure6((0.2, 0.4, 0.8), (8.0, 0.1, 0.4), (2.0, 0.3, 0.6))
    assert set(torn.values()) == {Verdict.UNTESTED}
    assert set(figure6((0.2, 0.4, 0.8)).values()) == {Verdict.UNTESTED}, "one seed decides nothing"


def test_codes_that_collapse_to_a_point_leave_the_rest_of_the_page_whole() -> None:
    collapsed = [Result(Job("", "", {}), {**drawn(0.0, 0.3, 0.6, 0.0), "variance": 0.0}, 0.0, "", {})] * 3
    whole = [Result(Job("", "", {}), drawn(2.0, 0.3, 0.6, 0.0), 0.0, "", {})] * 3
    for cae, conocc in ((whole, collapsed), (collapsed, whole)):
        made = in_numbers({"cae": cae, "conocc": conocc})
        found = claims(numbers({}, figure6=made), quick=False)
        compact = next(c for c in found if "more compact" in c.text)
        assert compact.verdict is Verdict.UNTESTED
        assert "over 3 seeds undefined no interval" in compact.why
        assert "–" in {cell for row in features_table(made, []).rows for cell in row}


# tables

STRENGTH = {"conocc": 2.0, "cae": 1.0, "sae": 1.0, "cocsvm": 0.8, "ocsvm": 0.6, "dagmm": 0.5, "deep_svdd": 0.4,
            "anogan": 0.3, "knn": 3.0, "trivial": 0.2}  # fmt: skip
"""How far apart the classes score, in standard deviations of a class."""


def made_up(job: Job) -> Result:
    """Invent a trial: the larger λ takes half of a method's strength, but none of ConOCC's."""
    arguments = job.arguments
    rng, images = (
        np.random.default_rng([arguments["seed"], len(job.name)]),
        np.random.default_rng(0).normal(size=2 * TESTED),
    )
    labels = np.repeat([0, 1], TESTED)
    rate = arguments["recipe"].get("learning_rate", 0)

    def part(method: str) -> dict[str, Any]:
        shift = STRENGTH[method] * (0.5 if rate == max(RATES) and method != "conocc" else 1.0)
        # as among trained networks, most of what makes an image hard is its own, not the seed's
        noise = 0.9 * images + 0.44 * rng.standard_normal(2 * TESTED)
        return {"test": (noise + shift * labels).tolist(), "held_out": [rate + 1.0] * 5}

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
        spread = dict.fromkeys(radii, 1.0 if method == "cae" else 0.1 * (1 + 0.01 * arguments["seed"]))
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
        "cocsvm λ=0.0001, lowest held-out error, better on the test (oracle)",
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
    assert {row.partition(",")[0]: cells[1] for row, cells in found.items() if "λ" in row} == {
        "cocsvm λ=0.0001": "0.587",
        "cocsvm λ=0.001": "–",
        "sae λ=0.0001": "0.603",
        "sae λ=0.001": "–",
        "cae λ=0.0001": "0.576",
        "cae λ=0.001": "–",
    }
    folds = lines(outcome, "Table 3: cross")
    assert [row.partition(",")[0] for row in folds] == [row.partition(",")[0] for row in found]
    assert folds["conocc"][1] == "0.616 ± 0.015"


def test_nothing_is_compared_at_one_learning_rate_of_two(small_papers: Path) -> None:
    protocol = ConOCC2020()
    plan = protocol.plan()
    before = [job for job in plan.jobs if not job.name.startswith(("table2 cocsvm λ=0.001", "table2 sae λ=0.001"))]
    outcome = protocol.outcome([made_up(job) for job in before], plan.absent)
    assert "cae λ=0.0001, lowest held-out error" in lines(outcome, "Table 2: chest"), "no oracle mark"
    for of_pairs in outcome.numbers["table2_pairs"].values():
        assert not {"cae", "sae", "cocsvm"} & of_pairs["conocc"].keys()
    verdicts = {claim.text: claim for claim in outcome.claims}
    assert verdicts[FIRST].verdict is not Verdict.HOLDS
    assert "not run yet at both λ: cocsvm, sae, cae" in verdicts[FIRST].why
    assert "not run yet" in str(next(t for t in outcome.tables if t.title.startswith("Table 2: chest")).notes)
    assert "cocsvm λ=0.001 and its cae, sae λ=0.001" in str(outcome.tables[0].notes)


def test_a_method_that_is_to_be_better_stands_where_normals_put_it(outcome: Outcome, small_papers: Path) -> None:
    assert {chosen["sae"] for chosen in outcome.numbers["chosen_rate"].values()} == {min(RATES)}
    protocol = ConOCC2020()
    plan = protocol.plan()

    def chosen_otherwise(job: Job) -> Result:
        found = made_up(job)
        for part in ("own", "autoencoder"):
            if found.value.get(part):
                found.value[part]["held_out"] = [-value for value in found.value[part]["held_out"]]
        return found

    other = protocol.outcome([chosen_otherwise(job) for job in plan.jobs], plan.absent)
    assert {chosen["sae"] for chosen in other.numbers["chosen_rate"].values()} == {max(RATES)}
    of = {row: numbers["auroc"]["value"] for row, numbers in other.numbers["table2"].items()}
    pairs = {favour: of_pairs["sae"]["cae"] for favour, of_pairs in other.numbers["table2_pairs"].items()}
    assert pairs["rival"]["rows"] == ["sae λ=0.001", "cae λ=0.0001"]
    assert pairs["rival"]["value"] == pytest.approx(of["sae λ=0.001"] - of["cae λ=0.0001"])
    assert pairs["first"]["rows"] == ["sae λ=0.0001", "cae λ=0.001"]
    assert pairs["first"]["value"] == pytest.approx(of["sae λ=0.0001"] - of["cae λ=0.001"])
    gap = f"{of['sae λ=0.0001'] - of['cae λ=0.001']:+.3f}"
    shown = lines(other, "Table 2: paired differences")["sae λ=0.001 − cae λ=0.0001"]
    assert shown[1].startswith(f"sae λ=0.0001 − cae λ=0.001: {gap}")


def test_each_table_has_its_lambda_chosen_by_models_trained_as_long(small_papers: Path) -> None:
    plan = ConOCC2020().plan()

    def turned(job: Job) -> Result:
        """Let the models trained for 1,000 epochs prefer the other λ."""
        found = made_up(job)
        if job.arguments["held_out"] and job.arguments["recipe"]["epochs"] == 1000:
            found.value["own"]["held_out"] = [-value for value in found.value["own"]["held_out"]]
        return found

    outcome = ConOCC2020().outcome([turned(job) for job in plan.jobs], plan.absent)
    assert {table: chosen["sae"] for table, chosen in outcome.numbers["chosen_rate"].items()} == {
        "table2": max(RATES),
        "table3": min(RATES),
    }


def test_differences_stand_beside_the_published_ones(outcome: Outcome) -> None:
    once, folds = (lines(outcome, f"{name}: paired differences") for name in ("Table 2", "Table 3"))
    assert once["conocc − ocsvm"][1:] == ["–", f"{0.624 - 0.548:+.3f}"]
    assert folds["conocc − ocsvm"][2] == f"{0.616 - 0.580:+.3f}"
    assert once["conocc − knn"][2] == "–"
    assert once.keys() == folds.keys()
    assert len(once) == 7 + 4 + 3 + 4
    best = outcome.numbers["table2"]["cae λ=0.0001"]["auroc"]["value"]
    assert outcome.numbers["table2_pairs"]["rival"]["conocc"]["cae"]["value"] == pytest.approx(
        outcome.numbers["table2"]["conocc"]["auroc"]["value"] - best
    )


def test_every_claim_is_judged_by_invented_trials(outcome: Outcome) -> None:
    verdicts = {claim.text: claim.verdict for claim in outcome.claims}
    assert len(verdicts) == len(outcome.claims)
    for never in ("best on breast MRI", "OCSVM and C-OCSVM are", "AUROCs on chest X-rays are", "features are compact"):
        assert next(verdict for text, verdict in verdicts.items() if text.startswith(never)) is Verdict.UNTESTED
    assert verdicts[FIRST] is Verdict.HOLDS
    assert verdicts["ConOCC is better than CAE: the constraint helps (AUROC, chest X-rays, Table 2)"] is Verdict.HOLDS
    assert verdicts[SAE_FIRST] is Verdict.UNTESTED, "equally strong"
    for first, table, pairs in ((FIRST, "Table 2", "table2_pairs"), (FIRST, "Table 3", "table3_pairs")):
        claim = next(c for c in outcome.claims if c.text == first.replace("Table 2", table))
        for other in RIVALS:
            assert f"{other} {told(outcome.numbers[pairs]['rival']['conocc'][other])}" in claim.why
    robust = next(c for c in outcome.claims if "robust" in c.text)
    assert all(f"of {name} by {told(outcome.numbers['rate'][name])}" in robust.why for name in ("cae", "conocc"))
    smaller = outcome.numbers["table2"]["cae λ=0.0001"]["auroc"]["value"]
    larger = outcome.numbers["table2"]["cae λ=0.001"]["auroc"]["value"]
    assert outcome.numbers["rate"]["cae"]["value"] == pytest.approx(smaller - larger)
    above = [better(one) for one in outcome.numbers["figure5"]["minus_cae"].values()].count(True)
    assert 0 < above < 40
    high = next(c for c in outcome.claims if c.text.startswith("ConOCC is above CAE at"))
    assert f"above CAE beyond chance in {above} of 40 settings" in high.why
    assert f"knn {outcome.numbers['figure5']['beside']['knn']:.3f}" in high.why
    assert verdicts["features of the given class are more compact than CAE's"] is Verdict.HOLDS
    assert [figure.name for figure in outcome.figures] == ["conocc2020_figure5", "conocc2020_figure6"]
    assert len(lines(outcome, "Figure 5")) == 21


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_what_is_missing_takes_no_verdict_back(share: float, outcome: Outcome, small_papers: Path) -> None:
    protocol = ConOCC2020()
    plan = protocol.plan()
    some = [made_up(job) for job in plan.jobs[: round(share * len(plan.jobs))]]
    early = protocol.outcome(some, plan.absent)
    final = {claim.text: claim.verdict for claim in outcome.claims}
    decided = {claim.text: claim.verdict for claim in early.claims if claim.verdict is not Verdict.UNTESTED}
    assert decided.items() <= final.items()
    if not share:
        assert not decided


def test_the_plan_has_the_papers_settings(small_papers: Path) -> None:
    trials: dict[str, list[Any]] = {}
    for job in ConOCC2020().plan().jobs:
        trials.setdefault(job.name.partition(", seed")[0], []).append(job.arguments)

    def settings(row: str, *names: str) -> set[tuple[Any, ...]]:
        return {tuple(arguments["recipe"][name] for name in names) for arguments in trials[row]}

    conocc = ("epochs", "learning_rate", "batch_size", "gamma", "update_interval", "patience")
    assert settings("table2 conocc", *conocc) == {(1000, 1e-3, 128, 10.0, 60, None)}
    assert settings("table3 conocc", *conocc) == {(150, 1e-3, 128, 10.0, 9, None)}
    assert settings("conocc at the smaller λ", *conocc) == {(1000, 1e-4, 128, 10.0, 60, None)}
    assert settings("grid conocc λ=0.0001 γ=0.01 T=40", *conocc) == {(150, 1e-4, 128, 0.01, 6, None)}
    assert sum(row.startswith("grid conocc") for row in trials) == 2 * 4 * 5
    for row, of in trials.items():
        side = 32 if row.startswith(("grid", "beside the grid")) else 0  # the paper's MRI have 32 pixels
        assert {arguments["size"] for arguments in of} == {side}
    for row, epochs in (("table2 sae λ=0.001", 1000), ("choice table2 sae λ=0.001", 1000), ("table3 sae λ=0.001", 150)):
        assert settings(row, "epochs", "learning_rate") == {(epochs, 1e-3)}
    assert settings("table2 anogan", "width", "search_steps") == {(16, 200)}
    assert settings("table2 deep_svdd", "epochs", "batch_size") == {(150, 200)}
    assert settings("figure6 cae", "learning_rate") == settings("figure6 conocc", "learning_rate") == {(1e-3,)}
    assert {a["held_out"] for a in trials["figure6 cae"]} == {
        a["held_out"] for a in trials["choice table2 sae λ=0.001"]
    }
    assert {a["held_out"] for a in trials["table2 conocc"]} == {0.0}
    folds = {(a["fold"], a["seed"]) for a in trials["table3 conocc"]}
    assert folds == {(f"{fold}/4/{seed}", seed) for fold in range(4) for seed in range(3)}
