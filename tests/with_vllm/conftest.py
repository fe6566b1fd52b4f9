"""`make test-vllm-v2` runs some of these tests with vLLM's second model runner, which is made of Triton kernels. They
need no GPU if Triton interprets them, slowly. It must know of that before anything imports it: the environment says so.
"""

from __future__ import annotations

import os
from types import SimpleNamespace

if os.environ.get("TRITON_INTERPRET") == "1":
    from triton.backends import backends

    # vLLM asks Triton for a backend of CPUs before it takes its kernels for usable on one
    backends["cpu"] = SimpleNamespace(driver=SimpleNamespace(is_active=lambda: False), compiler=None)
