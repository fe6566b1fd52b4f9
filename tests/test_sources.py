"""The sources of problems: each file format, Hugging Face data sets, the layouts of public sets, bad rows, overlap."""

from __future__ import annotations

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ownwords.answers.judge import judge
from ownwords.problems.overlap import benchmarks_at_hand, overlapping, shingles
from ownwords.problems.sources import load_problems
from ownwords.records.problem import Problem

GSM8K = {"question": "Ann has 1,000 eggs and finds 3. How many?", "answer": "1000+3 = <<1000+3=1003>>1003\n#### 1,003"}
S1K = {
    "solution": "128", "question": "How many binary words of length 7 are there?", "cot_type": "math",
    "source_type": "AI-MO/NuminaMath-CoT/aops_forum", "metadata": "{'unknown': None}",
    "gemini_thinking_trajectory": "Two choices each.", "gemini_attempt": r"So \boxed{128}.",
    "deepseek_thinking_trajectory": "Hm.", "deepseek_attempt": r"\boxed{128}", "gemini_grade": "Yes",
    "gemini_grade_reason": "r", "deepseek_grade": "Yes", "deepseek_grade_reason": "r",
}  # fmt: skip
LIMO = {
    "question": "Find $x$ if $2x=1$.",
    "solution": r"Halve: \boxed{\frac{1}{2}}",
    "answer": r"\frac12",
}
OPENR1 = {
    "problem": "Solve $x^2=4$ for $x>0$.", "solution": r"$\boxed{2}$", "answer": "2", "problem_type": "Algebra",
    "question_type": "math-word-problem", "source": "olympiads", "uuid": "u", "is_reasoning_complete": [True],
    "generations": ["<think>..."], "correctness_math_verify": [True], "correctness_llama": None,
    "finish_reasons": None, "correctness_count": 1, "messages": [{"role": "user", "content": "no"}],
}  # fmt: skip
DAPO_WORDS = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
    "$Answer (without quotes) where $Answer is the answer to the problem.\n\n{}\n\n"
    'Remember to put your answer on its own line after "Answer:".'
)
DAPO = {
    "data_source": "math_dapo", "prompt": [{"role": "user", "content": DAPO_WORDS.format("What is $17 \\cdot 2$?")}],
    "ability": "MATH", "reward_model": {"ground_truth": "34", "style": "rule"}, "extra_info": {"index": "a"},
}  # fmt: skip
DAPO_PROCESSED = {
    "prompt": "What is $17 \\cdot 2$?", "solution": "34", "data_source": "math_dapo",
    "source_prompt": DAPO["prompt"], "ability": "MATH", "reward_model": DAPO["reward_model"],
}  # fmt: skip
AQUA = {
    "question": "Two numbers?", "options": ["A)21", "B)21.5", "C)22", "D)22.5", "E)23"],
    "rationale": "So 22.\nAnswer is C", "correct": "C",
}  # fmt: skip
GPQA = {
    "Question": "Which decays?", "Correct Answer": "the muon\n", "Incorrect Answer 1": "the proton",
    "Incorrect Answer 2": "the photon", "Incorrect Answer 3": "the electron", "Explanation": "e",
}  # fmt: skip
ARC = {"question": "Which floats?", "choices": {"text": ["iron", "wood"], "label": ["A", "B"]}, "answerKey": "B"}

LAYOUTS = {
    "gsm8k": (GSM8K, GSM8K["question"], "1003", "math"),
    "s1k": (S1K, S1K["question"], "128", "math"),
    "limo": (LIMO, LIMO["question"], r"\frac12", "math"),
    "openr1": (OPENR1, OPENR1["problem"], "2", "math"),
    "dapo": (DAPO, "What is $17 \\cdot 2$?", "34", "math"),
    "dapo-processed": (DAPO_PROCESSED, "What is $17 \\cdot 2$?", "34", "math"),
    "math": ({"problem": "p", "level": "Level 5", "type": "Algebra", "solution": r"so $\boxed{3}$"}, "p", "3", "math"),
    "aime": ({"ID": "2024-I-1", "Problem": "p", "Solution": "long", "Answer": 204}, "p", "204", "math"),
    "aqua": (AQUA, "Two numbers?\n\nA) 21\nB) 21.5\nC) 22\nD) 22.5\nE) 23", "C", "choice"),
    "mmlu": ({"question": "q?", "choices": ["x", "y"], "answer": 1}, "q?\n\nA) x\nB) y", "B", "choice"),
    "arc": (ARC, "Which floats?\n\nA) iron\nB) wood", "B", "choice"),
}


def jsonl(path, rows) -> str:
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_public_layouts(tmp_path, name, suffix):
    row, question, answer, kind = LAYOUTS[name]
    path = tmp_path / f"set.{suffix}"
    if suffix == "jsonl":
        jsonl(path, [row])
    elif suffix == "json":
        path.write_text(json.dumps([row]))
    else:
        pq.write_table(pa.Table.from_pylist([row]), path)
    [problem] = load_problems(str(path))
    assert (problem.question, problem.answer, problem.kind) == (question, answer, kind)
    assert problem.source == f"set.{suffix}"
    assert judge(problem.kind, problem.answer, problem.answer, problem.question, problem.metadata) == "correct"


def test_gpqa_has_a_stable_order(tmp_path):
    [one] = load_problems(jsonl(tmp_path / "a.jsonl", [GPQA]))
    [other] = load_problems(jsonl(tmp_path / "b.jsonl", [dict(reversed(GPQA.items()))]))
    assert one.question == other.question and one.answer == other.answer and one.kind == "choice"
    letter = next(line[0] for line in one.question.splitlines() if line.endswith("the muon"))
    assert one.answer == letter
    assert judge("choice", one.answer, "the muon", "", one.metadata) == "correct"
    assert judge("choice", one.answer, "the proton", "", one.metadata) == "incorrect"


ROWS = [{"question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(5)]


def tables(folder, rows) -> dict[str, str]:
    """The same rows in every kind of file."""
    jsonl(folder / "a.jsonl", rows)
    jsonl(folder / "lines.json", rows)
    (folder / "a.json").write_text(json.dumps(rows))
    (folder / "object.json").write_text(json.dumps({"version": 1, "data": rows}))
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t")):
        with (folder / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    return {name: str(folder / name) for name in ("lines.json", "a.json", "object.json", "a.csv", "a.tsv", "a.parquet")}


def test_every_kind_of_file_gives_the_same_problems(tmp_path):
    rows = [*ROWS, {"question": 'A "quoted", long\nquestion with é?', "answer": "x" * 200_000}]
    paths = tables(tmp_path, rows)
    expected = [(p.id, p.answer) for p in load_problems(str(tmp_path / "a.jsonl"))]
    assert len(expected) == 6
    for name, path in paths.items():
        assert [(p.id, p.answer) for p in load_problems(path)] == expected, name


def test_hugging_face_data_sets_on_this_machine(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    expected = [(row["question"], row["answer"]) for row in ROWS]
    one = datasets.Dataset.from_list(ROWS)
    one.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": one, "test": one.select([0])}).save_to_disk(tmp_path / "two")
    (tmp_path / "files").mkdir()
    jsonl(tmp_path / "files/train.jsonl", ROWS)
    for spec, count in (
        ("one", 5),
        ("two,split=train", 5),
        ("two,split=test", 1),
        ("files,split=train", 5),
        ("files", 5),
    ):
        problems = load_problems(f"hf:{tmp_path / spec}")
        assert [(p.question, p.answer) for p in problems] == expected[:count], spec
        assert problems[0].source == str(tmp_path / spec).split(",")[0]
    for spec, message in (
        ("two", "names no split: expected split= one of train, test"),
        ("two,split=dev", "has no split 'dev': expected split= one of train, test"),
        ("one,spilt=train", "a data set has no setting 'spilt', expected split, config, revision"),
        ("one,split", "'split' is no setting, expected key=value"),
        ("none", "cannot read the data set"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            load_problems(f"hf:{tmp_path / spec}")
        assert f"hf:{tmp_path / spec}" in str(error.value) and "\n" not in str(error.value)
    datasets.Dataset.from_list([*ROWS, {"question": "q", "answer": None}]).save_to_disk(tmp_path / "bad")
    with pytest.raises(ValueError, match="bad, row 6: no reference answer, the field 'answer' holds None"):
        load_problems(f"hf:{tmp_path / 'bad'}")
    with pytest.raises(ValueError, match="names no data set"):
        load_problems("hf:,split=train")


MALFORMED = [
    ("a.csv", "question,answer\n1+1,2\n2+2\n", "a.csv, line 3: 1 fields, expected the 2 of the header"),
    ("a.csv", 'question,answer\n"one\ntwo",2\n1,2,3\n', "a.csv, line 4: 3 fields, expected the 2"),
    ("a.csv", 'question,answer\n1+1,2\n"2+2,4\n', "a.csv, line 3: not CSV (unexpected end of data)"),
    ("a.csv", "question,question\n1,2\n", "a.csv, line 1: two columns are called 'question'"),
    ("a.csv", "question,answer\n1+1,\n", "a.csv, line 2: no reference answer, the field 'answer' holds ''"),
    ("a.csv", "text,answer\n1+1,2\n", "a.csv, line 2: no field for the question"),
    ("a.csv", b"question,answer\ncaf\xe9,2\n", "a.csv, line 2: '\\udce9' is half a character: not UTF-8"),
    ("a.csv", "question,answer\n", "a.csv is empty"),
    ("a.tsv", "question\tanswer\n1+1\n", "a.tsv, line 2: 1 fields"),
    ("a.json", '[{"question": "q", "answer": 1},{"question": 7, "answer": 1}]', "a.json, item 2: the field 'quest"),
    ("a.json", '[{"question": "q", "answer": 1}, 3]', "a.json, item 2: a JSON int, expected an object"),
    ("a.json", '{"a": [], "b": []}', "a.json: an object with 2 lists (a, b)"),
    ("a.json", '{"a": 1}', "a.json: an object with 0 lists (none)"),
    ("a.json", '"text"', "a.json: a JSON str, expected a list of objects"),
    ("a.json", '[{"question": "q",\n "answer": }]', "a.json, line 2: not JSON (Expecting value)"),
    ("a.json", b'["\xe9"]', "a.json: not UTF-8"),
    ("a.json", "[" * 100_000, "a.json: not JSON"),
    ("a.parquet", b"PAR1 and no more", "a.parquet: no readable Parquet file"),
    ("a.jsonl", '{"question": "q", "options": ["x", "y"], "answer": "z"}', "the field 'answer' holds 'z', expected"),
    ("a.jsonl", '{"question": [{"role": "user"}], "answer": 1}', "line 1: the field 'question' holds None"),
    ("a.jsonl", '{"question": "q", "reward_model": {"style": "rule"}}', "line 1: no field for the answer"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), MALFORMED)
def test_malformed_files_name_the_place(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as error:
        load_problems(str(path))
    assert f"{tmp_path}/" in str(error.value) and message in str(error.value) and "\n" not in str(error.value)


def test_parquet_names_the_row(tmp_path):
    pq.write_table(pa.Table.from_pylist([*ROWS, {"question": None, "answer": "1"}]), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="a.parquet, row 6: the field 'question' holds None"):
        load_problems(str(tmp_path / "a.parquet"))


def test_bad_rows_are_counted_and_can_be_left_out(tmp_path):
    rows = [json.dumps(row) for row in ROWS]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([*rows, "{", json.dumps({"question": "q"}), rows[0].replace('"1"', '"7"')]))
    with pytest.raises(ValueError, match=r"line 6: not JSON .*\(3 bad rows of 8: .* skip_bad_rows\)"):
        load_problems(str(path))
    bad: list[str] = []
    assert len(load_problems(str(path), bad=bad)) == 5
    assert len(bad) == 3 and "line 7: no field for the answer" in bad[1]
    assert f"the question of {path}, line 1 with another answer ('7', there '1')" in bad[2]
    with pytest.raises(ValueError, match="bad rows of 8: no row can be read"):
        load_problems(str(path), question_field="q", bad=[])


def test_dotted_fields(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", [{"in": {"text": "q"}, "out": {"gold": {"value": 3}}}])
    [problem] = load_problems(path, question_field="in.text", answer_field="out.gold.value")
    assert (problem.question, problem.answer) == ("q", "3")
    with pytest.raises(ValueError, match="no field 'out.gold.valeu', which answer_field names"):
        load_problems(path, question_field="in.text", answer_field="out.gold.valeu")


def test_overlap():
    """13 words in a row, whatever their case, marks and spaces; a shorter question only as a whole."""
    words = [f"w{i}" for i in range(30)]
    long, short = Problem(" ".join(words), "1"), Problem("How many  eggs, Ann?", "1")
    shares13 = Problem("Now " + ", ".join(words[5:18]).upper() + " and so on", "1")
    shares12 = Problem("Now " + " ".join(words[5:17]) + " and so on", "1")
    same, longer = Problem("how many EGGS Ann", "1"), Problem("How many eggs, Ann? Please say.", "1")
    assert overlapping([shares13, shares12, same, longer], [long, short]) == [shares13, same]
    assert len(shingles(long.question)) == 18 and len(shingles(short.question)) == 1


def test_benchmarks_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("OWNWORDS_DATA", str(tmp_path))
    assert benchmarks_at_hand() == []
    (tmp_path / "gsm8k").mkdir()
    jsonl(tmp_path / "gsm8k/test.jsonl", [GSM8K])
    assert benchmarks_at_hand() == [str(tmp_path / "gsm8k/test.jsonl")]
    monkeypatch.delenv("OWNWORDS_DATA")
    assert benchmarks_at_hand() == []


def test_gsm8k_train_and_test_do_not_overlap_with_aime(data):
    aime = load_problems(str(data / "aime_amc/aime24.jsonl"))
    assert overlapping(load_problems(str(data / "gsm8k/test.jsonl")), aime) == []
    traces = load_problems(str(data / "long_traces/train.jsonl"))
    assert len(overlapping(traces, aime)) >= 10  # a set made of benchmark problems


def only(tmp_path, row) -> Problem:
    [problem] = load_problems(jsonl(tmp_path / "a.jsonl", [row]))
    return problem


def verdict(problem: Problem, answer: str) -> str:
    return judge(problem.kind, problem.answer, answer, problem.question, problem.metadata)


FOUR = ["7", "3", "5", "9"]
CHOICES = {
    # name: (options and key, the letter, the texts in the order shown, the labels that are kept)
    "labels are numbers": ({"choices": {"text": FOUR, "label": [*"1234"]}, "answerKey": "3"}, "C", FOUR, [*"1234"]),
    "label and text differ": ({"choices": {"text": [*"4321"], "label": [*"1234"]}, "answerKey": "1"}, "A", [*"4321"],
                              [*"1234"]),
    "numbers as labels, a number as key": ({"choices": {"text": FOUR, "label": [1, 2, 3, 4]}, "answer": 2}, "B", FOUR,
                                           [*"1234"]),
    "labels in small letters": ({"choices": {"text": ["x", "y"], "label": ["a", "b"]}, "answer": "b"}, "B", ["x", "y"],
                                None),
    "labels in another order": ({"choices": {"text": ["x", "y"], "label": ["B", "A"]}, "answer": "A"}, "A", ["y", "x"],
                                None),
    "labels from another letter on": ({"choices": {"text": ["x", "y"], "label": ["P", "Q"]}, "answer": "Q"}, "B",
                                      ["x", "y"], ["P", "Q"]),
    "roman labels": ({"options": {"I": "x", "II": "y", "III": "z"}, "answer": "III"}, "C", [*"xyz"],
                     ["I", "II", "III"]),
    "letter -> text": ({"options": {"A": "x", "B": "y"}, "answer": "B"}, "B", ["x", "y"], None),
    "MedQA": ({"options": {"A": "x", "B": "y"}, "answer": "y", "answer_idx": "B"}, "B", ["x", "y"], None),
    "Parquet's empty keys": ({"options": {"A": "x", "B": "y", "E": None}, "answer": "B"}, "B", ["x", "y"], None),
    "a list of pairs": ({"choices": [{"label": "A", "text": "x"}, {"label": "B", "text": "y"}], "answerKey": "B"}, "B",
                        ["x", "y"], None),
    "MathQA": ({"options": "a ) rs . 1,000 , b ) 18 , c ) none of these", "correct": "b"}, "B",
               ["rs . 1,000", "18", "none of these"], None),
    "lines": ({"options": "A. x, or\nB. y\nC. z", "answer": "C"}, "C", ["x, or", "y", "z"], None),
    "one line": ({"options": "(A) x (B) y", "answer": "A"}, "A", ["x", "y"], None),
    "numbered lines": ({"options": "1. x\n2. y", "answer": "2"}, "B", ["x", "y"], ["1", "2"]),
    "numpy": ({"options": "['2' '4'\n '6']", "answer": "C", "answer_index": "2"}, "C", [*"246"], None),
    "numpy 2": ({"options": "[np.str_('2'), np.str_('4')]", "answer": "B"}, "B", ["2", "4"], None),
    "numpy's numbers": ({"options": "[2.50 4. 6]", "answer": "A"}, "A", ["2.50", "4.", "6"], None),
    "Python's list": ({"options": """['it\\'s', "a 'b'", 'x, y']""", "answer": "C"}, "C", ["it's", "a 'b'", "x, y"],
                      None),
    "JSON in a cell": ({"options": '["a\\\\/b", "4"]', "answer": "B"}, "B", ["a\\/b", "4"], None),
    "ARC through pandas": ({"choices": "{'text': array(['x y', \"it's\"], dtype=object), 'label': array(['1', '2'],\n"
                                       "      dtype=object)}", "answerKey": "2"}, "B", ["x y", "it's"], ["1", "2"]),
    "columns": ({"A": "x", "B": "y", "C": "z", "answer": "C"}, "C", [*"xyz"], None),
    "columns in another order": ({"B": "y", "A": "x", "key": 1, "answer": "b"}, "B", ["x", "y"], None),
    "named columns": ({"option_a": "x", "option_b": "y", "answer": "b"}, "B", ["x", "y"], None),
    "numbered columns": ({"option1": "x", "option2": "y", "answer": "2"}, "B", ["x", "y"], ["1", "2"]),
    "roman options": ({"options": ["I. only", "II. only"], "answer": "A"}, "A", ["I. only", "II. only"], None),
    "decimals": ({"options": ["1.5", "2.5", "3.5"], "answer": "B"}, "B", ["1.5", "2.5", "3.5"], None),
    "numbered options": ({"options": ["1. x", "2. y"], "answer": "2"}, "B", ["x", "y"], ["1", "2"]),
    "dressed key": ({"options": ["x", "y"], "answer": "(B)"}, "B", ["x", "y"], None),
    "key with its text": ({"options": ["x", "y"], "answer": "B) y"}, "B", ["x", "y"], None),
    "pandas' float": ({"options": ["x", "y"], "answer": 1.0}, "B", ["x", "y"], None),
    "a key in a list": ({"options": ["x", "y"], "answer": ["B"]}, "B", ["x", "y"], None),
    "numbers, by place": ({"choices": ["0", "4", "2", "6"], "answer": 1}, "B", ["0", "4", "2", "6"], None),
    "the original ARC": ({"question": {"stem": "Which?", "choices": [{"text": "x", "label": "1"}, {"text": "y",
                         "label": "2"}]}, "answerKey": "2"}, "B", ["x", "y"], ["1", "2"]),
    "SciQ": ({"correct_answer": "x", "distractor1": "y", "distractor2": "z", "support": "s"}, "A", ["x", "z", "y"],
             None),
    "wrong answers in a list": ({"correct_answer": "x", "incorrect_answers": ["y", "z"]}, "A", ["x", "z", "y"], None),
    "an index alone": ({"options": ["x", "y"], "answer_index": 1}, "B", ["x", "y"], None),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
def test_options_and_keys_in_every_spelling(tmp_path, name):
    row, letter, texts, labels = CHOICES[name]
    problem = only(tmp_path, {"question": "Which?", **row})
    shown = "".join(f"\n{a}) {text}" for a, text in zip("ABCDEFGHIJ", texts))
    assert (problem.kind, problem.answer) == ("choice", letter) and problem.question == f"Which?\n{shown}"
    assert problem.metadata == {"options": texts} | ({"labels": labels} if labels else {})


REFUSED = {
    "a text as key": (
        {"choices": {"text": FOUR, "label": [*"1234"]}, "answerKey": "7"},
        "'answerKey' holds '7', expecte",
    ),
    "words as key": (
        {"choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answer": "x"},
        "'x', expected one of A, B",
    ),
    "a label too few": ({"choices": {"text": FOUR, "label": [*"123"]}, "answer": "3"}, "3 labels and 4 texts"),
    "a label twice": ({"choices": {"text": ["x", "y"], "label": ["A", "A"]}, "answer": "A"}, "have the label 'A'"),
    "index and letter differ": (
        {"options": ["x", "y", "z"], "answer": "B", "answer_index": 2},
        "'answer_index' 2, which",
    ),
    "index out of range": (
        {"options": ["x", "y"], "answer": "B", "answer_index": 5},
        "'answer_index' 5, which is anothe",
    ),
    "place or text": (
        {"options": "['1', '2', '3']", "answer": "1"},
        "'1', which may be A and B of the field 'options'",
    ),
    "letter or text": ({"options": ["B", "A"], "answer": "A"}, "'A', which may be A and B of the field 'options'"),
    "options that are words": (
        {"options": "yes, no or maybe", "answer": "A"},
        "the field 'options' holds 'yes, no or may",
    ),
    "a list that breaks off": ({"options": "['x', 'y", "answer": "A"}, "'options' holds \"['x', 'y\": not a list"),
    "code": ({"options": "[open('x'), 2]", "answer": "A"}, "the field 'options' holds"),
    "one option": ({"options": ["x"], "answer": "A"}, "1 options, expected 2 to"),
    "too many": ({"options": [str(i) for i in range(30)], "answer": "A"}, "30 options, expected 2 to"),
    "too many in one text": (
        {"options": " ".join(f"{c}) {i}" for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ")), "answer": "B"},
        "26 options, expected 2 to",
    ),
    "an empty option": ({"options": ["x", None], "answer": "A"}, "expected a text for each option"),
    "several keys": ({"options": ["x", "y"], "answer": ["A", "B"]}, "the field 'answer' holds ['A', 'B']"),
    "lists in lists": ({"options": "[" * 50, "answer": "A"}, "lists in more than 5 lists"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_options_and_keys_that_cannot_be_told_are_refused_with_line_and_field(tmp_path, name):
    row, message = REFUSED[name]
    with pytest.raises(ValueError) as error:
        only(tmp_path, {"question": "Which?"} | row)
    assert "a.jsonl, line 1: the field " in str(error.value) and message in str(error.value)
    assert "\n" not in str(error.value)


def test_rows_without_options_stay_as_they_are(tmp_path):
    for more in (
        {"options": []},
        {"options": None},
        {"choices": ""},
        {"A": 3},
        {"A": 3, "C": 4},
        {"A": 3, "B": 4},
        {"optimum": "x"},
    ):
        problem = only(tmp_path, {"question": "q", "answer": "7", **more})
        assert (problem.kind, problem.question, problem.answer) == ("math", "q", "7")


WITHIN = {
    "one line": r"How many?\n\n(A) 5 (B) 10 (C) 15 (D) 20",
    "bold": r"How many? $\textbf{(A)}\ 5 \qquad \textbf{(B)}\ 10 \qquad\textbf{(C)}\ 15$",
    "bold with a space": r"How many? $\textbf{(A) } 5 \qquad \textbf{(B) } 10 \\ \textbf{(C) } 15$",
    "roman type": r"How many? $\mathrm{(A)\ } 5 \qquad \mathrm{(B)\ } 10$",
    "the letter alone in roman type": r"How many? $(\mathrm{A})$ 5 $(\mathrm{B})$ 10 $(\mathrm{C})$ 15",
    "displayed": r"How many? \[\textbf{(A)}~5 \qquad \textbf{(B)}~10\]",
    "lines with full stops": r"How many?\nA. 5\nB. 10\nC. 15",
    "lines with commas of China": r"How many?\nA、5\nB、10",
    "colons": r"How many? ( ) A: $5$ B: $10$ C: $15$ D: $20$",
    "half parentheses": r"How many?\nA) 5\nB) 10",
    "no spaces": r"How many? (A)5(B)10(C)15",
    "bullets": r"How many?\n- A) 5\n- B) 10\n- C) 15",
    "markdown": r"How many?\n\n**A.** 5\n**B.** 10",
    "more behind them": r"How many?\nA. 5\nB. 10\n\nGive the letter.",
    "mentioned before": r"One of (A) and (B) is right. How many?\n(A) 5\n(B) 10",
    "small letters": r"How many?\n(a) 5\n(b) 10\n(c) 15",
}


@pytest.mark.parametrize("name", WITHIN)
@pytest.mark.parametrize("reference", ["B", "(B)", r"\textbf{(B)}", r"\text{B}", "B) 10"])
def test_multiple_choice_within_the_question(tmp_path, name, reference):
    question = WITHIN[name].replace("\\n", "\n")
    problem = only(tmp_path, {"problem": question, "solution": "Ten.", "answer": reference})
    assert (problem.kind, problem.question, problem.answer) == ("choice", question, "B")
    assert problem.metadata["options"][1].strip("$") == "10" and problem.solution == "Ten."
    for answer, expected in (("B", "correct"), ("(B)", "correct"), ("B) 10", "correct"), ("10", "correct"),
                             ("A", "incorrect"), ("5", "incorrect")):  # fmt: skip
        assert verdict(problem, answer) == expected, answer


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Let (A) be a line. What is the slope?", "B"),
        ("See (A) and (C). Which?", "C"),
        ("Points (A) and (B) lie on a line. Which is further?", "B"),
        ("What is P(A) + P(B)?", "B"),
        ("(a) Find x. (b) Find y.", "b"),
        ("Who is taller, A. Smith or B. Jones?", "B"),
        ("How many? (A) 5 (B) 10", "10"),
        ("How many? (A) 5 (B) 10", "E"),
        ("How many? (A) 5 (B) 10", "A or B"),
        ("How many? (B) 5 (C) 10", "B"),
        ("Which is it, A or B?", "B"),
    ],
)
def test_a_question_that_merely_mentions_letters_is_mathematics(tmp_path, question, answer):
    assert only(tmp_path, {"problem": question, "answer": answer}).kind == "math"


def test_options_that_the_question_shows_are_not_printed_twice(tmp_path):
    row = {"question": "Which?\n\n(A) x\n(B) y", "options": ["x", "y"], "answer": "B"}
    problem = only(tmp_path, row)
    assert problem.question == row["question"] and problem.metadata == {"options": ["x", "y"]}
    assert only(tmp_path, {**row, "options": ["x", "z"]}).question.endswith("\n\nA) x\nB) z")


def test_options_of_options_and_pictures(tmp_path):
    pick = "Which? (A) I (B) II (C) both (A) and (B) (D) none"
    assert only(tmp_path, {"problem": pick, "answer": "C"}).metadata["options"][2:] == ["both (A) and (B)", "none"]
    bare = only(tmp_path, {"problem": "Which picture? (A) (B) (C)", "answer": "B"})
    assert (bare.kind, bare.metadata) == ("choice", {"options": []}) and verdict(bare, "(B)") == "correct"


LAYOUT_FILES = {
    "arc_digit.jsonl": [("C", ["7", "3", "5", "9"]), ("A", ["2", "3", "1", "0"])],
    "mathqa.json": [("B", ["9", "18", "27", "36", "none of these"])],
    "mmlupro_pandas.csv": [("F", [str(n) for n in range(2, 22, 2)])],
    "options_in_question.jsonl": [("B", ["5", "10", "15", "20"])],
}


@pytest.mark.parametrize("name", LAYOUT_FILES)
def test_files_in_public_layouts(data, name):
    problems = load_problems(str(data / "layouts" / name))
    assert [(p.answer, p.metadata["options"]) for p in problems] == LAYOUT_FILES[name]
    assert all(p.question.count(p.metadata["options"][1]) for p in problems)


def test_boxes_without_braces(data):
    problems = load_problems(str(data / "layouts/math.jsonl"))
    assert [(p.kind, p.answer) for p in problems] == [("math", "7"), ("math", r"\frac13"), ("math", "5")]


def test_letters_of_real_benchmarks(data):
    """Three problems of MATH-500 are multiple choice in their own words."""
    problems = [p for p in load_problems(str(data / "math500/test.jsonl")) if p.kind == "choice"]
    told = [p.metadata["options"]["ABCDEF".index(p.answer)] for p in problems]
    assert len(problems) == 3 and [verdict(p, text) for p, text in zip(problems, told)] == ["correct"] * 3
    assert {p.kind for p in load_problems(str(data / "small_sets/aqua_test.jsonl"))} == {"choice"}
