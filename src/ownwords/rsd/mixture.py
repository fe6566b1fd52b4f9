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

    log_R_BV: torch.Tensor
    """the teacher's voice: its proposals that pass; equal to `log_F_BV` where nothing passes (and `A_B` is 0)"""
    log_F_BV: torch.Tensor
    """the student's voice"""
    A_B: torch.Tensor
    """probability that the teacher speaks"""
    a_B: torch.Tensor
    """pass mass: how much of a single proposal the gate lets through"""


def mix(log_P_BV: torch.Tensor, log_F_BV: torch.Tensor, log_g_BV: torch.Tensor, proposals: float) -> Mixture:
    """Build the mixture from proposal P, fallback F, gate g and K = `proposals` (`math.inf` for no limit).

    Log space throughout, so that a pass mass too small for fp32 still has a well-formed R.
    """
    log_Pg_BV = log_P_BV + log_g_BV
    log_a_B = log_Pg_BV.logsumexp(-1)
    some_B = log_a_B > float("-inf")
    # Where all of P passes, a is 1 and not what rounding makes of a sum: the student then has no say at all.
    whole_B = (log_Pg_BV == log_P_BV).all(-1)
    a_B = log_a_B.exp().clamp(max=1).masked_fill(whole_B, 1.0)
    if math.isinf(proposals):
        A_B = some_B.to(a_B.dtype)
    else:
        A_B = -torch.expm1(proposals * torch.log1p(-a_B))
    log_R_BV = torch.where(some_B[:, None], log_Pg_BV - log_a_B[:, None], log_F_BV)
    return Mixture(log_R_BV=log_R_BV, log_F_BV=log_F_BV, A_B=A_B, a_B=a_B)


def law(mixture: Mixture) -> torch.Tensor:
    """M_BV: the probability of every token, whoever speaks."""
    A_B1 = mixture.A_B[:, None]
    return A_B1 * mixture.log_R_BV.exp() + (1 - A_B1) * mixture.log_F_BV.exp()


def likeliest_refused(log_P_BV: torch.Tensor, log_g_BV: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(id_B, probability_B) of the token most likely to be proposed and refused, P(x) (1 - g(x)); (-1, 0) if none is.

    What the student would not say: for a gate that is 0 or 1 this is the teacher's favourite among the refused.
    """
    refused_BV = log_P_BV.exp() * -torch.expm1(log_g_BV)
    prob_B, id_B = refused_BV.max(-1)
    return torch.where(prob_B > 0, id_B, -1), prob_B
