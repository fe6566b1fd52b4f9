"""Engines that have one model write one attempt after the other: all of the protocol but the writing."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch

from ownwords.engines.engine import Description, Finished, Job, Load, Request, Solo
from ownwords.engines.stops import Stops
from ownwords.models.load import Loaded, load
from ownwords.rsd.columns import COLUMNS, FORCED, STUDENT
from ownwords.rsd.noise import attempt_noise
from ownwords.rsd.step import Draft, alone, student_voice


class OneByOne:
    """An engine of another package overrides `write`, and `open` if it holds its weights in another way."""

    exact = True

    def __init__(self, job: Job, weights: Loaded) -> None:
        """Raises ValueError for a job that is none for one model alone."""
        if not isinstance(job.writer, Solo) or job.soft_targets:
            raise ValueError("this engine writes with one model alone and keeps no soft targets, expected such a job")
        self.job, self.writer, self.weights = job, job.writer, weights
        self.waiting: deque[Request] = deque()
        self.tokens = self.prompts = 0

    @classmethod
    def open(cls, job: Job, options: Any) -> Self:
        one = job.writer.models["student"]
        return cls(job, one.loaded or load(one.name, one.role, "cpu", "float32"))

    def write(self, request: Request) -> tuple[torch.Tensor, torch.Tensor]:
        """(token_ids_T, logits_TV): the completion, the forced tokens at its beginning included, and the model's logits
        that each token was written from, before any sampling rule. PyTorch's own noise is seeded for the attempt."""
        raise NotImplementedError

    def again(self, job: Job) -> Self:
        return type(self)(job, self.weights)

    def describe(self) -> Description:
        return Description(slots=1, record={"student_weights": self.weights.fingerprint})

    @property
    def room(self) -> int:
        return 1 - len(self.waiting)

    def submit(self, requests: Sequence[Request], coming: Sequence[Request] = ()) -> None:
        self.waiting.extend(requests)

    @torch.inference_mode()
    def poll(self) -> list[Finished]:
        if not self.waiting:
            return []
        request, started = self.waiting.popleft(), time.monotonic()
        torch.manual_seed(int(2**53 * attempt_noise(self.job.seed, *request.key, 1)[0, 0]))
        ids_T, logits_TV = self.write(request)
        T, reason = self._end(request, ids_T.cpu().numpy())
        self.tokens, self.prompts = self.tokens + T, self.prompts + 1
        columns = columns_alone(self.writer, request, ids_T[:T], logits_TV[:T])
        return [Finished(request.key, columns, reason, time.monotonic() - started)]

    def _end(self, request: Request, ids_T: np.ndarray) -> tuple[int, str]:
        """(tokens, reason): where the attempt ends. `write` may not have stopped for a repetition."""
        ends = frozenset(self.writer.student.vocabulary.ends)
        stops = Stops(ends, repetition_window=self.job.repetition_window)
        padded = np.zeros(request.max_tokens, np.int32)
        padded[: len(ids_T)] = ids_T
        for n in range(1, len(ids_T) + 1):
            if reason := stops.reason(padded, n, 0, len(request.forced)):
                return n, reason
        return len(ids_T), "length"

    def load(self) -> Load:
        return Load(self.tokens, self.prompts)

    def close(self) -> None:
        self.waiting.clear()


def columns_alone(
    writer: Solo, request: Request, token_ids_T: torch.Tensor, logits_TV: torch.Tensor
) -> dict[str, np.ndarray]:
    """`Finished.columns` of a completion, see `OneByOne.write`."""
    step = alone(Draft(token_ids_T, *student_voice(writer.rules(logits_TV.device), logits_TV)))
    source_T = np.full(len(token_ids_T), STUDENT)
    source_T[: len(request.forced)] = FORCED
    names = {name: "token" if name == "token_ids" else name for name in COLUMNS if name != "source"}
    found = {column: getattr(step, name).cpu().numpy() for column, name in names.items()} | {"source": source_T}
    return {name: found[name].astype(dtype) for name, dtype in COLUMNS.items()}
