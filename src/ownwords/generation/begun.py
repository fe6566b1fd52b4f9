"""What a run directory that is gone on with has decided already."""

from __future__ import annotations

from ownwords.generation.config import GenerateConfig
from ownwords.traces.store import Store


def as_begun(config: GenerateConfig) -> GenerateConfig:
    """The same with the types of weights that the run directory was begun with, if there is one and none are given."""
    if not (config.run / "traces.sqlite").is_file():
        return config
    with Store.read(config.run) as store:
        begun = {name: store.config.get(name, "auto") for name in ("teacher_dtype", "student_dtype")}
    return config.changed(**{name: dtype for name, dtype in begun.items() if getattr(config.local, name) == "auto"})
