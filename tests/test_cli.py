"""The command line as a person meets it: help, plans, and every mistake as one line with exit code 2."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import make, random_model
from transformers.utils import logging

from ownwords.models.load import model_path


def ownwords(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "ownwords", *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Files and folders with everything that can be wrong with them, and one finished run."""
    logging.disable_progress_bar()  # as the command line does where it is the first to import transformers
    here = tmp_path_factory.mktemp("cli")
    good = [json.dumps({"question": f"{i} + 1 =", "answer": str(i + 1)}) for i in range(10)]
    (here / "good.jsonl").write_text("\n".join(good))
    (here / "empty.jsonl").write_text("")
    (here / "broken7.jsonl").write_text("\n".join([*good[:6], '{"question": "6 +', *good[7:]]))
    (here / "list.jsonl").write_text("[1, 2]\n")
    (here / "latin.jsonl").write_bytes(b'{"question": "caf\xe9", "answer": "1"}\n')
    (here / "nocolumn.jsonl").write_text(json.dumps({"text": "1 + 1", "answer": "2"}))
    (here / "noanswer.jsonl").write_text("\n".join([*good[:2], json.dumps({"question": "x", "answer": ""})]))
    (here / "noquestion.jsonl").write_text(json.dumps({"question": " ", "answer": "2"}))
    (here / "twice.jsonl").write_text(good[0] + "\n" + json.dumps({"question": "0 + 1 =", "answer": "7"}))
    (here / "table.csv").write_text("question,answer\n1+1,2\n2+2\n")
    (here / "table.xlsx").write_bytes(b"PK")
    (here / "two.json").write_text('{"a": [], "b": []}')
    (here / "no.parquet").write_bytes(b"PAR1")
    (here / "allbad.jsonl").write_text("1\n2\n")
    (here / "bad.yaml").write_text("gate: [unclosed")
    (here / "unknown.yaml").write_text("gatte: always\n")
    world = Path(model_path("world", "student"))
    (here / "weightless").mkdir()
    for file in world.iterdir():
        if file.suffix != ".safetensors":
            shutil.copy(file, here / "weightless")
    shutil.copytree(here / "weightless", here / "pickled")
    (here / "pickled/pytorch_model.bin").write_bytes(b"\x80\x04N.")
    shutil.copytree(world, here / "torn")
    (here / "torn/model.safetensors").write_bytes((world / "model.safetensors").read_bytes()[:5000])
    shutil.copytree(world, here / "other")  # the same model with other words in place of a tenth of its tokens
    tokenizer = json.loads((world / "tokenizer.json").read_text())
    model = tokenizer["model"]
    renamed = {token for token, i in model["vocab"].items() if len(token) > 1 and i % 8 == 0}
    model["vocab"] = {token.upper() + "Q" * 9 if token in renamed else token: i for token, i in model["vocab"].items()}
    model["merges"] = []
    (here / "other/tokenizer.json").write_text(json.dumps(tokenizer))
    shutil.copytree(world, here / "short")
    random_model(here / "short", 60, seed=0)
    (here / "occupied").mkdir()
    (here / "occupied/thesis.tex").write_text("do not touch")
    (here / "notadb").mkdir()
    (here / "notadb/traces.sqlite").write_text("this is no database" * 100)
    make(here / "run", problems=str(here / "good.jsonl"), attempts=1, max_tokens=8, limit=2)
    return here


GENERATE = ("generate", "--run", "new", "--problems", "good.jsonl", "--max-tokens", "8")

WRONG = [
    (("generate", "--run", "new", "--problems", "none.jsonl"), "no such file"),
    (("generate", "--run", "new", "--problems", "empty.jsonl"), "is empty"),
    (("generate", "--run", "new", "--problems", "broken7.jsonl"), "line 7: not JSON"),
    (("generate", "--run", "new", "--problems", "list.jsonl"), "line 1: a JSON list, expected an object"),
    (("generate", "--run", "new", "--problems", "latin.jsonl"), "line 1: not UTF-8"),
    (("generate", "--run", "new", "--problems", "nocolumn.jsonl"), "name it with --question-field"),
    (("generate", "--run", "new", "--problems", "noanswer.jsonl"), "line 3: no reference answer"),
    (("generate", "--run", "new", "--problems", "noquestion.jsonl"), "expected the text of a question"),
    (
        ("generate", "--run", "new", "--problems", "twice.jsonl"),
        "twice.jsonl, line 2: the question of twice.jsonl, line 1",
    ),
    (("generate", "--run", "new", "--problems", "table.xlsx"), "a file of another kind: expected a .jsonl"),
    (("generate", "--run", "new", "--problems", "run"), "a directory: expected a .jsonl"),
    (("generate", "--run", "new", "--problems", "table.csv"), "table.csv, line 3: 1 fields, expected the 2"),
    (("generate", "--run", "new", "--problems", "two.json"), "an object with 2 lists (a, b)"),
    (("generate", "--run", "new", "--problems", "no.parquet"), "no readable Parquet file"),
    (("generate", "--run", "new", "--problems", "allbad.jsonl", "--skip-bad-rows"), "no row can be read"),
    (("generate", "--run", "new", "--problems", "hf:nowhere"), "hf:nowhere: cannot read the data set"),
    (("generate", "--run", "new", "--problems", "hf:run,spilt=train"), "no setting 'spilt', expected split, config"),
    ((*GENERATE, "--answer-field", "a.b"), "no field 'a.b', which --answer-field names"),
    ((*GENERATE, "--check-overlap", "none.jsonl"), "none.jsonl: no such file"),
    ((*GENERATE, "--answer-from", "thinking"), 'Choose from: "boxed", "any"'),
    ((*GENERATE, "--judge-url", "http://127.0.0.1:9/v1"), "--judge-url and --judge-model belong together"),
    ((*GENERATE, "--judge-url", "127.0.0.1/v1", "--judge-model", "m"), "expected http:// or https://"),
    ((*GENERATE, "--judge-url", "http://127.0.0.1:9/v1", "--judge-model", "m"), "does not answer"),
    ((*GENERATE, "--push-to-hub", "a//b"), "cannot write the data set a//b of the hub"),
    (("generate", "--run", "new", "--problems", "gym:chain_sun"), "did you mean chain_sum"),
    (("generate", "--run", "new", "--problems", "gym:chain_sum,max_term=3"), "did you mean max_terms?"),
    (("generate", "--run", "new", "--problems", "gym:chain_sum,min_terms=9,max_terms=2"), "reasoning-gym refuses"),
    (("generate", "--run", "new", "--problems", "world:size=none"), "expected whole numbers"),
    ((*GENERATE, "--question-field", "q"), "line 1: no field 'q', which --question-field names"),
    ((*GENERATE, "--preset", "papertext"), 'Choose from: "default", "paper-text", "paper-script"'),
    ((*GENERATE, "--gate", "treshold:0.01"), "unknown gate 'treshold'"),
    ((*GENERATE, "--gate", "threshold:2"), "expected a probability in (0, 1]"),
    ((*GENERATE, "--proposals", "0"), "expected a whole number from 1 up, or inf"),
    ((*GENERATE, "--attempts", "0"), "attempts is 0"),
    ((*GENERATE, "--attempts", "many"), "--attempts"),
    ((*GENERATE, "--teacher-sampling.temperature", "-1"), "temperature is -1.0"),
    ((*GENERATE, "--student-sampling.top-p", "1.5"), "top-p is 1.5"),
    ((*GENERATE, "--teacher-device", "cuda:0"), "shows no GPU to torch"),
    ((*GENERATE, "--teacher-device", "abacus"), "abacus"),
    ((*GENERATE, "--teacher", "nowhere/none"), "cannot load the teacher 'nowhere/none'"),
    ((*GENERATE, "--student", "weightless"), "holds no *.safetensors"),
    ((*GENERATE, "--student", "pickled"), "pickled weights are not loaded"),
    ((*GENERATE, "--student", "torn"), "cannot load the student 'torn'"),
    ((*GENERATE, "--teacher", "other"), "expected at least 95%; choose a teacher of the student's family"),
    ((*GENERATE, "--teacher", "short"), "expected a row for every id"),
    ((*GENERATE, "--bogus", "1"), "--bogus"),
    ((*GENERATE, "--config", "none.yaml"), "no such file, expected a YAML file"),
    ((*GENERATE, "--config", "bad.yaml"), "while parsing"),
    ((*GENERATE, "--config", "unknown.yaml"), "Did you mean --gate?"),
    (("generate", "--run", "occupied", "--problems", "good.jsonl"), "is not empty and no run directory"),
    (("generate", "--run", "notadb", "--problems", "good.jsonl"), "notadb"),
    (("generate", "--run", "good.jsonl", "--problems", "good.jsonl"), "is a file, expected a directory to write to"),
    (
        ("generate", "--run", "run", "--problems", "good.jsonl", "--gate", "always", "--max-tokens", "8"),
        "another config",
    ),
    (("generate",), "--run requires an argument"),
    (("generat",), 'Did you mean "generate"'),
    (("show", "nothing"), "does not exist"),
    (("show", "occupied"), "has no traces.sqlite"),
    (("show", "run", "--problem", "zzz"), "no problem begins with 'zzz'"),
    (("show", "run", "--problem", "", "--attempt", "7"), "2 problems begin with ''"),
    (("show", "run", "--attempt", "7"), "has no attempt 7: expected one of 0"),
    (("show", "run", "--svg", "good.jsonl"), "exists already"),
    (("export", "nothing"), "does not exist"),
    (("export", "run", "--max-fallback", "3"), "expected a share from 0 to 1"),
    (("export", "run", "--out", "good.jsonl"), "is a file, expected a directory"),
    (("export", "run", "--to-hub", "a/b"), "cannot write the data set a/b of the hub"),
    (("world", "train", "--role", "pupil", "--out", "new"), "teacher"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=lambda x: " ".join(x)[:60] if isinstance(x, tuple) else "")
def test_wrong_input_is_one_line_and_exit_code_2(folder, words, message, monkeypatch, capfd):
    """In this process, for speed; `test_mistakes_in_a_process_of_their_own` sees the real exit code."""
    from ownwords.cli.app import main

    kept = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(("lock", "traces.sqlite-"))]
    before = {p: p.stat().st_mtime_ns for p in kept}
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["ownwords", *words])
    with pytest.raises(SystemExit) as exit:
        main()
    error = capfd.readouterr().err
    assert exit.value.code == 2, error
    assert message in error and "Traceback" not in error
    assert len(error.strip().splitlines()) == 1, error
    assert not (folder / "new/traces.sqlite").exists()
    assert [p.name for p, t in before.items() if p.stat().st_mtime_ns != t] == []


def test_mistakes_in_a_process_of_their_own(folder):
    done = ownwords("generate", "--run", "new", "--problems", "broken7.jsonl", cwd=folder)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: broken7.jsonl, line 7: not JSON")


def test_disk_full_is_one_line_and_what_was_made_is_kept(folder, tmp_path):
    """A process that may write no file beyond 200 KiB: SQLite meets it as a disk that is full."""
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000));"
        f"sys.argv = ['ownwords', 'generate', '--run', {str(tmp_path / 'run')!r}, '--problems', 'world:size=40',"
        "'--max-tokens', '60', '--attempts', '4'];"
        "from ownwords.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "is full" in done.stderr, done.stderr
    shown = ownwords("show", tmp_path / "run")
    assert shown.returncode == 0 and "attempts verified correct" in shown.stdout


def test_dry_run_prints_the_plan_and_makes_nothing(folder):
    done = ownwords(
        "generate", "--run", "dry", "--problems", "good.jsonl", "--preset", "paper-script", "--dry-run", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert "threshold:0.01+rank:20" in done.stdout and "5 proposals" in done.stdout and "40 in all" in done.stdout
    assert not (folder / "dry").exists()


def test_yaml_gives_options_and_flags_win(folder, tmp_path):
    (tmp_path / "run.yaml").write_text(
        "problems: good.jsonl\ngate: rank:3\nteacher_sampling:\n  temperature: 0.5\n  top_p: 0.8\nlimit: 3\n"
    )
    done = ownwords(
        "generate", "--run", "yaml", "--config", tmp_path / "run.yaml", "--teacher-sampling.top-p", "0.9",
        "--limit", "2", "--dry-run", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.replace("│", " ").split())
    assert "rank:3" in text and "T 0.5, top-p 0.9" in text and "2 from good.jsonl" in text


@pytest.mark.parametrize("words", [(), ("generate",), ("show",), ("export",), ("demo",), ("world", "train")])
def test_help_reads_well(words):
    done = ownwords(*words, "--help")
    assert done.returncode == 0 and "Usage:" in done.stdout and done.stderr == ""


def test_show_and_export(folder, tmp_path):
    shown = ownwords("show", "run", "--svg", tmp_path / "trace.svg", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert "+ 1 =" in shown.stdout and (tmp_path / "trace.svg").read_text().startswith("<svg")
    assert ownwords("export", "run", "--incorrect", cwd=folder).returncode == 0
    again = ownwords("export", "run", cwd=folder)
    assert again.returncode == 2 and "holds" in again.stderr
    assert ownwords("export", "run", "--overwrite", cwd=folder).returncode == 0
    shutil.rmtree(folder / "run/exports")


def test_hostile_text_cannot_steer_the_terminal():
    from ownwords.traces.spans import printable

    assert printable("a\x1b[2J\r\x07\u202eb\x9b\x7f") == "a␛[2J␍␇\ufffdb\ufffd␡"
    assert printable("é中🎉\n\t") == "é中🎉\n\t"
