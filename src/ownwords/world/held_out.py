"""The held-out problems of the small world, as a source of problems: `world:size=300,seed=7,split=test`."""

from __future__ import annotations

from ownwords.problems.gym import from_item, reasoning_gym
from ownwords.problems.spec import read_settings
from ownwords.records.problem import Problem
from ownwords.world.tasks import FAMILIES, items

SPLITS = ("practice", "test")


def world_problems(spec: str, limit: int | None, seed: int) -> list[Problem]:
    """`size=300,seed=7,split=test`: distinct problems that no training document of the small world shows, its task
    families in turn. The splits `practice` and `test` are halves of them that share no question, whatever their seeds:
    one to make traces of, the other to measure on; without one, both."""
    _, settings = read_settings(f"world:{spec}", f"world,{spec}" if spec else "world")
    if unknown := sorted(set(settings) - {"size", "seed", "split"}):
        raise ValueError(
            f"world has no setting {unknown[0]!r}: expected size, seed and split, as world:size=300,seed=7,split=test"
        )
    split = settings.get("split")
    if split not in (None, *SPLITS):
        raise ValueError(f"world:{spec} has no split {split!r}: expected {' or '.join(SPLITS)}")
    size, seed = settings.get("size", 100), settings.get("seed", seed)
    if not isinstance(size, int) or size < 1 or not isinstance(seed, int):
        raise ValueError(f"world:{spec} has size {size!r} and seed {seed!r}: expected whole numbers, size from 1 up")
    reasoning_gym()
    # reasoning-gym seeds item i by seed + i: seeds that lie a million apart share no items.
    streams = [items(family, 1_000_000 * (seed + 1), want_held_out=True) for family in FAMILIES]
    found: dict[str, Problem] = {}
    while len(found) < size:
        problem = from_item(next(streams[len(found) % len(streams)]))
        if split in (None, SPLITS[int(problem.id[2:4], 16) % 2]):  # the first two digits say whether it is held out
            found.setdefault(problem.id, problem)
    return list(found.values())
