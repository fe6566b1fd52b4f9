"""What replaces the methods of vLLM's second model runner, called with made-up batches on a CPU: prompts in pieces,
requests that come late and go, and every token against the enumeration. `make test-vllm-v2` has the runner itself.

The statistical test uses a fixed seed; were it drawn anew, it would raise a false alarm with probability at most 1e-3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_rsd_law import FALSE_ALARM, chi_square, enumerated
from vllm import SamplingParams
from vllm.v1.worker.gpu.input_batch import InputBatch

from ownwords.models.named import named
from ownwords.rsd.columns import STUDENT
from ownwords.rsd.shaping import Sampling
from ownwords.vllm.deployment import Deployment
from ownwords.vllm.second_runner import SecondTailor, check_internals
from ownwords.vllm.tailoring import ENDED
from ownwords.vllm.wishes import Wish

P = np.array([0.45, 0.3, 0.15, 0.1])
Q = np.array([0.04, 0.5, 0.16, 0.3])
IDS = len(named("world", "student").tokenizer)
STEPS = 3
"""drafts of a block; the teacher reads all but the last"""
PLAIN = Sampling(1.0, 1.0)
Columns = dict[str, np.ndarray]
ATTEMPTS = 3000
PIECE = 4
"""tokens of a prompt that are read in a step"""


def logits(p: np.ndarray, rows: int) -> torch.Tensor:
    found = torch.full((rows, IDS), -torch.inf)
    found[:, : len(p)] = torch.from_numpy(np.log(p))
    return found


class Speculator:
    """A student that looks at no context."""

    num_speculative_steps = STEPS
    model = SimpleNamespace(compute_logits=lambda hidden: logits(Q, len(hidden)))

    def propose(self, batch, last_hidden_states: torch.Tensor, dummy_run: bool = False) -> torch.Tensor:
        return torch.stack([self.sample_draft(last_hidden_states) for _ in range(STEPS)], 1)

    def sample_draft(self, hidden_states: torch.Tensor) -> torch.Tensor:
        raise AssertionError("vLLM's own drafts")


@dataclass
class State:
    """A request, as vLLM keeps it."""

    slot: int
    prompt: list[int]
    tokens: list[int] = field(default_factory=list)
    computed: int = 0
    drafts: list[int] = field(default_factory=list)


class Runner:
    """A runner in small, with a teacher that looks at no context."""

    device = torch.device("cpu")
    model = SimpleNamespace(compute_logits=lambda hidden: logits(P, len(hidden)))

    def __init__(self) -> None:
        self.speculator = Speculator()
        self.req_states = SimpleNamespace(last_sampled_tokens=torch.zeros(4096, 1, dtype=torch.long))
        self.states: dict[str, State] = {}

    def sample(self, hidden_states, input_batch, grammar_output):
        raise AssertionError("vLLM's own sampler")

    def add_requests(self, scheduled) -> None:
        for new in scheduled.scheduled_new_reqs:
            self.states[new.req_id] = State(len(self.states), new.prompt)

    def finish_requests(self, scheduled) -> None:
        for request in scheduled.finished_req_ids:
            self.states[request].drafts = []

    def sample_tokens(self, going: list[str]):
        """A step of these."""
        states = [self.states[request] for request in going]
        queries, reads = [], []
        for state in states:
            known = state.prompt + state.tokens
            here = known[state.computed :][:PIECE]
            whole = state.computed + len(here) == len(known)
            read = state.drafts[:-1] if whole else []
            if state.drafts:  # it has one token to compute, and vLLM puts what was sampled last there
                assert len(here) == 1
                here = self.req_states.last_sampled_tokens[state.slot].tolist()
            queries.append(here + read)
            reads.append(len(read))
        first = np.cumsum([0, *map(len, queries)])
        at = [range(end - read - 1, end) for end, read in zip(first[1:], reads, strict=True)]
        batch = SimpleNamespace(
            req_ids=going,
            logits_indices=torch.tensor([i for one in at for i in one]),
            input_ids=torch.tensor([i for query in queries for i in query], dtype=torch.int32),
            num_draft_tokens_per_req=np.array(reads) if any(reads) else None,
            expanded_local_pos=torch.tensor([i for one in at for i in range(len(one))]),
            seq_lens_cpu_upper_bound=torch.tensor([s.computed + len(q) for s, q in zip(states, queries, strict=True)]),
            prefill_len_np=np.array([len(state.prompt) for state in states]),
            idx_mapping=torch.tensor([state.slot for state in states]),
        )
        assert vars(batch).keys() <= {one.name for one in fields(InputBatch)}
        output, got, void = self.sample(torch.zeros(int(first[-1]), 1), batch, None)
        for b, state in enumerate(states):
            ids = output.sampled_token_ids[b, : got[b]].tolist()
            state.tokens += ids
            state.computed += len(queries[b]) - int(void[b])
            if ids:
                self.req_states.last_sampled_tokens[state.slot] = ids[-1]
        drafts = self.speculator.propose(batch, torch.zeros(len(going), 1))
        for state, row in zip(states, drafts.tolist(), strict=True):
            state.drafts = row if state.computed >= len(state.prompt) - 1 else []
        return SimpleNamespace(model_runner_output=SimpleNamespace())


def run(wish: Wish, attempts: int, tokens: int, at_once: int = 400) -> tuple[SecondTailor, dict[str, Columns]]:
    """All of them, some after others, with prompts of unequal length. What is recorded is what vLLM was given."""
    runner = Runner()
    tailor = SecondTailor(runner, Deployment("world", "world"))
    waiting, going, records = [str(i) for i in range(attempts)], [], {}
    while waiting or going:
        new, waiting = waiting[: at_once - len(going)], waiting[at_once - len(going) :]
        runner.add_requests(
            SimpleNamespace(
                scheduled_new_reqs=[
                    SimpleNamespace(
                        req_id=name,
                        prompt=[5] * (2 + int(name) % 9),
                        sampling_params=SamplingParams(
                            max_tokens=tokens, extra_args=replace(wish, key=("p", int(name)), record=name).args()
                        ),
                    )
                    for name in new
                ]
            )
        )
        going += new
        told = getattr(runner.sample_tokens(going).model_runner_output, ENDED)
        for name in told:
            columns, reason = tailor.attempts.take([name])[name]
            assert columns["token_ids"].tolist() == runner.states[name].tokens and reason == told[name] == "length"
            records[name] = columns
        going = [name for name in going if name not in told]
        runner.finish_requests(SimpleNamespace(finished_req_ids=set(told)))
    return tailor, records


@pytest.mark.parametrize("proposals", [1, 5, math.inf])
def test_three_tokens_and_their_writers_follow_the_enumeration(proposals):
    """Their joint law: independent places, since the models look at no context."""
    wish = Wish("threshold:0.05", proposals, PLAIN, PLAIN, seed=0)
    tailor, records = run(wish, ATTEMPTS, 3)
    counts = np.zeros((8, 8, 8))
    for columns in records.values():
        counts[tuple(columns["token_ids"] + 4 * (columns["source"] == STUDENT))] += 1
    one = enumerated(P, Q, (Q >= 0.05).astype(float), proposals).ravel()
    assert counts.sum() == ATTEMPTS
    assert chi_square(counts, one[:, None, None] * one[:, None] * one) > FALSE_ALARM / 3
    assert not tailor.params  # nothing stays behind


def test_vllm_warms_up_with_a_batch_of_nobody():
    runner = Runner()
    SecondTailor(runner, Deployment("world", "world"))
    assert runner.speculator.propose(None, torch.zeros(2, 1), dummy_run=True).tolist() == [[0] * STEPS] * 2


def test_a_runner_that_samples_in_shards_is_refused():
    runner = Runner()
    runner.batch_sharder = object()
    with pytest.raises(ValueError, match="VLLM_USE_V2_MODEL_RUNNER=0"):
        SecondTailor(runner, Deployment("world", "world"))


def test_the_methods_that_are_replaced_are_there():
    check_internals()
