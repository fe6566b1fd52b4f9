"""`ownwords train` and `ownwords merge`."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from ownwords.cli.app import INTERRUPTED
from ownwords.cli.console import Console
from ownwords.cli.flags import command
from ownwords.cli.progress import LINE_EVERY
from ownwords.training.config import TrainConfig

if TYPE_CHECKING:
    from ownwords.training.log import Progress as State
    from ownwords.training.prepared import Prepared


@command
def train(config: TrainConfig, *, dry_run: bool = False) -> int:
    """Fine-tune a student on traces: ids as they were decoded, loss on the completion without its forced tokens.

    Starting the same command again goes on from the last checkpoint. Several GPUs: accelerate launch -m ownwords train.

    Parameters
    ----------
    dry_run
        Load and check everything, print the plan, and train nothing.
    """
    _need("trl", "peft", "accelerate", "datasets", extra="train")
    _need(*config.machine.report_to)
    console = Console()
    with console.status("loading data and student"):
        from accelerate import PartialState

        from ownwords.training.fine_tune import prepare
        from ownwords.training.fine_tune import train as run

        _quieten()
        prepared = prepare(config)
    console.quiet = not PartialState().is_main_process
    console.print(plan_table(prepared))
    if dry_run:
        return 0
    with live_progress(console) as tell:
        complete = run(prepared, tell)
    if not complete:
        console.print(f"interrupted: a checkpoint is in {config.out}; the same command goes on")
        return INTERRUPTED
    console.print(f"written: {config.out}, for transformers to load; README.md says how it was made")
    return 0


@command
def merge(adapter: Path, *, out: Path) -> None:
    """Make a model of a LoRA adapter and its student.

    Parameters
    ----------
    adapter
        Output directory of a training with --lora.rank.
    out
        Directory to write the model to.
    """
    _need("peft", extra="train")
    console = Console()
    with console.status("merging"):
        from ownwords.training.merge import merge as run

        _quieten()
        run(adapter, out)
    console.print(f"written: {out}")


def plan_table(prepared: Prepared) -> Table:
    config, data = prepared.config, prepared.data
    table = Table(title="plan", show_header=False, title_justify="left")
    size = sum(p.numel() for p in prepared.student.model.parameters())
    how = f"LoRA of rank {config.lora.rank}" if config.lora.rank else "all weights"
    recipe = config.recipe
    epochs = prepared.steps / prepared.steps_per_epoch if recipe.epochs is None else recipe.epochs
    rows = [
        ("student", f"{config.student} ({size / 1e6:.1f} M weights), {how}, {config.machine.precision}"),
        *(("data", f"{said}: {used} of {read} traces") for said, read, used in data.sets),
        ("traces", f"{len(data.rows)} at {data.problems} problems, longest {data.longest} tokens"),
        ("tokens", f"{data.tokens:,}, of which {data.loss_tokens:,} with loss"),
        *(("no loss", f"{tokens:,} tokens {reason}") for reason, tokens in data.masked.items()),
    ]
    if data.prefixes:
        rows.append(("prefixes", f"{data.prefixes} traces cut to {config.prefix.tokens} tokens, the others whole"))
    if data.too_long or data.without_loss:
        rows.append(("dropped", f"{data.too_long} traces too long, {data.without_loss} without a token with loss"))
    if config.weights:
        rows.append(("weights", f"column {config.weights}"))
    rows += [
        ("steps", f"{prepared.steps}: {epochs:.3g} epochs of {prepared.steps_per_epoch}, batch {recipe.batch}"),
        (
            "rate",
            f"{recipe.learning_rate:g}, {recipe.schedule}, warm-up {recipe.warmup:g}, "
            f"weight decay {recipe.weight_decay:g}, betas {' '.join(f'{beta:g}' for beta in recipe.betas or ())}",
        ),
        ("out", f"{config.out}, data digest {data.digest}, seed {config.seed}"),
    ]
    for row in rows:
        table.add_row(*row)
    return table


@contextmanager
def live_progress(console: Console) -> Iterator[Callable[[State], None]]:
    """Gives the function that a training tells its state to: a bar, or plain lines where there is no terminal."""
    started, first, last = time.monotonic(), [0], [float("-inf")]

    def describe(state: State) -> str:
        seconds = max(time.monotonic() - started, 1e-9)
        done = state.step - first[0]
        eta = timedelta(seconds=round(seconds / done * (state.steps - state.step)))
        return f"epoch {state.epoch:.2f} · loss {state.loss:.4f} · {state.tokens / seconds:,.0f} tokens/s · ETA {eta}"

    def begin(state: State) -> None:
        if last[0] == float("-inf"):
            first[0] = state.step - 1

    if not console.is_terminal:

        def line(state: State) -> None:
            begin(state)
            if time.monotonic() - last[0] >= LINE_EVERY or state.step == state.steps:
                last[0] = time.monotonic()
                console.print(f"step {state.step}/{state.steps} · {describe(state)}")

        yield line
        return
    columns = (BarColumn(), TextColumn("step {task.completed:.0f}/{task.total:.0f} · {task.description}"))
    with Progress(*columns, console=console, refresh_per_second=4) as bar:
        task = bar.add_task("starting", total=None)

        def update(state: State) -> None:
            begin(state)
            last[0] = time.monotonic()
            bar.update(task, completed=state.step, total=state.steps, description=describe(state))

        yield update


def _quieten() -> None:
    """What libraries say among themselves: bars of their own, and names that one has changed and the other not yet."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)


def _need(*modules: str, extra: str | None = None) -> None:
    for name in modules:
        if find_spec(name) is None:
            how = f"pip install 'ownwords[{extra}]'" if extra else f"pip install {name}"
            raise ValueError(f"{name} is not installed, which this command needs: {how}")
