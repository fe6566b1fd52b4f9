"""Drawing from a distribution with a given uniform, and the token of RSD as one function of its noise.

Shapes: B rows (positions), V vocabulary.
"""

from __future__ import annotations

import torch

from ownwords.rsd.mixture import Mixture
from ownwords.rsd.noise import COIN, KEEP, RESIDUAL


def draw(weights_BV: torch.Tensor, u_B: torch.Tensor) -> torch.Tensor:
    """Inverse CDF in id order: ids_B with probability proportional to `weights_BV` (fp32, not all zero in a row).

    Two levels with fp64 running sums, since an fp32 one over 150,000 words drifts. An id of weight zero is never
    drawn, not even at u = 0 or u = 1.
    """
    B, V = weights_BV.shape
    size = 1 << (V.bit_length() // 2)  # about as many blocks as words in a block
    blocks_BNK = torch.nn.functional.pad(weights_BV, (0, -V % size)).view(B, -1, size)
    # Within a block the fp32 sum is good to its last digits; it is the long running sum that is not.
    mass_BN = blocks_BNK.sum(-1).double()
    block_B, rest_B = _pick(mass_BN, u_B.double() * mass_BN.sum(-1))
    inside_BK = blocks_BNK[torch.arange(B, device=weights_BV.device), block_B].double()
    return block_B * size + _pick(inside_BK, rest_B)[0]


def _pick(weights_BN: torch.Tensor, target_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Index of the cell that the target mass falls into, and the mass left inside that cell."""
    sum_BN = weights_BN.cumsum(-1)
    total_B = sum_BN[:, -1]
    # Rounding can put the target at or past the total; the last cell with any weight is then meant.
    target_B = torch.minimum(target_B, torch.nextafter(total_B, torch.zeros_like(total_B)))
    index_B1 = torch.searchsorted(sum_BN, target_B[:, None], right=True)
    before_B1 = torch.nn.functional.pad(sum_BN, (1, 0)).gather(-1, index_B1)
    return index_B1[:, 0], target_B - before_B1[:, 0]


def settle(mixture: Mixture, draft_B: torch.Tensor, u_B4: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(token_B, teacher_spoke_B): a draw from the mixture, given the student's drafts `y ~ F`.

    Tails, the draft stands: it is a sample of F. Heads, it is kept with probability min(1, R(y) / F(y)), else replaced
    by a draw from the positive part of R - F, which makes it a sample of R (speculative sampling, arXiv 2211.17192
    section 2.3). Every token goes this way round, drafted ahead or not: so it is the same function of its noise with
    and without speculation. A draft is kept with probability 1 - A TV(R, F), TV being the total variation.
    """
    heads_B = u_B4[:, COIN] < mixture.A_B
    at_B1 = draft_B[:, None]
    log_ratio_B = (mixture.log_R_BV.gather(-1, at_B1) - mixture.log_F_BV.gather(-1, at_B1))[:, 0]
    replace_B = heads_B & (u_B4[:, KEEP] >= log_ratio_B.double().exp())
    token_B = draft_B.clone()
    rows = replace_B.nonzero()[:, 0]
    if len(rows):
        R_nV = mixture.log_R_BV[rows].exp()
        residual_nV = (R_nV - mixture.log_F_BV[rows].exp()).clamp_(min=0)
        # A residual that rounding leaves empty means R = F up to rounding: R itself is right.
        residual_nV = torch.where(residual_nV.sum(-1, keepdim=True) > 0, residual_nV, R_nV)
        token_B[rows] = draw(residual_nV, u_B4[rows, RESIDUAL])
    return token_B, heads_B
