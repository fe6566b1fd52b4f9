"""`ownwords doctor` says what is there, and what is wrong."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from ownwords.cli import doctor
from ownwords.configuration import FieldError
from ownwords.vllm import checkup
from ownwords.vllm.serve import ServeConfig, serve


def test_nothing_is_wrong_here():
    done = subprocess.run([sys.executable, "-m", "ownwords", "doctor"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    words = done.stdout.split()
    assert {"torch", "transformers", "memory", "local,", "vllm-cpu"} <= set(words)
    assert done.stdout.rstrip().endswith("nothing is wrong") and len(done.stdout.splitlines()) <= 24


@pytest.mark.parametrize(
    ("found", "gpu", "said"),
    [
        ({"vllm": "0.32.0", "vllm-cpu": "0.32.0"}, False, "over each other"),
        ({"vllm-cpu": "0.32.0"}, True, "there is a GPU, and vLLM is its CPU build"),
        ({"vllm-cpu": "0.32.0"}, False, "vLLM cannot be used"),  # since it is not installed in truth
    ],
)
def test_what_is_wrong_with_a_vllm_is_said(monkeypatch, found, gpu, said):
    monkeypatch.setattr(checkup, "installed", found.get)
    assert any(said in line for line in checkup.troubles(gpu))
    monkeypatch.setattr(checkup, "installed", {}.get)
    assert not [*checkup.troubles(gpu)]


@pytest.mark.parametrize(("asked", "runner"), [("0", "V1"), ("1", "V2")])
def test_the_runner_that_would_be_used_is_said(monkeypatch, asked, runner):
    monkeypatch.setattr(checkup, "builds", lambda: {"vllm-cpu": "0.32.0"})
    monkeypatch.setenv("VLLM_USE_V2_MODEL_RUNNER", asked)
    assert any(f"its {runner} model runner" in said for _, said in doctor._rows())


def test_a_server_says_at_once_that_its_port_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(FieldError, match="in use") as refused:
            serve(ServeConfig(port=port))
    assert refused.value.field == "port" and port in refused.value.values
