"""What a model thinks of tokens that stand already: one forward pass per row gives a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from transformers import PreTrainedModel

from ownwords.training.rows import Row

CHUNK = 1024
"""positions whose log-probabilities are in memory as float32 at once"""


@torch.inference_mode()
def token_logprobs(model: PreTrainedModel, input_ids: np.ndarray) -> np.ndarray:
    """float32 [T]: the natural log of the raw probability (temperature 1) of each token given those before it; NaN for
    the first."""
    ids_T = torch.from_numpy(np.asarray(input_ids, np.int64)).to(model.device)
    logits_TV = model(input_ids=ids_T[None], use_cache=False).logits[0]
    pieces = [torch.full((1,), torch.nan, device=model.device)]
    for at in range(0, len(ids_T) - 1, CHUNK):
        next_C = ids_T[at + 1 : at + 1 + CHUNK]
        logprobs_CV = logits_TV[at : at + len(next_C)].float().log_softmax(-1)
        pieces.append(logprobs_CV.gather(1, next_C[:, None])[:, 0])
    return torch.cat(pieces).cpu().numpy()


def with_column(rows: Sequence[Row], name: str, model: PreTrainedModel) -> list[Row]:
    """The rows with one more column, computed by `model`."""
    return [replace(row, columns={**row.columns, name: token_logprobs(model, row.input_ids)}) for row in rows]
