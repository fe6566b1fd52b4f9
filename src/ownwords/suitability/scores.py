"""How suitable a trace is for a student, from what the student thinks of its tokens: pure functions on arrays.

Of every token of a response: the surprisal `s = -ln q(token)` in nats, the rank (1 + the number of ids with a strictly
larger logit) and the entropy `H` of the student's distribution there, all at temperature 1. Sums are in float64.

Shapes: T scored tokens of a trace.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RANK_CLIP = 100
"""r_max of the Rank-Surprisal Ratio (arXiv 2601.14249)"""
BELOW = {
    "below_10": 0.10, "below_5": 0.05, "below_3": 0.03, "below_1": 0.01, "below_0_3": 0.003, "below_0_1": 0.001,
}  # fmt: skip
"""column -> probability: the share of tokens that the student finds less likely than this"""
ENS_QUANTILES = {"ens_1_2": 1 / 2, "ens_3_4": 3 / 4, "ens_7_8": 7 / 8, "ens_15_16": 15 / 16, "ens_31_32": 31 / 32}
"""column -> quantile of the entropy-normalised surprisal; the five that IPSD makes its gate of"""
ENS_EPSILON = 1e-6


def clipped(ranks_T: np.ndarray, clip: int = RANK_CLIP) -> np.ndarray:
    """Ranks, none above `clip`, as float64."""
    return np.minimum(ranks_T, clip).astype(np.float64)


def rsr(ranks_T: np.ndarray, surprisals_T: np.ndarray, clip: int = RANK_CLIP) -> float:
    """Rank-Surprisal Ratio of one trace (arXiv 2601.14249): sum of clipped ranks / sum of surprisals; lower suits
    better. Infinite for a trace that does not surprise at all."""
    total = np.sum(surprisals_T, dtype=np.float64)
    return float(clipped(ranks_T, clip).sum() / total) if total > 0 else float("inf")


def set_rsr(mean_ranks: np.ndarray, mean_surprisals: np.ndarray) -> float:
    """Rank-Surprisal Ratio of a set (arXiv 2601.14249): the sum of its traces' mean clipped ranks / the sum of their
    mean surprisals, so that a long trace counts as much as a short one."""
    total = np.sum(mean_surprisals, dtype=np.float64)
    return float(np.sum(mean_ranks, dtype=np.float64) / total) if total > 0 else float("inf")


def below(surprisals_T: np.ndarray, probability: float) -> float:
    """Share of tokens whose probability is less than `probability`."""
    return float(np.mean(surprisals_T > -np.log(probability)))


def grape(surprisals_T: np.ndarray) -> float:
    """Length-normalised likelihood (GRAPE, arXiv 2502.04194): the geometric mean of the token probabilities, 0 to 1;
    higher suits better."""
    return float(np.exp(-np.mean(surprisals_T, dtype=np.float64)))


def ens(surprisals_T: np.ndarray, entropies_T: np.ndarray) -> np.ndarray:
    """Entropy-normalised surprisal of each token, s / (H + 1e-6): what the gate `ens:LIMIT` looks at (IPSD)."""
    return surprisals_T.astype(np.float64) / (entropies_T.astype(np.float64) + ENS_EPSILON)


def step_logprob(surprisals_T: np.ndarray, steps_T: np.ndarray) -> float:
    """Mean over steps of the mean log-probability (nats) within a step; `steps_T` numbers each token's step.

    With surprisals under the whole prefix it is what one pass can tell. With surprisals under the problem and the k
    steps before only it is Local Naturalness (arXiv 2510.03988, eq. 2).
    """
    _, step_T = np.unique(steps_T, return_inverse=True)
    sums = np.bincount(step_T, weights=-surprisals_T.astype(np.float64))
    return float(np.mean(sums / np.bincount(step_T)))


def trace_scores(
    surprisals_T: np.ndarray, ranks_T: np.ndarray, entropies_T: np.ndarray, steps_T: np.ndarray
) -> dict[str, float]:
    """All scores of one trace that a single pass gives. T is at least 1."""
    return {
        "mean_surprisal": float(np.mean(surprisals_T, dtype=np.float64)),
        "mean_rank": float(clipped(ranks_T).mean()),
        "mean_entropy": float(np.mean(entropies_T, dtype=np.float64)),
        "rsr": rsr(ranks_T, surprisals_T),
        "grape": grape(surprisals_T),
        "step_logprob": step_logprob(surprisals_T, steps_T),
        **{name: below(surprisals_T, probability) for name, probability in BELOW.items()},
        **ens_quantiles(ens(surprisals_T, entropies_T)),
    }


def ens_quantiles(ens_T: np.ndarray) -> dict[str, float]:
    """The quantiles of `ENS_QUANTILES`, interpolated linearly."""
    return dict(zip(ENS_QUANTILES, map(float, np.quantile(ens_T, list(ENS_QUANTILES.values())))))


def set_scores(traces: Sequence[dict[str, float]], ens_of_all: np.ndarray) -> dict[str, float]:
    """The scores of a set, from those of its traces (rows with `scored_tokens`, the names of `trace_scores` and
    perhaps `local_naturalness`) and the entropy-normalised surprisal of all its tokens.

    Per token (a long trace counts more): the means of surprisal, rank and entropy, the shares, the quantiles. Per trace
    (each counts once): rsr, grape, step_logprob and local_naturalness.
    """
    tokens = np.array([trace["scored_tokens"] for trace in traces], dtype=np.float64)

    def column(name: str) -> np.ndarray:
        return np.array([trace[name] for trace in traces], dtype=np.float64)

    pooled = ("mean_surprisal", "mean_rank", "mean_entropy", *BELOW)
    each = ["grape", "step_logprob"] + ["local_naturalness"] * ("local_naturalness" in traces[0])
    return {
        **{name: float(column(name) @ tokens / tokens.sum()) for name in pooled},
        "rsr": set_rsr(column("mean_rank"), column("mean_surprisal")),
        **{name: float(column(name).mean()) for name in each},
        **ens_quantiles(ens_of_all),
    }
