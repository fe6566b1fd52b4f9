"""Is an architecture served? Its small model decodes, as teacher and as student, and is read again without a cache.

What must hold: drafts change no token, and every log-probability that was recorded is that of a plain forward pass over
the prompt and the tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PretrainedConfig, PreTrainedModel

from ownwords.engines.architecture import check_architecture
from ownwords.engines.decoder import Decoder
from ownwords.engines.engine import Finished, Request
from ownwords.engines.slots import layer_kinds
from ownwords.engines.small import small_model
from ownwords.engines.stops import Stops
from ownwords.rsd.columns import STUDENT, TEACHER
from ownwords.rsd.gates import Threshold
from ownwords.rsd.shaping import Sampling
from ownwords.rsd.step import Rules

DRAFTS = 4
SLOTS = 3
PROMPTS = (1, 21, 9, 14)
"""lengths; more than slots, so that freed slots are taken up by longer and shorter rows"""
BUDGET = 28
"""tokens of an attempt at most: more than a small model's window of 24"""
TOLERANCE = 1e-3
"""nats between a recorded log-probability and that of a plain forward pass, in float32; most architectures stay below
1e-5, those with gated states below 1e-3, as their own two ways of computing one (step by step, and in chunks) do"""
WORDS = {
    "full_attention": "full attention",
    "sliding_attention": "sliding window",
    "chunked_attention": "chunks",
    "indexed_attention": "attention by an index",
    "linear_attention": "recurrent",
    "conv": "convolution",
    "hybrid": "attention beside recurrent",
}


@dataclass(frozen=True)
class Tried:
    """What became of an architecture."""

    name: str
    layers: str = ""
    """what the small model of one that is served is made of"""
    error: float = 0.0
    """nats: the largest difference between a recorded log-probability and that of a plain forward pass"""
    refused: str = ""
    """why; empty of one that is served"""


def try_architecture(name: str) -> Tried:
    """Teacher and student of one architecture and other weights: does RSD give what plain passes say?

    Raises AssertionError if the check at the door lets an architecture in that then decodes wrongly.
    """
    teacher, student = small_model(name, seed=1), small_model(name, seed=2)
    try:
        check_architecture(student, max(PROMPTS) + BUDGET, name)
    except ValueError as refused:
        said = str(refused).removeprefix(f"{name} ({student.config.model_type}) ")
        return Tried(name, refused=said.removesuffix(": this architecture is not supported"))
    requests = [request(i, length, student.config) for i, length in enumerate(PROMPTS)]
    plain, ahead = (decode(teacher, student, requests, drafts) for drafts in (0, DRAFTS))
    for one in requests:
        ids = [written[one.key].columns["token_ids"].tolist() for written in (plain, ahead)]
        assert ids[0] == ids[1], f"{name}: drafts change the tokens of attempt {one.key[0]}"
    sources = {source for done in ahead.values() for source in done.columns["source"].tolist()}
    assert sources == {TEACHER, STUDENT}, f"{name}: only one of the models writes"
    error = max(recorded_error(teacher, student, one, ahead[one.key]) for one in requests)
    assert error < TOLERANCE, f"{name}: recorded log-probabilities are {error:.2g} nats off"
    return Tried(name, described(student.config), error)


def decode(
    teacher: PreTrainedModel, student: PreTrainedModel, requests: Sequence[Request], drafts: int
) -> dict[tuple[str, int], Finished]:
    """Let a decoder with fewer slots than requests write all attempts."""
    rules = Rules(gate=Threshold(0.01), teacher=Sampling(1.0, 1.0), student=Sampling(1.0, 1.0))
    stops = Stops(frozenset([2, 3]), repetition_window=0)
    decoder = Decoder(teacher, student, rules, stops, SLOTS, max(PROMPTS) + BUDGET, draft_length=drafts)
    waiting, finished = list(requests), {}
    while waiting or decoder.rows:
        taken, waiting = waiting[: decoder.free], waiting[decoder.free :]
        decoder.admit(taken)
        finished.update({done.key: done for done in decoder.step()})
    return finished


@torch.inference_mode()
def recorded_error(teacher: PreTrainedModel, student: PreTrainedModel, request: Request, done: Finished) -> float:
    """The largest difference, in nats, between recorded log-probabilities and those of plain forward passes."""
    ids = done.columns["token_ids"].tolist()
    said = []
    for model, prompt in ((teacher, request.teacher_prompt), (student, request.student_prompt)):
        logits_TV = model(torch.tensor([[*prompt, *ids]]), use_cache=False).logits[0, len(prompt) - 1 : -1]
        said.append(logits_TV.log_softmax(-1)[torch.arange(len(ids)), ids].numpy())
    kept = [done.columns["teacher_logprob"], done.columns["student_logprob"]]
    return float(max(np.abs(one - other).max() for one, other in zip(said, kept, strict=True)))


def request(key: int, length: int, config: PretrainedConfig) -> Request:
    generator = torch.Generator().manual_seed(key)
    prompt = torch.randint(4, config.get_text_config().vocab_size, (length,), generator=generator).tolist()
    return Request((str(key), 0), key, prompt, prompt, BUDGET)


def described(config: PretrainedConfig) -> str:
    """The layers of a small model: how many of which kind, and what is peculiar to them."""
    config = config.get_text_config()
    kinds = Counter(layer_kinds(config))
    if getattr(config, "layer_types", None) is None and getattr(config, "sliding_window", None):
        kinds = Counter({"sliding_attention": config.num_hidden_layers})
    parts = [f"{count} {WORDS.get(kind, kind)}" for kind, count in kinds.items()]
    for what, *fields in (
        ("experts", "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
        ("latent keys and values", "kv_lora_rank"),
        ("layers that share keys and values", "num_kv_shared_layers"),
    ):
        counts = [count for field in fields if (count := getattr(config, field, None))]
        if counts:
            parts.append(what if fields == ["kv_lora_rank"] else f"{counts[0]} {what}")
    return ", ".join(parts)
