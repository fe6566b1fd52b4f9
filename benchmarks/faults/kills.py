"""200 kills (SIGKILL) at random moments: half of them of answer workers, some while they start, half of commands.

Workers: a checker that judges slow answers, and a run of `generate`, go on as if nothing had happened. Commands: each
is killed again and again, and the start after the last kill ends as one that nobody has disturbed. After every kill no
process may be left, and nothing may be lost, doubled or judged otherwise.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from safetensors.torch import load_file

from faults.common import Case, Done, complaint
from ownwords.answers.checker import Checker
from ownwords.records.problem import Problem
from ownwords.traces.store import Store

MARK = "OWNWORDS_FAULTS_MARK"
"""a variable by which the processes of one case know each other, whatever session they are in"""
SLOW = [
    (r"(x+1)^{20}", r"(1+x)^{20}"), (r"\sin(x)^2+\cos(x)^2", "1"), (r"\sum_{n=1}^{10} n^2", "385"),
    (r"\sqrt{2}+\sqrt{3}", r"\sqrt{5+2\sqrt{6}}"), (r"\sqrt{17}", r"\sqrt{18}"), ("x+1", "x-1"),
    (r"\frac{1}{x-1}-\frac{1}{x+1}", r"\frac{2}{x^2-1}"), (r"\frac{x^{30}-1}{x-1}", "1+x"),
]  # fmt: skip
"""references and answers that take a tenth of a second and more"""
EXACT = ("--batch", "1", "--draft-length", "2", "--max-tokens", "60")
"""one attempt at a time: another order of work would round otherwise"""
COMMANDS: dict[str, tuple[str, ...]] = {
    "generate": ("generate", "--run", "new", "--problems", "world:size=6,seed=1", "--attempts", "3", *EXACT),
    "eval": ("eval", "--run", "new", "--benchmark", "world:size=6,seed=2", "--samples", "3", "--batch", "1",
             "--max-tokens", "60"),
    "score": ("score", "run", "--student", "world", "--out", "new", "--batch-tokens", "300", "--local-steps", "2"),
    "train": ("train", "--data", "run", "--incorrect", "--preset", "world", "--epochs", "4", "--out", "new"),
    "export": ("export", "run", "--incorrect", "--out", "new", "--overwrite"),
    "report": ("report", "run", "--out", "new.html", "--overwrite"),  # a kill may come when it is written
}  # fmt: skip


def run(quick: bool, seed: int, work: Path) -> Iterator[Case]:
    rng = random.Random(seed)
    yield from _while_judging(2 if quick else 50, rng)
    commands = {"generate": tuple(word.replace("size=6", "size=2") for word in COMMANDS["generate"])}
    commands = commands if quick else COMMANDS
    yield from _while_generating(1 if quick else 50, rng, work / "workers", commands["generate"])
    yield from _commands(1 if quick else 100, rng, work / "commands", commands)


def _while_judging(kills: int, rng: random.Random) -> Iterator[Case]:
    """Kill workers of a checker that is busy until so many are killed; its verdicts stay what they are."""
    asked = [(Problem("q", reference), answer) for reference, answer in SLOW]
    started = time.monotonic()
    with Checker(1, deadline=600) as checker:
        right = [checker.submit(*pair).result() for pair in asked]
    whole = time.monotonic() - started
    with Checker(2, deadline=600) as checker:
        killed = 0
        while killed < kills:
            futures = [checker.submit(*pair) for pair in asked * 2]
            names = []
            while not all(future.done() for future in futures) and killed < kills:
                time.sleep(rng.random() * whole)
                process = rng.choice(checker._workers).process
                if process is not None and process.poll() is None:
                    process.kill()
                    killed += 1
                    names.append(f"worker {process.pid} of a busy checker")
            wrong = "" if [future.result() for future in futures] == right * 2 else "a verdict has changed"
            yield from (Case(name, not wrong, wrong or "the same verdicts") for name in names)


def _while_generating(kills: int, rng: random.Random, work: Path, command: tuple[str, ...]) -> Iterator[Case]:
    """Kill workers of `generate`, a third of them as soon as they appear, so that they have no time to start."""
    words = (*command, "--check-workers", "2")
    expected, number = _undisturbed(words, work / "whole"), 0
    killed = 0
    while killed < kills:
        here, names, seen = work / str(number), [], set()
        number += 1
        process, mark = _started(words, here)
        while process.poll() is None and len(names) < 6 and killed < kills:
            new = [pid for pid in _workers(mark) if pid not in seen]
            if not new:
                time.sleep(0.01)
                continue
            seen.add(new[0])
            moment = 0.0 if rng.random() < 0.35 else rng.random() * 3
            time.sleep(moment)
            try:
                os.kill(new[0], signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed += 1
            names.append(f"worker {new[0]} of generate, {moment:.2f} s old")
        wrong = _end(process, mark, codes=(0,)) or ("" if _result(here) == expected else "the store is another one")
        yield from (Case(name, not wrong, wrong or "the same store") for name in names)
        shutil.rmtree(here)


def _commands(kills: int, rng: random.Random, work: Path, commands: dict[str, tuple[str, ...]]) -> Iterator[Case]:
    """Kill each command, at moments that are spread over the time that it takes, and let the last start end."""
    for i, (name, words) in enumerate(commands.items()):
        data = None
        if "run" in words:
            data = work / name / "run"
            _undisturbed(commands["generate"], work / name / "made")
            (work / name / "made" / "new").rename(data)
        started = time.monotonic()
        expected = _undisturbed(words, work / name / "whole", data)
        whole = time.monotonic() - started
        here, cases = work / name / "killed", []
        for _ in range(kills // len(commands) + (i < kills % len(commands))):
            moment = rng.random() * whole
            process, mark = _started(words, here, data)
            time.sleep(moment)
            process.kill()
            cases.append((f"{name} after {moment:.2f} of {whole:.2f} s", _end(process, mark, codes=(0, -9))))
            if process.returncode == 0:
                _clear(here)
        process, mark = _started(words, here, data)
        last = _end(process, mark, codes=(0,)) or ("" if _result(here) == expected else "another result in the end")
        for how, wrong in cases:
            yield Case(how, not (wrong or last), wrong or last or "the same result in the end")


def _undisturbed(words: tuple[str, ...], here: Path, data: Path | None = None) -> Any:
    process, mark = _started(words, here, data)
    if wrong := _end(process, mark, codes=(0,)):
        raise RuntimeError(f"{words[0]} without any kill: {wrong}")
    return _result(here)


def _started(words: tuple[str, ...], here: Path, data: Path | None = None) -> tuple[subprocess.Popen[str], str]:
    here.mkdir(parents=True, exist_ok=True)
    if data and not (here / "run").exists():
        (here / "run").symlink_to(data)
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    return subprocess.Popen(
        [sys.executable, "-m", "ownwords", *words], cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, MARK: mark},
    ), mark  # fmt: skip


def _end(process: subprocess.Popen[str], mark: str, codes: tuple[int, ...]) -> str:
    """Wait for the end; what is wrong with it."""
    out, err = process.communicate(timeout=300)
    if wrong := complaint(Done(process.returncode, out, err), codes):
        return wrong
    until = time.monotonic() + 3
    while (left := _processes(mark)) and time.monotonic() < until:
        time.sleep(0.05)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return f"processes {left} outlive it" if left else ""


def _processes(mark: str, running: Callable[[bytes], bool] = lambda words: True) -> list[int]:
    """Processes with this mark, and with words that fit; zombies have none."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                if running((folder / "cmdline").read_bytes()):
                    found.append(int(folder.name))
        except OSError:
            continue
    return found


def _workers(mark: str) -> list[int]:
    return _processes(mark, lambda words: b"answers.worker" in words)


def _clear(here: Path) -> None:
    shutil.rmtree(here / "new", ignore_errors=True)
    (here / "new.html").unlink(missing_ok=True)


def _result(here: Path) -> Any:
    """What a command has made, without times and paths."""
    new = here / "new"
    if (new / "traces.sqlite").exists():
        with Store.read(new) as store:
            return {
                (t.problem_id, t.attempt): (t.token_ids.tolist(), t.source.tolist(), t.answer, t.verdict, t.judged_by)
                for t in store.traces()
            }
    if (new / WEIGHTS).exists():
        return {name: weights.tolist() for name, weights in load_file(new / WEIGHTS).items()}
    if new.is_dir():
        return {path.name: pq.read_table(path).to_pylist() for path in sorted(new.rglob("*.parquet"))}
    return (here / "new.html").read_text()


WEIGHTS = "model.safetensors"
