"""The Python interface: its names, what it takes, and what it gives."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import datasets
import pandas
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

import ownwords
from ownwords.api.inputs import to_folder, to_problems
from ownwords.api.notebook import STUDENT_STYLE
from ownwords.models.in_memory import weights_fingerprint
from ownwords.models.load import model_path
from ownwords.problems.sources import load_problems
from ownwords.records.problem import Problem

SIGNATURES = {
    "compare": "before after",
    "evaluate": "model benchmark *run *progress **options",
    "generate": "teacher student problems gate *run *progress **options",
    "judge": "reference output kind *options *question *answer_from *closing *deadline",
    "score": "traces student *out *progress **options",
    "select": "scores *out *overwrite **options",
    "train": "data student *out *progress **options",
}
RESULTS = {
    "Comparison": "arrow differences found p_value table",
    "Evaluation": "arrow path record run scores table",
    "Run": "arrow config decode path problems student summary table tokenizer traces",
    "Scores": "arrow config path stored summary table",
    "Selected": "arrow path summary table",
    "Trained": "arrow losses path record table",
}
OTHERS = {"Judged", "Problem", "RunTrace", "rsd"}
ROWS = [{"question": p.question, "answer": p.answer} for p in load_problems("world:size=3,seed=0")]


def test_public_names():
    assert set(ownwords.__all__) == SIGNATURES.keys() | RESULTS.keys() | OTHERS
    assert all(getattr(ownwords, name) is not None for name in ownwords.__all__)
    assert set(ownwords.rsd.__all__) == {
        "Gate", "Mixture", "Rules", "Sampling", "Step", "attempt_noise", "decide", "mix", "parse_gate", "raw_logprobs",
        "shape",
    }  # fmt: skip
    assert all(getattr(ownwords.rsd, name) is not None for name in ownwords.rsd.__all__)


@pytest.mark.parametrize("name", SIGNATURES)
def test_public_signatures(name):
    mark = {"KEYWORD_ONLY": "*", "VAR_KEYWORD": "**", "POSITIONAL_OR_KEYWORD": ""}
    parameters = inspect.signature(getattr(ownwords, name)).parameters.values()
    assert " ".join(mark[p.kind.name] + p.name for p in parameters) == SIGNATURES[name]


def test_public_attributes_of_results(run, tmp_path):
    for name, attributes in RESULTS.items():
        kind = getattr(ownwords, name)
        methods = {one for one in vars(kind) if not one.startswith("_")}
        assert methods <= set(attributes.split()), name
    assert {one for one in dir(run) if not one.startswith("_")} == set(RESULTS["Run"].split())


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys; import ownwords; "
        "heavy = {'torch', 'transformers', 'numpy', 'pyarrow', 'pandas'} & sys.modules.keys(); "
        "print(sorted(heavy), len([name for name in sys.modules if name.startswith('ownwords')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "[] 1"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A teacher by name, a student in memory, problems of a data set."""
    folder = model_path("world", "student")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")  # as a folder is read on a CPU
    student = model, AutoTokenizer.from_pretrained(folder)
    path = tmp_path_factory.mktemp("api") / "run"
    return ownwords.generate("world", student, datasets.Dataset.from_list(ROWS), run=path, attempts=2, max_tokens=200)


def test_a_run_is_a_folder_of_traces_that_show_themselves(run):
    assert len(run) == 6 and run.summary().attempts == 6 and os.fspath(run) == str(run.path)
    assert run.config["gate"] == "threshold:0.01" and run.config["problems"] == "Dataset"
    traces = list(run.traces())
    assert {trace.problem.question for trace in traces} == {row["question"] for row in ROWS}
    assert repr(traces[0]).startswith(f"<trace of problem {traces[0].problem_id}, attempt 0: ")
    assert any(STUDENT_STYLE in trace._repr_html_().split("<small>")[0] for trace in traces)
    assert "6 attempts at 3 problems" in repr(run) and "mean student surprisal" in run._repr_html_()
    again = ownwords.Run(run.path)  # the student's tokenizer is found by the name that the record has
    assert [one._repr_html_() for one in again.traces()] == [one._repr_html_() for one in traces]


@pytest.mark.parametrize("progress", [None, True])
def test_calls_are_quiet_unless_asked(progress, tmp_path, capfd):
    ownwords.evaluate("world", ROWS[:1], samples=1, max_tokens=40, run=tmp_path / "run", progress=progress)
    out, err = capfd.readouterr()
    assert out == "" and (("evaluate: 100%" in err and "1/1" in err) if progress else err == "")


def test_the_students_colour_is_the_reports():
    css = (Path(ownwords.__file__).parent / "reports" / "page" / "page.css").read_text()
    assert f"--student: {STUDENT_STYLE[11:18]};" in css


def test_a_run_as_tables(run):
    frame = run.table()
    assert isinstance(frame, pandas.DataFrame) and list(frame.columns) == run.arrow().column_names
    assert frame["reference"].isin([row["answer"] for row in ROWS]).all()
    assert frame["tokens"].tolist() == [len(trace.token_ids) for trace in run.traces()]


def test_models_in_memory_write_what_their_folders_write(run, tmp_path):
    named = ownwords.generate("world", "world", ROWS, run=tmp_path / "named", attempts=2, max_tokens=200)
    assert [t.token_ids.tolist() for t in named.traces()] == [t.token_ids.tolist() for t in run.traces()]


def test_a_run_goes_on_and_not_with_another_model(run):
    student = run.student
    with pytest.raises(ValueError, match="another configuration.*problems: Dataset -> list"):
        ownwords.generate("world", student, ROWS, run=run.path, attempts=2, max_tokens=200)
    rows = datasets.Dataset.from_list(ROWS)
    made = {(t.problem_id, t.attempt): t.seconds for t in run.traces()}
    again = ownwords.generate("world", student, rows, run=run.path, attempts=3, max_tokens=200)
    seconds = {(t.problem_id, t.attempt): t.seconds for t in again.traces()}
    assert len(again) == 9 and made.items() <= seconds.items()
    with pytest.raises(ValueError, match="another configuration.*student"):
        ownwords.generate("world", "world", rows, run=run.path, attempts=3, max_tokens=200)


def test_fingerprints_of_weights_in_memory():
    folder = model_path("world", "student")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    before = weights_fingerprint(model, tokenizer)
    assert before == weights_fingerprint(AutoModelForCausalLM.from_pretrained(folder), tokenizer)
    model.get_input_embeddings().weight.data[3, 5] += 1e-3
    assert before != weights_fingerprint(model, tokenizer)


def test_hostile_text_is_shown_and_not_run(tmp_path):
    """In the question, in the answer, and in what a model writes."""
    attack = "<script>alert(1)</script>"
    run = ownwords.generate(
        "world", "world", [{"question": attack, "answer": attack}], run=tmp_path / "run", attempts=1, opening=attack,
        max_tokens=40, teacher_sampling={"temperature": 0.0},
    )  # fmt: skip
    for page in (run._repr_html_(), next(run.traces())._repr_html_()):
        assert "<script" not in page and page.count("&lt;script&gt;") >= 3


@pytest.mark.parametrize(
    "rows", [ROWS, tuple(ROWS), iter(ROWS), datasets.Dataset.from_list(ROWS), pandas.DataFrame(ROWS)]
)
def test_problems_in_memory(rows):
    _, problems = to_problems(rows, "problems", limit=2)
    assert [(p.question, p.answer) for p in problems] == [(row["question"], row["answer"]) for row in ROWS[:2]]


def test_problems_as_records_and_as_specs(tmp_path):
    known = [Problem("What is 1 + 1?", "2")]
    assert to_problems(known, "problems") == ("list", known)
    assert to_problems(tmp_path / "a.jsonl", "problems") == (str(tmp_path / "a.jsonl"), None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ownwords.generate("world", "world", [{"question": "1 + 1?"}]), "problems.0.: .*answer"),
        (lambda: ownwords.generate("world", "world", ["What is 1 + 1?"]), "problems.0. is str, expected a dictionary"),
        (lambda: ownwords.generate("world", "world", ROWS, atempts=2), "atempts is no option, did you mean attempts"),
        (lambda: ownwords.generate("world", "world", ROWS, attempts=0), "attempts is 0, expected"),
        (lambda: ownwords.generate("world", "world", ROWS, preset="mine"), "preset is 'mine', expected default, "),
        (lambda: ownwords.generate("world", "world", ROWS, gate="threshhold:1"), "threshhold"),
        (lambda: ownwords.generate(None, "world", ROWS), "never"),
        (lambda: ownwords.generate("world", 7, ROWS), "student is int, expected a folder"),
        (lambda: ownwords.evaluate("world", ROWS, sample=2), "sample is no option, did you mean samples"),
        (lambda: ownwords.score("nowhere", "world", samples=2), "samples is no option"),
        (lambda: ownwords.score([], "world"), "traces is empty"),
        (lambda: ownwords.select("nowhere", best="rsr"), "best is no option"),
        (lambda: ownwords.train("nowhere", ("a", "b")), "student is tuple"),
        (lambda: ownwords.Run("nowhere"), "nowhere does not exist"),
        (lambda: ownwords.judge("18", "18", answer_from="all"), "answer_from is 'all'"),
        (lambda: ownwords.judge(["18", "19"], ["18"]), "2 references and 1 outputs"),
    ],
)
def test_mistakes_are_one_line_that_names_the_parameter(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value) and not list(tmp_path.iterdir())


def test_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(to_folder(None, "score")) == "runs/score-1"
    (tmp_path / "runs" / "score-1").mkdir(parents=True)
    assert str(to_folder(None, "score")) == "runs/score-2" and str(to_folder("x", "score")) == "x"


def test_an_interrupted_call_keeps_what_has_ended(tmp_path):
    """Ctrl-C in the middle: KeyboardInterrupt, attempts are kept, and the same call goes on."""
    path = tmp_path / "run"

    def press() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if len(ownwords.Run(path)):
                    break
            except ValueError:
                pass
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    def call(attempts: int) -> ownwords.Run:
        return ownwords.generate("world", "world", "world:size=4", run=path, attempts=attempts, max_tokens=200, batch=2)

    ended = threading.Thread(target=press)
    ended.start()
    with pytest.raises(KeyboardInterrupt, match="same call"):
        call(500)
    ended.join()
    kept = len(ownwords.Run(path))
    assert 0 < kept < 2000
    most = max(trace.attempt for trace in ownwords.Run(path).traces()) + 1
    assert len(call(most)) >= kept


def test_judging_lists():
    said = ownwords.judge("18", ["So she has 18 left.", "It is 17.", "no idea"])
    assert [one.verdict for one in said] == ["correct", "incorrect", "unparsable"]
    assert ownwords.judge(["1", "2"], ["1", "1"], deadline=None)[1].verdict == "incorrect"


def test_from_traces_to_a_student(run, tmp_path):
    """Traces in memory are scored, some are chosen, a student is trained and evaluated, and all show themselves."""
    correct = [trace for trace in run.traces() if trace.verdict == "correct"]
    scores = ownwords.score(correct, "world", out=tmp_path / "scores")
    assert len(scores.table()) == len(correct) and set(scores.table()["verdict"]) == {"correct"}
    in_memory = ownwords.score(run, run.student, out=tmp_path / "in memory")
    by_name = ownwords.score(run, "world", out=tmp_path / "by name")
    assert in_memory.summary["all"] == by_name.summary["all"]
    assert in_memory.config["student_weights"] != by_name.config["student_weights"]
    with pytest.raises(ValueError, match="workers is 2 with a student in memory"):
        ownwords.score(run, run.student, out=tmp_path / "two", workers=2)
    with pytest.raises(ValueError, match="holds other traces"):
        ownwords.score(correct[:1], "world", out=tmp_path / "scores")
    chosen = ownwords.select(scores, per_problem=1, out=tmp_path / "chosen")
    assert chosen.summary["chosen"] == chosen.table()["chosen"].sum() == len({t.problem_id for t in correct})
    trained = ownwords.train(
        chosen, "world", out=tmp_path / "student", preset="world", epochs=2, batch=1, micro_batch=1
    )
    assert len(trained.losses) == trained.record["steps"] == len(trained.table())
    before = ownwords.evaluate("world", ROWS, samples=2, max_tokens=200, run=tmp_path / "before")
    after = ownwords.evaluate(trained, ROWS, samples=2, max_tokens=200, run=tmp_path / "after")
    score = before.scores["avg@2"]
    assert score.low <= score.value <= score.high and len(before.run) == 6
    compared = ownwords.compare(before, after)
    difference = after.scores["avg@2"].value - score.value
    assert compared.differences["avg@2"].value == pytest.approx(difference)
    assert before.table()["score"].tolist() == compared.table()["score"].tolist()
    for one in (scores, chosen, trained, before, compared):
        assert repr(one).startswith("<") and one._repr_html_().startswith("<table>")
