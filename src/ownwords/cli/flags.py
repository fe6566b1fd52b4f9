"""Flags made of configurations and ranges: what cyclopts is told about a command's options."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING
from functools import cache, wraps
from textwrap import dedent
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from cyclopts import CycloptsError, Parameter

from ownwords.configuration import Config, Option, options
from ownwords.numbers import Range


def flag(name: str) -> str:
    """The flag of an option with a flat name."""
    return "--" + name.replace("_", "-")


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command as cyclopts reads it: ranges read their numbers, and a parameter that is a configuration becomes a flag
    for each of its options. Called with that parameter, it is the function itself."""
    hints = get_type_hints(function, include_extras=True)
    given = inspect.signature(function).parameters.values()
    config = config_of(function)
    parameters = [one.replace(annotation=_annotated(hints[one.name])) for one in given if hints[one.name] is not config]
    names = {}
    if config:
        name = next(one.name for one in given if hints[one.name] is config)
        for option in options(config).values():
            names[option.name.replace(".", "_")] = option.name
            parameters.append(_parameter(option))
    parameters.sort(key=lambda one: one.kind)

    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        if config and not args and name not in options:
            flat = {names[key]: options.pop(key) for key in names if key in options}
            options[name] = config.of(**flat)
        return function(*args, **options)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # as inspect documents it
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def config_of(function: Callable[..., Any]) -> type[Config] | None:
    """The kind of configuration that a command takes."""
    hints = get_type_hints(inspect.unwrap(function))
    return next((one for one in hints.values() if isinstance(one, type) and issubclass(one, Config)), None)


def _parameter(option: Option) -> inspect.Parameter:
    annotation = Annotated[option.kind, *option.marks, Parameter(name=flag(option.name), help=_help(option))]
    return inspect.Parameter(
        option.name.replace(".", "_"),
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if option.default is MISSING else option.default,
        annotation=_annotated(annotation),
    )


def _annotated(hint: Any) -> Any:
    """A type with its range as cyclopts reads it; a tuple of any length takes several words."""
    kind, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    told = [Parameter(converter=_reader(mark)) if isinstance(mark, Range) else mark for mark in marks]
    if get_origin(kind) is tuple and get_args(kind)[-1] is ...:
        told.append(Parameter(consume_multiple=True))
    return Annotated[kind, *told] if told else kind


def _reader(range_: Range) -> Callable[[Any, Sequence[Any]], Any]:
    def read(kind: Any, tokens: Sequence[Any]) -> Any:
        [token] = tokens
        text = token.value.strip()
        if text.lower() == "none" and type(None) in get_args(kind):
            return None
        value = range_.read(text)
        if not range_.holds(value):
            name = (token.keyword or "the value").replace("][", ".").strip("[]")  # [a][b] is of a file
            raise CycloptsError(msg=f"{name} is {value!r}, expected {range_.expected}")
        return value

    return read


def _help(option: Option) -> str:
    return _documented(option.owner)[option.path[-1]]


@cache
def _documented(kind: type) -> dict[str, str]:
    """Field -> the text below it in the source."""
    [definition] = ast.parse(dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                texts[field.target.id] = " ".join(str(text.value.value).split())
    return texts
