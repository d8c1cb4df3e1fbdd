"""What is shipped runs without the source tree: templates and type marker included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = ["-o", "train=40", "-o", "validation=20", "-o", "test=20"]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the sdist, and the wheel from it, from the tracked files alone."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    source.mkdir()
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in names.stdout.splitlines() or _everything():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    return {kind: next(folder.glob(pattern)) for kind, pattern in (("wheel", "*.whl"), ("sdist", "*.tar.gz"))}


def _everything() -> list[str]:
    """List the tree where git does not know it (an unpacked sdist)."""
    kept = [ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE")] + sorted((ROOT / "src").rglob("*"))
    return [str(path.relative_to(ROOT)) for path in kept if path.is_file() and "__pycache__" not in path.parts]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_an_installed_package_fits_scores_and_reports(kind: str, shipped: dict[str, Path], tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(site), str(shipped[kind])], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "normoscope.apps.cli", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import normoscope, sys; sys.stdout.write(normoscope.__file__)"
    found = subprocess.run([sys.executable, "-c", where], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.stdout.startswith(str(site))
    run("fit", "pca", "phantom", *SMALL, "--out", "model", "--quiet")
    run("report", "model", "phantom", *SMALL, "--out", "report.html", "--quiet")
    assert "Not a medical device" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (site / "normoscope" / "py.typed").is_file()


def test_the_readmes_tables_and_the_reference_are_up_to_date() -> None:
    check = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run 'make docs': {done.stdout}"
