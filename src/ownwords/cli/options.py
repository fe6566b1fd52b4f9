"""`--config`: a YAML file with options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ownwords.io.paths import read_text


class _Loader(yaml.SafeLoader):
    """YAML's plain values only, and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ValueError(f"line {line}: {key.value!r} stands in line {seen[key.value]} already")
            seen[key.value] = line
        return super().construct_mapping(node, deep)


def read_options(path: Path) -> dict[str, Any]:
    """Option -> value, options of a group as a mapping. Raises ValueError in one line for what is no such file."""
    text = read_text(path, "a YAML file with options")
    try:
        options = yaml.load(text, _Loader)  # noqa: S506  # a safe loader, made stricter
        options = {} if options is None else options
        if not isinstance(options, dict):
            raise ValueError(f"a YAML {type(options).__name__}")
        options = _given(options)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"--config {path}: {error}; expected lines such as `attempts: 4`") from error
    return options


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
