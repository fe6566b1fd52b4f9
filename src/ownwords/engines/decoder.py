"""Many attempts decoded together by models in this process, with speculation inside.

It knows nothing of problems, files or how models are loaded. It is given requests, holds as many as it has slots for,
and `step()` writes a block of tokens to each: the student drafts, the teacher reads all drafts in one pass, and every
row keeps as many as stand. A row that ends frees its slot for the next request.

Shapes: B rows in use, D positions of a block, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from transformers import PreTrainedModel

from ownwords.engines.engine import Finished, InFlight, Request
from ownwords.engines.lane import Lane
from ownwords.engines.pace import LENGTHS, Pace
from ownwords.engines.prefixes import Prefixes, TwoPrompts
from ownwords.engines.settling import NoTeacher, Spell, Teacher
from ownwords.engines.stops import Stops
from ownwords.engines.threads import threads_for
from ownwords.rsd.columns import COLUMNS, FORCED, STUDENT, TEACHER
from ownwords.rsd.noise import DRAFT, attempt_noise
from ownwords.rsd.soft import soft_dtype
from ownwords.rsd.step import Draft, Rules, Step, draft, kept

HELD = 1 << 30
"""bytes of draft distributions that are held until the teacher has read the block; a block is no longer than that"""


@dataclass
class _Row:
    request: Request
    noise_T4: np.ndarray
    started: float
    pending: int
    """the last token, which the student has not read yet"""
    columns: dict[str, np.ndarray]
    written: int = 0
    fallbacks: int = 0


@dataclass
class Work:
    """What has been done so far, for measurements."""

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


class Decoder:
    """Decodes RSD for rows of any progress.

    `slots` rows of at most `capacity` positions each; see `plan_slots` for how many fit. `seed`: of the noise.
    `draft_length`: drafts that the teacher reads ahead in one pass, 0 for none, None for whatever is fastest. `spell`
    gives the teacher's ids for an id of the student's; None if they are the same. Without a teacher the student writes
    alone. With `rules.spelled` the teacher is asked for whole spellings at every position, and nothing is drafted
    ahead.
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
        spell: Spell | None = None,
        longest_spelling: int = 1,
        seed: int = 0,
    ):
        vocabulary = student.get_output_embeddings().weight.shape[0]
        if teacher is None or rules.spelled is not None:  # nobody reads ahead, or its place is wanted: see `products`
            draft_length = 0
        held = max(0, HELD // (8 * slots * vocabulary) - 1)
        threads = threads_for([student, *([teacher] if teacher else [])])
        self.pace = Pace(draft_length, longest=min(held, longest(draft_length)), threads=threads)
        slack, drafts = self.pace.longest + 1, self.pace.longest > 0
        self.student = Lane(student, slots, capacity + slack, rewinds=drafts)
        reader = None
        if teacher is None:
            self.teacher: Teacher | NoTeacher = NoTeacher(rules)
        else:
            again = drafts or spell is not None or rules.spelled is not None
            reader = Lane(teacher, slots, capacity + slack * longest_spelling, rewinds=again)
            self.teacher = Teacher(reader, rules, capacity, spell)
        self.rules, self.stops, self.slots, self.capacity, self.seed = rules, stops, slots, capacity, seed
        self.columns = COLUMNS | ({"soft": soft_dtype(rules.soft_targets)} if rules.soft_targets else {})
        self.rows: list[_Row] = []
        self.prefixes = Prefixes(reader, self.student)
        self.work = Work()

    @property
    def free(self) -> int:
        return self.slots - len(self.rows)

    @property
    def flying(self) -> list[InFlight]:
        """What is being written."""
        return [
            InFlight(row.request.key, row.columns["token_ids"][: row.written], row.columns["source"][: row.written])
            for row in self.rows
        ]

    def admit(self, requests: Sequence[Request], coming: Mapping[Hashable, TwoPrompts] | None = None) -> None:
        """Take up requests, at most `free` of them. `coming`: prompts of later requests by name, the next first. Those
        that have been read are kept, and some others are read along when prompts must be read now."""
        assert len(requests) <= self.free
        needed = {r.prompts: (r.teacher_prompt, r.student_prompt) for r in requests}
        self.work.prompts += self.prefixes.read(needed, coming or {})
        for request in requests:
            T = request.max_tokens
            assert len(request.forced) < T
            positions = request.longest_prompt + T
            assert positions <= self.capacity + 1, f"{positions} positions, a slot has {self.capacity}"
            teacher_prefix, student_prefix = self.prefixes.held[request.prompts]
            self.student.admit(student_prefix, len(request.student_prompt) - 1)
            self.teacher.admit(teacher_prefix, request)
            noise_T4 = attempt_noise(self.seed, *request.key, T)
            columns = {name: np.zeros(T, dtype) for name, dtype in self.columns.items()}
            self.rows.append(_Row(request, noise_T4, time.monotonic(), request.student_prompt[-1], columns))

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
        step = self.teacher.settle(drafted, u_DB4, forced_DB)
        values, kept_B, agrees_DB = self._fetch(step, drafted.token_B.view(D, B), forced_DB)
        if self.rules.soft_targets:
            stands_N = (np.arange(D)[:, None] < kept_B).ravel()
            values["soft"] = self.teacher.soft(drafted, stands_N).reshape(D, B)
        # What the models have read beyond the last kept token, which becomes the pending one, is taken back.
        self.student.rewind([n - D + k for n, k in zip(self.student.lengths, kept_B.tolist(), strict=True)])
        self.teacher.rewind(kept_B)
        finished, written_B = self._record(values, kept_B)
        for lane in (*self.teacher.lanes, self.student):
            lane.settle()  # the cost of fallen drafts is this block's
        # An attempt that ends inside a block cuts it short as a refusal does: longer blocks pay less for short traces.
        written = int(written_B.sum())
        stood = written - B + int((agrees_DB[-1] & (written_B == D)).sum())
        self.pace.tell(B, D - 1, time.perf_counter() - started, stood, written)
        self.work.tokens += written
        self.work.blocks += B
        self.work.draft_steps += B * D
        self.work.positions = self.teacher.positions
        return finished

    def _noise(self, D: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(u_DB4, forced_DB) of the next D tokens; past the end of an attempt its last noise, which nobody reads."""
        at_BD = [np.arange(row.written, row.written + D).clip(max=len(row.noise_T4) - 1) for row in self.rows]
        u_DB4 = np.stack([row.noise_T4[at] for row, at in zip(self.rows, at_BD, strict=True)], axis=1)
        forced_DB = np.full(u_DB4.shape[:2], -1)
        for i, row in enumerate(self.rows):
            coming = row.request.forced[row.written : row.written + D]
            forced_DB[: len(coming), i] = coming
        device = self.student.model.device
        return torch.from_numpy(u_DB4).to(device), torch.from_numpy(forced_DB).to(device)

    def _draft(self, u_DB4: torch.Tensor, forced_DB: torch.Tensor) -> Draft:
        """The student writes a block by itself, one position after the other; rows in the order (D, B)."""
        last_B = torch.tensor([row.pending for row in self.rows])
        drafts: list[Draft] = []
        for u_B4, forced_B in zip(u_DB4, forced_DB, strict=True):
            logits_BV = self.student.feed(last_B[:, None])[:, -1]
            drafts.append(draft(self.rules, logits_BV, u_B4[:, DRAFT], forced_B))
            last_B = drafts[-1].token_B
        if len(drafts) == 1:
            return drafts[0]
        return Draft(*(torch.cat([getattr(d, part.name) for d in drafts]) for part in fields(Draft)))

    def _fetch(
        self, step: Step, token_DB: torch.Tensor, forced_DB: torch.Tensor
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """All that is wanted of a block, in one transfer: what is recorded, by column name, (D, B); kept_B; and which
        drafts the teacher's verdict left as they were, (D, B). Ids stay exact in float64."""
        D, B = forced_DB.shape
        wanted = {part.name: getattr(step, part.name).view(D, B) for part in fields(Step)}
        wanted |= {"drafted": token_DB, "forced": forced_DB}
        wanted["kept"] = kept(wanted["token"].T, token_DB.T).expand(D, B)
        fetched = torch.stack([one.double() for one in wanted.values()]).cpu().numpy()
        values = dict(zip(wanted, fetched, strict=True))
        spoke, forced, kept_DB, drafted = (values.pop(name) for name in ("teacher_spoke", "forced", "kept", "drafted"))
        values["token_ids"] = values.pop("token")
        values["source"] = np.where(forced >= 0, FORCED, np.where(spoke > 0, TEACHER, STUDENT))
        return values, kept_DB[0].astype(int), values["token_ids"] == drafted

    def _record(self, values: dict[str, np.ndarray], kept_B: np.ndarray) -> tuple[list[Finished], np.ndarray]:
        """Write down what was kept, up to where a row ends; the attempts that this ended, and tokens per row."""
        finished = []
        written_B = np.zeros_like(kept_B)
        for i in reversed(range(len(self.rows))):
            row = self.rows[i]
            k = min(int(kept_B[i]), row.request.max_tokens - row.written)
            for name, value_DB in values.items():
                row.columns[name][row.written : row.written + k] = value_DB[:k, i]
            token_ids, reason = row.columns["token_ids"], None
            for source in values["source"][:k, i].tolist():
                row.written += 1
                row.fallbacks += source == STUDENT
                written_B[i] += 1
                reason = self.stops.reason(token_ids, row.written, row.fallbacks, len(row.request.forced))
                if reason:
                    break
            row.pending = int(token_ids[row.written - 1])
            if not self.teacher.follow(i, row.pending):
                reason = reason or "length"
            if reason:
                finished.append(self._finish(i, reason))
        return finished, written_B

    def _finish(self, i: int, reason: str) -> Finished:
        row = self.rows[i]
        self.student.release(i)
        self.teacher.release(i)
        self.rows[i] = self.rows[-1]
        self.rows.pop()
        columns = {name: column[: row.written].copy() for name, column in row.columns.items()}
        return Finished(row.request.key, columns, reason, time.monotonic() - row.started)


def longest(draft_length: int | None) -> int:
    """The most drafts that a block may hold; a slot has room for as many beyond its capacity."""
    return LENGTHS[-1] if draft_length is None else draft_length
