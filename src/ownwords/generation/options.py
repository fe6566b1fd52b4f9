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
    """a .jsonl, .json, .csv, .tsv or .parquet file, hf:NAME,split=train,config=main,revision=... (a data set of the hub
    or a local folder), gym:TASK,size=100,seed=0 (reasoning-gym), or world:size=300,seed=0 (held-out problems of the
    small world)"""
    question_field: str | None = None
    """the column of the question, if its name does not tell; a.b for the field b inside of the field a"""
    answer_field: str | None = None
    """the column of the reference answer, if its name does not tell"""
    skip_bad_rows: Annotated[bool, FREE] = False
    """leave out the rows that cannot be read instead of stopping; the plan counts them"""
    check_overlap: Annotated[tuple[str, ...], FREE] = ()
    """benchmarks (files, or what --problems takes) that no problem should be in: the plan counts those that share 13
    words in a row; the known ones below the folder in OWNWORDS_DATA are looked at without being named"""
    limit: Annotated[CountOrNone, FREE] = None
    """take the first N problems only"""


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How a model's distribution is shaped before it is drawn from; what is not given comes from the preset."""

    temperature: Annotated[float | None, real("0 (greedy) or a number", 0, 1000)] = None
    """0 takes the likeliest token [preset: 0.7]"""
    top_p: Annotated[float | None, real("a share", 0, 1, above=True)] = None
    """keep the likeliest tokens up to this mass; 1 keeps all [preset: 0.95]"""
    top_k: Annotated[int | None, whole()] = None
    """keep this many tokens; 0 keeps all [preset: 0]"""


@dataclass(frozen=True, kw_only=True)
class RuleOptions(Group):
    """Who writes each token."""

    preset: Annotated[Literal["default", "paper-text", "paper-script"], FREE] = "default"
    """values for gate, proposals and sampling; what is given beside it wins"""
    gate: str | None = None
    """what the student lets through: threshold:0.01, rank:20, minp:0.05, ens:2, ratio, always (plain teacher traces),
    never (the student's own rollouts), or several joined by +"""
    gate_sees: Literal["raw", "shaped"] = "raw"
    """the probabilities that the gate looks at"""
    proposals: Annotated[float | None, whole(1, word="inf")] = None
    """how often the teacher may propose before the student takes over (inf: no limit)"""
    teacher_sampling: SamplingOptions = SamplingOptions()
    student_sampling: SamplingOptions = SamplingOptions()
    spelled: Literal["student", "product"] = "student"
    """tokens of the student that the teacher spells with several of its own: only the student writes them, or the
    teacher proposes them too, with the product of its probabilities along the spelling (then without drafts)"""


@dataclass(frozen=True, kw_only=True)
class Budget(Group):
    """How much is made, and when an attempt is given up."""

    attempts: Annotated[int, whole(1, MOST), FREE] = 4
    """so many attempts at each problem"""
    until_correct: Annotated[int | None, whole(1, MOST), FREE] = None
    """in place of --attempts: attempt a problem until so many of its attempts are correct"""
    max_attempts: Annotated[int, whole(1, MOST), FREE] = 16
    """with --until-correct: give a problem up after so many attempts"""
    max_tokens: MaxTokens = 1024
    """the most tokens of an attempt, its forced opening included"""
    max_fallback: ShareAbove0 = 0.5
    """give an attempt up when the student has written so many of its tokens that their share cannot come back under
    this; 1 gives none up, and is what --gate never works with"""
    repetition_window: Annotated[int, whole()] = 256
    """give an attempt up when its last N tokens repeat themselves; 0 gives none up for that"""

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
    """the system prompt of both models; empty for none"""
    teacher_system: str | None = None
    """a system prompt for the teacher alone, if it is to read another one than the student"""
    opening: str | None = None
    """forced start of every completion: as the student's template opens it, or <think> and a line break where its
    tokenizer has the tags; empty for none"""
    think: tuple[str, str] = THINK
    """the tags around the thinking, the opening one and the closing one"""
    template_kwargs: dict[str, Any] = field(default_factory=dict)
    """variables of the chat templates, as --template-kwargs.thinking true; both models' get them"""
    privileged: Annotated[Literal["answer", "solution"] | None, FREE] = None
    """show the teacher, not the student, the reference answer or the worked solution"""
    privileged_when: Annotated[Literal["always", "unsolved"], FREE] = "always"
    """at every problem, or only where all attempts without it have failed"""


@dataclass(frozen=True, kw_only=True)
class Checking(Group):
    """How answers are found and judged."""

    answer_from: Literal["boxed", "any"] = "boxed"
    """where an answer is looked for: the last \\boxed{}, or, in a text without one, any way of stating it"""
    check_workers: Annotated[Processes, FREE] = 1
    """processes that check answers"""
    check_deadline: Annotated[Deadline, FREE] = 5.0
    """an answer that takes the checker longer gets the verdict timeout; seconds"""
    judge_url: Annotated[str | None, FREE] = None
    """an OpenAI-compatible endpoint whose model is asked where the rules come to no verdict (questions and answers are
    sent there), as http://localhost:8000/v1"""
    judge_model: str | None = None
    """the name that the model has at --judge-url"""

    def __post_init__(self) -> None:
        if (self.judge_url is None) != (self.judge_model is None):
            raise FieldError("judge_url", "{judge_url} and {judge_model} belong together: give both, or neither")
