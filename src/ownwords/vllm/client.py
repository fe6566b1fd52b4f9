"""The engine `server`: attempts written by `ownwords serve`, on this machine or another."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Self
from urllib.parse import urlsplit

from ownwords.engines.engine import Description, Finished, Job, Load, Request
from ownwords.models.named import Named
from ownwords.vllm.embedded import check_job, check_prompts, sampling_of
from ownwords.vllm.start import SLACK
from ownwords.vllm.wire import from_json, unpack

Connections = set[http.client.HTTPConnection]
ABOUT, ATTEMPT = "/ownwords", "/ownwords/attempt"
OPTIONS = {"url": "address of the server, as http://localhost:8000", "batch": "attempts at once", "timeout": "seconds"}
NAP = 0.2
"""seconds that `poll` waits at most"""


class ServerEngine:
    """See `ownwords.engines.engine.Engine`. `about`: what the server says of itself."""

    def __init__(self, job: Job, url: str, batch: int, timeout: float, about: Mapping[str, Any]) -> None:
        check_job(job)
        self.job, self.url, self.batch, self.timeout, self.about = job, url, batch, timeout, about
        self.capacity: int = about["positions"] - about["drafts"] - SLACK
        self.pool = ThreadPoolExecutor(batch, thread_name_prefix="ownwords-server")
        self.flying: dict[Future[Finished], Request] = {}
        self.connections: Connections = set()
        self.tokens = self.prompts = 0
        longest = job.longest
        if longest.longest_prompt + len(longest.forced) + 1 > self.capacity:
            raise ValueError(
                f"the prompt of problem {longest.key[0]} has {longest.longest_prompt} tokens, the server at {url} "
                f"takes {self.capacity}: leave that problem out or serve with more (--vllm-options.max_model_len)"
            )

    @classmethod
    def open(cls, job: Job, options: Mapping[str, Any]) -> Self:
        """Raises ValueError in one line if there is no such server, or if it serves other models."""
        if unknown := sorted(options.keys() - OPTIONS.keys()):
            known = "; ".join(f"{name}: {what}" for name, what in OPTIONS.items())
            raise ValueError(f"the engine server has no option {unknown[0]!r}, expected some of {known}")
        url = str(options.get("url", ""))
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError(f"the option url of the engine server is {url!r}, expected {OPTIONS['url']}")
        try:
            batch, timeout = int(options.get("batch", 0)), float(options.get("timeout", 3600))
        except (TypeError, ValueError):
            raise ValueError("the options batch and timeout of the engine server are numbers") from None
        about = asked(url, ABOUT, None, 30)
        wanted = set(job.writer.models)
        if set(about["models"]) != wanted:
            served = " and ".join(sorted(about["models"]))
            raise ValueError(f"the server at {url} serves a {served}, expected {' and '.join(sorted(wanted))}")
        if about["vocabulary"] != vocabulary_hash(job.writer.student):
            raise ValueError(
                f"the student of the server at {url} ({about['models']['student']}) has other tokens than "
                f"{job.writer.student.name}: expected the same model"
            )
        return cls(job, url, batch or about["slots"], timeout, about)

    def again(self, job: Job) -> Self:
        return type(self)(job, self.url, self.batch, self.timeout, self.about)

    def describe(self) -> Description:
        where = {role: f"{name}, {self.about['dtype']}, at {self.url}" for role, name in self.about["models"].items()}
        record = {f"{role}_weights": weights for role, weights in self.about["weights"].items()}
        return Description(
            self.batch, self.capacity, where, record | {f"{role}_dtype": self.about["dtype"] for role in where}
        )

    @property
    def exact(self) -> bool:
        return bool(self.about["dtype"] == "float32")

    @property
    def room(self) -> int:
        return self.batch - len(self.flying)

    def submit(self, requests: Sequence[Request], coming: Sequence[Request] = ()) -> None:
        """Raises ValueError if teacher and student read different prompts."""
        for request in requests:
            check_prompts(self.job, request)
            self.flying[self.pool.submit(self._made, request)] = request
        self.prompts += len({request.prompts for request in requests})

    def poll(self) -> list[Finished]:
        """Raises ValueError in one line if the server has gone, or refuses a request."""
        if not self.flying:
            return []
        ended, _ = wait(self.flying, timeout=NAP, return_when=FIRST_COMPLETED)
        finished = [one.result() for one in ended]
        for one in ended:
            del self.flying[one]
        self.tokens += sum(len(one.columns["token_ids"]) for one in finished)
        return finished

    def load(self) -> Load:
        """A server tells nothing of what is in flight."""
        return Load(self.tokens, self.prompts)

    def close(self) -> None:
        """Connections that break off are how a server learns that nobody waits any more."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        for connection in list(self.connections):
            if connection.sock is not None:
                connection.sock.close()
        self.flying.clear()

    def _made(self, request: Request) -> Finished:
        started = time.monotonic()
        sampling = sampling_of(self.job, request, self.capacity, "")
        body = {"prompt": list(request.student_prompt), "sampling": sampling}
        found = asked(self.url, ATTEMPT, body, self.timeout, self.connections)
        columns = unpack(from_json(found["columns"]), len(found["token_ids"]), self.job.soft_targets)
        return Finished(request.key, columns, found["reason"], time.monotonic() - started)


def asked(
    url: str,
    path: str,
    body: dict[str, Any] | None,
    timeout: float,
    open_: Connections | None = None,
) -> dict[str, Any]:
    """What a server answers, as JSON; `open_` holds the connection meanwhile. Raises ValueError in one line."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    if open_ is not None:
        open_.add(connection)
    try:
        method, sent = ("GET", None) if body is None else ("POST", json.dumps(body))
        connection.request(method, parts.path.rstrip("/") + path, sent, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        found = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"the server at {url} does not answer as `ownwords serve` does: {reason[:300]}") from error
    finally:
        connection.close()
        if open_ is not None:
            open_.discard(connection)
    if answer.status != 200:
        said = found.get("error", found) if isinstance(found, dict) else found
        message = said.get("message", said) if isinstance(said, dict) else said
        raise ValueError(f"the server at {url} refuses, status {answer.status}: {' '.join(str(message).split())[:300]}")
    return dict(found)


def vocabulary_hash(model: Named) -> str:
    """Of a model's tokens and their ids."""
    tokens = sorted(model.tokenizer.get_vocab().items())
    return hashlib.sha256(json.dumps(tokens).encode()).hexdigest()[:16]
