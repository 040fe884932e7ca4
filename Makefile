# make run   the whole pipeline on the embedded sample        make test   the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
export DO_NOT_TRACK := true
export UV_LINK_MODE ?= copy

.PHONY: help run schedule test test-avx2 lint lock ablation clean
.DEFAULT_GOAL := help

help:  ## list the commands
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] >= (3, 11) else "Python 3.11 or later is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@

run: $(VENV)/installed  ## run the recipe of params.yaml (the embedded sample, unless you chose another), print where to look
	$(BIN)/python -m flows.pipeline

schedule: $(VENV)/installed  ## server, worker and the schedules of prefect.yaml on this machine, until Ctrl-C
	$(BIN)/python -m flows.deployments

test: $(VENV)/installed lint  ## lint, type check, import contracts and all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder --ignore tests/flows
	$(BIN)/python -m pytest -q tests/flows

# Numeric tests once more with the kernels of a processor without AVX-512 and without bf16: `make test` runs them with
# the best that this processor has.
test-avx2: $(VENV)/installed  ## the numeric tests with AVX2 kernels
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 OMP_NUM_THREADS=1 \
	$(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist loadfile -m "not slow" \
		tests/model tests/inference tests/training tests/finetuning tests/stages/test_embed_images.py

lint: $(VENV)/installed  ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

ablation: $(VENV)/installed  ## the sample recipe with three seeds: what the data engine is worth
	$(BIN)/python -m benchmarks.ablation

lock: $(VENV)/installed  ## resolve requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --extra pipeline --extra sample --extra dev --extra bench --extra gpu --extra ray --extra s3 --extra serve --extra export --extra video --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url -q -o requirements.lock

clean:  ## remove what runs left behind; sources, caches of DVC and the environment stay
	rm -rf data/.partial build dist *.egg-info
