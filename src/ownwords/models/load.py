"""Loading models: one way for all commands, which takes a model whole or refuses it in one line."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ownwords.configuration import FieldError
from ownwords.models import gguf
from ownwords.models.checkpoints import base_of, check_files, fingerprint
from ownwords.models.dtypes import choose, name_of
from ownwords.models.in_memory import weights_fingerprint

SHOWN = 3
"""names in a message, of however many there are"""


@dataclass(frozen=True)
class Loaded:
    """A model with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fingerprint: str
    """changes when the weights, the configuration or the tokenizer do"""
    why: str = ""
    """why it has the type that it has, if that was measured"""

    @property
    def dtype(self) -> str:
        """The type of the weights as the options name it."""
        return name_of(self.model.dtype)


def model_path(name: str, role: str) -> str:
    """The folder or the hub name to load. `world` is the small world's model of that role (any but the teacher is the
    student), which ships with the package; a GGUF file's folder is that of its copy, which is made if need be."""
    if name == "world":
        return str(resources.files("ownwords.world") / "models" / ("teacher" if role == "teacher" else "student"))
    return str(gguf.converted(name, f"the {role} {name!r}")) if gguf.is_gguf(name) else name


def known_path(name: str, role: str) -> str:
    """The folder or hub name of a model's configuration, that of its base if it is an adapter, once its files have
    been looked at. Raises ValueError in one line if they are not those of a model that may be loaded."""
    what, path = f"the {role} {name!r}", model_path(name, role)
    if base := base_of(path, what):
        what, path = f"{base!r}, the model of {what},", model_path(base, role)
    if base and base_of(path, what):
        raise ValueError(f"{what} is an adapter: expected a whole model, merge it first")
    check_files(path, what)
    return path


def weights_of(name: str, role: str) -> tuple[str, str]:
    """(folder or hub name, fingerprint) of a model that something else than `load` will load, once its files have been
    looked at. Raises ValueError in one line, for an adapter as well."""
    path = model_path(name, role)
    if base_of(path, f"the {role} {name!r}"):
        raise ValueError(f"the {role} {name!r} is an adapter: expected a whole model, merge it first")
    with one_line(f"the {role} {name!r}"):
        config = AutoConfig.from_pretrained(known_path(name, role), trust_remote_code=False)
    return path, identity(name, path, config)


def identity(name: str, path: str, config: PretrainedConfig) -> str:
    """The fingerprint of a model's files."""
    return gguf.identity(name) if gguf.is_gguf(name) else fingerprint(path, getattr(config, "_commit_hash", None))


def load(name: str, role: str, device: str, dtype: str) -> Loaded:
    """Load a causal LM, or an adapter with its model, for inference. Only safetensors are read and no code of a model
    folder is run. Tensors that the files hold and the model has no place for are told in a warning.

    Raises ValueError in one line if the folder or the hub model cannot be used: if it is incomplete, pickled, at odds
    with itself, or not finite.
    """
    what, where = f"the {role} {name!r}", _device(device, role)
    known_path(name, role)
    path = model_path(name, role)
    if base := base_of(path, what):
        model, identity, why = _load_weights(base, role, f"{base!r}, the model of {what},", dtype, where)
        with one_line(what):
            info = model.load_adapter(path).to_dict()
        _complete(info, what)
        identity = fingerprint(path, identity)
    else:
        model, identity, why = _load_weights(name, role, what, dtype, where)
    tokenizer = load_tokenizer(name, role)
    with one_line(what):
        model = model.to(where).eval()  # type: ignore[arg-type]  # its wrapper loses `self`
    _check_numbers(model, what)
    _check_ids(model, tokenizer, what)
    return Loaded(model, tokenizer, identity, why)


def adopt(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, role: str) -> Loaded:
    """A model that is in memory already, and stays where it is; it is set to evaluation. Raises ValueError in one line
    if model and tokenizer do not fit together, or a weight is not finite."""
    what, model = f"the {role} in memory", model.eval()
    _check_numbers(model, what)
    _check_ids(model, tokenizer, what)
    return Loaded(model, tokenizer, weights_fingerprint(model, tokenizer))


def load_tokenizer(name: str, role: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model alone. Raises ValueError in one line where it cannot be loaded or writes nothing."""
    what, path = f"the tokenizer of the {role} {name!r}", model_path(name, role)
    with one_line(what):
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        tokenizer.name_or_path = name
        written = tokenizer("What is 3 + 4?")["input_ids"]
    if not written:
        raise ValueError(f"{what} has no ids for plain text: expected tokenizer.json beside the model's config.json")
    return tokenizer


def _load_weights(name: str, role: str, what: str, dtype: str, where: torch.device) -> tuple[PreTrainedModel, str, str]:
    """A model, complete, its fingerprint, and why it has its type."""
    path = model_path(name, role)
    with one_line(what):
        choice = choose(dtype, AutoConfig.from_pretrained(path, trust_remote_code=False), where)
        model, info = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=choice.dtype,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # they are told, and refused below
            output_loading_info=True,
        )
    _complete(info, what)
    if gguf.is_gguf(name):
        model.name_or_path = name  # what an adapter of it is to name
    return model, identity(name, path, model.config), choice.why


def _complete(info: Mapping[str, Any], what: str) -> None:
    """Raise ValueError if tensors are missing or of another shape; warn of those that have no place."""
    if missing := info["missing_keys"]:
        raise ValueError(f"{what} lacks {_named(missing)}: expected all its tensors, copy the model again, whole")
    if info["mismatched_keys"]:
        name, held, wanted = min(info["mismatched_keys"])
        raise ValueError(
            f"{what} has {name} in the shape {tuple(held)}, its config.json wants {tuple(wanted)}: "
            "expected weights and configuration of one model"
        )
    if unexpected := info["unexpected_keys"]:
        warnings.warn(f"{what} holds {_named(unexpected)}, which its architecture has no place for", stacklevel=4)


def _check_numbers(model: PreTrainedModel, what: str) -> None:
    """Raise ValueError if a weight, or what the model says of two tokens, is not finite. (Numbers of one byte are left
    out: torch cannot compare them.)"""
    wide = {name: t for name, t in model.state_dict().items() if t.is_floating_point() and t.dtype.itemsize > 1}
    bad = [name for name, t in wide.items() if t.numel() and not torch.stack(t.aminmax()).isfinite().all()]
    if bad:
        dtype = str(wide[bad[0]].dtype).removeprefix("torch.")
        raise ValueError(f"{what} has NaN or infinite numbers in {_named(bad)}, read as {dtype}: expected finite ones")
    with torch.inference_mode(), one_line(what):
        logits_BTV = model(torch.zeros(1, 2, dtype=torch.long, device=model.device), use_cache=False).logits
    if not logits_BTV.isfinite().all():
        raise ValueError(f"{what} gives logits that are not finite: are its weights whole?")


def _check_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, what: str) -> None:
    """Raise ValueError if the tokenizer has ids that the model has no row for."""
    sides: list[Any] = [model.get_input_embeddings(), model.get_output_embeddings()]
    rows = min(side.weight.shape[0] for side in sides if side is not None)
    beyond = {token: id_ for token, id_ in tokenizer.get_vocab().items() if id_ >= rows}
    if beyond:
        raise ValueError(
            f"{what} has {rows} rows, its tokenizer has ids up to {max(beyond.values())} ({_named(beyond)}): "
            "expected a row for every id; are tokenizer and weights from the same checkpoint?"
        )


def _device(device: str, role: str) -> torch.device:
    try:
        where = torch.device(device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
    except RuntimeError as error:
        message = f"{{{role}_device}} is {{}}, expected auto, cpu, cuda or cuda:1"
        raise FieldError(f"{role}_device", message, repr(device)) from error
    if where.type == "cuda" and not torch.cuda.is_available():
        message = f"{{{role}_device}} is {{}}, but this machine shows no GPU to torch: use cpu or auto"
        raise FieldError(f"{role}_device", message, device)
    return where


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Turn whatever the files of others make the libraries raise into one line."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or "no reason given"
        kind = "" if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: "
        raise ValueError(f"cannot load {what}: {kind}{reason[:300]}") from error


def _named(names: Collection[str]) -> str:
    """`a, b, c and 4 more`."""
    first = sorted(names)[:SHOWN]
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(first) + rest
