"""A model that is in memory already: what tells its weights from others'.

As `ownwords.models.checkpoints` does for files: a model up to 1 GiB is hashed whole; of each tensor of a larger one it
is the size and 64 KiB of every 4 MiB, so that every training is seen, and a single number may not be. A model in memory
and the folder that it came from have different fingerprints.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ownwords.models.checkpoints import EVERY, PART, WHOLE


def weights_fingerprint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """Changes when the weights, the configuration or the tokenizer do; 16 hexadecimal digits."""
    tensors: dict[str, torch.Tensor] = model.state_dict()
    whole = sum(t.numel() * t.itemsize for t in tensors.values()) <= WHOLE
    ends = model.generation_config.eos_token_id if model.generation_config else None
    settings = [_public(model.config.to_dict()), ends, tokenizer.get_vocab(), tokenizer.chat_template]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        for part in _parts(tensor.detach().contiguous().reshape(-1).view(torch.uint8), whole):
            digest.update(part.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _parts(bytes_N: torch.Tensor, whole: bool) -> Iterator[torch.Tensor]:
    if whole or len(bytes_N) <= EVERY:
        yield bytes_N
        return
    full = len(bytes_N) // EVERY * EVERY
    yield bytes_N[:full].view(-1, EVERY)[:, :PART]
    yield bytes_N[full:][:PART]


def _public(config: dict[str, Any]) -> dict[str, Any]:
    """Without the name that it was loaded by, and whatever else is no property of the model."""
    return {key: value for key, value in config.items() if not key.startswith("_")}
