# Tickforge. `make` alone lists what there is; every target that needs .venv makes it first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Where to look for torch besides PyPI, e.g. TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
BIN := .venv/bin
READY := .venv/.ready
export PYTHONPATH := $(CURDIR):$(CURDIR)/client

.DEFAULT_GOAL := help
.PHONY: help setup demo test serve check bench clean

help: ## list these targets
	@grep -E '^[a-z]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z]+):.*## /\1\t/' | awk -F'\t' '{printf "make %-8s %s\n", $$1, $$2}'

setup: $(READY) ## .venv with all that demo, test and serve need

$(READY): requirements.txt client/pyproject.toml
	@test -n "$(PYTHON)" || { echo "Tickforge needs Python 3.11 or newer on PATH (or PYTHON=...)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"Tickforge needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}: set PYTHON=...")'
	@echo "setting up .venv (torch is large: a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable client
	@touch $@

demo: setup ## train the example digits through the whole service, from nothing to a loss curve
	@$(BIN)/python -m serving.demo

test: setup ## the whole test suite
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations 5

serve: setup ## the service on http://127.0.0.1:8000, data in ./data, until Ctrl-C
	@exec $(BIN)/python serve.py

check: setup ## lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## ratios against bare PyTorch loops, as a table and as JSON
	@$(BIN)/python -m bench

clean: ## remove .venv and caches; data stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
