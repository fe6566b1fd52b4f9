"""`ownwords serve`, as its users meet it: a stock OpenAI client, our engine, people who vanish, and nonsense."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import openai
import pytest

from ownwords.engines import conformance as kit
from ownwords.engines.engine import write_all
from ownwords.engines.local import LocalEngine
from ownwords.engines.options import LocalOptions
from ownwords.vllm.client import ServerEngine

PATIENCE = 300.0
"""seconds that a start may take on a busy machine"""
CLIENTS = 64
"""that vanish: twice as many as are served at once, so that some are still waiting then"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ownwords", "serve", "--port", str(port), "--batch", "32"]
    command += ["--vllm-options.max_model_len", "256", "--vllm-options.cache", "1"]
    server = subprocess.Popen(command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, start_new_session=True)
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
    try:
        while True:
            assert server.poll() is None and time.monotonic() < end, "the server has not started"
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5)
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def metric(url: str, name: str) -> float:
    text = urllib.request.urlopen(f"{url}/metrics", timeout=30).read().decode()
    line = next(line for line in text.splitlines() if line.startswith(f"vllm:{name}{{"))
    return float(line.split()[-1])


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_openai_client_gets_plain_and_tailored_text_side_by_side(url):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    model = client.models.list().data[0].id
    texts = {
        gate: client.completions.create(
            model=model, prompt="What is 3 + 4?", max_tokens=24, temperature=1, seed=1,
            extra_body={"vllm_xargs": {"gate": gate}},
        ).choices[0].text
        for gate in ("always", "never", "threshold:0.01")
    }  # fmt: skip
    assert all(texts.values()) and texts["always"] != texts["never"]
    again = client.completions.create(
        model=model, prompt="What is 3 + 4?", max_tokens=24, temperature=1, seed=1,
        extra_body={"vllm_xargs": {"gate": "never"}},
    )  # fmt: skip
    assert again.choices[0].text == texts["never"]


def test_the_engine_server_writes_what_the_local_engine_writes(url):
    job, requests = kit.a_job("pair")
    some = requests[::4]
    ours = LocalEngine.open(job, LocalOptions(teacher_dtype="float32", student_dtype="float32"))
    here = {one.key: one.columns["token_ids"].tolist() for one in write_all(ours, some)}
    engine = ServerEngine.open(job, {"url": url, "batch": "16"})
    there = {one.key: one.columns["token_ids"].tolist() for one in write_all(engine, some)}
    assert here == there


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"prompt": "a b c " * 400}, "context length|tokens"),
        ({"temperature": "warm"}, "temperature"),
        ({"vllm_xargs": {"gate": "treshold:0.1"}}, "gate"),
        ({"vllm_xargs": {"gat": "always"}}, "expected gate"),
        ({"vllm_xargs": {"key": "3"}}, "key is '3', expected"),
        ({"vllm_xargs": {"proposals": "many"}}, "proposals is many, expected"),
        ({"vllm_xargs": {"forced": [999999]}}, "forced"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"logprobs": 3}, "logprobs"),
        ({"n": 2, "seed": 1}, "n is 2"),
        ({"max_tokens": -1}, "max_tokens"),
    ],
)
def test_nonsense_is_refused_with_a_word(url, body, said):
    sent = {"prompt": "What is 3 + 4?", "max_tokens": 4} | body
    sent |= {"model": json.load(urllib.request.urlopen(f"{url}/v1/models", timeout=30))["data"][0]["id"]}
    request = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(sent).encode(), {"Content-Type": "application/json"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == 400
    message = refused.value.read().decode()
    assert any(word in message for word in said.split("|")), message


def test_clients_that_vanish_leave_nothing_behind(url):
    body = json.dumps({"prompt": [5, 6, 7], "sampling": {"max_tokens": 200, "ignore_eos": True}}).encode()
    host, port = url.removeprefix("http://").split(":")
    before = metric(url, "generation_tokens_total")
    head = f"POST /ownwords/attempt HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    with ExitStack() as gone:
        for _ in range(CLIENTS):
            client = gone.enter_context(socket.create_connection((host, int(port)), timeout=30))
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait(lambda: metric(url, "generation_tokens_total") > before)  # it runs before it has a token
    wait(lambda: metric(url, "num_requests_running") == 0)
    assert metric(url, "kv_cache_usage_perc") == 0
    assert metric(url, "generation_tokens_total") - before < 0.8 * CLIENTS * 200  # they were given up


def test_another_student_is_refused(url):
    job, _ = kit.a_job("solo")
    with pytest.raises(ValueError, match="serves a student and teacher, expected student"):
        ServerEngine.open(job, {"url": url})
