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
    """Benchmark: gsm8k, math500, aime24, aime25, amc23, svamp, multiarith, gpqa-diamond, one of these in a file
    (math500=test.jsonl), or any source of problems, as gym:TASK,size=100."""
    question_field: str | None = None
    """Column of the question, if its name does not tell; a.b is field b inside field a."""
    answer_field: str | None = None
    """Column of the reference answer, if its name does not tell."""
    limit: CountOrNone = None
    """Take only the first N problems."""
    exclude: Path | None = None
    """Run directory whose problems are left out, such as the one that the model was trained on."""


@dataclass(frozen=True, kw_only=True)
class AnswerBudget(Group):
    """How long an answer may be."""

    max_tokens: MaxTokens = 1024
    """Maximum tokens per answer, including the forced opening."""
    repetition_window: Annotated[int, whole()] = 256
    """Give up an answer when its last N tokens repeat themselves; 0 never does."""


@dataclass(frozen=True, kw_only=True)
class AnswerPrompting(Group):
    """What the model reads before it writes."""

    system: str = SYSTEM_PROMPT
    """System prompt; empty for none."""
    opening: str | None = None
    """Forced start of every answer; empty for none. [default: as the model's template opens it, or <think> if its
    tokenizer has the tags]"""
    think: tuple[str, str] = THINK
    """Tags around the thinking: the opening and the closing one."""
    template_kwargs: dict[str, Any] = field(default_factory=dict)
    """Variables of the chat template, such as --template-kwargs.thinking true."""


@dataclass(frozen=True, kw_only=True)
class EvalConfig(Config):
    """Everything that decides an evaluation."""

    run: Path
    """Run directory; an existing run continues."""
    source: Benchmark = Benchmark()

    model: str = "world"
    """Model: a folder, a .gguf file, a hub name, or world (the small student that ships with the package)."""
    samples: Annotated[int | None, whole(1, MOST)] = None
    """Answers per problem. [default: 4, or 1 with --greedy]"""
    greedy: bool = False
    """Always take the likeliest token."""
    sampling: SamplingOptions = SamplingOptions()
    budget: AnswerBudget = AnswerBudget()
    prompting: AnswerPrompting = field(default_factory=AnswerPrompting)
    seed: Seed = 0
    """Seed of all draws, and of a benchmark that takes a seed and names none."""
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
