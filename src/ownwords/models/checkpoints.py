"""A model's files, before anything is loaded from them: what may be loaded, and what identifies it.

Only JSON and safetensors that lie in the folder itself. Pickled weights run code as they are loaded, and a name that
leads out of the folder reads what nobody has named.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from transformers.utils import ADAPTER_SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file

from ownwords.io.paths import read_json

ADAPTER_CONFIG = "adapter_config.json"
LOADED = {".safetensors", ".json", ".jinja", ".txt", ".model"}
"""suffixes of weights, configurations, vocabularies and templates"""
WHOLE = 1 << 30
"""bytes; larger files are hashed in parts"""
PART, EVERY = 1 << 16, 1 << 22
"""so many bytes of every so many"""


def check_files(path: str, what: str) -> None:
    """Look at the configuration and the index of weights of a folder or a hub model.

    Raises ValueError if one is no JSON object, or if weights are missing, pickled or outside of the folder.
    """
    local = path.startswith(("/", ".", "~")) or path.count("/") > 1 or path.endswith(".gguf")
    if local and not Path(path).exists():
        raise ValueError(f"{what} does not exist: expected a folder, a .gguf file or a hub name, as Qwen/Qwen3-0.6B")
    config, _ = (_object(path, name, what) for name in ("config.json", "generation_config.json"))
    if config is None and Path(path).is_dir():
        if held := sorted(Path(path).glob("*.gguf")):
            raise ValueError(f"{what} is a folder of GGUF files, which are named one by one: expected {held[0]}")
        raise ValueError(f"{what} holds no config.json: expected a folder that save_pretrained has written")
    folder = Path(path) if Path(path).is_dir() else None
    named = (config or {}).get("transformers_weights", SAFE_WEIGHTS_NAME)
    check_name(named, "config.json", what)
    if folder and (folder / named).is_file() and not named.endswith(".json"):
        return
    by = named if named.endswith(".json") else SAFE_WEIGHTS_INDEX_NAME
    index = _object(path, by, what)
    if index is None and folder:
        raise ValueError(
            f"{what} holds no *.safetensors (neither {named} nor {SAFE_WEIGHTS_INDEX_NAME}): pickled weights are not "
            "loaded, convert them with save_pretrained"
        )
    shards = (index or {"weight_map": {}}).get("weight_map")
    if not isinstance(shards, dict):
        raise ValueError(f"{what}: {by} has no weight_map from tensors to files")
    for shard in dict.fromkeys(map(str, shards.values())):
        check_name(shard, by, what)
        if folder and not (folder / shard).is_file():
            raise ValueError(f"{what} lacks {shard}, which {by} names: copy the model again, whole")


def check_name(name: Any, by: str, what: str) -> None:
    """Raise ValueError if the name of a weight file, found in the file `by`, is not to be followed."""
    if not isinstance(name, str) or {PurePosixPath(name).name, PureWindowsPath(name).name} != {name}:
        raise ValueError(f"{what}: {by} names {name!r}, expected the name of a file in the same folder")
    if not name.endswith((".safetensors", ".safetensors.index.json")):
        raise ValueError(
            f"{what}: {by} names {name}, expected *.safetensors: pickled weights are not loaded, convert them with "
            "save_pretrained"
        )


def base_of(path: str, what: str) -> str | None:
    """The name of the model that an adapter belongs to; None for a folder or a hub model that is no adapter.

    Raises ValueError if the adapter names none, if its weights are missing or pickled, or if it is a model as well.
    """
    settings = _object(path, ADAPTER_CONFIG, what)
    if settings is None:
        return None
    base = settings.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ValueError(f"{what}: {ADAPTER_CONFIG} names no base_model_name_or_path, expected the model it belongs to")
    if _find(path, "config.json"):
        raise ValueError(f"{what} holds a model and an adapter: expected one of them; merge them or move one away")
    if not _find(path, ADAPTER_SAFE_WEIGHTS_NAME):
        raise ValueError(
            f"{what} holds no {ADAPTER_SAFE_WEIGHTS_NAME}: expected an adapter as save_pretrained writes it"
        )
    return base


def fingerprint(path: str, other: str | None) -> str:
    """Of a local folder a hash of all that is loaded from it; of a hub model `other`, which is its commit. An adapter's
    hash begins with `other`, the fingerprint of its model.

    Files up to 1 GiB are hashed whole. Of a larger one it is the size, the first and the last MiB and 64 KiB of every
    4 MiB: what changes 4 MiB in a row is seen, and so is every training; a single byte may not be.
    """
    folder = Path(path)
    if adapter := not folder.is_dir() and _find(path, ADAPTER_CONFIG):
        folder = adapter.parent  # in the hub's cache
    if not folder.is_dir():
        return other or "unknown"
    digest = hashlib.sha256((other or "").encode())
    for file in sorted([*folder.iterdir(), *folder.glob("additional_chat_templates/*")]):
        if file.suffix in LOADED and file.is_file():
            size = file.stat().st_size
            digest.update(f"{file.relative_to(folder)}:{size}".encode())
            with file.open("rb") as f:
                if size <= WHOLE:
                    digest.update(hashlib.file_digest(f, "sha256").digest())
                    continue
                for start in range(0, size, EVERY):
                    f.seek(start)
                    digest.update(f.read(PART))
                for start in (0, size - (1 << 20)):
                    f.seek(start)
                    digest.update(f.read(1 << 20))
    return digest.hexdigest()[:16]


def _find(path: str, name: str) -> Path | None:
    """A file of a folder or of a hub model, which is downloaded if need be; None if there is none."""
    if Path(path).is_dir():
        return file if (file := Path(path) / name).is_file() else None
    try:
        found = cached_file(path, name, _raise_exceptions_for_missing_entries=False)
    except (OSError, ValueError):  # no such model: whoever loads it says so
        return None
    return Path(found) if found else None


def _object(path: str, name: str, what: str) -> dict[str, Any] | None:
    """A JSON object of a folder or of a hub model; None if there is no such file."""
    file = _find(path, name)
    return None if file is None else read_json(file, f"the {name} of {what}")
