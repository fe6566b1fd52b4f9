"""Predictions from a pilot: each part against brute force or simulation, and the command on the small world.

Simulated coverage uses fixed seeds. Were they drawn anew, each such test would fail with probability below 1e-4.
"""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest

from ownwords.generation.config import GenerateConfig
from ownwords.generation.forecast import (
    EACH,
    MODEL,
    Arm,
    Outcome,
    block_costs,
    forecast,
    simulate,
    solved_share,
    suggest,
)
from ownwords.generation.pilot import run_pilot
from ownwords.traces.store import Store

COSTS = np.array([0.02, 0.003, 1e-6, 0.004])


def brute_force(lengths, slots: int, costs: np.ndarray) -> float:
    """Seconds, token by token, of attempts in the order of `simulate`, at 50 problems."""
    waiting = list(np.random.default_rng(0).permutation(lengths))
    rows, seconds = [], 50 * costs[3]
    while waiting or rows:
        taken = min(slots - len(rows), len(waiting))
        rows += [[waiting.pop(0), 0.0] for _ in range(taken)]
        written = sum(w + 0.5 for _, w in rows)  # halfway through the step
        seconds += costs[:3] @ [1, len(rows), written]
        rows = [[left - 1, w + 1] for left, w in rows if left > 1]
    return seconds


@pytest.mark.parametrize("slots", [1, 7, 64, 500])
def test_simulated_time_equals_token_by_token(slots):
    lengths = np.random.default_rng(1).integers(5, 300, 200)
    seconds, tokens = simulate(lengths, 200, slots, COSTS, 50)
    assert seconds == pytest.approx(brute_force(lengths, slots, COSTS), rel=1e-9)
    assert tokens == lengths.sum()


def arm_of(
    rng, n: int = 20, per_problem: int = 4, base: float = 0.6, noise: float = 0.05, gate: str = "threshold:0.01"
) -> Arm:
    """A pilot of an invented pair: problems differ in difficulty and length, the machine in speed."""
    outcomes, lengths = world(rng, n, per_problem, base)
    blocks = []
    for i in range(120):  # blocks of about three tokens per attempt in flight
        rows, per_row, prompts = rng.integers(1, 65), rng.uniform(1, 5), 20 * (i == 0)
        written = rows * rng.integers(1, 300)
        load = per_row * np.array([1, rows, written, prompts / per_row])
        seconds = COSTS @ load * math.exp(noise * rng.standard_normal())
        blocks.append([seconds, rows, written, prompts, per_row * rows])
    return Arm(gate, outcomes, lengths, np.array(blocks), 0.98, 0.99)


def world(rng, n: int, per_problem: int, base: float) -> tuple[list[Outcome], np.ndarray]:
    mean = np.exp(rng.normal(5, 0.4, n))
    lengths = np.exp(np.log(mean)[:, None] + rng.normal(0, 0.3, (n, per_problem))).round() + 1
    chance = rng.beta(2 * base, 2 * (1 - base), n)
    right = rng.random((n, per_problem)) < chance[:, None]
    outcomes = [Outcome(float(t.sum()), per_problem, float(r.any())) for t, r in zip(lengths, right, strict=True)]
    return outcomes, lengths.ravel()


def test_block_costs_are_found_again():
    arms = [arm_of(np.random.default_rng(seed), noise=0.02) for seed in range(3)]
    costs, sd, _ = block_costs(arms)
    np.testing.assert_allclose(costs[:3], COSTS[:3], rtol=0.15)
    assert MODEL < sd < math.hypot(MODEL, 0.02), "windows of twenty blocks, each off by 2 %"


@pytest.mark.parametrize("base", [0.1, 0.6, 0.97])
def test_solved_rate_and_length_of_later_runs_lie_in_their_intervals(base):
    """200 pairs of a pilot of 20 and a run of 300 problems. Each interval is meant to hold 98.3 % of the time."""
    held = {"solved": 0, "length": 0}
    for seed in range(200):
        rng = np.random.default_rng([seed, int(100 * base)])
        arm = arm_of(rng, base=base)
        prediction = forecast(arm, [arm], 300, 64)
        outcomes, lengths = world(rng, 300, 4, base)
        held["solved"] += prediction.solved.holds(np.mean([o.solved for o in outcomes]))
        held["length"] += prediction.length.holds(lengths.mean())
        assert prediction.length.low <= prediction.length.value <= prediction.length.high
    # four standard deviations below the nominal rate; two points are allowed for the skewness of lengths
    least = EACH - 4 * math.sqrt(EACH * (1 - EACH) / 200)
    assert held["solved"] / 200 >= least and held["length"] / 200 >= least - 0.02, held


def test_speed_of_a_machine_that_is_slow_for_a_while_lies_in_its_interval():
    """The machine's speed wanders from stretch to stretch (log-sd 0.2), and the run gets one more such stretch."""
    held = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        arms = []
        for _ in range(3):
            arm = arm_of(rng, noise=0.05)
            blocks = arm.blocks_I5.copy()
            blocks[:, 0] *= np.exp(0.2 * rng.standard_normal(6)).repeat(20)
            arms.append(Arm(arm.gate, arm.outcomes, arm.lengths, blocks, 0.98, 0.99))
        prediction = forecast(arms[0], arms, 300, 64)
        _, lengths = world(rng, 300, 4, 0.6)
        seconds = simulate(lengths, len(lengths), 64, COSTS, 300)[0] * math.exp(0.2 * rng.standard_normal())
        held += prediction.speed.holds(lengths.sum() / seconds)
    assert held / 150 >= EACH - 4 * math.sqrt(EACH * (1 - EACH) / 150), held


def test_a_crowded_machine_makes_the_interval_of_the_speed_wider_and_no_other():
    arm = arm_of(np.random.default_rng(0), noise=0.01)
    alone, crowded = (forecast(arm, [arm], 300, 64, contention) for contention in (1.0, 5.0))
    assert crowded.speed.value == alone.speed.value and crowded.solved == alone.solved
    assert crowded.speed.high / crowded.speed.value > 5 > 2 > alone.speed.high / alone.speed.value
    assert crowded.hours.high / crowded.hours.value > 5 and crowded.length == alone.length


def test_nothing_is_certain_after_twenty_of_twenty():
    everything, nothing = solved_share(20, 20, 300), solved_share(0, 20, 300)
    assert everything.low < 0.9 and everything.high == 1 and nothing.low == 0 and nothing.high > 0.1
    assert solved_share(20, 20, 300).low > solved_share(5, 5, 300).low, "a smaller pilot knows less"


def test_the_strictest_gate_that_costs_nothing_is_suggested():
    def arm(gate: str, pass_mass: float, solved: list[int]) -> Arm:
        outcomes = [Outcome(100, 1, s) for s in solved]
        return Arm(gate, outcomes, np.array([100]), np.ones((2, 5)), pass_mass, pass_mass)

    loose = arm("threshold:0.003", 0.99, [1] * 14 + [0] * 6)
    middle = arm("threshold:0.01", 0.97, [1] * 13 + [0] * 7)  # one problem less: within one standard error
    strict = arm("threshold:0.03", 0.9, [1] * 9 + [0] * 11)
    assert suggest([strict, middle, loose]) is middle
    assert suggest([strict, loose]) is loose


def test_pilot_on_the_small_world(tmp_path, monkeypatch, capsys):
    from ownwords.cli.app import main

    run = tmp_path / "pilot"
    words = ["pilot", "--run", str(run), "--problems", "world:size=30,seed=3", "--attempts", "1", "--batch", "8"]
    words += ["--max-tokens", "40", "--size", "4", "--gates", "threshold:0.01", "rank:5"]
    monkeypatch.setattr(sys, "argv", ["ownwords", *words])
    with pytest.raises(SystemExit) as exit:
        main()
    shown = capsys.readouterr().out
    assert exit.value.code == 0 and "suggested: --gate" in shown and "measured on 4 problems, predicted for 30" in shown
    figures = json.loads((run / "pilot.json").read_text())
    assert set(figures["gates"]) == {"threshold:0.01", "rank:5"} and figures["peak_bytes"] > 1e8
    for gate, folder in (("threshold:0.01", "threshold-0.01"), ("rank:5", "rank-5")):
        with Store.read(run / folder) as store:
            traces = list(store.traces())
        assert len(traces) == 8, "two attempts at each of four problems, so that eight slots are full"
        length = figures["gates"][gate]["forecast"]["length"]
        assert length["value"] == pytest.approx(np.mean([len(t.token_ids) for t in traces]))
        assert figures["gates"][gate]["forecast"]["speed"]["low"] > 0
        assert figures["gates"][gate]["forecast"]["extrapolated"] == pytest.approx(1)
    with pytest.raises(ValueError, match="exists already: a pilot is timed"):
        run_pilot(GenerateConfig.of(run=run), ["always"], 4, lambda gate, progress: None)
    with pytest.raises(ValueError, match="expected at least 2"):
        run_pilot(GenerateConfig.of(run=tmp_path / "other"), ["always"], 1, lambda gate, progress: None)
