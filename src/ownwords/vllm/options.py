"""What can be set for the engine `vllm`: a few names of ours, and everything that vLLM takes by its own names."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

OURS = {
    "draft_length": "tokens that the student drafts for the teacher to read in one pass",
    "batch": "attempts at once, at most",
    "cache": "GiB for keys and values, on a CPU",
}
TAKEN = {
    "model", "tokenizer", "speculative_config", "additional_config", "scheduler_cls", "worker_extension_cls",
    "async_scheduling", "max_num_seqs", "logits_processors",
}  # fmt: skip
"""names of vLLM's that the engine sets itself"""


@dataclass(frozen=True)
class VllmOptions:
    """Options of `ownwords generate --engine vllm`, as `--engine-options.draft_length 6`."""

    draft_length: int = 4
    batch: int = 64
    cache: float | None = None
    vllm: dict[str, Any] = field(default_factory=dict)
    """arguments of vLLM's `EngineArgs`, by its names"""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Raises ValueError in one line for a name that neither we nor vLLM know, or a wrong value."""
        known = vllm_names()
        for name in given:
            if name in TAKEN:
                raise ValueError(f"the option {name} of the engine vllm is set by the engine itself: leave it out")
            if name not in OURS and name not in known:
                near = difflib.get_close_matches(name, [*OURS, *known], 1)
                said = "; ".join(f"{n}: {what}" for n, what in OURS.items())
                hint = f"{near[0]}" if near else f"{said}; or an argument of vLLM's"
                raise ValueError(f"the engine vllm has no option {name!r}, expected {hint}")
        try:
            numbers: dict[str, Any] = {
                name: (float if name == "cache" else int)(given[name]) for name in OURS if name in given
            }
            ours = cls(**numbers, vllm={name: value for name, value in given.items() if name not in OURS})
        except (TypeError, ValueError):
            raise ValueError(f"the options {', '.join(OURS)} of the engine vllm are numbers") from None
        if ours.draft_length < 1 or ours.batch < 1 or (ours.cache is not None and ours.cache <= 0):
            raise ValueError("the options draft_length, batch and cache of the engine vllm are above 0")
        return ours


def vllm_names() -> set[str]:
    """The arguments that vLLM takes. Raises ValueError in one line if it cannot be imported."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # read at the import
    try:
        from vllm.engine.arg_utils import EngineArgs
    except ImportError as error:
        raise ValueError(f"the engine vllm needs vLLM ({error}): install ownwords[vllm], see docs/vllm.md") from None
    return {one.name for one in fields(EngineArgs)}


def prepare_environment(options: VllmOptions) -> None:
    """What vLLM reads from its environment; what a person has set there stands."""
    for name, value in {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine's core in this process
        "VLLM_USE_V2_MODEL_RUNNER": "0",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        "OMP_NUM_THREADS": str(os.cpu_count() or 1),  # vLLM would take one
        "VLLM_CPU_KVCACHE_SPACE": f"{options.cache or 4:g}",
    }.items():
        os.environ.setdefault(name, value)
