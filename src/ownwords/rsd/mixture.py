"""Reverse Speculative Decoding as one distribution.

The teacher proposes up to K tokens `x ~ P`; the first that passes the gate is taken, else the student writes `x ~ F`
(arXiv 2509.22230, K = 1). That loop has a closed form. With the pass mass `a = sum_x P(x) g(x)`, the teacher's share
`A = 1 - (1 - a)^K` and `R = P g / a`:

    M = A R + (1 - A) F

So the loop is a coin: heads with probability A, the teacher speaks, from R; tails, the student speaks, from F.

Shapes: B rows (positions), V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Mixture:
    """The two voices at a batch of positions, and how often each is heard."""

    log_passed_BV: torch.Tensor
    """R, the teacher's voice: its proposals that pass; F if nothing passes (and A is 0)"""
    log_fallback_BV: torch.Tensor
    """F, the student's voice"""
    teacher_share_B: torch.Tensor
    """A: the probability that the teacher speaks"""
    pass_mass_B: torch.Tensor
    """a: how much of a single proposal the gate lets through"""


def mix(
    log_proposal_BV: torch.Tensor, log_fallback_BV: torch.Tensor, log_g_BV: torch.Tensor, proposals: float
) -> Mixture:
    """Build the mixture from proposal P, fallback F, gate g and K = `proposals` (`math.inf` for no limit).

    Log space throughout, so that a pass mass too small for fp32 still has a well-formed R.
    """
    log_both_BV = log_proposal_BV + log_g_BV
    log_mass_B = log_both_BV.logsumexp(-1)
    some_B = log_mass_B > float("-inf")
    # Where all of P passes, a is 1 and not what rounding makes of a sum: the student then has no say at all.
    whole_B = (log_both_BV == log_proposal_BV).all(-1)
    pass_mass_B = log_mass_B.exp().clamp(max=1).masked_fill(whole_B, 1.0)
    if math.isinf(proposals):
        teacher_share_B = some_B.to(pass_mass_B.dtype)
    else:
        teacher_share_B = -torch.expm1(proposals * torch.log1p(-pass_mass_B))
    log_passed_BV = torch.where(some_B[:, None], log_both_BV - log_mass_B[:, None], log_fallback_BV)
    return Mixture(log_passed_BV, log_fallback_BV, teacher_share_B, pass_mass_B)


def likeliest_refused(log_proposal_BV: torch.Tensor, log_g_BV: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(id_B, probability_B) of the token most likely to be proposed and refused, P(x) (1 - g(x)); (-1, 0) if none is.

    What the student would not say: for a gate that is 0 or 1 this is the teacher's favourite among the refused.
    """
    refused_BV = log_proposal_BV.exp() * -torch.expm1(log_g_BV)
    prob_B, id_B = refused_BV.max(-1)
    return torch.where(prob_B > 0, id_B, -1), prob_B
