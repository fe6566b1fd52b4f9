"""A progress bar with what one wants to know of a long run; plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

if TYPE_CHECKING:
    from ownwords.generation.run import Progress as State

EVERY = 0.5
"""seconds between updates of the bar"""
LINE_EVERY = 15.0
"""seconds between lines where there is no terminal"""
WINDOW = 60.0
"""seconds over which tokens/s is averaged"""


class Rate:
    """Tokens per second over the last minute, and the time that the rest will take at the pace of this start."""

    def __init__(self) -> None:
        self.started, self.made_before = time.monotonic(), None
        self.points: deque[tuple[float, int]] = deque([(self.started, 0)])

    def describe(self, state: State) -> str:
        now = time.monotonic()
        if self.made_before is None:
            self.made_before = state.made
        self.points.append((now, state.tokens))
        while len(self.points) > 2 and now - self.points[0][0] > WINDOW:
            self.points.popleft()
        (then, before), (_, tokens) = self.points[0], self.points[-1]
        speed = (tokens - before) / max(now - then, 1e-9)
        written = state.teacher_tokens + state.student_tokens
        acceptance = f" · acceptance {state.teacher_tokens / written:.1%}" if state.teacher_tokens else ""
        done = state.made - self.made_before
        eta = timedelta(seconds=round((now - self.started) / done * state.left)) if done else "-"
        return f"{speed:,.0f} tokens/s{acceptance} · solved {state.solved}/{state.problems} · ETA {eta}"


@contextmanager
def live_progress(console: Console) -> Iterator[Callable[[State], None]]:
    """Gives the function that a run tells its state to."""
    rate, last = Rate(), [float("-inf")]
    if not console.is_terminal:

        def line(state: State) -> None:
            if time.monotonic() - last[0] >= LINE_EVERY:
                last[0] = time.monotonic()
                console.print(f"{state.made}/{state.made + state.left} attempts · {rate.describe(state)}")

        yield line
        return
    columns = (BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} attempts · {task.description}"))
    with Progress(*columns, console=console, refresh_per_second=4) as bar:
        task = bar.add_task("starting", total=None)

        def update(state: State) -> None:
            if time.monotonic() - last[0] >= EVERY or not state.left:
                last[0] = time.monotonic()
                bar.update(task, completed=state.made, total=state.made + state.left, description=rate.describe(state))

        yield update
