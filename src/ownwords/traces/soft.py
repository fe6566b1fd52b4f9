"""The soft targets of a trace as bytes: the places in use only, bytes of equal significance together, zlib.

Numbers are little-endian: a header with k and the number of tokens; then, compressed, the places in use of each token
(2 bytes), and of all places the ids (4 bytes), the teacher's and the student's log-probabilities (2 bytes each, half
precision).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ownwords.records.trace import Trace
from ownwords.rsd.soft import PAD, overlaps, soft_dtype

HEADER = np.dtype([("k", "<u2"), ("tokens", "<u4")])
COUNT, ID, HALF = np.dtype("<u2"), np.dtype("<i4"), np.dtype("<f2")
PARTS = (("ids", ID, PAD), ("teacher", HALF, -np.inf), ("student", HALF, -np.inf))
"""name, type, and what stands at a place that is not used"""
PLACE_BYTES = ID.itemsize + 2 * HALF.itemsize
"""of an id with two log-probabilities, before compression"""


def token_bytes(k: int, sets: int) -> int:
    """The most that a token takes before compression: `sets` of k ids, and none of them in two."""
    return COUNT.itemsize + sets * k * PLACE_BYTES


def pack(soft_T: np.ndarray) -> bytes:
    """An array of `soft_dtype` as bytes."""
    used_TU = soft_T["ids"] != PAD
    header = np.array([(used_TU.shape[1] // 2, len(soft_T))], HEADER)
    parts = [used_TU.sum(1).astype(COUNT), *(soft_T[name][used_TU].astype(dtype) for name, dtype, _ in PARTS)]
    return header.tobytes() + zlib.compress(b"".join(map(_planes, parts)))


def unpack(packed: bytes) -> np.ndarray:
    """The array again."""
    [(k, T)] = np.frombuffer(packed[: HEADER.itemsize], HEADER).tolist()
    planes = zlib.decompress(packed[HEADER.itemsize :])
    soft_T = np.empty(T, soft_dtype(k))
    counts_T, planes = _taken(planes, COUNT, T)
    used_TU = np.arange(2 * k) < counts_T[:, None]
    for name, dtype, pad in PARTS:
        values, planes = _taken(planes, dtype, int(used_TU.sum()))
        soft_T[name] = pad
        soft_T[name][used_TU] = values
    return soft_T


def _planes(values: np.ndarray) -> bytes:
    return values.view(np.uint8).reshape(len(values), values.itemsize).T.tobytes()


def _taken(planes: bytes, dtype: np.dtype, count: int) -> tuple[np.ndarray, bytes]:
    size = dtype.itemsize * count
    values = np.frombuffer(planes[:size], np.uint8).reshape(dtype.itemsize, count).T
    return np.ascontiguousarray(values).view(dtype)[:, 0], planes[size:]


@dataclass(frozen=True)
class Overlap:
    """What two models' k likeliest ids have in common: means over the tokens that are not forced (arXiv 2604.13016,
    which takes them over what the student writes alone; here they are over the traces). NaN if there are none."""

    k: int
    ratio: float
    """of the k ids, the share that is in both sets"""
    teacher_mass: float
    """probability that the teacher gives to these"""
    student_mass: float

    @classmethod
    def of(cls, traces: Iterable[Trace], k: int) -> Overlap:
        """Of traces with soft targets by two models, holding none of them."""
        total_3, tokens = np.zeros(3), 0
        for trace in traces:
            free_T = trace.free
            total_3 += overlaps(trace.column("soft")[free_T]).sum(0)
            tokens += int(free_T.sum())
        return cls(k, *(total_3 / tokens if tokens else np.full(3, np.nan)).tolist())

    @property
    def described(self) -> dict[str, str]:
        """As people read it: label -> text."""
        return {
            f"overlap of both models' {self.k} likeliest ids": f"{self.ratio:.1%}",
            "its probability, teacher / student": f"{self.teacher_mass:.3f} / {self.student_mass:.3f}",
        }
