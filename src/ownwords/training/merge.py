"""A LoRA adapter and its student made one model again."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoConfig

from ownwords.generation.models import load, model_path
from ownwords.training.card import merged_card


def merge(adapter: Path, out: Path) -> None:
    """Write the student with the adapter's weights added, in the student's own type, with its tokenizer and template.

    Raises ValueError where `adapter` is none or `out` is taken.
    """
    settings = adapter / "adapter_config.json"
    if not settings.is_file():
        raise ValueError(f"{adapter} holds no adapter_config.json: expected the --out of a training with --lora.rank")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists already: name another --out")
    name = json.loads(settings.read_text())["base_model_name_or_path"]
    base = load(name, "student", "cpu", "float32")
    own = AutoConfig.from_pretrained(model_path(name, "student"))
    merged = PeftModel.from_pretrained(base.model, adapter).merge_and_unload()
    merged.to(own.dtype or torch.float32).save_pretrained(out)
    base.tokenizer.save_pretrained(out)
    own.save_pretrained(out)
    if (card := adapter / "README.md").is_file():
        (out / "README.md").write_text(merged_card(card.read_text()))
