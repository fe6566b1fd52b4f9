# make demo    RSD traces on the small world, offline
# make check   lint, types and the fast tests: a minute on 2 cores
# make test    lint, types, the site and all tests
# make docs    the site, in site/
# Each sets up what it needs first, from python3 (3.11 or newer) and a package index.

PYTHON ?= python3
VENV ?= .venv
RUN ?= runs/demo
BIN := $(VENV)/bin

# What `make check` runs: files of at most about 8 s of CPU each beyond their imports, and the law of the algorithm.
# A new file belongs here if it is as quick (`pytest --durations 10 FILE`). `make check` takes at most 60 s on 2 quiet cores.
FAST := endpoint export found_answers help house judge layers models options pace problems rsd_law sources \
    suitability_choice suitability_sets tokens training_cli training_data

.PHONY: demo check test lint docs setup clean

setup: $(VENV)/.ready

# constraints.txt holds the exact versions; torch comes first and alone, so that nothing pulls another build of it.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed, this is " + sys.version.split()[0]'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH_FLAGS) -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: setup
	HF_HUB_OFFLINE=1 $(BIN)/ownwords demo --run $(RUN)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers 2

check: lint
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist loadfile --durations 5 $(FAST:%=tests/test_%.py)

# not --quiet, with which MkDocs counts no warnings and so is not strict
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test: lint docs
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

clean:
	rm -rf $(VENV) runs site
