"""Every command of the README, as it stands there, on fewer problems."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def commands() -> list[list[str]]:
    """The `ownwords` lines of all bash blocks, in order, comments and continuations resolved."""
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(), flags=re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("ownwords")]


def test_commands_of_the_readme(tmp_path):
    """Those that name pretrained weights are read only: nothing can be downloaded here. `make demo` is run as what the
    Makefile runs."""
    asked = commands()
    run = [words for words in asked if not any("Qwen/" in word for word in words)]
    assert len(run) >= 10 and 1 <= len(asked) - len(run) <= 2
    (tmp_path / "runs").mkdir()
    for words in [["ownwords", "demo", "--run", "runs/demo", "--problems", "3", "--attempts", "1"], *run]:
        fewer = [re.sub(r"size=\d+", "size=6", word) for word in words[1:]]
        done = subprocess.run(
            [sys.executable, "-m", "ownwords", *fewer], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr[-2000:]}"
    assert {path.name for path in (tmp_path / "runs").iterdir()} >= {
        "sft",
        "scores",
        "chosen",
        "report.html",
        "student",
    }


def test_commands_with_pretrained_weights_parse(tmp_path):
    """As far as they go without a network: the options are known, and the first thing that is missing is the file."""
    for words in commands():
        if any("Qwen/" in word for word in words):
            done = subprocess.run(
                [sys.executable, "-m", "ownwords", *words[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 2 and "gsm8k/train.jsonl: no such file" in done.stderr, done.stderr
