SHELL := /bin/bash
.DEFAULT_GOAL := help
PY ?= python3.11
BIN := .venv/bin
READY := .venv/.ready
PROTOS := $(wildcard protos/concilium/v1/*.proto)
TESTS ?= tests

help: ## what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PY) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[site,coordinator,postgresql,dev]'
	touch $@

install: $(READY) ## the environment in .venv, every version pinned

proto: $(READY) ## stubs from protos/
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. --mypy_out=. --mypy_grpc_out=. $(PROTOS)

proto-check: $(READY) ## committed stubs are those of the .proto files
	rm -rf build/proto && mkdir -p build/proto
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python -m grpc_tools.protoc -I . --python_out=build/proto --grpc_python_out=build/proto --mypy_out=build/proto --mypy_grpc_out=build/proto $(PROTOS)
	@for made in build/proto/protos/concilium/v1/*; do \
	  cmp "$$made" "protos/concilium/v1/$$(basename $$made)" || { echo "stale stub: run make proto"; exit 1; }; done

fix: $(READY) ## format and mend what ruff can
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: $(READY) ## format, rules, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(READY) ## the tests, under five minutes
	$(BIN)/python -m pytest -n 2 -m 'not slow' $(TESTS)

test-all: test ## and the slow ones
	$(BIN)/python -m pytest -m slow $(TESTS)

check: lint proto-check test ## all that must pass before a commit

.PHONY: help install proto proto-check fix lint test test-all demo bench check
