"""What a request asks of RSD: read from what vLLM lets a request carry, and checked before it is queued.

vLLM carries arguments of others in `SamplingParams.extra_args`; an OpenAI client sends them as `vllm_xargs`. They are
strings, numbers and lists of these.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

from ownwords.rsd.gates import parse_gate
from ownwords.rsd.shaping import Sampling

OTHERS = {"kv_transfer_params", "ec_transfer_params"}
"""vLLM's own arguments in the same place"""
UNSERVED: dict[str, Any] = {
    "presence_penalty": 0.0, "frequency_penalty": 0.0, "repetition_penalty": 1.0, "min_p": 0.0, "min_tokens": 0,
    "logit_bias": None, "allowed_token_ids": None, "bad_words": None, "structured_outputs": None, "logprobs": None,
    "logprob_token_ids": None, "thinking_token_budget": None, "repetition_detection": None,
}  # fmt: skip
"""what would change a distribution after the gate has seen it, or is not known of a token here: name -> value that asks
for nothing"""

LEAST = 0.01
"""vLLM's lowest temperature above 0, to which it raises the teacher's; lower ones leave what fp32 can hold"""


class Params(Protocol):
    """What is read of vLLM's `SamplingParams`."""

    temperature: float
    top_p: float
    top_k: int
    max_tokens: int | None
    extra_args: dict[str, Any] | None
    prompt_logprobs: int | None
    n: int


@dataclass(frozen=True)
class Wish:
    """One request's part of the rules; names and units as the options of `ownwords generate` have them."""

    gate: str = "threshold:0.01"
    proposals: float = 1
    teacher: Sampling = Sampling()
    student: Sampling = Sampling()
    gate_sees: str = "raw"
    soft_targets: int = 0
    seed: int | None = None
    key: tuple[str, int] | None = None
    """problem and attempt: with the seed, the name of the noise. Without both it is noise that nobody can have
    again."""
    forced: tuple[int, ...] = ()
    max_fallback: float = 1.0
    repetition_window: int = 0
    record: str = ""
    """the name under which what is known of every token is kept, until somebody takes it; empty for not at all"""

    @classmethod
    def of(cls, params: Params, defaults: Wish) -> Self:
        """Raises ValueError in one line for an argument that is unknown or wrong."""
        known = {field.name for field in fields(cls)} - {"teacher", "student"}
        known |= {f"student_{field.name}" for field in fields(Sampling)}
        args = {name: value for name, value in (params.extra_args or {}).items() if name not in OTHERS}
        for name in args:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                raise ValueError(f"vllm_xargs has {name!r}, expected {near[0] if near else 'one of ' + _listed(known)}")
        teacher = Sampling(params.temperature, params.top_p, max(0, params.top_k))
        ours = {name.removeprefix("student_"): args.pop(name) for name in list(args) if name.startswith("student_")}
        try:
            wish = cls(
                **{field.name: getattr(defaults, field.name) for field in fields(defaults)}
                | {name: _typed(name, value) for name, value in args.items()}
                | {"teacher": teacher, "student": replace(teacher, **_numbers(ours))}
            )
            parse_gate(wish.gate)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"vllm_xargs: {error}") from None
        return wish

    def args(self) -> dict[str, Any]:
        """The same as a request carries it, without what its sampling parameters say."""
        plain = {"gate", "gate_sees", "soft_targets", "max_fallback", "repetition_window", "record"}
        args: dict[str, Any] = {name: getattr(self, name) for name in plain}
        args |= {f"student_{field.name}": getattr(self.student, field.name) for field in fields(Sampling)}
        args |= {"proposals": "inf" if math.isinf(self.proposals) else self.proposals, "forced": list(self.forced)}
        args |= {"key": [*self.key]} if self.key else {}
        return args | ({"seed": self.seed} if self.seed is not None else {})


def check_request(params: Params, prompt: list[int] | None, room: int, ids: int, defaults: Wish) -> None:
    """Refuse what cannot be served. `room`: positions that a prompt and its completion may take; `ids`: of the models.

    Raises ValueError in one line.
    """
    wish = Wish.of(params, defaults)
    for name, nothing in UNSERVED.items():
        if (value := getattr(params, name, nothing)) != nothing and value not in (None, [], {}):
            raise ValueError(f"{name} is {value}, which a tailored request does not have: leave it out")
    if prompt is None or len(prompt) < 2:
        seen = "embeddings" if prompt is None else f"{len(prompt)} token"
        raise ValueError(f"the prompt has {seen}, expected two tokens or more")
    if params.prompt_logprobs is not None and params.max_tokens != 1:
        raise ValueError(f"prompt_logprobs with max_tokens {params.max_tokens}, expected 1: such a request only scores")
    if wish.soft_targets > ids or any(not 0 <= i < ids for i in wish.forced):
        raise ValueError(f"soft_targets and the ids in forced are at most {ids}, the number of the models' tokens")
    if params.n != 1 and (wish.record or wish.seed is not None):  # they would all be the same
        raise ValueError(f"n is {params.n}, expected 1 for a request with a {'record' if wish.record else 'seed'}")
    if len(wish.forced) >= (params.max_tokens or math.inf):
        raise ValueError(f"forced has {len(wish.forced)} tokens, expected fewer than max_tokens {params.max_tokens}")
    if len(prompt) + 1 > room:
        raise ValueError(f"the prompt has {len(prompt)} tokens, expected at most {room - 1}")


def _typed(name: str, value: Any) -> Any:
    """An argument as the dataclass has it."""
    match name:
        case "gate" | "gate_sees":
            if not isinstance(value, str) or (name == "gate_sees" and value not in ("raw", "shaped")):
                raise ValueError(f"{name} is {value!r}, expected {'a gate' if name == 'gate' else 'raw or shaped'}")
            return value
        case "proposals":
            try:
                number = float(value)
            except (ValueError, TypeError):
                number = 0
            if not (number >= 1 and (math.isinf(number) or number == int(number))):
                raise ValueError(f"proposals is {value}, expected a whole number from 1 on, or inf")
            return number if math.isinf(number) else int(number)
        case "key":
            if not (isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[1], int)):
                raise ValueError(f"key is {value!r}, expected [problem, number of the attempt]")
            return str(value[0]), value[1]
        case "forced":
            return tuple(map(int, value))
        case "max_fallback":
            if not 0 <= float(value) <= 1:
                raise ValueError(f"max_fallback is {value}, expected a share from 0 to 1")
            return float(value)
        case "record":
            return str(value)
        case _:
            if name != "seed" and int(value) < 0:
                raise ValueError(f"{name} is {value}, expected a number from 0 on")
            return int(value)


def _numbers(ours: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {name: int(value) if name == "top_k" else float(value) for name, value in ours.items()}
    if 0 < numbers.get("temperature", 1) < LEAST:
        raise ValueError(f"student_temperature is {numbers['temperature']:g}, expected 0 or {LEAST} and more")
    return numbers


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
