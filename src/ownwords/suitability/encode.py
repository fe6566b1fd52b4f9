"""A trace of a set in the student's ids: its chat template around the problem, its think tags around the thinking.

As when traces are generated, the opening of the thinking is the forced beginning of the response, whether the template
writes it or the trace does; forced tokens are not scored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from ownwords.generation.config import THINK
from ownwords.generation.prompts import begin_ids, chat_text, completion_style, cut_opening, encode
from ownwords.suitability.forward import Sample
from ownwords.suitability.shapes import IdTrace, Message, TextTrace
from ownwords.traces.rows import clean


@dataclass(frozen=True)
class Encoded:
    """What the student reads, and which tokens of the response count."""

    sample: Sample
    scored: np.ndarray
    """bool per response token"""

    def why_not(self, context: int | None, known: int) -> str:
        """Why it cannot be scored; empty where it can. `context`: the positions that the student has, `known`: the
        number of its ids."""
        ids = np.concatenate([self.sample.prompt_ids, self.sample.token_ids])
        if not len(self.sample.prompt_ids):
            return "no prompt"
        if not self.scored.any():
            return "no response"
        if context is not None and len(ids) > context:
            return f"{len(ids)} tokens, the student reads {context}"
        if ids.min() < 0 or ids.max() >= known:
            return f"holds the id {ids.max() if ids.min() >= 0 else ids.min()}, the student has {known}"
        return ""


def encoded(tokenizer: PreTrainedTokenizerBase, trace: TextTrace | IdTrace) -> Encoded:
    """Ids stay as they are. Text is put into the student's conventions: think tags if its tokenizer has them as single
    tokens, its end-of-turn token after a response that ended.

    Raises ValueError where the student's chat template refuses the turns.
    """
    if isinstance(trace, IdTrace):
        return Encoded(Sample(trace.prompt_ids, trace.token_ids), np.asarray(trace.scored, bool))
    prompt, opened = _prompt(tokenizer, trace.prompt)
    style = completion_style(tokenizer, opened or None, THINK)
    text = clean(_completion(trace, style.closing is not None))
    forced: tuple[int, ...] = style.forced if opened else ()
    if style.closing is not None and text.startswith(THINK[0]):
        text, forced = text[len(THINK[0]) :].lstrip("\n"), style.forced
    ids = [*forced, *encode(tokenizer, text)]
    if trace.ended and tokenizer.eos_token_id is not None and text:
        ids.append(tokenizer.eos_token_id)
    prompt_ids = begin_ids(tokenizer) + encode(tokenizer, prompt)
    scored = np.arange(len(ids)) >= len(forced)
    return Encoded(Sample(np.array(prompt_ids, np.int32), np.array(ids, np.int32)), scored)


def _prompt(tokenizer: PreTrainedTokenizerBase, prompt: str | list[Message]) -> tuple[str, str]:
    """The text of a prompt, and how the student's template opens the thinking behind it, if it does."""
    if isinstance(prompt, str):
        return clean(prompt), ""
    try:
        text = chat_text(tokenizer, [{**turn, "content": clean(turn["content"])} for turn in prompt])
    except TemplateError as error:
        raise ValueError(f"the student's chat template refuses the turns: {error}") from error
    return cut_opening(text, THINK)


def _completion(trace: TextTrace, tags: bool) -> str:
    if trace.thinking is None:
        return trace.answer
    thinking, answer = trace.thinking.strip().removeprefix(THINK[0]).strip(), trace.answer.strip()
    return f"{THINK[0]}\n{thinking}\n{THINK[1]}\n\n{answer}" if tags else f"{thinking}\n\n{answer}"
