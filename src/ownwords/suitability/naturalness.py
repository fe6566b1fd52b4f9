"""Local Naturalness (arXiv 2510.03988, eq. 2): each step under the problem and the few steps before it only.

It asks whether a step follows from what stands right before it, where a pass over the whole trace asks whether the
student has got used to the writer by then. It needs passes of its own, over about k + 1 times as many tokens.
"""

from __future__ import annotations

import numpy as np

from ownwords.records.tokens import Tokens


def by_step(tokens: Tokens, before: int) -> list[Tokens]:
    """One part per step (column `step`): the completion is the step, the prompt is the problem (with what is forced)
    and at most `before` steps."""
    free = np.flatnonzero(tokens.free)
    _, first = np.unique(tokens.column("step")[free], return_index=True)
    ids = tokens.token_ids
    bounds = [*free[first].tolist(), len(ids)]
    opening = np.concatenate([tokens.prompt_ids, ids[: bounds[0]]])
    return [
        Tokens(prompt_ids=np.concatenate([opening, ids[bounds[max(0, i - before)] : start]]), token_ids=ids[start:end])
        for i, (start, end) in enumerate(zip(bounds, bounds[1:]))
    ]
