"""The steps of a study in several processes, each step as soon as what it needs is done."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context
from pathlib import Path

from ownwords.io.children import end_with
from ownwords.io.files import plain_errors
from ownwords.io.paths import in_words
from ownwords.studies.doing import Figures, do, figures_of, folder_of
from ownwords.studies.graph import Step

LOOK = 0.5
"""seconds between looks at whether to stop"""


@dataclass
class State:
    """How far a study is."""

    left: list[Step]
    """neither done nor failed, in order"""
    done: dict[str, Figures] = field(default_factory=dict)
    """step -> what it cost"""
    failed: dict[str, str] = field(default_factory=dict)
    """step -> why it could not be done; the steps after it have its reason"""
    now: dict[str, Step] = field(default_factory=dict)
    """being done"""
    spent: dict[str, list[float]] = field(default_factory=dict)
    """kind of step -> seconds that each took, of this start"""

    def eta(self, jobs: int) -> float | None:
        """Seconds that the rest will take; None if there is a kind of step of which none was done."""
        kinds = [step.kind for step in self.left]
        if not {*kinds} <= self.spent.keys():
            return None
        return sum(sum(self.spent[kind]) / len(self.spent[kind]) for kind in kinds) / jobs


def run_steps(
    steps: Sequence[Step],
    folder: Path,
    jobs: int,
    tell: Callable[[State, Step | None], None],
    stopped: Callable[[], bool] = lambda: False,
) -> State:
    """Do what is not done. `tell` hears of each step that ended, first of none. A step that fails keeps back those
    after it and no others. If `stopped` says so, no further step begins; those under way keep what they have."""
    state = State([])
    for step in steps:
        if (known := figures_of(step, folder)) is not None:
            state.done[step.name] = known
        else:
            state.left.append(step)
    tell(state, None)
    if not state.left:
        return state
    threads = max(1, (os.cpu_count() or 1) // jobs)
    pool = ProcessPoolExecutor(
        jobs, get_context("spawn"), _begin, (os.getpid(), threads, folder)
    )  # fmt: skip
    futures: dict[Future[Figures], Step] = {}
    told = False
    try:
        while (ready := _ready(state, jobs) if not stopped() else []) or futures:
            for step in ready:
                state.now[step.name] = step
                futures[pool.submit(_do, step, folder)] = step
            if stopped() and not told:
                told = True
                for child in active_children():
                    os.kill(child.pid or 0, signal.SIGINT)
            for future in wait(futures, LOOK, FIRST_COMPLETED).done:
                step = futures.pop(future)
                del state.now[step.name]
                _ended(state, step, future)
                tell(state, step)
    finally:
        pool.shutdown(cancel_futures=True)
    return state


def _ready(state: State, jobs: int) -> list[Step]:
    """As many as there is room for."""
    able = [
        step
        for step in state.left
        if step.name not in state.now and all(one.name in state.done for one in step.after)
    ]  # fmt: skip
    return able[: jobs - len(state.now)]


def _ended(state: State, step: Step, future: Future[Figures]) -> None:
    try:
        figures = future.result()
    except BrokenProcessPool:
        raise ValueError(
            f"a process died in the step {step.said} ({step.name}), which happens if memory runs out: the same command "
            "goes on; fewer --jobs need less"
        ) from None
    except KeyboardInterrupt:
        return
    except Exception as error:
        if not (said := in_words(error)):
            raise
        gone = {step.name}
        for one in state.left:
            if one.name in gone or any(before.name in gone for before in one.after):
                gone.add(one.name)
                state.failed[one.name] = f"{step.said}: {' '.join(said.split())}"
        state.left = [one for one in state.left if one.name not in gone]
        return
    state.left.remove(step)
    state.done[step.name] = figures
    state.spent.setdefault(step.kind, []).append(figures["seconds"])


def _begin(parent: int, threads: int, folder: Path) -> None:
    """A process that does steps; it ends with its parent. What libraries print goes to a file."""
    end_with(parent)
    os.setsid()  # Ctrl-C reaches the parent alone, which passes it on once
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log = os.open(folder / f"log-{os.getpid()}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    import torch

    torch.set_num_threads(threads)


def _do(step: Step, folder: Path) -> Figures:
    print(f"{time.strftime('%F %T')} {step.said} ({step.name})", flush=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with plain_errors(folder_of(step, folder)):
            return do(step, folder)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
