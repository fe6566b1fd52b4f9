"""A run as a folder that others can use: its tables, decoded with the run's own tokenizer, and a data card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from ownwords.chat.templates import decode
from ownwords.io.files import write_file
from ownwords.io.paths import held
from ownwords.models.load import load_tokenizer
from ownwords.sharing.data_card import data_card
from ownwords.traces.distill import Layout
from ownwords.traces.export import export
from ownwords.traces.select import Pick, Selection
from ownwords.traces.store import Store


def export_run(
    run: Path,
    out: Path,
    pick: Pick = "shortest",
    max_fallback: float = 0.5,
    correct: bool = True,
    overwrite: bool = False,
    seed: int = 0,
    title: str | None = None,
    licence: str = "unknown",
    layouts: Sequence[Layout] = (),
) -> dict[str, Path]:
    """Write what `ownwords.traces.export` makes of a run, and the card beside it; file name -> path. `title` and
    `licence` are the card's.

    Raises ValueError if a file exists and `overwrite` is not set, and for whatever `export` refuses.
    """
    with Store.read(run) as store:
        tokenizer = load_tokenizer(store.config["student"], "student")
        think, vocab = store.config["think"], tokenizer.get_vocab()
        card = out / "README.md"
        if held(out, [card.name]) and not overwrite:
            raise ValueError(f"{out} holds README.md already: name another directory, or set overwrite")
        selection = Selection(correct=correct, pick=pick, max_fallback=max_fallback, seed=seed)
        written = export(
            store, out, selection.for_gate(store.config["gate"]), lambda ids: decode(tokenizer, ids, think),
            vocab.get(think[1]), overwrite, tuple(dict.fromkeys(layouts)), max(vocab.values()) + 1,
        )  # fmt: skip
        made = [name.removesuffix(".parquet") for name in written if name.endswith(".parquet")]
        rows = {table: pq.read_metadata((out / f"{table}.parquet").absolute()).num_rows for table in made}
        write_file(card, data_card(store, rows, title or run.name, licence))
    return {**written, card.name: card}
