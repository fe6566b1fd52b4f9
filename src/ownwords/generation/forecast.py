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
from itertools import islice

import numpy as np
from scipy import optimize, stats

TOGETHER = 0.95
EACH = 1 - (1 - TOGETHER) / 3
WINDOWS = 6
"""per gate, for how much the speed varies"""
MODEL = 0.1
"""log-sd of what the sum of four costs does not know, such as how far the engine drafts ahead in the run; see
benchmarks/pilot_calibration.py"""


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
    """per block of the engine: seconds, attempts in flight, what they had written before, prompts read, tokens written
    in it"""
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


def forecast(arm: Arm, arms: Sequence[Arm], problems: int, slots: int, contention: float = 1.0) -> Forecast:
    """What `problems` problems will be like with the gate of `arm`, `slots` attempts at once. The costs of time are
    learned from all `arms` together: they hardly depend on the gate, and last longer than any one arm.

    `contention`: processes that wanted to run, per core, 1 where there was room for all. Others may go, which makes the
    run that much faster, or as many more may come: the interval of the speed is wider by this factor.
    """
    n, outcomes = len(arm.outcomes), arm.outcomes
    tokens_n, attempts_n = np.array([[o.tokens, o.attempts] for o in outcomes]).T
    length = tokens_n.sum() / attempts_n.sum()
    # The variance of a ratio of two means, by the residuals of one against the other.
    length_sd = np.std((tokens_n - length * attempts_n) / attempts_n.mean(), ddof=1) * math.sqrt(1 / n + 1 / problems)
    costs, speed_sd, freedom = block_costs(arms)
    attempts = max(1, round(problems * attempts_n.mean()))
    seconds, tokens = simulate(arm.lengths, attempts, slots, costs, problems)
    total_sd = np.std(tokens_n, ddof=1) / tokens_n.mean() * math.sqrt(1 / n + 1 / problems)
    t, t_speed = (stats.t.ppf((1 + EACH) / 2, df) for df in (n - 1, freedom))
    log_factor = math.hypot(t_speed * speed_sd, math.log(contention))
    factor, hours_factor = math.exp(log_factor), math.exp(math.hypot(t * total_sd, log_factor))
    hours = problems * tokens_n.mean() / tokens * seconds / 3600
    speed = tokens / seconds
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


def block_costs(arms: Sequence[Arm]) -> tuple[np.ndarray, float, int]:
    """(costs_4, sd, degrees of freedom): the time that the machine takes as a sum of four, and the standard deviation
    of the logarithm of its speed in another stretch of time.

    Seconds per token that every attempt in flight writes (a pass costs this whatever the batch), per token, per token
    and token that the others have written so far (attention), and per prompt read. In tokens and not in blocks, since a
    block may hold few drafts or many.

    A machine that is shared is slow for a while and quick for a while, which does not average out over a longer run:
    so the run counts as one more window like those of the pilot, whatever its length.
    """
    load_I4 = loads(np.concatenate([arm.blocks_I5 for arm in arms]))
    seconds_I = np.concatenate([arm.blocks_I5[:, 0] for arm in arms])
    scale_4 = np.where(load_I4.max(0) > 0, load_I4.max(0), 1)
    costs_4 = optimize.nnls(load_I4 / scale_4, seconds_I)[0] / scale_4
    log_ratios = []
    for arm in arms:
        seconds_I, expected_I = arm.blocks_I5[:, 0], loads(arm.blocks_I5) @ costs_4
        share_I = np.cumsum(expected_I) / expected_I.sum()  # windows of equal time, as far as blocks allow
        windows = np.split(np.arange(len(share_I)), np.searchsorted(share_I, np.arange(1, WINDOWS) / WINDOWS))
        log_ratios += [math.log(seconds_I[w].sum() / expected_I[w].sum()) for w in windows if len(w)]
    W = len(log_ratios)
    return costs_4, math.hypot(float(np.std(log_ratios, ddof=1)) * math.sqrt(1 + 1 / W), MODEL), W - 1


def loads(blocks_I5: np.ndarray) -> np.ndarray:
    """What the four costs are paid for in each block, (I, 4)."""
    _, rows_I, written_I, prompts_I, tokens_I = blocks_I5.T
    return np.stack([tokens_I / rows_I, tokens_I, written_I * tokens_I / rows_I, prompts_I], axis=1)


def simulate(lengths: np.ndarray, attempts: int, slots: int, costs_4: np.ndarray, prompts: int) -> tuple[float, float]:
    """(seconds, tokens) of a run: attempts of the pilot's lengths in random order, a free slot taken up at once, all
    in flight a token further in each step, every prompt read once. Goes from one end of an attempt to the next."""
    per_step, per_token, per_written, per_prompt = costs_4
    lengths = np.random.default_rng(0).permutation(np.resize(lengths, attempts))
    waiting = iter(lengths.tolist())
    flying = [(length, 0.0) for length in islice(waiting, slots)]  # step of its end, step of its start
    heapq.heapify(flying)
    seconds, now, starts = per_prompt * prompts, 0.0, 0.0
    while flying:
        end, start = flying[0]
        rows, span = len(flying), end - now
        written = rows * (now + end) / 2 - starts  # halfway through the span, by all together
        seconds += span * (per_step + per_token * rows + per_written * written)
        now, starts = end, starts - start
        length = next(waiting, None)
        if length is None:
            heapq.heappop(flying)
        else:
            heapq.heapreplace(flying, (now + length, now))
            starts += now
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
