"""Architectures in small: their own code with random weights, to try what the slot cache serves.

A configuration of `transformers` has the sizes of a real model. `SIZES` says how small each kind of field becomes, with
windows shorter than the traces that are tried; `FAMILIES` says what an architecture needs besides.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PretrainedConfig, PreTrainedModel

SIZES: dict[str, Any] = {
    **dict.fromkeys(["vocab_size", "vocab_size_per_layer_input"], 100),
    **dict.fromkeys(["hidden_size", "n_embd", "d_model", "embedding_size", "word_embed_proj_dim"], 32),
    **dict.fromkeys(["num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_blocks"], 4),
    **dict.fromkeys(["num_attention_heads", "n_head", "n_heads", "num_heads"], 4),
    **dict.fromkeys(["num_key_value_heads", "num_kv_heads", "num_global_key_value_heads"], 2),
    **dict.fromkeys(["head_dim", "global_head_dim", "d_kv"], 8),
    **dict.fromkeys(["intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "d_ff", "dim_ff"], 64),
    **dict.fromkeys(["max_position_embeddings", "n_positions", "max_seq_len", "context_length"], 256),
    **dict.fromkeys(["sliding_window", "attention_chunk_size", "window_size", "attention_window_size"], 24),
    **dict(pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1),
    # mixtures of experts
    **dict.fromkeys(["num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"], 4),
    **dict.fromkeys(["num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "top_k_experts"], 2),
    **dict.fromkeys(["moe_intermediate_size", "expert_ffn_hidden_size", "expert_intermediate_size"], 32),
    **dict.fromkeys(["shared_expert_intermediate_size", "shared_intermediate_size"], 32),
    **dict(n_group=1, topk_group=1, first_k_dense_replace=1, num_dense_layers=1, zero_expert_num=2),
    # multi-head latent attention, whose keys and values differ in size; sparse attention by an index
    **dict(q_lora_rank=16, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=12, qk_head_dim=16),
    **dict(index_n_heads=16, index_head_dim=8, index_topk=16),
    # recurrent layers
    **dict.fromkeys(["mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "linear_num_value_heads"], 4),
    **dict.fromkeys(["mamba_d_head", "mamba_head_dim", "mamba_headdim"], 16),
    **dict.fromkeys(["mamba_d_state", "state_size", "ssm_state_size", "linear_key_head_dim"], 8),
    **dict.fromkeys(["mamba_chunk_size", "chunk_size", "hidden_size_per_layer_input", "laurel_rank"], 16),
    **dict(mamba_n_groups=1, n_groups=1, mamba_ngroups=1, mamba_d_ssm=64, mamba_dt_rank=4, time_step_rank=4),
    **dict(linear_num_key_heads=2, linear_value_head_dim=8, linear_num_heads=4, linear_head_dim=8, lru_width=32),
}

ALTERNATING = ["sliding_attention", "full_attention"] * 2
LATENT = dict(num_key_value_heads=4)
CONV = ["conv", "full_attention"] * 2
RECURRENT = ["linear_attention", "full_attention"] * 2

FAMILIES: dict[str, dict[str, Any]] = {
    # full attention
    "llama": {}, "qwen2": {}, "qwen3": {}, "gemma": {}, "phi": {}, "stablelm": {}, "granite": {}, "olmo": {},
    "olmo2": {}, "cohere": dict(logit_scale=1.0), "glm": {}, "glm4": {}, "helium": {}, "nemotron": {}, "persimmon": {},
    "seed_oss": {}, "arcee": {}, "apertus": {}, "bitnet": {}, "diffllama": {}, "ernie4_5": {}, "hunyuan_v1_dense": {},
    "internlm3": {}, "hyperclovax": {}, "nanochat": {}, "smollm3": {},
    # learned positions, positions as a bias, older layouts
    "gpt2": {}, "gpt_bigcode": {}, "gpt_neox": {}, "gptj": dict(rotary_dim=4), "codegen": dict(rotary_dim=4),
    "opt": {}, "biogpt": {}, "xglm": {}, "ctrl": dict(n_embd=32, dff=64), "bloom": {}, "mpt": {}, "falcon": {},
    "falcon-alibi": dict(alibi=True),
    # windows
    "mistral": {}, "ministral": {}, "phi3": {}, "starcoder2": {}, "gemma2": {}, "vaultgemma": {}, "olmo3": {},
    "exaone4": {}, "modernbert-decoder": {}, "cwm": {}, "llama4_text": {}, "cohere2": dict(logit_scale=1.0),
    "gemma3_text": dict(layer_types=ALTERNATING),
    "gemma3n_text": dict(layer_types=ALTERNATING, num_kv_shared_layers=2, activation_sparsity_pattern=None),
    "gemma4_text": dict(layer_types=ALTERNATING, num_kv_shared_layers=2),
    # mixtures of experts
    "mixtral": {}, "qwen2_moe": {}, "qwen3_moe": {}, "olmoe": {}, "phimoe": {}, "granitemoe": {}, "gpt_oss": {},
    "granitemoeshared": {}, "glm4_moe": {}, "ernie4_5_moe": {}, "hunyuan_v1_moe": {}, "minimax_m2": {}, "jetmoe": {},
    "doge": {}, "dots1": dict(n_shared_experts=1), "flex_olmo": {}, "afmoe": {}, "mimo_v2_flash": {},
    # multi-head latent attention
    "deepseek_v2": LATENT, "deepseek_v3": LATENT, "glm4_moe_lite": LATENT, "longcat_flash": LATENT, "youtu": LATENT,
    "minicpm3": dict(LATENT, scale_emb=1), "deepseek_v32": LATENT, "glm_moe_dsa": LATENT,
    # recurrent layers
    "qwen3_next": {}, "qwen3_5_text": {}, "qwen3_5_moe_text": {}, "lfm2": dict(layer_types=CONV),
    "lfm2_moe": dict(layer_types=CONV), "mamba": {}, "mamba2": dict(head_dim=16), "falcon_mamba": {}, "falcon_h1": {},
    "granitemoehybrid": dict(layer_types=RECURRENT), "bamba": dict(attn_layer_indices=[1, 3]), "nemotron_h": {},
    "jamba": dict(attn_layer_period=2, attn_layer_offset=1), "olmo_hybrid": {},
    "zamba2": dict(layers_block_type=["linear_attention", "hybrid"] * 2),
    "kimi_linear": dict(LATENT, layer_types=RECURRENT), "minimax": {}, "recurrent_gemma": {}, "rwkv": {}, "xlstm": {},
    # attention of other kinds
    "gpt_neo": dict(attention_types=[[["global", "local"], 2]]), "openai-gpt": {}, "xlnet": {}, "bert": {}, "t5": {},
    "reformer": dict(is_decoder=True, axial_pos_embds=False),
}  # fmt: skip
"""name -> fields, beyond `SIZES`; a name is a `model_type`, and what follows a hyphen only tells two of them apart"""


def small_config(name: str) -> PretrainedConfig:
    kind = name if name in CONFIG_MAPPING else name.split("-")[0]
    cls = CONFIG_MAPPING[kind]
    fields = {field.name for field in dataclasses.fields(cls)} | set(cls.attribute_map)
    return cls(**{name: value for name, value in SIZES.items() if name in fields} | FAMILIES[name])


def small_model(name: str, seed: int = 0) -> PreTrainedModel:
    """The architecture in small with random weights, in float32 on the CPU.

    Matrices that are drawn as small as for training are made eight times larger: otherwise all distributions would be
    nearly flat, whatever the attention sees.
    """
    config = small_config(name)
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = auto.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1 and weight.std() < 0.05:
                weight.mul_(8)
    return model
