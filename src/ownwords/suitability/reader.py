"""A block of traces in, a row of scores for each out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from ownwords.suitability.encode import Encoded, Encoder
from ownwords.suitability.forward import Sample, Scorer, TokenScores, batches
from ownwords.suitability.naturalness import step_samples
from ownwords.suitability.pieces import SENTENCE_END, Pieces, steps
from ownwords.suitability.scores import trace_scores
from ownwords.suitability.sets import Member
from ownwords.suitability.survey import ScoreConfig

Tell = Callable[[int, int], None]
"""(traces, tokens) scored since it was told last"""


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
        why_not = [one.why_not(self.context, self.scorer.ids) for one in given]
        whole = [i for i, reason in enumerate(why_not) if not reason]
        tell(len(block) - len(whole), 0)
        step_of = {i: steps(self.pieces(given[i].sample.token_ids), SENTENCE_END) for i in whole}
        token_scores = dict(zip(whole, self._score([given[i].sample for i in whole], tell, 1), strict=True))
        local = self._local(given, step_of, tell) if self.config.local_steps else {}
        return [
            _row(number, member, given[i], why_not[i], token_scores.get(i), step_of.get(i), local.get(i))
            for i, (number, member) in enumerate(block)
        ]

    def _encoded(self, member: Member) -> Encoded:
        try:
            return self.encoder(member.trace)
        except ValueError as error:
            raise ValueError(f"{member.place}: {error}") from None

    def _score(self, samples: list[Sample], tell: Tell, count: int) -> list[TokenScores]:
        done: list[TokenScores | None] = [None] * len(samples)
        for group in batches(map(len, samples), self.config.batch_tokens):
            batch = [samples[i] for i in group]
            for i, one in zip(group, self.scorer.score(batch), strict=True):
                done[i] = one
            tell(count * len(group), sum(map(len, batch)))
        return done  # type: ignore[return-value]

    def _local(self, given: list[Encoded], step_of: dict[int, np.ndarray], tell: Tell) -> dict[int, np.ndarray]:
        samples = {
            i: step_samples(given[i].sample, given[i].scored, step, self.config.local_steps)
            for i, step in step_of.items()
        }
        scored = iter(self._score([sample for group in samples.values() for sample in group], tell, 0))
        found = {}
        for i, group in samples.items():
            surprisal = np.concatenate([next(scored).surprisal for _ in group])
            counts = given[i].scored[-len(surprisal) :]
            found[i] = surprisal[counts]
        return found


def _row(
    number: int,
    member: Member,
    given: Encoded,
    why_not: str,
    tokens: TokenScores | None,
    step: np.ndarray | None,
    local: np.ndarray | None,
) -> dict[str, Any]:
    row = {
        "trace": number,
        "problem_id": member.problem_id,
        "attempt": member.attempt,
        "source": member.trace.source,
        "verdict": member.trace.verdict,
        "skipped": why_not,
        "prompt_tokens": len(given.sample.prompt_ids),
        "length": len(given.sample.token_ids),
        "scored_tokens": int(given.scored.sum()),
        "prompt_ids": given.sample.prompt_ids,
        "token_ids": given.sample.token_ids,
        "scored": given.scored.astype(np.uint8),
    }
    if tokens is None or step is None:
        return row | {name: [] for name in ("surprisal", "rank", "entropy", "step")}
    columns = {"surprisal": tokens.surprisal, "rank": tokens.rank, "entropy": tokens.entropy, "step": step}
    counted = {name: column[given.scored] for name, column in columns.items()}
    scores = trace_scores(counted["surprisal"], counted["rank"], counted["entropy"], counted["step"], local)
    return row | columns | scores
