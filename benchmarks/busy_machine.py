"""The engine beside other work: the number of threads that it chooses against fixed numbers.

python benchmarks/busy_machine.py                          # the small world
python benchmarks/busy_machine.py --model FOLDER           # a model as its own teacher
python benchmarks/busy_machine.py --come-and-go 20         # a process that comes and goes, every so many seconds

Three engines decode the same attempts: one chooses its number of threads, one has a single thread, one has all. They
take turns of a few seconds, in changing order, so that whatever else happens on the machine happens to all; what is
compared is the ratio to the better one of the fixed numbers within a repetition. All of it under each load: no other
process of ours, one that spins, and one that multiplies matrices with as many threads as there are cores. Threads wait
for each other as in the commands of `ownwords`; --spin leaves that to OpenMP.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice
from threading import Event, Thread

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", help="a model folder, as teacher and student; the small world's pair if not given")
parser.add_argument("--student", help="another student for --model")
parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
parser.add_argument("--loads", nargs="+", default=["none", "spinning", "matrices"])
parser.add_argument("--repetitions", type=int, default=3)
parser.add_argument("--turns", type=int, default=6, help="of each engine in a repetition")
parser.add_argument("--seconds", type=float, default=3.0, help="of a turn; it ends with the block that is under way")
parser.add_argument("--max-tokens", type=int, default=1024)
parser.add_argument("--come-and-go", type=float, metavar="SECONDS", help="the load is there half of the time, by turns")
parser.add_argument("--spin", action="store_true")
options = parser.parse_args()
os.environ.pop("OMP_NUM_THREADS", None)
if not options.spin:
    from ownwords.io.process import wait_asleep

    wait_asleep()

import torch  # noqa: E402
from common import Prepared, at, machine, pair, spread  # noqa: E402

from ownwords.engines.engine import AHEAD, Request  # noqa: E402
from ownwords.engines.threads import cores  # noqa: E402

LOADS = {
    "spinning": "while True: pass",
    "matrices": "import torch\nx = torch.rand(1024, 1024)\nwhile True: x @ x",
}


class Arm:
    """An engine with its number of threads (None: chosen) that works for a while when it is its turn."""

    def __init__(self, prepared: Prepared, batch: int, threads: int | None) -> None:
        torch.set_num_threads(cores())
        self.engine = at(prepared, batch).decoder
        self.fixed = threads
        if threads:
            self.engine.pace.threads = None
        elif self.engine.pace.threads is None:
            raise SystemExit("there is one core: nothing to choose")
        n = len(prepared.problems)
        self.requests = (prepared.request(prepared.problems[i // 4 % n].id, i // (4 * n) * 4 + i % 4) for i in count())
        self.coming: deque[Request] = deque()
        self.seconds = self.alone = 0.0

    def work(self, seconds: float) -> None:
        """At least for so long."""
        if self.fixed:
            torch.set_num_threads(self.fixed)
        engine, now = self.engine, time.perf_counter()
        until = now + seconds
        while now < until:
            if engine.free:
                self.coming.extend(islice(self.requests, max(0, engine.free + AHEAD - len(self.coming))))
                taken = [self.coming.popleft() for _ in range(engine.free)]
                engine.admit(taken, {r.prompts: (r.teacher_prompt, r.student_prompt) for r in self.coming})
            engine.step()
            before, now = now, time.perf_counter()
            self.seconds += now - before
            self.alone += (now - before) * (torch.get_num_threads() == 1)

    @property
    def speed(self) -> float:
        return self.engine.work.tokens / self.seconds


@contextmanager
def load(kind: str) -> Iterator[None]:
    """Another process for as long as this lasts, or for half of it."""
    if kind == "none":
        yield
        return
    ended, running = Event(), [start(kind)]

    def come_and_go() -> None:
        while not ended.wait(options.come_and_go):
            if running:
                stop(running.pop())
            else:
                running.append(start(kind))

    turns = Thread(target=come_and_go)
    if options.come_and_go:
        turns.start()
    try:
        yield
    finally:
        ended.set()
        if options.come_and_go:
            turns.join()
        for process in running:
            stop(process)


def start(kind: str) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", LOADS[kind]])
    time.sleep(3.0 if kind == "matrices" else 0.3)  # until it is at work
    return process


def stop(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


models = dict(teacher=options.model, student=options.student or options.model) if options.model else {}
prepared = pair(max_tokens=options.max_tokens, **models)
numbers: list[int | None] = [None, 1, cores()]
print(machine() + (", spinning" if options.spin else ""))
print("batch  load      threads  tokens/s  ratio to the better fixed number: median (range)")
medians = []
for batch in options.batches:
    for kind in options.loads:
        speeds: dict[int | None, list[float]] = {number: [] for number in numbers}
        alone = []
        with load(kind):
            for repetition in range(options.repetitions):
                arms = {number: Arm(prepared, batch, number) for number in numbers}
                for turn in range(options.turns):
                    for number in random.Random(repetition * options.turns + turn).sample(numbers, len(numbers)):
                        arms[number].work(options.seconds)
                for number, arm in arms.items():
                    speeds[number].append(arm.speed)
                alone.append(arms[None].alone / arms[None].seconds)
        better = [max(fixed) for fixed in zip(*(speeds[number] for number in numbers[1:]), strict=True)]
        for number in numbers:
            ratios = [one / best for one, best in zip(speeds[number], better, strict=True)]
            said = f"{batch:5}  {kind:8}  {number or 'chosen':>7}  {statistics.median(speeds[number]):8.1f}  "
            print(
                said + spread(ratios) + ("" if number else f", one thread {statistics.median(alone):.0%} of the time")
            )
            medians += [] if number else [statistics.median(ratios)]
        sys.stdout.flush()
print(f"the lowest of the medians of the choice: {min(medians):.2f}")
