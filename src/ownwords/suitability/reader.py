"""A block of traces in, a row of scores for each out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from ownwords.records.tokens import Tokens
from ownwords.suitability.encode import Encoder, why_not
from ownwords.suitability.forward import Scorer, batches
from ownwords.suitability.naturalness import by_step
from ownwords.suitability.pieces import SENTENCE_END, Pieces, steps
from ownwords.suitability.scores import trace_scores
from ownwords.suitability.sets import Member
from ownwords.suitability.survey import ScoreConfig

Tell = Callable[[int, int], None]
"""(traces, tokens) scored since it was told last"""
UNSCORED: dict[str, Any] = {name: [] for name in ("surprisal", "rank", "entropy", "step")}
"""the columns of a trace that was skipped"""


class Reader:
    """A student at work; made once per process."""

    def __init__(self, config: ScoreConfig, tokenizer: PreTrainedTokenizerBase, scorer: Scorer) -> None:
        self.config, self.tokenizer, self.scorer = config, tokenizer, scorer
        self.encoder = Encoder(tokenizer, config.think, config.marks, config.template_kwargs)
        self.pieces = Pieces(tokenizer)
        self.context = getattr(scorer.model.config.get_text_config(), "max_position_embeddings", None)

    def rows(self, block: list[tuple[int, Member]], tell: Tell) -> list[dict[str, Any]]:
        """The rows of a block, in its order."""
        given = [self._encoded(member) for _, member in block]
        skipped = [why_not(one, self.context, self.scorer.ids) for one in given]
        whole = [i for i, reason in enumerate(skipped) if not reason]
        tell(len(block) - len(whole), 0)
        in_steps = [replace(given[i], step=steps(self.pieces(given[i].token_ids), SENTENCE_END)) for i in whole]
        scored = dict(zip(whole, self._score(in_steps, tell, 1), strict=True))
        local = dict(zip(whole, self._local(in_steps, tell))) if self.config.local_steps else {}
        return [
            _row(number, member, given[i], skipped[i]) | (_scores(scored[i], local.get(i)) if i in scored else UNSCORED)
            for i, (number, member) in enumerate(block)
        ]

    def _encoded(self, member: Member) -> Tokens:
        try:
            return self.encoder(member.trace)
        except ValueError as error:
            raise ValueError(f"{member.place}: {error}") from None

    def _score(self, given: list[Tokens], tell: Tell, count: int) -> list[Tokens]:
        done: dict[int, Tokens] = {}
        for group in batches([len(one.ids) for one in given], self.config.batch_tokens):
            batch = [given[i] for i in group]
            done |= zip(group, self.scorer.score(batch), strict=True)
            tell(count * len(group), sum(len(one.ids) for one in batch))
        return [done[i] for i in range(len(given))]

    def _local(self, given: list[Tokens], tell: Tell) -> Iterator[np.ndarray]:
        """Surprisal of the tokens of each that count, under the problem and the few steps before only."""
        parts = [by_step(tokens, self.config.local_steps) for tokens in given]
        scored = iter(self._score([part for group in parts for part in group], tell, 0))
        for tokens, group in zip(given, parts, strict=True):
            surprisal = np.concatenate([next(scored).surprisal for _ in group])
            counts = tokens.free[-len(surprisal) :]
            yield surprisal[counts]


def _row(number: int, member: Member, tokens: Tokens, skipped: str) -> dict[str, Any]:
    """What is known of a trace before the student has read it; `skipped`: why it does not."""
    return {
        "trace": number,
        "problem_id": member.problem_id,
        "attempt": member.attempt,
        "source": member.trace.source,
        "verdict": member.trace.verdict,
        "skipped": skipped,
        "prompt_tokens": len(tokens.prompt_ids),
        "length": len(tokens.token_ids),
        "scored_tokens": int(tokens.free.sum()),
        "prompt_ids": tokens.prompt_ids,
        "token_ids": tokens.token_ids,
        "scored": tokens.free.astype(np.uint8),
    }


def _scores(tokens: Tokens, local: np.ndarray | None) -> dict[str, Any]:
    """What the student thinks of a trace."""
    names = {"rank": "student_rank", "entropy": "student_entropy", "step": "step"}
    columns = {"surprisal": tokens.surprisal} | {name: tokens.column(of) for name, of in names.items()}
    counted = {name: column[tokens.free] for name, column in columns.items()}
    scores = trace_scores(counted["surprisal"], counted["rank"], counted["entropy"], counted["step"], local)
    return {**columns, **scores}
