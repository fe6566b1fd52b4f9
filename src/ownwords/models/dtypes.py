"""Float32 or bfloat16, where nobody has said.

On a GPU it is the checkpoint's own type. On a CPU it is float32, unless a large model of bfloat16 weights is faster in
its own type on a processor with instructions for it. How much faster is measured, as the model is loaded, on products
of the model's own shapes: which it is depends on the processor, on the build of torch and on the width of the model.

A measurement may come out otherwise tomorrow. So what was taken is part of a run, which goes on in it.
"""

from __future__ import annotations

import platform
import statistics
import time
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, PreTrainedConfig

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LEAST = 50_000_000
"""weights; with fewer, most of the time is not the products'"""
GAIN = 1.3
"""times as fast bfloat16 has to be: it rounds, so that the tokens of an attempt depend on who is decoded beside it"""
ROWS = 8
"""tokens of one pass, as a few attempts with drafts make it"""
MEASURED = 32_000_000
"""weights of the products that are timed: more than a processor's cache holds, as those of a model are"""
TIMES = 5
"""measurements of each type, in turn"""


@dataclass(frozen=True)
class Choice:
    """The type of a model's weights and why."""

    dtype: torch.dtype | str
    """`auto` for the checkpoint's own"""
    why: str = ""
    """for the plan; empty where somebody has said, or nothing was to be chosen"""


def choose(dtype: str, config: PreTrainedConfig, device: torch.device) -> Choice:
    """The type for a model of this configuration. `dtype`: what was asked for, `auto` for a choice."""
    if dtype != "auto":
        return Choice(DTYPES[dtype])
    if device.type != "cpu":
        return Choice("auto")
    own, native = config.dtype, native_bfloat16()
    if own != torch.bfloat16 or not native:
        return decide(own, native, 0, {})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    weights = sum(p.numel() for p in model.parameters())
    if weights < LEAST:
        return decide(own, native, weights, {})
    shapes = [m.weight.shape for m in model.modules() if isinstance(m, torch.nn.Linear)]
    return decide(own, native, weights, seconds_of(*shapes))


def decide(own: torch.dtype | str | None, native: bool, weights: int, seconds: dict[torch.dtype, float]) -> Choice:
    """On a CPU, by the checkpoint's own type, by whether the processor has instructions for bfloat16, by the number of
    weights, and by what the products took in both types; empty where they were not measured."""
    if own != torch.bfloat16 or not native or weights < LEAST or not seconds:
        return Choice(torch.float32)
    gain = seconds[torch.float32] / seconds[torch.bfloat16]
    if gain < GAIN:
        return Choice(torch.float32, f"bfloat16 measured {gain:.2g} times as fast")
    return Choice(torch.bfloat16, f"measured {gain:.2g} times as fast as float32")


def native_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 by instructions of its own: AMX or AVX512-BF16, or those of ARM."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        asked = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
        return any(ask() for ask in asked if ask)
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


@cache
@torch.inference_mode()
def seconds_of(*shapes: torch.Size) -> dict[torch.dtype, float]:
    """Median seconds of the first of these products in both types, which takes about a second in all. Measured once, so
    that a model that is its own teacher has one type."""
    timed, held = [], 0
    for shape in shapes:
        timed.append(shape)
        held += shape.numel()
        if held >= MEASURED:
            break
    types = (torch.float32, torch.bfloat16)
    layers = {t: [(torch.full((ROWS, s[1]), 0.1, dtype=t), torch.full(s, 0.01, dtype=t)) for s in timed] for t in types}
    taken: dict[torch.dtype, list[float]] = {t: [] for t in types}
    for turn in range(TIMES + 1):
        for t in types:
            start = time.perf_counter()
            for x_BD, weight in layers[t]:
                F.linear(x_BD, weight)
            if turn:  # the first one compiles
                taken[t].append(time.perf_counter() - start)
    return {t: statistics.median(times) for t, times in taken.items()}


def name_of(dtype: torch.dtype) -> str:
    """As the options have it; `auto` for a type that they do not name."""
    return next((name for name, one in DTYPES.items() if one == dtype), "auto")
