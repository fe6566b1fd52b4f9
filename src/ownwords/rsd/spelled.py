"""Student-only tokens that the teacher spells with several of its own (`</think>` against `</`, `think`, `>`).

By default the teacher cannot propose them: their P is 0. Here P(s) is the product of the teacher's probabilities along
the spelling, *subtracted from its first piece*, so that P still sums to one. The product takes further passes of the
teacher, and is asked for only where the first piece has at least `LEAST`. What that leaves out stays with the first
piece: per first piece less than `LEAST` of probability is in another place than with all products, so the raw p is off
by less than `LEAST` times the number of first pieces in total variation. A first piece that is written after all is
still free to be continued to the whole spelling, which adds at most p(first) r (1 - r) to the teacher's probability of
that *text*, r = p(s) / p(first): nothing where the teacher is sure either way, and subject to the gate as any piece.

Shapes: B rows (positions), V the student's ids, S spelled tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

LEAST = 1e-4


@dataclass(frozen=True)
class Spelled:
    """The tokens in question, by student ids."""

    ids_S: torch.Tensor
    pieces: tuple[tuple[int, ...], ...]
    """the student's ids of what the teacher spells each with, two or more"""
    first_S: torch.Tensor
    """first pieces"""
    donor_S: torch.Tensor
    """whose probability each product is a part of: the first piece, or another spelled token whose spelling is the
    beginning of this one's (the longest such)"""

    @classmethod
    def of(cls, pieces: Mapping[int, tuple[int, ...]], device: torch.device | str = "cpu") -> Spelled:
        assert all(len(spelling) > 1 for spelling in pieces.values())
        by_spelling = {spelling: s for s, spelling in pieces.items()}
        donors = [
            next((by_spelling[w[:n]] for n in range(len(w) - 1, 1, -1) if w[:n] in by_spelling), w[0])
            for w in pieces.values()
        ]
        tensors = (torch.tensor(ids, device=device) for ids in (list(pieces), [w[0] for w in pieces.values()], donors))
        ids_S, first_S, donor_S = tensors
        return cls(ids_S, tuple(pieces.values()), first_S, donor_S)


def log_product(log_first: torch.Tensor, log_rest_N: torch.Tensor) -> torch.Tensor:
    """The log-probability of a whole spelling from that of its first piece and those of the others, each given all
    before it; -inf where the first piece has less than `LEAST`. Leading dimensions are free."""
    whole = log_first + log_rest_N.sum(-1)
    return whole.masked_fill(~asked_for(log_first), float("-inf"))


def asked_for(log_first: torch.Tensor) -> torch.Tensor:
    """bool: the first piece is likely enough for the product to be evaluated."""
    return log_first.exp() >= LEAST


def with_products(log_p_BV: torch.Tensor, spelled: Spelled, log_product_BS: torch.Tensor) -> torch.Tensor:
    """log_p_BV with every product at its token, and so much less at the token that it is a part of."""
    moved_BV = log_p_BV.clone()
    moved_BV[:, spelled.ids_S] = log_product_BS
    donors_D, donor_of_S = spelled.donor_S.unique(return_inverse=True)
    before_BD = moved_BV[:, donors_D]
    # A product is a part of its donor's probability: rounding must not make it more than the whole.
    share_BS = (log_product_BS - before_BD[:, donor_of_S]).nan_to_num(nan=float("-inf"), neginf=float("-inf")).exp()
    given_BD = torch.zeros_like(before_BD).index_add_(-1, donor_of_S, share_BS).clamp_(max=1)
    moved_BV[:, donors_D] = before_BD + torch.log1p(-given_BD)
    return moved_BV
