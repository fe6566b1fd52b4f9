"""Unsupervised prefix fine-tuning (UPFT, arXiv 2503.02875): learn the first steps of a solution only.

Most rows become prefixes: the first L tokens of the completion, the last of them replaced by the end-of-turn id, after
a prompt that asks for no more than the beginning. A share of whole traces keeps the student finishing its answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from ownwords.traces.export import IGNORED
from ownwords.training.rows import Row

TEMPLATE = "{question}\n\nWrite only the first step of the solution: a start to build on, which need not be complete."


def prefix(row: Row, length: int, end_id: int, prompt_ids: list[int] | None = None) -> Row:
    """The row cut to the first `length` tokens of its completion (forced ones count), the last of which becomes
    `end_id`; a completion that is no longer than that keeps its tokens. `prompt_ids`: another prompt to stand before.
    """
    completion, labels = row.input_ids[row.start :][:length].copy(), row.labels[row.start :][:length].copy()
    columns = {name: column[row.start :][:length].copy() for name, column in row.columns.items()}
    if len(row.input_ids) - row.start > length:
        completion[-1] = labels[-1] = end_id
        for column in columns.values():
            column[-1] = np.nan  # what was known is known of the token that stood there
    prompt = row.input_ids[: row.start] if prompt_ids is None else np.asarray(prompt_ids, np.int32)
    blank = np.full(len(prompt), np.nan, np.float32)
    return replace(
        row,
        input_ids=np.concatenate([prompt, completion]),
        labels=np.concatenate([np.full(len(prompt), IGNORED, np.int32), labels]),
        start=len(prompt),
        columns={name: np.concatenate([blank, column]) for name, column in columns.items()},
        prefixed=True,
    )


def spread(rows: Iterable[Row], share: float) -> Iterator[tuple[Row, bool]]:
    """Each row with whether it belongs to the evenly spread `share`: of the first n rows, floor(n * share) do."""
    for n, row in enumerate(rows):
        # a hair above, so that 0.1 of ten rows is one of them and not none
        yield row, int((n + 1) * share + 1e-9) > int(n * share + 1e-9)
