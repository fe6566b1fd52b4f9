"""vLLM, started for a job: which models, how long a context, and what of ours it loads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ownwords.engines.engine import Job
from ownwords.models.load import weights_of
from ownwords.vllm.canary import TEXTS, TOKENS, Answer, Asked, canary
from ownwords.vllm.deployment import PLACE, Deployment
from ownwords.vllm.options import VllmOptions
from ownwords.vllm.plugin import check_version, register

SLACK = 2
"""positions that a context has to spare beyond the drafts: vLLM drafts for nobody if one request comes near its end"""


def start(job: Job, options: VllmOptions) -> tuple[Any, dict[str, Any]]:
    """(vLLM's engine, what the run's record keeps of the models). Raises ValueError in one line."""
    from vllm import LLMEngine
    from vllm.engine.arg_utils import EngineArgs

    check_version()
    register()
    record: dict[str, Any] = {}
    paths: dict[str, str] = {}
    for role, one in job.writer.models.items():
        paths[role], record[f"{role}_weights"] = weights_of(one.name, one.role)
    deployment = Deployment(paths["student"], paths.get("teacher"), drafts=options.draft_length)
    prompts = [job.writer.student.tokenizer(text)["input_ids"] for text in TEXTS]
    given = defaults() | {"disable_log_stats": True, "skip_tokenizer_init": True, "use_tqdm_on_load": False}
    given |= {"max_model_len": positions_of(job, options, max(map(len, prompts)) + TOKENS + 1)} | options.vllm
    given |= arguments(deployment) | {"max_num_seqs": options.batch}
    try:
        vllm = LLMEngine.from_engine_args(EngineArgs(**given))
    except ValueError as error:
        raise ValueError(f"vLLM does not start: {' '.join(str(error).split())[:400]}") from error
    name = str(vllm.model_config.dtype).removeprefix("torch.")
    canary(lambda asked: _answers(vllm, asked), prompts, name, deployment.teacher is not None)
    return vllm, record | {f"{role}_dtype": name for role in paths}


def _answers(vllm: Any, asked: Sequence[Asked]) -> list[Answer]:
    """The canary's requests, all at once."""
    from ownwords.vllm.terms import answer_of, asking

    for i, one in enumerate(asked):
        vllm.add_request(str(i), {"prompt_token_ids": one.prompt}, asking(one))
    outputs: dict[str, Any] = {}
    while len(outputs) < len(asked):
        outputs |= {one.request_id: one for one in vllm.step() if one.finished}
    records = vllm.collective_rpc("ownwords_take", args=([one.wish.record for one in asked],))[0]
    return [answer_of(outputs[str(i)], records.get(one.wish.record)) for i, one in enumerate(asked)]


def arguments(deployment: Deployment) -> dict[str, Any]:
    """vLLM's arguments, without which it would be somebody else's engine."""
    shared: dict[str, Any] = {
        "additional_config": {PLACE: deployment.flat()},
        "worker_extension_cls": "ownwords.vllm.rpc.Recorder",
    }
    shared |= {"async_scheduling": False, "scheduler_cls": "ownwords.vllm.scheduler.TailoringScheduler"}
    if deployment.teacher is None:
        return shared | {"model": deployment.student}
    speculation = {"method": "draft_model", "model": deployment.student, "num_speculative_tokens": deployment.drafts}
    return shared | {"model": deployment.teacher, "speculative_config": speculation}


def defaults() -> dict[str, Any]:
    """What a person may set otherwise. On a CPU 16 bits are seldom faster, and compiling a model takes minutes."""
    return {"load_format": "safetensors"} | (
        {} if torch.cuda.is_available() else {"dtype": "float32", "enforce_eager": True}
    )


def positions_of(job: Job, options: VllmOptions, least: int) -> int:
    """The context: the longest prompt, its whole budget and what the drafts need, `least` beside the drafts, if the
    models read as much."""
    one, spare = job.longest, options.draft_length + SLACK
    context = min(named.context for named in job.writer.models.values())
    if one.longest_prompt + len(one.forced) + 1 + spare > context:
        raise ValueError(
            f"the prompt of problem {one.key[0]} has {one.longest_prompt} tokens, the models read {context}: "
            "leave that problem out or take models with a longer context"
        )
    return min(max(one.longest_prompt + one.max_tokens, least) + spare, context)
