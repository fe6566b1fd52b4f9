"""`ownwords judge`: a file of outputs, judged, and compared with a grader's verdicts."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.table import Table
from rich.text import Text

from ownwords.cli.console import Console
from ownwords.cli.flags import command
from ownwords.numbers import CountOr0, CountOrNone, Deadline, Processes

if TYPE_CHECKING:
    from ownwords.evaluation.outputs import Row


@command
def judge(
    outputs: Path,
    *,
    out: Path | None = None,
    output_field: str | None = None,
    reference_field: str | None = None,
    question_field: str | None = None,
    grader_field: str | None = None,
    kind: str | None = None,
    answer_from: Literal["any", "boxed", "whole"] = "any",
    closing: str = "</think>",
    limit: CountOrNone = None,
    show: CountOr0 = 20,
    skip_bad_rows: bool = False,
    check_workers: Processes = 1,
    check_deadline: Deadline = 5.0,
) -> None:
    """Judge a file of model outputs against its references, and say why.

    Prints how many are right, and by which rules they were found and judged. If the file holds another grader's
    verdicts, it prints how often the two agree and lists where they do not.

    Parameters
    ----------
    outputs
        File (.jsonl, .json, .csv, .tsv or .parquet) with a reference and one or several outputs per row, and maybe a
        question, options and a grader's verdict.
    out
        File (.jsonl) to write each verdict to, with the answer, the rules, and how both sides were read.
    output_field
        Column of the outputs, if its name does not tell (output, response, completion, ...).
    reference_field
        Column of the reference answer, if its name does not tell (reference, answer, gold, ...).
    question_field
        Column of the question, if its name does not tell.
    grader_field
        Column of another grader's verdicts, if its name does not tell (correct, score, acc, ...); '' for none.
    kind
        Kind of all rows: math, choice, gym:TASK or one of another package. [default: choice for rows with options or a
        letter as reference, else math]
    answer_from
        Place of the answer: any way of stating it, the last box only, or the whole output.
    closing
        Tag that ends the thinking; nothing before it counts.
    limit
        Take only the first N rows.
    show
        Disagreements with the grader to list.
    skip_bad_rows
        Leave out rows that cannot be read, and count them.
    check_workers
        Processes that judge answers.
    check_deadline
        Maximum seconds to judge an answer.
    """
    console = Console()
    with console.status("judging") as status, ExitStack() as open_files:
        from ownwords.answers.checker import Checker
        from ownwords.answers.kind import check_kinds
        from ownwords.evaluation.outputs import Fields, judge_rows
        from ownwords.io.files import replacing
        from ownwords.io.paths import check_output
        from ownwords.problems.readers import READERS, read_rows

        check_kinds([kind] if kind else [])
        if outputs.suffix.lower() not in READERS:
            raise ValueError(f"{outputs}: expected a {', '.join(READERS)} file")
        if out:
            check_output(out)
            [file] = open_files.enter_context(replacing([out]))
        checker = open_files.enter_context(Checker(check_workers, check_deadline))
        bad: list[str] | None = [] if skip_bad_rows else None
        fields = Fields(reference_field, output_field, question_field, grader_field)
        counts: Counter[tuple[str, str, str]] = Counter()
        graded: Counter[tuple[bool, bool]] = Counter()
        differing: list[Row] = []
        for row in judge_rows(
            read_rows(outputs),
            checker,
            fields,
            kind=kind,
            answer_from=answer_from,
            closing=closing,
            limit=limit,
            bad=bad,
        ):
            counts[row.judged.verdict, row.judged.found_by, row.judged.rule] += 1
            status.update(f"judging · {counts.total():,} outputs")
            if row.grader is not None:
                graded[row.right, row.grader] += 1
                if row.right != row.grader and len(differing) < show:
                    differing.append(row)
            if out:
                line = {"where": row.where, "reference": row.reference, **asdict(row.judged), "grader": row.grader}
                file.write((json.dumps(line, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))
        if not counts:
            raise ValueError(f"{outputs} holds no output: expected rows with a reference and an output")
    console.print(_verdicts(counts))
    if graded:
        console.print(_agreement(graded))
    if differing:
        console.print(_differences(f"{outputs}, ", differing, graded[True, False] + graded[False, True]))
    if bad:
        console.print(f"left out: {len(bad)} rows that cannot be read, the first: {bad[0]}")
    if out:
        console.print(f"written: {out}")


def _verdicts(counts: Counter[tuple[str, str, str]]) -> Table:
    total = counts.total()
    table = Table(title=f"{total:,} outputs", title_justify="left")
    for name in ("verdict", "found by", "decided by", "outputs", "share"):
        table.add_column(name, justify="right" if name in ("outputs", "share") else "left")
    for verdict in ("correct", "incorrect", "unparsable", "unverifiable", "timeout"):
        rules = {key: number for key, number in counts.most_common() if key[0] == verdict}
        if rules:
            number = sum(rules.values())
            table.add_row(verdict, "", "", f"{number:,}", f"{number / total:.1%}", style="bold")
        for (_, found_by, rule), number in rules.items():
            table.add_row("", found_by or "no answer", rule or "-", f"{number:,}", f"{number / total:.1%}")
    return table


def _agreement(graded: Counter[tuple[bool, bool]]) -> Table:
    total = graded.total()
    same = graded[True, True] + graded[False, False]
    table = Table(title=f"the file's grader agrees on {same:,} of {total:,} ({same / total:.1%})", title_justify="left")
    table.add_column("")
    table.add_column("grader: right", justify="right")
    table.add_column("grader: wrong", justify="right")
    table.add_row("correct", f"{graded[True, True]:,}", f"{graded[True, False]:,}")
    table.add_row("not correct", f"{graded[False, True]:,}", f"{graded[False, False]:,}")
    return table


def _differences(file: str, rows: list[Row], of: int) -> Table:
    title = "disagreements" if len(rows) == of else f"the first {len(rows)} of {of} disagreements"
    table = Table(title=title, title_justify="left")
    for name in ("where", "reference", "answer", "verdict", "grader"):
        table.add_column(name, overflow="fold")
    for row in rows:
        said = row.judged
        rules = ", ".join(rule for rule in (said.found_by, said.rule) if rule)
        cells = (
            row.where.removeprefix(file),
            _short(row.reference),
            _short(said.answer) or "-",
            f"{said.verdict} ({rules or 'no answer'})",
        )
        table.add_row(*map(Text, cells), "right" if row.grader else "wrong")
    return table


def _short(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable if len(printable) <= 60 else printable[:57] + "..."
