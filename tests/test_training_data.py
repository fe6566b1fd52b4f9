"""The data step of training: each mask, weight, prefix, mixture and cap changes the tokens it should and no other."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make

from ownwords.records.trace import Trace
from ownwords.rsd.columns import COLUMNS
from ownwords.sharing.run_export import export_run
from ownwords.traces.select import Selection, select, surprisal
from ownwords.traces.store import Store
from ownwords.training import masks
from ownwords.training.mixtures import cap_problems, cap_tokens, check_shares, mix
from ownwords.training.row_sources import FIGURES, file_rows, run_rows, trace_row
from ownwords.training.rows import Row, digest, order
from ownwords.training.upft import prefix, spread

NO = -100
PROMPT, TOKENS, END = [11, 12, 13], [20, 21, 22, 23, 24, 25, 9], 9
SOURCE = [2, 2, 0, 0, 1, 0, 1]
STUDENT = np.log(np.float32([0.001, 0.9, 0.5, 0.004, 0.8, 0.02, 0.99]))
LABELS = [NO, NO, NO, NO, NO, 22, 23, 24, 25, 9]


def trace(**other) -> Trace:
    """Prompt of 3, completion of 7: two forced, three of the teacher's, two of the student's, the last one ending."""
    n = len(other.get("token_ids", TOKENS))
    columns = {name: np.zeros(n, dtype) for name, dtype in COLUMNS.items()}
    columns |= dict(token_ids=TOKENS, source=SOURCE, student_logprob=STUDENT, pass_mass=np.linspace(0, 1, n))
    row = dict(problem_id="p", attempt=0, prompt_ids=PROMPT, finish_reason="stop", verdict="correct")
    return Trace(**{**row, **columns, **other})


def row(**other) -> Row:
    return replace(trace_row(trace()), **other)


def rows_of(problems: int, length: int = 4, name: str = "p") -> list[Row]:
    ids = np.arange(length, dtype=np.int32)
    labels = np.where(ids < 1, np.int32(NO), ids)
    return [Row(f"{name}{i}", 0, ids, labels, 1) for i in range(problems)]


def test_a_trace_becomes_its_ids_with_loss_on_what_was_not_forced():
    made = row()
    assert made.input_ids.tolist() == PROMPT + TOKENS and made.labels.tolist() == LABELS
    assert (made.start, made.loss_tokens, made.weights) == (3, 5, None)
    assert np.isnan(made.columns["student_logprob"][:3]).all()
    assert (made.columns["student_logprob"][3:] == STUDENT).all() and made.columns["source"][3:].tolist() == SOURCE


def test_below_masks_what_the_student_finds_implausible():
    made = masks.below(row(), 0.01)
    # of the two tokens under 1 % the first is forced and carries no loss anyway
    assert made.labels.tolist() == [NO, NO, NO, NO, NO, 22, NO, 24, 25, 9]
    assert made.masked == {"student probability < 0.01": 1}
    assert made.input_ids.tolist() == PROMPT + TOKENS
    assert masks.below(row(), 0.03).labels.tolist() == [NO, NO, NO, NO, NO, 22, NO, 24, NO, 9]


@pytest.mark.parametrize(
    ("source", "labels"),
    [("teacher", [NO] * 7 + [24, NO, 9]), ("student", [NO] * 5 + [22, 23, NO, 25, NO])],
)
def test_by_source_masks_one_of_the_two(source, labels):
    made = masks.by_source(row(), source)
    assert made.labels.tolist() == labels and made.masked == {f"by the {source}": labels.count(NO) - 5}


def test_anchors_are_tokens_whose_probability_rose():
    before = np.float32([np.nan, *[0.1] * 9])
    early = np.float32([np.nan, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1, 0.05, 0.3, 0.12])
    made = row(columns={"before_logprob": np.log(before), "early_logprob": np.log(early)})
    assert masks.anchors(made, 0.0).labels.tolist() == [NO] * 6 + [23, 24, NO, NO]
    assert masks.anchors(made, 0.05).labels.tolist() == [NO] * 6 + [23, 24, NO, 9]
    assert masks.anchors(made, 0.05).masked == {"imitation anchors": 2}


def test_a_token_counts_for_the_first_reason_that_masks_it():
    made = masks.below(masks.by_source(row(), "teacher"), 0.9)
    assert made.labels.tolist() == [NO] * 9 + [9]
    assert made.masked == {"by the teacher": 3, "student probability < 0.9": 1}
    assert made.loss_tokens + sum(made.masked.values()) == row().loss_tokens


def test_weights_are_the_column_where_there_is_loss():
    column = np.float32([np.nan, np.nan, np.nan, 7, 7, 0.5, 0, 2, np.nan, 1])
    made = masks.weighted(row(columns={"w": column}), "w")
    assert made.weights.tolist() == [0, 0, 0, 0, 0, 0.5, 0, 2, 1, 1]  # nothing known of a token: weight 1
    assert made.labels.tolist() == [NO, NO, NO, NO, NO, 22, NO, 24, 25, 9]
    assert made.masked == {"weight 0 by w": 1}
    for bad in (-1, np.inf):
        with pytest.raises(ValueError, match="weight .* at position 7 from column w, expected 0 or more"):
            masks.weighted(row(columns={"w": np.where(np.arange(10) == 7, np.float32(bad), column)}), "w")


def test_a_prefix_is_the_beginning_and_its_last_token_ends_it():
    made = prefix(row(), 4, END)
    assert made.input_ids.tolist() == [*PROMPT, 20, 21, 22, END] and made.labels.tolist() == [NO] * 5 + [22, END]
    assert made.prefixed and made.start == 3
    logprob = made.columns["student_logprob"]
    assert (logprob[3:6] == STUDENT[:3]).all() and np.isnan(logprob[6])  # it was another token's
    other = prefix(row(), 4, END, [1, 2, 3, 4, 5])
    assert other.input_ids.tolist() == [1, 2, 3, 4, 5, 20, 21, 22, END] and other.start == 5
    assert other.labels.tolist() == [NO] * 7 + [22, END]
    assert len(other.columns["source"]) == 9 and other.columns["source"][5:8].tolist() == SOURCE[:3]


@pytest.mark.parametrize("length", [7, 8, 100])
def test_a_completion_no_longer_than_the_prefix_keeps_its_tokens(length):
    made = prefix(row(), length, 77)
    assert made.input_ids.tolist() == PROMPT + TOKENS and made.labels.tolist() == LABELS


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.3, 0.5, 0.9])
def test_whole_traces_are_spread_evenly(share):
    whole = [is_whole for _, is_whole in spread(rows_of(100), share)]
    for n in range(1, 101):
        assert sum(whole[:n]) == int(n * share + 1e-9)


def test_a_mixture_holds_its_shares_at_every_beginning_and_repeats_no_row():
    rng = np.random.default_rng(0)
    for _ in range(200):
        k = int(rng.integers(2, 5))
        shares = rng.dirichlet(np.ones(k)) * 0.8 + 0.2 / k
        sets = [rows_of(int(rng.integers(20, 90)), name=f"{i}-") for i in range(k)]
        mixed = mix(sets, shares)
        names = [one.problem_id.split("-")[0] for one in mixed]
        assert len({one.problem_id for one in mixed}) == len(mixed)
        for n in range(1, len(mixed) + 1):
            counts = Counter(names[:n])
            assert all(abs(counts[str(i)] - shares[i] * n) < k - 1 + 1e-9 for i in range(k))
        most = min(len(s) / share for s, share in zip(sets, shares))
        assert most - k < len(mixed) <= most + 1e-6
    assert len(mix([rows_of(30), rows_of(1000)], [0.3, 0.7])) == 100
    assert Counter(one.problem_id[0] for one in mix([rows_of(80, name="a"), rows_of(20, name="b")], [0.8, 0.2])) == {
        "a": 80, "b": 20}  # fmt: skip


def test_shares_for_all_or_none():
    assert check_shares([None, None]) is None and check_shares([0.8, 0.2]) == [0.8, 0.2]
    for bad in ([0.5, None], [0.5, 0.6], [1.5, -0.5]):
        with pytest.raises(ValueError, match="shares"):
            check_shares(bad)


def test_budgets_nest_and_are_the_same_problems_in_other_sets():
    ours, others = order(rows_of(50), 3), order(rows_of(80), 3)
    known = {one.problem_id for one in ours}
    assert [r.problem_id for r in others if r.problem_id in known] == [r.problem_id for r in ours]
    assert [r.problem_id for r in order(rows_of(50), 4)] != [r.problem_id for r in ours]
    assert order(list(reversed(rows_of(50))), 3) != rows_of(50)
    assert digest(order(list(reversed(rows_of(50))), 3)) == digest(ours)
    assert [r.problem_id for r in cap_problems(ours, 10)] == [r.problem_id for r in cap_problems(ours, 20)][:10]
    twice = order([*rows_of(9), *(replace(r, attempt=1) for r in rows_of(9))], 0)
    assert [len(cap_problems(twice, n)) for n in (1, 4, 9, 100)] == [2, 8, 18, 18]
    assert [len(cap_tokens(ours, n)) for n in (2, 3, 8, 9, 10**6)] == [0, 1, 2, 3, 50]


def test_picks_among_the_attempts_at_a_problem():
    long = [20, 21, 22, 23, 24, 25, 26, 27, 9]
    surprised, sure = np.full(7, np.log(0.5)), np.full(9, np.log(0.9))
    traces = [
        trace(problem_id=p, attempt=0, student_logprob=surprised) if attempt == 0 else
        trace(problem_id=p, attempt=1, token_ids=long, source=[2] + [0] * 8, student_logprob=sure)
        for p in map(str, range(200)) for attempt in (0, 1)
    ]  # fmt: skip

    def picked(pick, seed=0, order=traces):
        return {t.problem_id: t.attempt for t in select(order, Selection(pick=pick, seed=seed), None)}

    assert surprisal(traces[0]) == pytest.approx(np.log(2)) and surprisal(traces[1]) == pytest.approx(-np.log(0.9))
    assert set(picked("shortest").values()) == {0} and set(picked("surprisal").values()) == {1}
    assert len(select(traces, Selection(pick="all"), None)) == 400
    drawn = picked("random")
    assert drawn == picked("random", order=traces[::-1]) != picked("random", seed=1)
    # the draw is fair: a binomial of 200 at 1/2 is outside 60..140 once in 10^8 seeds; this seed is fixed
    assert 60 < sum(drawn.values()) < 140


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the small student with itself, some tokens its own, and its export."""
    folder = tmp_path_factory.mktemp("run")
    student = dict(teacher=_student(), student=_student())
    make(folder / "run", problems="world:size=12", gate="threshold:0.9", max_tokens=80, attempts=2, **student)
    export_run(folder / "run", folder / "out", "all", 1.0, correct=False)
    return folder


def _student() -> str:
    from ownwords.models.load import model_path

    return model_path("world", "student")


def test_a_run_its_export_and_its_files_give_the_same_rows(run):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(_student())
    direct = run_rows(run / "run", Selection(correct=False, pick="all", max_fallback=1.0), tokenizer)
    folder, parquet, jsonl = (file_rows(run / "out" / name) for name in ("", "sft.parquet", "sft.jsonl"))
    assert len(direct) > 5 and len({one.problem_id for one in direct}) > 2
    for rows in (folder, parquet, jsonl):
        assert digest(rows) == digest(direct)
        assert [(r.problem_id, r.attempt) for r in rows] == [(r.problem_id, r.attempt) for r in direct]
    with Store.read(run / "run") as store:
        stored = {(t.problem_id, t.attempt): t for t in store.traces()}
    for one, exported in zip(direct, folder, strict=True):
        kept = stored[one.problem_id, one.attempt]
        assert one.input_ids.tolist() == [*kept.prompt_ids, *kept.token_ids]
        assert one.ask("{question}") == kept.prompt_ids.tolist()
        assert one.labels[len(kept.prompt_ids) :].tolist() == np.where(kept.source == 2, NO, kept.token_ids).tolist()
        for name in FIGURES:
            assert np.array_equal(one.columns[name], exported.columns[name], equal_nan=True), name
    assert masks.by_source(direct[0], "student").masked != {"by the student": 0}


def test_a_file_of_ones_own(tmp_path):
    """Only ids and labels, and a column of figures; a list of another length is none."""
    rows = [
        {"input_ids": [1, 2, 3], "labels": [NO, 2, 3], "w": [None, 0.5, 2.0], "other": [1.0]},
        {"input_ids": [1, 5, 6, 7], "labels": [NO, 5, 6, 7], "w": [0.0, 1.0, 1.0, 1.0], "other": [1.0]},
        {"input_ids": [4, 5], "labels": [NO, 5], "w": [0.0, 1.0], "other": [1.0]},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        read = file_rows(tmp_path / name)
        assert [r.input_ids.tolist() for r in read] == [r["input_ids"] for r in rows]
        assert [r.labels.tolist() for r in read] == [r["labels"] for r in rows]
        assert list(read[0].columns) == ["w"] and read[1].columns["w"].tolist() == [0, 1, 1, 1]
        assert np.isnan(read[0].columns["w"][0])
        first, second, third = (r.problem_id for r in read)
        assert first == second != third  # the same prompt is the same problem


def test_the_digest_sees_all_that_the_optimiser_sees():
    one = row()
    variants = [one, masks.below(one, 0.01), prefix(one, 4, END), replace(one, weights=np.ones(10, np.float32))]
    assert len({digest([v]) for v in variants}) == 4
    assert digest([one, variants[1]]) != digest([variants[1], one])
    assert digest([replace(one, columns={}, ask=None)]) == digest([one])
