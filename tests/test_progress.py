"""What is told of a run while it goes on: an estimate that is there from the first block on, and comes to be true."""

from __future__ import annotations

import numpy as np
import pytest

from ownwords.cli.progress import Rate
from ownwords.generation.progress import InFlight, Progress, remaining, survival
from ownwords.rsd.columns import FORCED, STUDENT, TEACHER

MOST = 300
LENGTHS = {
    "alike": lambda rng, n: rng.normal(0.2 * MOST, 0.03 * MOST, n),
    "skewed": lambda rng, n: rng.lognormal(np.log(0.1 * MOST), 0.7, n),
    "memoryless": lambda rng, n: rng.exponential(0.2 * MOST, n),
    "two in five cut off": lambda rng, n: np.where(rng.random(n) < 0.4, MOST, rng.normal(0.3 * MOST, 0.1 * MOST, n)),
}


def drawn(shape: str, n: int, seed: int) -> np.ndarray:
    """Tokens of n attempts."""
    return np.clip(LENGTHS[shape](np.random.default_rng(seed), n), 10, MOST).astype(int)


def simulate(lengths: np.ndarray, slots: int, most: int, seconds) -> list[tuple[float, float, bool]]:
    """(now, seconds that are left by the estimate, whether that is an upper bound) after each block of a run in which
    `slots` attempts of these lengths are in flight at once and a block of `rows` writes one to five tokens to each in
    `seconds(rows)`."""
    now, rng = [0.0], np.random.default_rng(1)
    rate = Rate(lambda: now[0])
    state = Progress(0, len(lengths), 0, 1, most)
    assert rate.eta(state) is None
    waiting, flying, told = list(lengths), [], []
    while waiting or flying:
        while waiting and len(flying) < slots:
            flying.append([waiting.pop(0), 0])
        rows = len(flying)
        for one in flying:
            one[1] = min(one[0], one[1] + rng.integers(1, 6))
        now[0] += seconds(rows)
        ended = [one for one in flying if one[0] == one[1]]
        flying = [one for one in flying if one[0] > one[1]]
        state.lengths += [one[0] for one in ended]
        state.tokens = sum(state.lengths) + sum(one[1] for one in flying)
        state.made, state.left, state.waiting = len(state.lengths), len(waiting) + len(flying), len(waiting)
        state.flying, state.ended = ([in_flight(one[1]) for one in some] for some in (flying, ended))
        rate.tell(state)
        told.append((now[0], *rate.eta(state)))
    return told


def in_flight(tokens: int, source: int = TEACHER) -> InFlight:
    return InFlight("key", np.zeros(tokens, int), np.full(tokens, source))


@pytest.mark.parametrize("shape", LENGTHS)
@pytest.mark.parametrize(("attempts", "off"), [(40, 0.3), (200, 0.1)])
@pytest.mark.parametrize("per_row", [0.0, 0.05])
def test_the_estimate_becomes_true(shape, attempts, off, per_row):
    """Eight rows, with blocks of 3 seconds that cost nothing more per row, or 5 % more. The first estimate is called an
    upper bound, and is one. From a quarter of the run on the mean estimate is right up to `off` of the whole: the costs
    change when rows run out, and 40 lengths do not say much of the 41st."""
    errors = []
    for seed in range(3):
        lengths = drawn(shape, attempts, seed)
        told = simulate(lengths, 8, MOST, lambda rows: 3.0 * (1 + per_row * rows))
        end = told[-1][0]
        assert told[0][2] and told[0][1] > end and told[-1][1:] == (0.0, False)
        assert not any(bound for now, _, bound in told if now > end / 2)
        errors += [(eta - (end - now)) / end for now, eta, _ in told if now > end / 4]
    assert abs(np.mean(errors)) < off


@pytest.mark.parametrize("shape", LENGTHS)
def test_the_end_that_is_foretold_does_not_run_away(shape):
    """From a quarter of the run on it is within a third of the true one, either way, at every moment."""
    told = simulate(drawn(shape, 200, 0), 8, MOST, lambda rows: 3.0)
    ends = np.array([now + eta for now, eta, _ in told if now > told[-1][0] / 4]) / told[-1][0]
    assert 0.75 < ends.min() and ends.max() < 1.33


@pytest.mark.parametrize("shape", LENGTHS)
def test_attempts_that_all_begin_at_once_have_a_bound_until_half_have_ended(shape):
    """Eight attempts in eight rows, as on a slow machine: there is an estimate from the first block on."""
    lengths = drawn(shape, 8, 0)
    told = simulate(lengths, 8, MOST, lambda rows: 100.0)
    assert told[0][2] and told[0][1] == pytest.approx(100 / 3 * MOST, rel=0.5)
    assert not told[-2][2] and told[-1][1] == 0


def test_shares_of_attempts_by_hand():
    """Two ended, with 2 and 4 tokens; one has 3 and goes on. At 2 one of three ends, at 4 the only one that is left."""
    assert survival([2, 4], [3], 6) == pytest.approx([1, 1, 2 / 3, 2 / 3, 0, 0])
    assert survival([], [3], 4) == pytest.approx([1, 1, 1, 1])
    # beyond the longest: one more than the shortest has ended, in three tokens more
    assert survival([2, 2], [5], 8) == pytest.approx([1, 1, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 2 / 9, 4 / 27])


def test_what_remains_by_hand():
    assert remaining([], [10, 4], 0, 2, 100) == (96, True)
    # two rows at any place of their attempts: the last has two thirds to come, the mean half
    assert remaining([], [10, 10], 2, 2, 100) == (pytest.approx(90 + 100 + 100 / 6, abs=1), True)
    assert remaining([5] * 50, [0], 0, 1, 100) == (pytest.approx(5), False)
    assert remaining([5] * 50, [1, 1], 8, 2, 100)[0] == pytest.approx(4 + 4 * 5 + 5 / 6, abs=0.5)
    assert remaining([5], [], 0, 4, 100) == (0, False)


def test_what_a_line_says():
    now = [100.0]
    rate = Rate(lambda: now[0])
    state = Progress(2, 8, 1, 5, 100, doing="reading prompts")
    rate.tell(state)
    assert rate.describe(state) == "2/10 attempts · reading prompts"
    state.doing, now[0] = "", 110.0
    rate.tell(state)
    assert rate.describe(state) == "2/10 attempts · writing the first tokens"
    source = np.array([FORCED, TEACHER, TEACHER, STUDENT, TEACHER])
    state.flying, state.tokens, state.waiting = [InFlight(("a", 0), np.arange(5), source)] * 2, 10, 6
    now[0] = 120.0
    rate.tell(state)
    # two rows with 95 left and three times 100 for each, the last of them a sixth of 100 late, at 2 seconds a token
    line = rate.describe(state)
    assert line.startswith("2/10 attempts · 10 tokens · 0.5/s · acceptance 75.0% · solved 1/5 · ETA at most 0:13:43")
    state.lengths = [5, 5, 5]
    state.bound = True
    assert "ETA at most" in rate.describe(state)
