"""`ownwords score` and `ownwords compare-teachers`: trace sets through a student's eyes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ownwords.cli.app import INTERRUPTED
from ownwords.cli.console import Console
from ownwords.cli.flags import command
from ownwords.numbers import Count, CountOr0, CountOrNone, Processes, Seed

LINE_EVERY = 15.0
"""seconds between lines where there is no terminal"""
DTYPES = Literal["auto", "float32", "bfloat16", "float16"]


@command
def score(
    traces: str,
    *,
    student: str,
    out: Path,
    sample: CountOrNone = None,
    seed: Seed = 0,
    local_steps: CountOr0 = 0,
    think: tuple[str, str] = ("<think>", "</think>"),
    marks: tuple[str, str] | None = None,
    template_kwargs: dict[str, Any] | None = None,
    dtype: DTYPES = "auto",
    device: str = "auto",
    batch_tokens: Count = 8192,
    workers: Processes = 1,
) -> int:
    """Tell how well a set of traces suits a student, trace by trace and token by token, before anything is trained.

    One forward pass per trace; a start that was killed goes on when it is given again.

    Parameters
    ----------
    traces
        Traces to score: a run directory, .jsonl or .parquet files with messages, prompts or input_ids, or
        hf:NAME,split=train,config=CONFIG.
    student
        Student: a model folder, a .gguf file, a hub name, or world (ships with the package).
    out
        Scores directory; an unfinished one continues.
    sample
        Traces to score, drawn by problem, so that sets over the same problems share them. [default: all]
    seed
        Seed of the sample.
    local_steps
        Sentences before each one that Local Naturalness reads, in passes of their own (4 in the paper, 0 leaves it
        out).
    think
        Student's own tags around the thinking: the opening and the closing one.
    marks
        Tags around the thinking in the traces, if they are not among the known ones.
    template_kwargs
        Variables of the student's chat template, such as --template-kwargs.thinking true.
    dtype
        Type of the student's weights; auto is the checkpoint's own on a GPU, and float32 or a measurably faster
        bfloat16 on a CPU.
    device
        Device of the student: cpu, cuda, cuda:1, or auto (a GPU if there is one, several workers taking turns).
    batch_tokens
        Tokens per forward pass, including padding; a longer trace is read alone.
    workers
        Processes, each with a student of its own.
    """
    console = Console()
    with console.status("loading"):
        from ownwords.chat.settings import read_variables
        from ownwords.suitability.survey import ScoreConfig
        from ownwords.traces.fit import LEAST, remark

        config = ScoreConfig(
            traces=traces, student=student, out=out, sample=sample, seed=seed, local_steps=local_steps,
            think=think, marks=marks, template_kwargs=read_variables(template_kwargs or {}), dtype=dtype,
            device=device, batch_tokens=batch_tokens, workers=workers,
        )  # fmt: skip
    try:
        summary = _score(console, config)
    except KeyboardInterrupt:
        console.print(f"interrupted: what was scored is kept in {out}; the same command goes on")
        return INTERRUPTED
    console.print(scores_table(dict(_columns(summary))))
    for name, figures in summary.get("fit", {}).items():
        if figures["median_probability"] < LEAST:
            line = remark(name, figures["traces"], {"student": figures["median_probability"]})
            console.print(f"{line} (median; mean surprisal {figures['mean_surprisal']:.2f} nats)", markup=False)
    for reason, number in summary["skipped"].items():
        console.print(f"not scored: {number} of {summary['traces']} ({reason})")
    console.print(f"ownwords select {out} chooses from them, ownwords analyse {out} looks closer")
    return 0


@command
def compare_teachers(
    *traces: str,
    student: str,
    out: Path,
    sample: Count = 200,
    seed: Seed = 0,
    think: tuple[str, str] = ("<think>", "</think>"),
    marks: tuple[str, str] | None = None,
    template_kwargs: dict[str, Any] | None = None,
    dtype: DTYPES = "auto",
    device: str = "auto",
    batch_tokens: Count = 8192,
    workers: Processes = 1,
) -> int:
    """Rank teachers for a student by the Rank-Surprisal Ratio of some traces of each (arXiv 2601.14249).

    Parameters
    ----------
    traces
        Trace sets, one per teacher, best over the same problems.
    student
        Student: a model folder, a .gguf file, a hub name, or world (ships with the package).
    out
        Directory for the scores and teachers.json; an unfinished comparison continues.
    sample
        Traces to score of each set.
    seed
        Seed of the sample and of the bootstrap.
    think
        Student's own tags around the thinking: the opening and the closing one.
    marks
        Tags around the thinking in the traces, if they are not among the known ones.
    template_kwargs
        Variables of the student's chat template, such as --template-kwargs.thinking true.
    dtype
        Type of the student's weights; auto is the checkpoint's own on a GPU, and float32 or a measurably faster
        bfloat16 on a CPU.
    device
        Device of the student: cpu, cuda, cuda:1, or auto (a GPU if there is one, several workers taking turns).
    batch_tokens
        Tokens per forward pass, including padding; a longer trace is read alone.
    workers
        Processes, each with a student of its own.
    """
    if len(traces) < 2:
        raise ValueError(f"{len(traces)} trace sets are given: expected two or more, one per teacher")
    console = Console()
    with console.status("loading"):
        from ownwords.chat.settings import read_variables
        from ownwords.io.files import write_file
        from ownwords.io.paths import check_folder, foreign
        from ownwords.suitability.stored import Scores
        from ownwords.suitability.survey import ScoreConfig
        from ownwords.suitability.teachers import compare
    check_folder(out)
    if stray := foreign(out, ["teachers.json", *map(str, range(len(traces)))]):
        raise ValueError(f"{out} holds {stray[0]}, which no comparison of these sets made: name another --out")
    if (out / "teachers.json").exists() and not (out / "0").is_dir():
        raise ValueError(f"{out / 'teachers.json'} was made by no comparison here: name another --out, or move it away")
    sets: dict[str, Sequence[dict[str, Any]]] = {}
    try:
        for number, spec in enumerate(traces):
            config = ScoreConfig(
                traces=spec, student=student, out=out / str(number), sample=sample, seed=seed, think=think,
                marks=marks, template_kwargs=read_variables(template_kwargs or {}), dtype=dtype, device=device,
                batch_tokens=batch_tokens, workers=workers,
            )  # fmt: skip
            console.print(f"{spec}:")
            _score(console, config)
            sets[spec if spec not in sets else f"{spec} ({number})"] = Scores.read(config.out).traces()
    except KeyboardInterrupt:
        console.print(f"interrupted: what was scored is kept in {out}; the same command goes on")
        return INTERRUPTED
    standings = compare(sets, seed)
    table = Table(title=f"teachers for {student}, the best first", title_justify="left")
    for name in ("teacher", "traces", "RSR (95 %)", "best in", "surprisal, nats (95 %)", "below 1 %", "tokens"):
        table.add_column(name, justify="left" if name == "teacher" else "right", overflow="fold")
    for one in standings:
        rsr, surprisal = _with(one.rsr, one.rsr_interval), _with(one.mean_surprisal, one.surprisal_interval)
        cells = (f"{one.best:.0%}", surprisal, f"{one.below_1:.2%}", f"{one.mean_length:.0f}")
        table.add_row(Text(one.name), str(one.traces), rsr, *cells)
    console.print(table)
    write_file(out / "teachers.json", json.dumps([asdict(one) for one in standings], indent=2) + "\n")
    console.print(f"written: {out / 'teachers.json'}")
    return 0


def scores_table(sets: dict[str, dict[str, Any]]) -> Table:
    """The scores of sets side by side."""
    from ownwords.suitability.score import all_scores

    table = Table(title="scores", title_justify="left")
    table.add_column("")
    for name in sets:
        table.add_column(name, justify="right", overflow="fold")
    for label, name, form in (
        ("traces", "traces", "{:,}"),
        ("tokens that count", "scored_tokens", "{:,}"),
        ("mean length, tokens", "mean_length", "{:.0f}"),
        *((score.label + score.note, name, score.form) for name, score in all_scores().items()),
    ):
        if all(name in figures for figures in sets.values()):
            table.add_row(label, *(form.format(figures[name]) for figures in sets.values()))
    return table


def _columns(summary: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if summary["all"] is not None:
        yield "all", summary["all"]
        if len(summary["by_source"]) in range(2, 6):
            yield from summary["by_source"].items()


def _score(console: Console, config: Any) -> dict[str, Any]:
    from ownwords.io.process import versions
    from ownwords.suitability.scoring import score as run

    with _progress(console) as (plan, tell):
        return run(config, versions("ownwords", "torch", "transformers", "tokenizers"), tell, plan, console.print)


@contextmanager
def _progress(console: Console) -> Iterator[tuple[Callable[[int, int], None], Callable[[int, int], None]]]:
    """(plan, tell): functions that are told (traces, done before) once, and (traces, tokens) as they are scored."""
    started, tokens = time.monotonic(), 0

    def speed() -> str:
        return f"{tokens / max(time.monotonic() - started, 1e-9):,.0f} tokens/s"

    columns = (BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} traces · {task.description}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=1)
        last = started

        def plan(traces: int, done: int) -> None:
            bar.update(task, total=traces, completed=done)

        def tell(traces: int, read: int) -> None:
            nonlocal tokens, last
            tokens += read
            bar.update(task, advance=traces, description=speed())
            if not console.is_terminal and time.monotonic() - last >= LINE_EVERY:
                last = time.monotonic()
                state = bar.tasks[task]
                console.print(f"{state.completed:.0f}/{state.total:.0f} traces · {speed()}")

        yield plan, tell


def _with(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3g} ({interval[0]:.3g} .. {interval[1]:.3g})"
