"""What the kinds of faults share: a case, a command line in a process of its own, and what must hold after it.

A kind is a module with `run(quick, seed, work)`, which yields one `Case` after the other; `work` is an empty folder of
its own. It must end in right data, or in one line on stderr and exit code 2 (130 after Ctrl-C); never in a traceback,
and nothing of the user's may be changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One fault and what came of it."""

    name: str
    """what was done, exactly enough to do it again"""
    fine: bool
    why: str = ""
    """what happened; what should not have, where it is not fine"""


def preload() -> None:
    """Import what commands import, once, before there are children."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for module in (
        "ownwords.cli.app", "ownwords.cli.options", "ownwords.generation.run", "ownwords.evaluation.answering",
        "ownwords.evaluation.results", "ownwords.reports.report", "ownwords.suitability.scoring",
        "ownwords.training.fine_tune",
        "ownwords.suitability.choose", "ownwords.training.merge", "ownwords.traces.salvage",
        "ownwords.sharing.data_card",
        "ownwords.generation.pilot", "ownwords.world.recipes", "ownwords.world.measure", "reasoning_gym",
        "encodings.utf_8_sig", "encodings.utf_16_le", "encodings.idna", "encodings.unicode_escape",
    ):  # fmt: skip
        importlib.import_module(module)


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    """the exit code; minus the signal's number where one ended it"""
    out: str
    err: str


def command(words: Sequence[str], cwd: Path, prepare: Callable[[], None] | None = None, timeout: float = 120.0) -> Done:
    """`ownwords WORDS` in a forked child, which has the imports of this process already: a tenth of the time of a new
    one. `prepare` runs in the child first, to give up rights or to set limits."""
    return Child(words, cwd, prepare).end(timeout)


class Child:
    """A command on its way."""

    def __init__(self, words: Sequence[str], cwd: Path, prepare: Callable[[], None] | None = None) -> None:
        pipes = [os.pipe() for _ in range(2)]
        self.read, write = [read for read, _ in pipes], [write for _, write in pipes]
        for descriptor in write:  # room for all that a command prints, so that nobody need listen meanwhile
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 1 << 20)
        sys.stdout.flush(), sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become([str(word) for word in words], cwd, write, prepare)
        for descriptor in write:
            os.close(descriptor)

    def kill(self, number: int = signal.SIGINT) -> None:
        os.kill(self.pid, number)

    def end(self, timeout: float = 120.0) -> Done:
        """Wait; a child that does not end in time is killed (and so never fine)."""
        started, status = time.monotonic(), None
        while status is None:
            pid, found = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                status = found
            elif time.monotonic() - started > timeout:
                os.kill(self.pid, signal.SIGKILL)
                status = os.waitpid(self.pid, 0)[1]
            else:
                time.sleep(0.005)
        texts = []
        for descriptor in self.read:
            os.set_blocking(descriptor, False)  # whoever outlives the command may hold the other end
            texts.append((os.read(descriptor, 1 << 20) if _readable(descriptor) else b"").decode(errors="replace"))
            os.close(descriptor)
        return Done(os.waitstatus_to_exitcode(status), *texts)


def _readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def _become(words: list[str], cwd: Path, write: list[int], prepare: Callable[[], None] | None) -> None:
    """The child: never returns."""
    code = 70
    try:
        for target, descriptor in zip((1, 2), write):
            os.dup2(descriptor, target)
        os.chdir(cwd)
        if prepare:
            prepare()
        from ownwords.__main__ import main

        sys.argv = ["ownwords", *words]
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass
        os._exit(code)


def complaint(done: Done, codes: Sequence[int] = (0, 2)) -> str:
    """What is wrong with the end of a command; empty if nothing is. `codes`: the ones that it may end with."""
    lines = [line for line in done.err.splitlines() if line.strip()]
    if "Traceback" in done.err or "Traceback" in done.out:
        return f"traceback, exit {done.code}: {lines[-1] if lines else ''}"
    if done.code not in codes:
        return f"exit {done.code}: {' / '.join(lines[-2:])}"
    if done.code == 2 and (len(lines) != 1 or not lines[0].startswith("error: ")):
        return f"{len(lines)} lines with exit 2: {' / '.join(lines[:3])}"
    return ""


def held(name: str, done: Done, wrong: str = "", codes: Sequence[int] = (0, 2)) -> Case:
    """The case of a command that has ended. `wrong`: what else was found wrong after it."""
    found = wrong or complaint(done, codes)
    last = done.err.strip().splitlines()[-1:] or [""]
    return Case(name, not found, found or f"exit {done.code} {last[0]}".strip())


def snapshot(folder: Path) -> dict[str, str]:
    """Everything below a folder: path -> what is there, so that any change shows."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder" if path.is_dir() else "special"
    return found


def changed(before: dict[str, str], after: dict[str, str], mine: Callable[[str], bool] = lambda name: False) -> str:
    """The first thing that is not as it was, in words; empty if all is. `mine`: what the command may change."""
    for name in sorted(before | after):
        if before.get(name) != after.get(name) and not mine(name):
            how = "is gone" if name not in after else "was left behind" if name not in before else "was changed"
            return f"{name} {how}"
    return ""
