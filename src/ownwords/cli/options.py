"""`--config`: a YAML file with options, in groups as the configuration has them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ownwords.configuration import Config, options
from ownwords.io.paths import read_text
from ownwords.io.strict_yaml import parse_mapping


def read_options(path: Path, kind: type[Config] | None = None) -> dict[str, Any]:
    """Option -> value, for a command with a configuration of a `kind`. Options that have a group are read outside of it
    too, as files had them before there were groups; then stderr says in a line how they are called now.

    Raises ValueError in one line for what is no such file.
    """
    text = read_text(path, "a YAML file with options")
    try:
        values, moved = _ungrouped(_given(parse_mapping(text)), _groups(kind))
    except ValueError as error:
        raise ValueError(f"--config {path}: {error}; expected lines such as `seed: 4`") from error
    if moved:
        moves = ", ".join(f"{old} is {new}" for old, new in moved.items())
        print(f"warning: {path}: options stand in groups now: {moves}", file=sys.stderr)
    return values


def _groups(kind: type[Config] | None) -> dict[str, str]:
    """The first word of an option's flat name -> the group that it is in."""
    found = options(kind).values() if kind else ()
    return {one.name.split(".")[0]: one.path[0] for one in found if one.path[0] != one.name.split(".")[0]}


def _ungrouped(given: dict[str, Any], groups: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Options without their groups, and what stood outside of its group: its name -> how it is called now."""
    values: dict[str, Any] = {}
    stands: dict[str, str] = {}
    moved: dict[str, str] = {}
    for key, value in given.items():
        group = _name(key)
        grouped = group in groups.values() and isinstance(value, dict)
        for inner, one in value.items() if grouped else [(key, value)]:
            name, place = _name(inner), f"{key}.{inner}" if grouped else inner
            if name in values:
                raise ValueError(f"{place} stands there as {stands[name]} already")
            belongs = groups.get(name.split(".")[0])
            if grouped and belongs != group:
                here = ", ".join(option for option, its in groups.items() if its == group)
                raise ValueError(f"{place} is no option, expected one of {here} in {key}")
            if belongs and not grouped:
                moved[inner] = f"{belongs}.{name}"
            values[name], stands[name] = one, place
    return values, moved


def _name(key: str) -> str:
    return key.replace("-", "_")


def _given(options: dict[Any, Any]) -> dict[str, Any]:
    """The options that have a value; null leaves one as it is."""
    for key, value in options.items():
        if not isinstance(key, str) or key == "config":
            raise ValueError(f"the key {key!r} is no name of an option")
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and "\0" in one:
                raise ValueError(f"{key} holds a NUL character")
    given = {key: value for key, value in options.items() if value is not None}
    return {key: _given(value) if isinstance(value, dict) else value for key, value in given.items()}
