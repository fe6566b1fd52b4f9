"""What is to be scored: the settings, one look at the whole set, and its cut into blocks."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from ownwords.chat.settings import THINK
from ownwords.models.load import load_tokenizer
from ownwords.numbers import Count, CountOr0, CountOrNone, Processes, Seed, check
from ownwords.suitability.sets import Member, members
from ownwords.suitability.shapes import IdTrace
from ownwords.traces.store import Store, is_run

BLOCK_BATCHES, BLOCK_TRACES = 8, 256
"""A block is about so many batches of tokens, or so many traces."""
LETTERS_PER_TOKEN = 3.5
"""for the size of blocks only"""


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """What `ownwords score` is asked for."""

    traces: str
    student: str
    out: Path
    sample: CountOrNone = None
    """score so many traces, drawn by problem: every set that has a problem draws the same ones first"""
    seed: Seed = 0
    local_steps: CountOr0 = 0
    """k of Local Naturalness; 0 leaves it out"""
    think: tuple[str, str] = THINK
    """the student's own tags around the thinking"""
    marks: tuple[str, str] | None = None
    """those of the set, if they are none that `markers.PAIRS` knows"""
    template_kwargs: dict[str, Any] = field(default_factory=dict)
    """variables of the student's chat template"""
    dtype: str = "auto"
    device: str = "auto"
    batch_tokens: Count = 8192
    workers: Processes = 1

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Survey:
    """What one look at the whole set tells, before the first token."""

    traces: int
    """to be scored"""
    digest: str
    """changes when the set does"""
    chosen: frozenset[int] | None
    """their numbers in the set; None for all"""
    as_text: bool
    """the set's ids are of another tokenizer than the student's"""


def survey(config: ScoreConfig, tokenizer: PreTrainedTokenizerBase | None = None) -> Survey:
    """Read the whole set once. `tokenizer`: the student's, if it is in memory. Raises ValueError for every row that
    does not fit."""
    as_text = _other_tokenizer(config, tokenizer)
    digest = hashlib.sha256()
    ranked: list[tuple[bytes, int]] = []
    for number, member in enumerate(members(config.traces, as_text)):
        digest.update(repr((member.problem_id, member.attempt, member.trace.verdict)).encode() + _content(member))
        draw = hashlib.sha256(f"{config.seed}:{member.problem_id}:{member.attempt}".encode()).digest()
        ranked.append((draw, number))
    if not ranked:
        raise ValueError(f"{config.traces} holds no traces")
    if config.sample is None or config.sample >= len(ranked):
        return Survey(len(ranked), digest.hexdigest()[:16], None, as_text)
    chosen = frozenset(number for _, number in heapq.nsmallest(config.sample, ranked))
    return Survey(len(chosen), digest.hexdigest()[:16], chosen, as_text)


def blocks(config: ScoreConfig, found: Survey) -> Iterator[list[tuple[int, Member]]]:
    """Consecutive traces with their numbers in the scores; the same cut at every start."""
    block: list[tuple[int, Member]] = []
    size, scored = 0.0, 0
    for number, member in enumerate(members(config.traces, found.as_text)):
        if found.chosen is not None and number not in found.chosen:
            continue
        block.append((scored, member))
        scored += 1
        size += _size(member)
        if len(block) == BLOCK_TRACES or size >= BLOCK_BATCHES * config.batch_tokens:
            yield block
            block, size = [], 0.0
    if block:
        yield block


def _content(member: Member) -> bytes:
    trace = member.trace
    if isinstance(trace, IdTrace):
        return trace.tokens.ids.tobytes() + trace.tokens.free.tobytes()
    return repr((trace.prompt, trace.thinking, trace.answer)).encode(errors="surrogatepass")


def _size(member: Member) -> float:
    """About how many tokens a trace has."""
    trace = member.trace
    if isinstance(trace, IdTrace):
        return len(trace.tokens.ids)
    return (len(trace.question) + len(trace.thinking or "") + len(trace.answer)) / LETTERS_PER_TOKEN


def _other_tokenizer(config: ScoreConfig, tokenizer: PreTrainedTokenizerBase | None) -> bool:
    """Whether a run's ids mean other tokens than the student's."""
    if not is_run(Path(config.traces)):
        return False
    with Store.read(Path(config.traces)) as store:
        theirs = store.config["student"]
    if theirs == config.student:
        return False
    ours = tokenizer or load_tokenizer(config.student, "student")
    return load_tokenizer(theirs, "student").get_vocab() != ours.get_vocab()
