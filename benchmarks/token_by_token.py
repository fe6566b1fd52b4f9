"""The authors' way of working, rebuilt by us: one trace at a time, one request per token and model.

python benchmarks/token_by_token.py

Their script asks two servers for the distribution of the next token, up to the 20 likeliest, draws up to five proposals
from the teacher's, and falls back to the student's (see docs/performance.md). This rebuild is kinder than the original:
both models are in this process, keep their keys and values, and nothing is sent anywhere. Our engine runs the same
rules (--preset paper-script) on the same problems, at batch 1 and at larger batches.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

import torch
from common import decode, filled, machine, pair, pass_ms, spread
from transformers import DynamicCache

from ownwords.engines.pace import LENGTHS

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--teacher", default="world")
parser.add_argument("--student", default="world")
parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
parser.add_argument("--batches", type=int, nargs="+", default=[1, 64, 256])
parser.add_argument("--traces", type=int, default=24)
parser.add_argument("--repetitions", type=int, default=5)
options = parser.parse_args()


@torch.inference_mode()
def token_by_token(prepared, problem_id: str, rng: random.Random) -> int:
    """Tokens of one trace."""
    sides = [prepared.engine.teacher.model, prepared.engine.student.model]
    caches = [DynamicCache(config=model.config) for model in sides]
    feed = [torch.tensor([[*prompt, *prepared.style.forced]]) for prompt in prepared.prompts[problem_id]]
    written = 0
    while written < prepared.config.budget.max_tokens - len(prepared.style.forced):
        pools = []
        for model, cache, ids in zip(sides, caches, feed, strict=True):
            logits = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1].float()
            top = logits.log_softmax(-1).topk(20)
            pools.append((top.indices.tolist(), top.values.exp().tolist()))
        (teacher_ids, teacher_probs), (student_ids, student_probs) = pools
        student = dict(zip(student_ids, student_probs, strict=True))
        token = next(
            (x for x in rng.choices(teacher_ids, teacher_probs, k=5) if student.get(x, 0.0) >= 0.01), None
        )  # fmt: skip
        if token is None:
            token = rng.choices(student_ids, student_probs)[0]
        written += 1
        if token in prepared.engine.decoder.stops.end_ids:
            break
        feed = [torch.tensor([[token]])] * 2
    return written


def limit(prepared, theirs: float) -> tuple[float, int]:
    """How many times as fast as `theirs` (tokens/s) batch 1 could be, and with how many drafts, if nothing but the
    passes of the two models took time: D of the student and one of the teacher, for as many tokens as a block gives."""
    teacher, student = (filled(side.model, 1, 96) for side in (prepared.engine.teacher, prepared.engine.student))
    step_ms = pass_ms(student, 1, 25)
    ratios = {}
    for d in LENGTHS:
        work = decode(prepared, 1, d, 8).work
        block_ms = (d + 1) * step_ms + pass_ms(teacher, d + 1, 25)
        ratios[d] = work.tokens / work.blocks / block_ms * 1000 / theirs
    best = max(ratios, key=ratios.get)
    return ratios[best], best


print(machine())
dtypes = dict(teacher_dtype=options.dtype, student_dtype=options.dtype)
prepared = pair(options.teacher, options.student, preset="paper-script", max_tokens=512, **dtypes)
decode(prepared, 1, 3, 2)
ratios: dict[int, list[float]] = {batch: [] for batch in options.batches}
theirs = []
for repetition in range(options.repetitions):
    rng, started, tokens = random.Random(repetition), time.perf_counter(), 0
    for i in range(options.traces):
        tokens += token_by_token(prepared, prepared.problems[i % len(prepared.problems)].id, rng)
    theirs.append(tokens / (time.perf_counter() - started))
    for batch in options.batches:
        attempts = min(max(options.traces, 16 * batch), 1024)  # as in speculation.py: not all beginning and end
        ratios[batch].append(decode(prepared, batch, None, attempts).speed / theirs[-1])
print(f"token by token, one trace at a time: {statistics.median(theirs):.0f} tokens/s")
ratio, d = limit(prepared, statistics.median(theirs))
print(f"batch 1 at best, if only the models' passes took time: {ratio:.2f} times, with {d} drafts")
for batch, values in ratios.items():
    print(f"ours, batch {batch}: {spread(values)} times as many tokens/s")
