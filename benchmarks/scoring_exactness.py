"""Does `ownwords score` give what the definitions say? Every score of a finished scores directory, per trace and for
the set, against a float64 reference that reads each trace alone, with the largest relative difference.

ownwords score long_traces/train.jsonl --student MODEL --out scores/long
python benchmarks/scoring_exactness.py scores/long
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from references.suitability import Reference, reference_set, reference_tokens, reference_trace

from ownwords.models.load import load
from ownwords.records.tokens import Tokens
from ownwords.suitability.stored import Scores

CHUNK = 2
"""positions at a time: in float64 more of them would not stay in the cache"""
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("scores", type=Path)
parser.add_argument("--traces", type=int, help="compare the first so many, and not the set")
parser.add_argument("--cache", type=Path, help="a folder for the references, so that a start that was killed goes on")
options = parser.parse_args()

scores = Scores.read(options.scores)
student = load(scores.config["student"], "student", "cpu", scores.config["dtype"])
model = student.model
known_V = torch.zeros(model.lm_head.weight.shape[0], dtype=torch.bool)
known_V[list(student.tokenizer.get_vocab().values())] = True


@torch.inference_mode()
def reference(tokens: Tokens) -> Reference:
    """The trace alone in a batch, the head on a few positions at a time, everything after it in float64."""
    prompt, ids = (torch.from_numpy(of.astype(np.int64)) for of in (tokens.prompt_ids, tokens.token_ids))
    hidden_TH = model.base_model(input_ids=torch.cat([prompt, ids])[None], use_cache=False).last_hidden_state[0]
    columns: tuple[list, list, list] = ([], [], [])
    for at in range(0, len(ids), CHUNK):
        start = len(prompt) - 1 + at
        logits_TV = model.lm_head(hidden_TH[start : start + len(ids[at : at + CHUNK])]).masked_fill(~known_V, -math.inf)
        for column, values in zip(columns, reference_tokens(logits_TV, ids[at : at + CHUNK])):
            column += values
    kept = [np.asarray(column)[tokens.free].tolist() for column in (*columns, tokens.column("step"))]
    return Reference(*kept)


def cached(number: int, tokens: Tokens) -> Reference:
    path = options.cache / f"{number}.npz" if options.cache else None
    if path and path.exists():
        with np.load(path) as stored:
            return Reference(*(stored[name].tolist() for name in ("surprisal", "rank", "entropy", "step")))
    found = reference(tokens)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp.npz")
        np.savez(temporary, **vars(found))
        temporary.replace(path)
    return found


def worst(seen: dict, expected: dict, so_far: dict[str, float]) -> None:
    for name, value in expected.items():
        difference = abs(seen[name] - value) / abs(value) if value else abs(seen[name])
        so_far[name] = max(so_far.get(name, 0.0), difference)


started, references, per_trace, per_set = time.monotonic(), [], {}, {}
rows = scores.traces()
for number, (row, tokens) in enumerate(zip(rows, scores.tokens(), strict=True)):
    if number == options.traces:
        break
    if not row["skipped"]:
        references.append(cached(number, tokens))
        worst(row, reference_trace(references[-1]), per_trace)
if options.traces is None:
    worst(scores.summary["all"], reference_set(references), per_set)
total = sum(len(one.surprisal) for one in references)
print(f"{len(references)} traces, {total:,} tokens, {time.monotonic() - started:.0f} s; largest relative differences:")
for name, difference in per_trace.items():
    print(f"{name:16} per trace {difference:.1e}" + (f"   set {per_set[name]:.1e}" if per_set else ""))
