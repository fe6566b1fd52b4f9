"""Which id means what to both models. Traces are token ids, so teacher and student have to mean the same by them."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase


def check_shared(teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase) -> None:
    """Raise ValueError, naming the first ids that differ, unless both tokenizers give every id the same token.

    The sizes of the embedding matrices may differ: rows beyond the tokenizer are padding.
    """
    theirs, ours = (dict(sorted((i, t) for t, i in tok.get_vocab().items())) for tok in (teacher, student))
    differing = [i for i in sorted(theirs.keys() | ours.keys()) if theirs.get(i) != ours.get(i)]
    if differing:
        first = "; ".join(f"{i}: teacher {theirs.get(i)!r}, student {ours.get(i)!r}" for i in differing[:3])
        raise ValueError(
            f"teacher and student differ in {len(differing)} of {len(ours)} token ids ({first}): "
            "expected the same tokenizer; choose a teacher of the student's family"
        )


def known_ids(
    tokenizer: PreTrainedTokenizerBase, teacher: PreTrainedModel, student: PreTrainedModel
) -> torch.Tensor | None:
    """known_V (bool) over the ids that both models have a row for, False where the tokenizer has no token; None where
    both have exactly the tokenizer's ids.

    Raises ValueError where a model has fewer rows than the tokenizer has ids.
    """
    rows = [model.get_output_embeddings().weight.shape[0] for model in (teacher, student)]
    ids = set(tokenizer.get_vocab().values())
    if max(ids) >= min(rows):
        raise ValueError(
            f"the tokenizer has ids up to {max(ids)}, the models have {rows[0]} (teacher) and {rows[1]} (student) "
            "rows: expected a row for every id; are tokenizer and weights from the same checkpoint?"
        )
    if rows[0] == rows[1] == len(ids):
        return None
    known_V = torch.zeros(min(rows), dtype=torch.bool)
    known_V[sorted(ids)] = True
    return known_V.to(student.device)


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """All ids that end a turn for this model: the tokenizer's and those of its generation config."""
    configured = model.generation_config.eos_token_id
    listed = [configured] if isinstance(configured, int) else list(configured or [])
    ids = sorted({*listed, tokenizer.eos_token_id} - {None})
    if not ids:
        raise ValueError(
            f"{model.name_or_path} names no end-of-turn token: expected eos_token in its tokenizer_config.json "
            "or eos_token_id in its generation_config.json"
        )
    return ids
