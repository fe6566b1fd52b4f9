"""The tokens of a vLLM worker's requests: drafts, verdicts and records, by the pure functions of `ownwords.rsd`.

Nothing here knows vLLM. A worker has rows (requests of its batch); at each of them the student drafts a few tokens,
one per call of `draft`, and in the worker's next step `settle` has the teacher's logits of all drafts decide what
becomes of them. A token is drafted and settled with the noise of its place in its attempt, so it is the same whatever
the batch, the draft length, or the number of times a request was put off and taken up again.

Shapes: B rows of the worker's batch, N drafted positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache

import numpy as np
import torch

from ownwords.engines.stops import Stops
from ownwords.rsd.columns import COLUMNS, FORCED, STUDENT, TEACHER
from ownwords.rsd.gates import parse_gate
from ownwords.rsd.noise import DRAFT, attempt_noise
from ownwords.rsd.soft import soft_dtype
from ownwords.rsd.step import Draft, Rules, Step, alone, draft, soft_of, verify
from ownwords.vllm.wishes import Wish

KEPT = 1024
"""records at most that wait for whoever asked for them; more than that means that some have vanished"""


@dataclass
class Attempt:
    """A request, as its worker keeps it."""

    wish: Wish
    rules: Rules
    stops: Stops
    noise_T4: np.ndarray
    columns: dict[str, np.ndarray]
    written: int = 0
    fallbacks: int = 0
    reason: str = ""
    """why it has ended; empty while it goes on"""

    def write(self, values: Mapping[str, np.ndarray], rows_K: np.ndarray) -> list[int]:
        """Record the tokens that were kept, up to where the attempt ends; returns their ids."""
        first = self.written
        rows_K = rows_K[: len(self.noise_T4) - first]
        for name, value_N in values.items():
            self.columns[name][first : first + len(rows_K)] = value_N[rows_K]
        for source in values["source"][rows_K].tolist():
            self.written += 1
            self.fallbacks += source == STUDENT
            ids, forced = self.columns["token_ids"], len(self.wish.forced)
            if reason := self.stops.reason(ids, self.written, self.fallbacks, forced):
                self.reason = reason
                break
        return self.columns["token_ids"][first : self.written].tolist()

    def record(self) -> dict[str, np.ndarray]:
        """The columns of what is written; views."""
        return {name: column[: self.written] for name, column in self.columns.items()}


@dataclass
class Drafts:
    """What the student drafted at the rows of a batch, a step of `draft` after the other."""

    row_of: dict[str, int] = field(default_factory=dict)
    """request -> row"""
    steps: list[Draft] = field(default_factory=list)
    ids_BK: np.ndarray | None = None

    def after(self, request: str, ids: Sequence[int]) -> int:
        """How many drafts can be settled if the teacher has read these of them: one more than it has read, if there
        are as many; 0 if they are not those of that request."""
        if self.ids_BK is None:
            self.ids_BK = torch.stack([step.token_B for step in self.steps], 1).cpu().numpy() if self.steps else None
        row = self.row_of.get(request)
        if row is None or self.ids_BK is None or self.ids_BK[row, : len(ids)].tolist() != list(ids):
            return 0
        return min(len(ids) + 1, len(self.steps))


class Attempts:
    """All requests of a worker. `base`: the rules of its pair, with their tables; `pair`: there is a teacher."""

    def __init__(self, base: Rules, pair: bool = True) -> None:
        self.base, self.pair = base, pair
        self.by_request: dict[str, Attempt] = {}
        self.named: dict[str, str] = {}
        """name of a record -> request"""
        self.drafts = Drafts()
        self.tokens = 0
        self._rules = lru_cache(maxsize=256)(self._make_rules)

    def begin(self, request: str, wish: Wish, max_tokens: int, ends: frozenset[int]) -> None:
        """Take a request up. Without a key and a seed its name is the only one of its noise."""
        key = wish.key or (("", 0) if wish.seed is not None else (request, 0))
        if wish.record:
            self.named[wish.record] = request
        kept = COLUMNS | ({"soft": soft_dtype(wish.soft_targets)} if wish.soft_targets else {})
        self.by_request[request] = Attempt(
            wish,
            self._rules(wish.gate, wish.proposals, wish.teacher, wish.student, wish.gate_sees, wish.soft_targets),
            Stops(ends, wish.max_fallback, wish.repetition_window),
            attempt_noise(wish.seed or 0, *key, max_tokens),
            {name: np.zeros(max_tokens, dtype) for name, dtype in kept.items()},
        )

    def draft(
        self, requests: Sequence[str], logits_BV: torch.Tensor, first: bool, unread: Collection[str] = ()
    ) -> torch.Tensor:
        """token_B: the student's next drafts. `first`: they follow what is written, and not other drafts. What it
        drafts in the middle of a prompt, for those in `unread`, is nothing."""
        if first:
            self.drafts = Drafts({request: row for row, request in enumerate(requests) if request not in unread})
        ahead = len(self.drafts.steps)
        rows = [(self.by_request[request], ahead) for request in requests]
        drafted = self._draft(rows, logits_BV)
        self.drafts.steps.append(drafted)
        self.drafts.ids_BK = None
        return drafted.token_B

    def settle(self, drafted: Mapping[str, int], logits_NV: torch.Tensor) -> dict[str, list[int]]:
        """request -> ids that it gets. `drafted`: request -> how many of its drafts are to be settled; `logits_NV` are
        the teacher's for them, one request after the other."""
        at = [(request, ahead) for request, n in drafted.items() for ahead in range(n)]
        order = sorted(range(len(at)), key=lambda i: at[i][1])  # as the drafts lie: all first ones, then all second
        at = [at[i] for i in order]
        logits_NV = logits_NV[torch.tensor(order, device=logits_NV.device)]
        found = self._by_rules([(self.by_request[request], ahead) for request, ahead in at])
        values: dict[str, np.ndarray] = {}
        for rules, index in found:
            these = [at[i] for i in index]
            values = _scattered(values, self._verify(rules, these, _rows(logits_NV, index)), index, len(at))
        agrees_N = values.pop("agrees")
        places: dict[str, list[int]] = {request: [] for request in drafted}
        for i, (request, _) in enumerate(at):
            places[request].append(i)
        return {
            request: self._write(request, values, _stand(np.array(rows), agrees_N)) for request, rows in places.items()
        }

    def alone(self, requests: Sequence[str], logits_NV: torch.Tensor) -> dict[str, list[int]]:
        """request -> the one id that it gets, where there is no teacher: the student's own draft."""
        at = [(self.by_request[request], 0) for request in requests]
        values: dict[str, np.ndarray] = {}
        for rules, index in self._by_rules(at):
            drafted = self._draft([at[i] for i in index], _rows(logits_NV, index))
            soft = {}
            if rules.soft_targets:
                soft["soft"] = soft_of(rules, None, drafted, None, np.ones(len(index), bool))
            got = _fetched(alone(drafted), drafted, np.array([self._forced(at[i][0], 0) for i in index])) | soft
            values = _scattered(values, got, index, len(at))
        values.pop("agrees")
        return {request: self._write(request, values, np.array([i])) for i, request in enumerate(requests)}

    def take(self, names: Sequence[str]) -> dict[str, tuple[dict[str, np.ndarray], str]]:
        """name -> (columns, reason) of records that are not wanted any more after this."""
        ended = {name: self.by_request.pop(self.named.pop(name)) for name in names if name in self.named}
        return {name: (attempt.record(), attempt.reason) for name, attempt in ended.items()}

    def flying(self, names: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
        """name -> token_ids and source so far; views."""
        records = {name: self.by_request[self.named[name]].record() for name in names if name in self.named}
        return {name: {column: one[column] for column in ("token_ids", "source")} for name, one in records.items()}

    def forget(self, living: Mapping[str, object]) -> None:
        """Drop what the worker has dropped, but for the last records, which somebody may still take."""
        dead = [(request, one.wish.record) for request, one in self.by_request.items() if request not in living]
        recorded = [request for request, name in dead if name]
        for request, name in dead:
            if not name or request in recorded[:-KEPT]:
                del self.by_request[request]
                self.named.pop(name, None)

    def _draft(self, rows: Sequence[tuple[Attempt, int]], logits_BV: torch.Tensor) -> Draft:
        device = logits_BV.device
        u_B = torch.tensor([self._noise(one, ahead)[DRAFT] for one, ahead in rows], device=device)
        forced_B = torch.tensor([self._forced(one, ahead) for one, ahead in rows], device=device)
        groups = self._by_rules(rows)
        if len(groups) == 1:
            return draft(groups[0][0], logits_BV, u_B, forced_B)
        parts: list[Draft] = []
        for rules, index in groups:
            parts.append(draft(rules, logits_BV[index], u_B[index], forced_B[index]))
        back = torch.tensor([i for _, index in groups for i in index], device=device).argsort()
        return Draft(*(torch.cat([getattr(part, name.name) for part in parts])[back] for name in fields(Draft)))

    def _verify(self, rules: Rules, at: Sequence[tuple[str, int]], logits_NV: torch.Tensor) -> dict[str, np.ndarray]:
        """What is recorded at drafts, by column, and which of them agree with the verdict."""
        device = logits_NV.device
        drafted = self._drafted(at)
        ones = [(self.by_request[request], ahead) for request, ahead in at]
        u_N4 = torch.from_numpy(np.stack([self._noise(*one) for one in ones])).to(device)
        forced_N = np.array([self._forced(*one) for one in ones])
        step = verify(rules, logits_NV, drafted, u_N4, torch.from_numpy(forced_N).to(device))
        soft = {}
        if rules.soft_targets:
            soft["soft"] = soft_of(rules, logits_NV, drafted, None, np.ones(len(at), bool))
        return _fetched(step, drafted, forced_N) | soft

    def _drafted(self, at: Sequence[tuple[str, int]]) -> Draft:
        """The drafts at places that are in order of `ahead`."""
        parts: list[Draft] = []
        for ahead, step in enumerate(self.drafts.steps):
            rows = [self.drafts.row_of[request] for request, place in at if place == ahead]
            if rows:
                parts.append(Draft(*(_rows(getattr(step, part.name), rows) for part in fields(Draft))))
        return Draft(*(torch.cat([getattr(part, name.name) for part in parts]) for name in fields(Draft)))

    def _write(self, request: str, values: Mapping[str, np.ndarray], rows_K: np.ndarray) -> list[int]:
        attempt = self.by_request[request]
        mine = values if "soft" in attempt.columns else {n: v for n, v in values.items() if n != "soft"}
        ids = attempt.write(mine, rows_K)
        self.tokens += len(ids)
        return ids

    def _noise(self, attempt: Attempt, ahead: int) -> np.ndarray:
        """Past the end of an attempt its last noise, which decides nothing."""
        return attempt.noise_T4[min(attempt.written + ahead, len(attempt.noise_T4) - 1)]

    def _forced(self, attempt: Attempt, ahead: int) -> int:
        place = attempt.written + ahead
        return attempt.wish.forced[place] if place < len(attempt.wish.forced) else -1

    def _by_rules(self, rows: Sequence[tuple[Attempt, int]]) -> list[tuple[Rules, list[int]]]:
        groups: dict[int, tuple[Rules, list[int]]] = {}
        for i, (attempt, _) in enumerate(rows):
            groups.setdefault(id(attempt.rules), (attempt.rules, []))[1].append(i)
        return list(groups.values())

    def _make_rules(self, gate: str, proposals: float, teacher, student, gate_sees: str, soft: int) -> Rules:
        return replace(
            self.base, gate=parse_gate(gate), proposals=proposals, teacher=teacher, student=student,
            gate_sees_shaped=gate_sees == "shaped", soft_targets=soft,
        )  # fmt: skip


def _fetched(step: Step, drafted: Draft, forced_N: np.ndarray) -> dict[str, np.ndarray]:
    """What is recorded, by column name, in one transfer. Ids stay exact in float64."""
    wanted = {part.name: getattr(step, part.name) for part in fields(Step)} | {"drafted": drafted.token_B}
    fetched = torch.stack([one.double() for one in wanted.values()]).cpu().numpy()
    values = dict(zip(wanted, fetched, strict=True))
    spoke, token = values.pop("teacher_spoke"), values.pop("token")
    source = np.where(forced_N >= 0, FORCED, np.where(spoke > 0, TEACHER, STUDENT))
    return values | {"token_ids": token, "source": source, "agrees": token == values.pop("drafted")}


def _stand(rows_K: np.ndarray, agrees_N: np.ndarray) -> np.ndarray:
    """The rows of a request up to its first refused draft, that one included."""
    refused = np.flatnonzero(~agrees_N[rows_K])
    return rows_K[: refused[0] + 1] if len(refused) else rows_K


def _scattered(
    values: dict[str, np.ndarray], part: dict[str, np.ndarray], index: list[int], N: int
) -> dict[str, np.ndarray]:
    """Parts of rows, put together."""
    if len(index) == N:
        return part
    for name, value in part.items():
        values.setdefault(name, np.zeros(N, value.dtype))[index] = value
    return values


def _rows(tensor: torch.Tensor, index: list[int]) -> torch.Tensor:
    """Some rows, without a copy if they are all of them in order."""
    return tensor if index == list(range(len(tensor))) else tensor[torch.tensor(index, device=tensor.device)]
