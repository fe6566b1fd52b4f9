"""What a score is: a number for each trace and one for a set of traces, of what a student thinks of the tokens.

A `Score`, or several, is an entry point of `ownwords.scores`: it is then a column of scores.parquet, a line of the
summary and of tables and reports, and something to select by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np

from ownwords.io.plugins import load_plugin, plugins

GROUP = "ownwords.scores"
ENS_EPSILON = 1e-6


@dataclass(frozen=True)
class Counted:
    """The T tokens of a trace that count, at temperature 1; in `analyse`, those of any group."""

    surprisal: np.ndarray
    """nats"""
    rank: np.ndarray
    """1 + the number of ids with a strictly larger logit"""
    entropy: np.ndarray
    """of the student's distribution, nats; NaN if it is not known, as in `ownwords analyse RUN`"""
    step: np.ndarray
    """the sentence that a token belongs to, numbered"""
    local: np.ndarray | None = None
    """surprisal under the problem and the few steps before only, nats; None unless it was asked for"""

    @cached_property
    def ens(self) -> np.ndarray:
        """Entropy-normalised surprisal of each token, s / (H + 1e-6): what the gate `ens:LIMIT` looks at (IPSD)."""
        return ens(self.surprisal, self.entropy)


def ens(surprisals_T: np.ndarray, entropies_T: np.ndarray) -> np.ndarray:
    """See `Counted.ens`."""
    return surprisals_T.astype(np.float64) / (entropies_T.astype(np.float64) + ENS_EPSILON)


@dataclass(frozen=True)
class TraceSet:
    """The traces of a set that have a score."""

    rows: Sequence[dict[str, Any]]
    """with `scored_tokens` and the scores"""
    ens: np.ndarray
    """entropy-normalised surprisal of all tokens"""

    def column(self, name: str) -> np.ndarray:
        """A score of each trace, float64."""
        return np.array([row[name] for row in self.rows], dtype=np.float64)


def per_trace(name: str) -> Callable[[TraceSet], float]:
    """The mean of a score over traces: each counts once."""
    return lambda traces: float(traces.column(name).mean())


def per_token(name: str) -> Callable[[TraceSet], float]:
    """The mean of a score over tokens: a long trace counts more."""

    def mean(traces: TraceSet) -> float:
        tokens = traces.column("scored_tokens")
        return float(traces.column(name) @ tokens / tokens.sum())

    return mean


@dataclass(frozen=True)
class Score:
    """A score, by the name of its column."""

    name: str
    label: str
    """what people read"""
    of_trace: Callable[[Counted], float | None]
    """of at least one token; None if it has no such score"""
    of_set: Callable[[TraceSet], float] | None = None
    """None: the mean over traces"""
    better: Literal["lower", "higher"] = "lower"
    """what suits the student better, so what `select --by` takes first"""
    of_token: Callable[[Counted], np.ndarray] | None = None
    """(T): what the score is a mean of, if there is such a thing; `analyse` then tells it by kind of token"""
    form: str = "{:.3f}"
    note: str = ""
    """what the table of scores adds to the label"""
    report: bool = True
    """is shown in reports"""

    def over(self, traces: TraceSet) -> float:
        return float((self.of_set or per_trace(self.name))(traces))


@cache
def all_scores() -> dict[str, Score]:
    """name -> score, ours first. Raises ValueError if one cannot be imported, or if two have one name."""
    found: dict[str, Score] = {}
    for name in sorted(plugins(GROUP), key=lambda name: (name != "ownwords", name)):
        given: Score | Sequence[Score] = load_plugin(GROUP, name, "score")
        for score in [given] if isinstance(given, Score) else given:
            if found.setdefault(score.name, score) is not score:
                raise ValueError(f"the score {name!r} of another package has the name {score.name!r}, which is taken")
    return found


def others() -> list[str]:
    """The names of the scores that are not ours."""
    ours = load_plugin(GROUP, "ownwords", "score")
    return [name for name, score in all_scores().items() if score not in ours]
