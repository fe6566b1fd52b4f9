"""GGUF files of models that are at hand, written as llama.cpp's converters write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from gguf import MODEL_ARCH, GGUFWriter, get_tensor_name_map
from transformers import PreTrainedModel, PreTrainedTokenizerBase

F32, F16 = 0, 1
"""`general.file_type`"""
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
ARCHITECTURES = {"llama": MODEL_ARCH.LLAMA, "qwen2": MODEL_ARCH.QWEN2, "qwen3": MODEL_ARCH.QWEN3}


def write_gguf(
    path: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    file_type: int = F32,
    pre: str = "qwen2",
    change: Callable[[GGUFWriter], object] = lambda writer: None,
    leave_out: tuple[str, ...] = (),
    architecture: str | None = None,
) -> Path:
    """`change` may set further keys; tensors of the names `leave_out` are left out."""
    config = model.config
    kind = config.model_type
    writer = GGUFWriter(str(path), architecture or kind)
    writer.add_name("tiny")
    writer.add_file_type(file_type)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_rope_dimension_count(head_dim)
    if kind == "qwen3":
        writer.add_key_length(head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    _write_tokenizer(writer, tokenizer, config.vocab_size, pre)
    change(writer)
    names = get_tensor_name_map(ARCHITECTURES[kind], config.num_hidden_layers)
    for name, weights in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings or name in leave_out:
            continue
        if kind == "llama" and (".q_proj." in name or ".k_proj." in name):
            weights = _permuted(
                weights, config.num_attention_heads if ".q_proj." in name else config.num_key_value_heads
            )
        values = weights.float().numpy().astype(np.float16 if file_type == F16 and weights.ndim > 1 else np.float32)
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _permuted(weights: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a head: those that rotate together stand side by side in GGUF, half a head apart in `transformers`."""
    return weights.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def _write_tokenizer(writer: GGUFWriter, tokenizer: PreTrainedTokenizerBase, rows: int, pre: str) -> None:

    token_of = {i: token for token, i in tokenizer.get_vocab().items()}
    added = {i: CONTROL if token.special else USER_DEFINED for i, token in tokenizer.added_tokens_decoder.items()}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([token_of.get(i, f"[PAD{i}]") for i in range(rows)])
    writer.add_token_types([added.get(i, NORMAL if i in token_of else UNUSED) for i in range(rows)])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)
