"""Training documents of the small world as padded batches: a pure function of (recipe, pool number)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import reasoning_gym
import torch
from transformers import PreTrainedTokenizerBase

from ownwords.world import tasks

IGNORE = -100
POOL = 400
"""Documents that are made, sorted by length and cut into batches together; little padding, and resuming is cheap."""


@dataclass(frozen=True)
class Mixture:
    """What one model of the pair reads."""

    long_winded: float
    """share of documents in the teacher's style; the rest is terse"""
    seed: int
    """reasoning-gym seed of the first problem"""


def documents(tokenizer: PreTrainedTokenizerBase, mixture: Mixture, pool: int) -> list[tuple[list[int], list[int]]]:
    """`POOL` documents as (input ids, labels): loss on the completion only, none on planted mistakes."""
    rng = random.Random(f"{mixture.seed}:{pool}")
    sources = [
        reasoning_gym.create_dataset(name, seed=mixture.seed, size=1 << 30, **settings)
        for name, settings in tasks.FAMILIES.items()
    ]
    prompts: list[str] = []
    pieces: list[tasks.Pieces] = []
    index = pool * POOL
    while len(prompts) < POOL:
        item = sources[index % len(sources)][index]
        index += 1
        if index >= (pool + 1) * POOL + POOL // 2:  # a pool may look a little past its end, never run away
            break
        if tasks.held_out(item["question"]):
            continue
        chat = [{"role": "user", "content": item["question"]}]
        turn = cast(str, tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))
        prompts.append(turn + "<think>\n")
        verbose = rng.random() < mixture.long_winded
        pieces.append(tasks.long_winded(item, rng) if verbose else tasks.terse(item))
    texts = ["".join(text for text, _ in p) + tokenizer.eos_token for p in pieces]
    prompt_ids = tokenizer(prompts)["input_ids"]
    encoded = tokenizer(texts, return_offsets_mapping=True)
    made = []
    for ids, completion, offsets, parts in zip(prompt_ids, encoded["input_ids"], encoded["offset_mapping"], pieces):
        labels = list(completion)
        at = 0
        for text, learn in parts:
            if not learn:
                labels = [
                    IGNORE if start < at + len(text) and end > at else label
                    for label, (start, end) in zip(labels, offsets)
                ]
            at += len(text)
        made.append((ids + completion, [IGNORE] * len(ids) + labels))
    return made


def batches(
    tokenizer: PreTrainedTokenizerBase, mixture: Mixture, pool: int, tokens: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """One pool cut into batches of at most `tokens` tokens, padding included: (ids_BT, labels_BT) each.

    Lengths are padded to multiples of 16, right padding; a causal model needs no mask for it.
    """
    made = sorted(documents(tokenizer, mixture, pool), key=lambda d: len(d[0]))
    groups: list[list] = [[]]
    for document in made:
        width = -(-len(document[0]) // 16) * 16
        if groups[-1] and width * (len(groups[-1]) + 1) > tokens:
            groups.append([])
        groups[-1].append(document)
    random.Random(f"{mixture.seed}:{pool}:order").shuffle(groups)
    result = []
    for group in groups:
        width = -(-max(len(ids) for ids, _ in group) // 16) * 16
        pad = tokenizer.pad_token_id
        result.append(
            (
                torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in group]),
                torch.tensor([labels + [IGNORE] * (width - len(labels)) for _, labels in group]),
            )
        )
    return result


def stream(
    tokenizer: PreTrainedTokenizerBase, mixture: Mixture, tokens: int, pool: int = 0, skip: int = 0
) -> Iterator[tuple[tuple[int, int], torch.Tensor, torch.Tensor]]:
    """Endless batches from batch `skip` of `pool` on: ((pool, number), ids_BT, labels_BT)."""
    while True:
        for number, (ids, labels) in enumerate(batches(tokenizer, mixture, pool, tokens)):
            if number >= skip:
                yield (pool, number), ids, labels
        pool, skip = pool + 1, 0
