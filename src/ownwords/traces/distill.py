"""Soft targets in the layouts that trainers of distillation read, a table each; docs/soft_targets.md has every field.

`union` is all that was kept. The others hold the teacher's set alone, k places for every token, the likeliest first;
they differ in where a token's targets stand. `trl` has them at the token that they are about. `axolotl` and
`distillkit` have them where the student's logits for it are: at the position before.

Shapes: T tokens of the completion, N positions of the prompt and the completion, K = k, V ids of the student.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from ownwords.records.trace import Trace
from ownwords.rsd.columns import FORCED
from ownwords.rsd.soft import PAD, in_sets

Layout = Literal["union", "trl", "axolotl", "distillkit"]
IGNORED = -100
"""the label of a token that carries no loss"""
NEARLY_ZERO = -100.0
"""nats: for trainers that multiply with a log-probability of -inf, which makes NaN"""
BYTES = 64 * 2**20
"""a Parquet row group is written at so many"""
_KEY = [("problem_id", pa.string()), ("attempt", pa.int32())]


def _fields(kind: pa.DataType, *names: str, depth: int = 1) -> list[tuple[str, pa.DataType]]:
    for _ in range(depth):
        kind = pa.list_(kind)
    return [(name, kind) for name in names]


SCHEMAS: dict[Layout, pa.Schema] = {
    "union": pa.schema(
        _KEY
        + _fields(pa.int32(), "prompt_ids", "token_ids")
        + _fields(pa.uint8(), "source")
        + _fields(pa.int32(), "target_ids", depth=2)
        + _fields(pa.float32(), "teacher_logprobs", "student_logprobs", depth=2)
    ),
    "trl": pa.schema(
        _KEY
        + _fields(pa.int32(), "prompt_ids", "completion_ids")
        + _fields(pa.float32(), "logprobs", "actual_logprobs", depth=2)
        + _fields(pa.int32(), "logprob_token_ids", "actual_token_ids", depth=2)
    ),
    # these trainers make tensors of whatever a row holds: numbers only
    "axolotl": pa.schema(
        _fields(pa.int32(), "input_ids")
        + _fields(pa.int8(), "attention_mask")
        + _fields(pa.int32(), "labels")
        + _fields(pa.int32(), "target_token_ids", depth=2)
        + _fields(pa.float32(), "target_logprobs", depth=2)
        + _fields(pa.int8(), "target_mask", depth=2)
    ),
    "distillkit": pa.schema(
        _fields(pa.uint64(), "input_ids")
        + _fields(pa.int64(), "labels")
        + _fields(pa.uint8(), "compressed_logprobs", "bytepacked_indices", depth=2)
    ),
}


@dataclass(frozen=True)
class Targets:
    """The teacher's set of every token of a trace."""

    ids_TK: np.ndarray
    """int32; 0 at a place that is not used, since the teacher can say fewer than k"""
    logprob_TK: np.ndarray
    """float32, nats; -inf at such a place"""

    @classmethod
    def of(cls, trace: Trace) -> Targets:
        soft_T = trace.column("soft")
        k = soft_T["ids"].shape[1] // 2
        theirs_TK = in_sets(soft_T)[0][:, :k]
        logprob_TK = np.where(theirs_TK, soft_T["teacher"][:, :k].astype(np.float32), -np.inf)
        order_TK = (-logprob_TK).argsort(axis=1, kind="stable")
        ids_TK = np.where(theirs_TK, soft_T["ids"][:, :k], 0)
        return cls(*(np.take_along_axis(values_TK, order_TK, axis=1) for values_TK in (ids_TK, logprob_TK)))

    def at_positions(self, before: int, rows: int) -> Targets:
        """The same with the targets of token t in row `before` + t of so many; the other rows mean nothing, and hold
        what does no harm: a uniform distribution. Log-probabilities are finite."""
        T, K = self.ids_TK.shape
        ids_NK = np.tile(np.arange(K, dtype=np.int32), (rows, 1))
        logprob_NK = np.full((rows, K), -np.log(K), np.float32)
        ids_NK[before : before + T], logprob_NK[before : before + T] = self.ids_TK, self.logprob_TK
        return Targets(ids_NK, np.maximum(logprob_NK, np.float32(NEARLY_ZERO)))


def union_row(trace: Trace) -> dict[str, Any]:
    """Per token the ids of both sets, and what each model says of them."""
    soft_T = trace.column("soft")
    used_TU = soft_T["ids"] != PAD
    return {
        "prompt_ids": trace.prompt_ids,
        "token_ids": trace.token_ids,
        "source": trace.source,
        "target_ids": [ids_U[used_U] for ids_U, used_U in zip(soft_T["ids"], used_TU)],
        **{
            f"{side}_logprobs": [row_U[used_U].astype(np.float32) for row_U, used_U in zip(soft_T[side], used_TU)]
            for side in ("teacher", "student")
        },
    }


def trl_row(trace: Trace) -> dict[str, np.ndarray]:
    """What `VLLMClient.get_sequence_logprobs` of TRL returns of a teacher, and the ids that it was asked with. A forced
    opening belongs to the prompt: TRL has no loss mask besides the attention mask."""
    targets, opening = Targets.of(trace), _opening(trace)
    return {
        "prompt_ids": np.concatenate([trace.prompt_ids, trace.token_ids[:opening]]),
        "completion_ids": trace.token_ids[opening:],
        "logprobs": targets.logprob_TK[opening:],
        "logprob_token_ids": targets.ids_TK[opening:],
        "actual_logprobs": trace.column("teacher_logprob")[opening:, None],
        "actual_token_ids": trace.token_ids[opening:, None],
    }


def axolotl_row(trace: Trace) -> dict[str, np.ndarray]:
    """A prepared row of Axolotl's KD plug-in: row i is about token i + 1, and the k probabilities sum to one."""
    P, T = len(trace.prompt_ids), len(trace.token_ids)
    targets = Targets.of(trace).at_positions(P - 1, P + T)
    counts_N = np.zeros(P + T, np.int8)
    counts_N[P - 1 : P - 1 + T] = trace.free
    total_N1 = np.logaddexp.reduce(targets.logprob_TK, axis=1, keepdims=True)
    return {
        "input_ids": trace.ids,
        "attention_mask": np.ones(P + T, np.int8),
        "labels": _labels(trace),
        "target_token_ids": targets.ids_TK,
        "target_logprobs": targets.logprob_TK - total_N1,
        "target_mask": np.repeat(counts_N[:, None], targets.ids_TK.shape[1], axis=1),
    }


def distillkit_row(trace: Trace, vocabulary: int) -> dict[str, np.ndarray]:
    """A row of DistillKit's compressed layout: row i is about token i + 1, so the last token has none and is left out,
    as `distillkit-pack-logits` would. `vocabulary`: V, which decides the bits of an id."""
    P, T = len(trace.prompt_ids), len(trace.token_ids)
    N = P + T - 1
    targets = Targets.of(trace).at_positions(P - 1, N)
    return {
        "input_ids": trace.ids[:N],
        "labels": _labels(trace)[:N],
        "compressed_logprobs": targets.logprob_TK.astype("<f2").view(np.uint8),
        "bytepacked_indices": bit_packed(targets.ids_TK, index_bits(vocabulary)),
    }


def index_bits(vocabulary: int) -> int:
    """Bits of an id in DistillKit's layout."""
    return max(1, (vocabulary - 1).bit_length())


def bit_packed(ids_NK: np.ndarray, bits: int) -> np.ndarray:
    """(N, bytes), uint8: the ids of a row as one stream of bits, the highest of each first, zeros at the end."""
    stream = (ids_NK[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(stream.reshape(len(ids_NK), -1).astype(np.uint8), axis=1)


def distillkit_config(k: int, vocabulary: int) -> str:
    """The settings under which DistillKit reads the table, as YAML for its configuration file."""
    compressor = {
        "d": vocabulary, "k": k, "exact_k": k, "exact_dtype": "float16", "polynomial_terms": None,
        "residual_bins": [], "delta_encoding": False, "error_diffusion": False,
    }  # fmt: skip
    return str(yaml.safe_dump({"teacher": {"kind": "dataset", "logprob_compressor": compressor}}, sort_keys=False))


def _opening(trace: Trace) -> int:
    """Forced tokens at the start."""
    return int(trace.by(FORCED).cumprod().sum())


def _labels(trace: Trace) -> np.ndarray:
    learned_T = np.where(trace.free, trace.token_ids, np.int32(IGNORED))
    return np.concatenate([np.full(len(trace.prompt_ids), IGNORED, np.int32), learned_T])


@contextmanager
def soft_table(file: IO[bytes], layout: Layout, vocabulary: int) -> Iterator[Callable[[Trace], None]]:
    """A function that takes the traces of one table and writes them to a Parquet file, a group at a time."""
    row_of = {"union": union_row, "trl": trl_row, "axolotl": axolotl_row}.get(layout) or (
        lambda trace: distillkit_row(trace, vocabulary)
    )
    schema = SCHEMAS[layout]
    batches: list[pa.RecordBatch] = []
    size = 0

    def flush() -> None:
        nonlocal size
        groups.write_table(pa.Table.from_batches(batches, schema))
        batches.clear()
        size = 0

    def write(trace: Trace) -> None:
        nonlocal size
        row = {"problem_id": trace.problem_id, "attempt": trace.attempt, **row_of(trace)}
        cells = [_cell(row[field.name], field.type) for field in schema]
        batches.append(pa.RecordBatch.from_arrays(cells, schema=schema))
        size += batches[-1].nbytes
        if size >= BYTES:
            flush()

    with pq.ParquetWriter(file, schema, compression="zstd") as groups:
        yield write
        if batches:
            flush()


def _cell(value: Any, kind: pa.DataType) -> pa.Array:
    """A column of one row; lists of lists without a Python object per number."""
    if not (pa.types.is_list(kind) and pa.types.is_list(kind.value_type)):
        return pa.array([value], kind)
    lengths = [len(row) for row in value]
    flat = pa.array(np.concatenate(value) if lengths else [], kind.value_type.value_type)
    inner = pa.ListArray.from_arrays(np.cumsum([0, *lengths], dtype=np.int32), flat)
    return pa.ListArray.from_arrays(np.array([0, len(lengths)], np.int32), inner)
