"""The scores once more, in float64 and word by word from their definitions: what tests compare the fast way with.

Shapes: T tokens, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Reference:
    """One trace: what the student thinks of each token that counts, and the sentence of each."""

    surprisal: list[float]
    rank: list[int]
    entropy: list[float]
    step: list[int]

    @property
    def ens(self) -> list[float]:
        return [s / (h + 1e-6) for s, h in zip(self.surprisal, self.entropy, strict=True)]


def reference_tokens(logits_TV: torch.Tensor, targets_T: torch.Tensor) -> tuple[list[float], list[int], list[float]]:
    """(surprisal, rank, entropy) of each target, from the logits as they are."""
    z_TV = logits_TV.double()
    log_q_TV = z_TV - torch.logsumexp(z_TV, dim=1, keepdim=True)
    surprisal_T = -log_q_TV.gather(1, targets_T[:, None])[:, 0]
    rank_T = 1 + (z_TV > z_TV.gather(1, targets_T[:, None])).sum(1)
    q_TV = log_q_TV.exp()
    entropy_T = -torch.where(q_TV > 0, q_TV * log_q_TV, 0.0).sum(1)
    return surprisal_T.tolist(), rank_T.tolist(), entropy_T.tolist()


def reference_trace(one: Reference) -> dict[str, float]:
    """The scores of a trace."""
    tokens = len(one.surprisal)
    clipped = [min(rank, 100) for rank in one.rank]
    sentences: dict[int, list[float]] = {}
    for step, surprisal in zip(one.step, one.surprisal, strict=True):
        sentences.setdefault(step, []).append(-surprisal)
    return {
        "mean_surprisal": math.fsum(one.surprisal) / tokens,
        "mean_rank": sum(clipped) / tokens,
        "mean_entropy": math.fsum(one.entropy) / tokens,
        "rsr": sum(clipped) / math.fsum(one.surprisal),
        "grape": math.prod([math.exp(-surprisal / tokens) for surprisal in one.surprisal]),
        "step_logprob": _mean([_mean(sentence) for sentence in sentences.values()]),
        **_below(one.surprisal),
        **_quantiles(one.ens),
    }


def reference_set(traces: Sequence[Reference]) -> dict[str, float]:
    """The scores of a set."""
    each = [reference_trace(one) for one in traces]
    surprisal = [s for one in traces for s in one.surprisal]
    return {
        "mean_surprisal": _mean(surprisal),
        "mean_rank": _mean([min(rank, 100) for one in traces for rank in one.rank]),
        "mean_entropy": _mean([h for one in traces for h in one.entropy]),
        "rsr": math.fsum(one["mean_rank"] for one in each) / math.fsum(one["mean_surprisal"] for one in each),
        "grape": _mean([one["grape"] for one in each]),
        "step_logprob": _mean([one["step_logprob"] for one in each]),
        **_below(surprisal),
        **_quantiles([value for one in traces for value in one.ens]),
    }


def _below(surprisal: list[float]) -> dict[str, float]:
    levels = {"10": 0.1, "5": 0.05, "3": 0.03, "1": 0.01, "0_3": 0.003, "0_1": 0.001}
    return {
        f"below_{name}": sum(math.exp(-s) < level for s in surprisal) / len(surprisal) for name, level in levels.items()
    }


def _quantiles(values: list[float]) -> dict[str, float]:
    """Linear interpolation between the two nearest in order."""
    ordered = sorted(values)
    found = {}
    for above, parts in ((1, 2), (3, 4), (7, 8), (15, 16), (31, 32)):
        place = (len(ordered) - 1) * above / parts
        low = math.floor(place)
        high = min(low + 1, len(ordered) - 1)
        found[f"ens_{above}_{parts}"] = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
