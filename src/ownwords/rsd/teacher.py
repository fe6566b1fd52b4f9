"""The teacher's logits as log-probabilities of the student's ids.

Teacher-only ids are removed and the rest renormalised: what cannot be written is no proposal, and so no refused one.
The teacher's ends become the student's end. All of it happens to the logits, before one softmax over the ids that are
left, so that padding rows and foreign ids take no probability with them.

Shapes: B rows (positions), T the teacher's rows, V the student's ids.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ownwords.rsd.shaping import IMPOSSIBLE, raw_logprobs


def teacher_logprobs(
    logits_BT: torch.Tensor,
    teacher_of_V: torch.Tensor | None,
    known_V: torch.Tensor | None,
    ends: Sequence[int],
    end_id: int,
) -> torch.Tensor:
    """log_p_BV (nats, fp32, temperature 1), the teacher's distribution over what both can say; sums to one.

    `teacher_of_V` holds the teacher's id of each student id, -1 where it has none (-inf in the result); None means
    that both have the same ids, those of `known_V`. The probability of all the teacher's `ends` goes to the student's
    `end_id`; other ids of the student that end a turn get none.
    """
    if teacher_of_V is None:
        logits_BV = logits_BT[:, : None if known_V is None else len(known_V)].float()
        if list(ends) not in ([], [end_id]):
            logits_BV = logits_BV.clone()
            logits_BV[:, list(ends)] = IMPOSSIBLE
            logits_BV[:, end_id] = _together(logits_BT, ends)
        return raw_logprobs(logits_BV, known_V)
    absent_V = teacher_of_V < 0
    if ends:
        absent_V = absent_V | torch.isin(teacher_of_V, torch.tensor(ends, device=teacher_of_V.device))
    logits_BV = logits_BT[:, teacher_of_V.clamp(min=0)].float().masked_fill_(absent_V, IMPOSSIBLE)
    if ends:
        logits_BV[:, end_id] = _together(logits_BT, ends)
    return raw_logprobs(logits_BV, known_V)


def _together(logits_BT: torch.Tensor, ends: Sequence[int]) -> torch.Tensor:
    return logits_BT[:, list(ends)].float().logsumexp(-1)
