"""`ownwords demo`: the whole of it on the small world, offline, in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ownwords.cli.app import INTERRUPTED
from ownwords.cli.console import Console, loading
from ownwords.cli.flags import command
from ownwords.numbers import Count, Seed, whole

ARMS = {"rsd": "threshold:0.01", "teacher": "always", "student": "never"}
"""What the demo compares: a folder of the run directory, and its gate."""


Attempts = Annotated[int, whole(1, 1000)]


@command
def demo(
    *,
    run: Path = Path("runs/demo"),
    problems: Count = 100,
    attempts: Attempts = 4,
    seed: Seed = 0,
) -> int:
    """Make RSD traces with the small teacher and student, and both controls, on problems that neither has seen.

    Parameters
    ----------
    run
        Directory for the three runs and the report; an interrupted demo continues.
    problems
        Problems to attempt.
    attempts
        Attempts at each problem with each gate.
    seed
        Seed of the problems and of all draws.
    """
    console = Console()
    with loading(console, "loading models"):
        from ownwords.cli.look import show
        from ownwords.cli.progress import live_progress
        from ownwords.cli.report import NoPictures, report_writer
        from ownwords.cli.tables import plan_table, summary_table
        from ownwords.generation.config import GenerateConfig
        from ownwords.generation.prepare import prepare
        from ownwords.generation.run import generate
        from ownwords.io.paths import check_output
        from ownwords.sharing.run_export import export_run
        from ownwords.traces.store import Store
        from ownwords.traces.summary import summarise
    page = run / "report.html"
    check_output(page, overwrite=(run / "rsd").is_dir(), field="run")  # of an earlier demo
    summaries = {}
    for arm, gate in ARMS.items():
        config = GenerateConfig.of(
            run=run / arm, problems=f"world:size={problems},seed={seed}", gate=gate, attempts=attempts, seed=seed
        )
        prepared = prepare(config)
        console.print(plan_table(prepared) if arm == "rsd" else f"\nnow the same problems with --gate {gate}")
        with live_progress(console) as tell:
            if not generate(prepared, tell):
                console.print(f"interrupted; the same command goes on with {run}")
                return INTERRUPTED
        with Store.read(config.run) as store:
            summaries[arm] = summarise(store.traces())
    console.print(summary_table(summaries))
    for path in export_run(run / "rsd", run / "rsd" / "exports", overwrite=True).values():
        console.print(f"written: {path}")
    console.print("\na trace of this run:\n")
    show(run / "rsd", problem=_first_solved(run / "rsd"))
    try:
        with console.status("writing the report"):
            report_writer()([run / arm for arm in ARMS], page, overwrite=True)
        console.print(f"\nthe report, for a browser: {page}", soft_wrap=True)
    except NoPictures as error:
        runs = " ".join(str(run / arm) for arm in ARMS)
        # not markup: the name of the extra stands in brackets
        console.print(f"\nno report: {error}, then ownwords report {runs}", soft_wrap=True)
    return 0


def _first_solved(run: Path) -> str | None:
    from ownwords.traces.store import Store

    with Store.read(run) as store:
        return next((i for i, verdicts in store.verdicts().items() if "correct" in verdicts.values()), None)
