"""The tables of docs/real_models.md, as Markdown, from what is in the folder of runs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ownwords.evaluation.intervals import Interval, sign_flip_p
from ownwords.suitability.stored import Scores
from ownwords.suitability.teachers import compare
from ownwords.traces.spans import printable
from ownwords.traces.store import Store
from real import speed
from real.kinds import Kind, implausible, refused
from real.measures import MEASURES, Sums, differences, intervals, sums
from real.studies import SETS, STUDIES, times
from real.suitability import LONG, run_rows

MARKS = ("<!-- figures: begin -->", "<!-- figures: end -->")
"""what stands between them in a page is replaced"""
SHARES = [measure.share for measure in MEASURES]


def tables(runs: Path) -> Iterator[str]:
    """Every table that can be made, each with its heading."""
    for name in STUDIES:
        made, unfinished = _complete(runs / name)
        if made:
            yield from _figures(name, runs / name, {one: _sums(runs / name / one) for one in made})
        yield from unfinished
    for name in STUDIES:
        if "rsd" in _complete(runs / name)[0] and (runs / name / "pilot" / "pilot.json").is_file():
            yield from _pilot(name, runs / name)
    yield from _kinds(runs)
    yield from _suitability(runs)
    yield from speeds(runs)


def speeds(runs: Path) -> Iterator[str]:
    """What `speed` has measured, a table per number of threads."""
    for path in sorted(runs.glob("speed-*.json")):
        told, peak, lines = speed.read(path)
        rows = [
            [f"{line.batch}, {line.arm}", f"{line.speed:.2f}", said(line.ratio, ".2f"), f"{line.per_block:.2f}",
             "-" if math.isnan(line.kept) else f"{100 * line.kept:.0f} %", said(line.added, ".1%")]
            for line in lines
        ]  # fmt: skip
        yield f"### Speed: {told}"
        yield table(
            [
                "batch, drafts",
                "tokens/s",
                "against none",
                "tokens per teacher pass",
                "drafts kept",
                "beyond the models",
            ],
            rows,
        )
        yield f"Peak memory {peak:.1f} GiB."


def put(text: str, path: Path) -> None:
    """Put the tables into a page. Raises ValueError if it lacks the marks."""
    before, begin, rest = path.read_text().partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise ValueError(f"{path} has no place for the tables: expected the lines {MARKS[0]} and {MARKS[1]}")
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; all columns but the first to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def said(interval: Interval, form: str, sign: str = "") -> str:
    """A figure and its interval; a share in percent, with the sign once."""
    if math.isnan(interval.value):
        return "-"
    value, low, high = (format(x, sign + form).replace("%", "") for x in vars(interval).values())
    unit = " %" if form.endswith("%") else ""
    return f"{value}{unit}" if low == high else f"{value}{unit} ({low} to {high})"


def _complete(folder: Path) -> tuple[list[str], list[str]]:
    """(the sets of a study that are complete, a line for each that is not). What is made first is what ends soonest:
    half a set says nothing of the whole."""
    whole, lines = [], []
    for name in SETS:
        if (folder / name / "traces.sqlite").is_file():
            with Store.read(folder / name) as store:
                made, owed = len(store), store.config["limit"]
            if made == owed:
                whole.append(name)
            else:
                lines.append(f"{SETS[name]} of {folder.name}: {made} of {owed} attempts are made, so it is left out.")
    return whole, lines


def _sums(run: Path) -> dict[str, np.ndarray]:
    with Store.read(run) as store:
        return dict(sorted(sums(store.traces()).items()))


def _figures(name: str, folder: Path, study: dict[str, dict[str, np.ndarray]]) -> Iterator[str]:
    stacked = {made: np.stack([*of.values()]) for made, of in study.items()}
    of = {made: Sums(both[:, 0], both[:, 1]) for made, both in stacked.items()}
    P = len(next(iter(stacked.values())))
    yield f"### {name}: {P} problems, one attempt each"
    yield _settings(folder, [*of])
    columns = {made: intervals(one.tops_PM, one.bottoms_PM, SHARES) for made, one in of.items()}
    rows = [
        [measure.label, *(said(column[m], measure.form) for column in columns.values())]
        for m, measure in enumerate(MEASURES)
    ]
    yield table(["", *(SETS[made] for made in columns)], rows)
    pairs = [(one, other) for i, one in enumerate(of) for other in [*of][i + 1 :]]
    if not pairs:
        return
    yield "Differences, the same problems in both:"
    compared = {pair: differences(of[pair[0]], of[pair[1]]) for pair in pairs}
    rows = [
        [measure.label, *(said(column[m], measure.form, "+") for column in compared.values())]
        for m, measure in enumerate(MEASURES)
        if measure.compared
    ]
    flips = [sign_flip_p((of[a].tops_PM[:, 0] - of[b].tops_PM[:, 0]).astype(int).tolist()) for a, b in pairs]
    rows.insert(1, ["p of the difference in correct attempts (exact)", *(f"{p:.2g}" for p in flips)])
    yield table(["", *(f"{SETS[one]} - {SETS[other]}" for one, other in pairs)], rows)
    right = {made: set(np.flatnonzero(one.tops_PM[:, 0] > 0).tolist()) for made, one in of.items()}
    cells = [
        f"{SETS[one]} and not {SETS[other]} {len(right[one] - right[other])}, "
        f"the other way round {len(right[other] - right[one])}, both {len(right[one] & right[other])}"
        for one, other in pairs
    ]
    yield "Solved problems: " + "; ".join(cells) + "."


def _settings(folder: Path, made: Sequence[str]) -> str:
    lines = []
    for name in made:
        with Store.read(folder / name) as store:
            config, versions = store.config, store.versions
        speed = _speed(folder / name)
        shown = f" --privileged {config['privileged']}" if config["privileged"] else ""
        lines.append(f"{SETS[name]} `--gate {config['gate']}{shown}`" + (f" ({speed})" if speed else ""))
    same = {"max-tokens": config["max_tokens"], "dtype": config["student_dtype"], "answer-from": config["answer_from"]}
    same |= {"temperature": config["student_sampling.temperature"], "top-p": config["student_sampling.top_p"]}
    packages = ", ".join(f"{name} {versions[name]}" for name in ("torch", "transformers") if name in versions)
    return "; ".join(lines) + ". " + ", ".join(f"{k} {v}" for k, v in same.items()) + f"; {packages}."


def _speed(run: Path) -> str:
    """Tokens per second over all starts, where they are known."""
    if not times(run).is_file():
        return ""
    lines = [json.loads(line) for line in times(run).read_text().splitlines()]
    seconds, tokens = (sum(line[name] for line in lines) for name in ("seconds", "tokens"))
    threads = "/".join(sorted({str(line["threads"]) for line in lines}))
    return f"{tokens / seconds:.1f} tokens/s in {seconds / 60:.0f} min, {threads} thread" + "s" * (threads != "1")


def _pilot(name: str, folder: Path) -> Iterator[str]:
    found = json.loads((folder / "pilot" / "pilot.json").read_text())
    with Store.read(folder / "rsd") as store:
        gate = store.config["gate"]
        traces = list(store.traces())
    if gate not in found["gates"]:
        return
    one = found["gates"][gate]
    lines = [json.loads(line) for line in times(folder / "rsd").read_text().splitlines()]
    seconds, tokens = (sum(line[key] for line in lines) for key in ("seconds", "tokens"))
    solved = len({trace.problem_id for trace in traces if trace.verdict == "correct"})
    seen = {
        "solved": solved / len({trace.problem_id for trace in traces}),
        "length": sum(len(trace.token_ids) for trace in traces) / len(traces),
        "speed": tokens / seconds,
    }
    forms = {
        "solved": ("solved problems", ".1%"),
        "length": ("mean length, tokens", ".0f"),
        "speed": ("tokens/s", ".1f"),
    }
    rows = []
    for key, (label, form) in forms.items():
        said_before = Interval(**one["forecast"][key])
        held = "yes" if said_before.low <= seen[key] <= said_before.high else "no"
        rows.append([label, said(said_before, form), format(seen[key], form).replace("%", " %"), held])
    yield f"### Pilot of {name}: {one['attempts']} attempts with `{gate}`, against the run of {len(traces)}"
    yield table(["", "forecast", "run", "held"], rows)
    yield f"Other processes that wanted to run while the pilot did, per core: {found['contention']:.1f}."


def _kinds(runs: Path) -> Iterator[str]:
    for name in STUDIES:
        if "rsd" not in _complete(runs / name)[0]:
            continue
        kinds, pairs = refused(runs / name / "rsd")
        yield f"### Refused in {name}, by kind of the likeliest proposal that the gate refuses"
        yield _kind_table(kinds, ("refused", "of all refusals", "of all proposals", "refusal rate"))
        shown = (f"`{printable(one)}` → `{printable(other)}` {times}" for one, other, times in pairs)
        yield "Most frequent (refused → written instead): " + ", ".join(shown) + "."
    places = {
        f"plain teacher, {name}": runs / name / "teacher" for name in STUDIES if "teacher" in _complete(runs / name)[0]
    }
    places |= {path.parent.name + ", " + path.name: path for path in sorted((runs / "scores").glob(f"*/{LONG}"))}
    for name, path in places.items():
        yield f"### Below 1 % under the student, by kind: {name}"
        yield _kind_table(implausible(path), ("below 1 %", "of all below 1 %", "of all tokens", "rate"))


def _kind_table(kinds: Sequence[Kind], heads: Sequence[str]) -> str:
    rows = [
        [k.name, f"{k.number}", said(k.share, ".1%"), f"{k.of_all:.1%}".replace("%", " %"), said(k.rate, ".2%")]
        for k in kinds
    ]
    return table(["kind", *heads], rows)


def _suitability(runs: Path) -> Iterator[str]:
    """A table per student: its own runs' columns, and what was scored under it."""
    sets: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for path in sorted((runs / "scores").glob("*/*/scores.parquet")):
        student, made = path.parent.parent.name, path.parent.name
        sets.setdefault(student, {})[made] = Scores.read(path.parent).traces()
    for run in (runs / study / name for study in STUDIES for name in _complete(runs / study)[0]):
        with Store.read(run) as store:
            student = Path(store.config["student"]).name
        sets.setdefault(student, {})[f"{run.parent.name}-{run.name}"] = run_rows(run)
    for student, of in sets.items():
        if len(of) < 2:
            continue
        yield f"### Sets under {student}, the lowest Rank-Surprisal Ratio first"
        rows = [
            [one.name, f"{one.traces}", said(Interval(one.rsr, *one.rsr_interval), ".2f"),
             said(Interval(one.mean_surprisal, *one.surprisal_interval), ".3f"),
             f"{100 * one.below_1:.2f} %", f"{one.mean_length:.0f}"]
            for one in compare(of)
        ]  # fmt: skip
        yield table(["set", "traces", "RSR", "mean surprisal, nats", "below 1 %", "mean length"], rows)
