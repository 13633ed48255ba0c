SHELL := /bin/bash
.DEFAULT_GOAL := help
PY ?= $(firstword $(shell command -v python3.11) python3)
BIN := .venv/bin
READY := .venv/.ready
PROTOS := $(wildcard protos/concilium/v1/*.proto)
TESTS ?= tests
JOBS ?= 2
SEED ?= 1
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
DEMO := configs/breast-cancer
PATIENTS := $(patsubst %/site.yaml,%/patients.csv,$(wildcard $(DEMO)/sites/*/site.yaml))
STUDIES := $(addprefix bench/,attacks.py compression.py heart.py privacy_utility.py strategies.py)
BENCHES := $(filter-out $(STUDIES),$(wildcard bench/*.py))
STUBS = PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python -m grpc_tools.protoc -I . \
	--python_out=$(1) --grpc_python_out=$(1) --mypy_out=$(1) --mypy_grpc_out=$(1) $(PROTOS)

help: ## what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PY) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[site,coordinator,postgresql,dev]'
	touch $@

install: $(READY) ## the environment in .venv, every version pinned

proto: $(READY) ## stubs from protos/
	$(call STUBS,.)

proto-check: $(READY) ## committed stubs are those of the .proto files
	rm -rf build/proto && mkdir -p build/proto
	$(call STUBS,build/proto)
	@diff -r -x '*.proto' -x __init__.py -x __pycache__ build/proto/protos/concilium/v1 protos/concilium/v1 \
	  || { echo "stale stubs: run make proto"; exit 1; }

fix: $(READY) ## format and mend what ruff can
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: $(READY) ## format, rules, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: $(READY) $(PATIENTS) ## the tests, under five minutes
	$(PYTEST) -m 'not slow and not long and not pages' $(TESTS)

test-all: test ## and the slow ones, which wait more than they compute
	$(PYTEST) -n 3 -m 'slow and not long and not pages' $(TESTS)

long: $(READY) ## federations that run for minutes: agents killed, strategies, the same seed twice
	$(BIN)/python -m pytest -m long $(TESTS)

chaos: $(READY) $(PATIENTS) ## a federation of five, killed and cut by a schedule that SEED draws: make chaos SEED=7
	$(BIN)/python tests/chaos/run.py --seed $(SEED) $(CHAOS)

fuzz: $(READY) ## N hostile inputs (SEED replays a run) for each of what reads a peer's bytes
	CONCILIUM_FUZZ=$(or $(N),10000) CONCILIUM_FUZZ_SEED=$(or $(SEED),1) $(PYTEST) --timeout 0 tests/fuzz

soak: $(READY) $(PATIENTS) ## many rounds with cuts, and what they take of the machine: make soak SOAK='--rounds 1000'
	$(BIN)/python tests/chaos/soak.py --seed $(SEED) $(SOAK)

pages: $(READY) $(PATIENTS) ## every command of docs/ runs and prints what the page shows
	$(BIN)/python -m pytest -m pages $(TESTS)

demo: $(READY) $(PATIENTS) ## five hospitals train one model on this machine: about a minute
	$(BIN)/concilium-coordinator rehearse $(DEMO)/agreement.yaml

$(PATIENTS) &: $(DEMO)/cohort.py | $(READY)
	$(BIN)/python $(DEMO)/cohort.py

bench: $(READY) ## what our own work costs, each beside its reference: a table and build/bench.json
	rm -f build/bench.json
	set -e; for bench in $(BENCHES); do $(BIN)/python $$bench; done
	PYTHONPATH=bench $(BIN)/python -m logs.figures build/bench.json

studies: $(READY) $(PATIENTS) ## what the models come to, and what attacks on them: an hour and more
	set -e; for study in $(STUDIES); do $(BIN)/python $$study; done

bundle: $(READY) ## build/bundle: wheels, hashes, bill of materials, container files, for machines without a network
	$(BIN)/python configs/bundle/bundle.py build/bundle

errors: $(READY) ## docs/errors.md from the catalogue in governance/errors/
	$(BIN)/python -m governance.error_pages docs/errors.md

check: lint proto-check test ## all that must pass before a commit

.PHONY: help install proto proto-check fix lint test test-all long chaos soak fuzz pages demo bench studies bundle errors check
