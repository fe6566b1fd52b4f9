"""Scores, intervals and tests against brute force, exact laws and simulation. Seeds are fixed; where a test could fail
by chance, it says how likely that would be with another seed."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from interval_coverage import SCENARIOS, coverage, templated
from scipy import stats

from ownwords.answers.checker import Checker
from ownwords.evaluation.compare import differences, p_value
from ownwords.evaluation.intervals import Interval, mean_intervals, sign_flip_p
from ownwords.evaluation.metrics import majority_at_k
from ownwords.evaluation.table import Answers, tabulate
from ownwords.evaluation.votes import count_votes
from ownwords.records.problem import Problem
from ownwords.traces.summary import pass_at_k


def test_pass_at_k_is_the_share_of_choices_with_a_correct_answer():
    for n in range(1, 9):
        for correct in range(n + 1):
            for k in range(1, n + 1):
                choices = list(combinations([True] * correct + [False] * (n - correct), k))
                assert pass_at_k(n, correct, k) == pytest.approx(np.mean([any(c) for c in choices]), abs=1e-12)


def test_pass_at_k_is_unbiased():
    """Its expectation over n answers is that of k fresh ones, 1 - (1 - p)^k: exactly, by the binomial law."""
    for p, n, k in product((0.03, 0.4, 0.9), (4, 10), (1, 2, 4)):
        expected = sum(stats.binom.pmf(c, n, p) * pass_at_k(n, c, k) for c in range(n + 1))
        assert expected == pytest.approx(1 - (1 - p) ** k, abs=1e-12)


def elect(chosen: tuple[int, ...], correct: set[int]) -> float:
    """A vote as one would hold it; -1 is silent."""
    counts = {voice: chosen.count(voice) for voice in chosen if voice >= 0}
    winners = [voice for voice, count in counts.items() if count == max(counts.values())]
    return sum(voice in correct for voice in winners) / len(winners) if winners else 0.0


@pytest.mark.parametrize(
    ("sizes", "correct", "silent"),
    [
        ((3, 2, 2), {0}, 1), ((1, 1, 1, 1), {2}, 0), ((2, 2, 3), {0, 1}, 2), ((4,), {0}, 3), ((4,), set(), 3),
        ((), set(), 4), ((2, 5, 1), {0}, 0), ((1, 2, 2, 1), {1}, 2),
    ],
)  # fmt: skip
def test_majority_at_k_is_the_share_of_choices_that_elect_a_correct_answer(sizes, correct, silent):
    answers = [voice for voice, size in enumerate(sizes) for _ in range(size)] + [-1] * silent
    votes = [(size, voice in correct) for voice, size in enumerate(sizes)]
    for k in range(1, len(answers) + 1):
        brute = np.mean([elect(chosen, correct) for chosen in combinations(answers, k)])
        assert majority_at_k(votes, silent, k) == pytest.approx(brute, abs=1e-12), k


def test_votes_are_counted_by_meaning():
    fraction = Problem("How much?", "1/2")
    answers = [
        ("0.5", "correct"), ("\\frac{1}{2}", "correct"), ("3/4", "incorrect"), ("0.75", "incorrect"),
        ("2", "incorrect"), ("", "unparsable"), ("???", "unparsable"), ("0.5", "correct"),
    ]  # fmt: skip
    with Checker() as checker:
        assert count_votes(fraction, answers, checker) == ([(3, True), (2, False), (1, False)], 2)
        # Two right answers to a task that has many: a voter cannot tell that they are equally right.
        puzzle = Problem("Make 24", "", kind="gym:countdown")
        assert count_votes(puzzle, [("8*3", "correct"), ("4*6", "correct")], checker) == ([(1, True), (1, True)], 0)


@pytest.mark.parametrize("seed", range(4))
def test_votes_are_the_same_groups_in_any_order(seed):
    """50 % equals 0.5 and 50, which are not equal to each other: whoever agrees with a member belongs to its group."""
    percent = Problem("How many percent?", "75")
    said = [
        ("50\\%", "incorrect"), ("0.5", "incorrect"), ("50", "incorrect"), ("\\frac{1}{2}", "incorrect"),
        ("75", "correct"), ("75\\%", "correct"), ("5 cm", "incorrect"), ("5", "incorrect"), ("5 m", "incorrect"),
        ("x=1, y=2", "incorrect"), ("(1,2)", "incorrect"), ("no", "incorrect"), ("on", "incorrect"), ("", "unparsable"),
    ]  # fmt: skip
    said = [said[i] for i in np.random.default_rng(seed).permutation(len(said))]
    with Checker() as checker:
        counted = count_votes(percent, said, checker)
    assert counted == ([(4, False), (3, False), (2, True), (2, False), (1, False), (1, False)], 1)


def test_sign_flip_p_counts_all_patterns_of_signs():
    rng = np.random.default_rng(5)
    for _ in range(40):
        d = rng.integers(-4, 5, size=rng.integers(1, 9)).tolist()
        patterns = product(*[(x, -x) for x in d])
        brute = np.mean([abs(sum(pattern)) >= abs(sum(d)) for pattern in patterns])
        assert sign_flip_p(d) == pytest.approx(brute, abs=1e-12), d


def test_sign_flip_p_of_single_answers_is_mcnemars_exact_test():
    for gained, lost, same in ((9, 2, 40), (5, 5, 3), (0, 0, 10), (30, 12, 258)):
        expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        assert sign_flip_p([1] * gained + [-1] * lost + [0] * same) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", SCENARIOS)
def test_intervals_hold_the_truth_in_95_percent(name):
    """4,000 simulations: a coverage of 94.5 % would be seen outside of 93 to 97 % with a probability below 0.01 %, one
    of 94 % with 0.4 %; one of 92.5 % or 97.5 % would go unnoticed with 12 % and 2 %."""
    assert 0.93 <= coverage(SCENARIOS[name], 4000, seed=11) <= 0.97


def test_problems_of_one_template_taken_for_independent_would_be_noticed():
    def ungrouped(rng, M):
        made = templated(rng, M, 60, 5, 4, 1, 2)
        return type(made)(made.values_PM, list(range(300)), made.truth)

    assert coverage(ungrouped, 1000, seed=11) < 0.8


def test_a_score_that_all_problems_share_is_not_certain():
    """0 of n and n of n: the bounds of Clopper and Pearson. In between: as far as the unseen could move it."""
    for n in (1, 10, 30):
        [none, half, all_] = mean_intervals(np.tile([0.0, 0.5, 1.0], (n, 1)), range(n), [(0, 1)] * 3)
        most = stats.beta.ppf(0.975, 1, n)
        assert (none.low, none.high) == pytest.approx((0, most)) and (all_.low, all_.high) == pytest.approx(
            (1 - most, 1)
        )
        assert (half.low, half.high) == pytest.approx((0.5 - most / 2, 0.5 + most / 2))


def test_an_interval_is_that_of_the_exact_bootstrap_law():
    """Of 0/1 scores the resampled sum is binomial. 10,000 resamples: the 2.5 % point is off by more than one unit of 40
    with a probability below 1e-9."""
    values = np.array([1.0] * 12 + [0.0] * 28)
    [interval] = mean_intervals(values[:, None], range(40), [(0, 1)])
    assert interval.value == pytest.approx(0.3)
    for found, tail in ((interval.low, 0.025), (interval.high, 0.975)):
        assert abs(found * 40 - stats.binom.ppf(tail, 40, 0.3)) <= 1


def answers(name: str, right: int, n: int, tokens: int, finish: str = "stop") -> Answers:
    verdicts = ["correct"] * right + ["incorrect"] * (n - right)
    said = ["1"] * right + ["2"] * (n - right)
    return Answers(Problem(name, "1"), said, verdicts, [finish] * n, [tokens] * n)


def test_paired_differences_by_hand():
    """Four problems, two answers each: solved 2, 1, 0, 0 times before and 2, 2, 1, 0 times after."""
    before = [answers(name, right, 2, 10) for name, right in zip("abcd", (2, 1, 0, 0), strict=True)]
    after = [answers(name, right, 2, 14) for name, right in zip("abcd", (2, 2, 1, 0), strict=True)]
    with Checker() as checker:
        one, other = tabulate(before, 2, 20, checker), tabulate(after, 2, 20, checker)
    found = differences(one, other)
    assert one.names == ["avg@2", "pass@2", "truncated", "unparsable", "tokens"]
    assert one.values_PM.mean(0).tolist() == [0.375, 0.5, 0, 0, 10]
    assert other.values_PM.mean(0).tolist() == [0.625, 0.75, 0, 0, 14]
    # Differences 0, .5, .5, 0: of the 256 resamples 1/16 have the mean 0 and as many 0.5, so these are the ends.
    assert found["avg@2"] == Interval(0.25, 0.0, 0.5)
    # Of the differences 0, 0, 1, 0 the mean is 0 in 32 % of the resamples, 0.75 or more in 5 %, 1 in 0.4 %.
    assert found["pass@2"] == Interval(0.25, 0.0, 0.75)
    assert found["tokens"].value == 4 and found["tokens"].low < 4 < found["tokens"].high
    assert p_value(one, other) == 0.5  # two problems gain; both signs agree in half of the patterns


def test_scores_of_a_problem_by_hand():
    """Four answers: right, wrong, wrong in another way, and cut without an answer."""
    row = Answers(
        Problem("q", "1"), ["1", "2", "3", ""], ["correct", "incorrect", "incorrect", "unparsable"],
        ["stop", "stop", "repetition", "length"], [10, 20, 30, 40],
    )  # fmt: skip
    with Checker() as checker:
        table = tabulate([row], 4, 50, checker)
        first = tabulate([row], 2, 50, checker)
    scores = dict(zip(table.names, table.values_PM[0], strict=True))
    assert scores["avg@4"] == 0.25 and scores["pass@2"] == 0.5 and scores["pass@4"] == 1
    assert scores["maj@4"] == pytest.approx(1 / 3)  # three say one thing each
    assert scores["truncated"] == 0.5 and scores["unparsable"] == 0.25 and scores["tokens"] == 25
    assert first.names[0] == "avg@2" and first.values_PM[0, 0] == 0.5
    assert table.bounds[-1] == (0, 50)
