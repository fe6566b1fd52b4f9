"""The local engine: teacher and student in one process, many attempts decoded together, speculation inside.

It knows nothing of problems or files. It is given requests (two prompts and the noise of an attempt), holds as many as
it has slots for, and `step()` writes a block of tokens to each: the student drafts, the teacher reads all drafts in
one pass, and every row keeps as many as stand. A row that ends frees its slot for the next request.

Shapes: B rows in use, D positions of a block, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import PreTrainedModel

from ownwords.engines.lane import Lane
from ownwords.engines.pace import LENGTHS, Pace
from ownwords.engines.prefixes import Pair, Prefixes
from ownwords.engines.products import products
from ownwords.engines.stops import Stops
from ownwords.engines.threads import threads_for
from ownwords.rsd.columns import COLUMNS, FORCED, STUDENT, TEACHER
from ownwords.rsd.noise import DRAFT
from ownwords.rsd.soft import soft_dtype
from ownwords.rsd.step import Draft, Rules, Step, alone, draft, kept, soft_of, verify

HELD = 1 << 30
"""bytes of draft distributions that are held until the teacher has read the block; a block is no longer than that"""


@dataclass(frozen=True)
class Request:
    """An attempt to be made."""

    key: Hashable
    """the caller's name for it"""
    prompts: Hashable
    """requests with an equal value here have equal prompts, which are then read once"""
    teacher_prompt: Sequence[int]
    student_prompt: Sequence[int]
    noise: np.ndarray
    """u_T4, see `ownwords.rsd.noise`; T is the most tokens that may be written"""
    forced: Sequence[int] = ()
    """ids with which the completion begins, whatever the models say"""


@dataclass(frozen=True)
class Finished:
    """An attempt that has ended."""

    key: Hashable
    columns: dict[str, np.ndarray]
    """the per-token columns of `COLUMNS`, equal lengths, and `soft` where the rules want soft targets"""
    finish_reason: str
    seconds: float
    """from admission to the last token"""


@dataclass
class _Row:
    request: Request
    started: float
    teacher_pending: tuple[int, ...]
    """the last token as the teacher spells it; the models have not read it yet"""
    student_pending: int
    written: int = 0
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    fallbacks: int = 0


@dataclass
class Work:
    """What the engine has done so far, for measurements."""

    prompts: int = 0
    """read, by one model or both"""
    tokens: int = 0
    """written, all rows"""
    blocks: int = 0
    """passes of the teacher, each counted once per row in it"""
    positions: int = 0
    """positions that the teacher computed, all rows, prompts left out"""
    draft_steps: int = 0
    """passes of the student, each counted once per row in it"""


class LocalEngine:
    """Decodes RSD for rows of any progress.

    `slots` rows of at most `capacity` positions each; see `plan_slots` for how many fit. `draft_length`: drafts that
    the teacher reads ahead in one pass, 0 for none, None for whatever is fastest. `spell` gives the teacher's ids for
    an id of the student's; None where they are the same. Without a teacher the student writes alone. With
    `rules.spelled` the teacher is asked for whole spellings at every position, and there is no drafting ahead.
    """

    def __init__(
        self,
        teacher: PreTrainedModel | None,
        student: PreTrainedModel,
        rules: Rules,
        stops: Stops,
        slots: int,
        capacity: int,
        draft_length: int | None = None,
        spell: Callable[[int], tuple[int, ...]] | None = None,
        longest_spelling: int = 1,
    ):
        vocabulary = student.get_output_embeddings().weight.shape[0]
        if teacher is None or rules.spelled is not None:  # nobody reads ahead, or its place is wanted: see `products`
            draft_length = 0
        held = max(0, HELD // (8 * slots * vocabulary) - 1)
        threads = threads_for([student, *([teacher] if teacher else [])])
        self.pace = Pace(draft_length, longest=min(held, longest(draft_length)), threads=threads)
        slack, drafts = self.pace.longest + 1, self.pace.longest > 0
        self.student, self.teacher = Lane(student, slots, capacity + slack, rewinds=drafts), None
        if teacher is not None:
            again = drafts or spell is not None or rules.spelled is not None
            self.teacher = Lane(teacher, slots, capacity + slack * longest_spelling, rewinds=again)
        self.spell = spell
        self.rules, self.stops, self.slots, self.capacity = rules, stops, slots, capacity
        self.columns = COLUMNS | ({"soft": soft_dtype(rules.soft_targets)} if rules.soft_targets else {})
        self.rows: list[_Row] = []
        self.prefixes = Prefixes(self.teacher, self.student)
        self.work = Work()

    @property
    def free(self) -> int:
        return self.slots - len(self.rows)

    def admit(self, requests: Sequence[Request], coming: Mapping[Hashable, Pair] | None = None) -> None:
        """Take up requests, at most `free` of them. `coming`: prompts of later requests by name, the next first. Those
        that have been read are kept, and some others are read along where prompts must be read now."""
        assert len(requests) <= self.free
        needed = {r.prompts: (r.teacher_prompt, r.student_prompt) for r in requests}
        self.work.prompts += self.prefixes.read(needed, coming or {})
        for request in requests:
            assert len(request.forced) < len(request.noise)
            longest = max(len(request.teacher_prompt), len(request.student_prompt)) + len(request.noise)
            assert longest <= self.capacity + 1, f"{longest} positions, a slot has {self.capacity}"
            teacher_prefix, student_prefix = self.prefixes.held[request.prompts]
            self.student.admit(student_prefix, len(request.student_prompt) - 1)
            if self.teacher and teacher_prefix is not None:
                self.teacher.admit(teacher_prefix, len(request.teacher_prompt) - 1)
            columns = {name: np.zeros(len(request.noise), dtype) for name, dtype in self.columns.items()}
            pending = tuple(request.teacher_prompt[-1:]), request.student_prompt[-1]
            self.rows.append(_Row(request, time.monotonic(), *pending, columns=columns))

    @torch.inference_mode()
    def step(self) -> list[Finished]:
        """Write a block of tokens, one at least, to every row in use; returns the attempts that this ended."""
        if not self.rows:
            return []
        started, B = time.perf_counter(), len(self.rows)
        D = self.pace.choose(B) + 1
        if self.pace.threads:
            self.pace.threads.apply()
        u_DB4, forced_DB = self._noise(D)
        drafted = self._draft(u_DB4, forced_DB)
        token_DB = drafted.token_B.view(D, B)
        if self.teacher:
            teacher_logits_NV, ends_BD = self._read(token_DB)
            spelled_BS = products(self.teacher, self.rules, teacher_logits_NV) if self.rules.spelled else None
            step = verify(self.rules, teacher_logits_NV, drafted, u_DB4.flatten(0, 1), forced_DB.flatten(), spelled_BS)
        else:
            step, ends_BD, teacher_logits_NV, spelled_BS = alone(drafted), None, None, None
        values, kept_counts, agrees_DB = self._fetch(step, token_DB, forced_DB)
        if self.rules.soft_targets:
            stands_N = (np.arange(D)[:, None] < kept_counts).ravel()
            values["soft"] = soft_of(self.rules, teacher_logits_NV, drafted, spelled_BS, stands_N).reshape(D, B)
        self._rewind(kept_counts, D, ends_BD)
        finished, written_B = self._record(values, kept_counts)
        for lane in filter(None, (self.teacher, self.student)):
            lane.settle()  # the cost of fallen drafts is this block's
        # An attempt that ends inside a block cuts it short as a refusal does: longer blocks pay less for short traces.
        written = int(written_B.sum())
        stood = written - B + int((agrees_DB[-1] & (written_B == D)).sum())
        self.pace.tell(B, D - 1, time.perf_counter() - started, stood, written)
        self.work.tokens += written
        self.work.blocks += B
        self.work.draft_steps += B * D
        return finished

    def _noise(self, D: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(u_DB4, forced_DB) of the next D tokens; past the end of an attempt its last noise, which nobody reads."""
        at_BD = [np.arange(row.written, row.written + D).clip(max=len(row.request.noise) - 1) for row in self.rows]
        u_DB4 = np.stack([row.request.noise[at] for row, at in zip(self.rows, at_BD, strict=True)], axis=1)
        forced_DB = np.full(u_DB4.shape[:2], -1)
        for i, row in enumerate(self.rows):
            coming = row.request.forced[row.written : row.written + D]
            forced_DB[: len(coming), i] = coming
        device = self.student.model.device
        return torch.from_numpy(u_DB4).to(device), torch.from_numpy(forced_DB).to(device)

    def _draft(self, u_DB4: torch.Tensor, forced_DB: torch.Tensor) -> Draft:
        """The student writes a block by itself, one position after the other; rows in the order (D, B)."""
        last_B = torch.tensor([row.student_pending for row in self.rows])
        drafts: list[Draft] = []
        for u_B4, forced_B in zip(u_DB4, forced_DB, strict=True):
            logits_BV = self.student.feed(last_B[:, None])[:, -1]
            drafts.append(draft(self.rules, logits_BV, u_B4[:, DRAFT], forced_B))
            last_B = drafts[-1].token_B
        if len(drafts) == 1:
            return drafts[0]
        return Draft(*(torch.cat([getattr(d, name) for d in drafts]) for name in Draft.__dataclass_fields__))

    def _read(self, token_DB: torch.Tensor) -> tuple[torch.Tensor, np.ndarray]:
        """The teacher reads the pending token and all drafts but the last: its logits for every position of the
        block, rows in the order (D, B), and ends_BD, how many of its own ids each position took it to read."""
        assert self.teacher is not None
        D, B = token_DB.shape
        if self.spell is None:
            pending_B1 = torch.tensor([row.teacher_pending for row in self.rows], device=token_DB.device)
            logits_BDV = self.teacher.feed(torch.cat([pending_B1, token_DB[:-1].T], dim=1))
            ends_BD = np.broadcast_to(np.arange(1, D + 1), (B, D))
        else:
            pieces = [
                [row.teacher_pending, *(self.spell(token) for token in tokens)]
                for row, tokens in zip(self.rows, token_DB[:-1].T.tolist(), strict=True)
            ]
            ends_BD = np.array([np.cumsum([len(piece) for piece in block]) for block in pieces])
            ids_BT = torch.zeros(B, int(ends_BD.max()), dtype=torch.long)
            for i, block in enumerate(pieces):
                ids_BT[i, : ends_BD[i, -1]] = torch.tensor([id_ for piece in block for id_ in piece])
            start = list(self.teacher.lengths)
            logits_BTV = self.teacher.feed(ids_BT)
            self.teacher.rewind([n + int(read) for n, read in zip(start, ends_BD[:, -1], strict=True)])  # padding
            logits_BDV = logits_BTV[torch.arange(B)[:, None], torch.from_numpy(ends_BD - 1)]
        self.work.positions += int(ends_BD[:, -1].sum())
        return logits_BDV.transpose(0, 1).flatten(0, 1).to(token_DB.device), ends_BD

    def _fetch(
        self, step: Step, token_DB: torch.Tensor, forced_DB: torch.Tensor
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """All that is wanted of a block, in one transfer: what is recorded, by column name, (D, B); kept_B; and which
        drafts the teacher's verdict left as they were, (D, B). Ids stay exact in float64."""
        D, B = forced_DB.shape
        packed = torch.stack([getattr(step, name).double() for name in Step.__dataclass_fields__]).view(-1, D, B)
        kept_1DB = kept(step.token.view(D, B).T, token_DB.T).double().expand(1, D, B)
        packed = torch.cat([packed, token_DB.double()[None], kept_1DB, forced_DB.double()[None]]).cpu().numpy()
        *columns, drafted, kept_DB, forced = packed
        values = dict(zip(Step.__dataclass_fields__, columns, strict=True))
        spoke = values.pop("teacher_spoke") > 0
        values["token_ids"] = values.pop("token")
        values["source"] = np.where(forced >= 0, FORCED, np.where(spoke, TEACHER, STUDENT))
        return values, kept_DB[0].astype(int), values["token_ids"] == drafted

    def _rewind(self, kept_counts: np.ndarray, D: int, ends_BD: np.ndarray | None) -> None:
        """Take back what the models have read beyond the last kept token, which becomes the pending one."""
        student = [n - D + k for n, k in zip(self.student.lengths, kept_counts.tolist(), strict=True)]
        self.student.rewind(student)
        if self.teacher and ends_BD is not None:
            void_B = (ends_BD[:, -1] - ends_BD[np.arange(len(kept_counts)), kept_counts - 1]).tolist()
            self.teacher.rewind([n - void for n, void in zip(self.teacher.lengths, void_B, strict=True)])

    def _record(self, values: dict[str, np.ndarray], kept_counts: np.ndarray) -> tuple[list[Finished], np.ndarray]:
        """Write down what was kept, up to where a row ends; the attempts that this ended, and tokens per row."""
        finished = []
        written_B = np.zeros_like(kept_counts)
        for i in reversed(range(len(self.rows))):
            row, k = self.rows[i], min(int(kept_counts[i]), len(self.rows[i].request.noise) - self.rows[i].written)
            for name, value_DB in values.items():
                row.columns[name][row.written : row.written + k] = value_DB[:k, i]
            reason = None
            for source in values["source"][:k, i].tolist():
                row.written += 1
                row.fallbacks += source == STUDENT
                written_B[i] += 1
                token_ids, forced = row.columns["token_ids"], len(row.request.forced)
                reason = self.stops.reason(token_ids, row.written, row.fallbacks, forced)
                if reason:
                    break
            row.student_pending = int(row.columns["token_ids"][row.written - 1])
            if self.teacher:
                row.teacher_pending = (row.student_pending,)
                if self.spell:
                    row.teacher_pending = self.spell(row.student_pending)
                    if self.teacher.lengths[i] + len(row.teacher_pending) > self.capacity:
                        reason = reason or "length"  # spelled tokens have used up the teacher's room
            if reason:
                finished.append(self._finish(i, reason))
        return finished, written_B

    def _finish(self, i: int, reason: str) -> Finished:
        row = self.rows[i]
        self.student.release(i)
        if self.teacher:
            self.teacher.release(i)
        self.rows[i] = self.rows[-1]
        self.rows.pop()
        columns = {name: column[: row.written].copy() for name, column in row.columns.items()}
        return Finished(row.request.key, columns, reason, time.monotonic() - row.started)


def longest(draft_length: int | None) -> int:
    """The most drafts that a block may hold; a slot has room for as many beyond its capacity."""
    return LENGTHS[-1] if draft_length is None else draft_length
