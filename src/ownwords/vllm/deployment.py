"""What a whole deployment of vLLM has in common: carried to each of its processes in vLLM's `additional_config`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

from ownwords.vllm.wishes import Wish

PLACE = "ownwords"
"""our key in `additional_config`"""


@dataclass(frozen=True)
class Deployment:
    """Who writes, and what a request that says nothing gets."""

    student: str
    teacher: str | None = None
    """None if the student writes alone"""
    gate: str = "threshold:0.01"
    proposals: float = 1
    drafts: int = 0
    """tokens that the student drafts ahead"""

    @classmethod
    def of(cls, flat: dict[str, Any]) -> Self:
        return cls(**flat | {"proposals": float(flat["proposals"])})

    def flat(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"proposals": "inf" if math.isinf(self.proposals) else self.proposals}

    @property
    def wish(self) -> Wish:
        return Wish(gate=self.gate, proposals=self.proposals)
