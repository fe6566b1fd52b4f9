"""A progress bar with what one wants to know of a long run; plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ownwords.generation.progress import Progress, remaining

if TYPE_CHECKING:
    from ownwords.cli.watch import Watch

LINE_EVERY = 15.0
"""seconds between lines where there is no terminal"""
WINDOW = 60.0
"""seconds over which tokens/s is averaged; one block at least, if that takes longer"""
POINT = 0.5
"""seconds between the points of which that is made"""
LONG = 1.0
"""seconds after which it is said what the run is doing besides writing tokens"""
BAR = 40
"""columns"""


class Rate:
    """Tokens per second over the last minute, and the time that the rest will take at this pace."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.run: Progress | None = None
        self._begin()

    def _begin(self) -> None:
        self.last, self.busy = self.clock(), 0.0
        """when the last block ended, and seconds of all attempts in flight until then"""
        self.points = deque([(self.last, 0, 0.0)])

    def tell(self, state: Progress) -> None:
        """A block has ended, or is about to begin."""
        if self.run is not None and self.run is not state:  # one run after the other, as in a pilot
            self._begin()
        self.run = state
        now = self.clock()
        if state.doing:
            if not state.tokens:  # what is done once, before the first block, is no part of the pace
                self.last = now
            return
        self.busy += (now - self.last) * (state.rows + len(state.ended))
        self.last = now
        if len(self.points) > 1 and now - self.points[-2][0] < POINT:
            self.points.pop()
        self.points.append((now, state.tokens, self.busy))
        while len(self.points) > 2 and now - self.points[1][0] > WINDOW:
            self.points.popleft()

    def eta(self, state: Progress) -> tuple[float, bool] | None:
        """(seconds, whether that is an upper bound); None before the first block. An attempt is taken to go on as fast
        as one did in the last minute."""
        (_, before, idle), (_, tokens, busy) = self.points[0], self.points[-1]
        if not tokens:
            return None
        if tokens == before:  # it waited for verdicts all that time
            before, idle = 0, 0.0
        flying = [len(one.token_ids) for one in state.flying]
        rows = max(1, state.rows + len(state.ended))  # those that have just ended are taken up again
        steps, bound = remaining(state.lengths, flying, state.waiting, rows, state.most)
        return steps * (busy - idle) / (tokens - before), bound or state.bound

    def describe(self, state: Progress) -> str:
        """All of it in a line."""
        parts = [f"{state.made}/{state.made + state.left} attempts"]
        if state.tokens:
            (then, before, _), (now, tokens, _) = self.points[0], self.points[-1]
            parts += [f"{state.tokens:,} tokens", f"{_figures((tokens - before) / max(now - then, 1e-9))}/s"]
            if state.acceptance is not None:
                parts.append(f"acceptance {state.acceptance:.1%}")
            parts.append(f"solved {state.solved}/{state.problems}")
        eta = self.eta(state)
        if state.doing and (eta is None or self.clock() - self.last > LONG):
            parts.append(state.doing)
        elif eta and state.left:
            seconds, bound = eta
            parts.append(f"ETA {'at most ' * bound}{timedelta(seconds=round(seconds))}")
        return " · ".join(parts)


def _figures(rate: float) -> str:
    """Tokens per second, with a decimal where that says something."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


@contextmanager
def live_progress(console: Console, watch: Watch | None = None) -> Iterator[Callable[[Progress], None]]:
    """Gives the function that a run tells its state to. `watch`: an attempt is shown as it grows; without a terminal it
    is printed when it has ended."""
    rate = Rate()
    if not console.is_terminal:
        printed, said = float("-inf"), ""

        def line(state: Progress) -> None:
            nonlocal printed, said
            rate.tell(state)
            if watch:
                watch.tell(state)
                if watch.whole:
                    console.print(watch.whole, soft_wrap=True)
            begins = not state.tokens and state.doing not in ("", said)
            if begins or time.monotonic() - printed >= LINE_EVERY:
                printed, said = time.monotonic(), state.doing
                console.print(rate.describe(state), soft_wrap=True)

        yield line
        return
    now: list[Progress] = []

    def show() -> RenderableType:
        if not now:
            return Text("loading models")
        return Group(*([watch.view(console)] if watch else []), _bar(now[0], rate.describe(now[0]), console.width))

    with Live(console=console, refresh_per_second=4, get_renderable=show):

        def tell(state: Progress) -> None:
            now[:] = [state]
            rate.tell(state)
            if watch:
                watch.tell(state)

        yield tell


def _bar(state: Progress, said: str, width: int) -> RenderableType:
    """The bar with what is said beside it, or above it if that is too long."""
    bar, text = ProgressBar(state.made + state.left, state.made, width=min(BAR, width)), Text(said)
    grid = Table.grid(padding=(0, 1, 0, 0))
    if BAR + 2 + cell_len(said) > width:
        grid.add_row(bar)
        grid.add_row(text)
    else:
        grid.add_row(bar, text)
    return grid
