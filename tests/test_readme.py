"""Every command of the README and of the guide to making traces, as it stands there, on fewer problems."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/generating.md")


def commands() -> list[list[str]]:
    """The `ownwords` lines of all bash blocks, in order, comments and continuations resolved."""
    text = "".join((ROOT / page).read_text() for page in PAGES)
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("ownwords")]


def test_commands_of_the_readme(tmp_path):
    """The pretrained models, a gigabyte and a half of them, are not fetched here: the small world stands in for them.
    `make demo` is run as what the Makefile runs."""
    asked = commands()
    assert len(asked) >= 12 and sum("$teacher" in words for words in asked) == 1
    (tmp_path / "runs").mkdir()
    (tmp_path / "gsm8k").mkdir()
    row = {"question": "What is 12 - 7?", "answer": "12 - 7 = <<12-7=5>>5\n#### 5"}
    (tmp_path / "gsm8k" / "train.jsonl").write_text(
        f"{json.dumps(row)}\n{json.dumps(row | {'question': 'And now?'})}\n"
    )
    for words in [["ownwords", "demo", "--run", "runs/demo", "--problems", "3", "--attempts", "1"], *asked]:
        fewer = [re.sub(r"size=\d+", "size=6", re.sub(r"^\$(teacher|student)$", "world", word)) for word in words[1:]]
        done = subprocess.run(
            [sys.executable, "-m", "ownwords", *fewer], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr[-2000:]}"
    assert {path.name for path in (tmp_path / "runs").iterdir()} >= {
        "sft", "scores", "chosen", "report.html", "student", "qwen",
    }  # fmt: skip


def test_python_of_the_readme(tmp_path):
    [block] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", block.replace("size=20", "size=4")],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "runs" / "api-student" / "model.safetensors").is_file()
