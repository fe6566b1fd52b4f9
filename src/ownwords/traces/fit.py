"""Whether models agree on where a trace closes its thinking and where it ends its turn.

A pair whose templates, think tags or ends of turn do not fit writes traces that look right and teach the student never
to stop. The probability of the tokens that say so, where they stand, tells it before anything is trained.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from transformers import PreTrainedTokenizerBase

LEAST = 0.01
"""below this probability a model did not expect the token where it stands"""
END, CLOSING = "end of turn", "closing think tag"


def marks(tokenizer: PreTrainedTokenizerBase, think: Iterable[str]) -> dict[str, int]:
    """Name -> id of the tokens that end the turn and the thinking, of those that are single tokens."""
    ids = {END: tokenizer.eos_token_id, CLOSING: tokenizer.get_vocab().get([*think][1])}
    return {name: i for name, i in ids.items() if i is not None}


def place(name: str, mark: int, token_ids: np.ndarray) -> int | None:
    """Where a trace has it: the end as its last token, the closing tag where it first stands; None where not."""
    if name == END:
        return len(token_ids) - 1 if len(token_ids) and token_ids[-1] == mark else None
    found = np.flatnonzero(token_ids == mark)
    return int(found[0]) if len(found) else None


def remark(name: str, traces: int, of: dict[str, float]) -> str:
    """One line: what probability each model (`of`: role -> probability) gives the token, and whether that is odd."""
    told = " and ".join(f"{probability:.3g} by the {who}" for who, probability in of.items())
    line = f"{name}: probability {told}, in {traces} trace{'s' if traces > 1 else ''}"
    if odd := [who for who, probability in of.items() if probability < LEAST]:
        line += (
            f"; below {LEAST:g}, so the {' and the '.join(odd)} did not expect it there: chat template, think tags or "
            "end of turn do not fit"
        )
    return line
