"""Does this vLLM sample the mixture? Asked at every start, and nothing is written if it does not.

A hook that has no effect leaves fluent text, of the wrong distribution. So some requests, more than two at a time, go
through a gate that is always open and one that never is. Their tokens must be those of the records, by the right
writer; what was recorded of them must be what the models say when they read the text as a prompt; and first tokens must
come as often as their probability says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ownwords.rsd.columns import STUDENT, TEACHER
from ownwords.rsd.shaping import Sampling
from ownwords.vllm.wishes import Wish

TEXTS = ("What is 3 + 4?", "Tom has 9 apples and eats 2 of them. How many are left?", "Why is the sky blue? Think.")
TOKENS = 16
FIRST = 64
"""first tokens that are drawn for each gate"""
SIGMAS = 4.5
"""a frequency is off by more with probability 7e-6 per token, of which a gate has at most `FIRST`"""
CLOSE = {"float32": 0.01}
"""nats that a log-probability may be off"""
CLOSE_16 = 0.5
"""the same in 16 bits"""
MOSTLY = 0.9
"""of the tokens must be that close; a few differ for other reasons, such as the end of a turn, for which a teacher may
have several ids that count as one here"""


@dataclass(frozen=True)
class Asked:
    """A request of the canary's."""

    prompt: list[int]
    wish: Wish
    max_tokens: int
    scores: bool = False
    """only the log-probabilities of the prompt are wanted"""


@dataclass(frozen=True)
class Answer:
    """What came of it."""

    token_ids: list[int]
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    """the record, empty if there is none"""
    prompt_logprobs: list[float] = field(default_factory=list)
    """of all tokens of the prompt but the first, nats"""


Ask = Callable[[Sequence[Asked]], list[Answer]]


def canary(ask: Ask, prompts: Sequence[list[int]], dtype: str, pair: bool) -> None:
    """Raises ValueError in one line that says what was seen."""
    columns = ["student_logprob", "teacher_logprob"] if pair else ["student_logprob"]
    served = columns[-1]  # of the model that vLLM itself can ask
    at = (TOKENS // 3, TOKENS // 2)
    for gate, writer in (("never", STUDENT), ("always", TEACHER)) if pair else (("never", STUDENT),):
        done = ask([_asked(prompt, gate, i) for i, prompt in enumerate(prompts)])
        _records(done, gate, writer)
        whole = [[*prompt, *one.token_ids] for prompt, one in zip(prompts, done, strict=True)]
        read = ask([Asked(text, Wish(), 1, scores=True) for text in whole])
        said = [one.prompt_logprobs[-TOKENS:] for one in read]
        _close([one.columns[served] for one in done], said, f"{served} with the gate {gate}", dtype)
        again = ask([_again(text, gate, i, place) for i, text in enumerate(whole) for place in at])
        for name in columns:
            before = [one.columns[name][[place]] for one in done for place in at]
            _close(before, [one.columns[name][:1] for one in again], f"{name}, read as a prompt,", dtype)
        drawn = ask([_asked(prompts[0], gate, 100 + i, 1) for i in range(FIRST)])
        _records(drawn, gate, writer)
        _frequencies(drawn, "teacher_logprob" if gate == "always" else "student_logprob", gate)


def _asked(prompt: list[int], gate: str, number: int, max_tokens: int = TOKENS) -> Asked:
    name = f"canary/{gate}/{number}"
    return Asked(prompt, Wish(gate, student=Sampling(1, 1), seed=0, key=("canary", number), record=name), max_tokens)


def _again(text: list[int], gate: str, number: int, at: int) -> Asked:
    """The token at a place of the completion once more, with all before it as the prompt."""
    end = len(text) - TOKENS + at
    wish = Wish(gate, student=Sampling(1, 1), forced=(text[end],), record=f"canary/again/{number}/{at}")
    return Asked(text[:end], wish, 2)


def _records(done: Sequence[Answer], gate: str, writer: int) -> None:
    for one in done:
        ids = one.columns["token_ids"].tolist() if one.columns else None
        if ids != one.token_ids:
            raise ValueError(_refused(f"the record of a request has the tokens {ids}, it gave {one.token_ids}"))
    wrong = sum(int((one.columns["source"] != writer).sum()) for one in done)
    if wrong:
        raise ValueError(_refused(f"with the gate {gate} {wrong} tokens are by the wrong model"))


def _close(found: Sequence[Any], expected: Sequence[Any], what: str, dtype: str) -> None:
    off_N, most = np.abs(np.concatenate(found) - np.concatenate(expected)), CLOSE.get(dtype, CLOSE_16)
    off = float(np.quantile(off_N, MOSTLY))
    if not off < most:
        raise ValueError(_refused(f"{what} is {off:.3g} nats off or more at a token in ten, expected at most {most}"))


def _frequencies(drawn: Sequence[Answer], column: str, gate: str) -> None:
    counts = Counter(one.token_ids[0] for one in drawn)
    p = {one.token_ids[0]: float(np.exp(one.columns[column][0])) for one in drawn}
    for token, count in counts.items():
        share, sigma = count / len(drawn), (p[token] * (1 - p[token]) / len(drawn)) ** 0.5
        if abs(share - p[token]) > SIGMAS * sigma + 1 / len(drawn):
            said = f"with the gate {gate} token {token} came first in {share:.0%} of {len(drawn)} draws"
            raise ValueError(_refused(f"{said}, its probability is {p[token]:.0%}"))


def _refused(seen: str) -> str:
    return f"vLLM's canary: {seen}: this vLLM does not sample what it should, and is not used"
