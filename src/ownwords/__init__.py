"""ownwords: reasoning traces in the student's own words.

Everything here is loaded when it is first asked for: `import ownwords` itself imports nothing but this file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ownwords import rsd as rsd
    from ownwords.answers.call import Judged as Judged
    from ownwords.answers.call import judge as judge
    from ownwords.api.examine import Comparison as Comparison
    from ownwords.api.examine import Evaluation as Evaluation
    from ownwords.api.examine import compare as compare
    from ownwords.api.examine import evaluate as evaluate
    from ownwords.api.learn import Trained as Trained
    from ownwords.api.learn import train as train
    from ownwords.api.suit import Scores as Scores
    from ownwords.api.suit import Selected as Selected
    from ownwords.api.suit import score as score
    from ownwords.api.suit import select as select
    from ownwords.api.tailor import Run as Run
    from ownwords.api.tailor import RunTrace as RunTrace
    from ownwords.api.tailor import generate as generate
    from ownwords.records.problem import Problem as Problem

__version__ = "0.1.0"

_HOME = {
    "Comparison": "api.examine",
    "Evaluation": "api.examine",
    "Judged": "answers.call",
    "Problem": "records.problem",
    "Run": "api.tailor",
    "RunTrace": "api.tailor",
    "Scores": "api.suit",
    "Selected": "api.suit",
    "Trained": "api.learn",
    "compare": "api.examine",
    "evaluate": "api.examine",
    "generate": "api.tailor",
    "judge": "answers.call",
    "rsd": "",
    "score": "api.suit",
    "select": "api.suit",
    "train": "api.learn",
}
"""public name -> the module that has it; `rsd` is a package itself"""
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOME[name]
    found = getattr(import_module(f"{__name__}.{home}"), name) if home else import_module(f"{__name__}.{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
