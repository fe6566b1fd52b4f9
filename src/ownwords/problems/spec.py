"""`NAME,key=value,...`: how a source with settings is written in one string."""

from __future__ import annotations


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
