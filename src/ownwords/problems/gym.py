"""Problems of reasoning-gym tasks."""

from __future__ import annotations

import difflib
import json
from typing import Any

from ownwords.answers.judge import judge
from ownwords.problems.spec import read_settings
from ownwords.records.problem import Problem


def reasoning_gym() -> Any:
    """The module; it is an extra of this package."""
    try:
        import reasoning_gym
    except ImportError as error:
        raise ValueError('reasoning-gym is not installed: pip install "ownwords[gym]"') from error
    return reasoning_gym


def gym_problems(spec: str, limit: int | None, seed: int) -> list[Problem]:
    """`TASK,size=100,seed=7,max_terms=4,...`: a reasoning-gym task and any of its settings (size 100, the given seed).

    A question that recurs counts once. Raises ValueError for an unknown task or setting, naming the nearest.
    """
    name, settings = read_settings(f"gym:{spec}", spec)
    gym = reasoning_gym()
    from reasoning_gym.factory import DATASETS

    if name not in DATASETS:
        close = difflib.get_close_matches(name, DATASETS, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "expected one such as chain_sum, gcd or gsm_symbolic"
        raise ValueError(f"unknown reasoning-gym task {name!r}, {hint}")
    known = set(DATASETS[name][1].__dataclass_fields__)
    for key in settings:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(known))}"
            raise ValueError(f"the reasoning-gym task {name} has no setting {key!r}: {hint}")
    try:
        dataset = gym.create_dataset(name, **{"size": 100, "seed": seed, **settings})
        items = [dataset[i] for i in range(len(dataset))]
        # Tasks that fill in templates keep the number of each item's template; such items stand or fall together.
        for item, template in zip(items, getattr(dataset, "task_indices", ())):
            item["metadata"]["template"] = template
    except (AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"reasoning-gym refuses gym:{spec}: {error or 'a setting is out of range'}") from error
    problems = [from_item(item) for item in items]
    # A few scorers compare tuples, which JSON turns into lists, and so call every answer wrong. A task without
    # references (they read "None") is judged by its rules.
    told = [p for p in problems if p.answer != "None"]
    if told and not any(judge(p.kind, p.answer, p.answer, p.question, p.metadata) == "correct" for p in told):
        raise ValueError(
            f"gym:{name} cannot be judged: its scorer refuses its own answers once they are stored as JSON"
        )
    return list({problem.id: problem for problem in reversed(problems)}.values())[::-1]


def from_item(item: dict[str, Any]) -> Problem:
    """A reasoning-gym item as a problem; its metadata as JSON, since its scorer wants them back."""
    task = item["metadata"]["source_dataset"]
    return Problem(
        question=item["question"],
        answer=str(item["answer"]),
        kind=f"gym:{task}",
        source=f"gym:{task}",
        metadata=json.loads(json.dumps(item["metadata"], default=_plain)),
    )


def _plain(value: Any) -> Any:
    """numpy scalars and arrays as Python values; whatever else reasoning-gym keeps as its text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
