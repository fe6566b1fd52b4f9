"""`NAME,key=value,...`: how a source with settings is written in one string."""

from __future__ import annotations

from typing import Any

import yaml


def split_spec(whole: str, spec: str) -> tuple[str, dict[str, str]]:
    """(name, settings) of a spec; `whole` is what the user wrote, for the message. Raises ValueError."""
    name, *parts = spec.split(",")
    settings = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"{whole}: {part!r} is no setting, expected key=value, as size=100")
        settings[key.strip()] = value.strip()
    return name.strip(), settings


def read_settings(whole: str, spec: str) -> tuple[str, dict[str, Any]]:
    """As `split_spec`, with the values as YAML reads them: numbers, true, false, words. Raises ValueError."""
    name, texts = split_spec(whole, spec)
    settings = {}
    for key, value in texts.items():
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(
                f"{whole}: '{key}={value}' has no readable value, expected a number, true, false or a word"
            ) from error
    return name, settings
