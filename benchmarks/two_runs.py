"""Do two runs of the same problems, by different engines and seeds, come from one distribution?

ownwords generate --run runs/here ... --seed 0
ownwords generate --run runs/there ... --seed 1 --engine vllm
python benchmarks/two_runs.py runs/here runs/there

Permutation tests over whole traces, shuffled among the attempts of each problem. The false-alarm rate is 5 % for all
lines together (Bonferroni); beside each stands the smallest difference that this many traces show with 80 % power, by
the spread of the shuffled ones; for the distance of token frequencies, by how much it must exceed what chance gives.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy import stats

from ownwords.rsd.columns import FORCED, STUDENT
from ownwords.traces.store import Store

FALSE_ALARM, POWER = 0.05, 0.8

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("runs", type=Path, nargs=2)
parser.add_argument("--shuffles", type=int, default=2000)
options = parser.parse_args()

rows: list[tuple[str, int, float, float, float]] = []
"""(problem, run, length, share of fallbacks, right)"""
ids: list[np.ndarray] = []
for number, run in enumerate(options.runs):
    with Store.read(run) as store:
        for trace in store.traces():
            free = trace.source != FORCED
            by_student = float((trace.source[free] == STUDENT).mean())
            rows.append((trace.problem_id, number, len(trace.token_ids), by_student, float(trace.verdict == "correct")))
            ids.append(trace.token_ids[free])
problems = [row[0] for row in rows]
run_N = np.array([row[1] for row in rows])
values_N3 = np.array([row[2:] for row in rows])
counts_NV = np.zeros((len(rows), 1 + max(int(one.max()) for one in ids)), np.float32)
for i, one in enumerate(ids):
    np.add.at(counts_NV[i], one, 1)

of: dict[str, list[int]] = defaultdict(list)
for i, problem in enumerate(problems):
    of[problem].append(i)
sizes = {(run_N[places] == 0).sum() * 2 - len(places) for places in of.values()}
if sizes != {0}:
    raise SystemExit("the runs have other attempts per problem, expected as many of each problem in both")


def differences(run_N: np.ndarray) -> np.ndarray:
    """Second run less first: mean length, fallback rate, accuracy; and half the L1 distance of token frequencies."""
    means = values_N3[run_N == 1].mean(0) - values_N3[run_N == 0].mean(0)
    tokens = [counts_NV[run_N == number].sum(0) for number in (0, 1)]
    distance = 0.5 * np.abs(tokens[0] / tokens[0].sum() - tokens[1] / tokens[1].sum()).sum()
    return np.append(means, distance)


rng, null = np.random.default_rng(0), []
for _ in range(options.shuffles):
    shuffled = run_N.copy()
    for places in of.values():
        shuffled[places] = rng.permutation(run_N[places])
    null.append(differences(shuffled))
null_S4, seen_4 = np.array(null), differences(run_N)

level = FALSE_ALARM / 4
print(f"{(run_N == 0).sum()} and {(run_N == 1).sum()} traces of {len(of)} problems, {options.shuffles} shuffles")
print(f"p below {level:.4g} is a difference")
for i, name in enumerate(("length, tokens", "fallback rate", "accuracy", "token frequencies, total variation")):
    if i < 3:
        p = (1 + (np.abs(null_S4[:, i]) >= abs(seen_4[i])).sum()) / (1 + options.shuffles)
        least = (stats.norm.isf(level / 2) + stats.norm.isf(1 - POWER)) * null_S4[:, i].std()
    else:  # the distance of two samples of one law is above 0
        p = (1 + (null_S4[:, i] >= seen_4[i]).sum()) / (1 + options.shuffles)
        least = np.quantile(null_S4[:, i], 1 - level) - null_S4[:, i].mean()
    print(f"{name:36} {seen_4[i]:+.4f}  p {p:.3f}  smallest detectable {least:.4f}")
