"""Attempts and the canary's requests in vLLM's terms."""

from __future__ import annotations

from typing import Any

from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind

from ownwords.vllm.canary import Answer, Asked
from ownwords.vllm.wire import Packed, unpack


def params_of(sampling: dict[str, Any]) -> SamplingParams:
    """For ids in and ids out. Raises ValueError for a value that vLLM refuses."""
    return SamplingParams(**sampling, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY)


def asking(asked: Asked) -> SamplingParams:
    return params_of(
        {
            "temperature": 1.0, "max_tokens": asked.max_tokens, "ignore_eos": True, "extra_args": asked.wish.args(),
            "prompt_logprobs": 0 if asked.scores else None,
        }
    )  # fmt: skip


def answer_of(output: Any, record: tuple[Packed, str] | None) -> Answer:
    """`output`: vLLM's `RequestOutput`; `record`: what a worker has kept of it, None for nothing."""
    said = [row[token].logprob for row, token in zip(output.prompt_logprobs or [], output.prompt_token_ids) if row]
    ids = list(output.outputs[0].token_ids)
    return Answer(ids, {} if record is None else unpack(record[0], len(ids)), said)
