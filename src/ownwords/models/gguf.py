"""GGUF files as models: converted once to a folder that every command loads like any other, and kept.

The weights are read by `transformers`. Its tokenizer of such a file is mended here by what the file itself says: rows
without a token are none, whatever ends a turn is an end, and a number is split as the vocabulary was learned.
The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedTokenizerFast

from ownwords.io.files import fcntl, new_folder, no_room
from ownwords.io.paths import TEMPORARY, cache_folder, check_folder
from ownwords.models.checkpoints import fingerprint

VERSION = 1
"""of the conversion; a copy that another one made is left alone, and a new one is made"""
SOURCE = "source.yaml"
"""in a copy: the file that it was made from, and the fingerprint of all the rest"""
FLOATS = {0: torch.float32, 1: torch.float16, 32: torch.bfloat16}
"""`general.file_type` of files that are not quantised, which keep their type. The weights of all others are kept in
bfloat16, whose rounding is small beside that of eight bits and fewer (docs/models.md)."""
CONTROL, UNUSED = 3, 5
"""kinds of tokens"""
DIGITS_FIRST = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
"""`tokenizer.ggml.pre` of vocabularies in which every digit is split off before GPT-2's rules are used"""
LIKE_GPT2 = {"gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling"}
ENDS = re.compile(r"<\W*(/s|eos|end.?of.?(text|sentence))\W*>")
"""control tokens that end a text, whatever else the file names"""
LLAMA3 = (8192, 1.0, 4.0)
"""of all models of Llama 3: the context before it was stretched, and the factors between which it is eased in"""


def is_gguf(name: str) -> bool:
    """Whether a model's name is that of a file, which nothing but a GGUF file can be."""
    return Path(name).is_file()


def identity(path: str) -> str:
    """The fingerprint of a GGUF file: its SHA-256, and what it is converted by."""
    return f"gguf:{_sha256(path)}:{VERSION}"


def converted(path: str, what: str) -> Path:
    """The folder of a GGUF file's copy. It is made if there is none, or if it is not as it was made.

    Raises ValueError in one line for a file that is none, is damaged or is of an architecture that `transformers` does
    not read from GGUF; nothing is left of it then.
    """
    with open(path, "rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError(
                f"{what} is a file, and no GGUF: expected a folder with config.json, a tokenizer and *.safetensors, or "
                "a .gguf file"
            )
    copies = cache_folder() / "gguf"
    copy = copies / f"{_sha256(path)[:32]}-{VERSION}"
    if _whole(copy):
        return copy
    try:
        import accelerate  # noqa: F401
        import gguf  # noqa: F401
    except ImportError as missing:
        raise ValueError(
            f"{what} is a GGUF file, which takes the package {missing.name} to read: pip install 'ownwords[gguf]'"
        ) from missing
    check_folder(copies, field="OWNWORDS_CACHE")
    copies.mkdir(parents=True, exist_ok=True)
    with _alone(copies / "lock"):
        if _whole(copy):  # another process made it while we waited
            return copy
        for left in copies.iterdir():
            if TEMPORARY.fullmatch(left.name):  # of a process that was killed
                shutil.rmtree(left, ignore_errors=True)
        shutil.rmtree(copy, ignore_errors=True)
        print(f"converting {path}, once; the copy is kept in {copy}", file=sys.stderr, flush=True)
        with new_folder(copy) as made:
            try:
                _convert(Path(path).absolute(), made)
            except Exception as error:  # a file of others makes the libraries raise whatever they like
                if no_room(error) or isinstance(error, OSError) and error.errno is not None:
                    raise
                kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
                raise ValueError(
                    f"{what} cannot be read ({kind}{' '.join(str(error).split())[:300]}): expected a whole GGUF file, "
                    "of an architecture that transformers reads from such"
                ) from error
            source = {"file": str(Path(path).absolute()), "sha256": _sha256(path), "copy": fingerprint(str(made), None)}
            (made / SOURCE).write_text(yaml.safe_dump(source), encoding="utf-8")
    return copy


def _sha256(path: str) -> str:
    state = os.stat(path)
    return _hash(path, state.st_ino, state.st_size, state.st_mtime_ns)


@cache
def _hash(path: str, *state: int) -> str:
    """`state`: another one is another file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _whole(copy: Path) -> bool:
    """Whether a copy is there, and as it was made."""
    states = [(file.name, file.stat()) for file in sorted(copy.iterdir())] if copy.is_dir() else []
    return _as_made(copy, *((name, state.st_size, state.st_mtime_ns) for name, state in states))


@cache
def _as_made(copy: Path, *state: tuple[str, int, int]) -> bool:
    """`state` of its files: asked again where that has changed."""
    try:
        source = yaml.safe_load((copy / SOURCE).read_text(encoding="utf-8"))
        return source["copy"] == fingerprint(str(copy), None)
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return False


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time, since two conversions may not fit into memory: the next one waits."""
    with lock.open("a") as file:
        if fcntl is not None:
            fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def _convert(path: Path, out: Path) -> None:
    from transformers import GgufConfig  # as old a transformers as the package takes need not have it
    from transformers.integrations.gguf import read_gguf_metadata

    metadata, tensors = read_gguf_metadata(str(path), ("tokenizer.ggml.tokens",))
    if (parts := metadata.get("split.count", 0)) > 1:
        raise ValueError(f"it is one of {parts} parts, join them first (llama-gguf-split --merge)")
    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    if width := metadata.get(f"{metadata['general.architecture']}.attention.key_length"):
        config.head_dim = width  # transformers takes Qwen3's to be 128
    _check_positions(config, metadata, tensors, path)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(path.parent, gguf_file=path.name)
    _mend_splitting(tokenizer, metadata)
    with redirect_stderr(StringIO()):  # its progress bars
        model, info = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            config=config,
            dtype=kept_as(metadata.get("general.file_type")),
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
        )
    if lacking := info["missing_keys"]:
        raise ValueError(f"it lacks {len(lacking)} tensors of its architecture, such as {min(lacking)}")
    model.hf_quantizer = None  # or nothing would be saved
    vars(model.config).pop("quantization_config", None)
    model.generation_config.eos_token_id = end_ids(tokenizer, metadata)
    with redirect_stderr(StringIO()):
        model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    _drop_unused(out / "tokenizer.json", metadata)


def kept_as(file_type: int | None) -> torch.dtype:
    """The type of a copy's weights; all digits are kept of a file that does not say what it holds."""
    return torch.float32 if file_type is None else FLOATS.get(file_type, torch.bfloat16)


def _check_positions(config: PreTrainedConfig, metadata: dict[str, Any], tensors: tuple[str, ...], path: Path) -> None:
    """Read the factors of Llama 3's rotations, which `transformers` leaves out. Raises ValueError for any other way to
    stretch a context that it leaves out."""
    rope = config.get_text_config().rope_parameters or {}
    if "rope_freqs.weight" in tensors:
        from gguf import GGUFReader

        reader = GGUFReader(path)
        factors = next(t.data for t in reader.tensors if t.name == "rope_freqs.weight")
        stretched = llama3(torch.tensor(factors).float().flatten(), rope["rope_theta"])
        if stretched is None:
            raise ValueError("its rope_freqs.weight is none of Llama 3's, which are the only ones that are understood")
        config.rope_parameters = rope | stretched
        return
    scaling = metadata.get(f"{metadata['general.architecture']}.rope.scaling.type", "none")
    lists = [name for name in tensors if name.startswith("rope_factors_")]
    if rope.get("rope_type", "default") == "default" and (lists or scaling != "none"):
        raise ValueError(
            f"it stretches its context ({', '.join(lists) or scaling}), which transformers does not read from GGUF: "
            "take the model as safetensors"
        )


def llama3(factors_N: torch.Tensor, theta: float) -> dict[str, Any] | None:
    """The `rope_parameters` whose rotations are slowed by these factors, N of half a head; None if there are none of
    Llama 3's kind (`rope_type` llama3 of `transformers`)."""
    context, low, high = LLAMA3
    factor = float(factors_N.max())
    waves_N = 2 * math.pi * theta ** (torch.arange(len(factors_N)) / len(factors_N))
    eased_N = ((context / waves_N - low) / (high - low)).clamp(0, 1)
    if not torch.allclose(factors_N, 1 / ((1 - eased_N) / factor + eased_N), rtol=1e-3):
        return None
    return {
        "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
        "original_max_position_embeddings": context,
    }  # fmt: skip


def _mend_splitting(tokenizer: PreTrainedTokenizerFast, metadata: dict[str, Any]) -> None:
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    rules = metadata.get("tokenizer.ggml.pre")
    if metadata.get("tokenizer.ggml.model") != "gpt2" or rules in GGUF_PRE_TOKENIZER_SPLITS:
        return
    if rules in DIGITS_FIRST:
        digits, bytes_ = Digits(individual_digits=True), ByteLevel(add_prefix_space=False)
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence([digits, bytes_])
    elif rules not in LIKE_GPT2:
        warnings.warn(
            f"the tokenizer of {tokenizer.name_or_path} splits text by the rules {rules!r}, which are not known here: "
            "GPT-2's are used, so that some texts may get other tokens than the model has learned",
            stacklevel=2,
        )


def end_ids(tokenizer: PreTrainedTokenizerFast, metadata: dict[str, Any]) -> list[int]:
    """All ids that end a turn: those that the file names, the one that its template writes after the assistant's turn,
    and the ends of a text."""
    named = [metadata.get(f"tokenizer.ggml.{kind}_token_id") for kind in ("eos", "eot", "eom")]
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata.get("tokenizer.ggml.token_type", ())
    control = {token: i for i, (token, kind) in enumerate(zip(tokens, kinds)) if kind == CONTROL}
    written = [i for token, i in control.items() if ENDS.fullmatch(token)]
    with suppress(Exception):  # a template is a program of others, and fails as it likes
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "said"}]
        text = cast(str, tokenizer.apply_chat_template(turns, tokenize=False))
        after = text.rpartition("said")[2].lstrip()
        written += [i for token, i in control.items() if after.startswith(token)]
    return sorted({i for i in [*named, *written] if i is not None})


def _drop_unused(file: Path, metadata: dict[str, Any]) -> None:
    """Take rows that only fill the table out of the vocabulary: `[PAD151665]` is no text that could be written."""
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata.get("tokenizer.ggml.token_type", ())
    described = json.loads(file.read_text(encoding="utf-8"))
    merged = {part for merge in described["model"].get("merges", ()) for part in (*merge, "".join(merge))}
    unused = {token for token, kind in zip(tokens, kinds) if kind == UNUSED} - merged
    if unused and isinstance(vocabulary := described["model"]["vocab"], dict):
        described["model"]["vocab"] = {token: i for token, i in vocabulary.items() if token not in unused}
        file.write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
