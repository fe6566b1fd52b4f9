"""The canary's requests and answers in vLLM's terms."""

from __future__ import annotations

from typing import Any

from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind

from ownwords.vllm.canary import Answer, Asked


def params_of(asked: Asked) -> SamplingParams:
    return SamplingParams(
        temperature=1.0, max_tokens=asked.max_tokens, ignore_eos=True, detokenize=False,
        prompt_logprobs=0 if asked.scores else None, output_kind=RequestOutputKind.FINAL_ONLY,
        extra_args=asked.wish.args(),
    )  # fmt: skip


def answer_of(output: Any, record: Any) -> Answer:
    """`output`: vLLM's `RequestOutput`; `record`: what a worker has kept of it, None for nothing."""
    said = [row[token].logprob for row, token in zip(output.prompt_logprobs or [], output.prompt_token_ids) if row]
    ids = list(output.outputs[0].token_ids)
    return Answer(ids, {} if record is None else {name: values[: len(ids)] for name, values in record[0].items()}, said)
