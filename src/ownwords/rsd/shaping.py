"""From a model's logits to the distribution it is asked to sample from.

All of it in log space and fp32. Ties have one rule everywhere: the lower id comes first.

Shapes: B rows (positions), V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

IMPOSSIBLE = float("-inf")


@dataclass(frozen=True)
class Sampling:
    """How one model's distribution is shaped before it is drawn from."""

    temperature: float = 0.7
    """0 takes the likeliest token"""
    top_p: float = 0.95
    """keep the likeliest tokens up to this mass; 1 keeps all"""
    top_k: int = 0
    """keep this many of the likeliest tokens; 0 keeps all"""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}, expected 0 (greedy) or a positive number")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top-p is {self.top_p}, expected a share in (0, 1]; 1 keeps every token")
        if self.top_k < 0:
            raise ValueError(f"top-k is {self.top_k}, expected a count of tokens; 0 keeps every token")


def raw_logprobs(logits_BV: torch.Tensor, known_V: torch.Tensor | None = None) -> torch.Tensor:
    """Temperature-1 log-probabilities (nats, fp32) over the ids in `known_V` (bool); the others get -inf.

    Rows of the embedding that no token of the tokenizer uses (padding to a round number) are not known.
    """
    logits_BV = logits_BV.float()
    if known_V is not None:
        logits_BV = logits_BV.masked_fill(~known_V, IMPOSSIBLE)
    return torch.log_softmax(logits_BV, dim=-1)


def gather_ends(log_p_BV: torch.Tensor, end_ids: list[int], end_id: int) -> torch.Tensor:
    """Move the probability of every end-of-turn id in `end_ids` to `end_id`: a model may end its turn in several
    ways, the trace ends in one."""
    if end_ids == [end_id]:
        return log_p_BV
    total_B = log_p_BV[:, end_ids].logsumexp(-1)
    moved_BV = log_p_BV.clone()
    moved_BV[:, end_ids] = IMPOSSIBLE
    moved_BV[:, end_id] = total_B
    return moved_BV


def shape(log_p_BV: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Raw log-probabilities to those of the sampled distribution: temperature, then top-k, then top-p, as
    `transformers` and vLLM order them. Returns log-probabilities (nats, fp32) that sum to one."""
    if sampling.temperature == 0:
        one_hot_BV = torch.full_like(log_p_BV, IMPOSSIBLE)
        return one_hot_BV.scatter_(-1, log_p_BV.argmax(-1, keepdim=True), 0.0)
    shaped_BV = log_p_BV
    if sampling.temperature != 1:
        shaped_BV = torch.log_softmax(log_p_BV / sampling.temperature, dim=-1)
    if sampling.top_k or sampling.top_p < 1:
        shaped_BV = _truncate(shaped_BV, sampling)
    return shaped_BV


def _truncate(log_p_BV: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    ordered_BV, ids_BV = log_p_BV.sort(dim=-1, descending=True, stable=True)
    if sampling.top_k:
        ordered_BV[:, sampling.top_k :] = IMPOSSIBLE
        ordered_BV = torch.log_softmax(ordered_BV, dim=-1)
    if sampling.top_p < 1:
        mass_BV = ordered_BV.double().exp()
        before_BV = mass_BV.cumsum(-1) - mass_BV
        ordered_BV = ordered_BV.masked_fill(before_BV >= sampling.top_p, IMPOSSIBLE)
    kept_BV = torch.full_like(log_p_BV, IMPOSSIBLE).scatter_(-1, ids_BV, ordered_BV)
    return torch.log_softmax(kept_BV, dim=-1)
