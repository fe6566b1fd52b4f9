"""One forward pass of the student over finished traces, in bounded memory.

The hidden states of a batch are made once, without a cache of keys and values and without a mask: rows are padded to
the right, and a causal model sees nothing to its right, so attention needs no memory that grows with the square of the
length. The head and the softmax over the vocabulary then work through the response's positions in chunks.

Shapes: B rows, T positions, N response positions of all rows, H hidden, V vocabulary, U ids that no token has.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import ModelOutput

from ownwords.engines.threads import threads_for
from ownwords.records.tokens import Tokens

HEAD = 1 << 24
"""Positions go through the head in chunks of at most this many logits (fp32: 64 MiB) ..."""
BLOCK = 1 << 20
"""... and on a CPU through the softmax in blocks of this many, which stay in its cache: three times as fast."""
PROBE = 8
"""tokens on which the head alone is compared with the whole model, once"""
LEAST = torch.finfo(torch.float32).min / 4
"""the logit of an id that no token has; finite, since 0 * inf is not 0"""


def token_scores(
    logits_NV: torch.Tensor, targets_N: torch.Tensor, unknown_U: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(surprisal_N, rank_N, entropy_N) of the targets, in fp32 whatever the logits are.

    The largest term is taken out of the sum before its logarithm (log1p), so that nothing cancels: what is small comes
    out with the same relative precision as what is large. `unknown_U`: ids with a row and no token, left out of the
    distribution.
    """
    z_NV = logits_NV.float()
    if unknown_U is not None:
        z_NV = z_NV.index_fill(1, unknown_U, LEAST)
    target_N1 = z_NV.gather(1, targets_N[:, None])
    top_N1, best_N1 = z_NV.max(1, keepdim=True)
    below_NV = z_NV - top_N1
    work_NV = torch.empty_like(z_NV)  # one buffer for all: new memory costs more than the arithmetic
    rank_N = 1 + torch.gt(z_NV, target_N1, out=work_NV).sum(1).int()  # exact in fp32 up to 2^24 ids
    weight_NV = torch.exp(below_NV, out=work_NV).scatter_(1, best_N1, 0)
    others_N = weight_NV.sum(1)
    log_others_N = others_N.log1p()
    surprisal_N = (top_N1 - target_N1)[:, 0] + log_others_N
    entropy_N = log_others_N - weight_NV.mul_(below_NV).sum(1) / (1 + others_N)
    return surprisal_N, rank_N, entropy_N


class Scorer:
    """A student that reads; made once per process. `tokens`: the ids that its tokenizer has, None for all rows.

    Raises ValueError if the model lacks rows for its tokenizer's ids, or if its logits are not a function of its last
    hidden states alone.
    """

    def __init__(self, model: PreTrainedModel, tokens: Collection[int] | None, name: str) -> None:
        self.model, self.name = model, name
        self.rows = model.get_output_embeddings().weight.shape[0]
        self.ids = self.rows if tokens is None else max(tokens) + 1
        """from 0 up to this, not including it"""
        if self.ids > self.rows:
            raise ValueError(
                f"the tokenizer of {name} has ids up to {self.ids - 1}, the model has {self.rows} rows: expected a row "
                "for every id; are tokenizer and weights from the same checkpoint?"
            )
        unknown = [] if tokens is None else sorted(set(range(self.rows)).difference(tokens))
        self.unknown_U = torch.tensor(unknown, device=model.device) if unknown else None
        self.threads = threads_for([model])
        self._probe()

    @torch.inference_mode()
    def score(self, batch: Sequence[Tokens]) -> list[Tokens]:
        """The same tokens with what the student thinks of them: `student_logprob`, `student_rank`, `student_entropy`.
        A prompt has one token at least. Raises ValueError if the logits are not finite."""
        if self.threads is None:
            return self._score(batch)
        self.threads.apply()
        started = time.perf_counter()
        scored = self._score(batch)
        positions = len(batch) * max(len(one.ids) for one in batch)
        self.threads.tell(time.perf_counter() - started, positions, self.threads.others_now())
        return scored

    def _score(self, batch: Sequence[Tokens]) -> list[Tokens]:
        device = self.model.device
        lengths = [len(one.ids) for one in batch]
        ids_BT = torch.zeros(len(batch), max(lengths), dtype=torch.long)
        for row, one in enumerate(batch):
            ids_BT[row, : lengths[row]] = torch.from_numpy(one.ids)
        hidden_BTH = self.model.base_model(input_ids=ids_BT.to(device), use_cache=False).last_hidden_state
        # the position before a token foretells it
        hidden_NH = torch.cat(
            [hidden_BTH[row, len(one.prompt_ids) - 1 : lengths[row] - 1] for row, one in enumerate(batch)]
        )
        del hidden_BTH
        targets_N = torch.from_numpy(np.concatenate([one.token_ids for one in batch]).astype(np.int64)).to(device)
        surprisal, rank, entropy = (x.cpu().numpy() for x in self._read(hidden_NH, targets_N))
        if not (np.isfinite(surprisal).all() and np.isfinite(entropy).all()):
            raise ValueError(f"{self.name} gives logits that are not finite in {self.model.dtype}: set another --dtype")
        ends = np.cumsum([len(one.token_ids) for one in batch])[:-1]
        columns = zip(*(np.split(column, ends) for column in (-surprisal, rank, entropy)), strict=True)
        return [
            replace(one, student_logprob=logprob, student_rank=rank, student_entropy=entropy)
            for one, (logprob, rank, entropy) in zip(batch, columns, strict=True)
        ]

    def _read(self, hidden_NH: torch.Tensor, targets_N: torch.Tensor) -> list[torch.Tensor]:
        chunk = max(1, HEAD // self.rows)
        block = max(1, BLOCK // self.rows) if hidden_NH.device.type == "cpu" else chunk
        parts = []
        for at in range(0, len(targets_N), chunk):
            targets = targets_N[at : at + chunk].split(block)
            logits = self._logits(hidden_NH[at : at + chunk]).split(block)
            parts += [token_scores(*pair, self.unknown_U) for pair in zip(logits, targets, strict=True)]
        return [torch.cat(column) for column in zip(*parts, strict=True)]

    def _logits(self, hidden_NH: torch.Tensor) -> torch.Tensor:
        """The logits of the model for given hidden states, with whatever it does to them after its head (soft-capping,
        scaling): the model itself is run, with the body held."""
        body = type(self._body)(**{**self._body, "last_hidden_state": hidden_NH[None]})
        with _body_gives(self.model, body):
            ids_11 = torch.zeros(1, 1, dtype=torch.long, device=hidden_NH.device)
            return self.model(input_ids=ids_11, use_cache=False).logits[0]

    @torch.inference_mode()
    def _probe(self) -> None:
        ids_1T = torch.arange(PROBE, device=self.model.device)[None] % self.rows
        self._body = self.model.base_model(input_ids=ids_1T, use_cache=False)
        whole_TV = self.model(input_ids=ids_1T, use_cache=False).logits[0]
        if not torch.allclose(whole_TV, self._logits(self._body.last_hidden_state[0]), rtol=1e-2, atol=1e-2):
            raise ValueError(
                f"the logits of {self.name} ({type(self.model).__name__}) are no function of its last hidden states: "
                "expected a causal language model of transformers' usual form"
            )


@contextmanager
def _body_gives(model: PreTrainedModel, output: ModelOutput) -> Iterator[None]:
    model.base_model.forward = lambda *args, **kwargs: output
    try:
        yield
    finally:
        del model.base_model.forward  # the class's own again


def batches(lengths: Iterable[int], tokens: int) -> list[list[int]]:
    """Indices grouped so that rows x longest row is at most `tokens`, longest first; a longer row is alone."""
    lengths = list(lengths)
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if groups and lengths[groups[-1][0]] * (len(groups[-1]) + 1) <= tokens:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
