"""What a person can set for `ownwords generate`, with presets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from ownwords.chat.settings import read_variables
from ownwords.configuration import FREE, Config, FieldError
from ownwords.engines.options import LocalOptions
from ownwords.generation.options import Budget, Checking, Prompting, RuleOptions, SamplingOptions, Source
from ownwords.numbers import Seed, check, whole
from ownwords.rsd.gates import parse_gate
from ownwords.rsd.shaping import Sampling

PRESETS: dict[str, dict[str, Any]] = {
    # The paper as written (arXiv 2509.22230).
    "paper-text": dict(gate="threshold:0.01", proposals=1, sampling=Sampling(0.7, 0.95, 0)),
    # What the authors' script does: top-20 pools at temperature 1, five draws, and a gate that also wants the
    # proposal among the student's 20 likeliest, which is stricter than the threshold alone.
    "paper-script": dict(gate="threshold:0.01+rank:20", proposals=5, sampling=Sampling(1.0, 1.0, 20)),
}
PRESETS["default"] = PRESETS["paper-text"]

ALONE = "none"
"""the teacher's name where there is none"""
LOCAL = "local"
"""the engine of this machine"""


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(Config):
    """Everything that decides a run."""

    run: Annotated[Path, FREE]
    """Run directory; an existing run continues."""
    source: Source = Source()

    teacher: str = "world"
    """Teacher: a model folder, a .gguf file, a hub name, world (ships with the package), or none (with the gate
    never)."""
    student: str = "world"
    """Student: a model folder, a .gguf file, a hub name, or world (ships with the package)."""
    rules: RuleOptions = RuleOptions()
    budget: Budget = Budget()
    prompting: Prompting = field(default_factory=Prompting)
    soft_targets: Annotated[int | None, whole(1, 1000)] = None
    """Likeliest ids to keep per token and model, with both models' log-probabilities, for distillation."""
    seed: Seed = 0
    """Seed of all draws; the same seed makes the same traces at any batch size (but for rounding in 16 bits)."""
    checking: Checking = Checking()

    engine: str = LOCAL
    """Engine that runs the models: local, or the name of an installed one."""
    engine_options: dict[str, Any] = field(default_factory=dict)
    """Options of another engine than local, such as --engine-options.url http://localhost:8000."""
    local: LocalOptions = LocalOptions()

    def __post_init__(self) -> None:
        check(self)

    def resolved(self) -> GenerateConfig:
        """The same with the preset's values filled in and everything checked that can be without the models."""
        rules, preset = self.rules, PRESETS[self.rules.preset]
        gate = str(parse_gate(rules.gate or preset["gate"]))
        if self.teacher == ALONE and gate != "never":
            raise FieldError(
                "teacher", "{teacher} none leaves the student alone, the gate is {}: expected {gate} never", gate
            )
        return self.changed(
            gate=gate,
            proposals=rules.proposals or preset["proposals"],
            teacher_sampling=_filled(rules.teacher_sampling, preset["sampling"]),
            student_sampling=_filled(rules.student_sampling, preset["sampling"]),
            max_fallback=1.0 if gate == "never" else self.budget.max_fallback,
            template_kwargs=read_variables(self.prompting.template_kwargs),
        )

    def flat(self) -> dict[str, Any]:
        """Flat names with JSON values, for the record of a run, which names another engine than the local one only."""
        flat = super().flat()
        if self.engine == LOCAL:
            del flat["engine"]
        return flat


def _filled(options: SamplingOptions, preset: Sampling) -> SamplingOptions:
    given = {name: value for name, value in asdict(options).items() if value is not None}
    sampling = replace(preset, **given)  # checks the ranges
    return SamplingOptions(**asdict(sampling))
