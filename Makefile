# Tickforge. `make` alone lists what there is; every target that needs .venv makes it first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Where to look for torch besides PyPI, e.g. TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
BIN := .venv/bin
READY := .venv/.ready
PEERS := .venv-peers
export PYTHONPATH := $(CURDIR):$(CURDIR)/client

.DEFAULT_GOAL := help
.PHONY: help setup parquet onnx pandas trackers typescript scikit-learn demo picture test test-gpu serve check bench bench-peers bench-tables clean faults demo-crash mutants every-tick webhooks threads model soak fuzz

help: ## list these targets
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{printf "make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## .venv with all that demo, test and serve need

$(READY): requirements.txt client/pyproject.toml
	@test -n "$(PYTHON)" || { echo "Tickforge needs Python 3.11.3 or newer on PATH (or PYTHON=...)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11, 3) or sys.exit(f"Tickforge needs Python 3.11.3 or newer; {sys.executable} is {sys.version.split()[0]}: set PYTHON=...")'
	@echo "setting up .venv (torch is large: a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable client
	@touch $@

parquet: .venv/.parquet ## the extra that reads Parquet uploads (pyarrow)

.venv/.parquet: requirements-parquet.txt $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-parquet.txt
	@touch $@

pandas: .venv/.pandas ## the client's extra that makes data frames (pandas)

.venv/.pandas: requirements-pandas.txt $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.txt -r requirements-pandas.txt
	@touch $@

onnx: .venv/.onnx ## the extra that writes model.onnx (onnx, onnxscript), and onnxruntime for its tests

.venv/.onnx: requirements-onnx.txt $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-onnx.txt
	@touch $@

trackers: .venv/.trackers ## for tests alone: tensorboard and wandb, which read what exports write

.venv/.trackers: requirements-trackers.txt $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-trackers.txt
	@touch $@

typescript: .venv/.typescript ## for tests alone: Node, linters and generators of TypeScript clients (npm)

.venv/.typescript: requirements-typescript.txt tests/typescript/package.json tests/typescript/package-lock.json $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-typescript.txt
	@$(BIN)/python -m tests.node_packages
	@touch $@

scikit-learn: .venv/.scikit-learn ## for tests alone: scikit-learn, whose metrics ours are compared with

.venv/.scikit-learn: requirements-scikit-learn.txt $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-scikit-learn.txt
	@touch $@

demo: setup ## train the example digits through the whole service, from nothing to a loss curve
	@$(BIN)/python -m serving.demo

picture: setup ## the README's curve, drawn again: docs/curve.svg
	@$(BIN)/python -m serving.picture

test: setup ## the whole test suite
	@$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder --durations 5

test-gpu: setup ## the tests that need a GPU; they are skipped, with the reason, without one
	@$(BIN)/python -m pytest -q -rs -m gpu

serve: setup ## the service on http://127.0.0.1:8000, data in ./data, until Ctrl-C
	@exec $(BIN)/python serve.py

check: setup ## lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## what docs/performance.md shows, measured here, and written there (QUICK=1: not written)
	@$(BIN)/python -m bench $(if $(QUICK),--quick)
	@$(if $(QUICK),,$(BIN)/python -m bench.page)

bench-peers: $(PEERS)/.ready ## the same beside Lightning, the HF Trainer and ignite (their own .venv-peers)
	@$(PEERS)/bin/python -m bench.peers
	@$(PEERS)/bin/python -m bench.page

$(PEERS)/.ready: bench/peers-requirements.txt requirements.txt
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r bench/peers-requirements.txt
	@touch $@

bench-tables: .venv/.tables ## nets trained on real tables beside scikit-learn's (QUICK=1: a first look)
	@$(BIN)/python -m bench.tables $(if $(QUICK),--quick)
	@$(if $(QUICK),,$(BIN)/python -m bench.page)

.venv/.tables: bench/tables-requirements.txt $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r bench/tables-requirements.txt
	@touch $@

faults: setup ## attack a whole service, F1 to F31, and check its records (SEED=… ROUNDS=… ONLY=F7)
	@$(BIN)/python -m faults $(if $(SEED),--seed $(SEED)) --rounds $(or $(ROUNDS),25) $(if $(ONLY),--only $(ONLY))

soak: setup ## a service in use while a worker is killed, then every invariant (SEED=…, MINUTES=20)
	@$(BIN)/python -m faults.soak $(if $(SEED),--seed $(SEED)) --minutes $(or $(MINUTES),20)

demo-crash: setup ## a job straight, and again while trainer, worker and store are killed: equal?
	@$(BIN)/python -m faults.demo_crash

mutants: setup ## break each promise in a copy of the code: a test must see it (ONLY=name for one)
	@$(BIN)/python -m faults.mutants $(if $(ONLY),--only $(ONLY))

every-tick: setup ## kill a job's trainer at each of its 200 ticks in turn: no bit may differ
	@$(BIN)/python -m faults.every_tick

webhooks: setup ## 10,000 events to a receiver that fails, senders and store killed: none lost? (SEED=…, COUNT=10000)
	@$(BIN)/python -m faults.webhooks $(if $(SEED),--seed $(SEED)) --events $(or $(COUNT),10000)

threads: setup ## thousands of trainers of 2 and 4 threads: equal bits? (COUNT=100, CONTROL=1, INTEL=1)
	@$(BIN)/python -m faults.threads --count $(or $(COUNT),100) $(if $(CONTROL),--control) $(if $(INTEL),--intel)

fuzz: setup ## damaged files of every format to the API: none may be a 5xx, hang or leave anything (SEED=…, COUNT=100000, ONLY=number)
	@$(BIN)/python -m tests.fuzz $(if $(SEED),--seed $(SEED)) --count $(or $(COUNT),100000) $(if $(ONLY),--only $(ONLY))

model: setup ## the ledger beside its model, from another seed each time (SEED=…, EXAMPLES=2000)
	@seed=$(or $(SEED),$$(date +%s)); echo "SEED=$$seed"; TICKFORGE_MODEL_EXAMPLES=$(or $(EXAMPLES),2000) \
		$(BIN)/python -m pytest -q --timeout 0 --hypothesis-seed=$$seed tests/test_jobs_ledger_model.py -k model_does

clean: ## remove .venv and caches; data stays
	rm -rf .venv .venv-peers .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
