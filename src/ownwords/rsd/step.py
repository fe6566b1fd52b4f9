"""Positions of RSD for a batch of rows: two models' logits in, tokens and their provenance out.

It goes in two halves, as speculation needs it: the student drafts (`draft`), the teacher's logits settle what becomes
of the drafts (`verify`). A position that nobody drafts ahead takes the same two halves at once (`decide`), so a token
is one function of (teacher's logits, student's logits, noise) whether it was drafted ahead or not.

Shapes: B rows (positions of any sequences), D positions of a block, V the student's ids, T the teacher's rows, S
spelled tokens (see `ownwords.rsd.spelled`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from ownwords.rsd.draw import draw, settle
from ownwords.rsd.gates import Gate, Threshold
from ownwords.rsd.mixture import Mixture, likeliest_refused, mix
from ownwords.rsd.noise import DRAFT
from ownwords.rsd.shaping import Sampling, raw_logprobs, shape
from ownwords.rsd.soft import soft_dtype, soft_targets
from ownwords.rsd.spelled import Spelled, with_products
from ownwords.rsd.teacher import teacher_logprobs

ELEMENTS = 1 << 22
"""Rows are worked through in groups of at most this many logits. About a dozen fp32 tensors of that size live at
once, so a step needs some 200 MiB beside the drafts, whatever the batch and the vocabulary."""


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
    teacher_of_V: torch.Tensor | None = None
    """int64: the teacher's id of each student id, -1 where it has none; None where both have the same ids"""
    known_V: torch.Tensor | None = None
    """bool: ids that the student's tokenizer knows; None for all"""
    teacher_ends: tuple[int, ...] = ()
    """the teacher's end-of-turn ids, by its own numbers; their probability moves to `end_id` before the gate looks"""
    end_id: int = -1
    """the student's end-of-turn id"""
    spelled: Spelled | None = None
    """student-only tokens that the teacher may propose; None for none"""
    soft_targets: int = 0
    """k: so many of each model's likeliest ids are recorded, see `ownwords.rsd.soft`; 0 for none"""


@dataclass(frozen=True)
class Draft:
    """What the student would write, and the distributions that it was drawn from: the very tensors."""

    token_B: torch.Tensor
    log_q_BV: torch.Tensor
    """raw"""
    log_fallback_BV: torch.Tensor
    """shaped, and sampled from"""


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


def student_voice(rules: Rules, logits_BV: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(log_q_BV, log_fallback_BV): the student's raw and its sampled distribution."""
    ids_V = rules.known_V if rules.teacher_of_V is None else rules.teacher_of_V
    log_q_BV = raw_logprobs(logits_BV[:, : None if ids_V is None else len(ids_V)], rules.known_V)
    return log_q_BV, shape(log_q_BV, rules.student)


def teacher_voice(
    rules: Rules, logits_BT: torch.Tensor, spelled_log_p_BS: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(log_p_BV, log_proposal_BV): the teacher's raw and its sampled distribution.

    `spelled_log_p_BS` holds the products of `rules.spelled`, -inf where they were not asked for.
    """
    log_p_BV = _with_products(rules, teacher_log_p(rules, logits_BT), spelled_log_p_BS)
    return log_p_BV, shape(log_p_BV, rules.teacher)


def teacher_log_p(rules: Rules, logits_BT: torch.Tensor) -> torch.Tensor:
    """log_p_BV: what "the teacher's raw probability" means everywhere (the gate, the record): at temperature 1, over
    the ids that both models have, the teacher's ends at the student's. Products are not in it yet."""
    return teacher_logprobs(logits_BT, rules.teacher_of_V, rules.known_V, rules.teacher_ends, rules.end_id)


def mixture_of(
    rules: Rules,
    log_p_BV: torch.Tensor,
    log_proposal_BV: torch.Tensor,
    log_q_BV: torch.Tensor,
    log_fallback_BV: torch.Tensor,
) -> tuple[torch.Tensor, Mixture]:
    """(log_g_BV, mixture): everything else that is known before the coin is thrown."""
    seen = (log_proposal_BV, log_fallback_BV) if rules.gate_sees_shaped else (log_p_BV, log_q_BV)
    log_g_BV = rules.gate(*seen)
    return log_g_BV, mix(log_proposal_BV, log_fallback_BV, log_g_BV, rules.proposals)


def draft(rules: Rules, student_logits_BV: torch.Tensor, u_B: torch.Tensor, forced_B: torch.Tensor) -> Draft:
    """The student's draw at every row. `u_B` is the DRAFT noise of these tokens (float64); `forced_B` holds ids that
    are written whatever the models say, -1 where they are free."""
    tokens, log_q, log_fallback = [], [], []
    for rows in _groups(student_logits_BV):
        log_q_BV, log_fallback_BV = student_voice(rules, student_logits_BV[rows])
        tokens.append(draw(log_fallback_BV.exp(), u_B[rows]))
        log_q.append(log_q_BV)
        log_fallback.append(log_fallback_BV)
    token_B = torch.where(forced_B >= 0, forced_B, _joined(tokens))
    return Draft(token_B, _joined(log_q), _joined(log_fallback))


def verify(
    rules: Rules,
    teacher_logits_BT: torch.Tensor,
    drafted: Draft,
    u_B4: torch.Tensor,
    forced_B: torch.Tensor,
    spelled_log_p_BS: torch.Tensor | None = None,
) -> Step:
    """Settle every drafted row by the teacher's logits and the noise `u_B4` (float64) of its token; `spelled_log_p_BS`
    see `teacher_voice`. A row of which the draft was refused holds the replacement; whatever was drafted after it is
    void."""
    parts = [
        _verify(
            rules,
            teacher_logits_BT[rows],
            Draft(drafted.token_B[rows], drafted.log_q_BV[rows], drafted.log_fallback_BV[rows]),
            u_B4[rows],
            forced_B[rows],
            None if spelled_log_p_BS is None else spelled_log_p_BS[rows],
        )
        for rows in _groups(teacher_logits_BT)
    ]
    return Step(*(_joined([getattr(part, name) for part in parts]) for name in Step.__dataclass_fields__))


def alone(drafted: Draft) -> Step:
    """What is recorded where there is no teacher: every draft stands, and of the teacher nothing is known (NaN)."""
    unknown_B = torch.full(drafted.token_B.shape, float("nan"), device=drafted.token_B.device)
    log_q_B1 = drafted.log_q_BV.gather(-1, drafted.token_B[:, None])
    return Step(
        token=drafted.token_B,
        teacher_spoke=torch.zeros_like(drafted.token_B, dtype=torch.bool),
        teacher_logprob=unknown_B,
        student_logprob=log_q_B1[:, 0],
        student_rank=1 + (drafted.log_q_BV > log_q_B1).sum(-1),
        pass_mass=unknown_B,
        refused_id=torch.full_like(drafted.token_B, -1),
        refused_prob=torch.zeros_like(unknown_B),
    )


def decide(
    rules: Rules,
    teacher_logits_BT: torch.Tensor,
    student_logits_BV: torch.Tensor,
    u_B4: torch.Tensor,
    forced_B: torch.Tensor | None = None,
    spelled_log_p_BS: torch.Tensor | None = None,
) -> Step:
    """One token per row without any drafting ahead."""
    if forced_B is None:
        forced_B = torch.full((len(u_B4),), -1, device=u_B4.device)
    drafted = draft(rules, student_logits_BV, u_B4[:, DRAFT], forced_B)
    return verify(rules, teacher_logits_BT, drafted, u_B4, forced_B, spelled_log_p_BS)


def soft_of(
    rules: Rules,
    teacher_logits_BT: torch.Tensor | None,
    drafted: Draft,
    spelled_log_p_BS: torch.Tensor | None,
    wanted_B: np.ndarray,
) -> np.ndarray:
    """The soft targets of the rows in `wanted_B` (bool), shape (B,) of `soft_dtype`; what the others hold means
    nothing. Most rows of a block may be void, and a softmax over the vocabulary is not worth while there."""
    soft_B = np.empty(len(wanted_B), soft_dtype(rules.soft_targets))
    rows = torch.from_numpy(wanted_B).to(drafted.token_B.device).nonzero()[:, 0]
    for some in rows.split(max(1, ELEMENTS // drafted.log_q_BV.shape[1])):
        log_p_BV = None
        if teacher_logits_BT is not None:
            products_BS = None if spelled_log_p_BS is None else spelled_log_p_BS[some]
            log_p_BV = _with_products(rules, teacher_log_p(rules, teacher_logits_BT[some]), products_BS)
        soft_B[some.cpu().numpy()] = soft_targets(log_p_BV, drafted.log_q_BV[some], rules.soft_targets)
    return soft_B


def kept(token_BD: torch.Tensor, draft_BD: torch.Tensor) -> torch.Tensor:
    """kept_B: how many tokens of a block stand, 1 to D: the drafts before the first refused one, and the token there.

    A block whose drafts all agree stands whole. Its last position costs nothing extra: the student's distribution
    there is at hand, since its draft was drawn from it.
    """
    agrees_BD = (token_BD == draft_BD)[:, :-1]
    return 1 + agrees_BD.long().cumprod(-1).sum(-1)


def _verify(
    rules: Rules,
    teacher_logits_BT: torch.Tensor,
    drafted: Draft,
    u_B4: torch.Tensor,
    forced_B: torch.Tensor,
    spelled_log_p_BS: torch.Tensor | None,
) -> Step:
    log_p_BV, log_proposal_BV = teacher_voice(rules, teacher_logits_BT, spelled_log_p_BS)
    log_q_BV = drafted.log_q_BV
    log_g_BV, mixture = mixture_of(rules, log_p_BV, log_proposal_BV, log_q_BV, drafted.log_fallback_BV)
    token_B, heads_B = settle(mixture, drafted.token_B, u_B4)
    token_B = torch.where(forced_B >= 0, forced_B, token_B)
    at_B1 = token_B[:, None]
    log_q_B1 = log_q_BV.gather(-1, at_B1)
    refused_id_B, refused_prob_B = likeliest_refused(log_proposal_BV, log_g_BV)
    return Step(
        token=token_B,
        teacher_spoke=heads_B,
        teacher_logprob=log_p_BV.gather(-1, at_B1)[:, 0],
        student_logprob=log_q_B1[:, 0],
        student_rank=1 + (log_q_BV > log_q_B1).sum(-1),
        pass_mass=mixture.pass_mass_B,
        refused_id=refused_id_B,
        refused_prob=refused_prob_B,
    )


def _with_products(rules: Rules, log_p_BV: torch.Tensor, spelled_log_p_BS: torch.Tensor | None) -> torch.Tensor:
    assert (rules.spelled is None) == (spelled_log_p_BS is None), "products for rules without them, or the reverse"
    if rules.spelled is None or spelled_log_p_BS is None:
        return log_p_BV
    return with_products(log_p_BV, rules.spelled, spelled_log_p_BS)


def _groups(logits_BV: torch.Tensor) -> list[slice]:
    B, V = logits_BV.shape
    size = max(1, ELEMENTS // V)
    return [slice(i, i + size) for i in range(0, B, size)]


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
