from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from normoscope import __version__, methods
from normoscope.apps.arguments import overrides_of
from normoscope.apps.cli import main, parser
from toys import Typed

COMMANDS = ["demo", "list", "inspect", "fit", "sweep", "score", "evaluate", "entropy", "compare", "calibrate", "report"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, typed: Typed) -> None:
    code, out, err = typed(command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: normoscope {command}")


def test_help_names_every_command(typed: Typed) -> None:
    code, out, _ = typed("--help")
    assert code == 0
    assert all(f"    {command}" in [line[: 4 + len(command)] for line in out.splitlines()] for command in COMMANDS)


@pytest.mark.parametrize("method", methods.names())
def test_help_after_a_method_lists_its_options_with_their_defaults(method: str, typed: Typed) -> None:
    import dataclasses

    _, out, _ = typed("fit", method, "--help")
    assert f"options of {method}" in out
    for field in dataclasses.fields(methods.recipe_class(method)):  # type: ignore[arg-type]
        assert f"--{field.name.replace('_', '-')} VALUE" in out


@pytest.mark.parametrize("words", ["--out pca knn DATA --help", "--quiet --group-regex pca knn --help"])
def test_the_method_is_the_first_word_that_no_option_takes(words: str, typed: Typed) -> None:
    assert "options of knn" in typed("fit", *words.split())[1]


@pytest.mark.parametrize("method", methods.names())
def test_every_default_can_be_typed(method: str) -> None:
    recipe = methods.build(method)
    typed: list[str] = []
    for name, value in methods.to_json(recipe).items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value).lower()
        typed += [f"--{name.replace('_', '-')}", text]
    words = ["fit", method, "phantom", "--out", "o", *typed]
    given = overrides_of(parser(words).parse_args(words))
    assert given.keys() == methods.to_json(recipe).keys()
    assert methods.build(method, overrides=given) == recipe


def test_the_version_is_printed(typed: Typed) -> None:
    assert typed("--version") == (0, f"normoscope {__version__}\n", "")


@pytest.mark.parametrize(
    "words", ["--help", "--version", "list methods", "list sources", "list metrics", "score --help"]
)
def test_help_and_listings_import_nothing_heavy(words: str) -> None:
    code = f"""
import sys
from normoscope.apps.cli import main
try:
    main({words.split()!r})
except SystemExit:
    pass
print(sorted({{"torch", "numpy", "scipy", "sklearn", "skimage", "matplotlib"}} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert done.stdout


@pytest.mark.parametrize(
    ("what", "some"),
    [
        ("methods", {"knn", "pca", "cae", "conocc", "ocsvm", "trivial"}),
        ("sources", {"medmnist", "folder", "phantom"}),
        ("metrics", {"auroc", "aupr_abnormal"}),
    ],
)
def test_listings_hold_every_member_with_what_it_is(
    what: str, some: set[str], typed: Typed, answered: Callable[..., dict[str, Any]]
) -> None:
    rows = answered("list", what)[what]
    assert some <= {row["name"] for row in rows}
    assert all(row["what"].endswith(".") for row in rows)
    table = " ".join(typed("list", what)[1].split())
    assert all(row["name"] in table and row["what"] in table for row in rows)
    if what == "methods":
        assert len(rows) >= 20
        assert all(row["reference"] and row["reference"] in table for row in rows)


def test_quiet_keeps_standard_error_empty_and_notes_appear_without_it(
    scans: Path, typed: Typed, tmp_path: Path
) -> None:
    code, _, err = typed("fit", "knn", scans, "--out", tmp_path / "a")
    assert code == 0
    assert "note: no patient ids" in err
    assert typed("fit", "knn", scans, "--out", tmp_path / "b", "--quiet")[2] == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "the following arguments are required: COMMAND; see 'normoscope --help'."),
        ("train", "argument COMMAND: invalid choice: 'train'"),
        ("fit", "the following arguments are required: METHOD, DATA, --out; see 'normoscope fit --help'."),
        ("fit magic phantom --out OUT", f"method: expected one of {', '.join(methods.names())}, got 'magic'."),
        ("fit knn phantom --out OUT --neighbours two", "knn --neighbours: expected a whole number, got 'two'."),
        ("fit knn phantom --out OUT --neighbours 0", "knn --neighbours: expected at least 1, got 0."),
        (
            "fit knn phantom --out OUT --latent-dim 3",
            "unrecognized arguments: --latent-dim 3; see 'normoscope fit --help'.",
        ),
        ("fit knn phantom --out OUT --false-alarms 2", "argument --false-alarms: expected a rate between 0 and 1"),
        ("fit knn phantom --out OUT --threads 0", "--threads: expected at least 1, got 0."),
        ("fit knn phantom --out OUT --seed -1", "argument --seed: expected a whole number of 0 or more, got '-1'"),
        ("fit knn phantom --out OUT --split-seed x", "argument --split-seed: expected a whole number of 0 or more"),
        ("fit knn phantom --out OUT --device tpu", "--device: expected auto, cpu, cuda or cuda:N, got 'tpu'."),
        (
            "fit knn phantom --out OUT --image-size 4",
            "--image-size: expected 0 (automatic) or 8 to 1024 pixels, got 4.",
        ),
        ("fit knn phantom --out OUT -o train", "--option: expected KEY=VALUE, got 'train'."),
        ("fit knn phantom --out OUT -o trains=5", "option of source phantom: expected one of anatomy, seed, size"),
        ("fit knn phantom --out OUT -o train=many", "phantom option train: expected a number, got 'many'."),
        (
            "fit knn nowhere --out OUT",
            "data: expected an existing folder or image, .npz, .npy, .csv or .parquet file, or SOURCE",
        ),
        ("fit knn phantom --out OUT --group-regex (", "--group-regex: expected a regular expression"),
        ("fit knn phantom --out OUT --group-regex zz", "--group-regex: expected a pattern that matches every name"),
        (
            "fit cae phantom --channels 8,x --out OUT",
            "--channels: expected whole numbers separated by commas, got '8,x'.",
        ),
        (
            "fit local_gaussian phantom --scales none --out OUT",
            "--scales: expected numbers separated by commas, got 'n",
        ),
        ("compare magic --data phantom", "method: expected one of "),
        ("compare cae:channels=a --data phantom", "--channels: expected whole numbers separated by commas, got 'a'."),
        ("compare knn --data phantom --seeds 0", "--seeds: expected at least 1, got 0."),
        (
            "compare pca:latent=3 --data phantom",
            "option of pca: expected one of latent_dim, got 'latent'; did you mean latent_dim?",
        ),
        (
            "reproduce twente2032",
            "protocol: expected one of ae4ad2024, conocc2020, dual_encoder, medianomaly2025, "
            "twente2023, got 'twente2032'; did you mean twente2023?",
        ),
        ("list models", "argument what: invalid choice: 'models'"),
        (
            "fit knn phantom --parts 0,0,100 --out OUT",
            "argument --parts: expected three whole percentages that make 100, the first above 0",
        ),
        (
            "reproduce twente2023 --seed 3 --out OUT",
            "unrecognized arguments: --seed 3; see 'normoscope reproduce --help'.",
        ),
        ("reproduce twente2023 --collect --ray auto --out OUT", "--ray: expected to be used without --collect"),
    ],
)
def test_wrong_words_are_refused_in_one_line(
    words: str, sentence: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    assert refused(*words.replace("OUT", str(tmp_path / "out")).split()).startswith(sentence)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_is_no_failure() -> None:
    words = f"{sys.executable} -m normoscope.apps.cli list metrics | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(platform.system() != "Linux", reason="torch brings GNU's OpenMP on Linux alone")
@pytest.mark.parametrize(
    ("chosen", "taken"),
    [
        ({}, "GOMP_SPINCOUNT = '1000'"),
        ({"GOMP_SPINCOUNT": "70"}, "GOMP_SPINCOUNT = '70'"),
        ({"OMP_WAIT_POLICY": "passive"}, "GOMP_SPINCOUNT = '0'"),
    ],
)
def test_waiting_threads_leave_their_core_to_others_unless_told_otherwise(chosen: dict[str, str], taken: str) -> None:
    ours = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    command = [sys.executable, "-m", "normoscope.apps.cli", "inspect", "phantom", "-o", "train=20"]
    done = subprocess.run(command, env=environment | chosen | {"OMP_DISPLAY_ENV": "verbose"}, capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert taken in done.stderr


def test_the_program_is_a_module_too() -> None:
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run([sys.executable, "-m", "normoscope.apps.cli", "--version"], capture_output=True, text=True,
                          check=True, env=environment)  # fmt: skip
    assert done.stdout == f"normoscope {__version__}\n"


@pytest.mark.parametrize(
    ("option", "reader"),
    [("--sigma", "--residual ssim"), ("--fraction", "--pooling top"), ("--smoothing", "--pooling maximum")],
)
def test_a_scoring_number_that_nothing_would_read_is_refused(
    option: str, reader: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "pca", "phantom", option, "2", "--out", str(tmp_path / "m"), "--quiet"]) == 2
    assert capsys.readouterr().err == f"normoscope: error: {option}: expected to be used with {reader}, got 2.0.\n"


def test_a_method_named_twice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "pca", "pca", "--data", "phantom", "--quiet"]) == 2
    assert capsys.readouterr().err == "normoscope: error: METHOD: expected every row once, got 'pca pca'.\n"


def test_outputs_that_the_caller_has_closed_end_no_command() -> None:
    command = f"{sys.executable} -m normoscope.apps.cli list methods"
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        assert subprocess.run(["sh", "-c", f"{command} {closed}"], stdout=subprocess.PIPE).returncode == 0
