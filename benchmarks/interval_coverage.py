"""How often do the 95 % intervals hold the truth? Simulated benchmarks whose true score is known.

python benchmarks/interval_coverage.py --simulations 4000

A problem's difficulty is drawn from a beta distribution, so the mean over all problems of a kind is known exactly; the
problems of one simulated benchmark are the sample of them that an evaluation sees.

Shapes: P problems, M simulations, N answers to a problem.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ownwords.evaluation.intervals import mean_intervals
from ownwords.traces.summary import pass_at_k


@dataclass(frozen=True)
class Simulated:
    """M simulated evaluations of P problems."""

    values_PM: np.ndarray
    groups: list[int]
    truth: float
    bounds: tuple[float, float] = (0.0, 1.0)


def average(rng: np.random.Generator, M: int, P: int, N: int, a: float, b: float) -> Simulated:
    """avg@N of P independent problems, solved with probabilities from Beta(a, b)."""
    values_PM = rng.binomial(N, rng.beta(a, b, (P, M))) / N
    return Simulated(values_PM, list(range(P)), a / (a + b))


def passed(rng: np.random.Generator, M: int, P: int, N: int, k: int, a: float, b: float) -> Simulated:
    """pass@k from N answers; the truth is the mean of 1 - (1 - p)^k over Beta(a, b)."""
    estimate = np.array([pass_at_k(N, c, k) for c in range(N + 1)])
    values_PM = estimate[rng.binomial(N, rng.beta(a, b, (P, M)))]
    failed = np.prod([(b + i) / (a + b + i) for i in range(k)])
    return Simulated(values_PM, list(range(P)), 1 - failed)


def templated(rng: np.random.Generator, M: int, G: int, each: int, N: int, a: float, b: float) -> Simulated:
    """avg@N of G templates with `each` problems; the problems of a template are equally hard."""
    p_GM = rng.beta(a, b, (G, M))
    values_PM = rng.binomial(N, np.repeat(p_GM, each, axis=0)) / N
    return Simulated(values_PM, [g for g in range(G) for _ in range(each)], a / (a + b))


def difference(rng: np.random.Generator, M: int, P: int, N: int, a: float, b: float, gain: float) -> Simulated:
    """The paired difference of two models: the second solves a share `gain` of what the first one fails."""
    p_PM = rng.beta(a, b, (P, M))
    better_PM = p_PM + gain * (1 - p_PM)
    values_PM = (rng.binomial(N, better_PM) - rng.binomial(N, p_PM)) / N
    return Simulated(values_PM, list(range(P)), gain * b / (a + b), (-1.0, 1.0))


SCENARIOS: dict[str, Callable[[np.random.Generator, int], Simulated]] = {
    "avg@1, 300 problems, 25 % solved": lambda rng, M: average(rng, M, 300, 1, 1, 3),
    "avg@4, 100 problems, 25 % solved": lambda rng, M: average(rng, M, 100, 4, 1, 3),
    "avg@16, 30 problems, 50 % solved, most always or never": lambda rng, M: average(rng, M, 30, 16, 0.5, 0.5),
    "avg@4, 200 problems, 10 % solved": lambda rng, M: average(rng, M, 200, 4, 0.3, 2.7),
    "pass@4 of 8 answers, 100 problems": lambda rng, M: passed(rng, M, 100, 8, 4, 0.5, 1.5),
    "avg@4, 60 templates x 5 problems": lambda rng, M: templated(rng, M, 60, 5, 4, 1, 2),
    "difference in avg@4, 150 problems, gain 10 points": lambda rng, M: difference(rng, M, 150, 4, 1, 1, 0.2),
    "difference in avg@1, 250 problems, gain 3 points": lambda rng, M: difference(rng, M, 250, 1, 1, 2, 0.05),
    "difference in avg@16, 30 problems, no gain": lambda rng, M: difference(rng, M, 30, 16, 0.5, 0.5, 0.0),
}
"""Sizes and difficulties that occur; all within 93 to 97 %."""
HARD: dict[str, Callable[[np.random.Generator, int], Simulated]] = {
    "avg@1, 30 problems, 10 % solved": lambda rng, M: average(rng, M, 30, 1, 0.3, 2.7),
    "avg@16, 30 problems, 5 % solved": lambda rng, M: average(rng, M, 30, 16, 0.1, 1.9),
    "avg@16, 100 problems, 5 % solved": lambda rng, M: average(rng, M, 100, 16, 0.1, 1.9),
}
"""Few problems of which nearly all have the same score: what no resampling of them can see."""


def coverage(simulate: Callable[[np.random.Generator, int], Simulated], simulations: int, seed: int) -> float:
    """Share of the intervals that hold the truth."""
    rng = np.random.default_rng(seed)
    held, batch = 0, 500
    for _ in range(0, simulations, batch):
        made = simulate(rng, batch)
        intervals = mean_intervals(made.values_PM, made.groups, [made.bounds] * batch)
        held += sum(i.low - 1e-9 <= made.truth <= i.high + 1e-9 for i in intervals)
    return held / (-(-simulations // batch) * batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for title, scenarios in (("", SCENARIOS), ("too few problems that differ:", HARD)):
        if title:
            print(title)
        for name, simulate in scenarios.items():
            print(f"{coverage(simulate, options.simulations, options.seed):.1%}  {name}", flush=True)


if __name__ == "__main__":
    main()
