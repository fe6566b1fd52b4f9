"""Two runs of one configuration, compared token by token; where they part, how near the decision was.

Floating-point sums depend on the shape of a batch, so logits differ in the last digits between batch sizes, machines
and restarts. A token is a step function of its logits: once in a while a draw lies so near a boundary that the last
digits decide. `margin` tells such a tie from a real difference.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from ownwords.generation.prepare import Prepared
from ownwords.records.trace import Trace
from ownwords.rsd.noise import attempt_noise
from ownwords.rsd.step import decide

SIZES = (1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3)


def first_difference(one: Trace, other: Trace) -> int | None:
    """The position of the first token that differs in id or source; None if the traces are equal."""
    if np.array_equal(one.token_ids, other.token_ids) and np.array_equal(one.source, other.source):
        return None
    n = min(len(one.token_ids), len(other.token_ids))
    differs = (one.token_ids[:n] != other.token_ids[:n]) | (one.source[:n] != other.source[:n])
    return int(np.argmax(differs)) if differs.any() else n


@torch.inference_mode()
def margin(prepared: Prepared, trace: Trace, position: int, trials: int = 256) -> float:
    """The least logit noise (nats, uniform in plus or minus; of the `SIZES` tried) that changes the token at
    `position` in one of `trials` draws of the noise; inf if none does."""
    assert prepared.engine.teacher is not None
    logits = []
    prompts = prepared.pair(trace.problem_id, trace.attempt)
    for side, prompt in zip((prepared.engine.teacher, prepared.engine.student), prompts, strict=True):
        ids = torch.tensor([[*prompt, *trace.token_ids[:position].tolist()]], device=side.model.device)
        logits.append(side.model(ids, use_cache=False).logits[:, -1].float().expand(trials, -1))
    noise_T4 = attempt_noise(prepared.config.seed, trace.problem_id, trace.attempt, position + 1)
    u_B4 = torch.from_numpy(noise_T4[position]).expand(trials, 4)
    generator = torch.Generator().manual_seed(0)
    for size in SIZES:
        shaken = [x + (size * (2 * torch.rand(x.shape, generator=generator) - 1)).to(x.device) for x in logits]
        step = decide(prepared.engine.decoder.rules, shaken[0], shaken[1], u_B4)
        if len(set(zip(step.token.tolist(), step.teacher_spoke.tolist(), strict=True))) > 1:
            return size
    return math.inf
