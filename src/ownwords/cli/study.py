"""`ownwords study`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from ownwords.cli.app import INTERRUPTED, USER_ERROR
from ownwords.cli.console import Console
from ownwords.cli.flags import command
from ownwords.io.files import folder, locked, plain_errors, write_file
from ownwords.numbers import Processes, real

if TYPE_CHECKING:
    from ownwords.studies.findings import Row
    from ownwords.studies.graph import Step
    from ownwords.studies.pool import State
    from ownwords.studies.study_file import Study

Points = Annotated[float | None, real("points", 0, 100, above=True)]


@command
def study(
    file: Path,
    *,
    out: Path | None = None,
    jobs: Processes = 1,
    quick: bool = False,
    set: list[str] | None = None,
    plan: Points = None,
    dry_run: bool = False,
) -> int:
    """Compare ways to make a student better: arms over training seeds and problems, with intervals.

    Every step is kept by what decides it: the same command goes on, and a changed arm re-does only what depends on it.
    Writes study.md, study.csv, study.svg and study.html.

    Parameters
    ----------
    file
        YAML file of the study: what the arms have in common, the arms, seeds and benchmarks (docs/studies.md).
    out
        Directory for the steps and what was found. [default: runs/study-NAME, by the file's name]
    jobs
        Steps to do at once, each in a process of its own.
    quick
        Do the small form of the study, which the file describes below `quick`.
    set
        Entry of the file to change, as train.steps=9; repeat it for several.
    plan
        Half-width of intervals in points: say how many seeds and problems it needs, by the variances found so far.
    dry_run
        Read and check everything, print the steps, and do nothing.
    """
    console = Console()
    with console.status("reading"):
        from ownwords.io.process import interruptible
        from ownwords.studies.graph import in_order
        from ownwords.studies.plan_of import cells_of
        from ownwords.studies.pool import run_steps
        from ownwords.studies.study_file import read_study

        said = read_study(file, set or [], quick)
        out = out or Path("runs") / f"study-{file.stem}{'-quick' if quick else ''}"
        try:
            cells = cells_of(said)
            steps = in_order(step for cell in cells for step in cell.answers)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
    place = out / "steps"
    if dry_run or plan is not None:
        console.print(_plan(said, steps, place))
        if plan is not None:
            console.print(_needed(_rows(said, cells, steps, place), plan), markup=False, soft_wrap=True)
        return 0
    names = [step.name for step in steps]  # raises ValueError for a model that cannot be read, before anything is made
    started = time.monotonic()
    with folder(place), plain_errors(out), locked(out, field="out"), interruptible() as asked:
        with _progress(console, jobs) as tell:
            state = run_steps(steps, place, jobs, tell, asked)
        rows = _rows(said, cells, steps, place, state.failed)
        if rows:
            _write(said, rows, out, file.stem)
            console.print(_table(said, rows), markup=False, soft_wrap=True)
    if state.left:
        console.print(
            f"interrupted: {len(state.done)} of {len(names)} steps are kept in {out}; the same command goes on"
        )
        return INTERRUPTED
    for why in dict.fromkeys(state.failed.values()):
        console.print(f"not done: {why}", style="yellow", markup=False)
    console.print(
        f"{len(steps)} steps in {timedelta(seconds=round(time.monotonic() - started))}; written: {out}/study.html"
    )
    return USER_ERROR if state.failed else 0


def _rows(
    said: Study, cells: Sequence, steps: Sequence[Step], place: Path, failed: dict[str, str] | None = None
) -> list[Row]:
    from ownwords.studies.doing import figures_of
    from ownwords.studies.findings import find

    done = {step.name: figures for step in steps if (figures := figures_of(step, place)) is not None}
    return find(said, cells, done, failed or {}, place)


def _write(said: Study, rows: Sequence[Row], out: Path, name: str) -> None:
    from ownwords.studies.dots import picture
    from ownwords.studies.study_page import page
    from ownwords.studies.study_tables import comma_separated, markdown

    write_file(out / "study.md", markdown(said, rows))
    write_file(out / "study.csv", comma_separated(rows))
    if any(row.to_base for row in rows):
        write_file(out / "study.svg", picture(rows))
    write_file(out / "study.html", page(said, rows, f"study {name}"))


def _plan(said: Study, steps: Sequence[Step], place: Path) -> Table:
    from ownwords.studies.doing import figures_of

    table = Table(title="plan", title_justify="left")
    for head in ("step", "all", "done"):
        table.add_column(head, justify="left" if head == "step" else "right")
    table.caption = f"{len(said.arms)} arms, {len(said.seeds)} seeds, {len(said.benchmarks)} benchmarks"
    done: Counter[str] | None = None
    try:
        done = Counter(step.kind for step in steps if figures_of(step, place) is not None)
    except ValueError as error:  # a model that is not here, whose steps have no names
        table.caption += f"; what is done is not known: {error}"
    for kind, number in Counter(step.kind for step in steps).items():
        table.add_row(kind, str(number), "?" if done is None else str(done[kind]))
    return table


def _needed(rows: Sequence[Row], points: float) -> str:
    """As Markdown, which no terminal is too narrow for."""
    from ownwords.studies.study_tables import needed

    seeds = (3, 5, 8, 12, 20)
    found = needed(rows, points / 100, seeds)
    if not found:
        raise ValueError("no differences over several seeds were found so far, which --plan needs: run a pilot first")
    heads = ["arm", "trained on", "benchmark", "against", "± now", *(f"{n} seeds" for n in seeds)]
    lines = [heads, ["---"] * len(heads), *found]
    told = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"problems that intervals of ±{points:g} points need, by the variances found so far:\n\n{told}"


def _table(said: Study, rows: Sequence[Row]) -> str:
    from ownwords.studies.study_tables import markdown

    return markdown(said, rows)


@contextmanager
def _progress(console: Console, jobs: int) -> Iterator[Callable[[State, Step | None], None]]:
    """A bar, or a line per step where there is no terminal."""

    def told(state: State, step: Step | None) -> tuple[int, int, str]:
        done, total = len(state.done), len(state.done) + len(state.left) + len(state.failed)
        eta = state.eta(jobs)
        rest = "" if eta is None else f" · ETA {timedelta(seconds=round(eta))}"
        return done, total, f"step {done}/{total} · {step.said if step else 'starting'}{rest}"

    if not console.is_terminal:

        def line(state: State, step: Step | None) -> None:
            console.print(told(state, step)[2], markup=False)

        yield line
        return
    with Progress(BarColumn(), TextColumn("{task.description}"), console=console, refresh_per_second=2) as bar:
        task = bar.add_task("starting", total=None)

        def update(state: State, step: Step | None) -> None:
            done, total, said = told(state, step)
            bar.update(task, completed=done, total=total, description=said)

        yield update
