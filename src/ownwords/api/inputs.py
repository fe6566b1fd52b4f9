"""What people give: models and problems by name or in memory, options by their flat names, folders or none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ownwords.configuration import Config, FieldError, options
from ownwords.models.load import Loaded, adopt
from ownwords.problems.readers import Rows
from ownwords.problems.sources import collect
from ownwords.records.problem import Problem

Model = str | os.PathLike[str] | tuple[PreTrainedModel, PreTrainedTokenizerBase] | Loaded
"""a folder, a .gguf file, a hub name or `world`; or a model of transformers with its tokenizer"""
Problems = str | os.PathLike[str] | Iterable[Mapping[str, Any] | Problem]
"""a file or a spec, as `world:size=20` or `hf:NAME,split=train`; or rows: a list of dictionaries, a `datasets.Dataset`,
a pandas frame"""
RUNS = Path("runs")
"""where a folder is made if none is named"""
C = TypeVar("C", bound=Config)
IN_MEMORY = "in memory"
"""the name of a model that has none"""


@dataclass(frozen=True)
class GivenModel:
    """A model by the name that records call it, and itself if it is in memory."""

    name: str
    loaded: Loaded | None = None


def to_model(model: Model, role: str) -> GivenModel:
    """`role`: `teacher`, `student` or `model`, the parameter that it was given for. Raises ValueError for anything that
    is no model with its tokenizer."""
    if isinstance(model, str | os.PathLike):
        return GivenModel(os.fspath(model))
    if isinstance(model, tuple) and len(model) == 2:
        weights, tokenizer = model
        if isinstance(weights, PreTrainedModel) and isinstance(tokenizer, PreTrainedTokenizerBase):
            model = adopt(weights, tokenizer, role)
    if not isinstance(model, Loaded):
        seen = f"a tuple of {len(model)}" if isinstance(model, tuple) else type(model).__name__
        raise ValueError(
            f"{role} is {seen}, expected a folder, a hub name, or (model, tokenizer) as transformers loads them"
        )
    return GivenModel(model.model.name_or_path or model.tokenizer.name_or_path or IN_MEMORY, model)


def to_problems(
    problems: Problems,
    parameter: str,
    *,
    limit: int | None = None,
    question_field: str | None = None,
    answer_field: str | None = None,
    skip_bad_rows: bool = False,
) -> tuple[str, list[Problem] | None]:
    """(what the record calls them, the problems); of a spec the problems are None: it is read with the run's options.

    Rows have the freedom of column names that files have. Raises ValueError for rows that cannot be read.
    """
    if isinstance(problems, str | os.PathLike):
        return os.fspath(problems), None
    if not isinstance(problems, Iterable):
        raise ValueError(f"{parameter} is {type(problems).__name__}, expected a spec, a file, or rows of them")
    name = type(problems).__name__
    given = list(as_rows(problems, parameter))
    known = [one for _, one in given if isinstance(one, Problem)]
    if not known:
        rows: Rows = ((where, dict(row)) for where, row in given if not isinstance(row, Problem))
        known = collect(parameter, name, rows, question_field, answer_field, [] if skip_bad_rows else None)
    elif len(known) < len(given):
        raise ValueError(f"{parameter} holds rows and ownwords.Problem, expected one kind")
    return name, known[:limit]


def as_rows(rows: Iterable[Any], parameter: str) -> Iterator[tuple[str, Mapping[str, Any] | Problem]]:
    """Each row with the place where it stands. Raises ValueError for one that is no mapping."""
    if type(rows).__module__.partition(".")[0] == "pandas":
        rows = rows.to_dict("records")  # type: ignore[attr-defined]  # a frame: it iterates over its columns
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping | Problem):
            raise ValueError(f"{parameter}[{number}] is {type(row).__name__}, expected a dictionary")
        yield f"{parameter}[{number}]", row


def to_folder(given: str | os.PathLike[str] | None, kind: str) -> Path:
    """The folder that was named, or the first of runs/KIND-1, runs/KIND-2, ... that is not there yet."""
    if given is not None:
        return Path(given)
    return next(path for n in count(1) if not os.path.lexists(path := RUNS / f"{kind}-{n}"))


def configured(kind: type[C], **flat: Any) -> C:
    """A configuration of options by their flat names. Raises ValueError for a name that there is not, or a value that
    an option does not take."""
    config = kind.of(**flat)
    plain: type = kind
    for name, option in options(plain).items():
        value = option.of(config)
        choices = get_args(option.kind)
        if get_origin(option.kind) is Literal and value not in choices:
            raise FieldError(name, "{" + name + "} is {}, expected {}", repr(value), ", ".join(map(str, choices)))
    return config
