"""Can the slot cache serve a model? It is tried.

What counts is what sampling can see: the total variation between the next-token distributions that come through the
slots and those of a plain forward pass. How much of it is rounding the model shows itself, in other layouts. In 16 bits
rounding would hide a small mistake in mask or rotation, so such a model is tried as a float32 copy besides, if that
fits into memory.

Windows are longer than a trial should be. Those that a model reads from its configuration in every pass, as
`transformers` does where it makes the masks, are made short for the trial, for the slots and for the plain pass alike:
what is tried is that both stop at the same position, whichever it is. Other windows are tried at their own length.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

from ownwords.engines.lane import Lane
from ownwords.engines.memory import free_bytes
from ownwords.models.context import context_length

LONGEST = 80
"""positions that are tried: more than the slot cache reads at once, and than a mistake in a rotation can hide in"""
WINDOW = 24
"""tokens of a window that is made short for the trial"""
MASKED = ("sliding_window", "attention_chunk_size")
"""the windows that `transformers.masking_utils` reads from the configuration in every pass"""
TRIES = 3
"""on other tokens: a mixture of experts may break a near tie between two experts otherwise, which no layout can avoid;
a mistake shows on all tokens"""
STEPS = 8
"""tokens that the model's own cache is fed one by one"""
TIMES_NOISE = 3.0
FLOOR, CEILING = {torch.float32: 5e-6}, {torch.float32: 1e-4}
"""total variation that is no mistake, and that is one, whatever the noise; of 16-bit types 0.05 and 0.3, since
pretrained models have 0.03 by rounding, and some kernels show none of it in the other layouts"""
COPY_SHARE = 0.25
"""of the free memory a float32 copy may take"""


def check_architecture(model: PreTrainedModel, capacity: int, name: str) -> None:
    """Raise ValueError if the slot cache cannot serve a model for rows of `capacity` positions, saying why.

    Rows of unequal length, fed through slots in pieces, must give the distributions of a plain forward pass.
    """
    if model.config.is_encoder_decoder:
        kind = model.config.get_text_config().model_type
        raise ValueError(f"{name} ({kind}) is an encoder-decoder model: expected a causal LM")
    _try(model, capacity, name)
    size = 4 * sum(p.numel() for p in model.parameters())
    if model.dtype != torch.float32 and size < COPY_SHARE * free_bytes(model.device):
        _try(copy.deepcopy(model).float(), capacity, name)
        if model.device.type == "cuda":
            torch.cuda.empty_cache()  # or the copy's memory would not count as free


def _try(model: PreTrainedModel, capacity: int, name: str) -> None:
    kind = model.config.get_text_config().model_type
    for seed in range(TRIES):
        try:
            error, noise = slot_error(model, capacity, seed)
        except Exception as problem:  # whatever a foreign forward pass raises
            what = "" if isinstance(problem, ValueError) else f"{type(problem).__name__}: "
            reason = what + " ".join(str(problem).split())[:200]
            raise ValueError(
                f"{name} ({kind}) cannot read through the slot cache ({reason}): this architecture is not supported"
            ) from problem
        limit = min(max(FLOOR.get(model.dtype, 0.05), TIMES_NOISE * noise), CEILING.get(model.dtype, 0.3))
        if error < limit:
            return
    raise ValueError(
        f"{name} ({kind}) gives other probabilities through the slot cache than without it (total variation "
        f"{error:.2g} in {str(model.dtype)[6:]}, rounding explains {limit:.2g}): this architecture is not supported"
    )


@torch.inference_mode()
def slot_error(model: PreTrainedModel, capacity: int, seed: int = 0) -> tuple[float, float]:
    """(error, noise): total variation from a plain forward pass over single rows, of what comes through the slots, and
    of two other ways of the model's own: a batch through its own cache, and a padded batch, which takes other kernels.
    The mean over the positions of a row, of the worse row."""
    config = model.config.get_text_config()
    longest = max([LONGEST, *(window + WINDOW for window in _fixed_windows(config, capacity))])
    longest = max(3, min(longest, capacity, context_length(model.config)))
    lengths = [longest, longest - max(1, longest // 6)]
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randint(0, config.vocab_size, (n,), generator=generator) for n in lengths]
    with _short_windows(config, capacity):
        plain = [_distributions(model(row[None].to(model.device), use_cache=False).logits[0]) for row in rows]
        steps = _through_own_cache(model, rows)
        noise = [_variation([row[lengths[1] - steps.shape[1] : lengths[1]] for row in plain], steps)]
        noise += [_variation([row], padded[None]) for row, padded in zip(plain, _padded(model, rows))]
        through = _through_slots(model, rows)
        return _variation([row[-through.shape[1] :] for row in plain], through), max(noise)


def _through_slots(model: PreTrainedModel, rows: list[torch.Tensor]) -> torch.Tensor:
    """Logits of the last tokens of two rows. They are fed in pieces; a third row ends before, tokens are fed in between
    that are taken back, and the last ones are taken back and fed again."""
    lengths = [len(row) for row in rows]
    fed = max(1, min(lengths) * 3 // 4)
    starts, lane = [n - fed for n in lengths], Lane(model, slots=3, capacity=max(lengths) + 8)
    prompts = [row[: start + 1].tolist() for row, start in zip(rows, starts)]
    first, *prefixes = lane.read([[*prompts[0][:2]], *prompts])
    lane.admit(prefixes[0], starts[0])
    lane.admit(first, 1)
    lane.admit(prefixes[1], starts[1])
    lane.release(1)
    logits = []
    for part in _parts(fed):
        before = list(lane.lengths)
        lane.feed(torch.stack([row[:2] for row in rows]))
        lane.rewind(before)
        logits.append(lane.feed(_stacked(rows, starts, part)))
    again = (logits[-1].shape[1] + 1) // 2
    lane.rewind([n - again for n in lane.lengths])
    logits[-1] = logits[-1][:, :-again]
    return torch.cat([*logits, lane.feed(_stacked(rows, starts, slice(fed - again, fed)))], 1)


def _through_own_cache(model: PreTrainedModel, rows: list[torch.Tensor]) -> torch.Tensor:
    """Logits of the last `STEPS` tokens of the rows' common length, read one by one, as the model itself writes."""
    n = min(len(row) for row in rows)
    past: dict[str, Any] = {}
    start, logits = n - min(STEPS, n - 1), []
    for first, last in [(0, start), *((i, i + 1) for i in range(start, n))]:
        ids_BT = torch.stack([row[first:last] for row in rows]).to(model.device)
        at_1T = torch.arange(first, last, device=model.device)[None]
        said = model(ids_BT, position_ids=at_1T, use_cache=True, **past)
        past = {name: said[name] for name in ("past_key_values", "cache_params") if said.get(name) is not None}
        if not past:
            raise ValueError("it gives no cache back that it could go on with")
        logits.append(said.logits)
    return torch.cat(logits[1:], 1)


def _padded(model: PreTrainedModel, rows: list[torch.Tensor]) -> list[torch.Tensor]:
    """Logits of each row, out of one batch that is padded on the right."""
    ids_BT = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(model.device)
    mask_BT = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    logits_BTV = model(ids_BT, attention_mask=mask_BT.to(model.device), use_cache=False).logits
    return [logits_TV[: len(row)] for row, logits_TV in zip(rows, logits_BTV)]


@contextmanager
def _short_windows(config: PretrainedConfig, capacity: int) -> Iterator[None]:
    own = {name: getattr(config, name, None) for name in MASKED}
    own = {name: window for name, window in own.items() if window and WINDOW < window < capacity}
    try:
        for name in own:
            setattr(config, name, WINDOW)
        yield
    finally:
        for name, window in own.items():
            setattr(config, name, window)


def _fixed_windows(config: PretrainedConfig, capacity: int) -> list[int]:
    """Windows that a model has taken from its configuration once and for all, shorter than a row."""
    fields = {name: value for name, value in config.to_dict().items() if name.endswith(("window_size", "window_len"))}
    return [value for value in fields.values() if isinstance(value, int) and value < capacity]


def _stacked(rows: list[torch.Tensor], starts: list[int], part: slice) -> torch.Tensor:
    """The tokens of a part of each row, counted from its start."""
    return torch.stack([row[start + part.start : start + part.stop] for row, start in zip(rows, starts)])


def _variation(plain: list[torch.Tensor], logits_BTV: torch.Tensor) -> float:
    return max(0.5 * (one - other).abs().sum(-1).mean().item() for one, other in zip(plain, _distributions(logits_BTV)))


def _distributions(logits: torch.Tensor) -> torch.Tensor:
    return logits.float().softmax(-1)


def _parts(total: int) -> list[slice]:
    """One token, three, many, one, many: together `total`."""
    ends = sorted({min(end, total) for end in (1, 4, total // 2, total // 2 + 1, total)} - {0})
    return [slice(start, end) for start, end in zip([0, *ends], ends)]
