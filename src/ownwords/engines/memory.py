"""How many slots fit into the memory that is free."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel

from ownwords.engines.lane import Lane

SHARE = 0.7
"""of the free memory is given to keys and values; the rest is for activations and logits"""


def free_bytes(device: torch.device) -> int:
    """Memory that is free now: the GPU's, or what the system says a process may still take."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        available = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable"))
        return int(available.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def slot_bytes(model: PreTrainedModel, capacity: int) -> int:
    """Memory of one row of `capacity` positions, from the shapes that two tokens show."""
    lane = Lane(model, slots=1, capacity=2)
    lane.admit(lane.read([[0, 0]])[0], 1)
    lane.feed(torch.zeros(1, 1, dtype=torch.long))
    return lane.cache.bytes_per_slot(capacity)


def plan_slots(models: Sequence[PreTrainedModel], capacity: int, most: int) -> int:
    """The number of slots, at most `most`, that fit beside the loaded models that decode.

    Raises ValueError where not even one does.
    """
    need: dict[torch.device, int] = {}
    for model in models:
        need[model.device] = need.get(model.device, 0) + slot_bytes(model, capacity)
    slots = min([most] + [int(SHARE * free_bytes(device)) // size for device, size in need.items()])
    if slots < 1:
        device, size = max(need.items(), key=lambda item: item[1])
        raise ValueError(
            f"one attempt of {capacity} tokens needs {size / 2**30:.1f} GiB of keys and values on {device}, "
            f"{free_bytes(device) / 2**30:.1f} GiB are free: set a smaller --max-tokens or a smaller dtype"
        )
    return slots
