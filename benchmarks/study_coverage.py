"""How often a study's two-way interval holds the truth: simulated studies whose truth is known.

    python benchmarks/study_coverage.py [--studies 4000]

A study here has S seeds of an arm and one or S of its control, on the same P problems with right and wrong answers.
What a problem and a seed do is normal on the scale of log-odds, and each seed has an opinion of its own on each
problem. The truth is the expected difference over all seeds and all problems.
"""

from __future__ import annotations

import argparse

import numpy as np

from ownwords.studies.two_way import difference

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--studies", type=int, default=4000)
parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10])
parser.add_argument("--problems", type=int, nargs="+", default=[200, 1000])
parser.add_argument("--spreads", type=float, nargs="+", default=[0, 0.1, 0.3], help="of seeds, in log-odds")
PROBLEMS, OPINIONS, GAIN, GAINS = 2.0, 0.7, 0.3, 0.6
"""in log-odds: the spread of problems and of a seed's opinions of problems; the mean gain of the arm, and its spread"""


def chances(rng: np.random.Generator, S: int, P: int, base_P: np.ndarray, spread: float) -> np.ndarray:
    """p_SP: of a right answer."""
    return 1 / (1 + np.exp(-base_P - spread * rng.normal(size=(S, 1)) - OPINIONS * rng.normal(size=(S, P))))


def study(rng: np.random.Generator, S: int, P: int, spread: float, control_seeds: bool) -> np.ndarray:
    """D_SP"""
    base_P = PROBLEMS * rng.normal(size=P)
    arm_P = base_P + GAIN + GAINS * rng.normal(size=P)
    arm = rng.random((S, P)) < chances(rng, S, P, arm_P, spread)
    control = rng.random((S if control_seeds else 1, P)) < chances(
        rng, S if control_seeds else 1, P, base_P, spread if control_seeds else 0
    )
    return arm.astype(float) - control


def main() -> None:
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"{given.studies} studies each; shares of intervals that hold the truth, in percent, and mean half-widths")
    print("seeds  problems  spread of seeds  control   both  half-width   seeds alone  problems alone")
    for S in given.seeds:
        for P in given.problems:
            for spread in given.spreads:
                for control_seeds in (False, True):
                    truth = np.mean([study(rng, 100, 4000, spread, control_seeds).mean() for _ in range(100)])
                    found = [difference(study(rng, S, P, spread, control_seeds)) for _ in range(given.studies)]
                    off = np.array([abs(one.value - truth) for one in found])
                    both = np.array([one.half_width for one in found])
                    alone = [np.array([getattr(one, name) for one in found]) for name in ("by_seeds", "by_problems")]
                    print(
                        f"{S:5}  {P:8}  {spread:15}  {'trained' if control_seeds else 'base':8}"
                        f"{100 * (off <= both).mean():6.1f}  {both.mean():10.4f}"
                        + "".join(f"{100 * (off <= one).mean():14.1f}" for one in alone),
                        flush=True,
                    )


if __name__ == "__main__":
    main()
