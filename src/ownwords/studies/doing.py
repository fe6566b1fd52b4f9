"""How a step is done: by the calls of the Python interface, each in a folder of its own, which a killed start finds
again. What it cost is written last, as `done.json`: a step with that file is done.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from ownwords.api import examine, learn, suit, tailor
from ownwords.api.inputs import configured
from ownwords.evaluation.config import EvalConfig
from ownwords.generation.config import GenerateConfig
from ownwords.io.files import write_file
from ownwords.models.load import load
from ownwords.studies.graph import Step
from ownwords.studies.plan_of import typed
from ownwords.training.config import DistillConfig, TrainConfig
from ownwords.training.dataset import build

DONE = "done.json"
IDS = "ids.txt"
Figures = dict[str, float]
"""what a step cost and gave: `seconds`, `tokens`, ..."""


def folder_of(step: Step, steps: Path) -> Path:
    return steps / step.name


def figures_of(step: Step, steps: Path) -> Figures | None:
    """What a step cost; None if it is not done. Raises ValueError if a model that it names cannot be read."""
    path = folder_of(step, steps) / DONE  # raises ValueError for a step without a name
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return dict(found["figures"]) if isinstance(found, dict) and isinstance(found.get("figures"), dict) else None


def do(step: Step, steps: Path) -> Figures:
    """Do a step whose needs are done. Raises ValueError in one line for what cannot be; KeyboardInterrupt if it was
    interrupted: what it has made is kept."""
    if (known := figures_of(step, steps)) is not None:
        return known
    here = folder_of(step, steps)
    here.mkdir(parents=True, exist_ok=True)
    before = _seconds(here)
    started = time.monotonic()
    try:
        figures = HOW[step.kind](step, here, [folder_of(one, steps) for one in step.after])
    finally:  # a start that was interrupted has cost something, too
        spent = before + time.monotonic() - started
        write_file(here / "seconds.json", json.dumps(spent))
    figures |= {"seconds": spent}
    made_of = {"kind": step.kind, "options": step.options, "after": [one.name for one in step.after]}
    write_file(here / DONE, json.dumps({"figures": figures, "made_of": made_of}, indent=2) + "\n")
    return figures


def _seconds(here: Path) -> float:
    try:
        return float(json.loads((here / "seconds.json").read_text()))
    except (OSError, ValueError, TypeError):
        return 0.0


def _traces(step: Step, here: Path, _: list[Path]) -> Figures:
    if (given := step.options.get("traces")) is not None:
        path = Path(given)
        if not path.exists() and not given.startswith("hf:"):
            raise ValueError(f"{given}: no such file or folder, expected traces")
        write_file(here / "where", str(path.absolute()) if path.exists() else given)
        return {}
    options = typed(GenerateConfig, step.options)
    teacher, student = options.pop("teacher", "world"), options.pop("student", "world")
    run = tailor.generate(
        None if teacher == "none" else teacher, student, options.pop("problems", "world"), run=here / "run",
        progress=False, **options,
    )  # fmt: skip
    summary = run.summary()
    return {
        "tokens": summary.teacher_tokens + summary.student_tokens + summary.forced_tokens,
        "attempts": summary.attempts,
        "solved": summary.solved,
        "problems": summary.problems,
        "implausible": summary.implausible,
        "surprisal": summary.mean_surprisal,
    }


def _source(folder: Path) -> str:
    """What a training reads of the step that made its traces, and `ownwords score` of a set."""
    if (where := folder / "where").is_file():
        return where.read_text()
    return str(folder / "run" if (folder / "run").exists() else folder / "out")


def _shared(step: Step, here: Path, sets: list[Path]) -> Figures:
    student = load(step.options["student"], "student", "cpu", "float32")
    solved = []
    for place, rule in step.options["sets"]:
        config = TrainConfig.of(data=[_source(sets[place])], out=here, student=step.options["student"], **rule)
        solved.append({row.problem_id for row in build(config.resolved(), student).rows})
    ids = sorted(set.intersection(*solved))
    if not ids:
        raise ValueError("no problem was solved by all arms that share them: give more problems or attempts")
    write_file(here / IDS, "\n".join(ids) + "\n")
    return {"problems": len(ids)}


def _scores(step: Step, here: Path, sets: list[Path]) -> Figures:
    options = dict(step.options)
    scores = suit.score(_source(sets[0]), options.pop("student"), out=here / "out", progress=False, **options)
    return {"traces": scores.arrow().num_rows}


def _choice(step: Step, here: Path, sets: list[Path]) -> Figures:
    chosen = suit.select(sets[0] / "out", out=here / "out", overwrite=True, **step.options)
    return {"traces": chosen.summary["chosen"]}


def _training(step: Step, here: Path, needs: list[Path]) -> Figures:
    options = typed(TrainConfig, step.options)
    if len(needs) > 1:
        options["problems"] = needs[1] / IDS
    trained = learn.train(_source(needs[0]), options.pop("student"), out=here / "student", progress=False, **options)
    # checkpoints are many times the student, and it has its last weights
    shutil.rmtree(here / "student" / "checkpoints", ignore_errors=True)
    record = trained.record
    passes = record["steps"] * record["config"]["batch"] / record["rows"]
    return {
        "steps": record["steps"],
        "traces": record["rows"],
        "tokens": round(passes * record["loss_tokens"]),
        "loss": trained.losses[-1],
    }


def _distilling(step: Step, here: Path, _: list[Path]) -> Figures:
    from ownwords.training.on_policy import distill  # TRL, which takes seconds to import

    return distill(configured(DistillConfig, out=here / "student", **typed(DistillConfig, step.options)))


def _answers(step: Step, here: Path, needs: list[Path]) -> Figures:
    options = typed(EvalConfig, step.options)
    model = options.pop("model", None) or needs[0] / "student"
    found = examine.evaluate(model, options.pop("benchmark", "world"), run=here / "run", progress=False, **options)
    name, score = next(iter(found.scores.items()))
    summary = found.run.summary()
    return {"tokens": summary.student_tokens + summary.forced_tokens, name: score.value}


HOW: dict[str, Callable[[Step, Path, list[Path]], Figures]] = {
    "traces": _traces, "shared": _shared, "scores": _scores, "choice": _choice, "training": _training,
    "distilling": _distilling, "answers": _answers,
}  # fmt: skip
