"""One position of RSD for a batch of rows: two models' logits in, tokens and their provenance out.

Shapes: B rows (positions), V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from ownwords.rsd.draw import next_token
from ownwords.rsd.gates import Gate, Threshold
from ownwords.rsd.mixture import Mixture, likeliest_refused, mix
from ownwords.rsd.shaping import Sampling, gather_ends, raw_logprobs, shape

ELEMENTS = 1 << 22
"""Rows are worked through in groups of at most this many logits. About a dozen fp32 tensors of that size live at
once, so a step needs some 200 MiB whatever the batch and the vocabulary."""


@dataclass(frozen=True)
class Rules:
    """What decides a token, besides the two models."""

    gate: Gate = field(default_factory=lambda: Threshold(0.01))
    proposals: float = 1
    """K: how often the teacher may propose before the student takes over; `math.inf` for no limit"""
    teacher: Sampling = Sampling()
    student: Sampling = Sampling()
    gate_sees_shaped: bool = False
    """the gate looks at the shaped instead of the raw probabilities"""
    known_V: torch.Tensor | None = None
    """bool: ids that the tokenizer knows; None for all"""
    teacher_ends: tuple[int, ...] = ()
    """the teacher's end-of-turn ids; their probability moves to `end_id` before the gate looks"""
    end_id: int = -1
    """the student's end-of-turn id"""


@dataclass(frozen=True)
class Step:
    """A token per row and what is recorded of it; all tensors have shape B."""

    token: torch.Tensor
    teacher_spoke: torch.Tensor
    teacher_logprob: torch.Tensor
    student_logprob: torch.Tensor
    student_rank: torch.Tensor
    pass_mass: torch.Tensor
    refused_id: torch.Tensor
    refused_prob: torch.Tensor


def positions(
    rules: Rules, teacher_logits_BV: torch.Tensor, student_logits_BV: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, Mixture]:
    """(log_p_BV, log_q_BV, log_P_BV, log_g_BV, mixture): everything that is known before a token is drawn."""
    V = len(rules.known_V) if rules.known_V is not None else student_logits_BV.shape[-1]
    log_p_BV = raw_logprobs(teacher_logits_BV[:, :V], rules.known_V)
    if rules.teacher_ends:
        log_p_BV = gather_ends(log_p_BV, list(rules.teacher_ends), rules.end_id)
    log_q_BV = raw_logprobs(student_logits_BV[:, :V], rules.known_V)
    log_P_BV = shape(log_p_BV, rules.teacher)
    log_F_BV = shape(log_q_BV, rules.student)
    log_g_BV = rules.gate(log_P_BV, log_F_BV) if rules.gate_sees_shaped else rules.gate(log_p_BV, log_q_BV)
    return log_p_BV, log_q_BV, log_P_BV, log_g_BV, mix(log_P_BV, log_F_BV, log_g_BV, rules.proposals)


def decide(
    rules: Rules,
    teacher_logits_BV: torch.Tensor,
    student_logits_BV: torch.Tensor,
    u_B4: torch.Tensor,
    forced_B: torch.Tensor | None = None,
) -> Step:
    """Decide one token per row. `u_B4` is the noise of these tokens (float64); `forced_B` holds ids that are written
    whatever the models say, -1 where they are free."""
    V = max(teacher_logits_BV.shape[-1], student_logits_BV.shape[-1])
    group = max(1, ELEMENTS // V)
    B = len(u_B4)
    parts = [
        _decide(
            rules,
            teacher_logits_BV[i : i + group],
            student_logits_BV[i : i + group],
            u_B4[i : i + group],
            None if forced_B is None else forced_B[i : i + group],
        )
        for i in range(0, B, group)
    ]
    if len(parts) == 1:
        return parts[0]
    return Step(*(torch.cat([getattr(part, name) for part in parts]) for name in Step.__dataclass_fields__))


def _decide(rules, teacher_logits_BV, student_logits_BV, u_B4, forced_B) -> Step:
    log_p_BV, log_q_BV, log_P_BV, log_g_BV, mixture = positions(rules, teacher_logits_BV, student_logits_BV)
    token_B, heads_B = next_token(mixture, u_B4)
    if forced_B is not None:
        token_B = torch.where(forced_B >= 0, forced_B, token_B)
    log_q_B = log_q_BV.gather(-1, token_B[:, None])
    refused_id_B, refused_prob_B = likeliest_refused(log_P_BV, log_g_BV)
    return Step(
        token=token_B,
        teacher_spoke=heads_B,
        teacher_logprob=log_p_BV.gather(-1, token_B[:, None])[:, 0],
        student_logprob=log_q_B[:, 0],
        student_rank=1 + (log_q_BV > log_q_B).sum(-1),
        pass_mass=mixture.a_B,
        refused_id=refused_id_B,
        refused_prob=refused_prob_B,
    )
