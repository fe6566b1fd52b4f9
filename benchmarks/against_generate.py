"""Tailored traces against plain teacher traces: what does a token, and what does a trace cost?

python benchmarks/against_generate.py

Arms, on the same problems, with the same sampling (T 0.7, top-p 0.95) and the same ends:
* `generate()` of `transformers`: the plain teacher, left-padded batches, at every batch size given;
* our engine with --gate always, without and with speculation, so that refilled slots and speculation are told apart;
* our engine with the paper's gate, that is tailored traces, without and with speculation.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

import torch
from common import decode, machine, pair

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--teacher", default="world")
parser.add_argument("--student", default="world")
parser.add_argument("--batches", type=int, nargs="+", default=[16, 64, 128, 256])
parser.add_argument("--attempts", type=int, default=256)
parser.add_argument("--repetitions", type=int, default=3)
options = parser.parse_args()


@torch.inference_mode()
def by_generate(prepared, batch: int) -> tuple[float, int]:
    """(seconds, tokens): one attempt after the other in batches; padding after the end is not counted."""
    model, tokenizer = prepared.engine.teacher.model, prepared.engine.teacher.tokenizer
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    prompts = [
        [*prepared.prompts[prepared.problems[i % len(prepared.problems)].id][0], *prepared.style.forced]
        for i in range(options.attempts)
    ]
    prompts.sort(key=len)  # the kindest order: little padding
    tokens, started = 0, time.perf_counter()
    for i in range(0, len(prompts), batch):
        group = prompts[i : i + batch]
        width = max(map(len, group))
        ids = torch.tensor([[pad] * (width - len(p)) + p for p in group])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in group])
        out = model.generate(
            ids, attention_mask=mask, do_sample=True, temperature=0.7, top_p=0.95, top_k=0,
            max_new_tokens=prepared.config.budget.max_tokens, eos_token_id=end, pad_token_id=pad,
        )[:, width:]  # fmt: skip
        ended = (out == end).int().cumsum(-1).cumsum(-1) <= 1  # up to and with the first end
        tokens += int(ended.sum())
    return time.perf_counter() - started, tokens


print(machine())
plain = pair(options.teacher, options.student, gate="always", max_tokens=512)
tailored = pair(options.teacher, options.student, max_tokens=512)
arms = {f"generate(), batch {b}": ("generate", b) for b in options.batches}
for gate, prepared in (("plain", plain), ("tailored", tailored)):
    for b in options.batches:
        for name, d in (("no drafts", 0), ("speculation", None)):
            arms[f"{gate}, {name}, batch {b}"] = (prepared, b, d)
speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
for repetition in range(options.repetitions):
    torch.manual_seed(repetition)
    for name in random.Random(repetition).sample(list(arms), len(arms)):
        if arms[name][0] == "generate":
            seconds, tokens = by_generate(plain, arms[name][1])
        else:
            prepared, b, d = arms[name]
            run = decode(prepared, b, d, options.attempts)
            seconds, tokens = run.seconds, run.work.tokens
        speeds[name].append((tokens / seconds, options.attempts / seconds))
best = max(
    (name for name in arms if name.startswith("generate")), key=lambda n: statistics.median(s for s, _ in speeds[n])
)
print(f"the best of generate() is {best}\narm: tokens/s, traces/s, tokens/s against the best of generate()")
for name, measured in speeds.items():
    ratios = [ours[0] / theirs[0] for ours, theirs in zip(measured, speeds[best], strict=True)]
    print(
        f"{name:36} {statistics.median(s for s, _ in measured):8.0f} {statistics.median(t for _, t in measured):8.2f}"
        f"   {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    )
