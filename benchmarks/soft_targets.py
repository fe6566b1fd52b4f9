"""What soft targets cost: time beside what a step takes anyway, and bytes per token of a run.

python benchmarks/soft_targets.py                     # time, at a vocabulary of 151,936 ids
python benchmarks/soft_targets.py --run RUN ...       # bytes, of runs made with --soft-targets

Time: one position per row, drawn and settled (`draft` and `verify`, all that a step does beyond the models' own
passes), then its soft targets, one after the other; what is compared is the ratio within a repetition. Logits are
random and peaked, the student's much like the teacher's.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from common import machine, spread

from ownwords.rsd.noise import DRAFT
from ownwords.rsd.soft import PAD
from ownwords.rsd.step import Rules, draft, soft_of, verify
from ownwords.traces.soft import Overlap, pack
from ownwords.traces.store import Store

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--vocabulary", type=int, default=151_936)
parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
parser.add_argument("--k", type=int, nargs="+", default=[8, 16, 64])
parser.add_argument("--repetitions", type=int, default=15)
parser.add_argument("--run", type=Path, nargs="+")
options = parser.parse_args()


def seconds(work) -> float:
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def cost_of_time() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator().manual_seed(0)
    print(machine())
    print("batch    k  draw and settle, ms  soft targets, ms  share added: median (range)")
    for B in options.batches:
        teacher_BV, other_BV = (6 * torch.randn(B, options.vocabulary, generator=generator) for _ in range(2))
        student_BV = (0.95 * teacher_BV + 0.3 * other_BV).to(device)
        teacher_BV, rules = teacher_BV.to(device), Rules()
        u_B4 = torch.from_numpy(np.random.default_rng(0).random((B, 4))).to(device)
        free_B = torch.full((B,), -1, device=device)
        drafted = draft(rules, student_BV, u_B4[:, DRAFT], free_B)

        def step(x=(rules, student_BV, teacher_BV, u_B4, free_B)) -> None:
            rules, student_BV, teacher_BV, u_B4, free_B = x
            verify(rules, teacher_BV, draft(rules, student_BV, u_B4[:, DRAFT], free_B), u_B4, free_B)

        for k in options.k:
            wanted = (Rules(soft_targets=k), teacher_BV, drafted, None, np.ones(B, bool))
            times = [(seconds(step), seconds(lambda w=wanted: soft_of(*w))) for _ in range(options.repetitions + 2)][2:]
            plain, soft = (1000 * float(np.median(column)) for column in zip(*times, strict=True))
            shares = spread([after / before for before, after in times])
            print(f"{B:5}  {k:3}  {plain:19.2f}  {soft:16.2f}  {shares:>27}", flush=True)


def bytes_of(run: Path) -> None:
    with Store.read(run) as store:
        tokens = places = packed = 0
        for trace in store.traces(soft=True):
            tokens += len(trace.soft)
            places += int((trace.soft["ids"] != PAD).sum())
            packed += len(pack(trace.soft))
        overlap = Overlap.of(store.traces(soft=True), store.soft_targets)
        raw = 2 + 8 * places / tokens
        print(
            f"{run}: k = {store.soft_targets}, {tokens:,} tokens, {places / tokens:.1f} ids each, {raw:.1f} bytes, "
            f"{packed / tokens:.1f} as stored ({packed / tokens / raw:.0%}); overlap {overlap.ratio:.1%}, its "
            f"probability {overlap.teacher_mass:.3f} / {overlap.student_mass:.3f}"
        )


if options.run:
    for one in options.run:
        bytes_of(one)
else:
    cost_of_time()
