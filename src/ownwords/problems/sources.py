"""Where problems come from, by one string."""

from __future__ import annotations

from pathlib import Path

from ownwords.problems.files import read_jsonl
from ownwords.problems.gym import gym_problems, world_problems
from ownwords.problems.problem import Problem


def load_problems(
    spec: str,
    *,
    limit: int | None = None,
    seed: int = 0,
    question_field: str | None = None,
    answer_field: str | None = None,
) -> list[Problem]:
    """A `.jsonl` file, `gym:TASK,size=100,seed=0,...`, or `world:size=100,seed=0`; the first `limit` of them.

    `seed` is for specs that name none. Raises ValueError, in one line, for whatever cannot be read.
    """
    kind, _, rest = spec.partition(":")
    if kind == "gym" and rest:
        problems = gym_problems(rest, seed)
    elif kind == "world":
        problems = world_problems(rest, seed)
    elif spec.endswith((".jsonl", ".ndjson")):
        problems = read_jsonl(Path(spec), question_field, answer_field)
    else:
        seen = "a directory" if Path(spec).is_dir() else "a file of another kind" if Path(spec).exists() else "nothing"
        raise ValueError(
            f"--problems {spec!r} names {seen}: expected a .jsonl file, "
            "gym:TASK,size=100,seed=0 or world:size=100,seed=0"
        )
    return problems[:limit]
