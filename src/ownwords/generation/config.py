"""What a person can set for `ownwords generate`, with presets."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ownwords.chat.settings import SYSTEM_PROMPT, THINK, read_variables
from ownwords.generation.plan import MOST
from ownwords.numbers import CountOrNone, Deadline, Processes, Seed, ShareAbove0, check, real, whole
from ownwords.rsd.gates import parse_gate
from ownwords.rsd.shaping import Sampling


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How a model's distribution is shaped before it is drawn from; what is not given comes from the preset."""

    temperature: Annotated[float | None, real("0 (greedy) or a number", 0, 1000)] = None
    """0 takes the likeliest token [preset: 0.7]"""
    top_p: Annotated[float | None, real("a share", 0, 1, above=True)] = None
    """keep the likeliest tokens up to this mass; 1 keeps all [preset: 0.95]"""
    top_k: Annotated[int | None, whole()] = None
    """keep this many tokens; 0 keeps all [preset: 0]"""


PRESETS: dict[str, dict[str, Any]] = {
    # The paper as written (arXiv 2509.22230).
    "paper-text": dict(gate="threshold:0.01", proposals=1, sampling=Sampling(0.7, 0.95, 0)),
    # What the authors' script does: top-20 pools at temperature 1, five draws, and a gate that also wants the
    # proposal among the student's 20 likeliest, which is stricter than the threshold alone.
    "paper-script": dict(gate="threshold:0.01+rank:20", proposals=5, sampling=Sampling(1.0, 1.0, 20)),
}
PRESETS["default"] = PRESETS["paper-text"]

DTYPES = Literal["auto", "float32", "bfloat16", "float16"]
ALONE = "none"
"""the teacher's name where there is none"""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """Everything that decides a run."""

    run: Path
    """the run directory; an existing one is continued"""
    problems: str = "world"
    """a .jsonl, .json, .csv, .tsv or .parquet file, hf:NAME,split=train,config=main,revision=... (a data set of the hub
    or a local folder), gym:TASK,size=100,seed=0 (reasoning-gym), or world:size=300,seed=0 (held-out problems of the
    small world)"""
    question_field: str | None = None
    """the column of the question, if its name does not tell; a.b for the field b inside of the field a"""
    answer_field: str | None = None
    """the column of the reference answer, if its name does not tell"""
    skip_bad_rows: Annotated[bool, Parameter(negative="")] = False
    """leave out the rows that cannot be read instead of stopping; the plan counts them"""
    check_overlap: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = ()
    """benchmarks (files, or what --problems takes) that no problem should be in: the plan counts those that share 13
    words in a row; the known ones below the folder in OWNWORDS_DATA are looked at without being named"""
    limit: CountOrNone = None
    """take the first N problems only"""

    teacher: str = "world"
    """a model folder, a .gguf file, a hub name, or world (ships with the package); none for --gate never without the
    teacher's opinion of what the student writes"""
    student: str = "world"
    """a model folder, a .gguf file, a hub name, or world"""
    teacher_device: str = "auto"
    """where the teacher computes: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one"""
    student_device: str = "auto"
    """the same for the student"""
    teacher_dtype: DTYPES = "auto"
    """the type of the teacher's weights; auto: the checkpoint's own on a GPU; float32 on a CPU, or bfloat16 for a large
    model of that type if it is measured to be faster there"""
    student_dtype: DTYPES = "auto"
    """the same for the student"""

    preset: Literal["default", "paper-text", "paper-script"] = "default"
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

    attempts: Annotated[int, whole(1, MOST)] = 4
    """so many attempts at each problem"""
    until_correct: Annotated[int | None, whole(1, MOST), Parameter(name="--until-correct")] = None
    """in place of --attempts: attempt a problem until so many of its attempts are correct"""
    max_attempts: Annotated[int, whole(1, MOST)] = 16
    """with --until-correct: give a problem up after so many attempts"""
    max_tokens: Annotated[int, whole(2, 10**8)] = 1024
    """the most tokens of an attempt, its forced opening included"""
    max_fallback: ShareAbove0 = 0.5
    """give an attempt up when the student has written so many of its tokens that their share cannot come back under
    this; 1 gives none up, and is what --gate never works with"""
    repetition_window: Annotated[int, whole()] = 256
    """give an attempt up when its last N tokens repeat themselves; 0 gives none up for that"""
    system: str = SYSTEM_PROMPT
    """the system prompt of both models; empty for none"""
    teacher_system: str | None = None
    """a system prompt for the teacher alone, if it is to read another one than the student"""
    opening: str | None = None
    """forced start of every completion: as the student's template opens it, or <think> and a line break where its
    tokenizer has the tags; empty for none"""
    think: tuple[str, str] = THINK
    """the tags around the thinking, the opening one and the closing one"""
    template_kwargs: Annotated[dict[str, Any], Parameter(negative="")] = field(default_factory=dict)
    """variables of the chat templates, as --template-kwargs.thinking true; both models' get them"""
    privileged: Literal["answer", "solution"] | None = None
    """show the teacher, not the student, the reference answer or the worked solution"""
    privileged_when: Literal["always", "unsolved"] = "always"
    """at every problem, or only where all attempts without it have failed"""
    spelled: Literal["student", "product"] = "student"
    """tokens of the student that the teacher spells with several of its own: only the student writes them, or the
    teacher proposes them too, with the product of its probabilities along the spelling (then without drafts)"""

    soft_targets: Annotated[int | None, whole(1, 1000)] = None
    """keep, for every token, so many of the likeliest ids of each model with both models' log-probabilities: what a
    distillation trains on (ownwords export --soft-targets); the plan tells the bytes"""

    seed: Seed = 0
    """the same seed makes the same traces, whatever the batch and however often the run was interrupted; in 16 bits
    rounding depends on the batch, and may decide otherwise"""
    batch: Annotated[int | Literal["auto"], whole(1, word="auto")] = "auto"
    """the most attempts to decode together; auto for as many as memory holds, 256 at most"""
    draft_length: Annotated[int | Literal["auto"], whole(0, 64, "auto")] = "auto"
    """drafts of the student that the teacher reads in one pass; 0 for none, auto for whatever is fastest; traces do not
    depend on it"""
    check_workers: Processes = 1
    """processes that check answers"""
    check_deadline: Deadline = 5.0
    """an answer that takes the checker longer gets the verdict timeout; seconds"""
    answer_from: Literal["boxed", "any"] = "boxed"
    """where an answer is looked for: the last \\boxed{}, or, in a text without one, any way of stating it"""
    judge_url: str | None = None
    """an OpenAI-compatible endpoint whose model is asked where the rules come to no verdict (questions and answers are
    sent there), as http://localhost:8000/v1"""
    judge_model: str | None = None
    """the name that the model has at --judge-url"""

    def __post_init__(self) -> None:
        check(self)
        if self.until_correct and self.until_correct > self.max_attempts:
            raise ValueError(
                f"until-correct is {self.until_correct}, which max-attempts {self.max_attempts} leaves no room for"
            )
        if (self.judge_url is None) != (self.judge_model is None):
            raise ValueError("judge-url and judge-model belong together: give both, or neither")

    def resolved(self) -> GenerateConfig:
        """The same with the preset's values filled in and everything checked that can be without the models."""
        preset = PRESETS[self.preset]
        gate = str(parse_gate(self.gate or preset["gate"]))
        if self.teacher == ALONE and gate != "never":
            raise ValueError(f"--teacher none leaves the student alone, the gate is {gate}: expected --gate never")
        return replace(
            self,
            gate=gate,
            proposals=self.proposals or preset["proposals"],
            teacher_sampling=_filled(self.teacher_sampling, preset["sampling"]),
            student_sampling=_filled(self.student_sampling, preset["sampling"]),
            max_fallback=1.0 if gate == "never" else self.max_fallback,
            template_kwargs=read_variables(self.template_kwargs),
        )

    def flat(self) -> dict[str, Any]:
        """Dotted keys with JSON values, for the store."""
        flat: dict[str, Any] = {}
        for key, value in asdict(self).items():
            for name, inner in value.items() if isinstance(value, dict) else [("", value)]:
                flat[f"{key}.{name}" if name else key] = (
                    str(inner) if isinstance(inner, Path) or inner == math.inf else inner
                )
        return flat


SCOPE = {
    "run", "limit", "attempts", "until_correct", "max_attempts", "batch", "draft_length", "teacher_device",
    "student_device", "check_workers", "check_deadline", "preset", "skip_bad_rows", "check_overlap", "judge_url",
    "privileged", "privileged_when",
}  # fmt: skip
"""Keys that say how much is made, where and how fast, not what a trace looks like: they may change between starts."""


def _filled(options: SamplingOptions, preset: Sampling) -> SamplingOptions:
    given = {name: value for name, value in asdict(options).items() if value is not None}
    sampling = replace(preset, **given)  # checks the ranges
    return SamplingOptions(**asdict(sampling))
