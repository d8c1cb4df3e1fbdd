from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import normoscope as ns

SOURCE = Path(ns.__file__).parent


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_all_holds_exactly_the_documented_names() -> None:
    assert sorted(ns.__all__) == [
        "Model",
        "NormoscopeError",
        "Preprocessing",
        "Recipe",
        "Run",
        "Sample",
        "Scoring",
        "__version__",
        "as_images",
        "assess",
        "build",
        "compare",
        "fit",
        "load",
        "load_model",
        "overlay",
        "partition",
        "read_image",
        "save_model",
        "write_maps",
        "write_report",
    ]
    assert dir(ns) == sorted(ns.__all__)


@pytest.mark.parametrize("name", ns.__all__)
def test_every_public_name_resolves_to_a_documented_object(name: str) -> None:
    assert getattr(ns, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'normoscope' has no attribute 'train_everything'"):
        _ = ns.train_everything


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, normoscope; print(sorted({'torch', 'numpy', 'scipy', 'sklearn', 'skimage'} & set(sys.modules)))"
    assert run_python(code) == "[]"


def test_importing_everything_leaves_the_process_as_it_was() -> None:
    code = """
import random, numpy as np, torch
before = torch.get_num_threads(), torch.get_default_dtype(), torch.random.get_rng_state().tolist(), random.getstate()
import normoscope.apps.commands, normoscope.interop, normoscope.report
after = torch.get_num_threads(), torch.get_default_dtype(), torch.random.get_rng_state().tolist(), random.getstate()
print(before == after)
"""
    assert run_python(code) == "True"


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert ns.__version__ == version("normoscope")


@pytest.mark.parametrize(
    "pattern", [r"\bpickle\.", r"import pickle", r"torch\.load\(", r"allow_pickle=True", r"\beval\(", r"\bexec\("]
)
def test_nothing_in_the_package_can_run_code_from_a_file(pattern: str) -> None:
    found = [
        f"{path.relative_to(SOURCE)}: {line}"
        for path in SOURCE.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(pattern, line) and ".eval()" not in line
    ]
    assert found == []
