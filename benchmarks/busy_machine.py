"""The engine beside other work: the number of threads that it chooses against fixed numbers.

python benchmarks/busy_machine.py                          # the small world
python benchmarks/busy_machine.py --model FOLDER           # a model as its own teacher
python benchmarks/busy_machine.py --come-and-go 20         # a process that comes and goes, every so many seconds

Each repetition decodes the same attempts with the number that the engine chooses, with one thread and with all, in
changing order, under each load: none, a process that spins, and one that multiplies matrices with as many threads as
there are cores. What is compared is the ratio to the better one of the fixed numbers within a repetition. Threads wait
for each other as in the commands of `ownwords`; --spin leaves that to OpenMP.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", help="a model folder, as teacher and student; the small world's pair if not given")
parser.add_argument("--student", help="another student for --model")
parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
parser.add_argument("--loads", nargs="+", default=["none", "spinning", "matrices"])
parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement, one block at least")
parser.add_argument("--repetitions", type=int, default=3)
parser.add_argument("--max-tokens", type=int, default=1024)
parser.add_argument("--come-and-go", type=float, metavar="SECONDS", help="the load is there half of the time")
parser.add_argument("--spin", action="store_true")
options = parser.parse_args()
os.environ.pop("OMP_NUM_THREADS", None)
if not options.spin:
    from ownwords.process import wait_asleep

    wait_asleep()

import torch  # noqa: E402
from common import Prepared, machine, pair, spread  # noqa: E402

from ownwords.engines.local import LocalEngine, Request  # noqa: E402
from ownwords.engines.threads import cores  # noqa: E402
from ownwords.generation.run import AHEAD, _request  # noqa: E402

LOADS = {
    "spinning": "while True: pass",
    "matrices": "import torch\nx = torch.rand(1024, 1024)\nwhile True: x @ x",
}


@contextmanager
def load(kind: str) -> Iterator[None]:
    """Another process for as long as this lasts, or for half of it, by turns."""
    if kind == "none":
        yield
        return
    ended = threading.Event()
    running = start(kind)

    def by_turns() -> None:
        nonlocal running
        while not ended.wait(options.come_and_go):
            if running:
                stop(running)
            running = None if running else start(kind)

    turns = threading.Thread(target=by_turns)
    if options.come_and_go:
        turns.start()
    try:
        yield
    finally:
        ended.set()
        if options.come_and_go:
            turns.join()
        if running:
            stop(running)


def start(kind: str) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", LOADS[kind]])
    time.sleep(3.0 if kind == "matrices" else 0.5)  # until it is at work
    return process


def stop(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def speed(prepared: Prepared, batch: int, threads: int | None, seconds: float) -> tuple[float, float]:
    """(tokens per second, share of the blocks' time with one thread) over so many seconds; None for the choice."""
    torch.set_num_threads(threads or cores())
    engine = LocalEngine(
        prepared.teacher.model, prepared.student.model, prepared.rules, prepared.stops, batch, prepared.capacity
    )
    if threads:
        engine.pace.threads = None
    elif engine.pace.threads is None:
        raise SystemExit("this machine has one core: there is nothing to choose")
    n = len(prepared.problems)
    requests = (_request(prepared, prepared.problems[i // 4 % n], i // (4 * n) * 4 + i % 4) for i in count())
    coming: deque[Request] = deque()
    alone, began = 0.0, time.perf_counter()
    now = began
    while now - began < seconds:
        if engine.free:
            coming.extend(islice(requests, max(0, engine.free + AHEAD - len(coming))))
            taken = [coming.popleft() for _ in range(engine.free)]
            engine.admit(taken, {r.prompts: (r.teacher_prompt, r.student_prompt) for r in coming})
        engine.step()
        before, now = now, time.perf_counter()
        alone += (now - before) * (torch.get_num_threads() == 1)
    return engine.work.tokens / (now - began), alone / (now - began)


if options.model:
    prepared = pair(options.model, options.student or options.model, max_tokens=options.max_tokens)
else:
    prepared = pair(max_tokens=options.max_tokens)
most = cores()
print(machine() + (", spinning" if options.spin else ""))
print("batch  load      threads  tokens/s  ratio to the better fixed number: median (range)")
arms: list[int | None] = [None, 1, most]
worst = float("inf")
for batch in options.batches:
    speed(prepared, batch, most, 3.0)  # warm up
    for kind in options.loads:
        speeds: dict[int | None, list[float]] = {arm: [] for arm in arms}
        alone = []
        for repetition in range(options.repetitions):
            for arm in random.Random(repetition).sample(arms, len(arms)):
                with load(kind):
                    reached, with_one = speed(prepared, batch, arm, options.seconds)
                speeds[arm].append(reached)
                alone += [with_one] if arm is None else []
        best = [max(pair) for pair in zip(speeds[1], speeds[most], strict=True)]
        for arm in arms:
            ratios = [one / other for one, other in zip(speeds[arm], best, strict=True)]
            said = "auto" if arm is None else arm
            row = f"{batch:5}  {kind:8}  {said:>7}  {statistics.median(speeds[arm]):8.1f}  {spread(ratios)}"
            print(row + (f"  one thread for {statistics.median(alone):.0%} of the time" if arm is None else ""))
            if arm is None:
                worst = min(worst, statistics.median(ratios))
        sys.stdout.flush()
print(f"the worst median of the choice: {worst:.2f}")
