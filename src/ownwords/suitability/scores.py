"""How suitable a trace is for a student, from what the student thinks of its tokens: pure functions on arrays.

Of every token of a response: the surprisal `s = -ln q(token)` in nats, the rank (1 + the number of ids with a strictly
larger logit) and the entropy `H` of the student's distribution there, all at temperature 1. Sums are in float64.

Shapes: T scored tokens of a trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ownwords.suitability.score import Counted, Score, TraceSet, all_scores, per_token

RANK_CLIP = 100
"""r_max of the Rank-Surprisal Ratio (arXiv 2601.14249)"""
BELOW = {
    "below_10": 0.10, "below_5": 0.05, "below_3": 0.03, "below_1": 0.01, "below_0_3": 0.003, "below_0_1": 0.001,
}  # fmt: skip
"""column -> probability: the share of tokens that the student finds less likely than this"""
ENS_QUANTILES = {"ens_1_2": 1 / 2, "ens_3_4": 3 / 4, "ens_7_8": 7 / 8, "ens_15_16": 15 / 16, "ens_31_32": 31 / 32}
"""column -> quantile of the entropy-normalised surprisal; the five that IPSD makes its gate of"""


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


def step_logprob(surprisals_T: np.ndarray, steps_T: np.ndarray) -> float:
    """Mean over steps of the mean log-probability (nats) within a step; `steps_T` numbers each token's step.

    With surprisals under the whole prefix it is what one pass can tell. With surprisals under the problem and the k
    steps before only it is Local Naturalness (arXiv 2510.03988, eq. 2).
    """
    _, step_T = np.unique(steps_T, return_inverse=True)
    sums = np.bincount(step_T, weights=-surprisals_T.astype(np.float64))
    return float(np.mean(sums / np.bincount(step_T)))


def _below(name: str, probability: float) -> Score:
    label = f"tokens below {100 * probability:g} %"
    return Score(
        name, label, lambda tokens: below(tokens.surprisal, probability), per_token(name), form="{:.2%}", report=False
    )


def _quantile_of(values: np.ndarray, quantile: float) -> float:
    """Interpolated linearly, in float64."""
    return float(np.quantile(values, [quantile])[0])


def _quantile(name: str, quantile: float) -> Score:
    share = name.removeprefix("ens_").replace("_", "/")
    return Score(
        name, f"gate ens: that lets {share} pass", lambda tokens: _quantile_of(tokens.ens, quantile),
        lambda traces: _quantile_of(traces.ens, quantile), form="{:.3g}", report=False,
    )  # fmt: skip


SCORES = (
    Score(
        "rsr", "Rank-Surprisal Ratio", lambda tokens: rsr(tokens.rank, tokens.surprisal),
        lambda traces: set_rsr(traces.column("mean_rank"), traces.column("mean_surprisal")),
        note=" (lower suits better)",
    ),
    Score(
        "mean_surprisal", "mean surprisal, nats", lambda tokens: float(np.mean(tokens.surprisal, dtype=np.float64)),
        per_token("mean_surprisal"), of_token=lambda tokens: tokens.surprisal, report=False,
    ),
    Score(
        "mean_rank", f"mean rank, at most {RANK_CLIP}", lambda tokens: float(clipped(tokens.rank).mean()),
        per_token("mean_rank"), of_token=lambda tokens: clipped(tokens.rank), form="{:.2f}", report=False,
    ),
    Score(
        "mean_entropy", "mean entropy, nats", lambda tokens: float(np.mean(tokens.entropy, dtype=np.float64)),
        per_token("mean_entropy"),
    ),
    Score("grape", "likelihood per token (GRAPE)", lambda tokens: grape(tokens.surprisal), better="higher"),
    Score(
        "step_logprob", "log-probability per step, nats", lambda tokens: step_logprob(tokens.surprisal, tokens.step),
        better="higher", report=False,
    ),
    Score(
        "local_naturalness", "Local Naturalness, nats",
        lambda tokens: None if tokens.local is None else step_logprob(tokens.local, tokens.step), better="higher",
    ),
    *(_below(name, probability) for name, probability in BELOW.items()),
    *(_quantile(name, quantile) for name, quantile in ENS_QUANTILES.items()),
)  # fmt: skip
"""Ours, in the order of columns and tables."""


def trace_scores(
    surprisals_T: np.ndarray,
    ranks_T: np.ndarray,
    entropies_T: np.ndarray,
    steps_T: np.ndarray,
    local_T: np.ndarray | None = None,
) -> dict[str, float]:
    """All scores that a trace has. T is at least 1. `local_T`: see `Counted.local`."""
    tokens = Counted(surprisals_T, ranks_T, entropies_T, steps_T, local_T)
    found = ((name, score.of_trace(tokens)) for name, score in all_scores().items())
    return {name: float(value) for name, value in found if value is not None}


def set_scores(traces: Sequence[dict[str, Any]], ens_of_all: np.ndarray) -> dict[str, float]:
    """The scores of a set, from those of its traces (rows with `scored_tokens` and what `trace_scores` gives) and the
    entropy-normalised surprisal of all its tokens. A score that no trace has is left out."""
    found = {}
    for name, score in all_scores().items():
        if having := [row for row in traces if row.get(name) is not None]:
            found[name] = score.over(TraceSet(having, ens_of_all))
    return found
