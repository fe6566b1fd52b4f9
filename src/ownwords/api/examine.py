"""`ownwords.evaluate` and `ownwords.compare`: how good a model is, and how sure that is."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ownwords.answers.checker import Checker
from ownwords.api.bars import bar
from ownwords.api.frames import frame
from ownwords.api.inputs import Model, Problems, configured, to_folder, to_model, to_problems
from ownwords.api.notebook import table
from ownwords.api.tailor import Run, told
from ownwords.evaluation import compare as comparing
from ownwords.evaluation.answering import prepare
from ownwords.evaluation.config import EvalConfig
from ownwords.evaluation.intervals import Interval
from ownwords.evaluation.results import score, write_scores
from ownwords.generation.run import generate
from ownwords.models.load import Loaded
from ownwords.traces.store import Store

if TYPE_CHECKING:
    import pandas

SCHEMA = pa.schema([("score", pa.string()), *((name, pa.float64()) for name in ("value", "low", "high"))])


def evaluate(
    model: Model,
    benchmark: Problems,
    *,
    run: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Evaluation:
    """Evaluate a model on a benchmark: avg@n, pass@k, maj@k and more, each with a 95 % interval.

    Args:
        model: a folder, a hub name, `world`, a training, or (model, tokenizer) as `transformers` loads them.
        benchmark: a name, as `gsm8k`; a file or a spec, as `world:size=20`; or rows of questions and answers.
        run: the run directory, which keeps every answer; one that is there is gone on with. None makes
            runs/evaluate-1, or the next number.
        progress: show a bar; None does so in a notebook only.
        options: the options of `ownwords eval` by their names, as `samples=4` or `greedy=True`.

    Raises ValueError, in one line that names the parameter, for whatever would stop it; KeyboardInterrupt if it was
    interrupted: the answers that had ended are kept, and the same call goes on.
    """
    given = to_model(model, "model")
    rows = {name: options[name] for name in ("limit", "question_field", "answer_field") if name in options}
    spec, known = to_problems(benchmark, "benchmark", **rows)
    config = configured(EvalConfig, run=to_folder(run, "evaluate"), benchmark=spec, model=given.name, **options)
    with bar(progress, "evaluate", "answers") as tell:
        complete = generate(prepare(config, known, given.loaded), told(tell))
    if not complete:
        raise KeyboardInterrupt(f"what had ended is kept in {config.run}: the same call with run= goes on")
    return Evaluation(config.run, given.loaded)


class Evaluation(os.PathLike[str]):
    """The scores of a model on a benchmark. `run` has the answers themselves."""

    def __init__(self, path: str | os.PathLike[str], model: Loaded | None = None) -> None:
        """Score the answers of a run directory, and keep the scores there as scores.json. `model`: what wrote them, if
        that is in memory.

        Raises ValueError if there are none.
        """
        self.path = Path(path)
        self.run = Run(path, model)
        with Store.read(self.path) as store, Checker() as checker:
            self.record: dict[str, Any] = score(store, checker)
        write_scores(self.path, self.record)

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def scores(self) -> dict[str, Interval]:
        """`avg@4`, `pass@4`, ... -> its value, and where it lies with a confidence of 95 %; shares from 0 to 1."""
        return {name: Interval(**part) for name, part in self.record["scores"].items()}

    def arrow(self) -> pa.Table:
        """A row per score: score, value, low, high."""
        return pa.Table.from_pylist([{"score": name, **asdict(one)} for name, one in self.scores.items()], SCHEMA)

    def table(self) -> pandas.DataFrame:
        """The same as a pandas frame. Raises ValueError if pandas is not installed."""
        return frame(self.arrow())

    def __repr__(self) -> str:
        name, first = next(iter(self.scores.items()))
        return f"<{_title(self.record)}: {name} {_figure(name, first.value)} ({_between(name, first)})>"

    def _repr_html_(self) -> str:
        rows = [(name, _figure(name, one.value), _between(name, one)) for name, one in self.scores.items()]
        return table(_title(self.record), ("", "score", "95 % interval"), rows)


def compare(before: str | os.PathLike[str], after: str | os.PathLike[str]) -> Comparison:
    """Set two evaluations (or runs) against each other on the problems that both have, problem by problem.

    Differences are after minus before, with a 95 % interval that resamples problems in pairs. Raises ValueError if they
    share none.
    """
    with Checker() as checker:
        return Comparison(comparing.compare(Path(before), Path(after), checker))


class Comparison:
    """What became of the scores."""

    def __init__(self, found: comparing.Comparison) -> None:
        self.found = found
        """`before`, `after`, `settings` that differ, ...: see `ownwords.evaluation.compare.Comparison`"""
        self.differences = found.differences
        """score -> after minus before, with its interval"""
        self.p_value = found.p_value
        """of the first score: could its difference be chance?"""

    def arrow(self) -> pa.Table:
        """A row per score: score, before, after, difference, low, high."""
        rows = [
            {"score": name, "before": self.found.before[name], "after": self.found.after[name], "difference": one.value}
            | {"low": one.low, "high": one.high}
            for name, one in self.differences.items()
        ]
        return pa.Table.from_pylist(rows)

    def table(self) -> pandas.DataFrame:
        """The same as a pandas frame. Raises ValueError if pandas is not installed."""
        return frame(self.arrow())

    def __repr__(self) -> str:
        name, first = next(iter(self.differences.items()))
        said = f"{name} {_figure(name, first.value, '+')} ({_between(name, first, '+')}), p {self.p_value:.2g}"
        return f"<comparison on {self.found.problems} problems: {said}>"

    def _repr_html_(self) -> str:
        rows = [
            (
                name,
                _figure(name, self.found.before[name]),
                _figure(name, self.found.after[name]),
                _figure(name, one.value, "+"),
                _between(name, one, "+"),
            )
            for name, one in self.differences.items()
        ]
        title = f"{self.found.problems} problems, paired, p {self.p_value:.2g}"
        return table(title, ("", "before", "after", "difference", "95 % interval"), rows)


def _title(record: dict[str, Any]) -> str:
    return f"{record['model']} on {record['benchmark']}, {record['problems']} problems x {record['samples']}"


def _figure(name: str, value: float, sign: str = "") -> str:
    """Shares in percent, tokens as they are."""
    return format(value, f"{sign},.1f") if name == "tokens" else format(100 * value, f"{sign}.1f") + " %"


def _between(name: str, one: Interval, sign: str = "") -> str:
    return f"{_figure(name, one.low, sign)} to {_figure(name, one.high, sign)}"
