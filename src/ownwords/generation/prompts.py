"""What each model reads before the first token: its own chat template around the question, and the forced opening.

Both models continue the same completion. A template that opens the thinking itself (`<think>` at the end of the prompt)
is therefore cut before it: the opening becomes the first, forced tokens of the completion, whichever template had it.
So it is never opened twice for one model and not at all for the other, and the record holds the whole thinking.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from ownwords.problems.problem import Problem

TODAY = datetime(2024, 7, 26)
"""What templates that write the date are told: a run that goes on tomorrow has the prompts of today. It is the date
that Llama 3's template falls back to."""
ASKS_DATE = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")

FOR_THE_TEACHER = (
    "{question}\n\n(For you alone, {what}: {shown}\nReason step by step as someone who has only been given the problem "
    "and finds the answer by thinking. Do not mention that you were told.)"
)
WHAT = {"answer": "the correct final answer", "solution": "a worked solution"}
"""What a privileged teacher may be shown."""


@dataclass(frozen=True)
class Style:
    """How completions begin and whether they think."""

    forced: tuple[int, ...]
    """ids of the opening"""
    closing: str | None
    """the tag that ends the thinking; None for models without one"""
    closing_id: int | None


@dataclass(frozen=True)
class Prompts:
    """The prompts of a run, as ids."""

    style: Style
    pairs: dict[str, tuple[list[int], list[int]]]
    """problem id -> the teacher's and the student's"""
    privileged: dict[str, list[int]]
    """problem id -> what a privileged teacher reads; empty where there is none"""


def make_prompts(
    problems: Iterable[Problem],
    teacher: PreTrainedTokenizerBase,
    student: PreTrainedTokenizerBase,
    systems: tuple[str, str],
    opening: str | None,
    think: tuple[str, str],
    shown: str | None = None,
) -> Prompts:
    """Prompts for all problems. `systems` are the teacher's and the student's, empty for none.

    `opening` is the forced start of every completion. None is for what the student does by itself: its template's own
    opening, or `<think>` and a line break where its tokenizer has the tags as tokens, else nothing. Empty forces
    nothing and leaves both prompts as the templates have them.

    Raises ValueError where the teacher is to be `shown` a solution that a problem does not have.
    """
    problems, (theirs, ours) = list(problems), systems
    texts = {p.id: prompt_text(student, p.question, ours) for p in problems}
    opened = next((cut_opening(text, think)[1] for text in texts.values()), "")
    style = completion_style(student, opened if opening is None and opened else opening, think)

    def ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
        return prompt_ids(tokenizer, text, opening, think)

    pairs = {
        p.id: (ids(teacher, prompt_text(teacher, p.question, theirs)), ids(student, texts[p.id])) for p in problems
    }
    privileged = {}
    if shown:
        check_shown(problems, shown)
        asked = {p.id: privileged_question(p, shown) for p in problems}
        privileged = {i: ids(teacher, prompt_text(teacher, question, theirs)) for i, question in asked.items()}
    return Prompts(style, pairs, privileged)


def prompt_ids(tokenizer: PreTrainedTokenizerBase, text: str, opening: str | None, think: tuple[str, str]) -> list[int]:
    """A prompt's text as a model reads it: without what opens the thinking, unless no `opening` is forced either."""
    return begin_ids(tokenizer) + encode(tokenizer, text if opening == "" else cut_opening(text, think)[0])


def completion_style(tokenizer: PreTrainedTokenizerBase, opening: str | None, think: tuple[str, str]) -> Style:
    """The opening as ids, and the closing tag of a completion that thinks: the tokenizer has both tags as tokens, or
    the opening has the first of them as text. `opening` None: see `make_prompts`."""
    vocabulary = tokenizer.get_vocab()
    tokens = all(tag in vocabulary for tag in think)
    if opening is None:
        opening = f"{think[0]}\n" if tokens else ""
    thinks = tokens or think[0] in opening
    return Style(tuple(encode(tokenizer, opening)), think[1] if thinks else None, vocabulary.get(think[1]))


def prompt_text(tokenizer: PreTrainedTokenizerBase, question: str, system: str) -> str:
    """The model's own template, up to where its answer begins; the bare question for a model without one.

    A template that refuses a system turn (Gemma's) gets the system prompt at the head of the user's.
    """
    user = {"role": "user", "content": question}
    if not system:
        return chat_text(tokenizer, [user])
    try:
        return chat_text(tokenizer, [{"role": "system", "content": system}, user])
    except TemplateError:
        return chat_text(tokenizer, [{"role": "user", "content": f"{system}\n\n{question}"}])


def chat_text(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> str:
    """Turns as the model reads them, up to where its own begins; one below the other for a model without a template."""
    if not tokenizer.chat_template:
        return "".join(f"{message['content']}\n\n" for message in messages)
    return tokenizer.apply_chat_template(
        messages,
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=True,
        chat_template=ASKS_DATE.sub(lambda call: repr(TODAY.strftime(call[2])), tokenizer.get_chat_template()),
    )


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


def privileged_question(problem: Problem, shown: str) -> str:
    """The question together with what only the teacher is shown (arXiv 2602.02405 and its kin)."""
    return FOR_THE_TEACHER.format(question=problem.question, what=WHAT[shown], shown=getattr(problem, shown))


def check_shown(problems: list[Problem], shown: str) -> None:
    without = [p.id for p in problems if not getattr(p, shown).strip()]
    if without:
        raise ValueError(
            f"{len(without)} of {len(problems)} problems have no {shown} to show the teacher (first: {without[0]}): "
            "expected one for each with --privileged; use --privileged answer, or other problems"
        )


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]
