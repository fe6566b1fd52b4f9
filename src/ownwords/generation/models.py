"""Loading a teacher and a student, and what of them must agree before the first token."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Loaded:
    """A model with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fingerprint: str
    """changes when the weights do"""


def model_path(name: str, role: str) -> str:
    """`world` is the small world's model of that role, which ships with the package; else a folder or a hub name."""
    return str(resources.files("ownwords.world") / "models" / role) if name == "world" else name


def load(name: str, role: str, device: str, dtype: str) -> Loaded:
    """Load a causal LM for inference. Only safetensors are read and no code of a model folder is run.

    Raises ValueError in one line where the folder or the hub model cannot be used.
    """
    path = model_path(name, role)
    try:
        where = torch.device(device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
    except RuntimeError as error:
        raise ValueError(f"--{role}-device is {device!r}, expected auto, cpu, cuda or cuda:1") from error
    if where.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"--{role}-device is {device}, but this machine shows no GPU to torch: use cpu or auto")
    if dtype == "auto":
        wanted = torch.float32 if where.type == "cpu" else "auto"
    else:
        wanted = DTYPES[dtype]
    if Path(path).is_dir() and not any(Path(path).glob("*.safetensors")):
        raise ValueError(
            f"the {role}'s folder {path} holds no *.safetensors: expected config.json, a tokenizer and weights; "
            "pickled weights are not loaded, convert them with save_pretrained"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=wanted, use_safetensors=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"cannot load the {role} {name!r}: {reason[:300]}") from error
    return Loaded(model.to(where).eval(), tokenizer, fingerprint(path, model))


def load_tokenizer(name: str, role: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model alone. Raises ValueError in one line where it cannot be loaded."""
    path = model_path(name, role)
    try:
        return AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"cannot load the {role}'s tokenizer from {path}: {reason}") from error


def fingerprint(path: str, model: PreTrainedModel) -> str:
    """The hub's commit, or a hash of a local folder's configuration and of the ends of its weight files."""
    commit = getattr(model.config, "_commit_hash", None)
    if commit:
        return commit
    digest = hashlib.sha256()
    for file in sorted([*Path(path).glob("*.safetensors"), *Path(path).glob("*.json")]):
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}".encode())
        with file.open("rb") as f:
            digest.update(f.read(1 << 20))
            f.seek(max(0, size - (1 << 20)))
            digest.update(f.read())
    return digest.hexdigest()[:16]
