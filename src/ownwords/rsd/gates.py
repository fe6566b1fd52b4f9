"""Gates: the probability with which a token that the teacher proposes is let through to the trace.

A gate is a pure function of the raw (temperature 1) log-probabilities of teacher and student; it returns
`log g`, 0 where a token always passes and -inf where it never does. Everything else (the mixture, speculation,
provenance) works for any such function.

Shapes: B rows (positions), V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch

Gate = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(log_p_BV, log_q_BV) -> log_g_BV"""


def _passes(where_BV: torch.Tensor) -> torch.Tensor:
    return torch.zeros(where_BV.shape, device=where_BV.device).masked_fill_(~where_BV, float("-inf"))


@dataclass(frozen=True)
class Threshold:
    """The student's probability is at least `tau`: RSD as published (arXiv 2509.22230, tau = 0.01)."""

    tau: float

    def __post_init__(self) -> None:
        _expect(0 < self.tau <= 1, "threshold", self.tau, "a probability in (0, 1]")

    def __call__(self, log_p_BV: torch.Tensor, log_q_BV: torch.Tensor) -> torch.Tensor:
        return _passes(log_q_BV >= math.log(self.tau))

    def __str__(self) -> str:
        return f"threshold:{self.tau:g}"


@dataclass(frozen=True)
class Rank:
    """The token is among the student's `n` likeliest; tokens that tie with the last of them pass too."""

    n: int

    def __post_init__(self) -> None:
        _expect(self.n >= 1 and self.n == int(self.n), "rank", self.n, "a whole number from 1 up")

    def __call__(self, log_p_BV: torch.Tensor, log_q_BV: torch.Tensor) -> torch.Tensor:
        last_B1 = log_q_BV.topk(min(int(self.n), log_q_BV.shape[-1]), dim=-1).values[:, -1:]
        return _passes(log_q_BV >= last_B1)

    def __str__(self) -> str:
        return f"rank:{self.n:g}"


@dataclass(frozen=True)
class MinP:
    """The student's probability is at least `share` of that of its favourite."""

    share: float

    def __post_init__(self) -> None:
        _expect(0 < self.share <= 1, "minp", self.share, "a share in (0, 1]")

    def __call__(self, log_p_BV: torch.Tensor, log_q_BV: torch.Tensor) -> torch.Tensor:
        return _passes(log_q_BV >= log_q_BV.amax(-1, keepdim=True) + math.log(self.share))

    def __str__(self) -> str:
        return f"minp:{self.share:g}"


@dataclass(frozen=True)
class Ratio:
    """Passes with probability min(1, q / p): what the student finds as likely as the teacher does always passes."""

    def __call__(self, log_p_BV: torch.Tensor, log_q_BV: torch.Tensor) -> torch.Tensor:
        return (log_q_BV - log_p_BV).clamp(max=0).nan_to_num(nan=float("-inf"), neginf=float("-inf"))

    def __str__(self) -> str:
        return "ratio"


@dataclass(frozen=True)
class Ens:
    """Entropy-normalised surprisal, -ln q(x) / (H(q) + 1e-6), is at most `limit`: the gate of the authors' follow-up
    (IPSD), where a student that is unsure anyway lets more pass."""

    limit: float

    def __post_init__(self) -> None:
        _expect(self.limit > 0, "ens", self.limit, "a positive number")

    def __call__(self, log_p_BV: torch.Tensor, log_q_BV: torch.Tensor) -> torch.Tensor:
        entropy_B1 = torch.special.entr(log_q_BV.exp()).sum(-1, keepdim=True)
        return _passes(-log_q_BV <= self.limit * (entropy_B1 + 1e-6))

    def __str__(self) -> str:
        return f"ens:{self.limit:g}"


@dataclass(frozen=True)
class Always:
    """Everything passes: plain teacher traces, scored by the student."""

    def __call__(self, log_p_BV: torch.Tensor, log_q_BV: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(log_q_BV)

    def __str__(self) -> str:
        return "always"


@dataclass(frozen=True)
class Never:
    """Nothing passes: the student's own rollouts, scored by the teacher."""

    def __call__(self, log_p_BV: torch.Tensor, log_q_BV: torch.Tensor) -> torch.Tensor:
        return torch.full_like(log_q_BV, float("-inf"))

    def __str__(self) -> str:
        return "never"


@dataclass(frozen=True)
class All:
    """Every one of several gates must let the token through, independently."""

    gates: tuple[Gate, ...]

    def __call__(self, log_p_BV: torch.Tensor, log_q_BV: torch.Tensor) -> torch.Tensor:
        return sum((gate(log_p_BV, log_q_BV) for gate in self.gates), torch.zeros_like(log_q_BV))

    def __str__(self) -> str:
        return "+".join(map(str, self.gates))


NAMES = {
    "threshold": Threshold,
    "rank": Rank,
    "minp": MinP,
    "ratio": Ratio,
    "ens": Ens,
    "always": Always,
    "never": Never,
}


def parse_gate(text: str) -> Gate:
    """`threshold:0.01`, `rank:20`, `minp:0.05`, `ens:2`, `ratio`, `always`, `never`, or several joined by `+`.

    Raises ValueError for an unknown name, a missing or a malformed number.
    """
    gates = []
    for part in text.split("+"):
        name, _, number = part.strip().partition(":")
        if name not in NAMES:
            raise ValueError(
                f"unknown gate {name!r} in {text!r}, expected one of {', '.join(NAMES)} (as threshold:0.01)"
            )
        kind = NAMES[name]
        wants_number = bool(fields(kind))
        if wants_number != bool(number):
            example = "threshold:0.01" if name == "threshold" else f"{name}:5"
            expected = f"a number, as {example}" if wants_number else "no number"
            raise ValueError(f"the gate {part.strip()!r} should have {expected}")
        try:
            gates.append(kind(float(number)) if wants_number else kind())
        except ValueError as error:
            if "expected" in str(error):
                raise
            raise ValueError(f"the gate {part.strip()!r} has {number!r} where a number is expected") from None
    return gates[0] if len(gates) == 1 else All(tuple(gates))


def _expect(holds: bool, name: str, seen: float, expected: str) -> None:
    if not holds:
        raise ValueError(f"the gate {name} got {seen:g}, expected {expected}")
