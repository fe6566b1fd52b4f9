"""What a person can set for a run, by concern."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from ownwords.chat.settings import SYSTEM_PROMPT, THINK
from ownwords.configuration import FREE, FieldError, Group
from ownwords.generation.plan import MOST
from ownwords.numbers import CountOrNone, Deadline, Processes, ShareAbove0, check, real, whole

MaxTokens = Annotated[int, whole(2, 10**8)]


@dataclass(frozen=True, kw_only=True)
class Source(Group):
    """The problems."""

    problems: str = "world"
    """Problems to attempt: a .jsonl, .json, .csv, .tsv or .parquet file, hf:NAME,split=train, gym:TASK,size=100,seed=0,
    or world:size=300,seed=0."""
    question_field: str | None = None
    """Column of the question, if its name does not tell; a.b is field b inside field a."""
    answer_field: str | None = None
    """Column of the reference answer, if its name does not tell."""
    skip_bad_rows: Annotated[bool, FREE] = False
    """Leave out rows that cannot be read, and count them in the plan."""
    check_overlap: Annotated[tuple[str, ...], FREE] = ()
    """Benchmarks that may share 13 words in a row with a problem, which the plan counts (those below OWNWORDS_DATA are
    always looked at)."""
    limit: Annotated[CountOrNone, FREE] = None
    """Take only the first N problems."""


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How a model's distribution is shaped before it is drawn from; what is not given comes from the preset."""

    temperature: Annotated[float | None, real("0 (greedy) or a number", 0, 1000)] = None
    """Sampling temperature; 0 takes the likeliest token. [preset: 0.7]"""
    top_p: Annotated[float | None, real("a share", 0, 1, above=True)] = None
    """Keep the likeliest tokens up to this probability mass; 1 keeps all. [preset: 0.95]"""
    top_k: Annotated[int | None, whole()] = None
    """Keep the N likeliest tokens; 0 keeps all. [preset: 0]"""


@dataclass(frozen=True, kw_only=True)
class RuleOptions(Group):
    """Who writes each token."""

    preset: Annotated[Literal["default", "paper-text", "paper-script"], FREE] = "default"
    """Preset of gate, proposals and sampling; options given beside it win."""
    gate: str | None = None
    """Test that a proposal must pass: threshold:0.01, rank:20, minp:0.05, ens:2, ratio, always, never, or several
    joined by +. [preset: threshold:0.01]"""
    gate_sees: Literal["raw", "shaped"] = "raw"
    """Student probabilities that the gate reads: raw, or shaped by the student's sampling."""
    proposals: Annotated[float | None, whole(1, word="inf")] = None
    """Proposals by the teacher per token before the student writes its own; inf for no limit. [preset: 1]"""
    teacher_sampling: SamplingOptions = SamplingOptions()
    student_sampling: SamplingOptions = SamplingOptions()
    spelled: Literal["student", "product"] = "student"
    """Writer of a student token that the teacher spells with several of its own: the student alone, or also the teacher
    by the product of its probabilities (without drafts)."""


@dataclass(frozen=True, kw_only=True)
class Budget(Group):
    """How much is made, and when an attempt is given up."""

    attempts: Annotated[int, whole(1, MOST), FREE] = 4
    """Attempts at each problem."""
    until_correct: Annotated[int | None, whole(1, MOST), FREE] = None
    """Correct attempts to collect per problem, in place of a fixed number of attempts."""
    max_attempts: Annotated[int, whole(1, MOST), FREE] = 16
    """Maximum attempts per problem when correct ones are collected."""
    max_tokens: MaxTokens = 1024
    """Maximum tokens per attempt, including the forced opening."""
    max_fallback: ShareAbove0 = 0.5
    """Maximum share of tokens written by the student; an attempt bound to exceed it is given up, and 1 gives up
    none."""
    repetition_window: Annotated[int, whole()] = 256
    """Give up an attempt when its last N tokens repeat themselves; 0 never does."""

    def __post_init__(self) -> None:
        check(self)
        if self.until_correct and self.until_correct > self.max_attempts:
            raise FieldError(
                "until_correct",
                "{until_correct} is {}, which {max_attempts} {} leaves no room for",
                self.until_correct,
                self.max_attempts,
            )


@dataclass(frozen=True, kw_only=True)
class Prompting(Group):
    """What the models read before they write."""

    system: str = SYSTEM_PROMPT
    """System prompt of both models; empty for none."""
    teacher_system: str | None = None
    """System prompt of the teacher, if it differs from the student's."""
    opening: str | None = None
    """Forced start of every completion; empty for none. [default: as the student's template opens it, or <think> if its
    tokenizer has the tags]"""
    think: tuple[str, str] = THINK
    """Tags around the thinking: the opening and the closing one."""
    template_kwargs: dict[str, Any] = field(default_factory=dict)
    """Variables of both chat templates, such as --template-kwargs.thinking true."""
    privileged: Annotated[Literal["answer", "solution"] | None, FREE] = None
    """Show the teacher, but not the student, the reference answer or the worked solution."""
    privileged_when: Annotated[Literal["always", "unsolved"], FREE] = "always"
    """Problems with a privileged teacher: all, or those that no attempt without one has solved."""


@dataclass(frozen=True, kw_only=True)
class Checking(Group):
    """How answers are found and judged."""

    answer_from: Literal["boxed", "any"] = "boxed"
    """Place of the final answer: the last \\boxed{}, or any way of stating it if there is no box."""
    check_workers: Annotated[Processes, FREE] = 1
    """Processes that check answers."""
    check_deadline: Annotated[Deadline, FREE] = 5.0
    """Maximum seconds to check an answer; a longer check gets the verdict timeout."""
    judge_url: Annotated[str | None, FREE] = None
    """OpenAI-compatible endpoint to ask when the rules reach no verdict, such as http://localhost:8000/v1 (it receives
    questions and answers)."""
    judge_model: str | None = None
    """Name of the model at the judge's endpoint."""

    def __post_init__(self) -> None:
        if (self.judge_url is None) != (self.judge_model is None):
            raise FieldError("judge_url", "{judge_url} and {judge_model} belong together: give both, or neither")
