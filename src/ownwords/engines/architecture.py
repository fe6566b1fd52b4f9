"""Can the slot cache serve a model? Known from its configuration, or tried.

What counts is what sampling can see: the total variation between the next-token distributions that come through the
slots and those of a plain forward pass. How much of it is rounding the model shows itself, in other layouts. In 16 bits
rounding would hide a small mistake in mask or rotation, so such a model is tried as a float32 copy besides, if that
fits into memory.
"""

from __future__ import annotations

import copy

import torch
from transformers import PreTrainedModel

from ownwords.engines.lane import Lane, context_length
from ownwords.engines.memory import free_bytes

LONGEST = 80
"""positions that are tried: more than the slot cache reads at once, and than a mistake in a rotation can hide in"""
TIMES_NOISE = 3.0
FLOOR, CEILING = {torch.float32: 5e-6}, {torch.float32: 1e-3}
"""total variation that is no mistake, and that is one, whatever the noise; of 16-bit types 0.05 and 0.3, since
pretrained models have 0.03 by rounding, and some kernels show none of it in the other layouts"""
RECURRENT = {"linear_attention", "conv", "hybrid", "hybrid_sliding"}
KINDS = {"full_attention", "sliding_attention", "mlp", "moe"} | RECURRENT
"""of layers that slots know, by their names in a configuration's `layer_types`"""
COPY_SHARE = 0.25
"""of the free memory a float32 copy may take"""


def check_architecture(model: PreTrainedModel, capacity: int, name: str) -> None:
    """Raise ValueError if the slot cache cannot serve a model for rows of `capacity` positions, saying why.

    Sliding windows shorter than the trace and recurrent state are known from the configuration; everything else is
    tried: rows of unequal length, fed through slots in pieces, rewound and fed again, must give the distributions of a
    plain forward pass.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or (["sliding_attention"] if window else ["full_attention"]))
    if kinds - KINDS or (getattr(model, "_is_stateful", False) and not kinds & RECURRENT):
        other = ", ".join(sorted(kinds - KINDS)) or "a state outside of the cache"
        raise ValueError(
            f"{name} ({config.model_type}) has layers with {other}: expected layers that the slots know "
            f"({', '.join(sorted(KINDS))}); use another model"
        )
    if "sliding_attention" in kinds and window and window < capacity:
        raise ValueError(
            f"{name} attends to the last {window} tokens only, prompt and trace need {capacity}: "
            f"set --max-tokens so that both fit into {window}, or use a model with full attention"
        )
    if model.config.is_encoder_decoder:
        raise ValueError(f"{name} ({config.model_type}) is an encoder-decoder model: expected a causal LM")
    _try(model, capacity, name)
    size = 4 * sum(p.numel() for p in model.parameters())
    if model.dtype != torch.float32 and size < COPY_SHARE * free_bytes(model.device):
        _try(copy.deepcopy(model).float(), capacity, name)
        if model.device.type == "cuda":
            torch.cuda.empty_cache()  # or the copy's memory would not count as free


def _try(model: PreTrainedModel, capacity: int, name: str) -> None:
    kind = model.config.get_text_config().model_type
    try:
        error, noise = slot_error(model, capacity)
    except Exception as problem:  # whatever a foreign forward pass raises
        reason = " ".join(str(problem).split())[:200]
        raise ValueError(
            f"{name} ({kind}) cannot read through the slot cache ({type(problem).__name__}: {reason}): "
            "this architecture is not supported"
        ) from problem
    limit = min(max(FLOOR.get(model.dtype, 0.05), TIMES_NOISE * noise), CEILING.get(model.dtype, 0.3))
    if not error < limit:
        raise ValueError(
            f"{name} ({kind}) gives other probabilities through the slot cache than without it (total variation "
            f"{error:.2g} in {str(model.dtype)[6:]}, rounding explains {limit:.2g}): this architecture is not supported"
        )


@torch.inference_mode()
def slot_error(model: PreTrainedModel, capacity: int) -> tuple[float, float]:
    """(error, noise): total variation from a plain forward pass over single rows, of what comes through the slots, and
    of two other ways of the model's own: a batch through its own cache, and one with the causal mask written out, which
    takes other kernels. The mean over the positions of a row, of the worse row."""
    longest = max(3, min(LONGEST, capacity, context_length(model)))
    lengths = [longest, longest - max(1, longest // 6)]
    fed = max(1, lengths[1] * 3 // 4)
    V = model.config.get_text_config().vocab_size
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(0, V, (n,), generator=generator) for n in lengths]
    plain = [_distributions(model(row[None].to(model.device), use_cache=False).logits[0]) for row in rows]

    starts, lane = [n - fed for n in lengths], Lane(model, slots=2, capacity=longest + 8)
    for prefix, start in zip(lane.read([row[: start + 1].tolist() for row, start in zip(rows, starts)]), starts):
        lane.admit(prefix, start)
    slots = [lane.feed(_stacked(rows, starts, part)) for part in _parts(fed)]
    error, back = _variation([row[-fed:] for row in plain], slots), (fed + 1) // 2
    lane.rewind([n - back for n in lane.lengths])
    again = lane.feed(_stacked(rows, starts, slice(fed - back, fed)))
    error = max(error, _variation([row[-back:] for row in plain], [again]))

    start, past, batch, n = starts[1], None, [], lengths[1]
    parts = [slice(i, i + 1) for i in range(fed)] if lane.stepwise else _parts(fed)
    for part in [slice(-start, 0), *parts]:
        ids_BT = _stacked(rows, [start, start], part).to(model.device)
        at_1T = torch.arange(start + part.start, start + part.stop, device=model.device)[None]
        said = model(ids_BT, position_ids=at_1T, use_cache=True, **{lane.cache_name: past})
        past, batch = said[lane.cache_name], [*batch, said.logits]
    heads = [row[:n] for row in plain]
    noise = _variation(heads, batch)
    if len(lane.recurrent) < len(lane.cache.layers):
        hidden_TT = torch.full((n, n), torch.finfo(model.dtype).min, dtype=model.dtype, device=model.device).triu(1)
        ids_BT = torch.stack([row[:n] for row in rows]).to(model.device)
        masked = model(ids_BT, attention_mask=hidden_TT.expand(2, 1, n, n), use_cache=False).logits
        noise = max(noise, _variation(heads, [masked]))
    return error, noise


def _stacked(rows: list[torch.Tensor], starts: list[int], part: slice) -> torch.Tensor:
    """The tokens of a part of each row, counted from its start."""
    return torch.stack([row[start + part.start : start + part.stop] for row, start in zip(rows, starts)])


def _variation(plain: list[torch.Tensor], pieces: list[torch.Tensor]) -> float:
    others = _distributions(torch.cat(pieces, 1))
    return max(0.5 * (one - other).abs().sum(-1).mean().item() for one, other in zip(plain, others))


def _distributions(logits: torch.Tensor) -> torch.Tensor:
    return logits.float().softmax(-1)


def _parts(total: int) -> list[slice]:
    """One token, three, many, one, many: together `total`."""
    ends = sorted({min(end, total) for end in (1, 4, total // 2, total // 2 + 1, total)} - {0})
    return [slice(start, end) for start, end in zip([0, *ends], ends)]
