"""`ownwords pilot`: what to run before spending days of a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from rich.table import Table

from ownwords.cli.app import INTERRUPTED
from ownwords.cli.console import Console, loading
from ownwords.cli.flags import command
from ownwords.generation.config import GenerateConfig
from ownwords.numbers import whole

if TYPE_CHECKING:
    from ownwords.generation.forecast import Interval
    from ownwords.generation.pilot import Pilot


@command
def pilot(
    config: GenerateConfig,
    *,
    gates: tuple[str, ...] = (
        "threshold:0.03",
        "threshold:0.01",
        "threshold:0.003",
    ),
    size: Annotated[int, whole(2)] = 20,
) -> int:
    """Try a few gates on a few problems, and say what the whole run will be like.

    All other options are those of `generate`, and mean the run that is planned. Every figure comes with an interval
    that the run's own is meant to lie in; solved rate, length and tokens/s together in 95 % of cases.

    Parameters
    ----------
    gates
        Gates to try, in place of --gate.
    size
        Problems to try, drawn at random from those of the run.
    """
    console = Console()
    with loading(console, "loading models"):
        from ownwords.cli.progress import live_progress
        from ownwords.generation.pilot import run_pilot
    if config.rules.gate:
        raise ValueError(f"--gate {config.rules.gate} with a pilot: name what to try with --gates")
    with live_progress(console) as tell:
        made = run_pilot(config, gates, size, lambda gate, progress: tell(progress))
    if made is None:
        console.print(f"interrupted: what was made is in {config.run}; a pilot is timed and has to start anew")
        return INTERRUPTED
    console.print(pilot_table(made))
    console.print(_advice(made), markup=False)
    return 0


def pilot_table(pilot: Pilot) -> Table:
    """Measured and predicted, a column per gate."""
    whole = pilot.prepared
    title = f"measured on {len(pilot.arms[0].outcomes)} problems, predicted for {len(whole.problems)}"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for arm in pilot.arms:
        table.add_column(arm.gate, justify="right")

    def row(label: str, cells: list[str]) -> None:
        table.add_row(label, *cells)

    row("attempts made", [f"{s.attempts}" for s in pilot.summaries])
    row("acceptance", [f"{arm.acceptance:.2%}" for arm in pilot.arms])
    row("mean pass mass", [f"{arm.pass_mass:.4f}" for arm in pilot.arms])
    row("attempts verified correct", [f"{s.verified:.1%}" for s in pilot.summaries])
    row("mean student surprisal, nats", [f"{s.mean_surprisal:.3f}" for s in pilot.summaries])
    if found := [one.described for one in pilot.overlaps if one]:
        for label in found[0]:
            row(label, [cells[label] for cells in found])
    table.add_section()
    row("solved problems", [_interval(f.solved, "{:.0%}") for f in pilot.forecasts])
    row("mean length, tokens", [_interval(f.length, "{:,.0f}") for f in pilot.forecasts])
    row("tokens/s", [_interval(f.speed, "{:,.0f}") for f in pilot.forecasts])
    row("hours", [_interval(f.hours, "{:,.2g}") for f in pilot.forecasts])
    return table


def _interval(interval: Interval, form: str) -> str:
    return f"{form.format(interval.value)} ({form.format(interval.low)} to {form.format(interval.high)})"


def _advice(pilot: Pilot) -> str:
    arm = next(arm for arm in pilot.arms if arm.gate == pilot.suggested)
    lines = [
        f"suggested: --gate {arm.gate}, the strictest whose solved rate is within one standard error of the best; "
        f"it refuses {1 - arm.pass_mass:.2%} of what the teacher proposes (quantile {arm.pass_mass:.4f})",
        f"memory: {pilot.peak_bytes / 2**30:.2f} GiB at the most, {pilot.slots} attempts at once",
        *pilot.fit,
        *(f"{name}: {remark}" for name, remark in pilot.prepared.remarks.items()),
    ]
    beyond = max(f.extrapolated for f in pilot.forecasts)
    if beyond > 1.05:
        lines.append(
            f"the run has {beyond:.1f} times as many attempts at once as the pilot, so its speed is extrapolated"
        )
    if pilot.contention > 1.1:
        lines.append(
            f"this machine is shared: {pilot.contention:.1f} processes per core wanted to run, so the run may be that "
            "much faster or slower"
        )
    return "\n".join(lines)
