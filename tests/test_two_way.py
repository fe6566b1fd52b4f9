"""Intervals for two sources of chance. Seeds are fixed; what is simulated says its own false-alarm rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, ttest_1samp

from ownwords.studies.study_tables import fewest
from ownwords.studies.two_way import Spread, difference


def normal(rng: np.random.Generator, S: int, P: int, seeds: float, problems: float, rest: float) -> np.ndarray:
    """D_SP around 0 with these standard deviations"""
    return seeds * rng.normal(size=(S, 1)) + problems * rng.normal(size=(1, P)) + rest * rng.normal(size=(S, P))


def test_each_source_alone_is_a_t_interval():
    D_SP = normal(np.random.default_rng(0), 5, 40, 1, 1, 1)
    found = difference(D_SP)
    for mean, half_width in ((D_SP.mean(1), found.by_seeds), (D_SP.mean(0), found.by_problems)):
        low, high = ttest_1samp(mean, 0).confidence_interval(0.95)
        assert half_width == pytest.approx((high - low) / 2)
    assert found.value == pytest.approx(D_SP.mean())


def test_variances_are_found():
    rng = np.random.default_rng(1)
    spreads = [difference(normal(rng, 10, 100, 0.5, 2, 1)).spread for _ in range(200)]
    mean = np.array([(one.seeds, one.problems, one.rest) for one in spreads]).mean(0)
    np.testing.assert_allclose(mean, (0.25, 4, 1), rtol=0.1)


@pytest.mark.parametrize(("seeds", "problems", "rest"), [(0.2, 1, 2), (0.05, 1, 2), (1, 0, 1)])
def test_the_interval_holds_the_truth(seeds, problems, rest):
    """In 93 to 97 % of the cases, give or take what 2,000 studies cannot tell (false alarm 1e-4 for each bound)."""
    rng, n = np.random.default_rng(2), 2000
    held = 0
    for _ in range(n):
        found = difference(normal(rng, 5, 100, seeds, problems, rest))
        held += found.low <= 0 <= found.high
    assert binom.ppf(1e-4, n, 0.93) <= held <= binom.ppf(1 - 1e-4, n, 0.97)


def test_one_seed_says_nothing_of_others():
    found = difference(np.random.default_rng(0).normal(size=(1, 30)))
    assert math.isnan(found.by_seeds) and found.spread is None and found.half_width == found.by_problems


def test_groups_count_by_their_problems():
    D_SP = np.array([[1.0, 0.0, 0.5], [0.5, 0.0, 1.0]])
    sizes = np.array([1, 4, 1])
    assert difference(D_SP, sizes).value == pytest.approx((D_SP * sizes).sum() / (2 * 6))


def test_equal_answers_have_no_width_and_one_problem_is_refused():
    assert difference(np.zeros((3, 20))).half_width == 0
    with pytest.raises(ValueError, match="1 problem, expected 2 or more"):
        difference(np.zeros((3, 1)))


def test_a_plan_reaches_the_half_width_that_it_promises():
    spread = Spread(seeds=1e-4, problems=0.1, rest=0.15)
    found = difference(np.zeros((3, 20)))
    found = type(found)(0.0, 0.0, 0.0, 0.0, spread)
    P = fewest(found, 0.02, 8)
    assert spread.half_width(8, P) <= 0.02 < spread.half_width(8, int(P * 0.95))
    assert fewest(found, 0.005, 3) is None  # three seeds alone differ by more
