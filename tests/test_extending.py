"""docs/extending.md is a package: it is built, installed beside ours, and its commands are run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import ownwords

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs/extending.md").read_text()
BLOCKS = dict(re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```", GUIDE, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()]
RUN = """
import json, sys
from ownwords.cli.app import app
for words in json.loads(sys.argv[1]):
    code = app.meta(words, exit_on_error=False, print_error=False)
    assert not code, (words, code)
"""
REFUSED = """
import json, sys
from ownwords.cli.app import app
for words in json.loads(sys.argv[1]):
    try:
        app.meta(words, exit_on_error=False, print_error=False)
    except ValueError as error:
        print("refused:", error)
"""
ENGINE = """
from dataclasses import replace
from ownwords.engines.conformance import conform
from ownwords.engines.engine import Job, Pair, Request, Solo, open_engine
from ownwords.models.named import named
from ownwords.rsd.gates import parse_gate
from ownwords.rsd.shaping import Sampling

model = named("world", "student")
prompt = tuple(model.tokenizer("What is 3 + 4?")["input_ids"])
forced = prompt[:2]
requests = [Request(("p", n), "p", (), prompt, 12, forced) for n in range(3)]
job = Job(Solo(model, Sampling(1.0, 1.0)), 7, requests[0], 3)
engine = open_engine("plain", job, None)

def written(requests):
    found = {}
    for request in requests:
        engine.submit([request])
        assert engine.room == 0
        found |= {one.key: one for one in engine.poll()}
    return found

there, back = written(requests), written(requests[::-1])
for key, one in there.items():
    ids, other = one.columns["token_ids"].tolist(), back[key].columns["token_ids"].tolist()
    assert ids == other and tuple(ids[:2]) == forced and len(ids) <= 12, (ids, other)
    assert (one.columns["student_logprob"] <= 0).all() and one.columns["source"].tolist()[:3] == [2, 2, 1]
    assert (one.finish_reason == "stop") == (ids[-1] in model.vocabulary.ends)
assert len({tuple(one.columns["token_ids"].tolist()) for one in there.values()}) > 1
conform(lambda job: open_engine("plain", job, None), kinds=("solo",))
try:
    open_engine("plain", replace(job, writer=Pair(model, model, parse_gate("nucleus:0.9"))), None)
except ValueError as error:
    print("refused:", error)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A directory with the package of the guide, and an entry point beside it that nothing stands behind."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "mine").mkdir()
    for name, code in BLOCKS.items():
        (source / name).write_text(code)
    text = (source / "pyproject.toml").read_text()
    gates = '[project.entry-points."ownwords.gates"]\n'
    (source / "pyproject.toml").write_text(text.replace(gates, gates + 'broken = "mine.missing:Gate"\n'))
    (source / "mine/__init__.py").touch()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True)
    return target


@pytest.fixture(scope="module")
def python(site, tmp_path_factory):
    """Run Python with that directory on its path, in a folder of its own."""
    here = tmp_path_factory.mktemp("here")
    paths = [str(site), str(Path(ownwords.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "HF_HUB_OFFLINE": "1"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], cwd=here, env=environment, capture_output=True, text=True, timeout=300
        )

    run.here = here
    return run


def test_our_own_entry_points_are_installed():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    for group, points in declared.items():
        installed = {point.name: point.value for point in entry_points(group=group)}
        assert points.items() <= installed.items(), f"{group}: install again, as pip install -e . does"


def test_examples_are_short():
    assert set(BLOCKS) == {"pyproject.toml", *(f"mine/{n}.py" for n in ("gate", "source", "judge", "score", "engine"))}
    for name, code in BLOCKS.items():
        assert len([line for line in code.splitlines() if line.strip()]) <= 30, name


def test_the_commands_of_the_guide(python):
    here = python.here
    (here / "sums.csv").write_text("3 + 4 + 5\n20 - 7\n8 + 30\n")
    rows = [
        {"reference": "{1, 2}", "output": r"It is \boxed{2 and 1}"},
        {"reference": "{1, 2}", "output": r"\boxed{1, 3}"},
        {"reference": "{1, 2}", "output": r"\boxed{nothing}"},
    ]
    (here / "outputs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    commands = [shlex.split(command)[1:] for command in COMMANDS]
    commands.append(["report", "run", "scores", "--out", "report.html"])
    done = python("-c", RUN, json.dumps(commands))
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert re.search(r"correct │ │ │ 1 │ 33.3% │ │ │ boxed │ numbers │ 1 │", said)
    assert re.search(r"incorrect │ │ │ 1 │ 33.3%", said) and re.search(r"unparsable │ │ │ 1 │ 33.3%", said)
    row = pq.read_table(here / "scores/scores.parquet").to_pylist()[0]
    assert row["excess"] == pytest.approx(row["mean_surprisal"] - row["mean_entropy"], abs=1e-5)
    assert (
        "surprisal above entropy, nats" in said
        and "excess" in json.loads((here / "scores/summary.json").read_text())["all"]
    )
    choices = pq.read_table(here / "selection/choices.parquet").to_pylist()
    assert {one["by"] for one in choices} == {"excess"} and any(one["chosen"] for one in choices)
    assert "gate: nucleus:0.95" in (here / "run/config.yaml").read_text()
    assert "surprisal above entropy" in (here / "report.html").read_text()
    assert len(pq.read_table(here / "scores/scores.parquet")) == 6


def test_the_engine_of_the_guide(python):
    done = python("-c", ENGINE)
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout
        == "refused: this engine writes with one model alone and keeps no soft targets, expected such a job\n"
    )


def test_what_is_unknown_or_broken_is_told_in_one_line(python):
    (python.here / "rows.jsonl").write_text('{"reference": "1", "output": "1"}\n')
    generate = ["generate", "--run", "new", "--problems", "world:size=1"]
    known = "always, broken, ens, minp, never, nucleus, rank, ratio, threshold"
    expected = {
        (*generate, "--gate", "nuclear:0.9"): f"unknown gate 'nuclear', expected one of: {known}",
        (*generate, "--gate", "nucleus:2"): "the gate 'nucleus:2': expected a share in (0, 1]",
        (*generate, "--gate", "nucleus:x"): "the gate 'nucleus:x': could not convert string to float",
        ("generate", "--run", "new", "--problems", "summs:a"): "world:size=100,seed=0, sums:...",
        ("generate", "--run", "new", "--problems", "sums:a"): "sums:a cannot be read (No such file or directory)",
        ("judge", "rows.jsonl", "--kind", "number"): "expected one of: choice, gym, math, numbers",
        ("select", "scores", "--by", "exces", "--out", "o"): "there is no score 'exces': did you mean excess?",
    }
    done = python("-c", REFUSED, json.dumps(list(expected)))
    lines = done.stdout.splitlines()
    assert len(lines) == len(expected), done.stdout + done.stderr
    for line, words in zip(lines, expected.values()):
        assert line.startswith("refused:") and words in line
    done = python("-m", "ownwords", *generate, "--gate", "broken")
    reason = "error: the gate 'broken' (mine.missing:Gate) cannot be imported: ModuleNotFoundError: No module named"
    assert done.returncode == 2 and done.stderr.startswith(reason) and done.stderr.count("\n") == 1
