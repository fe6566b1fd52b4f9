"""What a person can set for `ownwords eval`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ownwords.chat.settings import SYSTEM_PROMPT, THINK
from ownwords.generation.config import ALONE, DTYPES, GenerateConfig, SamplingOptions
from ownwords.generation.plan import MOST
from ownwords.numbers import CountOrNone, Deadline, Processes, Seed, check, whole


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Everything that decides an evaluation."""

    run: Path
    """the run directory; an existing one is continued"""
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

    model: str = "world"
    """a model folder, a .gguf file, a hub name, or world (the small student that ships with the package)"""
    model_device: str = "auto"
    """where the model computes: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one"""
    model_dtype: DTYPES = "auto"
    """the type of the weights; auto: the checkpoint's own on a GPU; float32 on a CPU, or bfloat16 for a large
    model of that type if it is measured to be faster there"""

    samples: Annotated[int | None, whole(1, MOST)] = None
    """answers per problem [4, or 1 with --greedy]"""
    greedy: Annotated[bool, Parameter(negative="")] = False
    """take the likeliest token always"""
    sampling: SamplingOptions = SamplingOptions()
    max_tokens: Annotated[int, whole(2, 10**8)] = 1024
    """the most tokens of an answer, its forced opening included"""
    repetition_window: Annotated[int, whole()] = 256
    """give an answer up when its last N tokens repeat themselves; 0 gives none up for that"""
    system: str = SYSTEM_PROMPT
    """the system prompt; empty for none"""
    opening: str | None = None
    """forced start of every answer: as the model's template opens it, or <think> and a line break where its tokenizer
    has the tags; empty for none"""
    think: tuple[str, str] = THINK
    """the tags around the thinking, the opening one and the closing one"""
    template_kwargs: Annotated[dict[str, Any], Parameter(negative="")] = field(default_factory=dict)
    """variables of the chat template, as --template-kwargs.thinking true"""

    seed: Seed = 0
    """decides the draws, and the problems of a source that takes a seed and is given none"""
    answer_from: Literal["boxed", "any"] = "boxed"
    """where the final answer is looked for: the last \\boxed{}, or, in a text without one, any way of saying it"""
    judge_url: str | None = None
    """an OpenAI-compatible endpoint whose model is asked where the rules come to no verdict (sends it questions and
    answers), as http://localhost:8000/v1"""
    judge_model: str | None = None
    """the name that the model has at --judge-url"""
    batch: Annotated[int | Literal["auto"], whole(1, word="auto")] = "auto"
    """the most answers to decode together; auto for as many as memory holds"""
    check_workers: Processes = 1
    """processes that check answers"""
    check_deadline: Deadline = 5.0
    """an answer that takes the checker longer gets the verdict timeout; seconds"""

    def __post_init__(self) -> None:
        check(self)
        if self.greedy and (self.samples or 1) > 1:
            raise ValueError(f"samples is {self.samples} with --greedy, which always answers the same: expected 1")
        if self.greedy and self.sampling != SamplingOptions():
            raise ValueError("--greedy and --sampling exclude each other: give one of them")
        self.generation().resolved()

    def generation(self) -> GenerateConfig:
        """The run that makes the answers: the model writes alone, as --gate never does."""
        sampling = SamplingOptions(temperature=0.0, top_p=1.0, top_k=0) if self.greedy else self.sampling
        return GenerateConfig(
            run=self.run,
            problems=self.benchmark,
            question_field=self.question_field,
            answer_field=self.answer_field,
            limit=self.limit,
            teacher=ALONE,
            student=self.model,
            student_device=self.model_device,
            student_dtype=self.model_dtype,
            gate="never",
            student_sampling=sampling,
            attempts=self.samples or (1 if self.greedy else 4),
            max_tokens=self.max_tokens,
            repetition_window=self.repetition_window,
            system=self.system,
            opening=self.opening,
            think=self.think,
            template_kwargs=self.template_kwargs,
            seed=self.seed,
            answer_from=self.answer_from,
            judge_url=self.judge_url,
            judge_model=self.judge_model,
            batch=self.batch,
            check_workers=self.check_workers,
            check_deadline=self.check_deadline,
        )
