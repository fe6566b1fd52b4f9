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
    """where the teacher computes: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one"""
    student_device: Annotated[str, FREE] = "auto"
    """the same for the student"""
    teacher_dtype: DTYPES = "auto"
    """the type of the teacher's weights; auto: the checkpoint's own on a GPU; float32 on a CPU, or bfloat16 for a large
    model of that type if it is measured to be faster there"""
    student_dtype: DTYPES = "auto"
    """the same for the student"""
    batch: Batch = "auto"
    """the most attempts to decode together; auto for as many as memory holds, 256 at most"""
    draft_length: Annotated[int | Literal["auto"], whole(0, 64, "auto"), FREE] = "auto"
    """drafts of the student that the teacher reads in one pass; 0 for none, auto for whatever is fastest; traces do not
    depend on it"""


@dataclass(frozen=True, kw_only=True)
class LocalModelOptions(Group):
    """How this machine runs one model."""

    model_device: Annotated[str, FREE] = "auto"
    """where the model computes: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one"""
    model_dtype: DTYPES = "auto"
    """the type of the weights; auto: the checkpoint's own on a GPU; float32 on a CPU, or bfloat16 for a large
    model of that type if it is measured to be faster there"""
    batch: Batch = "auto"
    """the most answers to decode together; auto for as many as memory holds"""
