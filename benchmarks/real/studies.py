"""What is generated: a study is a file of problems, two models, and the sets of traces that are made of it.

Every set is what `ownwords generate` makes with the same options, which are printed; a run directory per set, so that
a start that was killed goes on. Beside a run directory lies NAME.times.jsonl: tokens and seconds of every start.
"""

from __future__ import annotations

import json
import shlex
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ownwords.generation.config import GenerateConfig
from ownwords.generation.pilot import run_pilot
from ownwords.generation.prepare import prepare
from ownwords.generation.progress import Progress
from ownwords.generation.run import generate

TOLD = 30.0
"""seconds between lines of progress"""


@dataclass(frozen=True)
class Study:
    """A file below the data folder, how many of its first problems, and the sets: name -> options of generate."""

    problems: str
    limit: int
    max_tokens: int
    small: bool = False
    """the small model with itself as teacher, in place of the pair"""
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)


PLAIN = {"teacher": {"gate": "always"}, "student": {"gate": "never", "teacher": "none"}}
# the small model writes no box, but "The answer is 18."
STATED = {"student": {**PLAIN["student"], "answer_from": "any"}}
STUDIES = {
    "gsm8k": Study("gsm8k/test.jsonl", 100, 400, sets={"rsd": {}, **PLAIN}),
    "math500": Study("math500/test.jsonl", 30, 512, sets={"rsd": {}, **PLAIN}),
    "small-gsm8k": Study(
        "gsm8k/test.jsonl", 60, 320, True, {"rsd": {"privileged": "solution", "answer_from": "any"}, **STATED}
    ),
    "small-svamp": Study(  # has answers and no worked solutions
        "small_sets/svamp_test.jsonl", 60, 320, True, {"rsd": {"privileged": "answer", "answer_from": "any"}, **STATED}
    ),
}
SETS = {"rsd": "RSD", "teacher": "plain teacher", "student": "student alone"}
"""name of a set -> what it is called on the page"""


def settings(name: str, made: str, given: Any) -> GenerateConfig:
    """The options of one set of a study; `given`: those of the command line."""
    study = STUDIES[name]
    models = (given.small, given.small) if study.small else (given.teacher, given.student)
    options = dict(
        run=given.runs / name / made, problems=str(given.data / study.problems), limit=given.problems or study.limit,
        teacher=models[0], student=models[1], teacher_dtype=given.dtype, student_dtype=given.dtype, attempts=1,
        max_tokens=given.max_tokens or study.max_tokens, batch=given.batch,
    )  # fmt: skip
    return GenerateConfig.of(**{**options, **study.sets[made]})


def command(config: GenerateConfig) -> str:
    """How a person makes the same."""
    plain = GenerateConfig.of(run=config.run).flat()
    options = [
        f"--{key.replace('_', '-')} {shlex.quote(str(value))}"
        for key, value in config.flat().items()
        if value is not None and (key == "run" or value != plain[key])
    ]
    return " ".join(["ownwords generate", *options])


def make(config: GenerateConfig) -> bool:
    """Make what the run directory lacks; False if it was interrupted."""
    print(command(config), flush=True)
    prepared = prepare(config)
    began: list[tuple[float, int]] = []
    last = [time.monotonic()]

    def tell(progress: Progress) -> None:
        now = time.monotonic()
        began[1:] = [(now, progress.tokens)] if began else []
        began[:1] = began[:1] or [(now, progress.tokens)]
        if now - last[0] > TOLD:
            last[0] = now
            print(f"  {progress.made} made, {progress.left} left, {progress.tokens} tokens", flush=True)

    complete = generate(prepared, tell)
    if len(began) == 2 and began[1][1]:
        (start, _), (end, tokens) = began
        line = {"tokens": tokens, "seconds": round(end - start, 1), "threads": torch.get_num_threads()}
        with times(config.run).open("a") as file:
            file.write(json.dumps(line) + "\n")
    return complete


def times(run: Path) -> Path:
    """Where the speed of each start at a run stands."""
    return run.with_name(f"{run.name}.times.jsonl")


def pilot(name: str, given: Any) -> bool:
    """`ownwords pilot` of the study's RSD set with its gate; a pilot is timed, and is made anew if it was killed."""
    config = settings(name, "rsd", given).changed(run=given.runs / name / "pilot")
    gate = config.resolved().gate
    if (config.run / "pilot.json").is_file():
        return True
    shutil.rmtree(config.run, ignore_errors=True)
    print(command(config).replace("generate", "pilot", 1) + f" --gates {gate} --size {given.size}", flush=True)
    return run_pilot(config, (gate,), given.size, lambda gate, progress: None) is not None
