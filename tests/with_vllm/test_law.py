"""The joint law of three tokens and their writers, as vLLM samples them, against the enumeration. The pair has rows of
padding of unequal number.

Statistical tests use fixed seeds; were the seeds drawn anew, all of them together would raise a false alarm with
probability at most 1e-3 (chi-square, each at 1e-3 / number of tests).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_rsd_law import FALSE_ALARM, chi_square, enumerated
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from ownwords.engines.engine import Job, Pair, Request, write_all
from ownwords.models.named import named
from ownwords.rsd.columns import STUDENT
from ownwords.rsd.gates import parse_gate
from ownwords.rsd.shaping import Sampling
from ownwords.vllm.embedded import VllmEngine

IDS = 257
ROWS = {"teacher": 264, "student": 260}
"""those beyond the ids are zero, as of real models: what vLLM itself says of a text counts them in, ours does not"""
POOL = 3
"""likeliest ids that each may write, so that few cells hold all triples"""
ATTEMPTS, TOKENS = 1500, 3
PROMPT = [72, 105, 33]
CASES = [(gate, K) for gate in ("threshold:0.03", "ratio") for K in (1, 5, math.inf)] + [("always", 1), ("never", 1)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bare = Tokenizer(models.BPE(vocab={byte: i for i, byte in enumerate(alphabet)}, merges=[]))
    bare.pre_tokenizer, bare.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="<|end|>")
    assert len(tokenizer) == IDS
    found = {}
    for seed, (role, rows) in enumerate(ROWS.items()):
        torch.manual_seed(seed)
        config = Qwen3Config(
            vocab_size=rows, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            head_dim=32, intermediate_size=64, max_position_embeddings=512, tie_word_embeddings=False,
            initializer_range=0.35, eos_token_id=IDS - 1,
        )  # fmt: skip
        found[role] = tmp_path_factory.mktemp(role)
        model = Qwen3ForCausalLM(config)
        with torch.no_grad():
            model.lm_head.weight[IDS:] = 0
        model.save_pretrained(found[role])
        tokenizer.save_pretrained(found[role])
    return found


def a_job(folders: dict[str, Path], gate: str, proposals: float) -> tuple[Job, list[Request]]:
    teacher, student = (named(str(folders[role]), role) for role in ROWS)
    shaped = Sampling(1.0, 1.0, POOL)
    pair = Pair(teacher, student, parse_gate(gate), proposals, shaped, shaped)
    requests = [Request(("p", i), "p", PROMPT, PROMPT, TOKENS, ()) for i in range(ATTEMPTS)]
    return Job(pair, 0, requests[0], len(requests)), requests


@pytest.fixture(scope="module")
def engine(folders) -> VllmEngine:
    job, _ = a_job(folders, "always", 1)
    return VllmEngine.open(job, {"draft_length": 2, "cache": 1})


class Enumeration:
    """Every way to write three tokens and its probability, by plain forward passes and the definitions."""

    def __init__(self, folders: dict[str, Path], gate: str, proposals: float) -> None:
        self.models = {role: Qwen3ForCausalLM.from_pretrained(path).eval() for role, path in folders.items()}
        self.gate, self.proposals = gate, proposals

    def triples(self, written: tuple[tuple[int, bool], ...] = (), so_far: float = 1.0) -> Iterator[tuple[tuple, float]]:
        """((id, by the student) of each token, probability)."""
        if len(written) == TOKENS or (written and written[-1][0] == IDS - 1):
            yield written, so_far
            return
        for by_student, law_V in enumerate(self.law([*PROMPT, *(token for token, _ in written)])):
            for token in np.flatnonzero(law_V):
                yield from self.triples((*written, (int(token), bool(by_student))), so_far * law_V[token])

    @torch.inference_mode()
    def law(self, ids: list[int]) -> np.ndarray:
        p, q = (
            model(torch.tensor([ids])).logits[0, -1, :IDS].double().softmax(0).numpy() for model in self.models.values()
        )
        P, F = (np.where(np.isin(range(IDS), np.argsort(-one)[:POOL]), one, 0) for one in (p, q))
        kind, _, least = self.gate.partition(":")
        g = {
            "threshold": lambda: (q >= float(least)).astype(float), "ratio": lambda: np.minimum(1, q / p),
            "always": lambda: np.ones(IDS), "never": lambda: np.zeros(IDS),
        }[kind]()  # fmt: skip
        return enumerated(P / P.sum(), F / F.sum(), g, self.proposals)


@pytest.mark.parametrize(("gate", "proposals"), CASES)
def test_three_tokens_and_their_writers_follow_the_enumeration(engine: VllmEngine, folders, gate, proposals):
    job, requests = a_job(folders, gate, proposals)
    cells = dict(Enumeration(folders, gate, proposals).triples())
    assert math.isclose(sum(cells.values()), 1, rel_tol=1e-6)
    place = {cell: i for i, cell in enumerate(cells)}
    counts = np.zeros(len(cells))
    for one in write_all(engine.again(job), requests):
        columns = one.columns
        by_student = (columns["source"] == STUDENT).tolist()
        counts[place[tuple(zip(columns["token_ids"].tolist(), by_student, strict=True))]] += 1
    assert counts.sum() == ATTEMPTS
    assert chi_square(counts, np.array(list(cells.values()))) > FALSE_ALARM / (len(CASES) + 1)


def test_another_law_is_noticed(engine: VllmEngine, folders):
    """The test above can fail: one proposal is not five."""
    job, requests = a_job(folders, "ratio", 1)
    cells = dict(Enumeration(folders, "ratio", 5).triples())
    counts = dict.fromkeys(cells, 0)
    for one in write_all(engine.again(replace(job, seed=1)), requests):
        by_student = (one.columns["source"] == STUDENT).tolist()
        counts[tuple(zip(one.columns["token_ids"].tolist(), by_student, strict=True))] += 1
    assert chi_square(np.array(list(counts.values())), np.array(list(cells.values()))) < 1e-6
