"""The local engine: the models of a job in this process, on one machine's CPU or GPUs.

It loads them, checks that the slot cache serves them, plans how many attempts fit into memory, and has a `Decoder`
write them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

import torch

from ownwords.engines.architecture import check_architecture
from ownwords.engines.decoder import Decoder, longest
from ownwords.engines.engine import Description, Finished, Job, Load, Request
from ownwords.engines.memory import plan_slots
from ownwords.engines.options import LocalOptions
from ownwords.engines.settling import Spell
from ownwords.engines.stops import Stops
from ownwords.models.load import Loaded, load
from ownwords.models.vocabulary import Alignment

LARGEST_BATCH = 256
"""More rows than this hardly give more tokens per second, and are lost to a kill."""
SPELLED = 8
"""Tokens of the student's own that an attempt has room for: think tags, as a rule."""


class LocalEngine:
    """See `ownwords.engines.engine.Engine`. `models`: role -> the model in memory."""

    def __init__(self, job: Job, options: LocalOptions, models: Mapping[str, Loaded], slots: int | None = None):
        self.job, self.options, self.models = job, options, models
        self.student = models["student"]
        self.teacher = models.get("teacher")
        self.spell, self.longest_spelling = _spelling(job.writer.alignment)
        self.capacity = self._capacity()
        self.slots = slots or self._slots()
        self._decoder: Decoder | None = None
        self._done = 0, 0

    @classmethod
    def open(cls, job: Job, options: LocalOptions) -> Self:
        """Load the models. Raises ValueError for one that cannot be loaded or served, or if no attempt fits into memory
        or into a model's context."""
        devices = {"teacher": options.teacher_device, "student": options.student_device}
        types = {"teacher": options.teacher_dtype, "student": options.student_dtype}
        models = {
            role: one.loaded or load(one.name, one.role, devices[role], types[role])
            for role, one in reversed(job.writer.models.items())
        }
        engine = cls(job, options, models)
        for role, one in job.writer.models.items():
            check_architecture(models[role].model, engine.capacity, one.name)
        return engine

    def again(self, job: Job, options: LocalOptions | None = None) -> Self:
        """The same models for another job; with `options` in as many slots as these allow, else in as many as now."""
        return type(self)(job, options or self.options, self.models, None if options else self.slots)

    def describe(self) -> Description:
        record = {f"{role}_weights": one.fingerprint for role, one in self.models.items()}
        record |= {f"{role}_dtype": one.dtype for role, one in self.models.items()}
        return Description(
            self.slots, self.capacity, {role: _in_words(one) for role, one in self.models.items()}, record
        )

    @property
    def exact(self) -> bool:
        """In 16 bits rounding depends on the batch, and may decide otherwise."""
        return all(one.model.dtype == torch.float32 for one in self.models.values())

    @property
    def decoder(self) -> Decoder:
        """What writes; its memory is taken when it is first needed."""
        if self._decoder is None:
            job, student = self.job, self.student.model
            self._decoder = Decoder(
                self.teacher.model if self.teacher else None,
                student,
                job.writer.rules(student.device, job.soft_targets),
                Stops(frozenset(job.writer.student.vocabulary.ends), job.max_fallback, job.repetition_window),
                self.slots,
                self.capacity,
                _drafts(self.options),
                self.spell,
                self.longest_spelling,
                job.seed,
            )
        return self._decoder

    @property
    def room(self) -> int:
        return self.slots if self._decoder is None else self._decoder.free

    def submit(self, requests: Sequence[Request], coming: Sequence[Request] = ()) -> None:
        """Take up requests. What the context leaves may be less than a request's budget."""
        bounded = [
            replace(one, max_tokens=min(one.max_tokens, self.capacity + 1 - one.longest_prompt)) for one in requests
        ]
        self.decoder.admit(bounded, {one.prompts: (one.teacher_prompt, one.student_prompt) for one in coming})

    def poll(self) -> list[Finished]:
        """Write a block of tokens to every attempt in flight."""
        return self.decoder.step()

    def load(self) -> Load:
        if self._decoder is None:
            return Load(*self._done)
        tokens, prompts = self._done
        work = self._decoder.work
        return Load(tokens + work.tokens, prompts + work.prompts, self._decoder.flying)

    def close(self) -> None:
        self._done = self.load().tokens, self.load().prompts
        self._decoder = None

    def _capacity(self) -> int:
        """Positions per slot: the longest prompt, the whole budget, and room for the teacher to spell a few tokens that
        are the student's alone, unless a model's context is shorter."""
        one = self.job.longest
        context = min(named.context for named in self.job.writer.models.values())
        if one.longest_prompt + len(one.forced) + 1 > context:
            raise ValueError(
                f"the prompt of problem {one.key[0]} has {one.longest_prompt} tokens, the models read {context}: "
                "leave that problem out or take models with a longer context"
            )
        return min(one.longest_prompt + one.max_tokens - 1 + SPELLED * (self.longest_spelling - 1), context)

    def _slots(self) -> int:
        batch = self.options.batch
        most = min(self.job.attempts, LARGEST_BATCH if batch == "auto" else batch)
        room = self.capacity + longest(_drafts(self.options)) + 1
        return plan_slots([one.model for one in self.models.values()], room, most)


def _drafts(options: LocalOptions) -> int | None:
    """The draft length as the decoder takes it."""
    return None if options.draft_length == "auto" else options.draft_length


def _in_words(one: Loaded) -> str:
    size = sum(p.numel() for p in one.model.parameters())
    dtype = one.dtype + (f" ({one.why})" if one.why else "")
    return f"{size / 1e6:.1f} M weights, {dtype}, {one.model.device}"


def _spelling(alignment: Alignment) -> tuple[Spell | None, int]:
    """What the teacher's context gets for a token of the student's, None if the ids are the same, and the most ids
    that it takes."""
    if alignment.teacher_of_V is None:
        return None, 1
    return alignment.to_teacher, max(map(len, alignment.spellings.values()), default=1)
