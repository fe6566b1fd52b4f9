"""The randomness of an attempt: a few uniforms per token, a pure function of (seed, problem, attempt).

Row t of an attempt's noise belongs to its token t, whatever the batch, the draft length or the number of restarts,
so a trace can be made again, and two ways of making it can be compared token by token. Philox is counter-based: the
rows do not depend on how many are drawn.
"""

from __future__ import annotations

import hashlib

import numpy as np

COIN, DRAFT, KEEP, RESIDUAL = range(4)
"""Who speaks; the student's draw; whether the teacher keeps it; what the teacher says instead."""


def attempt_noise(seed: int, problem_id: str, attempt: int, tokens: int) -> np.ndarray:
    """u_T4: float64 uniforms in [0, 1), a row per token, a column per role."""
    key = hashlib.sha256(f"{seed}/{problem_id}/{attempt}".encode()).digest()
    philox = np.random.Philox(key=int.from_bytes(key[:16], "little"))
    return np.random.Generator(philox).random((tokens, 4))
