"""What a run directory that is gone on with has decided already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ownwords.engines.options import LocalOptions
from ownwords.traces.store import Store, is_run


def as_begun(options: LocalOptions, run: Path) -> LocalOptions:
    """The same with the types of weights that the run directory was begun with, if there is one and none are given."""
    if not is_run(run):
        return options
    with Store.read(run) as store:
        begun = {name: store.config.get(name, "auto") for name in ("teacher_dtype", "student_dtype")}
    return replace(options, **{name: dtype for name, dtype in begun.items() if getattr(options, name) == "auto"})
