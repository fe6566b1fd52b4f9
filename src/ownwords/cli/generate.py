"""`ownwords generate`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ownwords.cli.app import INTERRUPTED
from ownwords.cli.console import Console, loading
from ownwords.cli.flags import command
from ownwords.generation.config import GenerateConfig


@command
def generate(
    config: GenerateConfig,
    *,
    dry_run: bool = False,
    show_prompts: bool = False,
    watch: bool = False,
    push_to_hub: str | None = None,
    licence: Annotated[str, Parameter(name="--license")] = "unknown",
) -> int:
    """Make tailored traces: the teacher proposes each token, the student accepts it or writes its own.

    Every attempt is checked and kept in the run directory; starting the same command again makes what is missing.
    The controls of a study are gates too: --gate always is the plain teacher, --gate never the student alone.

    Parameters
    ----------
    dry_run
        Load and check everything, print the plan, and make nothing.
    show_prompts
        Print the plan and both models' first prompt token by token, and make nothing.
    watch
        Show one attempt after the other as it grows, coloured by the writer of each token (without a terminal: as it
        ends).
    push_to_hub
        Data set of the Hugging Face hub, as NAME/DATA, for the finished run's export (a new one is private, one with an
        export is refused).
    licence
        Licence that the data card states for the traces, as the hub spells it (apache-2.0, cc-by-4.0, other, ...).
    """
    console = Console()
    if push_to_hub:
        from ownwords.sharing.upload import check_hub

        check_hub(push_to_hub, overwrite=False)
    with loading(console, "loading models"):
        from ownwords.cli.look import decoder
        from ownwords.cli.progress import live_progress
        from ownwords.cli.tables import plan_table, prompts_table, summary_table
        from ownwords.cli.watch import Watch
        from ownwords.generation.prepare import prepare
        from ownwords.generation.run import generate as run
        from ownwords.traces.store import Store
        from ownwords.traces.summary import summarise

        prepared = prepare(config)
    console.print(plan_table(prepared))
    if show_prompts:
        console.print(prompts_table(prepared))
    if dry_run or show_prompts:
        return 0
    seen = Watch(decoder(prepared.job.writer.student.tokenizer)) if watch else None
    with live_progress(console, seen) as tell:
        complete = run(prepared, tell)
    with Store.read(config.run) as store:
        console.print(summary_table({str(config.run): summarise(store.traces())}))
        if not complete:
            console.print(f"interrupted: {len(store)} attempts are kept in {config.run}; the same command goes on")
            return INTERRUPTED
    if push_to_hub:
        from ownwords.cli.look import push_run
        from ownwords.sharing.run_export import export_run

        out = config.run / "exports"
        export_run(config.run, out, overwrite=True, title=push_to_hub, licence=licence)
        push_run(console, out, push_to_hub)
    console.print(f"look at a trace: ownwords show {config.run}; write Parquet: ownwords export {config.run}")
    return 0
