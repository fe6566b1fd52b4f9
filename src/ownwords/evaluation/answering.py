"""`ownwords eval`: an evaluation is a run in which one model writes alone.

The run directory, its resumption and its interruption are those of `ownwords generate`, so `ownwords show` and
`ownwords export` read it as well.
"""

from __future__ import annotations

from ownwords.evaluation.benchmarks import read_benchmark
from ownwords.evaluation.config import EvalConfig
from ownwords.generation.begun import as_begun
from ownwords.generation.run import Prepared
from ownwords.generation.run import prepare as prepare_run
from ownwords.models.load import load
from ownwords.traces.store import Store


def prepare(config: EvalConfig) -> Prepared:
    """Load and check everything; `ownwords.generation.run.generate` then makes the answers that the run directory
    lacks. Raises ValueError for whatever would stop the run, before the first token."""
    problems = read_benchmark(
        config.source.benchmark,
        limit=config.source.limit,
        seed=config.seed,
        question_field=config.source.question_field,
        answer_field=config.source.answer_field,
    )
    seen: set[str] = set()
    if config.source.exclude:
        with Store.read(config.source.exclude) as store:
            seen = set(store.problems())
    fresh = [p for p in problems if p.id not in seen]
    if not fresh:
        raise ValueError(
            f"{config.source.exclude} has all problems of {config.source.benchmark}: expected a run at other problems"
        )
    generation = as_begun(config.generation())
    model = load(config.model, "model", config.local.model_device, generation.local.student_dtype)
    prepared = prepare_run(generation, problems=fresh, student=model)
    if left_out := len(problems) - len(fresh):
        prepared.remarks["left out"] = f"{left_out} problems that {config.source.exclude} has"
    return prepared
