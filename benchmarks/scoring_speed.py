"""How fast scoring is beside a bare forward pass (hidden states and all logits) over the same batches.

At the shapes of Qwen3-0.6B, with random weights. The two take turns, so that whatever else the machine does hits both;
each side's fastest round counts. CPU seconds are told as well: on a machine that others use they say more.

python benchmarks/scoring_speed.py --rows 2 --length 512 --rounds 3
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from ownwords.records.tokens import Tokens
from ownwords.suitability.forward import Scorer

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rows", type=int, default=2)
parser.add_argument("--length", type=int, default=512, help="tokens per row; the first 16 are the prompt")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
parser.add_argument("--device", default="cpu")
options = parser.parse_args()

torch.manual_seed(0)
config = Qwen3Config(
    vocab_size=151_936, hidden_size=1024, num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8,
    head_dim=128, intermediate_size=3072, max_position_embeddings=40_960, tie_word_embeddings=True,
)  # fmt: skip
with torch.device(options.device):
    model = Qwen3ForCausalLM(config).to(getattr(torch, options.dtype)).eval()
scorer = Scorer(model, None, "a random Qwen3-0.6B")
ids_BT = np.random.default_rng(0).integers(0, 151_643, (options.rows, options.length)).astype(np.int32)
batch = [Tokens(prompt_ids=row[:16], token_ids=row[16:]) for row in ids_BT]


@torch.inference_mode()
def bare() -> None:
    logits_BTV = model(input_ids=torch.from_numpy(ids_BT).long().to(options.device), use_cache=False).logits
    float(logits_BTV[0, 0, 0])  # waits for a GPU


def timed(run: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


sides: dict[str, Callable[[], object]] = {"bare forward": bare, "scoring": lambda: scorer.score(batch)}
for run in sides.values():
    run()
seconds = {name: [timed(run)] for name, run in sides.items()}
for _ in range(options.rounds - 1):
    for name, run in sides.items():
        seconds[name].append(timed(run))
best = {name: [min(column) for column in zip(*pairs)] for name, pairs in seconds.items()}
shape = f"{options.rows} rows of {options.length} tokens, {options.dtype}"
print(f"{shape}, {options.device}, {torch.get_num_threads()} threads")
for name, (wall, cpu) in best.items():
    print(f"{name:13} {ids_BT.size / wall:9.1f} tokens/s, {1000 * cpu / ids_BT.size:6.2f} CPU ms per token")
wall, cpu = (b / s for b, s in zip(best["bare forward"], best["scoring"]))
print(f"scoring reaches {wall:.1%} of the bare forward pass by the clock, {cpu:.1%} by CPU seconds")
