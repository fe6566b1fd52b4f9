"""How many threads the engine computes with: chosen from its blocks' own times, while it runs.

The threads of a pass wait for the last of them. On an idle machine as many as there are cores are fastest; if other
work takes a core, one thread of ours is always late, and fewer may be faster. Nobody can tell beforehand: it depends on
the model, the batch, and on what the others do. So the blocks tell. Now and then a few blocks are tried with another
number of threads. If they took less time for their work than the blocks before them, the engine stays with it.

What trials cost is bounded. A purse fills with `SHARE` of the time that passes, and is paid from by what a trial takes
longer than it would have taken without. A trial begins only if there is no debt, and, unless the load has changed, only
if the purse holds what the last such trial lost. So trials never cost more than `SHARE` of the time and one trial more.
A trial ends with the first block that shows it hopeless.

Traces do not depend on any of this: a token is a function of its noise and the logits, and these are the same up to the
rounding of sums, as they are for batches of different sizes.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

import torch
from transformers import PreTrainedModel

from ownwords.engines.contention import FIRST, Load, quota

SHARE = 0.03
"""of the time may be lost in trials"""
TRIAL, TRIAL_SECONDS = 4, 0.1
"""a trial lasts so many blocks and so long, at least"""
HOPELESS = 1.5
"""times as slow, over all blocks of a trial so far, ends it; as many times as fast as well"""
BETTER = 0.97
"""of the time for the same work is a reason to change; less may be chance"""
GAP, EARLY = 8, 4
"""blocks between trials, at least; and before the first"""
MEMORY, MEMORY_SECONDS = 0.8, 0.5
"""weight of the past after a block, or a higher one where blocks are short, so that it fades over this time"""
MOVED = 0.5
"""cores more or less that other processes take are a change of the load, if it lasts for two readings"""


@dataclass
class Stretch:
    """Seconds, and the work that was done in them; the past may fade."""

    seconds: float = 0.0
    work: float = 0.0
    blocks: int = 0

    def add(self, seconds: float, work: float, fade: float = 1.0) -> None:
        self.seconds, self.work = fade * self.seconds + seconds, fade * self.work + work
        self.blocks += 1

    @property
    def per_work(self) -> float:
        return self.seconds / self.work


@dataclass
class Threads:
    """Chooses the number of threads of the next block, 1 to `most`, beginning with `now`."""

    most: int
    now: int
    others: float = 0.0
    """cores that other processes took when the number was last chosen by that"""
    trial: int | None = None
    """the number that is being tried"""
    purse: float = 0.0
    """seconds that trials may lose"""
    losses: dict[int, float] = field(default_factory=dict)
    """seconds that the last trial of each number lost"""
    load: Load | None = None
    """what tells of other processes"""
    _turn: int = 0
    _since: int = GAP - EARLY
    """blocks since the last trial"""
    _home: Stretch = field(default_factory=Stretch)
    _tried: Stretch = field(default_factory=Stretch)
    _lost: float = 0.0
    _moved: float = 0.0
    """by how much the last reading of the load was another one"""

    def choose(self) -> int:
        """Threads of the next block."""
        return self.now if self.trial is None else self.trial

    def apply(self) -> None:
        """Have torch compute with the number that is chosen."""
        if torch.get_num_threads() != self.choose():
            torch.set_num_threads(self.choose())

    def others_now(self) -> float | None:
        """Cores that other processes take, None if that was just read or cannot be known."""
        return self.load.others() if self.load else None

    def tell(self, seconds: float, work: float, others: float | None = None) -> float:
        """A block is done, which took `seconds`. `work`: what it would have taken at the present number in the past, or
        anything else that time is proportional to; `others`: cores that other processes take, if that was read again.

        Returns how many times as long a block takes from now on: not 1 where another number has proved better.
        """
        self.purse += SHARE * seconds
        if self.trial is None:
            called = self._called(others)
            self._home.add(seconds, work, max(MEMORY, 1 - seconds / MEMORY_SECONDS))
            self._since += 1
            self.trial = called or self._due(seconds)
            return 1.0
        lost = seconds - work * self._home.per_work
        self._lost, self.purse = self._lost + lost, self.purse - max(0.0, lost)
        self._tried.add(seconds, work)
        ratio = self._tried.per_work / self._home.per_work
        enough = self._tried.blocks >= TRIAL and self._tried.seconds >= TRIAL_SECONDS
        if not enough and 1 / HOPELESS < ratio < HOPELESS:
            return 1.0
        return self._ended(ratio)

    def _ended(self, ratio: float) -> float:
        """A trial has ended, whose blocks took `ratio` of the time."""
        assert self.trial is not None
        self.losses[self.trial] = max(0.0, self._lost)
        ratio = ratio if ratio < BETTER else 1.0
        if ratio < 1:
            self.losses[self.now] = -self._lost  # what it would lose to go back
            self.now, self._home = self.trial, self._tried
        self.trial, self._tried, self._lost, self._since = None, Stretch(), 0.0, 0
        return ratio

    def _due(self, block: float) -> int | None:
        """A number that may be tried for no other reason than that time has passed: in turn one fewer, one more, half
        and twice as many. `block`: seconds of the last one."""
        if self._since < GAP:
            return None
        near = dict.fromkeys((self.now - 1, self.now + 1, self.now // 2, 2 * self.now))
        numbers = [n for n in near if 1 <= n <= self.most and n != self.now]
        if not numbers:
            return None
        number = numbers[self._turn % len(numbers)]
        need = self.losses.get(number, 0.0)
        self.purse = min(self.purse, max(need, block))  # a long time without trials is no reason for many
        if self.purse < need:
            return None
        self._turn += 1
        return number

    def _called(self, others: float | None) -> int | None:
        """The number to be tried because other processes have come or gone."""
        if others is None:
            return None
        moved, self._moved = self._moved, others - self.others
        if abs(self._moved) < MOVED:
            return None
        if moved * self._moved <= 0 or abs(moved) < MOVED:  # seen once
            self._home = Stretch()  # what was before is no measure any more
            return None
        if self.purse < 0:
            return None
        self.others, self._moved = others, 0.0
        number = fitting(self.most, others)
        return number if number != self.now else None


def threads_for(models: Iterable[PreTrainedModel]) -> Threads | None:
    """A chooser for these models. None if the number is not ours to choose: the user has set OMP_NUM_THREADS, a GPU
    computes, or there is a single core.

    Threads that sleep while they wait begin with all cores. They rarely lose by that, since the system gives every
    thread its share. Threads that spin begin with the cores that the load leaves free.
    """
    if "OMP_NUM_THREADS" in os.environ or any(model.device.type != "cpu" for model in models):
        return None
    most = cores()
    if most < 2:
        return None
    load = Load()
    time.sleep(FIRST)
    others = load.others(FIRST) or 0.0
    asleep = os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive"
    return Threads(most, most if asleep else fitting(most, others), others, load=load)


@cache
def cores() -> int:
    """Threads that torch would take by itself, or a caller has set before, and no more than a container may use."""
    return math.ceil(min(torch.get_num_threads(), quota()))


def fitting(most: int, others: float) -> int:
    """Threads that find a free core each while other processes take `others` cores."""
    return max(1, most - round(others))
