"""How much memory scoring one long trace takes above the model, on the CPU.

A random Qwen3 with a full vocabulary and a small body: the vocabulary and the length are what memory could grow with.
The figure is the highest resident size that the process ever had, less that with the model loaded.

python benchmarks/scoring_memory.py --tokens 32768 --vocabulary 151936
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from ownwords.records.tokens import Tokens
from ownwords.suitability.forward import Scorer

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--tokens", type=int, default=32768)
parser.add_argument("--vocabulary", type=int, default=151_936)
parser.add_argument("--hidden", type=int, default=64)
parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
options = parser.parse_args()


def resident(what: str) -> float:
    """MiB of this process: VmRSS now, VmHWM at its highest (Linux)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[what].split()[0]) / 2**10


torch.manual_seed(0)
config = Qwen3Config(
    vocab_size=options.vocabulary, hidden_size=options.hidden, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=32, intermediate_size=3 * options.hidden, max_position_embeddings=options.tokens,
    tie_word_embeddings=True,
)  # fmt: skip
model = Qwen3ForCausalLM(config).to(getattr(torch, options.dtype)).eval()
scorer = Scorer(model, None, "a random Qwen3")
ids = np.random.default_rng(0).integers(0, options.vocabulary, options.tokens).astype(np.int32)
before, started = resident("VmRSS"), time.monotonic()
(scored,) = scorer.score([Tokens(prompt_ids=ids[:16], token_ids=ids[16:])])
above = resident("VmHWM") - before
all_logits = options.tokens * options.vocabulary * 4 / 2**20
print(
    f"{options.tokens - 16:,} tokens scored in {time.monotonic() - started:.0f} s, vocabulary {options.vocabulary:,}, "
    f"hidden {options.hidden}, {options.dtype}: {above:.0f} MiB above the model ({before:.0f} MiB); "
    f"all logits in fp32 would be {all_logits:,.0f} MiB"
)
