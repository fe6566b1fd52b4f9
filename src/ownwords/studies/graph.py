"""What a study has to do, as steps that are named by what decides them: their options, the content of the files and
models that these name, and the steps before them. Equal steps are one, whoever asks for them; a step that was done is
not done again, and a change to an arm touches what comes after it and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ownwords.models.load import weights_of

Kind = Literal["traces", "shared", "scores", "choice", "training", "distilling", "answers"]
MODELS = {"teacher": "teacher", "student": "student", "model": "student"}
"""option that names a model -> its role"""


@dataclass(frozen=True)
class Step:
    """Made of options by their flat names, and of what other steps have made."""

    kind: Kind
    options: dict[str, Any] = field(hash=False)  # as mappings have none
    after: tuple[Step, ...] = ()
    said: str = field(default="", compare=False)
    """what it is for, to people"""

    @property
    def key(self) -> str:
        """16 hexadecimal digits; equal for equal work."""
        return _key(self.kind, json.dumps(self.options, sort_keys=True), tuple(one.key for one in self.after))

    @property
    def name(self) -> str:
        """of its folder"""
        return f"{self.kind}-{self.key}"


@cache
def _key(kind: str, options: str, after: tuple[str, ...]) -> str:
    contents = {name: content(name, value) for name, value in json.loads(options).items() if isinstance(value, str)}
    said = json.dumps([kind, options, after, contents], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


@cache
def content(name: str, value: str) -> str:
    """What a model or a file holds, as hexadecimal digits; empty for an option that names neither.

    Raises ValueError for a model that cannot be read.
    """
    if name in MODELS and value != "none":
        return weights_of(value, MODELS[name])[1]
    path = Path(value)
    try:
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        total = hashlib.sha256()
        for file in files:
            total.update(f"{file.relative_to(path)}:".encode() + hashlib.sha256(file.read_bytes()).digest())
        return total.hexdigest()
    except OSError:  # no file, such as the name of a benchmark
        return ""


def in_order(steps: Iterable[Step]) -> list[Step]:
    """These and all before them, each once, after what it needs."""
    found: dict[Step, None] = {}

    def visit(step: Step) -> None:
        if step not in found:
            for one in step.after:
                visit(one)
            found[step] = None

    for step in steps:
        visit(step)
    return [*found]
