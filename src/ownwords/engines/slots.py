"""A cache of slots: every row has its own length, and a freed row takes the next sequence at once.

`transformers` caches grow all rows together. Here the keys and values of row b are written at the positions given for
row b, and attention is masked by position, so that rows of unequal progress decode in one forward pass. The rows in
use are always the first ones: when a row ends, the last row moves into its place, and a forward pass reads a slice of
the cache instead of a copy.

The masks are the model's own. `transformers` makes each of them (causal, sliding window, chunked) from a rule over two
positions, a query's and a key's; `by_rows` has the rule asked at the positions of each row. So a window is only a mask,
and the slots keep all positions.

Shapes: B rows, T new tokens, S cached positions, H key/value heads, D head size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import PretrainedConfig
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.masking_utils import AttentionMaskInterface, eager_mask, sdpa_mask

from ownwords.engines.recurrent import Part, RecurrentLayer, Rows

CHUNK = 64
"""The cache is read up to the longest row, rounded up to this, so that shapes change seldom."""


class SlotLayer(CacheLayerMixin):
    """Keys and values of one layer, (slots, H, capacity, D) each; allocated at the first write, when H and D show.

    `begin`, `end`, `move`, `take`, `put` and `bytes_per_slot` are what `SlotCache` asks of any kind of layer.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, slots: int, capacity: int):
        super().__init__()
        self.slots, self.capacity = slots, capacity
        self.rows: Rows = slice(0)
        self.rows_B1: torch.Tensor | None = None
        self.positions_BT: torch.Tensor | None = None
        self.extent = 0

    def begin(self, rows: Rows, rows_B1: torch.Tensor, positions_BT: torch.Tensor, extent: int) -> None:
        """The next `update` writes at these positions of these rows, and returns the first `extent` ones. `rows_B1` are
        the numbers of `rows`."""
        self.rows, self.rows_B1, self.positions_BT, self.extent = rows, rows_B1, positions_BT, extent

    def end(self) -> None:
        """The pass is over."""

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        # Zeros, not uninitialised memory: a masked position still enters the product, and 0 * NaN is NaN.
        self.keys = key_states.new_zeros(self.slots, key_states.shape[1], self.capacity, key_states.shape[-1])
        self.values = value_states.new_zeros(self.slots, value_states.shape[1], self.capacity, value_states.shape[-1])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.positions_BT is not None
        self.keys[self.rows_B1, :, self.positions_BT] = key_states.transpose(1, 2)
        self.values[self.rows_B1, :, self.positions_BT] = value_states.transpose(1, 2)
        return self.keys[self.rows, :, : self.extent], self.values[self.rows, :, : self.extent]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.extent, 0

    def get_seq_length(self) -> int:
        return self.extent

    def get_max_length(self) -> int:
        return self.capacity

    def move(self, source: int, target: int, length: int) -> None:
        if self.is_initialized:
            self.keys[target, :, :length] = self.keys[source, :, :length]
            self.values[target, :, :length] = self.values[source, :, :length]

    def take(self, row: int, length: int) -> Part:
        """(H, length, D) keys and values; None of a layer that has none of its own, since it shares another's."""
        if not self.is_initialized:
            return None
        return self.keys[row, :, :length].clone(), self.values[row, :, :length].clone()

    def put(self, row: int, prefix: Part) -> None:
        if prefix is None:
            return
        keys_HTD, values_HTD = prefix
        if not self.is_initialized:
            self.lazy_initialization(keys_HTD[None], values_HTD[None])
        self.keys[row, :, : keys_HTD.shape[1]] = keys_HTD
        self.values[row, :, : values_HTD.shape[1]] = values_HTD

    def bytes_per_slot(self, capacity: int) -> int:
        """Memory of one row of so many positions, from the shapes that a first write has shown."""
        return (self.keys[0, :, 0].nbytes + self.values[0, :, 0].nbytes) * capacity if self.is_initialized else 0


class HybridLayer(RecurrentLayer, SlotLayer):  # type: ignore[override]  # `is_croppable` of both
    """A layer that has both, states and keys and values."""

    def __init__(self, slots: int, capacity: int):
        SlotLayer.__init__(self, slots, capacity)
        RecurrentLayer.__init__(self, slots)

    def lazy_initialization(self, *args: Any, **kwargs: Any) -> None:
        SlotLayer.lazy_initialization(self, *args, **kwargs)

    def begin(self, rows: Rows, rows_B1: torch.Tensor, positions_BT: torch.Tensor, extent: int) -> None:
        SlotLayer.begin(self, rows, rows_B1, positions_BT, extent)
        RecurrentLayer.begin(self, rows, rows_B1, positions_BT, extent)

    def move(self, source: int, target: int, length: int) -> None:
        SlotLayer.move(self, source, target, length)
        RecurrentLayer.move(self, source, target, length)

    def take(self, row: int, length: int) -> Part:
        return SlotLayer.take(self, row, length), RecurrentLayer.take(self, row, length)

    def put(self, row: int, prefix: Part) -> None:
        SlotLayer.put(self, row, prefix[0])
        RecurrentLayer.put(self, row, prefix[1])

    def bytes_per_slot(self, capacity: int) -> int:
        return SlotLayer.bytes_per_slot(self, capacity) + RecurrentLayer.bytes_per_slot(self, capacity)


class IndexedLayer(SlotLayer):
    """A layer that keeps the keys of an index besides, by which it chooses what to attend to (DeepSeek-V3.2)."""

    def __init__(self, slots: int, capacity: int):
        super().__init__(slots, capacity)
        self.index = SlotLayer(slots, capacity)

    def begin(self, rows: Rows, rows_B1: torch.Tensor, positions_BT: torch.Tensor, extent: int) -> None:
        super().begin(rows, rows_B1, positions_BT, extent)
        self.index.begin(rows, rows_B1, positions_BT, extent)

    def update_indexer(self, keys_BTD: torch.Tensor) -> torch.Tensor:
        """The index has no values; returns its first `extent` keys."""
        keys_BHTD = keys_BTD[:, None]
        return self.index.update(keys_BHTD, keys_BHTD[..., :0])[0][:, 0]

    def move(self, source: int, target: int, length: int) -> None:
        super().move(source, target, length)
        self.index.move(source, target, length)

    def take(self, row: int, length: int) -> Part:
        return super().take(row, length), self.index.take(row, length)

    def put(self, row: int, prefix: Part) -> None:
        super().put(row, prefix[0])
        self.index.put(row, prefix[1])

    def bytes_per_slot(self, capacity: int) -> int:
        return super().bytes_per_slot(capacity) + self.index.bytes_per_slot(capacity)


def make_layer(kind: str, slots: int, capacity: int) -> SlotLayer | RecurrentLayer:
    """The slots of a layer of this kind, one of the names in a configuration's `layer_types`."""
    if kind in ("linear_attention", "conv"):
        return RecurrentLayer(slots)
    if kind in ("hybrid", "hybrid_sliding"):
        return HybridLayer(slots, capacity)
    if kind == "indexed_attention":
        return IndexedLayer(slots, capacity)
    return SlotLayer(slots, capacity)


def layer_kinds(config: PretrainedConfig) -> list[str]:
    """The kind of each layer, as a configuration names it."""
    config = config.get_text_config()
    return list(getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers)


class SlotCache(Cache):
    """All layers of one model for `slots` rows of at most `capacity` positions."""

    def __init__(self, slots: int, capacity: int, kinds: Sequence[str]):
        self.kinds, self.capacity = kinds, capacity
        self.rows: torch.Tensor | None = None
        self.starts_B1, self.extent, self.length = torch.zeros(0, 1, dtype=torch.long), 0, 0
        self.slot_layers = [make_layer(kind, slots, capacity) for kind in kinds]
        super().__init__(layers=[*self.slot_layers])

    def begin(self, positions_BT: torch.Tensor, longest: int) -> None:
        """Say where the next forward pass writes: into the first rows, or those of `rows`.

        A slot's index is its position, so "not after me" masks both the future and whatever an earlier sequence left
        behind in the row.
        """
        B, T = positions_BT.shape
        self.starts_B1 = positions_BT[:, :1]
        self.extent = min(-(-longest // CHUNK) * CHUNK, self.capacity)
        self.length = self.extent - T
        rows = slice(B) if self.rows is None else self.rows
        rows_B1 = torch.arange(B, device=positions_BT.device)[:, None] if self.rows is None else self.rows[:, None]
        for layer in self.slot_layers:
            layer.begin(rows, rows_B1, positions_BT, self.extent)

    def end(self) -> None:
        """Say that the pass is over."""
        for layer in self.slot_layers:
            layer.end()

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        return self.extent, 0

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """As if all rows ended where the cache is read to: what models that count keys themselves need."""
        return self.length

    def get_query_offset(self, layer_idx: int = 0) -> torch.Tensor:  # type: ignore[override]  # there it is a number
        """starts_B1, the position of each row's first new token; `by_rows` knows what to do with it."""
        return self.starts_B1

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one row over another."""
        for layer in self.slot_layers:
            layer.move(source, target, length)

    def take(self, row: int, length: int) -> list[Part]:
        """A copy of a row's first `length` positions, per layer what `put` wants."""
        return [layer.take(row, length) for layer in self.slot_layers]

    def put(self, row: int, prefix: list[Part]) -> None:
        """Write what `take` returned to the start of a row."""
        for layer, part in zip(self.slot_layers, prefix, strict=True):
            layer.put(row, part)

    def bytes_per_slot(self, capacity: int) -> int:
        return sum(layer.bytes_per_slot(capacity) for layer in self.slot_layers)


def by_rows(make_mask: Callable[..., torch.Tensor | None]) -> Callable[..., torch.Tensor | None]:
    """`transformers`' maker of masks, for queries that begin at another position in each row: `q_offset` may be the
    starts_B1 of a `SlotCache`. With any other offset it is what it was."""

    def make(*args: Any, **kwargs: Any) -> torch.Tensor | None:
        starts_B1 = kwargs.get("q_offset")
        if isinstance(starts_B1, torch.Tensor) and starts_B1.ndim == 2:
            rule = kwargs["mask_function"]

            def at_the_rows(
                batch: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor
            ) -> torch.Tensor:
                return rule(batch, head, query + starts_B1[batch, 0], key)

            kwargs |= {"q_offset": 0, "mask_function": at_the_rows, "allow_is_causal_skip": False}
        return make_mask(*args, **kwargs)

    return make


AttentionMaskInterface.register("sdpa", by_rows(sdpa_mask))
AttentionMaskInterface.register("eager", by_rows(eager_mask))
