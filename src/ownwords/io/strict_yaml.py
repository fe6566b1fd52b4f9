"""YAML as people mean it: plain values only, and no key twice."""

from __future__ import annotations

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ValueError(f"line {line}: {key.value!r} stands in line {seen[key.value]} already")
            seen[key.value] = line
        return super().construct_mapping(node, deep)


# 1e-4 is a number, which YAML 1.1 wants to be 1.0e-4
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse_yaml(text: str) -> Any:
    """Raises ValueError for what is no such YAML."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # a safe loader, made stricter
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from error


def parse_mapping(text: str) -> dict[str, Any]:
    """The same for a text that is a mapping; an empty one has nothing in it."""
    found = parse_yaml(text)
    found = {} if found is None else found
    if not isinstance(found, dict):
        raise ValueError(f"a YAML {type(found).__name__}")
    return found
