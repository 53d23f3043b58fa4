# Commands for a machine with Python 3.11 or newer and nothing else.
#   make demo   prepare the drawn faces, train a tiny QCS on them, evaluate it
#   make test   lint and test
#   make latest with the newest JAX that the project takes: what may differ there
#   make full_size  one step of the published networks, in 14 GB of memory
#   make faults the long campaign: kills, damaged checkpoints, broken files; half an hour
# PYTHON=python3.12 make test   uses another interpreter.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
LATEST ?= python3.13
VENV := .venv
PINS := requirements.txt
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# What depends on JAX and its company: numbers of the published code, the step, resuming,
# several processes, checkpoints, prediction and what is exported.
FAR_END := tests/models tests/train tests/faults tests/checkpoint tests/predict \
  tests/export tests/serve tests/system

.PHONY: demo test latest latest_tests full_size lint faults clean

# XLA's large buffers in large pages (glibc on Linux; ignored elsewhere): faster steps.
demo: export GLIBC_TUNABLES = glibc.malloc.hugetlb=1
demo: $(READY)
	$(BIN)/python data/prepare.py synthetic_faces
	$(BIN)/python -m qcs_jax.main --config=configs/demo.py
	$(BIN)/python -m qcs_jax.main --config=configs/demo.py --mode=eval

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal
	@echo "Not run: a step of the published networks (make full_size)"

latest:
	$(MAKE) latest_tests VENV=.venv-latest PINS=requirements-latest.txt PYTHON=$(LATEST)

latest_tests: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal $(FAR_END)

full_size: $(READY)
	$(BIN)/python -m pytest -m full_size

# Before a release.
faults: $(READY)
	$(BIN)/python tests/faults/campaign

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Made anew when the pins change; a half-made environment is never marked ready.
$(READY): $(PINS) pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: PYTHON=python3.11 make")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(PINS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

clean:
	rm -rf $(VENV) .venv-latest build dist *.egg-info
