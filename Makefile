# Everything below needs python3 (3.11 or newer) with venv and pip, and make. Nothing is installed outside .venv.
# ARGS goes to the program a target runs: make test ARGS="-k visibility"
# KERNEL=python or KERNEL=compiled says how the kernel runs; without it, compiled if there are a C compiler and Cython.
# JOBS is how many processes share the tests, each with servers of its own; 0 runs them in one, for a debugger.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
READY := $(VENV)/.ready
PINS := requirements/base.txt requirements/demo.txt requirements/dev.txt
ARGS ?=
KERNEL ?=
export PGSOFTPROXY_KERNEL := $(KERNEL)
JOBS ?= 2
FUZZ_OPTIONS = $(if $(SEED),--seed $(SEED)) $(if $(NUMBER),--number $(NUMBER)) $(if $(VERSIONS),--versions $(VERSIONS))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all fuzz fuzz-protocol fuzz-relations race soak check clients bench bench-quick clean

help:  ## print this menu
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv with pinned dependencies; the others imply it

$(READY): $(INSTALLED) hatch_build.py $(wildcard pgsoftproxy/kernel/*.p* pgsoftproxy/rewrite/*.py)
	@[ "$(KERNEL)" = python ] || $(BIN)/python hatch_build.py >$(VENV)/compiled || [ -z "$(KERNEL)" ]
	@touch $@

$(INSTALLED): pyproject.toml $(PINS)
	@$(PYTHON) -c 'import sys; sys.exit("python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements/dev.txt
	PGSOFTPROXY_KERNEL=python $(BIN)/pip install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)  ## delete a row through the proxy, and see that it is gone and still there
	$(BIN)/pgsoftproxy demo $(ARGS)

test: $(READY)  ## the tests, without the slow ones
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not slow" $(ARGS)

test-all: $(READY)  ## all tests; the slow ones need root, sqlsmith, promtool and strace
	$(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS)

fuzz: $(READY)  ## random statements against the twin: SECONDS=n for each of VERSIONS=15,18, SEED=s
	$(BIN)/python -m tests.oracle.fuzz --seconds $(or $(SECONDS),60) $(FUZZ_OPTIONS) $(ARGS)

fuzz-protocol: $(READY)  ## break conversations: SECONDS=600 SEED=1; a failure prints how to run it again
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) $(ARGS)

fuzz-relations: $(READY)  ## random foreign keys against the twin: SECONDS=n for each of VERSIONS=15,18, SEED=s
	$(BIN)/python -m tests.relations.fuzz --seconds $(or $(SECONDS),60) $(FUZZ_OPTIONS) $(ARGS)

race: $(READY)  ## deletions beside new children: PAIRS=n for each of VERSIONS=15,18, SEED=s
	$(BIN)/python -m tests.relations.race --pairs $(or $(PAIRS),2000) $(FUZZ_OPTIONS) $(ARGS)

soak: $(READY)  ## 500 clients, lost connections, restarts, reloads: MINUTES=10; is an answer wrong, is anything left?
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),1) $(if $(SEED),--seed $(SEED)) $(ARGS)

check: $(READY)  ## what CI checks besides the tests: ruff, formatting, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clients: $(READY)  ## what the matrix of drivers needs besides: packages of npm, and the program of pgx where there is Go
	$(BIN)/npm ci --prefix tests/clients/node --ignore-scripts --no-audit --no-fund
	@if command -v go >/dev/null; then tests/clients/go/build.sh; else echo "no go: pgx is left out"; fi

bench: $(READY)  ## every goal of speed, into docs/benchmarks.md; CURVES=1: how the cost grows, too
	$(BIN)/python -m tests.bench.run --docs docs --extras $(if $(CURVES),--curves) $(ARGS)

bench-quick: $(READY)  ## CPU per query of the proxy and of PgBouncer, in a minute
	$(BIN)/python -m tests.bench.run --quick $(ARGS)

clean:  ## remove .venv, caches and build results
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
