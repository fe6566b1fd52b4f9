"""Slots of recurrent layers: one state per row, which holds all tokens of the row and knows no position.

`transformers` keeps two kinds of state: the last inputs of a short convolution, and the matrix of a linear attention or
of a state space model. Both are zero before the first token, so a new row is no case of its own.

Nothing can be masked in a state, and nothing taken back. So no padding is read (`strides`), and a row that is rewound
gets the state that was saved before its last tokens, and reads again those that stand (`Trail`).

Shapes: B rows, T new tokens; states are (slots, ...).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.cache_utils import LinearAttentionCacheLayerMixin

Rows = slice | torch.Tensor
"""the rows of a pass: the first ones, or some by their numbers"""

Name = tuple[str, int]
"""a state of a layer: "conv" or "recurrent", and a number, since there may be several of a kind"""

Part = Any
"""what the `take` of a layer gives, for the `put` of a layer of the same kind"""


class RecurrentLayer(LinearAttentionCacheLayerMixin):
    """The states of one layer for all slots; allocated at the first write, when their shapes show.

    `conv_states` and `recurrent_states`, which the model reads and writes, are those of the rows of the present pass.
    """

    def __init__(self, slots: int):
        self.slots = slots
        self.rows: Rows = slice(0)
        self.held: dict[Name, torch.Tensor] = {}
        self.saved: dict[Name, torch.Tensor] = {}
        self.conv_states, self.recurrent_states = defaultdict(lambda: None), defaultdict(lambda: None)
        self.has_previous_state = defaultdict(bool)
        self.record_past = False
        """models have `update_conv_state` called for single tokens too, as `transformers` names it"""
        self.inputs: dict[int, list[torch.Tensor]] = defaultdict(list)
        """of convolutions, since the last `save`"""

    def begin(self, rows: Rows, rows_B1: torch.Tensor, positions_BT: torch.Tensor, extent: int) -> None:
        """The next pass is over these rows: the first ones themselves, or until `end` a copy of others."""
        self.rows = rows
        for name in self.held:
            self._show(name)

    def end(self) -> None:
        if isinstance(self.rows, torch.Tensor):
            for name, states in self.held.items():
                states[self.rows] = self._shown(name)

    def _of_kind(self, kind: str) -> dict[int, torch.Tensor | None]:
        return self.conv_states if kind == "conv" else self.recurrent_states

    def _show(self, name: Name) -> None:
        self._of_kind(name[0])[name[1]] = self.held[name][self.rows]
        self.has_previous_state[name[1]] = True

    def _shown(self, name: Name) -> torch.Tensor:
        """A state that is held, of the rows of the present pass."""
        state = self._of_kind(name[0])[name[1]]
        assert state is not None
        return state

    def lazy_initialization(self, *args: Any, **kwargs: Any) -> None:
        """Each state is allocated by itself."""

    def _hold(self, name: Name, state: torch.Tensor) -> None:
        """Have zeros for all slots, in the shape and type of one state."""
        if name not in self.held:
            self.held[name] = state.new_zeros(self.slots, *state.shape)
            self._show(name)

    def hold_as(self, other: RecurrentLayer) -> None:
        """Have zeros for all states that another layer has."""
        for name, states in other.held.items():
            self._hold(name, states[0])

    def update_conv_state(
        self, conv_states: torch.Tensor, state_idx: int = 0, conv_kernel_size: int | None = None, **kwargs: Any
    ) -> torch.Tensor:
        """(B, C, T) inputs of a convolution; returns them behind those that came before, the last of which are kept."""
        width = conv_states.shape[-1] if conv_kernel_size is None else conv_kernel_size
        self._hold(("conv", state_idx), conv_states.new_empty(conv_states.shape[1], width))
        kept = self._shown(("conv", state_idx))
        if self.record_past:
            self.inputs[state_idx].append(conv_states)
        whole = torch.cat([kept, conv_states], dim=-1)
        kept.copy_(whole[..., -kept.shape[-1] :])
        return whole

    def update_recurrent_state(self, recurrent_states: torch.Tensor, state_idx: int = 0, **kwargs: Any) -> torch.Tensor:
        self._hold(("recurrent", state_idx), recurrent_states[0])
        return self._shown(("recurrent", state_idx)).copy_(recurrent_states)

    def move(self, source: int, target: int, length: int) -> None:
        for states in self.held.values():
            states[target] = states[source]

    def take(self, row: int, length: int) -> Part:
        """The row's states, whatever its length."""
        return {name: states[row].clone() for name, states in self.held.items()}

    def put(self, row: int, prefix: Part) -> None:
        for name, state in prefix.items():
            self._hold(name, state)
        for name, states in self.held.items():
            states[row] = prefix.get(name, 0)  # nothing has been read yet for a prefix of no tokens

    def matrices(self) -> list[torch.Tensor]:
        """The recurrent states of all slots, without those of convolutions."""
        return [states for (kind, _), states in self.held.items() if kind == "recurrent"]

    def save(self, rows: int) -> None:
        """Keep the states of the first rows for `restore`."""
        for name, states in self.held.items():
            if name not in self.saved:
                self.saved[name] = torch.zeros_like(states)
            self.saved[name][:rows] = states[:rows]
        self.inputs.clear()

    def restore(self, rows: list[int], saved: list[int]) -> None:
        """Give `rows` the states that were saved of the rows `saved`."""
        for name, states in self.held.items():
            states[rows] = self.saved[name][saved]

    def recall(self, rows: list[int], saved: list[int], counts: list[int]) -> None:
        """As `restore`, and so many tokens on: what a convolution keeps are its last inputs, and they are at hand."""
        for (kind, number), states in self.held.items():
            inputs_BCT = torch.cat(self.inputs[number], dim=-1)
            whole_NCT = torch.cat([self.saved[kind, number][saved], inputs_BCT[saved]], dim=-1)
            last_NK = torch.tensor(counts)[:, None] + torch.arange(states.shape[-1])
            at_NCK = last_NK[:, None].expand(-1, states.shape[1], -1).to(states.device)
            states[rows] = whole_NCT.gather(-1, at_NCK)

    def bytes_per_slot(self, capacity: int) -> int:
        """Memory of one row: it does not grow with the row's positions."""
        return sum(states[0].nbytes for kept in (self.held, self.saved) for states in kept.values())


@dataclass
class Trail:
    """The way back for the rows of a lane: where their states were saved, and what they have been fed since."""

    marks: list[tuple[int, int] | None] = field(default_factory=list)
    """of each row in use the place of its saved state and the length it had; None of one that came later"""
    fed: list[torch.Tensor] = field(default_factory=list)
    """ids, (rows when saved, T) each"""
    settled: bool = True
    """rows have been rewound, admitted or released: what is fed from now on belongs to a new block"""

    def admit(self) -> None:
        self.marks.append(None)
        self.settled = True

    def release(self, row: int) -> None:
        self.marks[row] = self.marks[-1]
        self.marks.pop()
        self.settled = True

    def mark(self, lengths: Sequence[int]) -> None:
        """The states of rows of these lengths have just been saved."""
        self.marks, self.fed, self.settled = list(enumerate(lengths)), [], False

    def forget(self) -> None:
        """The rows have gone all the way back."""
        self.marks, self.fed, self.settled = [None] * len(self.marks), [], True

    def behind(self, lengths: Sequence[int]) -> tuple[list[int], list[int], list[list[int]]]:
        """(rows, saved, ids): the rows that now are shorter than they have been fed, where their states were saved, and
        the ids to be read from there."""
        total = sum(ids_BT.shape[1] for ids_BT in self.fed)
        marked = [(row, *mark) for row, mark in enumerate(self.marks) if mark and lengths[row] < mark[1] + total]
        if not marked:
            return [], [], []
        rows, saved = [row for row, _, _ in marked], [place for _, place, _ in marked]
        counts = [lengths[row] - length for row, _, length in marked]
        assert min(counts) >= 0, "rows can be rewound to where the last rewind left them, not further"
        ids_BT = torch.cat(self.fed, dim=1)[saved].tolist()
        return rows, saved, [ids[:count] for ids, count in zip(ids_BT, counts, strict=True)]


def strides(counts: Sequence[int]) -> Iterator[tuple[list[int], list[int], int]]:
    """Read sequences of these lengths together and without padding, in at most log2(longest) + 1 passes: yields which
    ones go on, from where each, and how many tokens. All that still have half as many tokens as the longest, or more,
    go on by what the shortest of them has."""
    done = [0] * len(counts)
    while longest := max((count - read for count, read in zip(counts, done, strict=True)), default=0):
        half = 1 << (longest.bit_length() - 1)
        going = [i for i, count in enumerate(counts) if count - done[i] >= half]
        step = min(counts[i] - done[i] for i in going)
        yield going, [done[i] for i in going], step
        for i in going:
            done[i] += step
