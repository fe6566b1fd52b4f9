"""`ownwords eval`: an evaluation is a run in which one model writes alone.

The run directory, its resumption and its interruption are those of `ownwords generate`, so `ownwords show` and
`ownwords export` read it as well.
"""

from __future__ import annotations

from ownwords.chat.prompts import make_prompts
from ownwords.engines.engine import Job, Solo
from ownwords.engines.options import LocalOptions
from ownwords.evaluation.benchmarks import read_benchmark
from ownwords.evaluation.config import EvalConfig
from ownwords.generation.begun import as_begun
from ownwords.generation.config import LOCAL
from ownwords.generation.plan import Owed
from ownwords.generation.prepare import Prepared, longest_of, opened, probe
from ownwords.io.paths import check_folder
from ownwords.models.load import Loaded
from ownwords.models.named import named
from ownwords.records.problem import Problem
from ownwords.rsd.shaping import Sampling
from ownwords.traces.store import Store


def prepare(
    config: EvalConfig, problems: list[Problem] | None = None, loaded: Loaded | None = None
) -> Prepared[EvalConfig]:
    """Load and check everything; `ownwords.generation.run.generate` then makes the answers that the run directory
    lacks. `problems` and the model may be at hand already.

    Raises ValueError for whatever would stop the run, before the first token.
    """
    check_folder(config.run, field="run")
    fresh, remarks = _fresh(config, problems or _read(config))
    probe(config.checking)
    model, prompting, budget = named(config.model, "model", loaded), config.prompting, config.budget
    prompts = make_prompts(
        fresh, model.tokenizer, model.tokenizer, (prompting.system, prompting.system), prompting.opening,
        prompting.think, variables=prompting.template_kwargs,
    )  # fmt: skip
    writer = Solo(model, Sampling(**vars(config.shaped)))
    longest = longest_of(prompts, budget.max_tokens, alone=True)
    job = Job(
        writer, config.seed, longest, config.answers * len(fresh), repetition_window=budget.repetition_window
    )  # fmt: skip
    here = config.local
    options = as_begun(
        LocalOptions(student_device=here.model_device, student_dtype=here.model_dtype, batch=here.batch), config.run
    )
    return opened(config, fresh, prompts, Owed(config.answers), job, remarks, LOCAL, options)


def _read(config: EvalConfig) -> list[Problem]:
    return read_benchmark(
        config.source.benchmark,
        limit=config.source.limit,
        seed=config.seed,
        question_field=config.source.question_field,
        answer_field=config.source.answer_field,
    )


def _fresh(config: EvalConfig, problems: list[Problem]) -> tuple[list[Problem], dict[str, str]]:
    """The problems that the run to be excluded lacks, and what is to be said of the others."""
    exclude = config.source.exclude
    if exclude is None:
        return problems, {}
    with Store.read(exclude) as store:
        seen = store.problems().keys()
    fresh = [p for p in problems if p.id not in seen]
    if not fresh:
        raise ValueError(f"{exclude} has all problems of {config.source.benchmark}: expected a run at other problems")
    left_out = len(problems) - len(fresh)
    return fresh, {"left out": f"{left_out} problems that {exclude} has"} if left_out else {}
