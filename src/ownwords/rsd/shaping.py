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


TIERS = (16, 1024)
"""Candidates among which a nucleus is looked for before the whole vocabulary is sorted."""


def _truncate(log_p_BV: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Top-k, then top-p. Sorting the vocabulary costs more than a small model's step, and a nucleus is nearly always
    found among the likeliest few; rows where it is not are looked at again among more."""
    B, V = log_p_BV.shape
    tiers = [n for n in TIERS if sampling.top_k < n < V / 2] + [V]
    kept_BV, found_B = _truncate_among(log_p_BV, tiers[0], sampling)
    rows = (~found_B).nonzero()[:, 0]
    for n in tiers[1:]:
        if not len(rows):
            break
        kept_BV[rows], found_R = _truncate_among(log_p_BV[rows], n, sampling)
        rows = rows[~found_R]
    return kept_BV


def _truncate_among(log_p_BV: torch.Tensor, n: int, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """(kept_BV, found_B): the truncation with the `n` likeliest as candidates, and whether these were enough."""
    if n < log_p_BV.shape[-1]:
        values_BN, ids_BN = log_p_BV.topk(n, dim=-1)
    else:
        values_BN, ids_BN = log_p_BV.sort(dim=-1, descending=True, stable=True)
    keep_BN = torch.ones_like(values_BN, dtype=torch.bool)
    mass_BN = values_BN.double().exp()
    if sampling.top_k:
        keep_BN[:, sampling.top_k :] = False
        mass_BN *= keep_BN
    if sampling.top_p < 1:
        total_B1 = mass_BN.sum(-1, keepdim=True) if sampling.top_k else 1.0
        keep_BN &= mass_BN.cumsum(-1) - mass_BN < sampling.top_p * total_B1
    kept_BN = values_BN.masked_fill(~keep_BN, IMPOSSIBLE)
    kept_BV = torch.full_like(log_p_BV, IMPOSSIBLE).scatter_(-1, ids_BN, torch.log_softmax(kept_BN, dim=-1))
    # Which of several equal candidates come first is up to the device: none may be cut off from its equals.
    cut_BN = keep_BN[:, :-1] & ~keep_BN[:, 1:] & (values_BN[:, :-1] > values_BN[:, 1:])
    found_B = cut_BN.any(-1) if n < log_p_BV.shape[-1] else torch.ones_like(keep_BN[:, 0])
    return kept_BV, found_B
