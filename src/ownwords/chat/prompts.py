"""What each model reads before the first token: its own chat template around the question, and the forced opening.

Both models continue the same completion. A template that opens the thinking itself (`<think>` at the end of the prompt)
is therefore cut before it: the opening becomes the first, forced tokens of the completion, whichever template had it.
So it is never opened twice for one model and not at all for the other, and the record holds the whole thinking.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from ownwords.chat.templates import Chat, Prompt, encode
from ownwords.configuration import FieldError
from ownwords.records.problem import Problem

FOR_THE_TEACHER = (
    "{question}\n\n(For you alone, {what}: {shown}\nReason step by step as someone who has only been given the problem "
    "and finds the answer by thinking. Do not mention that you were told.)"
)
WHAT = {"answer": "the correct final answer", "solution": "a worked solution"}
"""What a privileged teacher may be shown."""


@dataclass(frozen=True)
class Style:
    """How completions begin and whether they think."""

    opening: str
    """what every completion begins with"""
    forced: tuple[int, ...]
    """its ids"""
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
    remarks: dict[str, str]
    """what is to be said of them: a name and a sentence each"""


def make_prompts(
    problems: Iterable[Problem],
    teacher: PreTrainedTokenizerBase,
    student: PreTrainedTokenizerBase,
    systems: tuple[str, str],
    opening: str | None,
    think: tuple[str, str],
    shown: str | None = None,
    variables: dict[str, Any] | None = None,
) -> Prompts:
    """Prompts for all problems. `systems` are the teacher's and the student's, empty for none; `variables` are given to
    both templates.

    `opening` is the forced start of every completion. None is for what the student does by itself: its template's own
    opening, or `<think>` and a line break where its tokenizer has the tags as tokens, else nothing. Empty forces
    nothing and leaves both prompts as the templates have them.

    Raises ValueError where the teacher is to be `shown` a solution that a problem does not have, a template cannot be
    used, or one has closed the thinking that is then forced open.
    """
    problems, (theirs, ours) = list(problems), systems
    chats = Chat(teacher, "teacher", think, variables), Chat(student, "student", think, variables)
    asked = {p.id: chats[1].ask(p.question, ours) for p in problems}
    opened = next((prompt.opening for prompt in asked.values()), "")
    style = completion_style(student, opened if opening is None and opened else opening, think)
    if opening == "" and any(prompt.closed for prompt in asked.values()):
        style = replace(style, closing=None)  # the template closed the thinking: all that comes is answer

    def ids(chat: Chat, prompt: Prompt) -> list[int]:
        check_open(chat, prompt, style, ", or force nothing with {opening} ''")
        return chat.ids(prompt, keep_opening=opening == "")

    told = {p.id: chats[0].ask(p.question, theirs) for p in problems}
    student_ids = {i: ids(chats[1], prompt) for i, prompt in asked.items()}
    pairs = {i: (ids(chats[0], prompt), student_ids[i]) for i, prompt in told.items()}
    privileged = {}
    if shown:
        check_shown(problems, shown)
        privileged = {p.id: ids(chats[0], chats[0].ask(privileged_question(p, shown), theirs)) for p in problems}
    return Prompts(style, pairs, privileged, _remarks(problems, told, asked, style, opening))


def check_open(chat: Chat, prompt: Prompt, style: Style, otherwise: str = "") -> None:
    """Raise ValueError if the template has closed the thinking that the forced opening opens. `otherwise`: what else
    can be done about it."""
    if prompt.closed and chat.think[0] in style.opening:
        raise FieldError(
            "template_kwargs",
            "{} ends the prompt with {}, and then {} would be forced: set its variable for thinking, as "
            "{template_kwargs}.thinking true or {template_kwargs}.enable_thinking true" + otherwise,
            chat.name,
            *reversed(chat.think),
        )


def completion_style(tokenizer: PreTrainedTokenizerBase, opening: str | None, think: tuple[str, str]) -> Style:
    """The opening as ids, and the closing tag of a completion that thinks: the tokenizer has both tags as tokens, or
    the opening has the first of them as text. `opening` None: see `make_prompts`."""
    vocabulary = tokenizer.get_vocab()
    tokens = all(tag in vocabulary for tag in think)
    if opening is None:
        opening = f"{think[0]}\n" if tokens else ""
    thinks = tokens or think[0] in opening
    return Style(opening, tuple(encode(tokenizer, opening)), think[1] if thinks else None, vocabulary.get(think[1]))


def _remarks(
    problems: list[Problem], told: dict[str, Prompt], asked: dict[str, Prompt], style: Style, opening: str | None
) -> dict[str, str]:
    """Control words in problems, and where the two templates do not do the same."""
    remarks = {}
    words = {p.id: [*told[p.id].pieces[1::2], *asked[p.id].pieces[1::2]] for p in problems}
    if found := [i for i in words if words[i]]:
        remarks["control words"] = (
            f"{len(found)} of {len(problems)} problems hold words that steer a model, such as {words[found[0]][0]} "
            f"(first: {found[0]}); they are read as text"
        )
    theirs, ours = next(iter(told.values())), next(iter(asked.values()))
    if theirs.system and ours.system and theirs.system != ours.system:
        remarks["system prompt"] = (
            f"the teacher's template makes {theirs.system} of it, the student's {ours.system}: they do not fit"
        )
    if theirs.opening and not ours.opening and style.closing is None:
        remarks["thinking"] = (
            f"the teacher's template opens it with {theirs.opening.strip()}, the student has no such tag: the teacher "
            "writes without it"
        )
    elif opening == "" and bool(theirs.opening) != bool(ours.opening):
        who, other = ("teacher", "student") if theirs.opening else ("student", "teacher")
        remarks["thinking"] = (
            f"the prompt of the {who} ends with it open, that of the {other} does not: they do not fit"
        )
    return remarks


def privileged_question(problem: Problem, shown: str) -> str:
    """The question together with what only the teacher is shown (arXiv 2602.02405 and its kin)."""
    return FOR_THE_TEACHER.format(question=problem.question, what=WHAT[shown], shown=getattr(problem, shown))


def check_shown(problems: list[Problem], shown: str) -> None:
    without = [p.id for p in problems if not getattr(p, shown).strip()]
    if without:
        raise FieldError(
            "privileged",
            f"{len(without)} of {len(problems)} problems have no {shown} to show the teacher (first: {{}}): "
            "expected one for each with {privileged}; use {privileged} answer, or other problems",
            without[0],
        )
