# make train   the main job on real data, from a fresh machine (Python >= 3.11, make)
# make test    the whole test suite with its gates
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
# Networks as small as these gain nothing from a second thread, and lose tenfold where another process wants the core.
export OMP_NUM_THREADS ?= 1

.PHONY: train test quick gates benchmark clean

train: $(VENV)/train.stamp
	$(BIN)/thalweg train examples/digits.py

test: gates
	$(BIN)/python -m pytest -n 2 --dist loadfile

quick: $(VENV)/test.stamp
	$(BIN)/python -m pytest -x -q -m "not slow"

gates: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(VENV)/test.stamp
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("thalweg needs Python 3.11 or newer, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/train.stamp: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) -e ".[examples]"
	touch $@

$(VENV)/test.stamp: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) -e ".[examples,test]"
	touch $@ $(VENV)/train.stamp

clean:
	rm -rf $(VENV) build dist runs .pytest_cache .mypy_cache .ruff_cache
