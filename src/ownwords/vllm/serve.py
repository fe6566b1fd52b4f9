"""vLLM's server with a tailored deployment: what `ownwords serve` starts."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass, field
from typing import Annotated, Any

from ownwords.configuration import Config, FieldError
from ownwords.models.load import weights_of
from ownwords.numbers import check, whole
from ownwords.rsd.gates import parse_gate
from ownwords.vllm.deployment import Deployment
from ownwords.vllm.options import VllmOptions, prepare_environment


@dataclass(frozen=True, kw_only=True)
class ServeConfig(Config):
    """What is served, and to whom."""

    teacher: str = "world"
    """Teacher: a model folder, a .gguf file, a hub name, or world (ships with the package)."""
    student: str = "world"
    """Student: a model folder, a .gguf file, a hub name, or world (ships with the package)."""
    gate: str = "threshold:0.01"
    """Gate of requests that name none: threshold:0.01, always (plain teacher text), never (the student's), ..."""
    proposals: Annotated[float, whole(1, word="inf")] = 1
    """Times that the teacher may propose a token, for requests that do not say; inf for no limit."""
    draft_length: Annotated[int, whole(1, 64)] = 4
    """Tokens that the student drafts for the teacher to read in one pass."""
    host: str = "127.0.0.1"
    """Address to listen on; the default is heard on this machine only."""
    port: Annotated[int, whole(1, 65535)] = 8000
    """Port to listen on."""
    batch: Annotated[int, whole(1)] = 64
    """Maximum requests to write at once; others wait."""
    vllm_options: dict[str, Any] = field(default_factory=dict)
    """Arguments of vLLM's own by name, such as --vllm-options.max_model_len 8192."""

    def __post_init__(self) -> None:
        check(self)


def serve(config: ServeConfig) -> None:
    """Serve until somebody stops it. Raises ValueError in one line for what cannot be served."""
    try:
        parse_gate(config.gate)
    except ValueError as error:
        raise FieldError("gate", "{gate}: {}", error) from error
    try:
        socket.create_server(
            (config.host, config.port), family=socket.AF_INET6 if ":" in config.host else socket.AF_INET
        ).close()
    except OSError as error:  # known before models are loaded
        said = "{host} {}, {port} {}: {}; expected an address of this machine and a free port"
        raise FieldError("port", said, config.host, config.port, error.strerror) from error
    options = VllmOptions.of({**config.vllm_options, "draft_length": config.draft_length, "batch": config.batch})
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin are slow on a busy machine
    plugins = os.environ.get("VLLM_PLUGINS")
    os.environ["VLLM_PLUGINS"] = ",".join(dict.fromkeys([*(plugins.split(",") if plugins else []), "ownwords"]))
    prepare_environment(options)
    (teacher, _), (student, _) = weights_of(config.teacher, "teacher"), weights_of(config.student, "student")
    deployment = Deployment(student, teacher, config.gate, config.proposals, config.draft_length)
    _run(deployment, options, config)


def _run(deployment: Deployment, options: VllmOptions, config: ServeConfig) -> None:
    import uvloop
    from vllm.entrypoints.launchers.api_server.entry import run_server
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    from ownwords.vllm.plugin import check_version, register
    from ownwords.vllm.start import arguments, defaults
    from ownwords.vllm.tailoring import rules_of

    check_version()
    register()
    rules_of(deployment, "cpu")
    ours = arguments(deployment) | defaults() | {
        "host": config.host, "port": config.port, "max_num_seqs": config.batch, "served_model_name": config.teacher,
        "disable_uvicorn_access_log": True, "uvicorn_log_level": "warning",
    }  # fmt: skip
    given: list[str] = []
    for name, value in (ours | options.vllm).items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool) or value in ("true", "false"):
            given.append(flag if value in (True, "true") else flag.replace("--", "--no-", 1))
        else:
            given += [flag, json.dumps(value) if isinstance(value, dict) else str(value)]
    args = make_arg_parser(FlexibleArgumentParser()).parse_args(given)
    validate_parsed_serve_args(args)
    uvloop.run(run_server(args))
