"""Soft targets: of every token the likeliest ids of both models, with both models' log-probabilities for each of them.

Kept is the union of the two top-k sets, since a forward KL wants the teacher's set and a reverse KL the student's. The
log-probabilities are the raw ones (temperature 1, before any shaping, over the ids that both models have), rounded to
half precision: that is off by 2^-11 of a log-probability at most, and of a probability by less than 0.0002.

Shapes: B rows (positions), V the student's ids, U = 2k places, T tokens.
"""

from __future__ import annotations

import numpy as np
import torch

PAD = -1
"""the id at a place that is not used: its log-probabilities are -inf"""


def soft_dtype(k: int) -> np.dtype:
    """Of one token's soft targets: U ids, the likeliest of the teacher first, then those that are the student's alone,
    the likeliest first; and what each model says of them (nats). The teacher's are NaN where there is none."""
    return np.dtype([("ids", np.int32, 2 * k), ("teacher", np.float16, 2 * k), ("student", np.float16, 2 * k)])


def soft_targets(log_p_BV: torch.Tensor | None, log_q_BV: torch.Tensor, k: int) -> np.ndarray:
    """The soft targets of B positions, shape (B,) of `soft_dtype(k)`. An id of probability 0 is in no model's set.

    `log_p_BV`: the teacher's log-probabilities (nats); None where there is no teacher: the student's set alone, then.
    """
    ids_BU = log_q_BV.topk(k, dim=-1).indices
    present_BU = log_q_BV.gather(-1, ids_BU) > -torch.inf
    if log_p_BV is not None:
        theirs_BK = log_p_BV.topk(k, dim=-1).indices
        known_BK = log_p_BV.gather(-1, theirs_BK) > -torch.inf
        twice_BK = ((ids_BU[:, :, None] == theirs_BK[:, None]) & known_BK[:, None]).any(-1)
        ids_BU = torch.cat([theirs_BK, ids_BU], dim=1)
        present_BU = torch.cat([known_BK, present_BU & ~twice_BK], dim=1)
    student_BU = log_q_BV.gather(-1, ids_BU)
    teacher_BU = torch.full_like(student_BU, torch.nan) if log_p_BV is None else log_p_BV.gather(-1, ids_BU)
    order_BU = (~present_BU).byte().argsort(dim=-1, stable=True)  # the places that are not used go to the end
    present_BU = present_BU.gather(-1, order_BU)
    U = ids_BU.shape[1]
    soft_B = np.empty(len(ids_BU), soft_dtype(k))
    for name, values_BU, pad in (
        ("ids", ids_BU, PAD),
        ("teacher", teacher_BU, -torch.inf),
        ("student", student_BU, -torch.inf),
    ):
        soft_B[name] = pad
        soft_B[name][:, :U] = values_BU.gather(-1, order_BU).masked_fill(~present_BU, pad).cpu().numpy()
    return soft_B


def in_sets(soft_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(teachers_TU, students_TU), bool: which places hold ids of the teacher's set, which of the student's."""
    k = soft_T["ids"].shape[1] // 2
    used_TU = soft_T["ids"] != PAD
    teachers_TU = used_TU & (soft_T["teacher"] > -np.inf)
    teachers_TU[:, k:] = False
    alone_T = (used_TU & ~teachers_TU).sum(1)
    known_TU = used_TU & (soft_T["student"] > -np.inf)
    # The student's set is what is its alone, and of the teacher's the likeliest to the student, k in all.
    common_T = np.minimum(k, known_TU.sum(1)) - alone_T
    among_TU = np.where(teachers_TU & known_TU, soft_T["student"].astype(np.float32), -np.inf)
    rank_TU = (-among_TU).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    return teachers_TU, (used_TU & ~teachers_TU) | (rank_TU < common_T[:, None])


def overlaps(soft_T: np.ndarray) -> np.ndarray:
    """(T, 3): of every token the share of the k ids that is in both sets, and the probability that the teacher and the
    student give to these (overlap ratio and overlap mass, arXiv 2604.13016)."""
    teachers_TU, students_TU = in_sets(soft_T)
    both_TU = teachers_TU & students_TU
    k = soft_T["ids"].shape[1] // 2
    p_TU, q_TU = (np.exp(soft_T[name].astype(np.float32)) for name in ("teacher", "student"))
    return np.stack([both_TU.sum(1) / k, *(np.where(both_TU, each_TU, 0).sum(1) for each_TU in (p_TU, q_TU))], axis=1)
