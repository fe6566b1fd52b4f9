"""The engine `vllm`: attempts written by vLLM, the student as its draft model, each token drawn from the mixture.

vLLM has what a large run needs: paged keys and values, continuous batching, models over several GPUs, quantised
weights. What is ours rides along as vLLM's own points of extension have it: a plugin, a scheduler class and methods of
its workers.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from ownwords.engines.engine import Description, Finished, InFlight, Job, Load, Pair, Request
from ownwords.rsd.columns import COLUMNS
from ownwords.vllm.options import VllmOptions, prepare_environment
from ownwords.vllm.start import SLACK, start
from ownwords.vllm.wire import unpack
from ownwords.vllm.wishes import Wish


@dataclass(frozen=True)
class _Flying:
    request: Request
    vllm_id: str
    started: float


class VllmEngine:
    """See `ownwords.engines.engine.Engine`."""

    def __init__(self, job: Job, options: VllmOptions, vllm: Any, record: dict[str, Any]) -> None:
        check_job(job)
        self.job, self.options, self.vllm, self.record = job, options, vllm, record
        self.capacity = capacity_of(vllm.model_config.max_model_len, options)
        self.flying: dict[str, _Flying] = {}
        self.prompts, self.before = 0, self._rpc("ownwords_flying", [])[0]

    @classmethod
    def open(cls, job: Job, options: Mapping[str, Any]) -> Self:
        """Raises ValueError if vLLM is missing or of another version, if it does not serve the pair, or if its canary
        finds that the traces would not be those of the mixture."""
        check_job(job)
        set_ = VllmOptions.of(options)
        prepare_environment(set_)
        vllm, record = start(job, set_)
        return cls(job, set_, vllm, record)

    def again(self, job: Job) -> Self:
        return type(self)(job, self.options, self.vllm, self.record)

    def describe(self) -> Description:
        config = self.vllm.model_config
        models = {role: f"{one.name}, {_word(config.dtype)}, by vLLM" for role, one in self.job.writer.models.items()}
        return Description(self.options.batch, self.capacity, models, self.record)

    @property
    def exact(self) -> bool:
        """In 16 bits rounding depends on the batch, and may decide otherwise."""
        return _word(self.vllm.model_config.dtype) == "float32"

    @property
    def room(self) -> int:
        return self.options.batch - len(self.flying)

    def submit(self, requests: Sequence[Request], coming: Sequence[Request] = ()) -> None:
        """Take up requests. What the context leaves may be less than a request's budget. Raises ValueError if teacher
        and student read different prompts, or if one is too long."""
        from ownwords.vllm.terms import params_of

        for request in requests:
            check_prompts(self.job, request)
            name = f"{request.key[1]}/{request.key[0]}"
            params = params_of(sampling_of(self.job, request, self.capacity, name))
            vllm_id = self.vllm.add_request(name, {"prompt_token_ids": list(request.student_prompt)}, params)
            self.flying[name] = _Flying(request, vllm_id, time.monotonic())
        self.prompts += len({request.prompts for request in requests})

    def poll(self) -> list[Finished]:
        """One step of vLLM: a block of tokens to every attempt in flight."""
        if not self.flying:
            return []
        ended = {one.request_id: one.outputs[0] for one in self.vllm.step() if one.finished}
        if not ended:
            return []
        finished, records = [], self._rpc("ownwords_take", list(ended))
        for name, output in ended.items():
            one, (packed, reason) = self.flying.pop(name), records[name]
            columns = unpack(packed, len(output.token_ids), self.job.soft_targets)
            assert columns["token_ids"].tolist() == list(output.token_ids), f"vLLM gave {name} other tokens"
            seconds = time.monotonic() - one.started
            finished.append(Finished(one.request.key, columns, reason or output.finish_reason, seconds))
        return finished

    def load(self) -> Load:
        tokens, flying = self._rpc("ownwords_flying", list(self.flying))
        return Load(
            tokens - self.before, self.prompts,
            [
                InFlight(
                    self.flying[name].request.key,
                    *(np.frombuffer(packed[column], COLUMNS[column]) for column in ("token_ids", "source")),
                )
                for name, packed in flying.items()
            ],
        )  # fmt: skip

    def close(self) -> None:
        """What vLLM holds is freed with the engine itself."""
        self.vllm.abort_request([one.vllm_id for one in self.flying.values()], internal=True)
        self._rpc("ownwords_take", list(self.flying))
        self.flying.clear()

    def _rpc(self, method: str, *given: Any) -> Any:
        """Asked of all workers, which know the same; the first one's answer."""
        return self.vllm.collective_rpc(method, args=given)[0]


def sampling_of(job: Job, request: Request, capacity: int, record: str) -> dict[str, Any]:
    """What vLLM is told of an attempt, as its `SamplingParams` names it."""
    writer = job.writer
    wish = Wish(
        student=writer.student_sampling, soft_targets=job.soft_targets, seed=job.seed, key=request.key,
        forced=tuple(request.forced), repetition_window=job.repetition_window, record=record,
    )  # fmt: skip
    shaped = writer.student_sampling
    if isinstance(writer, Pair):
        shaped, sees = writer.teacher_sampling, "shaped" if writer.gate_sees_shaped else "raw"
        wish = replace(
            wish, gate=str(writer.gate), proposals=writer.proposals, gate_sees=sees, max_fallback=job.max_fallback
        )
    return {
        "temperature": shaped.temperature, "top_p": shaped.top_p, "top_k": shaped.top_k,
        "max_tokens": min(request.max_tokens, capacity + 1 - len(request.student_prompt)),
        "stop_token_ids": list(writer.student.vocabulary.ends), "ignore_eos": True, "extra_args": wish.args(),
    }  # fmt: skip


def capacity_of(context: int, options: VllmOptions) -> int:
    """Positions that an attempt may take."""
    return context - options.draft_length - SLACK


def check_job(job: Job) -> None:
    """Raises ValueError in one line for a job that vLLM does not do."""
    writer = job.writer
    if isinstance(writer, Pair) and writer.products:
        raise ValueError("the engine vllm lets the teacher spell no tokens: take the engine local for that")
    for one in writer.models.values():
        if one.loaded is not None:
            raise ValueError(f"the {one.role} is in memory already, vLLM loads it itself: expected its name")
    check_prompts(job, job.longest)


def check_prompts(job: Job, request: Request) -> None:
    """Raises ValueError in one line."""
    if isinstance(job.writer, Pair) and list(request.teacher_prompt) != list(request.student_prompt):
        raise ValueError(
            f"at problem {request.key[0]} teacher and student read different prompts, vLLM's draft model reads the "
            "teacher's: expected one chat template and one system prompt; the engine local serves this pair"
        )


def _word(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
