"""What prompts are made with unless something else is said, and the variables of templates as options give them."""

from __future__ import annotations

from typing import Any

import yaml

SYSTEM_PROMPT = (
    "You are a helpful assistant. First explore the problem step by step, then give a clear final response "
    "with the answer inside \\boxed{}."
)
THINK = ("<think>", "</think>")


def read_variables(given: dict[str, Any]) -> dict[str, Any]:
    """Variables of a template; what was given as text becomes what it spells in YAML, as `true` and `3`."""

    def read(text: str) -> Any:
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            return text
        return value if isinstance(value, bool | int | float | list | dict) else text

    return {name: read(value) if isinstance(value, str) else value for name, value in given.items()}


def stored_variables(config: dict[str, Any]) -> dict[str, Any]:
    """The variables of the templates in a run's flat configuration."""
    prefix = "template_kwargs."
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
