"""Engines that have one model write one attempt after the other: all of the protocol but the writing."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch

from ownwords.engines.engine import Description, Finished, Job, Load, Request, Solo
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
        self.tokens, self.prompts = self.tokens + len(ids_T), self.prompts + 1
        reason = "stop" if int(ids_T[-1]) in self.writer.student.vocabulary.ends else "length"
        columns = columns_alone(self.writer, request, ids_T, logits_TV)
        return [Finished(request.key, columns, reason, time.monotonic() - started)]

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
