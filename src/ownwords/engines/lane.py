"""One model with its slots: it is fed tokens at the end of its rows, and gives logits back.

Shapes: B rows, T new tokens, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from ownwords.engines.slots import SlotCache, layer_kinds

PREFILL_TOKENS = 8192
"""Prompts are read in groups of at most this many tokens, padding included."""

Prefix = list
"""of each layer what its `take` gave"""


@dataclass
class Lane:
    """A causal LM, its slot cache and the length of each row in use (the first `len(lengths)` slots)."""

    model: PreTrainedModel
    slots: int
    capacity: int
    """positions per row"""

    def __post_init__(self) -> None:
        self.cache = SlotCache(self.slots, self.capacity, layer_kinds(self.model.config))
        self.lengths: list[int] = []
        self.context = context_length(self.model)

    @torch.inference_mode()
    def read(self, prompts: list[list[int]]) -> list[Prefix]:
        """Read prompts, several in one pass; returns their keys and values, for as many rows as want them.

        The last token of each prompt is left out: it is the first that the rows are fed.
        """
        prefixes: list[Prefix | None] = [None] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        while order:
            group = [order.pop()]
            width = max(len(prompts[group[0]]) - 1, 1)
            while order and width * (len(group) + 1) <= PREFILL_TOKENS:
                group.append(order.pop())
            cache = SlotCache(len(group), width, self.cache.kinds)
            # Padding repeats token 0 to the right; later positions are masked for the real ones before them.
            ids = torch.zeros(len(group), width, dtype=torch.long)
            for row, i in enumerate(group):
                ids[row, : len(prompts[i]) - 1] = torch.tensor(prompts[i][:-1])
            positions_BT = torch.arange(width, device=self.model.device).expand(len(group), -1)
            self._forward(self.model.base_model, cache, ids, positions_BT, width)
            for row, i in enumerate(group):
                prefixes[i] = cache.take(row, len(prompts[i]) - 1)
        return prefixes  # type: ignore[return-value]

    def admit(self, prefix: Prefix, length: int) -> None:
        """Take the next free slot for a sequence whose first `length` positions are `prefix`."""
        assert len(self.lengths) < self.slots
        self.cache.put(len(self.lengths), prefix)
        self.lengths.append(length)

    def release(self, row: int) -> None:
        """Free a slot; the last row in use moves into it."""
        last = len(self.lengths) - 1
        if row != last:
            self.cache.move(last, row, self.lengths[last])
            self.lengths[row] = self.lengths[last]
        self.lengths.pop()

    @torch.inference_mode()
    def feed(self, ids_BT: torch.Tensor) -> torch.Tensor:
        """Append T tokens to every row in use; returns the logits that follow each of them, (B, T, V)."""
        B, T = ids_BT.shape
        assert len(self.lengths) == B
        start_B = torch.tensor(self.lengths)
        positions_BT = (start_B[:, None] + torch.arange(T)).to(self.model.device)
        logits_BTV = self._forward(self.model, self.cache, ids_BT, positions_BT, max(self.lengths) + T).logits
        self.lengths = [n + T for n in self.lengths]
        return logits_BTV

    def rewind(self, lengths: list[int]) -> None:
        """Set the rows back to these lengths."""
        assert all(new <= old for new, old in zip(lengths, self.lengths, strict=True))
        self.cache.rewind(lengths)
        self.lengths = list(lengths)

    def _forward(self, model, cache: SlotCache, ids_BT: torch.Tensor, positions_BT: torch.Tensor, longest: int):
        cache.begin(positions_BT, longest)
        return model(
            input_ids=ids_BT.to(self.model.device),
            # Drafts past the end of an attempt may lie past the model's last position; nobody reads their logits.
            position_ids=positions_BT.clamp(max=self.context - 1),
            past_key_values=cache,
            use_cache=True,
        )


def context_length(model: PreTrainedModel) -> int:
    """The most positions that a model can read; a large number where its configuration names none."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 40
