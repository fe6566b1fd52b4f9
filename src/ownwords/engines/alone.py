"""What an engine records of an attempt that one model has written alone, from its ids and logits."""

from __future__ import annotations

import numpy as np
import torch

from ownwords.engines.engine import Request, Solo
from ownwords.rsd.columns import COLUMNS, FORCED, STUDENT
from ownwords.rsd.step import Draft, alone, student_voice


def columns_alone(
    writer: Solo, request: Request, token_ids_T: torch.Tensor, logits_TV: torch.Tensor
) -> dict[str, np.ndarray]:
    """`Finished.columns` of a completion of T tokens, the forced ones included; `logits_TV`: those that each token was
    written from, before any sampling rule."""
    step = alone(Draft(token_ids_T, *student_voice(writer.rules(logits_TV.device), logits_TV)))
    source_T = np.full(len(token_ids_T), STUDENT)
    source_T[: len(request.forced)] = FORCED
    names = {name: "token" if name == "token_ids" else name for name in COLUMNS if name != "source"}
    found = {column: getattr(step, name).cpu().numpy() for column, name in names.items()} | {"source": source_T}
    return {name: found[name].astype(dtype) for name, dtype in COLUMNS.items()}
