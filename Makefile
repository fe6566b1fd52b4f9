# make demo   set up, then RSD traces on the small world, offline
# make test   set up, then the whole test suite
# Both need python3 (3.11 or newer) and a package index, nothing else.

PYTHON ?= python3
VENV ?= .venv
RUN ?= runs/demo
BIN := $(VENV)/bin

.PHONY: demo test lint setup clean

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

test: lint
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

clean:
	rm -rf $(VENV) runs
