"""A key/value cache of slots: every row has its own length, and a freed row takes the next sequence at once.

`transformers` caches grow all rows together. Here the keys and values of row b are written at the positions given for
row b, and attention is masked by position, so that rows of unequal progress decode in one forward pass. The rows in
use are always the first ones: when a row ends, the last row moves into its place, and a forward pass reads a slice of
the cache instead of a copy.

Shapes: B rows, T new tokens, S cached positions, H key/value heads, D head size.
"""

from __future__ import annotations

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

CHUNK = 64
"""The cache is read up to the longest row, rounded up to this, so that shapes change seldom."""


class SlotLayer(CacheLayerMixin):
    """Keys and values of one layer, (slots, H, capacity, D) each; allocated at the first write, when H and D show."""

    def __init__(self, slots: int, capacity: int):
        super().__init__()
        self.slots, self.capacity = slots, capacity
        self.positions_BT: torch.Tensor | None = None
        self.rows_B1: torch.Tensor | None = None
        self.extent = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        # Zeros, not uninitialised memory: a masked position still enters the product, and 0 * NaN is NaN.
        self.keys = key_states.new_zeros(self.slots, key_states.shape[1], self.capacity, key_states.shape[-1])
        self.values = value_states.new_zeros(self.slots, value_states.shape[1], self.capacity, value_states.shape[-1])
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs):
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.positions_BT is not None
        B = len(self.positions_BT)
        self.keys[self.rows_B1, :, self.positions_BT] = key_states.transpose(1, 2)
        self.values[self.rows_B1, :, self.positions_BT] = value_states.transpose(1, 2)
        return self.keys[:B, :, : self.extent], self.values[:B, :, : self.extent]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.extent, 0

    def get_seq_length(self) -> int:
        return self.extent

    def get_max_length(self) -> int:
        return self.capacity


class SlotCache(Cache):
    """All layers of one model for `slots` rows of at most `capacity` positions."""

    def __init__(self, slots: int, capacity: int, layers: int):
        self.capacity = capacity
        super().__init__(layers=[SlotLayer(slots, capacity) for _ in range(layers)])

    def begin(self, positions_BT: torch.Tensor, longest: int, dtype: torch.dtype) -> torch.Tensor:
        """Say where the next forward pass writes; returns its additive attention mask, (B, 1, T, S).

        A slot's index is its position, so "not after me" masks both the future and whatever an earlier sequence left
        behind in the row.
        """
        extent = min(-(-longest // CHUNK) * CHUNK, self.capacity)
        rows_B1 = torch.arange(len(positions_BT), device=positions_BT.device)[:, None]
        for layer in self.layers:
            layer.positions_BT, layer.rows_B1, layer.extent = positions_BT, rows_B1, extent
        visible_BTS = torch.arange(extent, device=positions_BT.device) <= positions_BT[:, :, None]
        mask_BTS = torch.zeros(visible_BTS.shape, dtype=dtype, device=positions_BT.device)
        return mask_BTS.masked_fill_(~visible_BTS, torch.finfo(dtype).min)[:, None]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one row over another."""
        for layer in self.layers:
            if layer.is_initialized:
                layer.keys[target, :, :length] = layer.keys[source, :, :length]
                layer.values[target, :, :length] = layer.values[source, :, :length]

    def take(self, row: int, length: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """A copy of a row's first `length` positions, (H, length, D) keys and values per layer."""
        return [(layer.keys[row, :, :length].clone(), layer.values[row, :, :length].clone()) for layer in self.layers]

    def put(self, row: int, prefix: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Write what `take` returned to the start of a row."""
        for layer, (keys_HTD, values_HTD) in zip(self.layers, prefix, strict=True):
            if not layer.is_initialized:
                layer.lazy_initialization(keys_HTD[None], values_HTD[None])
            layer.keys[row, :, : keys_HTD.shape[1]] = keys_HTD
            layer.values[row, :, : values_HTD.shape[1]] = values_HTD
