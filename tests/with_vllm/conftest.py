"""Tests that want vLLM (a folder of that name would be imported in its place): `make test-vllm` runs them, in an environment of their own, one file per process."""

from __future__ import annotations

import os
from importlib.util import find_spec

os.environ.setdefault("OMP_NUM_THREADS", "1")

collect_ignore_glob = [] if find_spec("vllm") else ["test_*.py"]
