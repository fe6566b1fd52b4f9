"""What a model thinks of tokens that stand already: one forward pass per row gives a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from transformers import PreTrainedModel

from ownwords.records.tokens import Tokens
from ownwords.suitability.forward import Scorer
from ownwords.training.rows import Row


def token_logprobs(scorer: Scorer, input_ids: np.ndarray) -> np.ndarray:
    """float32 [T]: the natural log of the raw probability (temperature 1) of each token given those before it; NaN for
    the first."""
    column = np.full(len(input_ids), np.nan, np.float32)
    if len(input_ids) > 1:
        [read] = scorer.score([Tokens(prompt_ids=input_ids[:1], token_ids=input_ids[1:])])
        column[1:] = read.column("student_logprob")
    return column


def with_column(rows: Sequence[Row], name: str, model: PreTrainedModel) -> list[Row]:
    """The rows with one more column, computed by `model`, whose logits are never held for all positions at once."""
    threads, scorer = torch.get_num_threads(), Scorer(model, None, "the student")
    try:
        return [replace(row, columns={**row.columns, name: token_logprobs(scorer, row.input_ids)}) for row in rows]
    finally:
        torch.set_num_threads(threads)  # the scorer chooses them for itself; the training has its own
