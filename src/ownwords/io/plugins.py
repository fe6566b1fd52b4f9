"""What can be added without a fork: entry points, read when they are asked for. Ours come by the same door.

[project.entry-points."ownwords.gates"]
nucleus = "my_package:Nucleus"
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any


@cache
def plugins(group: str) -> dict[str, EntryPoint]:
    """name -> entry point of a group. Raises ValueError if two packages give one name."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        if (other := found.setdefault(point.name, point)) != point:
            raise ValueError(
                f"two packages register {point.name!r} in {group} ({other.value} and {point.value}): uninstall one"
            )
    return found


@cache
def load_plugin(group: str, name: str, what: str) -> Any:
    """The object registered under a name. Raises ValueError in one line if there is none or it cannot be imported."""
    points = plugins(group)
    if name not in points:
        known = ", ".join(sorted(points)) or "none, since ownwords was installed before it had any: install it again"
        raise ValueError(f"unknown {what} {name!r}, expected one of: {known}")
    try:
        return points[name].load()
    except Exception as error:  # whatever a foreign module raises as it is imported
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"the {what} {name!r} ({points[name].value}) cannot be imported: {reason}") from error
