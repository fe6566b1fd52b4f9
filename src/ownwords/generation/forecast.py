"""From a pilot's measurements to what the whole run will be like, with prediction intervals.

An interval here is for what *the run* will show, not for a mean that nobody sees: it holds the pilot's own uncertainty
and the run's. The three that a run can be held against (solved rate, length, tokens per second) are meant to hold
together with probability `TOGETHER`, so each is made at 1 - (1 - TOGETHER) / 3 (Bonferroni).

Shapes: n problems of the pilot, I blocks of the engine, W windows of blocks.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

TOGETHER = 0.95
EACH = 1 - (1 - TOGETHER) / 3
WINDOWS = 6
"""per gate, for how much the speed varies"""


@dataclass(frozen=True)
class Interval:
    """A prediction: the likeliest value, and the bounds of its interval."""

    value: float
    low: float
    high: float

    def holds(self, seen: float) -> bool:
        return self.low <= seen <= self.high


@dataclass(frozen=True)
class Outcome:
    """One problem of the pilot, as the run would treat it."""

    tokens: float
    """all its attempts together"""
    attempts: float
    solved: float
    """0 or 1, or the probability that the run's number of attempts holds a correct one"""


@dataclass(frozen=True)
class Arm:
    """What a pilot has measured with one gate."""

    gate: str
    outcomes: list[Outcome]
    lengths: np.ndarray
    """tokens of each attempt"""
    blocks_I5: np.ndarray
    """per block of the engine: seconds, attempts in flight, what they had written, attempts taken up, tokens written"""
    acceptance: float
    """share of the tokens that are the teacher's"""
    pass_mass: float
    """mean share of the teacher's proposals that the gate lets through"""


@dataclass(frozen=True)
class Forecast:
    """What a run of so many problems will be like."""

    solved: Interval
    """share of the problems with a correct attempt"""
    length: Interval
    """mean tokens per attempt"""
    speed: Interval
    """tokens per second, from the first token to the last"""
    hours: Interval
    extrapolated: float
    """the run's attempts at once, over the most that the pilot had at once: speeds above 1 are guessed by a line"""


def forecast(arm: Arm, arms: Sequence[Arm], problems: int, slots: int) -> Forecast:
    """What `problems` problems will be like with the gate of `arm`, `slots` attempts at once. The costs of a block are
    learned from all `arms` together: they hardly depend on the gate, and last longer than any one arm."""
    n, outcomes = len(arm.outcomes), arm.outcomes
    tokens_n, attempts_n = np.array([[o.tokens, o.attempts] for o in outcomes]).T
    length = tokens_n.sum() / attempts_n.sum()
    # The variance of a ratio of two means, by the residuals of one against the other.
    length_sd = np.std((tokens_n - length * attempts_n) / attempts_n.mean(), ddof=1) * math.sqrt(1 / n + 1 / problems)
    costs, speed_sd, freedom = block_costs(arms)
    per_block = arm.blocks_I5[:, 4].sum() / arm.blocks_I5[:, 1].sum()
    attempts = max(1, round(problems * attempts_n.mean()))
    seconds, tokens = simulate(arm.lengths, attempts, slots, per_block, costs)
    total_sd = np.std(tokens_n, ddof=1) / tokens_n.mean() * math.sqrt(1 / n + 1 / problems)
    t, t_speed = (stats.t.ppf((1 + EACH) / 2, df) for df in (n - 1, freedom))
    hours_factor = math.exp(math.hypot(t * total_sd, t_speed * speed_sd))
    hours = problems * tokens_n.mean() / tokens * seconds / 3600
    speed, factor = tokens / seconds, math.exp(t_speed * speed_sd)
    return Forecast(
        solved=solved_share(sum(o.solved for o in outcomes), n, problems),
        length=Interval(length, max(0.0, length - t * length_sd), length + t * length_sd),
        speed=Interval(speed, speed / factor, speed * factor),
        hours=Interval(hours, hours / hours_factor, hours * hours_factor),
        extrapolated=min(slots, attempts) / max(a.blocks_I5[:, 1].max() for a in arms),
    )


def solved_share(solved: float, n: int, problems: int) -> Interval:
    """The share of `problems` that will be solved after `solved` of `n`: the beta-binomial predictive distribution
    under Jeffreys' prior, which is not certain of anything after 20 of 20."""
    predictive = stats.betabinom(problems, solved + 0.5, n - solved + 0.5)
    low, high = predictive.ppf([(1 - EACH) / 2, (1 + EACH) / 2]) / problems
    return Interval(solved / n, float(low), float(high))


def chance_of_one(correct: int, made: int, attempts: int) -> float:
    """The probability that `attempts` of `made` attempts, drawn without replacement, hold one of the `correct` ones
    (pass@k without bias, arXiv 2107.03374 section 2.1)."""
    return 1 - math.comb(made - correct, attempts) / math.comb(made, attempts)


def block_costs(arms: Sequence[Arm]) -> tuple[np.ndarray, float, int]:
    """(costs_4, sd, degrees of freedom): seconds of a block as a sum of a constant, its attempts in flight, what these
    have written (attention), and the attempts taken up in it (prompts to be read); and the standard deviation of the
    logarithm of the speed of another stretch of time.

    A machine that is shared is slow for a while and quick for a while, which does not average out over a longer run:
    so the run counts as one more window like those of the pilot, whatever its length.
    """
    blocks_I5 = np.concatenate([arm.blocks_I5 for arm in arms])
    load_I4 = loads(blocks_I5)
    scale_4 = load_I4.max(0).clip(min=1)
    costs_4 = optimize.nnls(load_I4 / scale_4, blocks_I5[:, 0])[0] / scale_4
    windows = [w for arm in arms for w in np.array_split(arm.blocks_I5, min(WINDOWS, len(arm.blocks_I5)))]
    log_ratio_W = np.log([w[:, 0].sum() / (loads(w) @ costs_4).sum() for w in windows])
    W = len(windows)
    sd = np.std(log_ratio_W, ddof=1) * math.sqrt(1 + 1 / W)
    return costs_4, float(sd), max(1, W - costs_4.size)


def loads(blocks_I5: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((len(blocks_I5), 1)), blocks_I5[:, 1:4]], axis=1)


def simulate(
    lengths: np.ndarray, attempts: int, slots: int, per_block: float, costs_4: np.ndarray
) -> tuple[float, float]:
    """(seconds, tokens) of a run: attempts of the pilot's lengths in turn, a free slot taken up at once, `per_block`
    tokens per attempt and block. Goes from one end of an attempt to the next."""
    constant, per_row, per_token, per_start = costs_4
    lengths = np.random.default_rng(0).permutation(np.resize(lengths, attempts))
    queue = iter(-(-lengths // per_block))  # blocks that each attempt takes
    ends: list[tuple[float, float]] = []  # (block of its end, block of its start)
    seconds, now = per_start * attempts, 0.0
    for blocks in queue:
        heapq.heappush(ends, (now + blocks, now))
        if len(ends) == slots:
            break
    started_sum = sum(start for _, start in ends)
    while ends:
        end, start = heapq.heappop(ends)
        rows, span = len(ends) + 1, end - now
        # What is in flight halfway through the span: tokens written grow evenly.
        written = per_block * (rows * (now + end) / 2 - started_sum)
        seconds += span * (constant + per_row * rows + per_token * written)
        now, started_sum = end, started_sum - start
        blocks = next(queue, None)
        if blocks is not None:
            heapq.heappush(ends, (now + blocks, now))
            started_sum += now
    return seconds, float(lengths.sum())


def suggest(arms: Sequence[Arm]) -> Arm:
    """The strictest gate that costs nothing that can be seen: whose solved rate is within one standard error of the
    best one's, problem by problem (the one-standard-error rule). Strict means a small pass mass."""
    solved = {arm.gate: np.array([o.solved for o in arm.outcomes]) for arm in arms}
    best = max(arms, key=lambda arm: solved[arm.gate].mean())

    def within(arm: Arm) -> bool:
        less_n = solved[best.gate] - solved[arm.gate]
        error = np.std(less_n, ddof=1) / math.sqrt(len(less_n))
        return less_n.mean() <= error * (1 + 1e-9)  # a single problem less is one error exactly

    return min(filter(within, arms), key=lambda arm: arm.pass_mass)
