"""A position as a whole: all that is known before the coin is thrown, and the law of the token that it gives.

The package never needs it all at once: it settles drafts, and draws from the two voices apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ownwords.rsd.mixture import Mixture
from ownwords.rsd.step import Rules, mixture_of, student_voice, teacher_voice


@dataclass(frozen=True)
class Position:
    """What both models say at a batch of positions, and what becomes of it (nats)."""

    log_p_BV: torch.Tensor
    """the teacher, raw"""
    log_q_BV: torch.Tensor
    """the student, raw"""
    log_proposal_BV: torch.Tensor
    log_g_BV: torch.Tensor
    mixture: Mixture

    @classmethod
    def of(
        cls,
        rules: Rules,
        teacher_logits_BT: torch.Tensor,
        student_logits_BV: torch.Tensor,
        spelled_log_p_BS: torch.Tensor | None = None,
    ) -> Position:
        log_p_BV, log_proposal_BV = teacher_voice(rules, teacher_logits_BT, spelled_log_p_BS)
        log_q_BV, log_fallback_BV = student_voice(rules, student_logits_BV)
        log_g_BV, mixture = mixture_of(rules, log_p_BV, log_proposal_BV, log_q_BV, log_fallback_BV)
        return cls(log_p_BV, log_q_BV, log_proposal_BV, log_g_BV, mixture)


def law(mixture: Mixture) -> torch.Tensor:
    """M_BV = A R + (1 - A) F: the probability of every token, whoever speaks."""
    A_B1 = mixture.teacher_share_B[:, None]
    return A_B1 * mixture.log_passed_BV.exp() + (1 - A_B1) * mixture.log_fallback_BV.exp()
