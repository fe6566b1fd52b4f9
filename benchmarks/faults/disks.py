"""Full, read-only and forbidden disks, for every command that writes.

Full: the child may write no file beyond some size (RLIMIT_FSIZE), which the system reports as a write that fails, as a
full disk does; several sizes, so that it comes early and late. Forbidden: a child of root gives up being root, and
writes into a directory of root's. Read-only: a bind mount, in a mount namespace of the child's own; where that may not
be made, a line says so, and forbidden stands for it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from faults.common import Case, changed, command, held, preload, snapshot
from faults.paths import OUTPUTS, _memory, _prepare

NOBODY = 65534
SIZES = (0, 1000, 30_000, 300_000)
"""bytes that a file may have"""


def run(quick: bool, seed: int, work: Path) -> Iterator[Case]:
    preload()
    home = work / "home"
    home.mkdir(parents=True)
    _prepare(home)
    (home / "out").mkdir()
    kinds = list(OUTPUTS)
    cases: list[tuple[str, str, Callable[[], None]]] = []
    for n, name in enumerate(kinds):
        sizes = SIZES if not quick else SIZES[n % 4 : n % 4 + 1] if n % 3 == 0 else ()
        cases += [(name, f"no file beyond {size} bytes", lambda size=size: _full(size)) for size in sizes]
    if os.geteuid() == 0:
        chosen = kinds[1::5] if quick else kinds
        cases += [(name, "a directory of somebody else's", lambda: _forbidden(work)) for name in chosen]
        if _can_mount():
            cases += [(name, "a read-only disk", lambda: _read_only(home / "out")) for name in chosen]
        else:
            print("  no mount may be made here: read-only disks are left out")
    before = snapshot(work)
    for name, how, prepare in cases:
        words = [
            ("out/new.html" if name in ("report", "show") else "out/new") if w == "PATH" else w for w in OUTPUTS[name]
        ]
        done = command(words, home, prepare)
        after = snapshot(work)
        made = [one for one in sorted(set(after) - set(before)) if not _memory(one)]
        wrong = changed(before, {one: after[one] for one in before if one in after}, _memory)
        # a run, scores or a training that has something to go on with is kept: it says so
        if done.code and made and not ("everything finished so far is kept" in done.err and "out/new" in made[0]):
            wrong = wrong or f"{made[0]} was left behind"
        if made and any(one.endswith(".tmp") for one in made):
            wrong = wrong or f"{[one for one in made if one.endswith('.tmp')][0]} was left behind"
        yield held(f"{name}: {how}", done, wrong)
        for one in ("out/new", "evaluated"):
            shutil.rmtree(home / one, ignore_errors=True)
        for path in (home / "out").iterdir():
            path.unlink()


def _full(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _forbidden(work: Path) -> None:
    os.chmod(work, 0o755)  # noqa: S103  # a temporary directory lets nobody else in
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.environ["HOME"] = "/nonexistent"


def _read_only(folder: Path) -> None:
    _unshare()
    for options in (["--bind", str(folder), str(folder)], ["-o", "remount,ro,bind", str(folder)]):
        subprocess.run(["mount", *options], check=True)


def _unshare() -> None:
    """A mount namespace of this process's own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000) or libc.mount(None, b"/", None, 0x40000 | 0x4000, None):  # private, all of it
        raise OSError(ctypes.get_errno(), "no namespace")


def _can_mount() -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            _unshare()
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0
