"""How one model reads turns: its chat template up to where its own turn begins, and the problem's text as text.

A problem is text of strangers. A word in it that the tokenizer has as a control token (`<|im_end|>`) would end the turn
and forge others, so such words are hidden from the template, and come back as text, in ordinary tokens. A prompt
without such words is tokenised as a whole.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, cast

import numpy as np
from transformers import PreTrainedTokenizerBase

from ownwords.chat.settings import THINK, read_variables
from ownwords.configuration import FieldError

TODAY = datetime(2024, 7, 26)
"""What templates that write the date are told: a run that goes on tomorrow has the prompts of today. It is the date
that Llama 3's template falls back to."""
ASKS_DATE = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")
BRACKETED = re.compile(r"[<\[◁｜|].+[>\]▷｜|]", re.DOTALL)
"""what a control token looks like that its tokenizer does not mark as special, such as Qwen3's think tags"""
TAKEN = {*inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters, "messages"}
"""names of variables that are not free"""

Turn = dict[str, Any]


@dataclass(frozen=True)
class Prompt:
    """What stands before the model's own turn."""

    pieces: tuple[str, ...]
    """text, a control word that is to be read as text, text, ..."""
    opening: str
    """how the template opens the thinking behind it, which `pieces` lacks; empty where it does not"""
    system: str
    """what became of the system prompt: `a turn`, `the user's turn`, `nothing`, or empty where there was none"""
    closed: bool
    """the template has closed the thinking, so that the model answers at once"""


class Chat:
    """A tokenizer with its template. `role` is for messages; `think`: the tags around the thinking; `variables`: of the
    template, as `{"thinking": True}`.

    Raises ValueError for a variable that is not the template's own."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        role: str = "student",
        think: tuple[str, str] = THINK,
        variables: dict[str, Any] | None = None,
    ) -> None:
        self.tokenizer, self.role, self.think = tokenizer, role, think
        if wrong := sorted(TAKEN & (variables or {}).keys()):
            message = "{template_kwargs} sets {}, expected a variable of the template, as thinking"
            raise FieldError("template_kwargs", message, repr(wrong[0]))
        self.variables = {"enable_thinking": True} | read_variables(variables or {})
        self.words = control_words(tokenizer)
        hidden = {*self.words, *think}
        # the words of the system prompt are meant, and so are the think tags of a model's earlier turns
        self._hidden = {"system": any_of(()), "assistant": any_of(hidden - {*think})}
        self._hidden_elsewhere = any_of(hidden)

    def ask(self, question: str, system: str = "") -> Prompt:
        """The prompt of one question."""
        turns = [{"role": "system", "content": system}] if system else []
        return self.read([*turns, {"role": "user", "content": question}])

    def read(self, turns: list[Turn]) -> Prompt:
        """The prompt of turns, the last of which is no assistant's. A template that refuses a system turn (Gemma's)
        gets the system prompt at the head of the user's, one that reads only lists of parts gets such.

        Raises ValueError where the template fails, or leaves the last turn out.
        """
        mark = next(sign for sign in map(chr, range(0xE000, 0x110000)) if not any(sign in t["content"] for t in turns))
        words: list[str] = []

        def hide(word: re.Match[str]) -> str:
            words.append(word[0])
            return f"{mark}{len(words) - 1}{mark}"

        asked = [
            {**turn, "content": self._hidden.get(turn["role"], self._hidden_elsewhere).sub(hide, turn["content"])}
            for turn in turns
        ]
        text, system = self._rendered(asked)
        text, opening = cut_opening(text, self.think)
        pieces = [""]
        for n, piece in enumerate(re.split(f"{mark}(\\d+){mark}", text)):
            word = words[int(piece)] if n % 2 else ""
            if word in self.words:
                pieces += [word, ""]
            else:
                pieces[-1] += word or piece
        return Prompt(tuple(pieces), opening, system, text.rstrip().endswith(self.think[1]))

    def ids(self, prompt: Prompt, keep_opening: bool = False) -> list[int]:
        """A prompt as the model reads it: without what opens the thinking, unless that is kept."""
        *before, last = prompt.pieces
        return begin_ids(self.tokenizer) + self.joined([*before, last + prompt.opening * keep_opening])

    def joined(self, pieces: Sequence[str]) -> list[int]:
        """The ids of text, a control word as text, text, ...: the word in two halves, neither of which is a word."""
        first, *rest = pieces
        before = encode(self.tokenizer, "\n")

        @cache
        def following(piece: str) -> list[int]:  # some tokenizers put a space before what begins: let it follow
            both = encode(self.tokenizer, "\n" + piece)
            return both[len(before) :] if both[: len(before)] == before else encode(self.tokenizer, piece)

        ids = encode(self.tokenizer, first)
        for n, piece in enumerate(rest):
            ids += following(piece) if n % 2 else following(piece[:1]) + following(piece[1:])
        return ids

    @property
    def name(self) -> str:
        return f"the {self.role}'s chat template ({self.tokenizer.name_or_path or 'of its tokenizer'})"

    def _rendered(self, turns: list[Turn]) -> tuple[str, str]:
        """(text, what became of the system prompt)"""
        system = turns[0]["content"] if turns[0]["role"] == "system" else None
        if not self.tokenizer.chat_template:
            return "".join(f"{turn['content']}\n\n" for turn in turns), "" if system is None else "a turn"
        ways = {"a turn": turns}
        if system is not None and len(turns) > 1 and turns[1]["role"] == "user":
            merged = {**turns[1], "content": f"{system}\n\n{turns[1]['content']}"}
            ways["the user's turn"] = [merged, *turns[2:]]
        errors = []
        for in_parts in (False, True):
            for where, way in ways.items():
                try:
                    text = self._apply(_parts(way) if in_parts else way)
                except Exception as error:  # a template is a program of others, and fails as it likes
                    errors.append(error)
                    continue  # if it is the system turn that it refuses, it takes the other way
                if _squeezed(turns[-1]["content"]) in _squeezed(text):
                    told = "" if system is None else where if _squeezed(system) in _squeezed(text) else "nothing"
                    return text, told
                break  # it has no use for text: parts
        if errors:
            reason = " ".join(str(errors[0]).split())[:300]
            raise ValueError(f"{self.name} cannot be used, it says: {reason}") from errors[0]
        raise ValueError(
            f"{self.name} leaves the question out of the prompt, given as text and as a list of parts: expected one "
            "that writes the content of the user's turn; mend it, or take another model"
        )

    def _apply(self, turns: list[Turn]) -> str:
        template = self.tokenizer.get_chat_template()
        text = self.tokenizer.apply_chat_template(
            turns,
            tokenize=False,
            add_generation_prompt=True,
            chat_template=ASKS_DATE.sub(lambda call: repr(TODAY.strftime(call[2])), template),
            **self.variables,
        )
        return cast(str, text)


def any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Matches any of the words, the longest where several begin; nothing where there are none."""
    return re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))) or r"(?!)")


def control_words(tokenizer: PreTrainedTokenizerBase) -> frozenset[str]:
    """The texts of the tokens that steer a model: special ones, and added ones that look like it. Others that are only
    added (runs of spaces, names) are text."""
    added = tokenizer.added_tokens_decoder.values()
    return frozenset(t.content for t in added if len(t.content) > 1 and (t.special or BRACKETED.fullmatch(t.content)))


def cut_opening(text: str, think: tuple[str, str]) -> tuple[str, str]:
    """A prompt in two: up to where its template opens the thinking, and that opening; empty where it does not."""
    before, tag, after = text.rpartition(think[0])
    return (before, tag + after) if tag and not after.strip() else (text, "")


def begin_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The begin-of-text id that a model without a template expects, if it expects one; templates write their own."""
    bos = tokenizer.bos_token_id
    if tokenizer.chat_template or bos is None or tokenizer("?")["input_ids"][:1] != [bos]:
        return []
    return [bos]


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int] | np.ndarray, think: Sequence[str] = THINK) -> str:
    """One decode of the whole span, without special tokens such as the end of turn; think tags stay, which are special
    in some tokenizers."""
    dropped = {i for i, t in tokenizer.added_tokens_decoder.items() if t.special and t.content not in think}
    kept = [i for i in map(int, ids) if i not in dropped]
    return cast(str, tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _parts(turns: list[Turn]) -> list[Turn]:
    return [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]


def _squeezed(text: str) -> str:
    return "".join(text.split())
