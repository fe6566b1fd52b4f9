"""What other packages add: entry points, read when they are asked for.

[project.entry-points."ownwords.gates"]
entropy = "my_package:Entropy"
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any


@cache
def plugins(group: str) -> dict[str, EntryPoint]:
    """name -> entry point of a group."""
    return {point.name: point for point in entry_points(group=group)}


def load_plugin(group: str, name: str, what: str) -> Any:
    """The object registered under a name. Raises ValueError in one line if there is none or it cannot be imported."""
    points = plugins(group)
    if name not in points:
        known = ", ".join(sorted(points)) or "none"
        raise ValueError(f"no {what} is called {name!r}, expected one of: {known}")
    try:
        return points[name].load()
    except Exception as error:  # whatever a foreign module raises as it is imported
        reason = " ".join(str(error).split())
        raise ValueError(f"the {what} {name!r} ({points[name].value}) cannot be imported: {reason}") from error
