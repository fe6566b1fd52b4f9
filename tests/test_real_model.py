"""A real pretrained model goes the whole way: SmolLM2-135M-Instruct from its GGUF file, as its own privileged teacher
and as student under a tuned copy of itself. Traces are made, scored, selected, trained on, evaluated and reported, in
float32 and in bfloat16.

The file is fetched once per machine (`benchmarks/real_models.py`); where it cannot be had, this is skipped.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import real_models
from conftest import make
from test_engine import rescored
from transformers import AutoModelForCausalLM

from ownwords.cli.app import app
from ownwords.generation.prepare import Prepared
from ownwords.models.gguf import converted
from ownwords.models.load import load
from ownwords.models.vocabulary import Vocabulary
from ownwords.records.trace import Trace
from ownwords.rsd.columns import TEACHER
from ownwords.suitability.stored import Scores
from ownwords.traces.store import Store

PROBLEMS = (
    ("What is 3 + 4?", "7", "3 + 4 = 7. The answer is \\boxed{7}."),
    ("Tom has 5 apples and buys 6 more. How many apples has he?", "11", "5 + 6 = 11, so he has \\boxed{11}."),
    ("A pen costs 2 dollars. How many dollars do 4 pens cost?", "8", "4 * 2 = 8. They cost \\boxed{8} dollars."),
)
DTYPES = ("float32", "bfloat16")
SETTINGS = dict(attempts=1, max_tokens=40, repetition_window=0, max_fallback=1.0)
END = 2
"""<|im_end|>"""


def ownwords(*words: object) -> None:
    """A command, in this process; a user's mistake is raised."""
    assert not app([str(word) for word in words], exit_on_error=False, print_error=False)


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("smollm2")
    rows = [dict(zip(("question", "answer", "solution"), problem)) for problem in PROBLEMS]
    (folder / "problems.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture(scope="module")
def smollm2(here) -> str:
    """The file, whose copy is made anew in this session."""
    try:
        path = real_models.fetch("smollm2")
    except real_models.OutOfReach as why:
        pytest.skip(f"SmolLM2-135M-Instruct cannot be had: {why}")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OWNWORDS_CACHE", str(here / "cache"))
        yield str(path)


@pytest.fixture(scope="module", params=DTYPES)
def whole(request, here, smollm2):
    """From privileged traces to a trained student, by the command line."""
    dtype, run = request.param, here / request.param
    both = ("--teacher-dtype", dtype, "--student-dtype", dtype)
    ownwords(
        "generate", "--run", run / "traces", "--teacher", smollm2, "--student", smollm2, "--problems",
        here / "problems.jsonl", "--privileged", "solution", "--attempts", 1, "--max-tokens", 40,
        "--repetition-window", 0, "--max-fallback", 1, *both,
    )  # fmt: skip
    ownwords("score", run / "traces", "--student", smollm2, "--out", run / "scores", "--dtype", dtype)
    ownwords("select", run / "scores", "--out", run / "chosen")
    ownwords(
        "train", "--data", run / "chosen/sft.jsonl", "--student", smollm2, "--out", run / "tuned", "--lora.rank", 8,
        "--batch", 3, "--epochs", 4, "--learning-rate", "1e-3", "--precision", {"float32": "fp32"}.get(dtype, "bf16"),
    )  # fmt: skip
    ownwords(
        "eval", "--run", run / "eval", "--benchmark", here / "problems.jsonl", "--model", run / "tuned", "--greedy",
        "--max-tokens", 24, "--model-dtype", dtype,
    )  # fmt: skip
    return SimpleNamespace(run=run, dtype=dtype)


@pytest.fixture(scope="module")
def under_tuned(whole, here, smollm2) -> tuple[Prepared, list[Trace]]:
    """The student under the copy of itself that was tuned."""
    settings = dict(teacher=str(whole.run / "tuned"), student=smollm2, problems=str(here / "problems.jsonl"))
    types = dict(teacher_dtype=whole.dtype, student_dtype=whole.dtype)
    return make(whole.run / "under-tuned", **settings, **types, **SETTINGS)


def test_what_was_made_scored_chosen_trained_and_evaluated(whole, here, smollm2):
    run = whole.run
    with Store.read(run / "traces") as store:
        traces = list(store.traces())
        assert store.config["student_dtype"] == store.config["teacher_dtype"] == whole.dtype
        assert store.config["student_weights"] == f"gguf:{real_models.MODELS['smollm2'].sha256}:1"
    assert [trace.privileged for trace in traces] == ["solution"] * 3 and len(traces) == 3
    for trace in traces:
        assert TEACHER in trace.source and not trace.teacher_logprob.max() > 0
        assert (trace.token_ids[-1] == END) == (trace.finish_reason == "stop")
        assert "<|im_" not in trace.answer_text
    scores = Scores.read(run / "scores")
    stored = {trace.problem_id: trace for trace in traces}
    for row in scores.traces():
        trace = stored[row["problem_id"]]
        noise = 1e-3 if whole.dtype == "float32" else 0.05
        assert abs(row["mean_surprisal"] + trace.student_logprob.mean(dtype=np.float64)) < noise
    assert len((run / "chosen/sft.jsonl").read_text().splitlines()) == 3
    losses = [json.loads(line) for line in (run / "tuned/metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in losses if "loss" in row]
    assert len(losses) == 4 and losses[-1] < losses[0]
    assert json.loads((run / "tuned/adapter_config.json").read_text())["base_model_name_or_path"] == smollm2
    assert json.loads((run / "eval/scores.json").read_text())
    ownwords("report", run / "traces", run / "eval", "--out", run / "report.html")
    assert "apples" in (run / "report.html").read_text()


def test_the_student_writes_under_a_tuned_copy_of_itself(under_tuned):
    prepared, traces = under_tuned
    assert len(traces) == 3
    assert any((trace.teacher_logprob != trace.student_logprob).any() for trace in traces)
    assert prepared.engine.teacher.fingerprint != prepared.engine.student.fingerprint
    assert Vocabulary.of(prepared.engine.student.model, prepared.engine.student.tokenizer).ends == (0, END)


def test_stored_logprobs_equal_a_plain_re_scoring(whole, under_tuned, smollm2):
    """By a plain pass of `transformers`. In float32 within 5e-4 nats. In bfloat16 within what rounding explains: the
    mean difference is at most three times that of a plain pass in bfloat16 from one of the same weights in float32."""
    prepared, traces = under_tuned
    plain = SimpleNamespace(model=AutoModelForCausalLM.from_pretrained(converted(smollm2, "it"), dtype=whole.dtype))
    exact = SimpleNamespace(model=AutoModelForCausalLM.from_pretrained(converted(smollm2, "it"), dtype="float32"))
    teacher = load(prepared.config.teacher, "teacher", "cpu", whole.dtype)
    errors, rounding, planted = [], [], []
    for trace in traces:
        theirs, ours = prepared.prompts[trace.problem_id]
        again = rescored(plain, ours, trace)[0]
        errors += [trace.student_logprob - again, trace.teacher_logprob - rescored(teacher, theirs, trace)[0]]
        rounding.append(again - rescored(exact, ours, trace)[0])
        planted.append(np.roll(trace.student_logprob, 1) - again)
    error, noise, wrong = (np.abs(np.concatenate(found)) for found in (errors, rounding, planted))
    print(f"{whole.dtype}: mean {error.mean():.2g}, largest {error.max():.2g}; rounding {noise.mean():.2g}")
    assert error.max() < 5e-4 if whole.dtype == "float32" else error.mean() < 3 * noise.mean()
    assert wrong.mean() > max(0.1, 6 * noise.mean()), "an off-by-one in the record goes unnoticed"


def test_drafts_change_no_token_in_float32(whole, under_tuned, here, smollm2):
    if whole.dtype != "float32":
        pytest.skip("in 16 bits rounding depends on how many tokens are read at once")
    settings = dict(teacher=str(whole.run / "tuned"), student=smollm2, problems=str(here / "problems.jsonl"))
    types = dict(teacher_dtype=whole.dtype, student_dtype=whole.dtype)
    _, plain = make(whole.run / "plain", **settings, **types, **SETTINGS, draft_length=0)
    drafted = under_tuned[1]
    assert [t.token_ids.tolist() for t in plain] == [t.token_ids.tolist() for t in drafted]
    assert [t.source.tolist() for t in plain] == [t.source.tolist() for t in drafted]
