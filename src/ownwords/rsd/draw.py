"""Drawing from a distribution with a given uniform, and the token of RSD as one function of its noise.

Shapes: B rows (positions), V vocabulary.
"""

from __future__ import annotations

import torch

from ownwords.rsd.mixture import Mixture
from ownwords.rsd.noise import COIN, KEEP, RESIDUAL

LARGE = 4096
"""words from which on the running sum has two levels"""


def draw(weights_BV: torch.Tensor, u_B: torch.Tensor) -> torch.Tensor:
    """Inverse CDF in id order: ids_B with probability proportional to `weights_BV` (fp32, not all zero in a row).

    Running sums are fp64, since an fp32 one over 150,000 words drifts; in two levels where they are long, since an fp64
    copy of all weights costs more than the rest. An id of weight zero is never drawn, not even at u = 0 or u = 1.
    """
    B, V = weights_BV.shape
    if V < LARGE:
        sum_BV = weights_BV.cumsum(-1, dtype=torch.float64)
        return _cell(sum_BV, u_B.double() * sum_BV[:, -1])
    size = 1 << (V.bit_length() // 2)  # about as many blocks as words in a block
    blocks_BNK = torch.nn.functional.pad(weights_BV, (0, -V % size)).view(B, -1, size)
    # Within a block the fp32 sum is good to its last digits; it is the long running sum that is not.
    sum_BN = blocks_BNK.sum(-1).cumsum(-1, dtype=torch.float64)
    target_B = u_B.double() * sum_BN[:, -1]
    block_B = _cell(sum_BN, target_B)
    rest_B = target_B - torch.nn.functional.pad(sum_BN, (1, 0)).gather(-1, block_B[:, None])[:, 0]
    inside_BK = blocks_BNK[torch.arange(B, device=weights_BV.device), block_B]
    return block_B * size + _cell(inside_BK.cumsum(-1, dtype=torch.float64), rest_B)


def _cell(sum_BN: torch.Tensor, target_B: torch.Tensor) -> torch.Tensor:
    """Index of the cell that the target mass falls into, given the running sum over the cells."""
    # Rounding can put the target at or past the total; the last cell with any weight is then meant.
    total_B = sum_BN[:, -1]
    target_B = torch.minimum(target_B, torch.nextafter(total_B, torch.zeros_like(total_B)))
    return torch.searchsorted(sum_BN, target_B[:, None], right=True)[:, 0]


def settle(mixture: Mixture, draft_B: torch.Tensor, u_B4: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(token_B, teacher_spoke_B): a draw from the mixture, given the student's drafts `y ~ F`.

    Tails, the draft stands: it is a sample of F. Heads, it is kept with probability min(1, R(y) / F(y)), else replaced
    by a draw from the positive part of R - F, which makes it a sample of R (speculative sampling, arXiv 2211.17192
    section 2.3). Every token goes this way round, drafted ahead or not: so it is the same function of its noise with
    and without speculation. A draft is kept with probability 1 - A TV(R, F), TV being the total variation.
    """
    heads_B = u_B4[:, COIN] < mixture.teacher_share_B
    at_B1 = draft_B[:, None]
    log_ratio_B = (mixture.log_passed_BV.gather(-1, at_B1) - mixture.log_fallback_BV.gather(-1, at_B1))[:, 0]
    replace_B = heads_B & (u_B4[:, KEEP] >= log_ratio_B.double().exp())
    token_B = draft_B.clone()
    rows = replace_B.nonzero()[:, 0]
    if len(rows):
        R_nV = mixture.log_passed_BV[rows].exp()
        residual_nV = (R_nV - mixture.log_fallback_BV[rows].exp()).clamp_(min=0)
        # A residual that rounding leaves empty means R = F up to rounding: R itself is right.
        residual_nV = torch.where(residual_nV.sum(-1, keepdim=True) > 0, residual_nV, R_nV)
        token_B[rows] = draw(residual_nV, u_B4[rows, RESIDUAL])
    return token_B, heads_B
