# Every target sets up what it needs on a fresh machine; a second call sets up nothing again.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# a process per core; a file stays in one process, for its tests share what is dear to make
SPREAD := -n auto --dist loadfile

.PHONY: help demo test quick check bench docs clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "normoscope needs Python 3.11 or later"'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)  ## train on the built-in phantom and leave a report in demo/
	$(BIN)/normoscope demo --out demo $(DEMO)

test: $(READY)  ## run all tests
	$(BIN)/python -m pytest $(SPREAD)

quick: $(READY)  ## run the tests that end within three minutes
	$(BIN)/python -m pytest $(SPREAD) -m 'not slow'

check: $(READY)  ## lint, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## measure speed and memory against the plain loop, into results/
	$(BIN)/python benchmarks/bench.py

docs: $(READY)  ## generate the reference pages under docs/reference
	$(BIN)/python docs/generate.py

clean:  ## remove the environment and caches
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
