"""What a study has found, as Markdown for people and as CSV for programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence

from ownwords.studies.findings import Row
from ownwords.studies.study_file import PROBLEMS, Study
from ownwords.studies.two_way import Difference

HOW = (
    "Intervals are 95 % and stand for other training seeds and other problems at once (a crossed random-effects model "
    "with Satterthwaite's degrees of freedom); that of one student without training seeds, for other problems. "
    "Differences are paired: the same problems, and the same seeds."
)


def markdown(study: Study, rows: Sequence[Row]) -> str:
    """A table for each benchmark and each choice of problems."""
    parts = [study.about, ""] if study.about else []
    for (problems, benchmark), mine in tables(rows):
        parts += [f"**{benchmark}; trained on problems: {PROBLEMS[problems]}**", ""]
        head = heads(study)
        parts += [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        parts += [f"| {' | '.join(cells(study, row))} |" for row in mine]
        parts.append("")
    failed = {row.arm: row.failed for row in rows if row.failed}
    parts += [f"* {arm}: not measured, {why}" for arm, why in failed.items()]
    return "\n".join([*parts, HOW, ""])


def tables(rows: Sequence[Row]) -> Iterator[tuple[tuple[str, str], list[Row]]]:
    """((problems, benchmark), rows)"""
    for key in dict.fromkeys((row.problems, row.benchmark) for row in rows):
        yield key, [row for row in rows if (row.problems, row.benchmark) == key and not row.failed]


def heads(study: Study) -> list[str]:
    control = [f"to {study.control}"] if study.control else []
    return ["arm", "seeds", "accuracy, %", "to the base, points", *control, "traces", "steps", "tokens learned",
            "tokens written", "minutes"]  # fmt: skip


def cells(study: Study, row: Row) -> list[str]:
    """`minutes`: of making the traces, and of one training."""
    told = [row.arm, str(row.seeds), _between(row.accuracy, signed=False), _between(row.to_base)]
    if study.control:
        told.append(_between(row.to_control))
    for name in ("traces", "steps", "tokens"):
        told.append(f"{row.costs[name]:,.0f}" if name in row.costs else "")
    told.append(f"{row.costs['written']:,.0f}" if row.costs.get("written") else "")
    training = row.costs.get("seconds_training")
    told.append("" if training is None else f"{row.costs['seconds_traces'] / 60:.1f} + {training / 60:.1f}")
    return told


def _between(found: Difference | None, signed: bool = True) -> str:
    if found is None:
        return ""
    form = "{:+.1f}" if signed else "{:.1f}"
    told = [form.format(100 * one) for one in (found.value, found.low, found.high)]
    return f"{told[0]} ({told[1]} to {told[2]})"


def comma_separated(rows: Sequence[Row]) -> str:
    """A row per arm, benchmark and choice of problems; shares from 0 to 1, seconds, tokens."""
    text = io.StringIO()
    measures = {"accuracy": "accuracy", "to_base": "to_base", "to_control": "to_control"}
    costs = sorted({name for row in rows for name in row.costs})
    parts = ("value", "half_width", "half_width_seeds", "half_width_problems")
    names = ["arm", "problems", "benchmark", "seeds"]
    names += [f"{measure}_{part}" for measure in measures for part in parts] + costs + ["failed"]
    out = csv.writer(text, lineterminator="\n")
    out.writerow(names)
    for row in rows:
        numbers: list[str] = []
        for measure in measures:
            one: Difference | None = getattr(row, measure)
            found = (one.value, one.half_width, one.by_seeds, one.by_problems) if one else (math.nan,) * 4
            numbers += ["" if math.isnan(value) else f"{value:.6g}" for value in found]
        numbers += [f"{row.costs[name]:.6g}" if name in row.costs else "" for name in costs]
        out.writerow([row.arm, row.problems, row.benchmark, row.seeds, *numbers, row.failed])
    return text.getvalue()


def needed(rows: Sequence[Row], half_width: float, seeds: Sequence[int] = (3, 5, 8, 12, 20)) -> list[list[str]]:
    """How many problems a half-width (a share) needs with so many seeds, from the variances of these rows."""
    found = []
    for row in rows:
        for name, one in (("the base", row.to_base), ("the control", row.to_control)):
            if one is not None and one.spread is not None:
                told = [row.arm, row.problems, row.benchmark, name, f"{100 * one.half_width:.1f}"]
                for S in seeds:
                    P = fewest(one, half_width, S)
                    told.append("more seeds" if P is None else f"{P:,}")
                found.append(told)
    return found


def fewest(found: Difference, half_width: float, seeds: int, most: int = 10**6) -> int | None:
    """The least number of problems, to two digits; None if no number is enough with so many seeds."""
    spread = found.spread
    assert spread is not None
    low, high = 2, most
    if spread.half_width(seeds, high) > half_width:
        return None
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if spread.half_width(seeds, middle) <= half_width else (middle, high)
    return high
