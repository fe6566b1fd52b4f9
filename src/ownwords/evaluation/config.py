"""What a person can set for `ownwords eval`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from ownwords.chat.settings import SYSTEM_PROMPT, THINK
from ownwords.configuration import Config, FieldError, Group
from ownwords.engines.options import LocalModelOptions
from ownwords.generation.config import ALONE, GenerateConfig
from ownwords.generation.options import Checking, MaxTokens, SamplingOptions
from ownwords.generation.plan import MOST
from ownwords.numbers import CountOrNone, Seed, check, whole


@dataclass(frozen=True, kw_only=True)
class Benchmark(Group):
    """The problems."""

    benchmark: str = "world"
    """gsm8k, math500, aime24, aime25, amc23, svamp, multiarith or gpqa-diamond from the hub; the same from a file, as
    math500=test.jsonl; or whatever --problems of `ownwords generate` takes, as gym:TASK,size=100,seed=7 or
    world:size=300,seed=1"""
    question_field: str | None = None
    """the column of the question, if its name does not tell"""
    answer_field: str | None = None
    """the column of the reference answer, if its name does not tell"""
    limit: CountOrNone = None
    """take the first N problems only"""
    exclude: Path | None = None
    """leave out the problems of this run directory: those whose traces the model was trained on"""


@dataclass(frozen=True, kw_only=True)
class AnswerBudget(Group):
    """How long an answer may be."""

    max_tokens: MaxTokens = 1024
    """the most tokens of an answer, its forced opening included"""
    repetition_window: Annotated[int, whole()] = 256
    """give an answer up when its last N tokens repeat themselves; 0 gives none up for that"""


@dataclass(frozen=True, kw_only=True)
class AnswerPrompting(Group):
    """What the model reads before it writes."""

    system: str = SYSTEM_PROMPT
    """the system prompt; empty for none"""
    opening: str | None = None
    """forced start of every answer: as the model's template opens it, or <think> and a line break where its tokenizer
    has the tags; empty for none"""
    think: tuple[str, str] = THINK
    """the tags around the thinking, the opening one and the closing one"""
    template_kwargs: dict[str, Any] = field(default_factory=dict)
    """variables of the chat template, as --template-kwargs.thinking true"""


@dataclass(frozen=True, kw_only=True)
class EvalConfig(Config):
    """Everything that decides an evaluation."""

    run: Path
    """the run directory; an existing one is continued"""
    source: Benchmark = Benchmark()

    model: str = "world"
    """a model folder, a .gguf file, a hub name, or world (the small student that ships with the package)"""
    samples: Annotated[int | None, whole(1, MOST)] = None
    """answers per problem [4, or 1 with --greedy]"""
    greedy: bool = False
    """take the likeliest token always"""
    sampling: SamplingOptions = SamplingOptions()
    budget: AnswerBudget = AnswerBudget()
    prompting: AnswerPrompting = field(default_factory=AnswerPrompting)
    seed: Seed = 0
    """decides the draws, and the problems of a source that takes a seed and is given none"""
    checking: Checking = Checking()
    local: LocalModelOptions = LocalModelOptions()

    def __post_init__(self) -> None:
        check(self)
        if self.greedy and (self.samples or 1) > 1:
            raise FieldError(
                "samples",
                "{samples} is {} with {greedy}, which always answers the same: expected 1",
                self.samples,
            )
        if self.greedy and self.sampling != SamplingOptions():
            raise FieldError("greedy", "{greedy} and {sampling} exclude each other: give one of them")
        self._recorded()

    @property
    def answers(self) -> int:
        """Answers per problem."""
        return self.samples or (1 if self.greedy else 4)

    @property
    def shaped(self) -> SamplingOptions:
        """How the model's distribution is shaped, nothing left open."""
        return self._recorded().rules.student_sampling

    def _recorded(self) -> GenerateConfig:
        """An evaluation is recorded by the names of a generation in which the student writes alone, so that whatever
        reads a run reads both."""
        sampling = SamplingOptions(temperature=0.0, top_p=1.0, top_k=0) if self.greedy else self.sampling
        source, prompting = self.source, self.prompting
        generation = GenerateConfig.of(
            run=self.run,
            problems=source.benchmark,
            question_field=source.question_field,
            answer_field=source.answer_field,
            limit=source.limit,
            teacher=ALONE,
            student=self.model,
            student_device=self.local.model_device,
            student_dtype=self.local.model_dtype,
            batch=self.local.batch,
            gate="never",
            student_sampling=sampling,
            attempts=self.answers,
            max_tokens=self.budget.max_tokens,
            repetition_window=self.budget.repetition_window,
            system=prompting.system,
            opening=prompting.opening,
            think=prompting.think,
            template_kwargs=prompting.template_kwargs,
            seed=self.seed,
        )
        return replace(generation, checking=self.checking).resolved()

    def flat(self) -> dict[str, Any]:
        """The record of an evaluation."""
        return self._recorded().flat()

    @classmethod
    def free(cls) -> frozenset[str]:
        """Names in the record that may change between two starts."""
        return GenerateConfig.free()
