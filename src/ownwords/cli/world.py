"""`ownwords world train` and `ownwords world measure`: how the shipped teacher and student were made, and how good
they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from ownwords.cli.app import INTERRUPTED
from ownwords.cli.console import Console
from ownwords.cli.flags import command
from ownwords.io.files import plain_errors, write_file
from ownwords.io.paths import check_output
from ownwords.numbers import Count, CountOrNone, Seed


@command
def train(
    role: Literal["teacher", "student", "same-style"],
    *,
    out: Path,
    device: Literal["cpu", "cuda"] = "cpu",
    compile: bool = False,
    tokens: CountOrNone = None,
) -> int:
    """Train one of the small world's models from scratch; a run that was killed goes on.

    Parameters
    ----------
    role
        Model to train: teacher, student, or same-style (a teacher that writes like the student, and does not ship).
    out
        Directory for the state, the log (metrics.jsonl) and the finished model.
    device
        Device to train on.
    compile
        Use torch.compile: about 1.3 times as fast, needs a C++ compiler.
    tokens
        Tokens to train on; growth and decay keep their share. [default: the recipe's own number]
    """
    console = Console()
    with console.status("preparing"):
        from ownwords.world.recipes import RECIPES, scaled
        from ownwords.world.train import Trainer, world_tokenizer

        recipe = RECIPES[role] if tokens is None else scaled(RECIPES[role], tokens)
        trainer = Trainer(recipe, world_tokenizer(out), out, device, compile)
    if trainer.tokens:
        console.print(f"going on after {trainer.tokens:,} of {recipe.tokens:,} tokens")
    with plain_errors(out):
        if not trainer.run(lambda row: console.print(json.dumps(row))):
            console.print(f"interrupted: the state is kept in {out}; the same command goes on")
            return INTERRUPTED
        trainer.export(out / "model")
    console.print(f"written: {out / 'model'}")
    return 0


@command
def measure(
    *, teacher: str = "world", student: str = "world", problems: Count = 1000, seed: Seed = 1, out: Path | None = None
) -> None:
    """Measure a teacher and a student on problems that neither has seen.

    The figures are greedy accuracy, how foreign the teacher's traces are to the student, and what a decoding step
    costs.

    Parameters
    ----------
    teacher
        Teacher: a model folder, or world.
    student
        Student: a model folder, or world.
    problems
        Problems to measure on, in equal parts of every task family.
    seed
        Seed of the problems.
    out
        JSON file to write the figures to as well.
    """
    if out:
        check_output(out)
    from ownwords.world.measure import measure_pair

    console = Console()
    with console.status("measuring"):
        figures = measure_pair(teacher, student, problems, seed)
    console.print_json(json.dumps(figures))
    if out:
        write_file(out, json.dumps(figures, indent=2) + "\n")
        console.print(f"written: {out}")
