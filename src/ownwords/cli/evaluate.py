"""`ownwords eval`, `ownwords compare` and `ownwords check-references`: how good a model is, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ownwords.cli.app import INTERRUPTED
from ownwords.cli.console import Console, loading
from ownwords.cli.flags import command
from ownwords.evaluation.config import EvalConfig
from ownwords.numbers import CountOrNone, Processes

if TYPE_CHECKING:
    from ownwords.generation.prepare import Prepared


@command
def evaluate(
    config: EvalConfig,
    *,
    eval_results: Path | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> int:
    """Evaluate a model on a benchmark: avg@n, pass@k, maj@k and more, each with a 95 % interval.

    Every answer is kept in the run directory, with scores.json; starting the same command again makes what is missing.
    `ownwords compare` sets two such runs against each other.

    Parameters
    ----------
    eval_results
        File to write avg@n to as well, in the shape of the hub's .eval_results/*.yaml.
    overwrite
        Replace an existing file of --eval-results.
    dry_run
        Load and check everything, print the plan, and make nothing.
    """
    console = Console()
    with loading(console, "loading the model"):
        from ownwords.answers.checker import Checker
        from ownwords.cli.progress import live_progress
        from ownwords.cli.results import scores_table
        from ownwords.evaluation.answering import prepare
        from ownwords.evaluation.hub_results import check_eval_results, write_eval_results
        from ownwords.evaluation.results import score, write_scores
        from ownwords.generation.run import generate
        from ownwords.traces.store import Store

        if eval_results:
            check_eval_results(eval_results, config.source.benchmark, overwrite)
        prepared = prepare(config)
    console.print(_plan(prepared), markup=False)
    if dry_run:
        return 0
    with live_progress(console) as tell:
        complete = generate(prepared, tell)
    with Store.read(config.run) as store:
        if not complete:
            console.print(f"interrupted: {len(store)} answers are kept in {config.run}; the same command goes on")
            return INTERRUPTED
        with (
            console.status("scoring"),
            Checker(config.checking.check_workers, config.checking.check_deadline) as checker,
        ):
            scores = score(store, checker)
    console.print(scores_table(scores))
    console.print(f"written: {write_scores(config.run, scores)}")
    if eval_results:
        write_eval_results(eval_results, scores)
        console.print(f"written: {eval_results}")
    return 0


def _plan(prepared: Prepared[EvalConfig]) -> str:
    config, engine = prepared.config, prepared.engine.describe()
    sampling = config.shaped
    how = "greedy" if sampling.temperature == 0 else f"T {sampling.temperature:g}, top-p {sampling.top_p:g}"
    weights = f" ({engine.models['student']})" if engine.models else ""
    plan = (
        f"{config.model}{weights} on {config.source.benchmark}: "
        f"{len(prepared.problems)} problems, {config.answers} answers to each, {how}, "
        f"at most {config.budget.max_tokens} tokens, {engine.slots} answers at once"
    )
    return "\n".join([plan, *(f"{name}: {remark}" for name, remark in prepared.remarks.items())])


@command
def compare(before: Path, after: Path) -> None:
    """Compare two runs on the problems that both have, problem by problem.

    Differences are AFTER minus BEFORE, with a 95 % interval that resamples problems in pairs.

    Parameters
    ----------
    before
        Run directory of `ownwords eval` or `ownwords generate`.
    after
        Run directory of the same benchmark, to compare with it.
    """
    console = Console()
    with console.status("comparing"):
        from ownwords.answers.checker import Checker
        from ownwords.cli.results import comparison_table
        from ownwords.evaluation.compare import compare as compare_runs

        with Checker() as checker:
            comparison = compare_runs(before, after, checker)
    console.print(comparison_table(comparison, str(before), str(after)))
    for key, (old, new) in comparison.settings.items():
        console.print(f"{key}: {old} -> {new}")
    for run, count in zip((before, after), comparison.left_out, strict=True):
        if count:
            console.print(f"left out: {count} problems that only {run} has", style="yellow")


@command
def check_references(
    benchmark: str,
    *,
    question_field: str | None = None,
    answer_field: str | None = None,
    limit: CountOrNone = None,
    check_workers: Processes = 1,
) -> None:
    """Find the reference answers of a benchmark that are not judged correct when a model writes them.

    Each is tried as it stands and in other spellings: without its unit, as a fraction or a decimal, with thousands, in
    text commands, a list in another order, a letter with its option. What is refused would count against every model.

    Parameters
    ----------
    benchmark
        Benchmark, as `ownwords eval --benchmark` takes it.
    question_field
        Column of the question, if its name does not tell.
    answer_field
        Column of the reference answer, if its name does not tell.
    limit
        Take only the first N problems.
    check_workers
        Processes that check answers.
    """
    console = Console()
    with console.status("judging the references"):
        from ownwords.answers.checker import Checker
        from ownwords.evaluation.benchmarks import read_benchmark
        from ownwords.evaluation.references import judge_references
        from ownwords.traces.spans import printable

        problems = read_benchmark(benchmark, limit=limit, question_field=question_field, answer_field=answer_field)
        with Checker(check_workers) as checker:
            references = judge_references(problems, checker)
    for reference in references:
        for spelling, verdict in reference.refused.items():
            written = f", written {printable(spelling)}" if spelling != reference.problem.answer else ""
            line = f"{reference.problem.id} {verdict}: {printable(reference.problem.answer)}{written}"
            console.print(line, soft_wrap=True)
    right = sum(not reference.refused for reference in references)
    tried = sum(len(reference.verdicts) for reference in references)
    console.print(
        f"{right} of {len(references)} references are judged correct ({right / len(references):.1%}) in each of "
        f"{tried} spellings"
    )
