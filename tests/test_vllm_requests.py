"""What the vLLM engine is made of, without vLLM: requests' arguments, the worker's tokens against the enumeration, and
a canary that sees planted mistakes.

Statistical tests use fixed seeds; were the seeds drawn anew, all of them together would raise a false alarm with
probability at most 1e-3 (chi-square, each at 1e-3 / number of tests).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from test_rsd_law import FALSE_ALARM, chi_square, enumerated

from ownwords.rsd.columns import STUDENT, TEACHER
from ownwords.rsd.shaping import Sampling
from ownwords.rsd.step import Rules
from ownwords.vllm.attempts import Attempts
from ownwords.vllm.canary import Answer, Asked, canary
from ownwords.vllm.wire import from_json, pack, to_json, unpack
from ownwords.vllm.wishes import Wish, check_request

P = np.array([0.45, 0.3, 0.15, 0.1])
Q = np.array([0.04, 0.5, 0.16, 0.3])
PLAIN = Sampling(1.0, 1.0)


@dataclass
class Params:
    """What is read of vLLM's `SamplingParams`."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int | None = 8
    extra_args: dict[str, Any] | None = field(default_factory=dict)
    prompt_logprobs: int | None = None
    n: int = 1


def test_arguments_are_read_and_carried():
    args = {"gate": "ratio", "proposals": "inf", "seed": 3, "key": ["p", 2], "forced": [1], "student_temperature": 0.5}
    wish = Wish.of(Params(temperature=0.7, top_k=-1, extra_args=args), Wish())
    assert (wish.proposals, wish.key, wish.teacher.top_k) == (math.inf, ("p", 2), 0)
    assert (wish.teacher.temperature, wish.student.temperature) == (0.7, 0.5)
    assert Wish.of(Params(temperature=0.7, extra_args=wish.args()), Wish()) == wish


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extra_args": {"gat": "never"}}, "has 'gat', expected gate"),
        ({"extra_args": {"gate": "treshold:1"}}, "treshold"),
        ({"extra_args": {"gate": 3}}, "gate is 3, expected a gate"),
        ({"extra_args": {"key": "3"}}, "key is '3', expected"),
        ({"extra_args": {"key": ["p", math.inf]}}, "key is ..p., inf., expected"),
        ({"extra_args": {"seed": math.inf}}, "cannot convert float infinity"),
        ({"extra_args": {"proposals": "many"}}, "proposals is many, expected"),
        ({"extra_args": {"proposals": 0}}, "proposals is 0, expected"),
        ({"extra_args": {"student_temperature": 0.001}}, "expected 0 or 0.01 and more"),
        ({"extra_args": {"max_fallback": 2}}, "max_fallback is 2, expected a share"),
        ({"extra_args": {"forced": [4]}}, "are at most 4"),
        ({"extra_args": {"forced": [1, 1, 1, 1, 1, 1, 1, 1]}}, "expected fewer than max_tokens 8"),
        ({"extra_args": {"seed": 1}, "n": 2}, "n is 2, expected 1 for a request with a seed"),
        ({"extra_args": {"record": "r"}, "n": 2}, "n is 2, expected 1 for a request with a record"),
        ({"prompt_logprobs": 0}, "expected 1: such a request only scores"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(changes, said):
    with pytest.raises(ValueError, match=said) as refused:
        check_request(replace(Params(), **changes), [1, 2], 100, 4, Wish())
    assert "\n" not in str(refused.value)


def test_prompts_that_are_too_short_or_too_long_are_refused():
    for prompt, said in (([1], "1 token"), (None, "embeddings"), ([1] * 100, "expected at most 99")):
        with pytest.raises(ValueError, match=said):
            check_request(Params(), prompt, 100, 4, Wish())


def logits(p: np.ndarray, rows: int) -> torch.Tensor:
    return torch.from_numpy(np.log(p)).float().expand(rows, len(p))


def written(wish: Wish, drafts: int, attempts: int, tokens: int) -> Attempts:
    """A worker that has written attempts of models that look at no context, with `drafts` at a time."""
    worker = Attempts(Rules())
    names = [str(i) for i in range(attempts)]
    for i, name in enumerate(names):
        worker.begin(name, replace(wish, seed=0, key=("p", i), record=name), tokens, frozenset())
    while going := [name for name in names if worker.by_request[name].written < tokens]:
        for ahead in range(drafts):
            worker.draft(going, logits(Q, len(going)), first=ahead == 0)
        worker.settle(dict.fromkeys(going, drafts), logits(P, len(going) * drafts))
    return worker


GATES = {
    "threshold:0.05": (Q >= 0.05).astype(float), "always": np.ones(4), "never": np.zeros(4),
    "ratio": np.minimum(1, Q / P),
}  # fmt: skip


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("proposals", [1, 5, math.inf])
def test_three_tokens_and_their_writers_follow_the_enumeration(gate, proposals):
    """Their joint law: independent places, since the models look at no context."""
    worker = written(Wish(gate, proposals, PLAIN, PLAIN), drafts=2, attempts=6000, tokens=3)
    one = enumerated(P, Q, GATES[gate], proposals).ravel()
    counts = np.zeros((8, 8, 8))
    for attempt in worker.by_request.values():
        columns = attempt.record()
        counts[tuple(columns["token_ids"] + 4 * (columns["source"] == STUDENT))] += 1
    expected = one[:, None, None] * one[:, None] * one
    assert chi_square(counts, expected) > FALSE_ALARM / (3 * len(GATES))
    assert counts.sum() == 6000


@pytest.mark.parametrize("drafts", [1, 3, 5])
def test_the_number_of_drafts_changes_no_token(drafts):
    wish = Wish("threshold:0.05", 1, PLAIN, PLAIN)
    few, many = (written(wish, n, 200, 12).by_request for n in (2, drafts))
    for name, attempt in few.items():
        for column in ("token_ids", "source"):
            np.testing.assert_array_equal(attempt.record()[column], many[name].record()[column])


def test_one_draft_more_than_the_teacher_has_read_can_be_settled():
    worker = Attempts(Rules())
    for name in ("a", "in its prompt"):
        worker.begin(name, Wish(), 8, frozenset())
    two = logits(np.array([0.5, 0.5]), 2)
    ids = torch.stack([worker.draft(["a", "in its prompt"], two, k == 0, {"in its prompt"}) for k in range(3)], 1)
    drafted = ids[0].tolist()
    assert [worker.drafts.after("a", drafted[:read]) for read in range(4)] == [1, 2, 3, 3]
    assert worker.drafts.after("a", [1 - drafted[0]]) == 0
    assert worker.drafts.after("in its prompt", []) == worker.drafts.after("never seen", []) == 0


def test_a_record_crosses_the_wire():
    (columns, _), *_ = written(Wish(), 2, 1, 5).take(["0"]).values()
    found = unpack(from_json(to_json(pack(columns))), 5)
    for name, column in columns.items():
        np.testing.assert_array_equal(found[name], column)
    with pytest.raises(ValueError, match="shorter than its 6 tokens"):
        unpack(pack(columns), 6)


class Served:
    """A vLLM in small: one that looks at no context, with mistakes that it may be given."""

    def __init__(self, mistake: str = "") -> None:
        self.mistake = mistake

    def __call__(self, asked: list[Asked]) -> list[Answer]:
        names = [one.wish.record for one in asked if not one.scores]
        assert len({*names}) == len(names)  # else one takes the record of another
        return [self.answer(one, i) for i, one in enumerate(asked)]

    def answer(self, one: Asked, i: int) -> Answer:
        if one.scores:
            return Answer([0], prompt_logprobs=np.log(P)[one.prompt[1:]].tolist())
        worker = Attempts(Rules())
        inert = self.mistake == "the teacher writes everything"
        wish = replace(one.wish, gate="always") if inert else one.wish
        wish = replace(wish, teacher=PLAIN, student=PLAIN, record="r")
        worker.begin("r", wish, one.max_tokens, frozenset())
        said = np.array([0.9, 0.04, 0.03, 0.03])
        student = said if self.mistake == "other drafts are recorded" else Q
        teacher = said if self.mistake == "the sampler has another teacher" else P
        while worker.by_request["r"].written < one.max_tokens:
            worker.draft(["r"], logits(student, 1), first=True)
            worker.settle({"r": 1}, logits(teacher, 1))
        columns = {name: column.copy() for name, column in worker.by_request["r"].record().items()}
        if self.mistake == "other drafts are recorded":
            columns["student_logprob"] = np.log(Q)[columns["token_ids"]].astype(np.float32)
        ids = columns["token_ids"].tolist()
        if self.mistake == "records of others" and i == 0:
            columns["token_ids"] = columns["token_ids"][::-1] + 1
        return Answer(ids, columns)


PROMPTS = [[0, 1, 2], [3, 2, 1, 0], [1, 1], [2, 3]]


def test_the_canary_passes_what_is_right():
    canary(Served(), PROMPTS, "float32", pair=True)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ("the teacher writes everything", "with the gate never .* by the wrong model"),
        ("the sampler has another teacher", "teacher_logprob with the gate"),
        ("other drafts are recorded", "came first in"),
        ("records of others", "the record of a request has the tokens"),
    ],
)
def test_the_canary_sees_planted_mistakes(mistake, said):
    with pytest.raises(ValueError, match=said):
        canary(Served(mistake), PROMPTS, "float32", pair=True)


def test_the_writers_are_those_of_the_gates():
    for gate, writer in (("always", TEACHER), ("never", STUDENT)):
        done = Served()([Asked([1, 2], Wish(gate), 4)])
        assert set(done[0].columns["source"].tolist()) == {writer}
