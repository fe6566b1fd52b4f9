"""ownwords: reasoning traces in the student's own words."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ownwords.answers.call import judge as judge

__version__ = "0.1.0"
__all__ = ["judge"]


def __getattr__(name: str) -> Any:
    """`ownwords.judge`, loaded when it is first asked for: the package itself is quick to import."""
    if name == "judge":
        from ownwords.answers.call import judge

        return judge
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
