"""What commands share as processes: the versions they run, how they hear that they are to stop, what they print to."""

from __future__ import annotations

import errno
import importlib.metadata
import io
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and what a batch system sends"""
INTERRUPTED = 130
"""the exit code"""
_heard: list[int] = []
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""variables by which a user says how threads are to wait for each other"""


def wait_asleep() -> None:
    """Threads of torch that wait for each other are to sleep, unless the user has said otherwise. By default they spin:
    if anything else runs on the machine they take the cores from the very thread that they wait for, and a pass takes
    5 to 20 times as long. OpenMP reads this once, so it has to be said before torch is imported."""
    if not any(name in os.environ for name in WAITING):
        os.environ["OMP_WAIT_POLICY"] = "passive"


def versions(*packages: str) -> dict[str, str]:
    """Python, machine, and those of the packages that are installed."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hear_signals() -> None:
    """From here on Ctrl-C and SIGTERM raise KeyboardInterrupt, and are remembered: see `interrupted`.

    In the middle of an import they end the process: C++ that is being loaded aborts at an exception, with a page of
    frames, and there is nothing yet that would have to be put away.
    """

    def note(number: int, frame: FrameType | None) -> None:
        _heard.append(number)
        while frame is not None:
            if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
                print("interrupted", file=sys.stderr, flush=True)
                os._exit(INTERRUPTED)
            frame = frame.f_back
        raise KeyboardInterrupt

    _heard.clear()
    for number in SIGNALS:
        signal.signal(number, note)


def interrupted() -> bool:
    """Whether a signal was heard. An import that is cut in the middle may come out of a library as any other error."""
    return bool(_heard)


def stop_hearing(code: int) -> None:
    """All is said. Where all is done too, a signal comes too late; else the next one ends the process at once, with the
    exit code that it has, and what is still being put away need not be."""

    def end(number: int, frame: FrameType | None) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)

    for number in SIGNALS:
        signal.signal(number, end if code else signal.SIG_IGN)


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C (or SIGTERM) asks a loop to stop at its next turn, so that no transaction is cut; a second one cuts."""
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread hears signals
        yield lambda: False
        return

    def note(number: int, frame: FrameType | None) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    old = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


class Outlet(io.FileIO):
    """A descriptor that is printed to. Whoever stops reading (head, less), or a full disk, ends the printing and not
    the work: from the first failed write on all is dropped, and `failure` says why."""

    failure: OSError | None = None

    def write(self, data: ReadableBuffer) -> int:
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes


def open_streams() -> None:
    """stdout and stderr as outlets that print what their encoding lacks as escapes. Descriptors that came closed lead
    nowhere, so that no file of ours is opened in their place and printed into."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        old = getattr(sys, name)
        outlet = io.BufferedWriter(Outlet(descriptor, "wb", closefd=False))
        stream = io.TextIOWrapper(
            outlet,
            encoding=old.encoding if old else "utf-8",
            errors="backslashreplace",
            line_buffering=descriptor == 2 or os.isatty(descriptor),
        )
        setattr(sys, name, stream)


def unprinted() -> str:
    """Why stdout did not take all that was printed; empty if it did, or if its reader had seen enough."""
    outlet = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(outlet, Outlet):
        return ""
    sys.stdout.flush()
    if outlet.failure is None or outlet.failure.errno == errno.EPIPE:
        return ""
    return f"cannot write to standard output: {(outlet.failure.strerror or '').lower()}"
