"""Ctrl-C at 40 moments, some while imports and models are loaded, some twice, some as SIGTERM.

These are processes of their own, started as a person starts them, since a forked one has imported everything already.
A moment counts from when the process hears signals (it catches SIGTERM then; before, the interpreter itself is
starting). Whatever is finished by then is kept: the same command afterwards ends well.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from faults.common import Case, Done, complaint
from faults.databases import content

COMMANDS = {
    "generate": ("generate", "--run", "new", "--problems", "world:size=6,seed=1", "--attempts", "2"),
    "eval": ("eval", "--run", "new", "--benchmark", "world:size=6,seed=2", "--samples", "2", "--max-tokens", "200"),
    "score": ("score", "run", "--student", "world", "--out", "new", "--batch-tokens", "300", "--local-steps", "2"),
    "score together": ("score", "run", "--student", "world", "--out", "new", "--workers", "2"),
    "train": ("train", "--data", "run", "--incorrect", "--preset", "world", "--epochs", "20", "--out", "new"),
    "export": ("export", "run", "--out", "new", "--incorrect"),
    "report": ("report", "run", "--out", "new.html"),
    "pilot": ("pilot", "--run", "new", "--problems", "world:size=4", "--size", "2", "--max-tokens", "60"),
}  # fmt: skip
MADE = {"generate", "eval"}


def run(quick: bool, seed: int, work: Path) -> Iterator[Case]:
    rng = random.Random(seed)
    if quick:  # in the import of torch, which lasts a second or more
        for number in (signal.SIGINT, signal.SIGTERM):
            yield _interrupted("eval", work, rng.uniform(0.1, 0.9), number, twice=False, again=False)
        return
    assert _command(COMMANDS["generate"], work).wait() == 0
    (work / "new").rename(work / "run")
    names = list(COMMANDS)
    whole: dict[str, float] = {}
    for n in range(40):
        name = names[n % len(names)]
        here = work / f"case{n}"
        here.mkdir()
        shutil.copytree(work / "run", here / "run")
        if name not in whole:  # how long it takes when nobody interrupts
            started = time.monotonic()
            assert _command(COMMANDS[name], here).wait() == 0, name
            whole[name] = time.monotonic() - started
            _clear(here)
        moment = rng.random() ** 1.5 * whole[name]  # more of them early, while imports run
        number = rng.choice([signal.SIGINT, signal.SIGINT, signal.SIGTERM])
        twice = rng.random() < 0.25
        yield _interrupted(name, here, moment, number, twice)
        shutil.rmtree(here)


def _interrupted(name: str, here: Path, moment: float, number: int, twice: bool, again: bool = True) -> Case:
    how = f"{name}, {signal.Signals(number).name}{' twice' * twice} after {moment:.2f} s"
    process = _command(COMMANDS[name], here)
    while not _hears(process.pid) and process.poll() is None:
        time.sleep(0.001)
    time.sleep(moment)
    process.send_signal(number)
    if twice:
        time.sleep(0.3)
        process.send_signal(number)
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        return Case(how, False, f"goes on 60 s after it was interrupted {process.communicate()}")
    # a second signal may come when all is said; then it ends the process itself
    done = Done(130 if twice and process.returncode == -number else process.returncode, out, err)
    wrong = complaint(done, codes=(0, 130))
    if done.code == 130 and not wrong and "interrupted" not in done.out + done.err:
        wrong = f"nothing was said of it: {done.out[-200:]!r} {done.err[-200:]!r}"
    if not wrong and (orphans := _of_session(process.pid)):
        wrong = f"processes {orphans} live on"
        for orphan in orphans:
            os.kill(orphan, signal.SIGKILL)
    kept = content(here / "new") if name in MADE and (here / "new" / "traces.sqlite").exists() else {}
    if not wrong and name == "export" and done.code and (here / "new").exists():
        wrong = "a half-written export was left behind"
    if again and not wrong and name != "pilot" and done.code == 130:  # a pilot is timed, and starts anew
        second = _command(COMMANDS[name], here)
        _, err = second.communicate()
        if second.returncode:
            wrong = f"the same command afterwards: exit {second.returncode} {err[-300:]}"
        elif any(content(here / "new").get(key) != row for key, row in kept.items()):
            wrong = "what was kept has changed"
    return Case(how, not wrong, wrong or f"exit {done.code}")


def _command(words: tuple[str, ...], cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ownwords", *words], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def _clear(here: Path) -> None:
    shutil.rmtree(here / "new", ignore_errors=True)
    (here / "new.html").unlink(missing_ok=True)


def _hears(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = int(status.partition("SigCgt:\t")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def _of_session(leader: int) -> list[int]:
    """Processes of a session that has ended, and the answer workers, which have sessions of their own."""
    time.sleep(0.2)
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z" and int(fields[3]) == leader:
            found.append(int(folder.name))
    return found
