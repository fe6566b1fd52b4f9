"""What becomes of the rows of a vLLM worker's step, whichever of vLLM's model runners it has.

The last draft of a block is one that the teacher need not read: it is settled where vLLM would sample a token after a
block that stands whole. A row without drafts gets no token at all; the scheduler has its last token computed once more,
and the student drafts after it (`ownwords.vllm.scheduler`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ownwords.engines.engine import Pair, Solo
from ownwords.models.named import named
from ownwords.rsd.gates import parse_gate
from ownwords.rsd.step import Rules
from ownwords.vllm.attempts import Attempts
from ownwords.vllm.deployment import Deployment
from ownwords.vllm.wishes import Wish

ENDED = "ended"
"""the attribute of a step's output that says which requests have ended, and why"""
NOTHING = -1
"""vLLM's sign for a slot without a token"""


@dataclass(frozen=True)
class Row:
    """A request in a step."""

    request: str
    at: int
    """its first row of the logits, at its last known token; those at its drafts follow"""
    read: list[int]
    """drafts that the teacher has read"""
    unread: bool
    """its prompt goes on"""

    @property
    def rows(self) -> int:
        """of the logits"""
        return len(self.read) + 1


def rows_of(
    requests: Sequence[str], drafts_B: Iterable[int], ids_N: Sequence[int], unread_B: Iterable[bool]
) -> list[Row]:
    """`drafts_B`: how many of the drafts `ids_N` belong to each request."""
    found, first = [], 0
    for i, (request, n, unread) in enumerate(zip(requests, drafts_B, unread_B, strict=True)):
        found.append(Row(request, first + i, list(ids_N[first : first + n]), bool(unread)))
        first += n
    return found


class Tailor:
    """The attempts of a worker's requests. A runner's own kind replaces methods of it."""

    def __init__(self, deployment: Deployment, device: torch.device, params_of: Callable[[str], Any]) -> None:
        self.deployment, self.params_of = deployment, params_of
        self.attempts = Attempts(rules_of(deployment, device), pair=deployment.teacher is not None)
        self.end_id = named(deployment.student, "student").vocabulary.end_id
        self.unread: set[str] = set()
        self.told: dict[str, str] = {}
        self.first = True

    def begin(self, batch: Sequence[str], living: Mapping[str, object]) -> None:
        """Whoever is new in the batch begins. `living`: the requests that are not over."""
        for request in batch:
            if request not in self.attempts.by_request:
                params = self.params_of(request)
                ends = frozenset(params.stop_token_ids or ()) | ({params.eos_token_id} - {None})
                self.attempts.begin(request, Wish.of(params, self.deployment.wish), params.max_tokens, ends)
        if len(self.attempts.by_request) > 2 * len(living) + 64:
            self.attempts.forget(living)

    def verdicts(self, rows: Sequence[Row], logits_NV: torch.Tensor) -> dict[str, list[int]]:
        """request -> ids that it gets. Who is in no prompt and gets nothing is to be computed once more."""
        self.unread = {row.request for row in rows if row.unread}
        written: dict[str, list[int]] = {}
        drafted: dict[str, int] = {}
        alone: list[str] = []
        index: list[int] = []
        for row in rows:
            if row.unread:
                continue
            if self.params_of(row.request).prompt_logprobs is not None:  # wants its prompt read, and no more
                written[row.request] = [self.end_id]
            elif not self.attempts.pair:
                alone.append(row.request)
                index.append(row.at)
            elif known := self.attempts.drafts.after(row.request, row.read):
                drafted[row.request] = known
                index += range(row.at, row.at + known)
        if index:
            taken_NV = logits_NV[torch.tensor(index, device=logits_NV.device)]
            written |= self.attempts.settle(drafted, taken_NV) if drafted else self.attempts.alone(alone, taken_NV)
        reasons = {request: self.attempts.by_request[request].reason for request in written}
        self.told |= {request: reason for request, reason in reasons.items() if reason}
        return written

    def draft(self, batch: Sequence[str], logits_BV: torch.Tensor) -> torch.Tensor:
        """token_B: the student's next drafts."""
        token_B = self.attempts.draft(batch, logits_BV, self.first, self.unread)
        self.first = False
        return token_B


def table(rows: Sequence[Row], written: dict[str, list[int]], width: int) -> np.ndarray:
    """out_BK, at least so wide, as vLLM wants its tokens."""
    out_BK = np.full((len(rows), max([width, *(row.rows for row in rows)])), NOTHING, np.int32)
    for b, row in enumerate(rows):
        ids = written.get(row.request, [])
        out_BK[b, : len(ids)] = ids
    return out_BK


def rules_of(deployment: Deployment, device: torch.device | str) -> Rules:
    """What decides a token, with its tables. Raises ValueError if the two have different ids."""
    student = named(deployment.student, "student")
    if deployment.teacher is None:
        return Solo(student).rules(torch.device(device))
    pair = Pair(named(deployment.teacher, "teacher"), student, parse_gate(deployment.gate))
    if pair.alignment.teacher_of_V is not None:
        raise ValueError(
            "teacher and student have different token ids, vLLM's draft model must have the teacher's: expected a pair "
            "of one tokenizer; the local engine serves this one"
        )
    return pair.rules(torch.device(device))
