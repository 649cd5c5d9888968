# Every target makes its own .venv first: a fresh clone needs Python 3.11+ and make, nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
READY := .venv/.ready
# more than cores: many tests wait for a lease, or for a process
JOBS ?= 4
MINUTES ?= 30
ARGS ?=
# pyright tells of every newer release; it is pinned in pyproject.toml
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The suite starts hundreds of processes: where none leaves its byte code behind, each compiles all of Perdure first.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check bench soak long matrix phoenix docs clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## the sales desk, killed twice, finishing; ARGS=--yes answers its question
	@$(BIN)/python examples/sales_desk/demo.py $(ARGS)

test: $(READY) ## all tests but the long ones, code blocks of the docs included; ARGS="-k name"
	@$(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS) || { echo "== what failed is run again, alone: many processes share few cores"; \
	  $(BIN)/pytest -n 0 --last-failed --last-failed-no-failures=none $(ARGS); }

check: $(READY) ## lint, format, types, layers, sizes, exports, docs
	@echo "== ruff check";    $(BIN)/ruff check .
	@echo "== ruff format";   $(BIN)/ruff format --check .
	@echo "== pyright";       $(BIN)/pyright
	@echo "== lint-imports";  $(BIN)/lint-imports
	@echo "== sizes";         $(BIN)/python tools/check_sizes.py
	@echo "== exports";       $(BIN)/python tools/check_exports.py
	@echo "== docs";          $(BIN)/python tools/build_docs.py

bench: $(READY) .venv-bench/.ready ## all measurements, about 45 minutes; ARGS=--quick, ARGS="--only steps-64"
	@$(BIN)/python -m benchmarks $(ARGS)

soak: $(READY) ## MINUTES=30 of chaos on both stores, and an audit; ARGS="--seed 7"
	@$(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

long: $(READY) ## the tests that run for minutes
	@$(BIN)/pytest -n $(JOBS) --dist worksteal -m soak $(ARGS)

matrix: $(READY) ## the adapters' tests on the oldest and newest frameworks; ARGS="langgraph --side oldest"
	@$(BIN)/python tools/matrix.py $(ARGS)

phoenix: $(READY) ## a run's spans in a real Phoenix, which is asked what it has got
	@$(BIN)/python tools/phoenix.py

docs: $(READY) ## the documentation, into site/
	@$(BIN)/python tools/build_docs.py

clean: ## what builds and tools left behind (.venv, .venv-bench and .venv-matrix stay)
	rm -rf build dist site .cache .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.venv*/*' -prune -exec rm -rf {} +

# A contender that cannot be installed is a line in the table, so this does not fail.
.venv-bench/.ready: pyproject.toml $(READY)
	@$(BIN)/python tools/make_bench_venv.py .venv-bench
	@touch $@

$(READY): pyproject.toml
	@tools/make_venv
	@touch $@
