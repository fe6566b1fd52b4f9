"""Gates: the probability with which a token that the teacher proposes is let through to the trace.

A gate is a pure function of the raw (temperature 1) log-probabilities of teacher and student; it returns
`log g`, 0 where a token always passes and -inf where it never does. Everything else (the mixture, speculation,
provenance) works for any such function.

Shapes: B rows (positions), V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Self

import torch

from ownwords.io.plugins import load_plugin

GROUP = "ownwords.gates"
Gate = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(log_p_BV, log_q_BV) -> log_g_BV"""


def _passes(where_BV: torch.Tensor) -> torch.Tensor:
    return torch.zeros(where_BV.shape, device=where_BV.device).masked_fill_(~where_BV, float("-inf"))


class _Bare:
    """A gate that has nothing to set."""

    @classmethod
    def of(cls, text: str) -> Self:
        if text:
            raise ValueError("it should have no number")
        return cls()


@dataclass(frozen=True)
class Threshold:
    """The student's probability is at least `tau`: RSD as published (arXiv 2509.22230, tau = 0.01)."""

    tau: float

    def __post_init__(self) -> None:
        _expect(0 < self.tau <= 1, self.tau, "a probability in (0, 1]")

    def __call__(self, log_p_BV: torch.Tensor, log_q_BV: torch.Tensor) -> torch.Tensor:
        return _passes(log_q_BV >= math.log(self.tau))

    @classmethod
    def of(cls, text: str) -> Threshold:
        return cls(_number(text, "threshold:0.01"))

    def __str__(self) -> str:
        return f"threshold:{self.tau:g}"


@dataclass(frozen=True)
class Rank:
    """The token is among the student's `n` likeliest; tokens that tie with the last of them pass too."""

    n: float

    def __post_init__(self) -> None:
        _expect(self.n >= 1 and self.n == int(self.n), self.n, "a whole number from 1 up")

    def __call__(self, log_p_BV: torch.Tensor, log_q_BV: torch.Tensor) -> torch.Tensor:
        last_B1 = log_q_BV.topk(min(int(self.n), log_q_BV.shape[-1]), dim=-1).values[:, -1:]
        return _passes(log_q_BV >= last_B1)

    @classmethod
    def of(cls, text: str) -> Rank:
        return cls(_number(text, "rank:20"))

    def __str__(self) -> str:
        return f"rank:{self.n:g}"


@dataclass(frozen=True)
class MinP:
    """The student's probability is at least `share` of that of its favourite."""

    share: float

    def __post_init__(self) -> None:
        _expect(0 < self.share <= 1, self.share, "a share in (0, 1]")

    def __call__(self, log_p_BV: torch.Tensor, log_q_BV: torch.Tensor) -> torch.Tensor:
        return _passes(log_q_BV >= log_q_BV.amax(-1, keepdim=True) + math.log(self.share))

    @classmethod
    def of(cls, text: str) -> MinP:
        return cls(_number(text, "minp:0.05"))

    def __str__(self) -> str:
        return f"minp:{self.share:g}"


@dataclass(frozen=True)
class Ratio(_Bare):
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
        _expect(self.limit > 0, self.limit, "a positive number")

    def __call__(self, log_p_BV: torch.Tensor, log_q_BV: torch.Tensor) -> torch.Tensor:
        entropy_B1 = torch.special.entr(log_q_BV.exp()).sum(-1, keepdim=True)
        return _passes(-log_q_BV <= self.limit * (entropy_B1 + 1e-6))

    @classmethod
    def of(cls, text: str) -> Ens:
        return cls(_number(text, "ens:2"))

    def __str__(self) -> str:
        return f"ens:{self.limit:g}"


@dataclass(frozen=True)
class Always(_Bare):
    """Everything passes: plain teacher traces, scored by the student."""

    def __call__(self, log_p_BV: torch.Tensor, log_q_BV: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(log_q_BV)

    def __str__(self) -> str:
        return "always"


@dataclass(frozen=True)
class Never(_Bare):
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
        return reduce(torch.add, (gate(log_p_BV, log_q_BV) for gate in self.gates))

    def __str__(self) -> str:
        return "+".join(map(str, self.gates))


@dataclass(frozen=True)
class Written:
    """A gate that is recorded by the text that it was asked for with."""

    text: str
    gate: Gate

    def __call__(self, log_p_BV: torch.Tensor, log_q_BV: torch.Tensor) -> torch.Tensor:
        return self.gate(log_p_BV, log_q_BV)

    def __str__(self) -> str:
        return self.text


def parse_gate(text: str) -> Gate:
    """`threshold:0.01`, `rank:20`, `minp:0.05`, `ens:2`, `ratio`, `always`, `never`, `NAME` or `NAME:ANYTHING` of
    another package, or several joined by `+`.

    An entry point of `ownwords.gates` is a callable that takes what stands behind the colon and gives the gate. A gate
    without a `__str__` of its own is recorded as it was written. Raises ValueError in one line for an unknown name, and
    for what the callable refuses.
    """
    gates = [_parse_one(part.strip()) for part in text.split("+")]
    return gates[0] if len(gates) == 1 else All(tuple(gates))


def _parse_one(text: str) -> Gate:
    name, _, rest = text.partition(":")
    make: Callable[[str], Gate] = load_plugin(GROUP, name, "gate")
    try:
        gate = make(rest)
    except (ValueError, TypeError) as error:
        raise ValueError(f"the gate {text!r}: {error}") from error
    return Written(text, gate) if str(gate) == object.__str__(gate) else gate


def _number(text: str, example: str) -> float:
    """What stands behind the colon, as a number. Raises ValueError."""
    if not text:
        raise ValueError(f"it should have a number, as {example}")
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"it has {text!r} where a number is expected, as {example}") from None


def _expect(holds: bool, seen: float, expected: str) -> None:
    if not holds:
        raise ValueError(f"it got {seen:g}, expected {expected}")
