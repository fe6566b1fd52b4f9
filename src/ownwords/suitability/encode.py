"""A trace of a set in the student's ids: its chat template around the problem, its think tags around the thinking.

As when traces are generated, the opening of the thinking is the forced beginning of the response, whether the template
writes it, the trace does, or the trace leaves it to its writer's template; forced tokens are not scored. Thinking that
never closes was cut: it gets no closing tag and no end of turn.

Control words within a response are read as text, and ends of turn behind it are taken off: the end is added by the
student's own rule. Its think tags are meant, and stay.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from ownwords.chat.prompts import check_open, completion_style
from ownwords.chat.settings import THINK
from ownwords.chat.templates import Chat, Prompt, any_of
from ownwords.records.tokens import Tokens
from ownwords.rsd.columns import FORCED, UNKNOWN
from ownwords.suitability.markers import Said, take_apart, without_end, without_marks
from ownwords.suitability.shapes import IdTrace, TextTrace
from ownwords.traces.cells import clean


def why_not(tokens: Tokens, context: int | None, known: int) -> str:
    """Why they cannot be scored; empty if they can. `context`: the positions that the student has, `known`: the number
    of its ids."""
    ids = tokens.ids
    if not len(tokens.prompt_ids):
        return "no prompt"
    if not tokens.free.any():
        return "no response"
    if context is not None and len(ids) > context:
        return f"{len(ids)} tokens, the student reads {context}"
    if ids.min() < 0 or ids.max() >= known:
        return f"holds the id {ids.max() if ids.min() >= 0 else ids.min()}, the student has {known}"
    return ""


class Encoder:
    """A student's conventions. `think`: its own tags; `marks`: what a set has around the thinking, if that is none of
    the known pairs; `variables`: of the student's chat template."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        think: tuple[str, str] = THINK,
        marks: tuple[str, str] | None = None,
        variables: dict[str, Any] | None = None,
    ) -> None:
        self.chat, self.marks = Chat(tokenizer, "student", think, variables), marks
        special = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special and len(t.content) > 1}
        self._special = re.compile(f"({any_of(special - {*think}).pattern})")

    def __call__(self, trace: TextTrace | IdTrace) -> Tokens:
        """What the student reads. Ids stay as they are. Text is put into the student's conventions: think tags if its
        tokenizer has them as single tokens, its end-of-turn token after a response that ended.

        Raises ValueError if the student's chat template fails, or has closed the thinking that a trace has.
        """
        if isinstance(trace, IdTrace):
            return trace.tokens
        chat, tokenizer = self.chat, self.chat.tokenizer
        if isinstance(trace.prompt, str):
            prompt = Prompt((clean(trace.prompt),), "", "", False)
        else:
            prompt = chat.read([{**turn, "content": clean(turn["content"])} for turn in trace.prompt])
        style = completion_style(tokenizer, prompt.opening or None, chat.think)
        said = self._said(trace)
        if style.closing is not None and said.thinking is not None:
            check_open(chat, prompt, style)
            forced, text = style.forced, _thought(said, chat.think)
        else:
            forced, text = style.forced if prompt.opening else (), _untagged(said, chat.think)
        ids = [*forced, *chat.joined(self._special.split(text))]
        if trace.ended and said.closed and tokenizer.eos_token_id is not None and text:
            ids.append(tokenizer.eos_token_id)
        source = np.where(np.arange(len(ids)) < len(forced), FORCED, UNKNOWN)
        return Tokens(prompt_ids=np.array(chat.ids(prompt)), token_ids=np.array(ids), source=source)

    def _said(self, trace: TextTrace) -> Said:
        answer = without_end(clean(trace.answer))
        if trace.thinking is None:
            return take_apart(answer, self.marks)
        thinking = without_marks(clean(trace.thinking))
        return Said(thinking, take_apart(answer, self.marks).answer, bool(answer.strip()), None)


def _thought(said: Said, think: tuple[str, str]) -> str:
    """A response that thinks, behind its opening."""
    assert said.thinking is not None
    if said.pair == think:  # the student's own tags: as it stands
        return said.thinking.lstrip("\n") + (think[1] + said.answer if said.closed else "")
    return said.thinking.strip() + (f"\n{think[1]}\n\n{said.answer.strip()}" if said.closed else "")


def _untagged(said: Said, think: tuple[str, str]) -> str:
    """A response without thinking, or for a student that has no tags; those that are meant as text stay."""
    if said.thinking is None:
        return said.answer
    if said.pair == think:
        return think[0] + said.thinking + (think[1] + said.answer if said.closed else "")
    return "\n\n".join(part for part in (said.thinking.strip(), said.answer.strip()) if part)
