# Few verbs; `make help` lists them. Everything runs inside .venv, which `make setup` builds from requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help setup wheels demo test test-slow check bench mutants synth aws-smoke test-qemu test-emulator lock clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.ready ## build .venv from the locked dependencies, and fetch what `make synth` deploys
	$(BIN)/python -m cdk_app.wheels || true

wheels: $(VENV)/.ready ## fetch the locked wheels for arm64 (as setup does, but failing when they are not to be had)
	$(BIN)/python -m cdk_app.wheels

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("HatiData needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(VENV)/.ready ## the main job on the embedded default; ONCE=1 ends after the tour
	$(BIN)/hatidata demo $(if $(ONCE),--once) $(DEMO_ARGS)

test: $(VENV)/.ready ## the whole suite, slow profiles apart
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile $(TEST_ARGS)

test-slow: $(VENV)/.ready ## the slow and nightly profiles
	$(BIN)/python -m pytest -m slow $(TEST_ARGS)

check: $(VENV)/.ready ## style, types and walls
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.ready ## measure side by side, print ratios
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

synth: wheels ## write the CloudFormation templates to build/cdk.out; DEPLOYMENT=mine.toml for other settings than the example's
	HATIDATA_DEPLOYMENT=$(DEPLOYMENT) $(BIN)/python -m cdk_app

aws-smoke: $(VENV)/.ready ## check a deployment in a real account; SMOKE_ARGS="--region … --account …"
	$(BIN)/hatidata aws smoke $(SMOKE_ARGS)

LOCK_ARM64 := $(BIN)/python -m uv pip compile pyproject.toml -c requirements.lock --python-platform aarch64-manylinux_2_28 \
  --only-binary :all: --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet

test-qemu: $(VENV)/.ready build/kernel/.ready ## a node's boot and end with real dm-crypt, on an emulated machine (Debian: qemu-system-x86 busybox-static kmod cryptsetup-bin dmsetup)
	HATIDATA_TEST_KERNEL=$(CURDIR)/build/kernel $(BIN)/python -m pytest tests/boot/test_qemu.py -m slow $(TEST_ARGS)

build/kernel/.ready: # a Debian kernel to boot, unpacked and not installed; 70 MB
	mkdir -p build/kernel
	cd build/kernel && apt-get download "$$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: //p' | head -n 1)" && dpkg -x linux-image-*.deb . && rm linux-image-*.deb
	touch $@

test-emulator: $(VENV)/.ready build/emulator/.ready ## deploy, boot, query and terminate on an emulator of AWS on loopback
	$(BIN)/python -m pytest tests/cdk/emulator -m slow $(TEST_ARGS)

build/emulator/.ready: tests/cdk/emulator/emulator.lock # apart from .venv: it pins older libraries
	rm -rf build/emulator && $(PYTHON) -m venv build/emulator
	build/emulator/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $<
	touch $@

mutants: setup ## mutation testing of the stages that decide access; ONLY="guard prover" SAMPLE=60 SEED=1 narrow it, AGAIN=1 asks the last survivors only
	$(BIN)/python -m tests.mutants $(ONLY) --sample $(or $(SAMPLE),0) --seed $(or $(SEED),1) $(if $(AGAIN),--survivors)

lock: ## write requirements.lock anew from pyproject.toml
	$(BIN)/python -m uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements.lock
	$(LOCK_ARM64) --python-version 3.14 --extra aws --extra lambdas -o cdk_app/functions.lock
	$(LOCK_ARM64) --python-version 3.11 --extra aws --extra engine --extra local -o cdk_app/node.lock

clean: ## remove what setup and runs made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
