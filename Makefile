# The environment is made by the first target that needs it. VENV= puts it elsewhere; PYTHON= picks the interpreter.
VENV ?= .venv
PYTHON ?= python3
RUN ?= runs/demo
PY := $(abspath $(VENV))/bin/python
REQUIREMENTS := requirements.txt requirements-no-deps.txt
STAMP := $(VENV)/.requirements-$(shell cat $(REQUIREMENTS) | cksum | cut -d' ' -f1)
# An environment may serve several clones: the editable install is redone when the clone changes.
EDITABLE := $(VENV)/.editable-$(shell pwd | cksum | cut -d' ' -f1)

.PHONY: demo results test test-slow lint format clean env
.DEFAULT_GOAL := demo

env: $(EDITABLE)

$(STAMP): $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python >= 3.10 is needed, this is " + sys.version)'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --disable-pip-version-check --no-deps -r requirements-no-deps.txt
	@rm -f $(VENV)/.requirements-* && touch $@

$(EDITABLE): $(STAMP) pyproject.toml
	$(PY) -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.editable-* && touch $@

demo: env  ## the main job: world, training, evaluation, export, tracking, report
	$(PY) experiments/demo.py --out $(RUN)

results: env  ## tables of all runs under runs/, into experiments/README.md
	$(PY) experiments/results.py

test: env  ## everything that runs without a GPU in minutes
	$(PY) -m pytest -m "not slow and not gpu"

test-slow: env  ## the rest
	$(PY) -m pytest -m "slow or gpu"

lint: env
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: env
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:  ## removes what commands made here, the environment included
	rm -rf .venv runs build .pytest_cache .ruff_cache .mypy_cache .hypothesis ./*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
