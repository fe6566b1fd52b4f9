"""The number of threads that the engine chooses: near the best there is, whatever else runs, and at a bounded cost."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from common import at, decode, pair

from ownwords.engines.contention import Load, quota
from ownwords.engines.threads import BETTER, SHARE, Threads, fitting, threads_for
from ownwords.io.process import WAITING, wait_asleep


class Machine:
    """Blocks of `block` seconds at one thread, of which `shared` is shared by all threads. While `busy(t)` cores are
    taken by others, threads that find no core of their own make a block `penalty` times as long as it would be."""

    def __init__(self, threads: Threads, block: float, shared: float, penalty: float, busy: Callable, seed: int):
        self.threads, self.block, self.shared, self.penalty, self.busy = threads, block, shared, penalty, busy
        self.rng = np.random.default_rng(seed)
        self.now = self.read = self.best = self.lost = self.worst = 0.0
        self.used: list[tuple[float, int]] = []
        """when, and how many threads"""

    def seconds(self, n: int) -> float:
        room = self.threads.most - self.busy(self.now)
        return self.block * (1 - self.shared + self.shared / n) * (self.penalty if n > room else 1)

    def run(self, until: float, told: bool) -> Machine:
        """`told`: the load can be read, each half second at most."""
        while self.now < until:
            n, home = self.threads.choose(), self.threads.now
            assert 1 <= n <= self.threads.most
            noise = self.rng.uniform(0.95, 1.15) * (1.6 if self.rng.random() < 0.05 else 1)
            seconds = self.seconds(n) * noise
            self.best += min(map(self.seconds, range(1, self.threads.most + 1))) * noise
            if n != home:
                loss = max(0.0, seconds - self.seconds(home) * noise)
                self.lost, self.worst = self.lost + loss, max(self.worst, loss)
            self.used.append((self.now, n))
            self.now += seconds
            others = None
            if told and self.now - self.read >= 0.5:
                others, self.read = self.busy(self.now) + self.rng.uniform(-0.2, 0.2), self.now
            self.threads.tell(seconds, self.block * noise, others)
        return self


@pytest.mark.parametrize(
    ("block", "until", "penalty"),
    # a block that takes 20 times as long is over before anything can be done about it: only short ones can bear that
    [(0.02, 60.0, 1.6), (0.02, 60.0, 20.0), (0.2, 60.0, 2.5), (4.0, 600.0, 1.6), (4.0, 600.0, 2.5)],
)
@pytest.mark.parametrize("shared", [0.0, 0.9])
@pytest.mark.parametrize("told", [True, False])
def test_near_the_best_while_a_process_comes_and_goes(block, until, penalty, shared, told):
    """Two cores; another process runs in the second third. Told of the load the engine loses at most 10 % against the
    number that is best at each moment, and 25 % if it sees nothing but its blocks."""

    def busy(now: float) -> int:
        return int(until / 3 <= now < 2 * until / 3)

    for seed in range(2):
        machine = Machine(Threads(2, 2), block, shared, penalty, busy, seed).run(until, told)
        assert machine.best / machine.now >= (0.9 if told else 0.75), (seed, machine.best / machine.now)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("start", [1, 2])
def test_within_seconds_of_a_change_the_number_is_another(told, start):
    """Blocks of 20 ms. Four fifths of the blocks from 3 seconds after a change to the next are with the better
    number, also if it began with the other one."""

    def busy(now: float) -> int:
        return int(20 <= now < 40)

    used = Machine(Threads(2, start), 0.02, 0.9, 2.5, busy, 0).run(60.0, told).used
    for since, until, better in ((3, 20, 2), (23, 40, 1), (43, 60, 2)):
        assert np.mean([n == better for at, n in used if since <= at < until]) > 0.8


@pytest.mark.parametrize("penalty", [1.1, 1.6, 20.0])
@pytest.mark.parametrize("busy", [0, 1, 3, 8])
@pytest.mark.parametrize("told", [True, False])
def test_trials_cost_no_more_than_their_share(penalty, busy, told):
    """And one trial more, of which each block may be as bad as the worst that was seen."""
    for seed in range(2):
        machine = Machine(Threads(8, 8), 0.02, 0.9, penalty, lambda now: busy, seed).run(30.0, told)
        # the engine knows what a block would have cost from noisy ones: a tenth of what it pays is in doubt
        assert machine.lost <= 1.1 * SHARE * machine.now + 4 * machine.worst, (seed, machine.lost / machine.now)
        if told:
            assert machine.best / machine.now > 0.85, (seed, machine.best / machine.now)


def test_a_load_that_flickers_costs_no_more():
    machine = Machine(Threads(2, 2), 0.02, 0.9, 20.0, lambda now: int(now) % 2, 0).run(60.0, True)
    assert machine.lost <= 1.1 * SHARE * machine.now + 4 * machine.worst


def test_the_factor_says_how_long_blocks_take_from_now_on():
    threads = Threads(2, 2)
    factors = []
    for _ in range(400):
        seconds = 0.02 if threads.choose() == 1 else 0.05
        factors.append(threads.tell(seconds, 0.02))
    assert [f for f in factors if f != 1] == [pytest.approx(0.4)] and threads.now == 1 and 0.4 < BETTER


def test_threads_for_a_load():
    assert [fitting(2, others) for others in (0.0, 0.3, 0.8, 1.9, 7.0)] == [2, 2, 1, 1, 1]


def test_a_user_who_sets_the_number_keeps_it_and_a_gpu_needs_none(monkeypatch):
    model = torch.nn.Linear(2, 2)
    model.device = torch.device("cpu")
    elsewhere = torch.nn.Linear(2, 2)
    elsewhere.device = torch.device("meta")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads_for([model]) is None
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads_for([model, elsewhere]) is None


def test_how_threads_wait_is_the_users_to_say(monkeypatch):
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")
    wait_asleep()
    assert "OMP_WAIT_POLICY" not in os.environ
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    wait_asleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    wait_asleep()
    assert os.environ.pop("OMP_WAIT_POLICY") == "passive"


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/\n", {}, math.inf),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n"}, 4.0),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "50000 100000\n"}, 1.0),
        ("4:cpu,cpuacct:/x\n1:memory:/\n", {"cpu,cpuacct/x/cpu.cfs_quota_us": "300000\n",
                                            "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n"}, 3.0),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
    ],
)  # fmt: skip
def test_the_quota_of_a_container(tmp_path, own, files, cores):
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text)
    assert quota(tmp_path / "groups", tmp_path / "own") == cores


def test_no_quota_is_known_outside_of_linux(tmp_path):
    assert quota(tmp_path, tmp_path / "none") == math.inf


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux tells")
def test_the_load_is_what_others_take_of_our_cores(tmp_path):
    """Of the cores that this process may run on, without what it takes itself and without niced processes, unless it
    is niced itself."""
    ours, stat = sorted(os.sched_getaffinity(0)), tmp_path / "stat"
    foreign = max(ours) + 1

    def write(user: int, nice: int) -> None:
        lines = [f"cpu{n} {user} {nice} 0 0 0 0 0 0 0 0" for n in ours]
        stat.write_text("\n".join(["cpu 9 9 9 9 9 9 9 9 9 9", *lines, f"cpu{foreign} {9 * user} 0 0 0 0 0 0 0 0 0"]))

    write(0, 0)
    load = Load(stat)
    assert load.others() is None  # no time has passed
    time.sleep(0.3)  # little is computed here
    write(100_000, 50_000)
    began, seconds = load.last[0], (1500 if os.nice(0) > 0 else 1000) * len(ours)
    others = load.others(0.1)
    assert others == pytest.approx(seconds / (load.last[0] - began), rel=0.01)
    stat.unlink()
    assert load.others(0.0) is None and Load(stat).others(0.0) is None


class ByTurns(Threads):
    """One thread and two, block by block."""

    def choose(self) -> int:
        return 1 + (len(self._calls) // 2) % 2

    def tell(self, seconds: float, work: float, others: float | None = None) -> float:
        self._calls.append((torch.get_num_threads(), seconds, work))
        return 1.0


def test_traces_do_not_depend_on_the_number_of_threads():
    """The small world in float32, blocks with one thread and two by turns: the same tokens as with one."""
    prepared = pair(size=2, max_tokens=120)
    plain = {one.key: one.columns["token_ids"].tolist() for one in decode(prepared, 4, 4, 8).finished}
    engine = at(prepared, 4, 4).decoder
    engine.pace.threads = ByTurns(2, 2)
    engine.pace.threads._calls = []
    todo = [prepared.request(problem.id, n) for problem in prepared.problems for n in range(4)]
    found, had = {}, torch.get_num_threads()
    try:
        while todo or engine.rows:
            taken, todo = todo[: engine.free], todo[engine.free :]
            engine.admit(taken)
            found |= {one.key: one.columns["token_ids"].tolist() for one in engine.step()}
    finally:
        torch.set_num_threads(had)
    assert found == plain and len(found) == 8
    assert {n for n, _, _ in engine.pace.threads._calls} == {1, 2}
    assert all(0 < work for _, _, work in engine.pace.threads._calls)
