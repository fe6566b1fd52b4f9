"""Flags made of configurations and ranges: what cyclopts is told about a command's options."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass
from functools import cache, wraps
from operator import getitem
from textwrap import dedent
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from cyclopts import CycloptsError, Group, Parameter

from ownwords.configuration import Config, Option, options
from ownwords.numbers import Range


def flag(name: str) -> str:
    """The flag of an option with a flat name; a variable of the environment is called what it is called."""
    return name if name.isupper() else "--" + name.replace("_", "-")


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command as cyclopts reads it: ranges read their numbers, and a parameter that is a configuration becomes a flag
    for each of its options. Called with that parameter, it is the function itself."""
    hints = get_type_hints(function, include_extras=True)
    config = config_of(function)
    parameters: list[inspect.Parameter] = []
    for one in inspect.signature(function).parameters.values():
        if hints[one.name] is config:
            parameters += map(_parameter, options(config).values())
        else:
            parameters.append(one.replace(annotation=_annotated(hints[one.name])))

    @wraps(function)
    def run(*args: Any, **given: Any) -> Any:
        return function(*args, **(given if args else gathered(function, given)))

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # as inspect documents it
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def config_of(function: Callable[..., Any]) -> type[Config] | None:
    """The kind of configuration that a command takes."""
    hints = get_type_hints(inspect.unwrap(function))
    return next((one for one in hints.values() if isinstance(one, type) and issubclass(one, Config)), None)


def gathered(function: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    """What cyclopts gives a command, with the options of its configuration made into one."""
    config = config_of(function)
    if config is None or "config" in given:
        return given
    names = {_python_name(name): name for name in options(config)}
    flat = {names[key]: value for key, value in given.items() if key in names}
    return {"config": config.of(**flat)} | {key: value for key, value in given.items() if key not in names}


def _python_name(name: str) -> str:
    return name.replace(".", "_")


def _parameter(option: Option) -> inspect.Parameter:
    told = [Parameter(name=flag(option.name), help=_documented(option.owner)[option.path[-1]])]
    if len(option.path) > 1:
        told.append(Parameter(group=_panel(option.path[0])))
    return inspect.Parameter(
        _python_name(option.name),
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if option.default is MISSING else option.default,
        annotation=_annotated(getitem(Annotated, (option.kind, *option.marks, *told))),
    )


@cache
def _panel(name: str) -> Group:
    """The panel of a group, which YAML files call the same; in the order in which they are asked for."""
    return Group.create_ordered(name.capitalize())


def _annotated(hint: Any) -> Any:
    """A type with its range as cyclopts reads it; a tuple of any length takes several words."""
    kind, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    told = [Parameter(converter=Reader(mark)) if isinstance(mark, Range) else mark for mark in marks]
    if get_origin(kind) is tuple and get_args(kind)[-1] is ...:
        told.append(Parameter(consume_multiple=True))
    return getitem(Annotated, (kind, *told)) if told else kind


@dataclass(frozen=True)
class Reader:
    """Reads the text of an option with a range, as cyclopts asks for it."""

    range: Range

    def __call__(self, kind: Any, tokens: Sequence[Any]) -> Any:
        [token] = tokens
        text = token.value.strip()
        if text.lower() == "none" and type(None) in get_args(kind):
            return None
        value = self.range.read(text)
        if not self.range.holds(value):
            name = (token.keyword or "the value").replace("][", ".").strip("[]")  # [a][b] is of a file
            raise CycloptsError(msg=f"{name} is {value!r}, expected {self.range.expected}")
        return value


@cache
def _documented(kind: Any) -> dict[str, str]:
    """Field -> the text below it in the source."""
    [definition] = ast.parse(dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                texts[field.target.id] = " ".join(str(text.value.value).split())
    return texts
