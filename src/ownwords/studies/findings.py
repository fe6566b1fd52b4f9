"""What a study has found: for every arm and benchmark the accuracy, and the differences to the base and to the control
on the same problems, with the intervals of `ownwords.studies.two_way`; and what it cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ownwords.answers.checker import Checker
from ownwords.evaluation.table import read_answers, samples, tabulate
from ownwords.studies.doing import Figures, folder_of
from ownwords.studies.graph import Step
from ownwords.studies.plan_of import BASE, Cell
from ownwords.studies.study_file import Study
from ownwords.studies.two_way import Difference, difference
from ownwords.traces.store import Store


@dataclass(frozen=True)
class Scores:
    """Shares of right answers: a row per seed, a column per group of problems that stand and fall together."""

    values_SP: np.ndarray
    sizes_P: np.ndarray
    """problems per column"""
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """An arm on a benchmark."""

    arm: str
    problems: str
    benchmark: str
    seeds: int
    accuracy: Difference
    """of the arm by itself, not a difference"""
    to_base: Difference | None
    to_control: Difference | None
    costs: Figures
    """`traces`, `steps` and `tokens` of a training (means over seeds), `written` tokens of all attempts, `solved`
    problems, and `seconds` of making traces, of a training and of its answers"""
    failed: str = ""
    """why it was not measured"""


def find(
    study: Study, cells: Sequence[Cell], done: dict[str, Figures], failed: dict[str, str], steps: Path
) -> list[Row]:
    """A row for every cell whose answers are there, or that has failed."""
    read: dict[tuple[str, str, str], Scores] = {}
    rows = []
    with Checker() as checker:
        for cell in cells:
            if all(one.name in done for one in cell.answers):
                key = (cell.problems, cell.benchmark, cell.arm)
                read[key] = scores([folder_of(one, steps) / "run" for one in cell.answers], checker)
    for cell in cells:
        why = next((failed[one.name] for one in cell.answers if one.name in failed), "")
        mine = read.get((cell.problems, cell.benchmark, cell.arm))
        if mine is None and not why:
            continue
        gains: list[Difference | None] = []
        for name in (BASE, study.control_of(cell.arm)):
            other = read.get((cell.problems, cell.benchmark, name or ""))
            gains.append(gain(mine, other) if mine and other and name != cell.arm else None)
        nothing = Difference(np.nan, np.nan, np.nan, np.nan, None)
        accuracy = difference(mine.values_SP, mine.sizes_P) if mine else nothing
        to_base, to_control = gains
        row = Row(cell.arm, cell.problems, cell.benchmark, len(cell.answers), accuracy, to_base, to_control, {}, why)
        rows.append(replace(row, costs=costs(cell, done)))
    return rows


def scores(runs: Sequence[Path], checker: Checker) -> Scores:
    """Raises ValueError if runs of one cell have other problems."""
    values, names, sizes = [], None, np.zeros(0)
    for run in runs:
        with Store.read(run) as store:
            answers = read_answers(store)
            table = tabulate([*answers.values()], samples(answers), store.config["max_tokens"], checker)
        place: dict[str, list[float]] = {}
        for group, value in zip(table.groups, table.values_PM[:, 0], strict=True):
            place.setdefault(group, []).append(float(value))
        mine = tuple(sorted(place))
        if names not in (None, mine):
            raise ValueError(f"{run} has other problems than the other seeds' runs: expected one benchmark")
        names, sizes = mine, np.array([len(place[name]) for name in mine])
        values.append([float(np.mean(place[name])) for name in mine])
    return Scores(np.array(values), sizes, names or ())


def gain(arm: Scores, other: Scores) -> Difference:
    """Of an arm over another one: seeds are paired if both have as many, else each meets the mean of the other's."""
    if arm.problems != other.problems:
        raise ValueError("two arms were asked different problems: expected one benchmark for both")
    theirs_SP = other.values_SP if len(other.values_SP) == len(arm.values_SP) else other.values_SP.mean(0)
    return difference(arm.values_SP - theirs_SP, arm.sizes_P)


def costs(cell: Cell, done: dict[str, Figures]) -> Figures:
    trainings = [done[one.name] for one in cell.trainings if one.name in done]
    found: Figures = {}
    for name in ("traces", "steps", "tokens"):
        if having := [one[name] for one in trainings if name in one]:
            found[name] = sum(having) / len(having)
    sources = {one.name: one for step in cell.trainings for one in before(step)}
    makers = [done[name] for name, step in sources.items() if step.kind != "training" and name in done]
    makes = [one for one in makers if "attempts" in one]
    found["written"] = sum(one["tokens"] for one in makes)
    found["solved"] = sum(one["solved"] for one in makes)
    found["seconds_traces"] = sum(one["seconds"] for one in makers)
    if trainings:
        found["seconds_training"] = sum(one["seconds"] for one in trainings) / len(trainings)
    answers = [done[one.name]["seconds"] for one in cell.answers if one.name in done]
    if answers:
        found["seconds_answers"] = sum(answers) / len(answers)
    return found


def before(step: Step) -> list[Step]:
    """A step's own source, and that one's, and so on; not what it shares with other arms."""
    mine = [one for one in step.after if one.kind != "shared"]
    return [*mine, *(other for one in mine for other in before(one))]
