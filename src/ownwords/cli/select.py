"""`ownwords select` and `ownwords analyse`: what to train on, and what a student finds odd."""

from __future__ import annotations

import json
import math
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
        Scores directories of one student, as `ownwords score` writes them.
    out
        Directory to write to.
    by
        Order, best first: rsr, mean_surprisal, length, random, grape, step_logprob, local_naturalness, below_1, or
        another column of scores.parquet.
    per_problem
        Maximum traces per problem; 0 for no limit.
    share
        Share of the remaining traces to take, best first.
    count
        Maximum traces in all, best first. [default: no limit]
    correct
        Take only traces whose verdict is correct.
    balance
        Take at most an equal part from each source.
    seed
        Seed of the random order.
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
        Run directory or scores directory.
    threshold
        Probability below which a token counts as odd.
    pairs
        Most frequent refusals to list, token by token.
    out
        JSON file to write the tables to as well.
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
    from ownwords.traces.store import Store, is_run

    if is_run(traces):
        with Store.read(traces) as store:
            tokenizer = load_tokenizer(store.config["student"], "student")
            return look(store.traces(), Pieces(tokenizer), tokenizer.added_tokens_decoder, threshold, pairs)
    scores = Scores.read(traces)
    tokenizer = load_tokenizer(scores.config["student"], "student")
    return look(scores.tokens(), Pieces(tokenizer), tokenizer.added_tokens_decoder, threshold, pairs)


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
    from ownwords.suitability.analyse import token_scores

    if isinstance(value, float):
        if math.isnan(value):
            return "-"
        return f"{value:.3f}" if name.startswith("mean") or name in token_scores() else f"{value:.2%}"
    if isinstance(value, int):
        return f"{value:,}"
    # a token is shown with its line breaks and spaces as symbols
    return printable(value).replace("\n", "\u23ce").replace(" ", "\u00b7") if name in ("refused", "written") else value
