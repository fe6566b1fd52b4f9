"""Two runs on the same problems, compared problem by problem.

The difficulty of a problem is common to both models and drops out of their difference, so a paired interval is
narrower than what two separate ones suggest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ownwords.answers.checker import Checker
from ownwords.evaluation.intervals import Interval, by_group, mean_intervals, sign_flip_p
from ownwords.evaluation.table import Table, read_answers, samples, tabulate
from ownwords.traces.store import Store


@dataclass(frozen=True)
class Comparison:
    """`after` against `before`; differences are after minus before, by the name of the score."""

    problems: int
    samples: int
    left_out: tuple[int, int]
    """problems that only `before` has, and only `after`"""
    before: dict[str, float]
    after: dict[str, float]
    differences: dict[str, Interval]
    p_value: float
    """of the difference in avg@n, see `sign_flip_p`"""
    settings: dict[str, tuple[str, str]]
    """what else differs between the runs"""


def compare(before: Path, after: Path, checker: Checker) -> Comparison:
    """Compare two run directories on the problems, and the number of answers to each, that both have.

    Raises ValueError where they share none.
    """
    with Store.read(before) as one, Store.read(after) as other:
        old, new = read_answers(one), read_answers(other)
        configs = one.config, other.config
        keys = sorted({*one.identity, *other.identity})
    shared = [i for i in old if i in new]
    if not shared:
        raise ValueError(
            f"{before} and {after} share no problem (they have {len(old)} and {len(new)}): expected answers to the "
            "same benchmark; evaluate both with one --benchmark and one --seed"
        )
    left_out = len(old) - len(shared), len(new) - len(shared)
    old, new = ({i: answers[i] for i in shared} for answers in (old, new))
    n = min(samples(old), samples(new))
    most = max(config["max_tokens"] for config in configs)
    tables = [tabulate([*answers.values()], n, most, checker) for answers in (old, new)]
    told = [[json.dumps(config.get(key)).strip('"') for key in keys] for config in configs]
    return Comparison(
        problems=len(shared),
        samples=n,
        left_out=left_out,
        before=_means(tables[0]),
        after=_means(tables[1]),
        differences=differences(*tables),
        p_value=p_value(*tables),
        settings={key: (a, b) for key, a, b in zip(keys, *told, strict=True) if a != b},
    )


def differences(before: Table, after: Table) -> dict[str, Interval]:
    """The mean difference of each score over the same problems in the same order, after minus before."""
    spans = [(least - largest, largest - least) for least, largest in before.bounds]
    found = mean_intervals(after.values_PM - before.values_PM, before.groups, spans)
    return dict(zip(before.names, found, strict=True))


def p_value(before: Table, after: Table) -> float:
    """Could the difference in correct answers be chance? See `sign_flip_p`; signs flip by group."""
    gained_P = np.array([b.correct - a.correct for a, b in zip(before.rows, after.rows, strict=True)])
    return sign_flip_p(by_group(gained_P, before.groups)[0].tolist())


def _means(table: Table) -> dict[str, float]:
    return dict(zip(table.names, table.values_PM.mean(0).tolist(), strict=True))
