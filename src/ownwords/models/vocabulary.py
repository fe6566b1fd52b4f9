"""Which teacher id means what a student id means, found once at start by the bytes of the tokens.

Traces are token ids of the student. Families pad their embeddings differently, order their ids differently, and add
tokens of their own, so ids are matched by what they spell: the bytes of an ordinary token, the content of an added one.
A student id without a partner is spelled for the teacher with several of the teacher's ids.

Shapes: V the student's ids, 0 up to its tokenizer's last.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

LEAST_SHARED = 0.95
"""of the student's ids must be the teacher's too"""
NOT_THERE = -1


@dataclass(frozen=True)
class Vocabulary:
    """One model's side of it."""

    tokenizer: PreTrainedTokenizerBase
    rows: int
    """rows of the output embedding; those beyond the tokenizer's ids are padding"""
    ends: tuple[int, ...]
    """all ids that end its turn"""

    @classmethod
    def of(cls, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
        return cls(tokenizer, model.get_output_embeddings().weight.shape[0], _ends(model, tokenizer))

    @property
    def end_id(self) -> int:
        """The id that ends a turn, where one has to be chosen."""
        eos = self.tokenizer.eos_token_id
        return self.ends[0] if eos is None else eos


@dataclass(frozen=True)
class Alignment:
    """How the teacher's ids and the student's belong together."""

    teacher_of_V: torch.Tensor | None
    """int64, the teacher's id of each student id, -1 where it has none; None where both have the same ids"""
    known_V: torch.Tensor | None
    """bool, the ids that the student's tokenizer has; None for all"""
    spellings: dict[int, tuple[int, ...]]
    """student-only id -> the teacher's ids that spell its bytes"""
    teacher_ends: tuple[int, ...]
    """the teacher's ids that end its turn"""
    end_id: int
    """the student's id that ends a turn, which the teacher's are taken for"""

    def to_teacher(self, student_id: int) -> tuple[int, ...]:
        """What the teacher's context gets when the student's context gets this token."""
        if self._teacher_of is None:
            return (student_id,)
        teacher_id = self._teacher_of[student_id]
        return self.spellings[student_id] if teacher_id == NOT_THERE else (teacher_id,)

    @cached_property
    def _teacher_of(self) -> list[int] | None:
        return None if self.teacher_of_V is None else self.teacher_of_V.tolist()

    @property
    def products(self) -> dict[int, tuple[int, ...]]:
        """student-only id -> its pieces as *student* ids, two or more, where the student has all of them: the ids
        whose probability under the teacher is a product along the pieces."""
        if self._teacher_of is None:
            return {}
        student_of = {t: s for s, t in enumerate(self._teacher_of) if t != NOT_THERE}
        return {
            s: tuple(student_of[t] for t in pieces)
            for s, pieces in self.spellings.items()
            if s != self.end_id and len(pieces) > 1 and all(t in student_of for t in pieces)
        }

    def to(self, device: torch.device) -> Alignment:
        """The same with its tensors on `device`."""

        def moved(table_V: torch.Tensor | None) -> torch.Tensor | None:
            return None if table_V is None else table_V.to(device)

        return replace(self, teacher_of_V=moved(self.teacher_of_V), known_V=moved(self.known_V))


def align(teacher: Vocabulary, student: Vocabulary) -> Alignment:
    """Match the ids of two models.

    Raises ValueError where fewer than 95 % of the student's ids are the teacher's too, with the counts and the first
    ids that differ; where a model has no row for an id of its tokenizer; and where the bytes of the tokens cannot be
    told, or a student's token not be spelled.
    """
    theirs, ours = teacher.tokenizer.get_vocab(), student.tokenizer.get_vocab()
    for role, side, tokens in (("teacher", teacher, theirs), ("student", student, ours)):
        if max(tokens.values()) >= side.rows:
            raise ValueError(
                f"the {role}'s tokenizer has ids up to {max(tokens.values())}, its model has {side.rows} rows: "
                "expected a row for every id; are tokenizer and weights from the same checkpoint?"
            )
    known_V = torch.zeros(max(ours.values()) + 1, dtype=torch.bool)
    known_V[list(ours.values())] = True
    if theirs == ours:
        exact = teacher.rows == student.rows == len(known_V) and bool(known_V.all())
        return Alignment(None, None if exact else known_V, {}, teacher.ends, student.end_id)

    their_bytes, our_bytes = token_bytes(teacher.tokenizer), token_bytes(student.tokenizer)
    teacher_of = match(theirs, their_bytes, ours, our_bytes)
    alone = sorted(our_bytes.keys() - teacher_of.keys())
    if len(teacher_of) < LEAST_SHARED * len(our_bytes):
        raise ValueError(_too_different(teacher_of, alone, theirs, ours))
    spell = speller(teacher.tokenizer, their_bytes)
    spellings = {i: (teacher.ends[0],) if i == student.end_id else spell(our_bytes[i]) for i in alone}
    teacher_of_V = torch.full((len(known_V),), NOT_THERE)
    teacher_of_V[list(teacher_of.keys())] = torch.tensor(list(teacher_of.values()))
    return Alignment(teacher_of_V, None if known_V.all() else known_V, spellings, teacher.ends, student.end_id)


def match(
    theirs: dict[str, int], their_bytes: dict[int, bytes], ours: dict[str, int], our_bytes: dict[int, bytes]
) -> dict[int, int]:
    """student id -> teacher id of the same bytes. No teacher id is given twice, since its probability can go to one
    token only: of several ids with the same bytes those that are written alike are paired first, and the fallback to
    single bytes (`<0x0A>` beside a line break of its own) last."""
    found = {i: theirs[t] for t, i in ours.items() if t in theirs and their_bytes[theirs[t]] == our_bytes[i]}
    taken = set(found.values())
    free: dict[bytes, list[int]] = defaultdict(list)
    for _, i in sorted(theirs.items(), key=_fallback_last, reverse=True):
        if i not in taken:
            free[their_bytes[i]].append(i)
    for _, i in sorted(ours.items(), key=_fallback_last):
        if i not in found and free.get(our_bytes[i]):
            found[i] = free[our_bytes[i]].pop()
    return found


BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _fallback_last(item: tuple[str, int]) -> tuple[bool, int]:
    return BYTE.fullmatch(item[0]) is not None, item[1]


def token_bytes(tokenizer: PreTrainedTokenizerBase) -> dict[int, bytes]:
    """id -> the bytes that the token stands for: byte-level BPE (GPT-2's alphabet) and sentencepiece-like vocabularies
    (`▁` for a space, `<0x0A>` for a byte); added tokens by their content."""
    added = {i: token.content.encode() for i, token in tokenizer.added_tokens_decoder.items()}
    read = _reader(tokenizer)
    return {i: added[i] if i in added else read(token) for token, i in tokenizer.get_vocab().items()}


def _reader(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], bytes]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    parts = f"{backend.pre_tokenizer} {backend.decoder}" if backend else "▁" if hasattr(tokenizer, "sp_model") else ""
    if "ByteLevel" in parts:
        byte_of = {character: byte for byte, character in bytes_to_unicode().items()}

        def byte_level(token: str) -> bytes:
            known = all(character in byte_of for character in token)
            return bytes(byte_of[character] for character in token) if known else token.encode()

        return byte_level
    if any(sign in parts for sign in ("▁", "Metaspace", "ByteFallback")):

        def sentencepiece(token: str) -> bytes:
            byte = BYTE.fullmatch(token)
            return bytes([int(byte[1], 16)]) if byte else token.replace("▁", " ").encode()

        return sentencepiece
    raise ValueError(
        f"cannot tell which bytes the tokens of {tokenizer.name_or_path or type(tokenizer).__name__} stand for: "
        "expected byte-level BPE or a sentencepiece-like vocabulary; take two models with one tokenizer"
    )


def speller(tokenizer: PreTrainedTokenizerBase, bytes_of: dict[int, bytes]) -> Callable[[bytes], tuple[int, ...]]:
    """A function from bytes to this tokenizer's ids for them: as it would write the text itself, and from the longest
    pieces where that is not possible (half a character, a space put before it)."""
    of_bytes = {b: i for i, b in sorted(bytes_of.items(), reverse=True)}
    longest = max(map(len, of_bytes))

    def spell(wanted: bytes) -> tuple[int, ...]:
        ids = tokenizer(wanted.decode(errors="replace"), add_special_tokens=False)["input_ids"]
        if ids and b"".join(bytes_of[i] for i in ids) == wanted:
            return tuple(ids)
        ids, at = [], 0
        while at < len(wanted):
            ends = range(min(len(wanted), at + longest), at, -1)
            end = next((e for e in ends if wanted[at:e] in of_bytes), None)
            if end is None:
                raise ValueError(
                    f"the teacher's tokenizer has no way to write {wanted!r}, which is one token of the student's: "
                    "expected a tokenizer that can write every byte; take another teacher"
                )
            ids.append(of_bytes[wanted[at:end]])
            at = end
        return tuple(ids)

    return spell


def _too_different(teacher_of: dict[int, int], alone: list[int], theirs: dict[str, int], ours: dict[str, int]) -> str:
    their_token, our_token = ({i: t for t, i in side.items()} for side in (theirs, ours))
    first = "; ".join(f"{i}: teacher {their_token.get(i)!r}, student {our_token[i]!r}" for i in alone[:3])
    return (
        f"teacher and student share {len(teacher_of):,} of the student's {len(ours):,} tokens "
        f"({len(teacher_of) / len(ours):.1%}; {len(alone):,} are the student's alone, "
        f"{len(theirs) - len(teacher_of):,} the teacher's), first differing ids {first}: "
        f"expected at least {LEAST_SHARED:.0%}; choose a teacher of the student's family"
    )


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    return tuple(end_ids(str(model.name_or_path), model.generation_config, tokenizer))


def end_ids(name: str, generation: GenerationConfig, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """All ids that end a turn for the model of this name: its tokenizer's, and those of its generation config."""
    configured = generation.eos_token_id
    listed = [configured] if isinstance(configured, int) else list(configured or [])
    ids = sorted({*listed, tokenizer.eos_token_id} - {None})
    if not ids:
        raise ValueError(
            f"{name} names no end-of-turn token: expected eos_token in its tokenizer_config.json "
            "or eos_token_id in its generation_config.json"
        )
    return ids
