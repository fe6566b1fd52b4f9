"""Records of attempts as bytes, between the processes of vLLM and over HTTP."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from ownwords.rsd.columns import COLUMNS
from ownwords.rsd.soft import soft_dtype

Packed = dict[str, bytes]


def pack(columns: Mapping[str, np.ndarray]) -> Packed:
    return {name: column.tobytes() for name, column in columns.items()}


def unpack(packed: Mapping[str, bytes], tokens: int, soft_targets: int = 0) -> dict[str, np.ndarray]:
    """The columns, cut at `tokens`. Raises KeyError or ValueError if they are not of that kind or fewer."""
    types = COLUMNS | ({"soft": soft_dtype(soft_targets)} if soft_targets else {})
    columns = {name: np.frombuffer(packed[name], dtype)[:tokens].copy() for name, dtype in types.items()}
    if any(len(column) != tokens for column in columns.values()):
        raise ValueError(f"a record is shorter than its {tokens} tokens")
    return columns


def to_json(packed: Packed) -> dict[str, str]:
    return {name: base64.b64encode(column).decode() for name, column in packed.items()}


def from_json(found: Mapping[str, Any]) -> Packed:
    return {name: base64.b64decode(column) for name, column in found.items()}
