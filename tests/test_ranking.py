"""Ranks against published and independent figures, and the command that prints them."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import friedmanchisquare

from normoscope.apps.cli import main
from normoscope.errors import OptionError
from normoscope.rank_figure import critical_difference_plot
from normoscope.ranking import Ranking, critical_difference, rank

# Demšar (2006), table 6: AUC of C4.5 without pruning options, with m, with cf and with both; he ranks the
# last but one data set's equal third digits 2 and 3, so a digit is added here
DEMSAR = """
0.763 0.768 0.771 0.798
0.599 0.591 0.590 0.569
0.954 0.971 0.968 0.967
0.628 0.661 0.654 0.657
0.882 0.888 0.886 0.898
0.936 0.931 0.916 0.931
0.661 0.668 0.609 0.685
0.583 0.583 0.563 0.625
0.775 0.838 0.866 0.875
1.000 1.000 1.000 1.000
0.940 0.962 0.965 0.962
0.619 0.666 0.614 0.669
0.972 0.981 0.97501 0.975
0.957 0.978 0.946 0.970
"""
# Demšar (2006), table 5a: critical values for the two-tailed Nemenyi test, level 0.05
PUBLISHED = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}


def ranked(values: Any, sources: list[str] | None = None) -> Ranking:
    """Rank rows of values of methods m0, m1, ... on sets a, b, ..., each a source of its own unless told."""
    names = [chr(ord("a") + i) for i in range(len(values))]
    table = {name: {f"m{j}": float(x) for j, x in enumerate(row)} for name, row in zip(names, values, strict=True)}
    return rank(table, dict(zip(names, sources or names, strict=True)))


def by_name(ranking: Ranking) -> dict[str, float]:
    return dict(zip(ranking.methods, ranking.mean_ranks.tolist(), strict=True))


# ranks


def test_demsars_example_gives_his_mean_ranks_and_critical_difference() -> None:
    values = np.array([line.split() for line in DEMSAR.split("\n") if line], float)
    found = ranked(values)
    assert by_name(found) == pytest.approx({"m0": 3.143, "m1": 2.0, "m2": 2.893, "m3": 1.964}, abs=5e-4)
    assert found.methods == ("m3", "m1", "m2", "m0")
    assert found.test is not None
    assert found.test.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert found.test.differs
    assert found.groups == (("m3", "m1", "m2", "m0"),)  # 1.964 and 3.143: "not significant" by Nemenyi
    expected = friedmanchisquare(*values.T)
    assert (found.test.statistic, found.test.pvalue) == pytest.approx((expected.statistic, expected.pvalue))


@pytest.mark.parametrize("sources", [8, 14])
@pytest.mark.parametrize(("methods", "q"), PUBLISHED.items())
def test_the_critical_difference_holds_the_published_quantile(methods: int, q: float, sources: int) -> None:
    expected = q * math.sqrt(methods * (methods + 1) / (6 * sources))
    assert critical_difference(methods, sources) == pytest.approx(expected, rel=4e-4)  # published to three digits


def test_higher_is_better_and_ties_share_the_mean_of_their_ranks() -> None:
    found = ranked([[0.9, 0.9, 0.1], [0.5, 0.7, 0.7], [0.2, 0.2, 0.2]])
    assert found.methods == ("m1", "m0", "m2")
    assert found.ranks.tolist() == [[1.5, 1.5, 3.0], [1.5, 3.0, 1.5], [2.0, 2.0, 2.0]]


@pytest.mark.parametrize("seed", range(5))
def test_with_many_ties_the_statistic_is_scipys(seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 4, (9, 5)) / 4
    found = ranked(values).test
    expected = friedmanchisquare(*values.T)
    assert found is not None
    assert (found.statistic, found.pvalue) == pytest.approx((expected.statistic, expected.pvalue))


def test_nothing_but_ties_shows_no_difference_and_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ranked(np.full((8, 4), 0.5))
    assert found.test is not None
    assert (found.test.statistic, found.test.pvalue) == (0.0, 1.0)
    assert found.groups == (found.methods,)
    assert found.verdict.endswith("no difference between the methods is shown")


def test_groups_are_the_longest_runs_within_the_critical_difference() -> None:
    found = ranked([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4]] * 10)  # mean ranks 1 to 6; 2.850 sqrt(42 / 60) = 2.384
    assert found.groups == (("m0", "m1", "m2"), ("m1", "m2", "m3"), ("m2", "m3", "m4"), ("m3", "m4", "m5"))
    assert found.verdict == (
        "Friedman's test over 10 data sets: chi-squared 50.000 with 5 degrees of freedom, p = 1.39e-09; "
        "mean ranks more than 2.384 apart differ (Nemenyi, 0.05)"
    )


# how many sets are enough


def test_with_seven_sets_there_are_ranks_and_no_test() -> None:
    found = ranked([[0.9, 0.8, 0.7]] * 7)
    assert found.test is None
    assert found.groups == ()
    assert found.verdict == "too few data sets to test: 7 of 8"
    assert by_name(found) == {"m0": 1.0, "m1": 2.0, "m2": 3.0}
    assert ranked([[0.9, 0.8, 0.7]] * 8).test is not None


def test_sets_of_one_source_count_once_by_their_mean() -> None:
    rows = [[0.9, 0.8, 0.1], [0.5, 0.9, 0.2], *[[0.6, 0.5, 0.4]] * 6]  # the first two: 0.7, 0.85, 0.15
    found = ranked(rows, ["a", "a", *"cdefgh"])
    assert found.sources == ("a", *"cdefgh")
    assert found.verdict == "too few data sets to test: 7 of 8"
    assert found.methods == ("m0", "m1", "m2")
    assert found.ranks.tolist() == [[2.0, 1.0, 3.0], *[[1.0, 2.0, 3.0]] * 6]


def test_equal_means_tie_in_whatever_order_their_sets_come() -> None:
    found = ranked([[0.1, 0.3], [0.2, 0.2], [0.3, 0.1]], ["a", "a", "a"])
    assert found.ranks.tolist() == [[1.5, 1.5]]


def test_two_methods_are_too_few_to_test() -> None:
    assert ranked([[0.9, 0.8]] * 9).verdict == "too few methods to test: 2 of 3"


def test_the_record_holds_every_figure() -> None:
    record = ranked([[0.9, 0.8, 0.7]] * 8).to_json()
    assert record["mean_ranks"] == {"m0": 1.0, "m1": 2.0, "m2": 3.0}
    assert record["ranks"]["m2"] == [3.0] * 8
    assert record["test"]["statistic"] == pytest.approx(16.0)
    assert record["test"]["groups"] == [["m0", "m1"], ["m1", "m2"]]  # 2.343 sqrt(12 / 48) = 1.17
    assert json.loads(json.dumps(record)) == record


def test_tables_with_holes_are_refused() -> None:
    with pytest.raises(OptionError, match="table: expected at least one data set"):
        rank({}, {})
    with pytest.raises(OptionError, match="methods: expected at least two to rank, got 'm'"):
        rank({"a": {"m": 0.5}}, {"a": "a"})
    for row in ({"m": 0.5}, {"m": 0.5, "n": math.nan}):
        with pytest.raises(OptionError, match="n on b: expected a finite value, as of every method on every set, got"):
            rank({"a": {"m": 0.5, "n": 0.4}, "b": row}, {"a": "a", "b": "b"})
    with pytest.raises(OptionError, match="o on b: expected a finite value"):
        rank({"a": {"m": 0.5, "n": 0.4}, "b": {"m": 1, "n": 1, "o": 1}}, {"a": "a", "b": "b"})


# the plot


def texts(svg: str) -> list[str]:
    return ["".join(found.itertext()) for found in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_the_plot_names_every_method_at_its_mean_rank() -> None:
    found = ranked(np.random.default_rng(3).random((10, 7)) + 0.2 * np.arange(7))
    svg = critical_difference_plot(found)
    written = [" ".join(text.split()) for text in texts(svg)]
    for i, (name, mean) in enumerate(by_name(found).items()):
        assert (f"{name} {mean:.2f}" if i < 4 else f"{mean:.2f} {name}") in written
    assert found.test is not None
    assert f"critical difference {found.test.critical_difference:.2f}" in written
    root = ElementTree.fromstring(svg)
    used = list(root.iter("{http://www.w3.org/2000/svg}use"))
    dots = [float(use.attrib["x"]) for use in used if "#0072B2".lower() in use.attrib["style"].lower()]
    ticks = sorted(float(use.attrib["x"]) for use in used if "#52606d" in use.attrib["style"])
    assert len(ticks) == 7
    assert [1 + (x - ticks[0]) / (ticks[1] - ticks[0]) for x in dots] == pytest.approx(found.mean_ranks, abs=1e-4)


def test_the_plot_is_refused_where_nothing_was_tested() -> None:
    with pytest.raises(OptionError, match="expected 8 data sets of distinct sources, got 'too few data sets to test"):
        critical_difference_plot(ranked([[0.9, 0.8, 0.7]] * 7))


# the command

ROWS = {"knn": 0.9, "pca": 0.7, "cae": 0.6}
SETS = ["medmnist:breastmnist", "data/chest_xray_64.npz", "chest/chest_xray-128px.npz", "medmnist:octmnist",
        "mnist:images/mnist", "folder:lag/", "rsna.csv", "brats2021", "phantom", "phantom:brain"]  # fmt: skip

SOURCES = ["breastmnist", "chest_xray", "octmnist", "mnist", "lag", "rsna", "brats", "phantom", "brain"]


def stored(folder: Path, data: str, rows: Mapping[str, float | None] = ROWS, preset: str = "paper") -> Path:
    """Write what `compare --out` writes, as far as it is read."""
    lines = {name: {"auroc": {"value": value}, "honest": True} for name, value in rows.items()}
    lines["trivial bytes, low (oracle)"] = {"auroc": {"value": 1.0}, "honest": False}
    file = folder / f"{len(list(folder.iterdir()))}.json"
    file.write_text(json.dumps({"data": data, "preset": preset, "rows": lines}))
    return file


Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type `rank` and words: exit code, standard output, standard error."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        code = main(["rank", *map(str, words)])
        return code, *capsys.readouterr()

    return run


def test_rank_counts_sources_tests_and_draws(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    files = [stored(tmp_path / "in", data) for data in SETS]
    out = tmp_path / "figures" / "ranks.svg"
    code, printed, err = typed(*files, "--json", "--out", out)
    content = json.loads(printed)
    assert code == 0
    assert content["schema"] == "normoscope/rank/1"
    assert content["sources"] == SOURCES
    assert content["mean_ranks"] == {"knn": 1.0, "pca": 2.0, "cae": 3.0}
    assert content["test"]["statistic"] == pytest.approx(18.0)
    assert err == f"note: one source, counted once, as chest_xray: {files[1]}, {files[2]}\n"
    assert "critical difference 1.10" in " ".join(texts(out.read_text()))  # 2.343 sqrt(12 / 54), and a truncated q
    drawn = out.read_text()
    assert typed(*files, "--out", out)[0] == 0
    assert out.read_text() == drawn


@pytest.mark.parametrize(
    "text",
    ['<svg xmlns="http://www.w3.org/2000/svg"><!-- drawn by hand --></svg>', '<!DOCTYPE html>\n<svg role="img"/>'],
)
def test_a_drawing_of_anothers_is_not_drawn_over(text: str, typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "figure1.svg").write_text(text)
    code, out, err = typed(*(stored(tmp_path / "in", data) for data in SETS), "--out", tmp_path / "figure1.svg")
    assert (code, out) == (2, "")
    assert "--out: expected a new file, or an earlier result of the same command, got" in err
    assert (tmp_path / "figure1.svg").read_text() == text


def test_rank_prints_a_table_and_says_when_sets_are_too_few(typed: Typed, tmp_path: Path) -> None:
    files = [
        stored(tmp_path, "medmnist:pneumoniamnist", ROWS | {"ae": 0.5}),
        stored(tmp_path, "chest_xray_64.npz", {"knn": 0.6, "pca": 0.6, "cae": 0.7, "vae": None}, "quick"),
    ]
    code, out, err = typed(*files)
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert out.endswith("\ntoo few data sets to test: 1 of 8\n")  # both sets are cut from the same X-rays
    code, out, err = typed(*files, "--source", "pneumoniamnist=elsewhere")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["method", "mean", "rank", "elsewhere", "chest_xray"]
    assert lines[2:5] == [["knn", "1.75", "1", "2.5"], ["cae", "2.00", "3", "1"], ["pca", "2.25", "2", "2.5"]]
    assert out.endswith("\ntoo few data sets to test: 2 of 8\n")
    assert "left out, for not every file has them: ae\n" in err
    assert "the files were made with different presets: paper, quick\n" in err


def test_data_sets_of_one_name_are_parted_by_their_files(typed: Typed, tmp_path: Path) -> None:
    first, second = stored(tmp_path, "here/images.npz"), stored(tmp_path, "there/images.npz", preset="quick")
    assert first != second
    assert "1 of 8" in typed(first, second)[1]
    code, out, _ = typed(first, second, "--source", f"{second}=elsewhere")
    assert code == 0
    assert out.splitlines()[0].split() == ["method", "mean", "rank", "images", "elsewhere"]


def test_what_cannot_be_ranked_is_refused_in_one_sentence(typed: Typed, tmp_path: Path) -> None:
    a, b = stored(tmp_path, "a"), stored(tmp_path, "b", {"knn": 0.5, "vae": 0.5})
    other, torn = tmp_path / "other.json", tmp_path / "torn.json"
    other.write_text('{"tables": []}')
    torn.write_text('{"rows":')
    (deep := tmp_path / "deep.json").write_text("[" * 100_000)
    os.mkfifo(pipe := tmp_path / "pipe.json")
    refusals = {
        "expected every file once, got": [a, a],
        "--source: expected NAME=ORIGIN with NAME a FILE or one of a, got 'c=d'.": [a, "--source", "c=d"],
        "--source: expected NAME=ORIGIN with NAME a FILE or one of a, got 'a'.": [a, "--source", "a"],
        "FILE: expected files that share at least two rows which saw no labels, got 'knn'.": [a, b],
        "other.json: expected a table that 'normoscope compare --out' wrote, got something else.": [a, other],
        "torn.json: expected a table that 'normoscope compare --out' wrote, got something else.": [torn],
        "deep.json: expected a table that 'normoscope compare --out' wrote, got something else.": [a, deep],
        "pipe.json: expected a table that 'normoscope compare --out' wrote, got something else.": [a, pipe],
        "absent.json: no such file or directory.": [tmp_path / "absent.json"],
        "--out: expected to be used where there is a test (too few data sets to test: 1 of 8), got": [a, "--out", "x"],
    }
    for said, words in refusals.items():
        code, out, err = typed(*words)
        assert (code, out) == (2, "")
        assert said in err
        assert err.startswith("normoscope: error: ")
        assert err.count("\n") == 1
