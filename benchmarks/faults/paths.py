"""Odd paths: 100 of them, as inputs and outputs of every command.

Whatever is there already is the user's: it must be the same afterwards.
"""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

from faults.common import Case, changed, command, held, preload, snapshot

PROBLEMS = ("--problems", "good.jsonl", "--max-tokens", "20")
SMALL = (*PROBLEMS, "--limit", "1", "--attempts", "1")
EVAL = ("eval", "--benchmark", "good.jsonl", "--max-tokens", "20", "--limit", "1", "--samples", "1")
TRAIN = ("train", "--data", "run", "--incorrect", "--preset", "world", "--epochs", "9")
OUTPUTS: dict[str, tuple[str, ...]] = {
    "generate": ("generate", *SMALL, "--run", "PATH"),
    "eval": (*EVAL, "--run", "PATH"),
    "eval results": (*EVAL[:2], "gsm8k=good.jsonl", *EVAL[3:], "--run", "evaluated", "--eval-results", "PATH"),
    "pilot": ("pilot", *PROBLEMS, "--size", "2", "--gates", "never", "--run", "PATH"),
    "demo": ("demo", "--problems", "1", "--attempts", "1", "--run", "PATH"),
    "export": ("export", "run", "--incorrect", "--out", "PATH"),
    "salvage": ("export", "run", "--salvage", "--out", "PATH"),
    "report": ("report", "run", "--out", "PATH"),
    "show": ("show", "run", "--svg", "PATH"),
    "analyse": ("analyse", "run", "--out", "PATH"),
    "score": ("score", "run", "--student", "world", "--out", "PATH"),
    "compare-teachers": ("compare-teachers", "run", "traces.jsonl", "--student", "world", "--out", "PATH"),
    "select": ("select", "scores", "--out", "PATH"),
    "train": (*TRAIN, "--out", "PATH"),
    "merge": ("merge", "adapter", "--out", "PATH"),
    "world measure": ("world", "measure", "--problems", "1", "--out", "PATH"),
    "world train": ("world", "train", "student", "--tokens", "1", "--out", "PATH"),
}  # fmt: skip
INPUTS: dict[str, tuple[str, ...]] = {
    "problems": ("generate", "--problems", "PATH", *SMALL[2:], "--run", "new"),
    "overlap": ("generate", *SMALL, "--run", "new", "--dry-run", "--check-overlap", "PATH"),
    "benchmark": ("check-references", "PATH", "--limit", "1"),
    "exclude": ("eval", "--benchmark", "good.jsonl", "--run", "new", "--dry-run", "--exclude", "PATH"),
    "teacher": ("generate", *SMALL, "--run", "new", "--teacher", "PATH"),
    "config": ("generate", *SMALL, "--run", "new", "--dry-run", "--config", "PATH"),
    "show a run": ("show", "PATH"),
    "export a run": ("export", "PATH", "--out", "new"),
    "salvage a run": ("export", "PATH", "--salvage", "--out", "new"),
    "report on": ("report", "PATH", "--out", "new.html"),
    "score traces": ("score", "PATH", "--student", "world", "--out", "new"),
    "select from": ("select", "PATH", "--out", "new"),
    "analyse it": ("analyse", "PATH"),
    "compare with": ("compare", "run", "PATH"),
    "train on": ("train", "--data", "PATH", "--student", "world", "--dry-run", "--out", "new"),
    "merge it": ("merge", "PATH", "--out", "new"),
}
PLACES = (
    "below/a-file.txt/new", "dangling", "dangling/below", "loop", "link-to-file", "n" * 300, "x" * 254, "a/" * 2200,
    "pipe", "fifo.jsonl", "socket", "file.txt", "full", "empty", "unreadable.jsonl", "binary.jsonl", "binary.yaml",
    "/dev/null", "/dev/zero", "/dev/full/x", "/proc/1/new", "/proc/nothing", ".", "..", "", " ", "-", "~nobody/x",
    "deep/er/and/deeper", "\udcff\udcfe", "[bold]x[/bold]", "[/x]", ":smile:", "line\nbreak", "\x1b[2Jx", "é中🎉",
    "a,b=c", "%s{0}$HOME", "CON", "new.jsonl/", "run/exports/../../run",
)  # fmt: skip


def run(quick: bool, seed: int, work: Path) -> Iterator[Case]:
    preload()
    home = work / "above" / "home"  # so that .. is ours too
    home.mkdir(parents=True)
    _prepare(home)
    before = snapshot(work)
    rng = random.Random(seed)
    kinds = {**OUTPUTS, **INPUTS}
    cases = [(place, name) for place in PLACES for name in rng.sample(sorted(kinds), 3)]
    for place, name in rng.sample(cases, 16) if quick else cases:
        done = command([place if word == "PATH" else word for word in kinds[name]], home)
        after = snapshot(work)
        made = [one for one in sorted(set(after) - set(before)) if not _memory(one)]
        wrong = changed(before, {one: after[one] for one in before if one in after}, _memory)
        if done.code and made:
            wrong = wrong or f"{made[0]} was left behind"
        yield held(f"{name}: {place[:40]!r}", done, wrong)
        for one in reversed(sorted(set(after) - set(before))):
            path = work / one
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)


def _memory(name: str) -> bool:
    """What SQLite keeps beside a database while it is read."""
    return name.endswith(("-shm", "-wal")) or name.endswith("run/lock")


def _prepare(work: Path) -> None:
    rows = [{"question": f"{i} + 1 =", "answer": str(i + 1)} for i in range(3)]
    (work / "good.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (work / "traces.jsonl").write_text(json.dumps({"problem": "1 + 1 =", "thinking": "Two.", "solution": "2"}) + "\n")
    for words in (
        ("generate", "--run", "run", "--problems", "good.jsonl", "--attempts", "1", "--max-tokens", "60"),
        ("score", "run", "--student", "world", "--out", "scores"),
        (
            "train",
            "--data",
            "run",
            "--incorrect",
            "--preset",
            "world",
            "--epochs",
            "9",
            "--lora.rank",
            "1",
            "--out",
            "adapter",
        ),
    ):
        made = command(words, work)
        assert made.code == 0, made.err
    (work / "below").mkdir()
    for name in ("below/a-file.txt", "file.txt"):
        (work / name).write_text("mine")
    (work / "dangling").symlink_to("nowhere")
    (work / "loop").symlink_to("loop")
    (work / "link-to-file").symlink_to("file.txt")
    os.mkfifo(work / "pipe")
    os.mkfifo(work / "fifo.jsonl")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(work)  # a socket's path has room for a hundred letters only
        listener.bind("socket")
        os.chdir(here)
    (work / "full").mkdir()
    for name in ("thesis.tex", "teachers.json", "config.yaml", "model.safetensors", "lock", "state.pt", "report.html"):
        (work / "full" / name).write_text("mine")
    (work / "empty").mkdir()
    (work / "unreadable.jsonl").write_bytes(b"\xff\xfe\x00")
    for name in ("binary.jsonl", "binary.yaml"):
        (work / name).write_bytes(random.Random(0).randbytes(3000))
