"""What differs between the settings that something was made with and those that are asked for now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Every key whose value differs, as `key: old -> new`; empty if none does. Values are compared as JSON holds them,
    and None is as good as a key that is missing: an older version did not have it."""
    before, now = (json.loads(json.dumps(dict(side))) for side in (old, new))
    keys = [key for key in sorted({*before, *now}) if not _same(before.get(key), now.get(key))]
    return "; ".join(f"{key}: {_shown(before.get(key))} -> {_shown(now.get(key))}" for key in keys)


def _same(one: Any, other: Any) -> bool:
    """1 is 1.0, and is not true."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _shown(value: Any) -> str:
    return "(not set)" if value is None else value if isinstance(value, str) else json.dumps(value)
