"""Faults around the program: a few of each kind that `benchmarks/faults` tries by the hundred, wrong options, streams
that end, and what help says."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated, get_args, get_origin

import pytest
from rich.cells import cell_len

from ownwords.cli.app import app, main
from ownwords.cli.flags import Reader
from ownwords.io.files import new_folder, replacing
from ownwords.io.paths import check_output
from ownwords.numbers import check, real, whole
from ownwords.traces.salvage import salvage
from ownwords.traces.store import Store

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "faults"
COMMANDS = [(name,) for name in app if not name.startswith("-") and name != "world"]
COMMANDS += [("world", "train"), ("world", "measure")]


def test_a_few_of_every_kind():
    kinds = ("databases", "paths", "disks", "interrupts")
    done = subprocess.run([sys.executable, BENCHMARK, *kinds, "--quick"], capture_output=True, text=True, timeout=480)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f"{kind}: " in done.stdout for kind in kinds)


def ended(monkeypatch, capfd, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["ownwords", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code, *capfd.readouterr()


GENERATE = ("generate", "--run", "new")
TRAIN = ("train", "--data", "x", "--out", "new")
SCORE = ("score", "x", "--student", "world", "--out", "new")
WRONG_NUMBERS = {
    GENERATE: {
        "attempts": "0 1.5 -1 1001 inf nan x 1e400 1_000_000 true", "until-correct": "0 1.5", "max-attempts": "0 2.5",
        "max-tokens": "1 0 7.5 1e12 nan", "max-fallback": "0 1.5 -1 nan inf", "repetition-window": "-1 0.5",
        "limit": "0 -1 1.5", "seed": "-1 0.5 4294967296", "batch": "0 -1 1.5 all", "draft-length": "65 -1 1.5 most",
        "check-workers": "0 1.5 2000", "check-deadline": "0 -1 nan inf 2e9 0.01", "proposals": "0 0.5 -1 nan 1.5",
        "teacher-sampling.temperature": "-1 nan inf", "teacher-sampling.top-p": "0 1.1 nan",
        "student-sampling.top-k": "-1 2.5", "soft-targets": "0 -1 1001 1.5 all",
    },
    ("eval", "--run", "new"): {
        "samples": "0 1.5", "max-tokens": "1 1.5", "seed": "-1", "check-deadline": "inf 0", "limit": "0", "batch": "0",
    },
    TRAIN: {
        "learning-rate": "0 -1 nan inf", "warmup": "1 -0.1 nan", "weight-decay": "-1 nan inf", "max-grad-norm": "0 nan",
        "batch": "0 1.5", "micro-batch": "0 1.5", "epochs": "0 -1 nan inf", "steps": "0 1.5",
        "max-fallback": "-1 2", "max-length": "0",
        "cap-problems": "0 1.5", "cap-tokens": "0", "seed": "-1 1.5", "save-every": "0 1.5", "keep": "-1 1.5",
        "prefix.tokens": "0 1.5", "prefix.whole": "1 -1", "mask.below": "0 1 nan", "mask.rise": "-1 1",
        "lora.rank": "0 1.5", "lora.alpha": "0 nan", "lora.dropout": "1 -1",
    },
    SCORE: {"sample": "0 1.5", "seed": "-1", "local-steps": "-1 1.5", "batch-tokens": "0 0.5", "workers": "0 1.5 9999"},
    ("compare-teachers", "x", "y", "--student", "world", "--out", "new"): {"sample": "0 1.5", "workers": "0"},
    ("select", "x", "--out", "new"): {"per-problem": "-1 1.5", "share": "0 1.5 nan", "count": "0 1.5", "seed": "-1"},
    ("analyse", "x"): {"threshold": "0 1 nan -1", "pairs": "-1 1.5"},
    ("report", "x"): {"budget": "0 nan inf"},
    ("show", "x"): {"attempt": "-1 1.5", "width": "0 1.5 -3"},
    ("export", "x"): {"max-fallback": "-1 3 nan", "seed": "-1 1.5"},
    ("demo",): {"problems": "0 1.5", "attempts": "0 1.5", "seed": "-1"},
    ("pilot", "--run", "new"): {"size": "1 0 2.5", "attempts": "1.5"},
    ("check-references", "x"): {"limit": "0 1.5 -1", "check-workers": "0 1.5"},
    ("world", "train", "student", "--out", "new"): {"tokens": "0 1.5"},
    ("world", "measure"): {"problems": "0 1.5", "seed": "-1"},
}  # fmt: skip


def test_a_number_out_of_its_range_is_one_line_that_names_it(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for words, options in WRONG_NUMBERS.items():
        for option, values in options.items():
            for value in values.split():
                code, _, error = ended(monkeypatch, capfd, *words, f"--{option}", value)
                assert code == 2 and error.startswith(f"error: --{option} is "), (words, option, value, error)
                assert ", expected " in error and len(error.splitlines()) == 1, error
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*GENERATE, "--until-correct", "5", "--max-attempts", "2"), "which --max-attempts 2 leaves no room for"),
        ((*GENERATE, "--teacher", "none"), "expected --gate never"),
        (("eval", "--run", "new", "--greedy", "--samples", "3"), "expected 1"),
        ((*TRAIN, "--prefix.template", "no place"), "expected {question} in it"),
        ((*TRAIN, "--betas", "0.9", "1"), "two numbers from 0 to below 1"),
        (("export", "x", "--salvage"), "name another directory to write to with --out"),
        (("export", "x", "--salvage", "--out", "x/../x/exports"), "name another directory to write to with --out"),
        (("report", "[bold]x[/bold]"), "[bold]x[/bold] does not exist"),
        (("show", "[/x]"), "[/x] does not exist"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, words, message, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    code, _, error = ended(monkeypatch, capfd, *words)
    assert code == 2 and message in error and len(error.splitlines()) == 1 and [*tmp_path.iterdir()] == []


def test_every_number_of_every_command_declares_its_range():
    for words in COMMANDS:
        command = app
        for word in words:
            command = command[word]
        for argument in command.assemble_argument_collection():
            kinds = {argument.hint, *get_args(argument.hint)}
            if kinds & {int, float} and get_origin(argument.hint) is not tuple:
                assert isinstance(argument.parameter.converter, Reader), (words, argument.name)


def test_ranges_hold_for_those_who_use_no_command_line():
    from dataclasses import dataclass

    @dataclass
    class Inner:
        share: Annotated[float | None, real("a share", 0, 1, above=True)] = None

    @dataclass
    class Outer:
        inner: Inner
        tries: Annotated[int, whole(1)] = 1

    Inner.__module__ = Outer.__module__ = __name__
    globals().update(Inner=Inner)
    check(Outer(Inner(0.5)))
    for wrong, message in (
        (Outer(Inner(0.0)), "inner.share is 0.0, expected a share above 0, up to 1"),
        (Outer(Inner(float("nan"))), "inner.share is nan"),
        (Outer(Inner(), 1.5), "tries is 1.5, expected a whole number from 1 up"),
        (Outer(Inner(), True), "tries is True"),
        (Outer(Inner(), "2"), "tries is '2'"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            check(wrong)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"budget: {attempts: 1.5}", "attempts is 1.5, expected a whole number"),
        (b"budget: {attempts: true}", "attempts is 'True'"),
        (b"rules:\n  teacher_sampling:\n    top_p: 2", "teacher_sampling.top_p is 2.0"),
        (b"attempts: 1\nseed: 2\nattempts: 3", "line 3: 'attempts' stands in line 1 already"),
        (b"a: 1\nteacher_sampling: {top_p: 1, top_p: 0.5}", "line 2: 'top_p' stands in line 2 already"),
        (b"attemts: 2", "Did you mean --attempts?"),
        (b"!!python/object/apply:os.system ['true']", "could not determine a constructor for the tag"),
        (b"- attempts", "a YAML list"),
        (b"3", "a YAML int"),
        (b"1: 2", "the key 1 is no name of an option"),
        (b'system: "a\\0b"', "holds a NUL character"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a: [1, {b: ", "while parsing"),
        (b"[" * 3000, "--config c.yaml: "),
        (None, "no such file"),
    ],
)
def test_a_file_of_options_that_is_wrong(tmp_path, content, message, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("c.yaml").write_bytes(content)
    code, _, error = ended(monkeypatch, capfd, *GENERATE, "--config", "c.yaml")
    assert code == 2 and message in error and len(error.splitlines()) == 1, error


def test_an_interruption_is_one_line(monkeypatch, capfd):
    def interrupt(run: Path) -> Store:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "read", interrupt)
    assert ended(monkeypatch, capfd, "show", "x") == (130, "", "interrupted\n")


def test_a_bug_stays_a_traceback(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ownwords", "show", "x"])
    monkeypatch.setattr(Store, "read", lambda run: {}["a bug"])
    with pytest.raises(KeyError, match="a bug"):
        main()


def columns_of(shown: str) -> set[str]:
    """What stands in the panels from any column on, read downwards and without its spaces: a description is in one of
    them, if it is whole."""
    panels = re.findall(r"(?s)╭.*?╰", shown)
    rows = [[line.strip("│") for line in panel.splitlines() if line.startswith("│")] for panel in panels]
    return {re.sub(r"\s", "", "".join(row[at:] for row in panel)) for panel in rows for at in range(60)}


@pytest.mark.parametrize("columns", ["60", "200"])
def test_help_is_whole_at_any_width(columns, monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", columns)
    for words in COMMANDS:
        code, shown, _ = ended(monkeypatch, capfd, *words, "--help")
        assert code == 0 and "Usage: " in shown and "…" not in shown
        assert max(map(cell_len, shown.splitlines())) <= int(columns)
        command, texts = app, columns_of(shown)
        for word in words:
            command = command[word]
        arguments = command.assemble_argument_collection(parse_docstring=True).filter_by(show=True, parse=True)
        assert (len(arguments) > 0) == (words != ("doctor",))
        for argument in arguments:
            told = re.sub(r"\s", "", argument.parameter.help or "")
            assert len(told) > 10, f"{words} {argument.name} says nothing"
            assert any(told in text for text in texts), (words, argument.name)
    for words in ((), ("world",)):
        _, shown, _ = ended(monkeypatch, capfd, *words, "--help")
        for name in [one for one in (app[words[0]] if words else app) if not one.startswith("-")]:
            assert re.search(rf"│ {name} +\S+ \S+", shown), name
    assert "<think>" in ended(monkeypatch, capfd, "generate", "--help")[1]


def shell(line: str, cwd: Path) -> subprocess.CompletedProcess:
    ownwords = f"'{sys.executable}' -m ownwords"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line.replace("OWNWORDS", ownwords)], cwd=cwd, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip


def test_whoever_stops_reading_ends_the_printing_and_not_the_work(tmp_path):
    small = "--run run --problems world:size=3,seed=1 --attempts 1 --max-tokens 40"
    done = shell(f"OWNWORDS generate {small} | head -1", tmp_path)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith("plan")
    with Store.read(tmp_path / "run") as store:
        assert len(store) == 3
    for line, code in (
        ("OWNWORDS --help | true", 0), ("OWNWORDS --help >&-", 0), ("OWNWORDS --help > /dev/full", 2),
        ("OWNWORDS show nothing 2>&-", 2), ("LC_ALL=C PYTHONIOENCODING=ascii TERM=dumb COLUMNS=3 OWNWORDS --help", 0),
        ("env -u HOME NO_COLOR=1 OWNWORDS --help", 0), ("OWNWORDS show nothing >&- 2>&-", 2),
    ):  # fmt: skip
        done = shell(line, tmp_path)
        assert done.returncode == code and "Traceback" not in done.stderr + done.stdout, (line, done.stderr)
    assert "no space left on device" in shell("OWNWORDS --help > /dev/full", tmp_path).stderr


def test_what_can_be_read_of_a_damaged_run_is_saved(tmp_path):
    from test_store import content, filled

    run = filled(tmp_path / "run", 40)
    with Store.read(run) as store:
        whole_run = {(trace.problem_id, trace.attempt): content(trace) for trace in store.traces()}
        config = store.config
    path = run / "traces.sqlite"
    intact = path.read_bytes()
    files = sorted(run.iterdir())
    rng = random.Random(0)
    saved = []
    for n in range(12):
        data = bytearray(intact)
        for _ in range(n):
            page = rng.randrange(len(data) // 4096)
            data[4096 * page : 4096 * (page + 1)] = rng.choice([bytes(4096), rng.randbytes(4096)])
        path.write_bytes(data)
        try:
            found = salvage(run, tmp_path / f"saved{n}")
        except ValueError as error:  # the table of problems is one page
            assert "no attempt that can still be read" in str(error) or "lost its configuration" in str(error)
            continue
        with Store.read(tmp_path / f"saved{n}") as store:
            assert store.config == config
            for trace in store.traces():
                assert content(trace) == whole_run[trace.problem_id, trace.attempt]
            assert len(store) == found.attempts and found.attempts + found.lost <= 40
        saved.append(found.attempts)
        assert path.read_bytes() == data and sorted(run.iterdir()) == files
    assert saved[0] == 40 and len(saved) > 5 and 0 < saved[1] <= 40


def test_rows_that_a_torn_index_hides_are_missed(tmp_path):
    """A leaf that says that it holds one row fewer: SQLite believes it."""
    from test_store import filled

    path = filled(tmp_path / "run", 40) / "traces.sqlite"
    data = bytearray(path.read_bytes())
    leaves = [at for at in range(4096, len(data), 4096) if data[at] in (0x0A, 0x0D) and data[at + 4] > 1]
    for at in leaves:
        fewer = bytearray(data)
        fewer[at + 4] -= 1
        path.write_bytes(fewer)
        with pytest.raises(ValueError, match="is damaged"), Store.read(tmp_path / "run") as store:
            assert len([*store.traces()]) == 40, "read without a word"
            assert [*store.problems()]
            pytest.fail("nothing was missed")
    assert len(leaves) > 3


def test_nothing_of_the_users_is_replaced_and_nothing_is_left(tmp_path):
    (tmp_path / "report.html.tmp").write_text("mine")
    (tmp_path / "report.html").write_text("old")
    (tmp_path / "link").symlink_to("report.html")
    (tmp_path / "dangling").symlink_to("nothing")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(RuntimeError), replacing([tmp_path / "report.html", tmp_path / "a/b"]) as [file, _]:
        file.write(b"half")
        raise RuntimeError
    with pytest.raises(RuntimeError), new_folder(tmp_path / "x/y") as made:
        (made / "half").write_text("")
        raise RuntimeError
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "report.html").read_text() == "old" and (tmp_path / "report.html.tmp").read_text() == "mine"
    with replacing([tmp_path / "link"]) as [file]:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "report.html").read_text() == "new"
    for name in ("report.html", "dangling", "link"):
        with pytest.raises(ValueError, match="exists already: name another out, or remove it"):
            check_output(tmp_path / name)
    with pytest.raises(ValueError, match="is a file, expected a directory to write to"):
        check_output(tmp_path / "report.html/x")


def test_overwriting_a_training_spares_what_is_not_its_own(tmp_path):
    from ownwords.training.fine_tune import check_folder

    record = {"ended": True, "files": ["model.safetensors"], "decides": {"seed": 0}}
    (tmp_path / "training.json").write_text(json.dumps(record))
    (tmp_path / "model.safetensors").write_text("")
    (tmp_path / "checkpoints/checkpoint-3").mkdir(parents=True)
    check_folder(tmp_path, {"seed": 1}, overwrite=True)
    for name in ("notes.txt", "checkpoints/checkpoint-best"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(ValueError, match=f"{name} is not of the training in .*: move it away"):
            check_folder(tmp_path, {"seed": 1}, overwrite=True)
        (tmp_path / name).unlink()
