"""`ownwords select` and `ownwords analyse`: what to train on, and what a student finds odd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from rich.table import Table
from rich.text import Text

from ownwords.cli.console import Console
from ownwords.cli.flags import command
from ownwords.io.files import write_file
from ownwords.io.paths import check_output
from ownwords.numbers import CountOr0, CountOrNone, Seed, ShareAbove0, real

Odd = Annotated[float, real("a probability", 0, 1, above=True, below=True)]


@command
def select(
    *scores: Path,
    out: Path,
    by: str = "rsr",
    per_problem: CountOr0 = 1,
    share: ShareAbove0 = 1.0,
    count: CountOrNone = None,
    correct: bool = False,
    balance: bool = False,
    seed: Seed = 0,
    overwrite: bool = False,
) -> None:
    """Choose traces to train on by what the student thinks of them; every trace is told why it is taken or not.

    Writes sft.parquet and sft.jsonl (input_ids + labels, for TRL as they are) and choices.parquet (the reasons).

    Parameters
    ----------
    scores
        Scores directories of one student, as ownwords score wrote them.
    out
        The directory to write to.
    by
        rsr, mean_surprisal, length (the shortest), random, grape, step_logprob, local_naturalness, below_1, or any
        other column of scores.parquet; what suits better comes first.
    per_problem
        Take at most so many traces of each problem; 0 for no limit.
    share
        Take this share of those that are left, the best ones: 0.5 for the better half.
    count
        Take at most so many in all, the best ones.
    correct
        Take only traces whose verdict is correct.
    balance
        Take no more from any source than its equal part.
    seed
        Decides the order of --by random.
    overwrite
        Replace an earlier selection.
    """
    if not scores:
        raise ValueError("no scores directory is given: expected one or more, as ownwords score wrote them")
    console = Console()
    with console.status("selecting"):
        from ownwords.suitability.choose import NAMES, Rule
        from ownwords.suitability.choose import select as choose
        from ownwords.suitability.stored import Scores

        rule = Rule(
            by=by, per_problem=per_problem, share=share, count=count, correct=correct, balance=balance, seed=seed
        )
        summary = choose([Scores.read(path) for path in scores], rule, out, overwrite)
    sources = ", ".join(f"{source} {number}" for source, number in summary["by_source"].items())
    console.print(f"{summary['chosen']} of {summary['traces']} traces by {by}: {sources}")
    for name in NAMES:
        console.print(f"written: {out / name}")


@command
def analyse(traces: Path, *, threshold: Odd = 0.01, pairs: CountOr0 = 15, out: Path | None = None) -> None:
    """Find out which tokens a student finds odd, or refused: by kind, place, step and agreement; loads no model.

    Parameters
    ----------
    traces
        A run directory or a scores directory.
    threshold
        A token is odd below this probability.
    pairs
        List so many of the most frequent refusals, token by token.
    out
        Write the tables to this JSON file as well.
    """
    if out:
        check_output(out)
    console = Console()
    with console.status("reading"):
        tables = _tables(traces, threshold, pairs)
    for title, rows in tables.items():
        console.print(_table(title, rows, threshold))
    if out:
        write_file(out, json.dumps(tables, indent=2) + "\n")
        console.print(f"written: {out}")


def _tables(traces: Path, threshold: float, pairs: int) -> dict[str, list[dict[str, Any]]]:
    from ownwords.models.load import load_tokenizer
    from ownwords.suitability.analyse import analyse as look
    from ownwords.suitability.pieces import Pieces
    from ownwords.suitability.stored import Scores
    from ownwords.suitability.views import run_views, score_views
    from ownwords.traces.store import Store

    if (traces / "traces.sqlite").is_file():
        with Store.read(traces) as store:
            tokenizer = load_tokenizer(store.config["student"], "student")
            return look(run_views(store), Pieces(tokenizer), tokenizer.added_tokens_decoder, threshold, pairs)
    scores = Scores.read(traces)
    tokenizer = load_tokenizer(scores.config["student"], "student")
    return look(score_views(scores), Pieces(tokenizer), tokenizer.added_tokens_decoder, threshold, pairs)


def _table(title: str, rows: list[dict[str, Any]], threshold: float) -> Table:
    from ownwords.traces.spans import printable

    table = Table(title=title, title_justify="left")
    for name in rows[0] if rows else ["none"]:
        numbers = not isinstance(rows[0][name], str) if rows else False
        head = f"below {100 * threshold:g} %" if name == "below" else name.replace("_", " ")
        table.add_column(head, justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*(Text(_cell(name, value, printable)) for name, value in row.items()))
    return table


def _cell(name: str, value: Any, printable: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if name.startswith("mean") else f"{value:.2%}"
    if isinstance(value, int):
        return f"{value:,}"
    # a token is shown with its line breaks and spaces as symbols
    return printable(value).replace("\n", "\u23ce").replace(" ", "\u00b7") if name in ("refused", "written") else value
