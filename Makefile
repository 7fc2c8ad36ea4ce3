# Few verbs; `make help` lists them. Everything runs inside .venv, which `make setup` builds from requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow check bench lock clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.ready ## build .venv from the locked dependencies

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("HatiData needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: setup ## the main job on the embedded default; ONCE=1 ends after the tour
	$(BIN)/hatidata demo $(if $(ONCE),--once) $(DEMO_ARGS)

test: setup ## the whole suite, slow profiles apart
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile $(TEST_ARGS)

test-slow: setup ## the slow and nightly profiles
	$(BIN)/python -m pytest -m slow $(TEST_ARGS)

check: setup ## style, types and walls
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## measure side by side, print ratios
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

lock: ## write requirements.lock anew from pyproject.toml
	$(BIN)/python -m uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements.lock

clean: ## remove what setup and runs made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
