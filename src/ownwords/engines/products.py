"""Further passes of the teacher for tokens that it spells with several of its own (`ownwords.rsd.spelled`).

Shapes: B rows in use, T the teacher's rows, S spelled tokens, N pieces after the first.
"""

from __future__ import annotations

import torch

from ownwords.engines.lane import Lane
from ownwords.rsd.spelled import asked_for, log_product
from ownwords.rsd.step import Rules, teacher_log_p


@torch.inference_mode()
def products(lane: Lane, rules: Rules, logits_BT: torch.Tensor) -> torch.Tensor:
    """log_p_BS: the teacher's log-probability of every spelled token at the position that `logits_BT` stands for, -inf
    where its first piece is too unlikely to ask. The lane is left as it was.

    The pieces are read where the next token will be written, which is why no drafts may lie there: an engine with
    spelled products does not draft ahead.
    """
    spelled = rules.spelled
    assert spelled is not None
    log_first_BS = teacher_log_p(rules, logits_BT)[:, spelled.first_S]
    asked_S = asked_for(log_first_BS).any(0).tolist()
    lengths = list(lane.lengths)
    log_p_BS = torch.full_like(log_first_BS, float("-inf"))
    for s in (s for s, asked in enumerate(asked_S) if asked):
        pieces_N1 = torch.tensor(spelled.pieces[s], device=logits_BT.device)
        read_N = pieces_N1[:-1] if rules.teacher_of_V is None else rules.teacher_of_V[pieces_N1[:-1]]
        logits_BNT = lane.feed(read_N.expand(len(lengths), -1)).to(logits_BT.device)
        lane.rewind(lengths)
        B, N, _ = logits_BNT.shape
        log_p_BNV = teacher_log_p(rules, logits_BNT.flatten(0, 1)).view(B, N, -1)
        log_rest_BN = log_p_BNV[:, torch.arange(N), pieces_N1[1:]]
        log_p_BS[:, s] = log_product(log_first_BS[:, s], log_rest_BN)
    return log_p_BS
