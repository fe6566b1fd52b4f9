"""How many positions a model reads."""

from __future__ import annotations

from transformers import PretrainedConfig


def context_length(config: PretrainedConfig) -> int:
    """The most positions that a model of this configuration can read; a large number if it names none.

    Phi-3's rotation is one for sequences of up to `original_max_position_embeddings` tokens and another for longer ones
    (LongRoPE, arXiv 2402.13753), so keys that were written before that length would not be those of a plain pass after
    it, nor could rows on either side share a pass: such a model reads as far as the first rotation goes.
    """
    config = config.get_text_config()
    stated = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None) or 1 << 40
    rotations = getattr(config, "rope_parameters", None) or {}
    by_kind = [rotation for rotation in rotations.values() if isinstance(rotation, dict)] or [rotations]
    long = [rotation for rotation in by_kind if rotation.get("rope_type") == "longrope"]
    return min([stated, *(rotation["original_max_position_embeddings"] for rotation in long)])
