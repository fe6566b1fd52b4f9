"""The peers of peers.py. Each writes with a constant number of traces at once, until it has so many tokens."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import torch

from ownwords.engines.engine import Engine, Request
from ownwords.engines.options import LocalOptions
from ownwords.generation.config import GenerateConfig
from ownwords.generation.prepare import Prepared, prepare
from ownwords.models.load import weights_of
from ownwords.vllm.options import VllmOptions, prepare_environment

THRESHOLD, PROPOSALS, LIKELIEST = 0.01, 5, 20
"""of the authors' loop"""
AHEAD = 8
"""tokens that the look-ahead teacher drafts"""
BLOCK = 32
"""tokens in a block of vLLM's prefix cache, the smallest on a CPU: the loops live by that cache"""


def asked_of(given: argparse.Namespace) -> dict[str, Any]:
    """Prompts and ends, and where the weights are: all that a peer needs that is not ours."""
    prepared = prepared_for(given, 1)
    requests = [prepared.request(problem.id, 0) for problem in prepared.problems]
    writer = prepared.job.writer
    return {
        "prompts": [[*one.student_prompt, *one.forced] for one in requests],
        "ends": list(writer.student.vocabulary.ends),
        "sampling": {name: getattr(writer.teacher_sampling, name) for name in ("temperature", "top_p", "top_k")},
        "weights": {role: weights_of(one.name, role)[0] for role, one in writer.models.items()},
    }


def prepared_for(given: argparse.Namespace, at_once: int, **settings: Any) -> Prepared:
    config = GenerateConfig.of(
        run=Path("unused"), problems=given.problems, teacher=given.teacher, student=given.student,
        max_tokens=given.max_tokens, teacher_dtype="float32", student_dtype="float32", **settings,
    )  # fmt: skip
    prepared = prepare(config)
    return replace(prepared, job=replace(prepared.job, attempts=max(at_once, prepared.job.attempts)))


def an_engine(given: argparse.Namespace, **named: Any) -> Any:
    """vLLM in this process, set as ours is."""
    prepare_environment(VllmOptions(cache=given.cache))
    from vllm import LLMEngine
    from vllm.engine.arg_utils import EngineArgs

    return LLMEngine.from_engine_args(
        EngineArgs(
            max_num_seqs=max(given.concurrency), max_model_len=given.context, dtype="float32", enforce_eager=True,
            skip_tokenizer_init=True, disable_log_stats=True, use_tqdm_on_load=False, load_format="safetensors",
            **named,
        )
    )  # fmt: skip


class Tailored:
    """Ours, by vLLM or by the local engine."""

    def __init__(self, length: int, given: argparse.Namespace, asked: dict[str, Any], engine: str = "vllm") -> None:
        most, named = max(given.concurrency), {}
        if engine == "vllm":
            named = {"engine_options": {"draft_length": length, "batch": most, "cache": given.cache}}
            named["engine_options"]["max_model_len"] = given.context
        self.prepared, self.local = prepared_for(given, most, engine=engine, **named), engine == "local"
        self.requests = attempts_at(self.prepared)

    def write(self, at_once: int, tokens: int) -> tuple[int, float]:
        engine: Engine = self.prepared.engine
        if self.local:
            engine = engine.again(self.prepared.job, LocalOptions(batch=at_once))
            engine.decoder  # its memory is taken before the clock starts  # noqa: B018
        flying, before, started = 0, engine.load().tokens, time.perf_counter()
        while (written := engine.load().tokens - before) < tokens:
            if flying < at_once:
                engine.submit([*itertools.islice(self.requests, at_once - flying)])
                flying = at_once
            flying -= len(engine.poll())
        seconds = time.perf_counter() - started
        engine.close()
        return written, seconds

    def close(self) -> None:
        pass


def attempts_at(prepared: Prepared) -> Iterator[Request]:
    """Without end, and each with noise of its own."""
    for attempt in itertools.count():
        for problem in prepared.problems:
            yield prepared.request(problem.id, attempt)


class Plain:
    """vLLM itself: the teacher, with the student's drafts or without."""

    def __init__(self, length: int, given: argparse.Namespace, asked: dict[str, Any]) -> None:
        named: dict[str, Any] = {"model": asked["weights"]["teacher"]}
        if length:
            named["speculative_config"] = {
                "method": "draft_model", "model": asked["weights"]["student"], "num_speculative_tokens": length,
                "draft_sample_method": "probabilistic",
            }  # fmt: skip
        self.vllm, self.numbers = an_engine(given, **named), itertools.count()
        mend_temperatures()
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        self.params = SamplingParams(
            **asked["sampling"], max_tokens=given.max_tokens, stop_token_ids=asked["ends"], ignore_eos=True,
            detokenize=False, output_kind=RequestOutputKind.DELTA,
        )  # fmt: skip
        self.prompts = itertools.cycle(asked["prompts"])

    def write(self, at_once: int, tokens: int) -> tuple[int, float]:
        flying: dict[str, str] = {}
        written, started = 0, time.perf_counter()
        while written < tokens:
            while len(flying) < at_once:
                name, prompt = str(next(self.numbers)), next(self.prompts)
                flying[name] = self.vllm.add_request(name, {"prompt_token_ids": prompt}, self.params)
            for output in self.vllm.step():
                written += len(output.outputs[0].token_ids)
                if output.finished:
                    del flying[output.request_id]
        seconds = time.perf_counter() - started
        self.vllm.abort_request(list(flying.values()), internal=True)
        return written, seconds

    def close(self) -> None:
        pass


def mend_temperatures() -> None:
    """vLLM's CPU build reads temperatures of speculation as whole numbers, into a copy: every one would be 0."""
    from vllm.v1.sample import rejection_sampler

    def expanded(x_B: torch.Tensor, ends_B: torch.Tensor, N: int, replace_from: int = 0, replace_to: int = 0):
        x_B = torch.where(x_B == replace_from, replace_to, x_B) if replace_from != replace_to else x_B
        return x_B.repeat_interleave(torch.diff(ends_B, prepend=ends_B.new_zeros(1)), output_size=N)

    rejection_sampler.expand_batch_to_tokens = expanded


class Loop:
    """The authors' way: both models are asked for one token with the whole text, and the draw is ours."""

    def __init__(self, length: int, given: argparse.Namespace, asked: dict[str, Any]) -> None:
        from vllm import SamplingParams

        named = {"block_size": BLOCK, "enable_prefix_caching": True}
        self.engines = [an_engine(given, model=asked["weights"][role], **named) for role in ("teacher", "student")]
        self.params = SamplingParams(
            **asked["sampling"], max_tokens=1, logprobs=LIKELIEST, ignore_eos=True, detokenize=False
        )
        self.asked, self.most = asked, given.max_tokens
        self.prompts, self.rng = itertools.cycle(asked["prompts"]), random.Random(0)

    def write(self, at_once: int, tokens: int) -> tuple[int, float]:
        texts = [list(next(self.prompts)) for _ in range(at_once)]
        starts = [len(text) for text in texts]
        written, started = 0, time.perf_counter()
        while written < tokens:
            teacher_B, student_B = (self.likeliest(engine, texts) for engine in self.engines)
            for i, (theirs, ours) in enumerate(zip(teacher_B, student_B, strict=True)):
                token = drawn(theirs, ours, self.rng)
                texts[i].append(token)
                if token in self.asked["ends"] or len(texts[i]) - starts[i] >= self.most:
                    texts[i] = list(next(self.prompts))
                    starts[i] = len(texts[i])
            written += at_once
        return written, time.perf_counter() - started

    def likeliest(self, engine: Any, texts: list[list[int]]) -> list[dict[int, float]]:
        """id -> probability of the next token, for each text."""
        for i, text in enumerate(texts):
            engine.add_request(str(i), {"prompt_token_ids": text}, self.params)
        found: dict[int, dict[int, float]] = {}
        while len(found) < len(texts):
            for output in engine.step():
                found[int(output.request_id)] = probabilities(output.outputs[0].logprobs[0])
        return [found[i] for i in range(len(texts))]

    def close(self) -> None:
        pass


def probabilities(logprobs: dict[int, Any]) -> dict[int, float]:
    return {token: torch.tensor(one.logprob).exp().item() for token, one in logprobs.items()}


def drawn(theirs: dict[int, float], ours: dict[int, float], rng: random.Random) -> int:
    """The authors' rule: up to five proposals of the teacher's, else the student's own."""
    proposals = rng.choices([*theirs], [*theirs.values()], k=PROPOSALS)
    kept = next((token for token in proposals if ours.get(token, 0) >= THRESHOLD), None)
    return rng.choices([*ours], [*ours.values()])[0] if kept is None else kept


class LookAhead:
    """Two servers of vLLM's own: the teacher drafts some tokens, the student is asked at each of them."""

    def __init__(self, length: int, given: argparse.Namespace, asked: dict[str, Any]) -> None:
        prepare_environment(VllmOptions(cache=given.cache))
        self.asked, self.given, self.numbers = asked, given, itertools.count()
        self.servers = {role: self.served(asked["weights"][role]) for role in ("teacher", "student")}
        for port, server in self.servers.values():
            wait_for(port, server)

    def served(self, weights: str) -> tuple[int, subprocess.Popen]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", weights, "--port", str(port)]
        command += ["--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager", "--served-model-name", "it"]
        command += ["--block-size", str(BLOCK), "--max-num-seqs", "256", "--max-model-len", str(self.given.context)]
        command += ["--uvicorn-log-level", "warning"]
        return port, subprocess.Popen(command, env=os.environ | {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "600"})

    def write(self, at_once: int, tokens: int) -> tuple[int, float]:
        written = [0] * at_once
        started = time.perf_counter()
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(lambda row: self.row(row, written, tokens), range(at_once)))
        return sum(written), time.perf_counter() - started

    def row(self, row: int, written: list[int], tokens: int) -> None:
        """Trace after trace, until all rows together have written enough."""
        ask, rng = {role: Asking(port) for role, (port, _) in self.servers.items()}, random.Random(row)
        text: list[int] = []
        room = 0
        while sum(written) < tokens:
            if not room:
                prompts = self.asked["prompts"]
                text, room = list(prompts[next(self.numbers) % len(prompts)]), self.given.max_tokens
            common = {**self.asked["sampling"], "ignore_eos": True, "stop_token_ids": self.asked["ends"]}
            drafts = ask["teacher"]([text], common | {"max_tokens": AHEAD, "return_token_ids": True})[0]["token_ids"]
            texts = [text + drafts[:i] for i in range(len(drafts))]
            wished = {"max_tokens": 1, "logprobs": LIKELIEST, "return_tokens_as_token_ids": True}
            for draft, said in zip(drafts, ask["student"](texts, common | wished), strict=True):
                top = said["logprobs"]["top_logprobs"][0]
                ours = {int(name.split(":")[1]): torch.tensor(value).exp().item() for name, value in top.items()}
                kept = ours.get(draft, 0) >= THRESHOLD
                token = draft if kept else rng.choices([*ours], [*ours.values()])[0]
                text, room = [*text, token], room - 1
                written[row] += 1
                if token in self.asked["ends"]:
                    room = 0
                if not kept or not room:
                    break

    def close(self) -> None:
        for _, server in self.servers.values():
            server.terminate()
            server.wait()


class Asking:
    """A kept connection to one server."""

    def __init__(self, port: int) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=600)

    def __call__(self, prompts: list[list[int]], wished: dict[str, Any]) -> list[dict[str, Any]]:
        body = json.dumps({"model": "it", "prompt": prompts} | wished)
        self.connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        found = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"the server answers {answer.status}: {found}")
        return sorted(found["choices"], key=lambda one: one["index"])


def wait_for(port: int, server: subprocess.Popen) -> None:
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise RuntimeError(f"vLLM's server has ended with status {server.returncode}")


PEERS: dict[str, Any] = {
    "rsd": Tailored,
    "local": lambda *given: Tailored(*given, engine="local"),
    "speculation": Plain,
    "teacher": Plain,
    "loop": Loop,
    "lookahead": LookAhead,
}
