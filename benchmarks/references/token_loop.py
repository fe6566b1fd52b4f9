"""The procedure as the paper writes it down, for one position: propose, look, propose again, fall back.

It is slow and is never used to make traces. It is what the closed form is tested against.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def propose_loop(
    P_V: np.ndarray, F_V: np.ndarray, g_V: np.ndarray, proposals: float, random: Callable[[], float]
) -> tuple[int, bool]:
    """(token, teacher_spoke) by up to `proposals` draws from P, each let through with probability g(x), and else a
    draw from F (arXiv 2509.22230 section 3; the authors' script redraws up to five times).

    `random()` gives uniforms in [0, 1). With no limit on the proposals and a gate that nothing can pass, the student
    speaks at once: the loop would not end.
    """
    if not (P_V * g_V).any():
        proposals = 0
    made = 0
    while made < proposals:
        token = _sample(P_V, random())
        if random() < g_V[token]:
            return token, True
        made += 1
    return _sample(F_V, random()), False


def _sample(weights_V: np.ndarray, u: float) -> int:
    total_V = np.cumsum(weights_V.astype(np.float64))
    return int(min(np.searchsorted(total_V, u * total_V[-1], side="right"), np.flatnonzero(weights_V)[-1]))
