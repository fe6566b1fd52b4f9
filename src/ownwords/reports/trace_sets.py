"""What a report is about: trace sets with their problems, their tokenizer and their configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ownwords.models.load import load_tokenizer
from ownwords.reports.scored import scored_source
from ownwords.reports.source import Source, decoder
from ownwords.traces.soft import Overlap
from ownwords.traces.store import Store, is_run

MOST = 4
"""sets in one report: as many as there are line styles, and columns that fit a screen"""


@contextmanager
def open_sources(paths: Sequence[Path]) -> Iterator[list[Source]]:
    """The sets of all paths, open for reading, in their order.

    Raises ValueError if there are more than `MOST`, one stands there twice, or one is neither a run nor a scores
    directory, or is empty.
    """
    if len(paths) > MOST:
        raise ValueError(f"{len(paths)} sets, expected at most {MOST} side by side: make several reports")
    if twice := next((path for i, path in enumerate(paths) if path in paths[:i]), None):
        raise ValueError(f"{twice} is named twice, expected each set once")
    with ExitStack() as opened:
        yield [_source(path, name, opened) for path, name in zip(paths, _names(paths))]


def _source(path: Path, name: str, opened: ExitStack) -> Source:
    if (path / "config.yaml").is_file() and not is_run(path):
        return scored_source(path, name)
    return _run(opened.enter_context(Store.read(path)), name)


def _run(store: Store, name: str) -> Source:
    if not len(store):
        raise ValueError(f"{store.run_dir} holds no attempts yet: run ownwords generate --run {store.run_dir}")
    return Source(
        name=name,
        gate=store.config["gate"],
        config=store.config,
        versions=store.versions,
        problems=store.problems(),
        traces=store.traces,
        decode=decoder(load_tokenizer(store.config["student"], "student")),
        figures=_overlap(store),
    )


def _overlap(store: Store) -> dict[str, str]:
    if store.soft_targets is None or store.config["teacher"] == "none":
        return {}
    return Overlap.of(store.traces(soft=True), store.soft_targets).described


def _names(paths: Sequence[Path]) -> list[str]:
    """The last parts of the paths; the whole paths where those are not distinct."""
    names = [path.resolve().name for path in paths]
    return names if len({*names}) == len(names) else [str(path) for path in paths]
