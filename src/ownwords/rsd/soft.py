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
    """Of one token's soft targets: U ids and what each model says of them (nats). First the ids that are in both sets,
    then those of the teacher's alone, both falling by the teacher; then those of the student's alone, falling by the
    student. The teacher's log-probabilities are NaN where there is no teacher."""
    return np.dtype([("ids", np.int32, 2 * k), ("teacher", np.float16, 2 * k), ("student", np.float16, 2 * k)])


def soft_targets(log_p_BV: torch.Tensor | None, log_q_BV: torch.Tensor, k: int) -> np.ndarray:
    """The soft targets of B positions, shape (B,) of `soft_dtype(k)`. An id of probability 0 is in no model's set.

    `log_p_BV`: the teacher's log-probabilities (nats); None where there is no teacher: the student's set alone, then.
    """
    ids_BU = ours_BK = log_q_BV.topk(k, dim=-1).indices
    known_BK = log_q_BV.gather(-1, ours_BK) > -torch.inf
    kind_BU = torch.where(known_BK, 2, 3)  # 0: in both sets, 1: the teacher's, 2: the student's, 3: in none
    if log_p_BV is not None:
        theirs_BK = log_p_BV.topk(k, dim=-1).indices
        said_BK = log_p_BV.gather(-1, theirs_BK) > -torch.inf
        same_BKK = (theirs_BK[:, :, None] == ours_BK[:, None]) & said_BK[:, :, None] & known_BK[:, None]
        theirs_kind_BK = torch.where(said_BK, torch.where(same_BKK.any(2), 0, 1), 3)
        ids_BU = torch.cat([theirs_BK, ours_BK], dim=1)
        kind_BU = torch.cat([theirs_kind_BK, kind_BU.masked_fill(same_BKK.any(1), 3)], dim=1)
    student_BU = log_q_BV.gather(-1, ids_BU)
    teacher_BU = torch.full_like(student_BU, torch.nan) if log_p_BV is None else log_p_BV.gather(-1, ids_BU)
    order_BU = kind_BU.argsort(dim=-1, stable=True)
    unused_BU = kind_BU.gather(-1, order_BU) == 3
    soft_B = np.empty(len(ids_BU), soft_dtype(k))
    for name, values_BU, pad in (
        ("ids", ids_BU, PAD),
        ("teacher", teacher_BU, -torch.inf),
        ("student", student_BU, -torch.inf),
    ):
        soft_B[name] = pad
        soft_B[name][:, : ids_BU.shape[1]] = values_BU.gather(-1, order_BU).masked_fill(unused_BU, pad).cpu().numpy()
    return soft_B


def in_sets(soft_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(teachers_TU, students_TU), bool: which places hold ids of the teacher's set, which of the student's. A set has k
    ids unless its model gives any probability to fewer, and these are all in it: so their places follow from counts."""
    k, U = soft_T["ids"].shape[1] // 2, soft_T["ids"].shape[1]
    used_TU = soft_T["ids"] != PAD
    theirs_T1, ours_T1 = (
        np.minimum(k, (used_TU & (soft_T[side] > -np.inf)).sum(1, keepdims=True)) for side in ("teacher", "student")
    )
    both_T1 = theirs_T1 + ours_T1 - used_TU.sum(1, keepdims=True)
    place_U = np.arange(U)
    return place_U < theirs_T1, (place_U < both_T1) | (used_TU & (place_U >= theirs_T1))


def overlaps(soft_T: np.ndarray) -> np.ndarray:
    """(T, 3): of every token the share of the k ids that is in both sets, and the probability that the teacher and the
    student give to these (overlap ratio and overlap mass, arXiv 2604.13016)."""
    teachers_TU, students_TU = in_sets(soft_T)
    both_TU = teachers_TU & students_TU
    k = soft_T["ids"].shape[1] // 2
    p_TU, q_TU = (np.exp(soft_T[name].astype(np.float32)) for name in ("teacher", "student"))
    return np.stack([both_TU.sum(1) / k, *(np.where(both_TU, each_TU, 0).sum(1) for each_TU in (p_TU, q_TU))], axis=1)
