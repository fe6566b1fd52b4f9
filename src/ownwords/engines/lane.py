"""One model with its slots: it is fed tokens at the end of its rows, and gives logits back.

Shapes: B rows, T new tokens, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import ModelOutput

from ownwords.engines.recurrent import Part, RecurrentLayer, Trail, strides
from ownwords.engines.slots import SlotCache, layer_kinds
from ownwords.models.context import context_length

PREFILL_TOKENS = 8192
"""Prompts are read in groups of at most this many tokens, padding included."""

Prefix = list[Part]
"""of each layer what its `take` gave"""


@dataclass
class Lane:
    """A causal LM, its slot cache and the length of each row in use (the first `len(lengths)` slots)."""

    model: PreTrainedModel
    slots: int
    capacity: int
    """positions per row"""
    rewinds: bool = True
    """False: rows are never rewound, and recurrent layers need not keep a second state for that"""

    def __post_init__(self) -> None:
        self.cache = SlotCache(self.slots, self.capacity, layer_kinds(self.model.config))
        self.lengths: list[int] = []
        self.context = context_length(self.model.config)
        self.trail = Trail()
        takes = inspect.signature(self.model.forward).parameters
        self.cache_name = "past_key_values" if "past_key_values" in takes else "cache_params"
        self.recurrent, self.stepwise, self.convolves = _recurrent(self.cache), False, False
        if self.recurrent:
            self.stepwise, self.convolves = self._probe()
        for layer in self.recurrent:
            layer.record_past = self.convolves and self.rewinds

    @torch.inference_mode()
    def read(self, prompts: list[list[int]]) -> list[Prefix]:
        """Read prompts, several in one pass; returns their keys, values and states, for as many rows as want them.

        The last token of each prompt is left out: it is the first that the rows are fed.
        """
        prefixes: dict[int, Prefix] = {}
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        while order:
            group = [order.pop()]
            width = max(len(prompts[group[0]]) - 1, 1)
            while order and width * (len(group) + 1) <= PREFILL_TOKENS and not self.stepwise:
                group.append(order.pop())
            cache = SlotCache(len(group), width, self.cache.kinds)
            if self.recurrent:
                self._read(cache, range(len(group)), [0] * len(group), [prompts[i][:-1] for i in group])
            else:
                # Padding repeats token 0 to the right; later positions are masked for the real ones before them.
                ids = torch.zeros(len(group), width, dtype=torch.long)
                for row, i in enumerate(group):
                    ids[row, : len(prompts[i]) - 1] = torch.tensor(prompts[i][:-1])
                self._pass(self.model.base_model, cache, ids, [0] * len(group))
            for row, i in enumerate(group):
                prefixes[i] = cache.take(row, len(prompts[i]) - 1)
        return [prefixes[i] for i in range(len(prompts))]

    @torch.inference_mode()
    def admit(self, prefix: Prefix, length: int) -> None:
        """Take the next free slot for a sequence whose first `length` positions are `prefix`."""
        assert len(self.lengths) < self.slots
        self.cache.put(len(self.lengths), prefix)
        self.lengths.append(length)
        self.trail.admit()

    @torch.inference_mode()
    def release(self, row: int) -> None:
        """Free a slot; the last row in use moves into it."""
        last = len(self.lengths) - 1
        if row != last:
            self.cache.move(last, row, self.lengths[last])
            self.lengths[row] = self.lengths[last]
        self.lengths.pop()
        self.trail.release(row)

    @torch.inference_mode()
    def feed(self, ids_BT: torch.Tensor) -> torch.Tensor:
        """Append T tokens to every row in use; returns the logits that follow each of them, (B, T, V)."""
        B, T = ids_BT.shape
        assert len(self.lengths) == B
        if self.recurrent and self.rewinds:
            self.settle()
            if self.trail.settled:  # a block begins
                for layer in self.recurrent:
                    layer.save(B)
                self.trail.mark(self.lengths)
            self.trail.fed.append(ids_BT)
        logits_BTV = self._pass(self.model, self.cache, ids_BT, self.lengths)
        self.lengths = [n + T for n in self.lengths]
        return logits_BTV

    def rewind(self, lengths: list[int]) -> None:
        """Set the rows back to these lengths: what lies beyond is masked from now on, and written over; `settle` brings
        states back. A model with states can go back to where the last rewind, admission or release left its rows."""
        assert all(new <= old for new, old in zip(lengths, self.lengths, strict=True))
        assert self.rewinds or not self.recurrent or lengths == self.lengths
        self.lengths = list(lengths)
        self.trail.settled = True

    @torch.inference_mode()
    def settle(self) -> None:
        """Bring the states to where the rows are. `feed` does so too; whoever takes the time of a block does it before
        the next one."""
        rows, saved, ids = self.trail.behind(self.lengths)
        if not rows:
            return
        counts = [len(piece) for piece in ids]
        if self.convolves:
            for layer in self.recurrent:
                layer.recall(rows, saved, counts)
        else:
            for layer in self.recurrent:
                layer.restore(rows, saved)
            self._read(self.cache, rows, [self.lengths[row] - n for row, n in zip(rows, counts, strict=True)], ids)
        self.trail.forget()

    def _read(self, cache: SlotCache, rows: Sequence[int], starts: Sequence[int], ids: Sequence[Sequence[int]]) -> None:
        """Read sequences of any lengths, without padding, into these rows from these positions on."""
        for going, done, step in strides([len(piece) for piece in ids]):
            piece = torch.tensor([ids[i][at : at + step] for i, at in zip(going, done, strict=True)])
            at = [starts[i] + n for i, n in zip(going, done, strict=True)]
            self._pass(self.model.base_model, cache, piece, at, [rows[i] for i in going])

    def _pass(
        self,
        model: torch.nn.Module,
        cache: SlotCache,
        ids_BT: torch.Tensor,
        starts: Sequence[int],
        rows: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Logits, or the hidden states of a base model, of tokens at these positions of the first rows, or of some."""
        T, device = ids_BT.shape[1], self.model.device
        if self.stepwise and T > 1 and any(starts):
            steps = [self._pass(model, cache, ids_BT[:, t : t + 1], [n + t for n in starts], rows) for t in range(T)]
            return torch.cat(steps, dim=1)
        some = rows is not None and list(rows) != list(range(len(rows)))
        cache.rows = torch.tensor(rows, device=device) if some else None
        positions_BT = (torch.tensor(starts)[:, None] + torch.arange(T)).to(device)
        said = self._forward(model, cache, ids_BT, positions_BT, max(starts) + T)
        cache.end()
        return said[0]

    def _forward(
        self, model: torch.nn.Module, cache: SlotCache, ids_BT: torch.Tensor, positions_BT: torch.Tensor, longest: int
    ) -> ModelOutput:
        cache.begin(positions_BT, longest)
        return model(
            input_ids=ids_BT.to(self.model.device),
            # Drafts past the end of an attempt may lie past the model's last position; nobody reads their logits.
            position_ids=positions_BT.clamp(max=self.context - 1),
            use_cache=True,
            **{self.cache_name: cache},
        )

    @torch.inference_mode()
    def _probe(self) -> tuple[bool, bool]:
        """(stepwise, convolves): whether the model, reading several tokens at once, leaves out the states before them,
        as Mamba does: then they are fed one by one. And whether it has no states but the inputs of convolutions. A
        state of NaN that is read leaves NaN."""
        cache, zeros_12 = SlotCache(1, 3, self.cache.kinds), torch.zeros(1, 2, dtype=torch.long)
        self._pass(self.model.base_model, cache, zeros_12[:, :1], [0])
        if not all(layer.held for layer in _recurrent(cache)):
            raise ValueError("it has recurrent layers that keep their states somewhere else than in the cache")
        for layer, other in zip(self.recurrent, _recurrent(cache), strict=True):
            layer.hold_as(other)  # a row may begin with no token read: its states are zero, and must be there
        states = [state for layer in _recurrent(cache) for state in layer.matrices()]
        for state in states:
            state.fill_(float("nan"))
        reads = self._pass(self.model.base_model, cache, zeros_12, [1]).isnan().any().item()
        return bool(states) and not reads, not states


def _recurrent(cache: SlotCache) -> list[RecurrentLayer]:
    return [layer for layer in cache.layers if isinstance(layer, RecurrentLayer)]
