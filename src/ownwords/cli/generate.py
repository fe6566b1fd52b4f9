"""`ownwords generate`."""

from __future__ import annotations

from rich.console import Console

from ownwords.cli.app import INTERRUPTED
from ownwords.generation.config import GenerateConfig


def generate(config: GenerateConfig, *, dry_run: bool = False, show_prompts: bool = False) -> int:
    """Make tailored traces: the teacher proposes each token, the student accepts it or writes its own.

    Every attempt is checked and kept in the run directory; starting the same command again makes what is missing.
    The controls of a study are gates too: --gate always is the plain teacher, --gate never the student alone.

    Parameters
    ----------
    dry_run
        Load and check everything, print the plan, and make nothing.
    show_prompts
        Likewise, and print what both models read before the first problem, token by token.
    """
    console = Console()
    with console.status("loading models"):
        from ownwords.cli.progress import live_progress
        from ownwords.cli.tables import plan_table, prompts_table, summary_table
        from ownwords.generation.run import generate as run
        from ownwords.generation.run import prepare
        from ownwords.traces.store import Store
        from ownwords.traces.summary import summarise

        prepared = prepare(config)
    console.print(plan_table(prepared))
    if show_prompts:
        console.print(prompts_table(prepared))
    if dry_run or show_prompts:
        return 0
    with live_progress(console) as tell:
        complete = run(prepared, tell)
    with Store.read(config.run) as store:
        console.print(summary_table({str(config.run): summarise(store.traces())}))
        if not complete:
            console.print(f"interrupted: {len(store)} attempts are kept in {config.run}; the same command goes on")
            return INTERRUPTED
    console.print(
        f"[bold]ownwords show {config.run}[/] looks at a trace, [bold]ownwords export {config.run}[/] writes Parquet"
    )
    return 0
