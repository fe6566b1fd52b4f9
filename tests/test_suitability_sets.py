"""Trace sets in every shape, and what is wrong with a row."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make
from test_vocabulary import byte_level
from transformers import AutoTokenizer

from ownwords.chat.prompts import make_prompts
from ownwords.chat.settings import THINK
from ownwords.models.load import model_path
from ownwords.records.problem import Problem
from ownwords.records.tokens import Tokens
from ownwords.suitability.encode import Encoder, why_not
from ownwords.suitability.sets import Member, members
from ownwords.suitability.shapes import IdTrace, TextTrace
from ownwords.traces.store import Store

Q, ANSWER = "What is 1 + 1?", "It is 2."
ID = Problem(Q, "2").id
ASK = [{"role": "user", "content": Q}]


def encoded(tokenizer, trace, **conventions) -> Tokens:
    return Encoder(tokenizer, **conventions)(trace)


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(model_path("world", "student"))


def read(tmp_path: Path, rows: list[dict], kind: str = "jsonl") -> list[Member]:
    path = tmp_path / f"set.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return list(members(str(path)))


def text(answer: str = ANSWER, thinking: str | None = None, source: str = "set", **other) -> TextTrace:
    return TextTrace(ASK, thinking, answer, source, **other)


SHAPES = {
    "messages": ([{"messages": [*ASK, {"role": "assistant", "content": ANSWER}]}], [text()]),
    "messages with the thinking apart": (
        [{"messages": [*ASK, {"role": "assistant", "content": ANSWER, "reasoning_content": "1, 2"}], "model": "r1"}],
        [text(thinking="1, 2", source="r1")],
    ),
    "conversations": (
        [{"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": ANSWER}], "system": ""}],
        [text()],
    ),
    "conversations with a system prompt": (
        [{"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": ANSWER}], "system": "Be brief."}],
        [TextTrace([{"role": "system", "content": "Be brief."}, *ASK], None, ANSWER, "set")],
    ),
    "prompt + completion": ([{"prompt": Q, "completion": ANSWER}], [TextTrace(Q, None, ANSWER, "set")]),
    "prompt + completion as chats": (
        [{"prompt": ASK, "completion": [{"role": "assistant", "content": ANSWER}]}],
        [text()],
    ),
    "problem + thinking + solution": (
        [{"problem": Q, "thinking": "1, 2", "solution": ANSWER, "model": "R1", "source": "acv", "answer": "2"}],
        [text(thinking="1, 2", source="R1")],
    ),
    "s1K": (
        [{"solution": "reference", "question": Q, "thinking_trajectories": ["1, 2"], "attempt": ANSWER}],
        [text(thinking="1, 2")],
    ),
    "s1K-1.1, two writers": (
        [
            {
                "solution": "reference", "question": Q, "gemini_thinking_trajectory": "g", "gemini_attempt": "3",
                "deepseek_thinking_trajectory": "d", "deepseek_attempt": "2", "gemini_grade": "No",
                "deepseek_grade": "Yes",
            }
        ],
        [
            text("3", "g", "gemini", verdict="incorrect"),
            text("2", "d", "deepseek", verdict="correct"),
        ],
    ),
    "OpenThoughts metadata": (
        [{"problem": Q, "deepseek_reasoning": "d", "deepseek_solution": "2", "ground_truth_solution": "two"}],
        [text("2", "d", "deepseek")],
    ),
    "generations": (
        [
            {
                "problem": Q, "generations": ["<think>\n1", ANSWER], "correctness_math_verify": [False, True],
                "finish_reasons": ["length", "stop"], "source": "olympiads", "messages": [],
            }
        ],
        [
            text("<think>\n1", source="olympiads", verdict="incorrect", ended=False),
            text(source="olympiads", verdict="correct"),
        ],
    ),
    "one generation": ([{"problem": Q, "generation": ANSWER}], [text()]),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize(("rows", "expected"), SHAPES.values(), ids=SHAPES)
def test_every_shape_is_read(tmp_path, rows, expected, kind):
    found = read(tmp_path, rows + rows, kind)
    assert [member.trace for member in found] == expected + expected
    raw = isinstance(expected[0].prompt, str)
    assert {member.problem_id for member in found} == {Problem(Q, "2").id if not raw else ID}
    assert [member.attempt for member in found] == list(range(2 * len(expected)))


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_ids_are_read_as_they_are(tmp_path, kind):
    row = {"input_ids": [5, 6, 7, 8, 9], "labels": [-100, -100, 7, -100, 9], "problem_id": "p"}
    (member,) = read(tmp_path, [row], kind)
    assert isinstance(member.trace, IdTrace) and member.problem_id == "p"
    assert member.trace.tokens.prompt_ids.tolist() == [5, 6] and member.trace.tokens.token_ids.tolist() == [7, 8, 9]
    assert member.trace.tokens.free.tolist() == [True, False, True]


GOOD = {name: rows[0] for name, (rows, _) in SHAPES.items()}
WRONG = [
    ([{"text": "a"}], "line 1: no shape of a trace set fits, the fields are 'text': expected messages"),
    ([{}], "line 1: no shape of a trace set fits, the fields are none"),
    ([{"prompt": Q}], "line 1: no field 'completion'; the set has the shape prompt"),
    ([{"problem": Q, "thinking": "1"}], "line 1: no field 'solution'"),
    ([GOOD["messages"], GOOD["one generation"]], "line 2: no field 'messages'; the set has the shape messages"),
    ([GOOD["one generation"], GOOD["messages"]], "line 2: no field for the problem"),
    ([GOOD["generations"], {"problem": Q, "solution": ANSWER}], "line 2: no field 'generations'"),
    ([GOOD["s1K"], {**GOOD["s1K"], "attempt": None}], "line 2: the field 'attempt' is empty"),
    ([GOOD["s1K"], {**GOOD["s1K"], "question": 7}], "line 2: the field 'question' holds a int, expected text"),
    ([{"messages": []}], "line 1: the field 'messages' has no turns"),
    ([{"messages": "hi"}], "line 1: the field 'messages' holds a str, expected a list of turns"),
    ([{"messages": ASK}], "line 1: the field 'messages' ends with the turn of 'user'"),
    ([{"messages": [{"role": "assistant", "content": "x"}]}], "after 0 others"),
    ([{"messages": [*ASK, {"role": "assistant"}]}], r"line 1: no field 'messages\[1\].content' with text"),
    ([{"messages": [*ASK, "x"]}], r"'messages\[1\]' holds a str, expected a turn"),
    ([{"problem": Q, "generations": ["a", 2]}], "'generations' holds a int, expected texts"),
    (
        [{"problem": Q, "generations": ["a", "b"], "correctness_math_verify": [True]}],
        "'correctness_math_verify' does not have a value for each of the 2",
    ),
    ([{"input_ids": [1, 2]}], "line 1: no field 'labels'"),
    ([{"input_ids": [1, 2], "labels": [1]}], "'input_ids' has 2 entries and 'labels' has 1"),
    ([{"input_ids": [1, "b"], "labels": [1, 2]}], "'input_ids' holds other things than ids"),
    ([{"prompt": Q, "completion": ["a"]}], "'completion' holds a list, expected text"),
]


@pytest.mark.parametrize(("rows", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_a_wrong_or_mixed_shape_is_refused_with_row_and_field(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, rows)
    assert "set.jsonl, line" in str(error.value) and "\n" not in str(error.value)


def test_a_null_in_parquet_is_refused_with_its_row(tmp_path):
    rows = [{"prompt": Q, "completion": ANSWER}] * 300 + [{"prompt": Q, "completion": None}]
    with pytest.raises(ValueError, match="set.parquet, row 301: the field 'completion' is empty"):
        read(tmp_path, rows, "parquet")


def test_places_that_hold_no_set(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "broken.parquet").write_text("no")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "nothing").mkdir()
    for name, message in {
        "empty.jsonl": "holds no traces",
        "broken.parquet": "no readable Parquet file",
        "notes.txt": "is a file of another kind",
        "none": "does not exist: expected a run directory",
        "nothing": "holds no .jsonl or .parquet file and no traces.sqlite",
        ".": "holds broken.parquet, empty.jsonl: expected a run directory, files of one kind",
    }.items():
        with pytest.raises(ValueError, match=message):
            list(members(str(tmp_path / name)))


def test_folders_and_data_sets(tmp_path):
    """A folder of files, the same through `datasets`, and what `datasets` saved."""
    datasets = pytest.importorskip("datasets")
    rows = [{"prompt": f"{i}?", "completion": str(i)} for i in range(5)]
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, part in (("a.jsonl", rows[:3]), ("b.jsonl", rows[3:])):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in part))
    data = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    data.save_to_disk(str(tmp_path / "saved"))
    for spec in (str(folder), f"hf:{folder},split=train", str(tmp_path / "saved")):
        assert [member.trace.answer for member in members(spec)] == ["0", "1", "2", "3", "4"]
    for spec, message in (
        (f"hf:{folder},split=test", "has no split 'test'"),
        (f"hf:{folder},spilt=test", "has no setting 'spilt'"),
        ("hf:nobody/nothing", "cannot read the data set"),
    ):
        with pytest.raises(ValueError, match=message):
            list(members(spec))


def test_a_run_gives_its_ids_and_as_text_the_same_ids_again(tmp_path, tokenizer):
    """Not always: what a model writes need not be what a tokenizer makes of its text; most of the student's is."""
    _, traces = make(
        tmp_path / "run", problems="world:size=8,seed=4", teacher=model_path("world", "student"), gate="always",
        attempts=1, max_tokens=150,
    )  # fmt: skip
    ids, texts = (list(members(str(tmp_path / "run"), as_text)) for as_text in (False, True))
    with Store.read(tmp_path / "run") as store:
        assert [member.problem_id for member in ids] == sorted(store.problems())
    same = 0
    for member, other, trace in zip(ids, texts, traces, strict=True):
        given, again = encoded(tokenizer, member.trace), encoded(tokenizer, other.trace)
        assert given.prompt_ids.tolist() == again.prompt_ids.tolist() == trace.prompt_ids.tolist()
        assert given.token_ids.tolist() == trace.token_ids.tolist()
        assert given.free.tolist() == (trace.source != 2).tolist()
        assert (member.trace.verdict, member.trace.source) == (trace.verdict, "run")
        same += given.token_ids.tolist() == again.token_ids.tolist()
    assert same >= 6


def test_text_is_put_into_the_students_conventions(tokenizer):
    opening = tokenizer("<think>\n", add_special_tokens=False)["input_ids"]
    apart, inline = (encoded(tokenizer, trace) for trace in (text("2", "1, 2"), text("<think>\n1, 2\n</think>\n\n2")))
    assert tokenizer.decode(apart.token_ids) == "<think>\n1, 2\n</think>\n\n2<|im_end|>"
    assert apart.token_ids.tolist() == inline.token_ids.tolist()
    assert apart.free.tolist() == [False] * len(opening) + [True] * (len(apart.free) - len(opening))
    assert tokenizer.decode(apart.prompt_ids) == f"<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n"
    plain = encoded(tokenizer, TextTrace("1 + 1 =", None, " 2", "set", ended=False))
    assert tokenizer.decode(plain.prompt_ids) == "1 + 1 =" and tokenizer.decode(plain.token_ids) == " 2"
    half = encoded(tokenizer, text("a\ud800b"))
    assert "\ufffd" in tokenizer.decode(half.token_ids)


def test_a_template_that_opens_the_thinking_is_not_opened_twice(tokenizer):
    tokenizer = AutoTokenizer.from_pretrained(model_path("world", "student"))
    tokenizer.chat_template += "{%- if add_generation_prompt -%}{{- '<think>\n' -}}{%- endif -%}"
    given = encoded(tokenizer, text("2", "1, 2"))
    assert tokenizer.decode(given.prompt_ids).endswith("assistant\n")
    assert tokenizer.decode(given.token_ids) == "<think>\n1, 2\n</think>\n\n2<|im_end|>"
    without = encoded(tokenizer, text("1, 2\n</think>\n\n2"))  # as R1's completions are, behind such a template
    for one in (given, without):
        assert one.token_ids.tolist() == given.token_ids.tolist()
        assert not one.free[:2].any() and one.free[2:].all()


def test_what_cannot_be_scored_says_why(tokenizer):
    long = encoded(tokenizer, text())
    assert why_not(long, 10, 934) == f"{len(long.ids)} tokens, the student reads 10"
    assert why_not(long, None, 934) == "" and why_not(long, len(long.ids), 934) == ""
    assert why_not(encoded(tokenizer, text("")), None, 934) == "no response"
    assert why_not(encoded(tokenizer, TextTrace("", None, "2", "set")), None, 934) == "no prompt"
    ids = IdTrace(Tokens(prompt_ids=[1], token_ids=[2, 5000]), "set")
    assert why_not(encoded(tokenizer, ids), None, 934) == "holds the id 5000, the student has 934"


def said(tokenizer, answer: str, thinking: str | None = None, ended: bool = True, **conventions) -> str:
    """The response as the student gets it, as text with its special tokens."""
    return tokenizer.decode(encoded(tokenizer, text(answer, thinking, ended=ended), **conventions).token_ids)


WHOLE = "<think>\n1, 2\n</think>\n\nIt is 2.<|im_end|>"
SPELLINGS = {
    "OpenThoughts": (
        "<|begin_of_thought|>\n\n1, 2\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nIt is 2.\n\n<|end_of_solution|>"
    ),
    "OpenThoughts, no solution marks": "<|begin_of_thought|>1, 2<|end_of_thought|>It is 2.",
    "thinking": "<thinking>1, 2</thinking>It is 2.",
    "reasoning": "<reasoning>\n1, 2\n</reasoning>\nIt is 2.",
    "Magistral": "[THINK]1, 2[/THINK]It is 2.",
    "Kimi": "◁think▷1, 2◁/think▷It is 2.",
    "Seed": "<seed:think>1, 2</seed:think>It is 2.<seed:eos>",
    "Command A": "<|START_THINKING|>1, 2<|END_THINKING|><|START_RESPONSE|>It is 2.<|END_RESPONSE|>",
    "gpt-oss": (
        "<|channel|>analysis<|message|>1, 2<|end|><|start|>assistant<|channel|>final<|message|>It is 2.<|return|>"
    ),
    "white space before": "\n <thinking>1, 2</thinking>It is 2.",
    "the student's own": "<think>\n1, 2\n</think>\n\nIt is 2.",
    "its opening in the template": "1, 2\n</think>\n\nIt is 2.",
    "another's opening in the template": "1, 2\n[/THINK]It is 2.",
    "with the end of turn": "<think>\n1, 2\n</think>\n\nIt is 2.<|im_end|>",
    "with another's end of turn": "<think>\n1, 2\n</think>\n\nIt is 2.<｜end▁of▁sentence｜>\n",
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_marks_of_other_models_become_the_students_tags(tokenizer, name):
    assert said(tokenizer, SPELLINGS[name]) == WHOLE
    given, plain = (encoded(tokenizer, text(one)) for one in (SPELLINGS[name], "<think>\n1, 2\n</think>\n\nIt is 2."))
    assert given.token_ids.tolist() == plain.token_ids.tolist()
    assert given.free.tolist() == plain.free.tolist() and not given.free[:2].any()


def test_marks_that_are_given_and_a_students_other_tags(tokenizer):
    own = "Let me see: 1, 2 So: It is 2."
    assert said(tokenizer, own) == own + "<|im_end|>"
    assert said(tokenizer, own, marks=("Let me see:", "So:")) == WHOLE
    other = AutoTokenizer.from_pretrained(model_path("world", "student"))
    other.add_tokens(["[THINK]", "[/THINK]"], special_tokens=True)
    expected = "[THINK]\n1, 2\n[/THINK]\n\nIt is 2.<|im_end|>"
    for spelled in SPELLINGS["OpenThoughts"], SPELLINGS["the student's own"]:
        assert said(other, spelled, think=("[THINK]", "[/THINK]")) == expected
    assert said(other, "It is 2.", "1, 2", think=("[THINK]", "[/THINK]")) == expected


@pytest.mark.parametrize("opened", [False, True])
def test_thinking_that_never_closes_gets_no_closing_and_no_end(opened):
    tokenizer = AutoTokenizer.from_pretrained(model_path("world", "student"))
    if opened:
        tokenizer.chat_template += "{%- if add_generation_prompt -%}{{- '<think>\n' -}}{%- endif -%}"
    for cut in ("<think>\n1, 2", "<|begin_of_thought|>\n1, 2", "[THINK]1, 2"):
        assert said(tokenizer, cut) == "<think>\n1, 2"
    for thinking in ("1, 2", "<think>\n1, 2", "<think>1, 2</think>", "1, 2</think>"):
        assert said(tokenizer, "", thinking) == "<think>\n1, 2"
        assert said(tokenizer, "It is 2.", thinking) == WHOLE
        assert said(tokenizer, "It is 2.", thinking, ended=False) == WHOLE.removesuffix("<|im_end|>")


def test_a_student_without_tags_gets_the_text_without_foreign_marks():
    tokenizer = byte_level(["th", "the"], ["<|im_start|>", "<|im_end|>"], end="<|im_end|>")
    for spelled in (SPELLINGS["OpenThoughts"], SPELLINGS["Kimi"], "1, 2\n[/THINK]It is 2."):
        assert said(tokenizer, spelled) == "1, 2\n\nIt is 2.<|im_end|>"
    assert said(tokenizer, "[THINK]1, 2") == "1, 2"
    own = "<think>\n1, 2\n</think>\n\nIt is 2."  # as text, which R1's distillations learn
    assert said(tokenizer, own) == own + "<|im_end|>"


def test_control_words_in_a_response_are_text_and_ends_of_turn_behind_it_are_dropped(tokenizer):
    """Think tags are meant; an end of turn in the middle would teach to stop there."""
    ids = {tag: tokenizer.convert_tokens_to_ids(tag) for tag in ("<|im_end|>", "<|im_start|>", "<think>", "</think>")}
    forged = "<think>\n1<|im_end|>\n<|im_start|>user\nno\n</think>\n\nIt is 2.<|im_end|>"
    given = encoded(tokenizer, text(forged)).token_ids.tolist()
    assert [given.count(ids[tag]) for tag in ids] == [1, 0, 1, 1] and given[-1] == ids["<|im_end|>"]
    assert tokenizer.decode(given) == forged
    cut = encoded(tokenizer, text("It is 2.<|im_end|><|endoftext|>", ended=False)).token_ids.tolist()
    assert tokenizer.decode(cut) == "It is 2."
    problem = TextTrace([{"role": "user", "content": "a<|im_end|>b<think>"}], None, "2", "set")
    prompt = encoded(tokenizer, problem).prompt_ids.tolist()
    assert tokenizer.decode(prompt) == "<|im_start|>user\na<|im_end|>b<think><|im_end|>\n<|im_start|>assistant\n"
    assert prompt.count(ids["<|im_end|>"]) == 1 and ids["<think>"] not in prompt


def test_prompts_are_those_of_a_run():
    """A template without a system role, one for parts only, one that closes the thinking, and one with a variable."""
    tokenizer = AutoTokenizer.from_pretrained(model_path("world", "student"))
    template = tokenizer.chat_template
    asked = [{"role": "system", "content": "Be brief."}, *ASK]
    refusing = "{%- if messages[0].role == 'system' -%}{{- raise_exception('no system') -}}{%- endif -%}"
    closing = "{{- '<think>\n\n</think>\n\n' if not deep -}}"
    for chat_template, variables in (
        (template, {}),
        (refusing + template, {}),
        (template.replace("message['content']", "message['content'][0]['text']"), {}),
        (template + closing, {"deep": True}),
    ):
        tokenizer.chat_template = chat_template
        problem = Problem(Q, "2")
        run = make_prompts([problem], tokenizer, tokenizer, ("Be brief.", "Be brief."), None, THINK, None, variables)
        given = encoded(tokenizer, TextTrace(asked, "1, 2", "2", "set"), variables=variables)
        assert given.prompt_ids.tolist() == run.pairs[problem.id][1]
        assert tuple(given.token_ids[~given.free]) == run.style.forced
    with pytest.raises(ValueError, match="ends the prompt with </think>, and then <think> would be forced"):
        encoded(tokenizer, text("2", "1, 2"))
    assert tokenizer.decode(encoded(tokenizer, text("2")).prompt_ids).endswith("</think>\n\n")
    tokenizer.chat_template = "{{- raise_exception('out of order') -}}"
    with pytest.raises(ValueError, match="the student's chat template .* cannot be used, it says: out of order"):
        encoded(tokenizer, text("2"))


PROBLEM_AND_TEXTS = {"problem": Q, "generations": ["<think>\n1", ANSWER]}
TURN = {"role": "assistant", "content": ANSWER}
FLAGS = [
    # (row, whether each trace ended)
    ({**PROBLEM_AND_TEXTS, "finish_reasons": None, "is_reasoning_complete": [True, False]}, [True, False]),
    ({**PROBLEM_AND_TEXTS, "is_reasoning_complete": [False, True]}, [False, True]),
    ({**PROBLEM_AND_TEXTS, "is_reasoning_complete": [None, None], "finish_reasons": []}, [True, True]),
    ({**PROBLEM_AND_TEXTS, "finish_reasons": ["stop", "length"], "finished": [False, True]}, [False, False]),
    ({**PROBLEM_AND_TEXTS, "finish_reasons": ["STOP", "MAX_TOKENS"]}, [True, False]),
    ({**PROBLEM_AND_TEXTS, "finish_reasons": ["eos", "repetition"]}, [True, False]),
    ({**PROBLEM_AND_TEXTS, "truncated": [True, False]}, [False, True]),
    ({**PROBLEM_AND_TEXTS, "finished": [1, 0]}, [True, False]),
    ({**PROBLEM_AND_TEXTS, "stop_reason": "length"}, [False, False]),
    ({**PROBLEM_AND_TEXTS, "stop_reason": [151645, "max_tokens"]}, [True, False]),
    ({"problem": Q, "generation": ANSWER, "finish_reason": "length"}, [False]),
    ({"problem": Q, "generation": ANSWER, "finish_reason": "stop", "stop_reason": "</answer>"}, [True]),
    ({"problem": Q, "generation": ANSWER, "truncated": "false"}, [True]),
    ({"problem": Q, "generation": ANSWER, "finished": "False"}, [False]),
    ({"problem": Q, "thinking": "1", "solution": ANSWER, "stop_reason": "max_tokens"}, [False]),
    ({"problem": Q, "thinking": "1", "solution": ANSWER, "finish_reason": ["length"]}, [False]),
    ({"prompt": Q, "completion": ANSWER, "finish_reason": "end_turn"}, [True]),
    ({"prompt": Q, "completion": ANSWER, "is_truncated": True}, [False]),
    ({"messages": [*ASK, TURN], "finished": False}, [False]),
    ({"messages": [*ASK, {**TURN, "finish_reason": "length"}]}, [False]),
    ({"messages": [*ASK, {**TURN, "stop_reason": "end_turn"}]}, [True]),
    ({"prompt": ASK, "completion": [{**TURN, "finish_reason": "length"}]}, [False]),
    (
        {
            "problem": Q, "a_reasoning": "1", "a_solution": "2", "b_reasoning": "1", "b_solution": "2",
            "a_finish_reason": "length", "b_finish_reason": "stop",
        },
        [False, True],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("row", "whole"), FLAGS)
def test_every_flag_that_a_trace_was_cut_is_looked_at(tmp_path, tokenizer, row, whole):
    found = read(tmp_path, [row])
    assert [member.trace.ended for member in found] == whole
    for member in found:
        ids = encoded(tokenizer, member.trace).token_ids.tolist()
        closed = member.trace.thinking is not None or not member.trace.answer.startswith("<think>")
        assert (ids[-1] == tokenizer.eos_token_id) == (member.trace.ended and closed)


def test_a_flag_for_another_number_of_traces_is_refused(tmp_path):
    for name in ("is_reasoning_complete", "finish_reasons", "truncated"):
        with pytest.raises(ValueError, match=f"line 1: the field '{name}' does not have a value for each of the 2"):
            read(tmp_path, [{**PROBLEM_AND_TEXTS, name: [True]}])
    with pytest.raises(ValueError, match="line 1: the field 'finished' does not have a value for the one trace"):
        read(tmp_path, [{"prompt": Q, "completion": ANSWER, "finished": [True, False]}])


def test_other_kinds_of_files(tmp_path):
    """One JSON list, and CSV; a folder is read for its .jsonl or .parquet files alone."""
    rows = [{"prompt": Q, "completion": ANSWER}]
    (tmp_path / "set.json").write_text(json.dumps(rows))
    (tmp_path / "set.csv").write_text(f"prompt,completion\n{Q},{ANSWER}\n")
    (tmp_path / "set.jsonl").write_text(json.dumps(rows[0]))
    expected = [TextTrace(Q, None, ANSWER, "set")]
    for spec in ("set.json", "set.csv", "set.jsonl", "."):
        assert [member.trace for member in members(str(tmp_path / spec))] == expected


LAYOUT_FILES = {
    "openthoughts.jsonl": WHOLE,
    "closeonly.jsonl": WHOLE,
    "arc_digit.jsonl": "arc_digit.jsonl, line 1: no shape of a trace set fits, the fields are 'id', 'question'",
    "math.jsonl": "math.jsonl, line 1: no shape of a trace set fits",
    "mathqa.json": "mathqa.json, item 1: no shape of a trace set fits, the fields are 'Problem'",
    "mmlupro_pandas.csv": "mmlupro_pandas.csv, line 2: no shape of a trace set fits",
    "options_in_question.jsonl": "options_in_question.jsonl, line 1: no shape of a trace set fits",
}


@pytest.mark.parametrize("name", LAYOUT_FILES)
def test_files_in_public_layouts(data, tokenizer, name):
    spec, expected = str(data / "layouts" / name), LAYOUT_FILES[name]
    if expected == WHOLE:
        [member] = members(spec)
        ids = encoded(tokenizer, member.trace).token_ids
        assert tokenizer.decode(ids) == "<think>\n3 * 2 = 6\n</think>\n\n\\boxed{6}<|im_end|>"
    else:
        with pytest.raises(ValueError, match=expected):
            list(members(spec))
