"""What a person can set for the local engine: which device and type each model gets, and how much is done at once.

Nothing here decides what a trace looks like, but the types of the weights do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ownwords.configuration import FREE, Group
from ownwords.numbers import whole

DTYPES = Literal["auto", "float32", "bfloat16", "float16"]
Batch = Annotated[int | Literal["auto"], whole(1, word="auto"), FREE]


@dataclass(frozen=True, kw_only=True)
class LocalOptions(Group):
    """How this machine runs a teacher and a student."""

    teacher_device: Annotated[str, FREE] = "auto"
    """Device of the teacher: cpu, cuda, cuda:1, or auto (a GPU if there is one)."""
    student_device: Annotated[str, FREE] = "auto"
    """Device of the student: cpu, cuda, cuda:1, or auto (a GPU if there is one)."""
    teacher_dtype: DTYPES = "auto"
    """Type of the teacher's weights; auto is the checkpoint's own on a GPU, and float32 or a measurably faster bfloat16
    on a CPU."""
    student_dtype: DTYPES = "auto"
    """Type of the student's weights; auto is the checkpoint's own on a GPU, and float32 or a measurably faster bfloat16
    on a CPU."""
    batch: Batch = "auto"
    """Maximum attempts to decode at once; auto fits the memory, up to 256."""
    draft_length: Annotated[int | Literal["auto"], whole(0, 64, "auto"), FREE] = "auto"
    """Tokens that the student drafts for the teacher to read in one pass; 0 for none, auto for the fastest (traces stay
    the same)."""


@dataclass(frozen=True, kw_only=True)
class LocalModelOptions(Group):
    """How this machine runs one model."""

    model_device: Annotated[str, FREE] = "auto"
    """Device of the model: cpu, cuda, cuda:1, or auto (a GPU if there is one)."""
    model_dtype: DTYPES = "auto"
    """Type of the model's weights; auto is the checkpoint's own on a GPU, and float32 or a measurably faster bfloat16
    on a CPU."""
    batch: Batch = "auto"
    """Maximum answers to decode at once; auto fits the memory, up to 256."""
