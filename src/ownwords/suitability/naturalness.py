"""Local Naturalness (arXiv 2510.03988, eq. 2): each step under the problem and the few steps before it only.

It asks whether a step follows from what stands right before it, where a pass over the whole trace asks whether the
student has got used to the writer by then. It needs passes of its own, over about k + 1 times as many tokens.
"""

from __future__ import annotations

import numpy as np

from ownwords.suitability.forward import Sample


def step_samples(sample: Sample, scored_T: np.ndarray, steps_T: np.ndarray, before: int) -> list[Sample]:
    """One sample per step: the response is the step, the prompt is the problem (with what is forced) and at most
    `before` steps. `scored_T`: bool per response token, False for forced ones; `steps_T`: the step of each."""
    free = np.flatnonzero(scored_T)
    _, first = np.unique(steps_T[free], return_index=True)
    bounds = [*free[first].tolist(), len(sample.token_ids)]
    opening = np.concatenate([sample.prompt_ids, sample.token_ids[: bounds[0]]])
    ids = sample.token_ids
    return [
        Sample(np.concatenate([opening, ids[bounds[max(0, i - before)] : start]]), ids[start:end])
        for i, (start, end) in enumerate(zip(bounds, bounds[1:]))
    ]
