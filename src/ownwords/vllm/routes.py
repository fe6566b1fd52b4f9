"""Routes of our own on vLLM's server (entry point `vllm.endpoint_plugins`), beside those for any OpenAI client.

`GET /ownwords` says what is served. `POST /ownwords/attempt` makes one attempt of ids in and ids out, with all that is
recorded of its tokens. The canary is asked before the server takes its first request.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import vllm
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from vllm.entrypoints.serve.utils.api_utils import with_cancellation

from ownwords.models.load import weights_of
from ownwords.models.named import named
from ownwords.vllm.canary import TEXTS, Answer, Asked, canary
from ownwords.vllm.client import ABOUT, ATTEMPT, vocabulary_hash
from ownwords.vllm.plugin import deployment_of
from ownwords.vllm.terms import answer_of, asking, params_of
from ownwords.vllm.wire import to_json

router = APIRouter()


class Attempt(BaseModel):
    """The body of a request: a prompt in ids, and `SamplingParams` by name."""

    model_config = ConfigDict(extra="forbid")

    prompt: list[int]
    sampling: dict[str, Any]


@router.get(ABOUT)
async def about(raw_request: Request) -> dict[str, Any]:
    return raw_request.app.state.ownwords  # type: ignore[no-any-return]


@router.post(ATTEMPT)
@with_cancellation
async def attempt(body: Attempt, raw_request: Request) -> JSONResponse:
    engine, name = raw_request.app.state.engine_client, uuid.uuid4().hex
    args = dict(body.sampling.get("extra_args") or {}) | {"record": name}
    try:
        output = await _generated(engine, body.prompt, params_of(body.sampling | {"extra_args": args}), name)
    except (ValueError, TypeError) as error:
        await _taken(engine, [name])
        return JSONResponse({"error": {"message": str(error), "type": "BadRequestError"}}, 400)
    except asyncio.CancelledError:  # the client has gone
        await asyncio.shield(_taken(engine, [name]))
        raise
    packed, reason = (await _taken(engine, [name]))[name]
    done = output.outputs[0]
    return JSONResponse(
        {"token_ids": list(done.token_ids), "columns": to_json(packed), "reason": reason or done.finish_reason}
    )


class Endpoint:
    """See vLLM's `EndpointPlugin`."""

    name = "ownwords"
    required_tasks = ("generate",)

    def attach_router(self, app: FastAPI) -> None:
        app.include_router(router)

    async def init_state(self, engine_client: Any, state: Any, args: Any) -> None:
        """Raises ValueError if the canary sees anything wrong; the server does not start then."""
        deployment = deployment_of(engine_client.vllm_config)
        if deployment is None:
            return
        loop, student = asyncio.get_running_loop(), named(deployment.student, "student")

        def ask(asked: Sequence[Asked]) -> list[Answer]:
            return asyncio.run_coroutine_threadsafe(_answers(engine_client, asked), loop).result()

        config = engine_client.model_config
        prompts = [student.tokenizer(text)["input_ids"] for text in TEXTS]
        dtype = str(config.dtype).removeprefix("torch.")
        await asyncio.to_thread(canary, ask, prompts, dtype, deployment.teacher is not None)
        names = {"student": deployment.student} | ({"teacher": deployment.teacher} if deployment.teacher else {})
        state.ownwords = {
            "vllm": vllm.__version__, "dtype": dtype, "drafts": deployment.drafts, "models": names,
            "weights": {role: weights_of(name, role)[1] for role, name in names.items()},
            "positions": config.max_model_len, "vocabulary": vocabulary_hash(student),
            "slots": engine_client.vllm_config.scheduler_config.max_num_seqs,
        }  # fmt: skip


async def _generated(engine: Any, prompt: list[int], params: Any, name: str) -> Any:
    """vLLM's output of a request, which is given up if nobody waits for it any more."""
    outputs = [one async for one in engine.generate({"prompt_token_ids": prompt}, params, name)]
    return outputs[-1]


async def _taken(engine: Any, names: list[str]) -> dict[str, Any]:
    return (await engine.collective_rpc("ownwords_take", args=(names,)))[0]  # type: ignore[no-any-return]


async def _answers(engine: Any, asked: Sequence[Asked]) -> list[Answer]:
    """The canary's requests, all at once."""
    going = [_generated(engine, one.prompt, asking(one), f"canary-{uuid.uuid4().hex}") for one in asked]
    outputs = await asyncio.gather(*going)
    records = await _taken(engine, [one.wish.record for one in asked])
    return [answer_of(output, records.get(one.wish.record)) for output, one in zip(outputs, asked, strict=True)]
