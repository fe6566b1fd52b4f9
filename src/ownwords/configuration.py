"""Configurations: frozen dataclasses with their options in groups by concern, and a flat name for every option.

`config.budget.max_tokens` is `max_tokens` to people: on the command line, in a run's record, and in
`GenerateConfig.of(run=..., max_tokens=500)`. A dataclass inside of a configuration that is no `Group` keeps its name in
front: `rules.student_sampling.top_p` is `student_sampling.top_p`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


class FieldError(ValueError):
    """A value that an option cannot have.

    `message` names options as {max_tokens} and values as {}, which are filled in from `values`; so whoever shows it can
    name an option in their own way: the command line makes --max-tokens of it. A value may be such an error itself.
    """

    def __init__(self, field: str, message: str, *values: object) -> None:
        super().__init__(field, message, *values)
        self.field = field
        """the flat name of the option that is wrong"""
        self.message = message
        self.values = values

    def worded(self, name: Callable[[str], str]) -> str:
        """The message, with each option called `name(its flat name)`."""
        values = iter(self.values)

        def filled(at: re.Match[str]) -> str:
            if at[1]:
                return name(at[1])
            value = next(values)
            return value.worded(name) if isinstance(value, FieldError) else str(value)

        return re.sub(r"\{([A-Za-z_.]*)\}", filled, self.message)

    def renamed(self, **names: str) -> FieldError:
        """The same about options of other names: `renamed(problems="benchmark")`."""
        message = re.sub(r"\{([A-Za-z_.]+)\}", lambda at: f"{{{names.get(at[1], at[1])}}}", self.message)
        values = [one.renamed(**names) if isinstance(one, FieldError) else one for one in self.values]
        return FieldError(names.get(self.field, self.field), message, *values)

    def __str__(self) -> str:
        return self.worded(str)


class Group:
    """A dataclass of options whose names stand for themselves, without the name of the group."""


@dataclass(frozen=True)
class Free:
    """Marks an option that does not decide what is made, but how much of it, where and how fast: it may change between
    two starts of a run."""


FREE = Free()


@dataclass(frozen=True)
class Option:
    """One option of a configuration."""

    name: str
    """its flat name"""
    path: tuple[str, ...]
    """the attributes that lead to it"""
    kind: Any
    """its type, without marks"""
    marks: tuple[Any, ...]
    """what stands beside the type in Annotated"""
    default: Any
    """MISSING if it has to be given"""
    owner: Any
    """the dataclass that it is a field of"""

    def of(self, config: Any) -> Any:
        """Its value."""
        for attribute in self.path:
            config = getattr(config, attribute)
        return config


def options(kind: object) -> dict[str, Option]:
    """Flat name -> option of a dataclass, in the order of the fields."""
    return _options_by_name(kind)


@cache
def _options_by_name(kind: Any) -> dict[str, Option]:
    return {option.name: option for option in _options(kind, "", (), ())}


def _options(kind: Any, prefix: str, path: tuple[str, ...], marks: tuple[Any, ...]) -> list[Option]:
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for one in fields(kind):
        hint, here = hints[one.name], (*path, one.name)
        inner: Any
        inner, *own = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        name = prefix if isinstance(inner, type) and issubclass(inner, Group) else f"{prefix}{one.name}."
        if is_dataclass(inner):
            found += _options(inner, name, here, (*marks, *own))
        else:
            found.append(Option(prefix + one.name, here, inner, (*marks, *own), _default(one), kind))
    return found


def _default(one: Field[Any]) -> Any:
    return one.default if one.default_factory is MISSING else one.default_factory()


@dataclass(frozen=True, kw_only=True)
class Config:
    """The base of a configuration."""

    @classmethod
    def of(cls, **flat: Any) -> Self:
        """Made of options by their flat names. Raises FieldError for a name that there is not, or a value out of its
        range."""
        return cls(**_parts(cls, _given(cls, flat)))

    def changed(self, **flat: Any) -> Self:
        """The same with other values for some options, by their flat names."""
        return replace(self, **_parts(type(self), _given(type(self), flat), self))

    def flat(self) -> dict[str, Any]:
        """Flat names with JSON values, for a record; the entries of a mapping by themselves, as in
        template_kwargs.thinking."""
        flat: dict[str, Any] = {}
        for name, option in options(type(self)).items():
            value = option.of(self)
            entries = {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
            flat |= {key: _plain(one) for key, one in entries.items()}
        return flat

    @classmethod
    def free(cls) -> frozenset[str]:
        """Flat names of the options that may change between two starts."""
        return frozenset(name for name, option in options(cls).items() if FREE in option.marks)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) or value == math.inf else value


def _given(kind: type[Any], flat: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """Where each option lies, with its value. One dataclass or mapping may stand for all that begin with its name."""
    known, given = options(kind), dict[tuple[str, ...], Any]()
    for name, value in flat.items():
        if name in known:
            given[known[name].path] = value
        elif any(one.startswith(f"{name}.") for one in known) and (is_dataclass(value) or isinstance(value, Mapping)):
            inner = value if isinstance(value, Mapping) else vars(value)
            given |= _given(kind, {f"{name}.{key}": one for key, one in inner.items()})
        else:
            near = difflib.get_close_matches(name, known, 1, cutoff=0.75)
            raise FieldError(name, "{} is no option" + (", did you mean {}?" if near else ""), name, *near)
    return given


def _parts(
    kind: type[Any], given: Mapping[tuple[str, ...], Any], base: Any = None, path: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The fields of a dataclass that something is given for. `base`: the instance that has the other options."""
    parts: dict[str, Any] = {}
    for one in fields(kind):
        here = (*path, one.name)
        if here in given:
            parts[one.name] = given[here]
        elif any(other[: len(here)] == here for other in given):
            inner = get_type_hints(kind)[one.name]
            within = getattr(base, one.name, None)
            found = _parts(inner, given, within, here)
            parts[one.name] = inner(**found) if within is None else replace(within, **found)
    return parts


def given(setting: T | None) -> T:
    """A setting that every resolved configuration has. Raises ValueError if it was not resolved."""
    if setting is None:
        raise ValueError("the configuration lacks what its preset gives: expected one that was resolved()")
    return setting
