# make demo   one run on simulated cells, from nothing: needs Python 3.11+, pip and make
# make test   the tests that every change must pass
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS)

.PHONY: demo test test-all doctest lint format bench clean

demo: $(VENV)/.installed
	$(BIN)/partwise simulate neighborhoods -n 20000 -f 20 -o $(DEMO) -s 42 --mode anchored
	$(BIN)/partwise cluster $(DEMO)/test_neighborhood_freqs_20000.csv -o $(DEMO)/results -n 6
	@echo
	@echo "The report: $(CURDIR)/$(DEMO)/results/report.html"

test: $(VENV)/.installed-test
	$(BIN)/partwise warmup
	$(PYTEST) -m "not slow and not neural" tests

test-all: $(VENV)/.installed-test
	$(BIN)/partwise warmup
	$(PYTEST) -m "not neural" tests

doctest: $(VENV)/.installed-test
	$(BIN)/python -m pytest --doctest-modules src/partwise tests/api/test_readme.py

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# our side only; benchmarks/README.md says how to run the rivals
bench: $(VENV)/.installed-test
	$(BIN)/python benchmarks/smoke.py

clean:
	rm -rf $(VENV) $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "partwise needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	@touch $@ $(VENV)/.installed
