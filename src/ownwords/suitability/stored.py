"""The scores directory: what is in its files, how they come to be, and how they are read.

`scores.parquet`, one row per trace, in the order of the set (nulls in the score columns of a trace that was skipped):

| column | meaning |
|---|---|
| trace | 0, 1, ...: the row in both files |
| problem_id, attempt | content hash of the problem; which one of the set's traces of it |
| source | who wrote it: the set's `model` or `source` column, or the name of the file or run directory |
| verdict | correct, incorrect, unparsable, timeout, unverifiable: as the set has it |
| skipped | why it has no scores (too long for the student, no response); empty where it has |
| prompt_tokens, length, scored_tokens | tokens of the prompt, of the response, and those of the response that count |
| rsr ... ens_31_32 | `ownwords.suitability.scores.SCORES`, then those of other packages; null if there is none |

`tokens.parquet`, the same rows, several to a row group: `trace`, `problem_id`, `attempt`, `prompt_ids`, and lists with
one entry per response token: `token_ids`, `scored` (0 for forced tokens), `surprisal` (nats), `rank`, `entropy` (nats),
`step` (the sentence that it belongs to). The last four are empty for a skipped trace.

`summary.json`: `traces`, `skipped` (reason -> number), `fit` (of the end of turn and of the closing think tag, where
they stand: `traces`, `mean_surprisal`, `median_probability`), `all` and `by_source` (name -> the scores of the set).
"""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from ownwords.io.files import plain_errors, replacing
from ownwords.io.paths import read_json, read_text
from ownwords.records.tokens import Tokens
from ownwords.rsd.columns import FORCED, UNKNOWN
from ownwords.suitability.score import all_scores, ens
from ownwords.suitability.scores import set_scores
from ownwords.traces import fit

_KEY = [("trace", pa.int32()), ("problem_id", pa.string()), ("attempt", pa.int32())]
TOKEN_SCHEMA = pa.schema(
    [*_KEY, ("prompt_ids", pa.list_(pa.int32())), ("token_ids", pa.list_(pa.int32()))]
    + [("scored", pa.list_(pa.uint8())), ("surprisal", pa.list_(pa.float32())), ("rank", pa.list_(pa.int32()))]
    + [("entropy", pa.list_(pa.float32())), ("step", pa.list_(pa.int32()))]
)
NAMES = ("scores.parquet", "tokens.parquet", "summary.json")


def trace_schema() -> pa.Schema:
    """The columns of scores.parquet."""
    return pa.schema(
        [*_KEY, *((name, pa.string()) for name in ("source", "verdict", "skipped"))]
        + [(name, pa.int32()) for name in ("prompt_tokens", "length", "scored_tokens")]
        + [(name, pa.float64()) for name in all_scores()]
    )


# absolute, wherever Arrow is given a path: it takes a leading ~ for somebody's home


def part_path(out: Path, number: int) -> Path:
    return out / "parts" / f"{number:06d}.parquet"


def write_part(out: Path, number: int, rows: list[dict[str, Any]]) -> None:
    """Rows of consecutive traces with the columns of both files; whole or not at all."""
    with plain_errors(out), replacing([part_path(out, number)]) as [file]:
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.unify_schemas([trace_schema(), TOKEN_SCHEMA])), file)


def rows_in_parts(out: Path) -> int:
    return sum(pq.ParquetFile(path.absolute()).metadata.num_rows for path in (out / "parts").glob("*.parquet"))


def finish(out: Path, parts: int, marks: dict[str, int]) -> dict[str, Any]:
    """Make the files from `parts` parts, remove these, and return the summary. `marks`: see `ownwords.traces.fit`.
    Holds one part, the rows without their tokens, and 4 bytes per token for the quantiles."""
    rows: list[dict[str, Any]] = []
    tokens_of: dict[str, list[np.ndarray]] = defaultdict(list)
    surprisal_of: dict[str, list[float]] = defaultdict(list)
    schema = trace_schema()
    with plain_errors(out), replacing([out / name for name in NAMES]) as [scores, tokens, summary]:
        with pq.ParquetWriter(scores, schema) as traces, pq.ParquetWriter(tokens, TOKEN_SCHEMA) as columns:
            for number in range(parts):
                part = pq.read_table(part_path(out, number).absolute())
                traces.write_table(part.select(schema.names))
                columns.write_table(part.select(TOKEN_SCHEMA.names))
                rows += part.select(schema.names).to_pylist()
                for source, values in _ens(part):
                    tokens_of[source].append(values)
                for name, value in _at_marks(part, marks):
                    surprisal_of[name].append(value)
        found = _summary(rows, tokens_of) | {"fit": {name: _fit(values) for name, values in surprisal_of.items()}}
        summary.write((json.dumps(found, indent=2) + "\n").encode())
    shutil.rmtree(out / "parts")
    return found


def _ens(part: pa.Table) -> Iterator[tuple[str, np.ndarray]]:
    """(source, entropy-normalised surprisal of the scored tokens) of every trace with scores."""
    for row in range(part.num_rows):
        if not part["skipped"][row].as_py():
            surprisal, entropy, scored = (_array(part[name][row]) for name in ("surprisal", "entropy", "scored"))
            counts = scored.astype(bool)
            yield part["source"][row].as_py(), ens(surprisal[counts], entropy[counts]).astype(np.float32)


def _at_marks(part: pa.Table, marks: dict[str, int]) -> Iterator[tuple[str, float]]:
    """(name, surprisal) of every end of turn and closing tag that counts."""
    for row in range(part.num_rows):
        if not part["skipped"][row].as_py():
            ids, surprisal, scored = (_array(part[name][row]) for name in ("token_ids", "surprisal", "scored"))
            for name, mark in marks.items():
                at = fit.place(name, mark, ids)
                if at is not None and scored[at]:
                    yield name, float(surprisal[at])


def _fit(surprisals: list[float]) -> dict[str, Any]:
    mean, median = float(np.mean(surprisals)), float(np.exp(-np.median(surprisals)))
    return {"traces": len(surprisals), "mean_surprisal": mean, "median_probability": median}


def _summary(rows: list[dict[str, Any]], ens_of: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    whole = [row for row in rows if not row["skipped"]]

    def figures(group: list[dict[str, Any]], values: list[np.ndarray]) -> dict[str, Any]:
        length = sum(row["length"] for row in group) / len(group)
        tokens = sum(row["scored_tokens"] for row in group)
        return {"traces": len(group), "scored_tokens": tokens, "mean_length": length} | set_scores(
            group, np.concatenate(values)
        )

    return {
        "traces": len(rows),
        "skipped": dict(Counter(row["skipped"] for row in rows if row["skipped"])),
        "all": figures(whole, [one for values in ens_of.values() for one in values]) if whole else None,
        "by_source": {
            source: figures([row for row in whole if row["source"] == source], values)
            for source, values in sorted(ens_of.items())
        },
    }


@dataclass(frozen=True)
class Scores:
    """A finished scores directory."""

    path: Path
    config: dict[str, Any]
    summary: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Scores:
        """Raises ValueError if `path` is no scores directory, or one that is not finished."""
        path = Path(path)
        if not (path / "config.yaml").is_file() or "traces_digest" not in (config := read_config(path / "config.yaml")):
            seen = "is no scores directory" if path.exists() else "does not exist"
            raise ValueError(f"{path} {seen}: expected what `ownwords score TRACES --student MODEL --out DIR` wrote")
        if not (path / "summary.json").is_file():
            raise ValueError(f"{path} is not finished: start the same `ownwords score` again, it goes on")
        return cls(path, config, read_json(path / "summary.json", "the summary that ownwords score writes"))

    def traces(self) -> list[dict[str, Any]]:
        """The rows of scores.parquet."""
        return pq.read_table((self.path / "scores.parquet").absolute()).to_pylist()

    def tokens(self) -> Iterator[Tokens]:
        """The rows of tokens.parquet; holds one row group."""
        with pq.ParquetFile((self.path / "tokens.parquet").absolute()) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                for row in range(table.num_rows):
                    yield Tokens(**token_columns(table, row))


def token_columns(table: pa.Table, row: int) -> dict[str, Any]:
    """A row of tokens.parquet as the columns of a `Tokens`. A set does not tell who wrote a token, only which were
    forced; a trace that was skipped lacks what the student thinks."""
    cells = {name: _array(table[name][row]) for name in TOKEN_SCHEMA.names if name not in dict(_KEY)}
    source = np.where(cells["scored"] == 1, UNKNOWN, FORCED)
    known = {"prompt_ids": cells["prompt_ids"], "token_ids": cells["token_ids"], "source": source}
    if len(cells["surprisal"]):
        known |= {"student_logprob": -cells["surprisal"], "student_rank": cells["rank"]}
        known |= {"student_entropy": cells["entropy"], "step": cells["step"]}
    return known


def _array(cell: pa.ListScalar) -> np.ndarray:
    return np.asarray(cell.values.to_numpy(zero_copy_only=False))


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a config.yaml; empty for a file of another kind. Raises ValueError if it cannot be read."""
    try:
        found = yaml.safe_load(read_text(path, "the settings of a scores directory"))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path}: not YAML ({error})") from error
    return found if isinstance(found, dict) else {}
