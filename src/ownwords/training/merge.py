"""A LoRA adapter and its student made one model again."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoConfig

from ownwords.io.files import new_folder
from ownwords.io.paths import check_folder
from ownwords.models.checkpoints import base_of
from ownwords.models.load import load, model_path
from ownwords.training.model_card import merged_card


def merge(adapter: Path, out: Path) -> None:
    """Write the student with the adapter's weights added, in the student's own type, with its tokenizer and template.

    Raises ValueError where `adapter` is none or `out` is taken.
    """
    if not (name := base_of(str(adapter), f"the adapter {str(adapter)!r}")):
        raise ValueError(f"{adapter} holds no adapter_config.json: expected the --out of a training with --lora.rank")
    check_folder(out)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} exists already: name another --out")
    base = load(name, "student", "cpu", "float32")
    own = AutoConfig.from_pretrained(model_path(name, "student"))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Found missing adapter keys")
        try:
            merged = PeftModel.from_pretrained(base.model, adapter).merge_and_unload()
        except UserWarning as missing:
            raise ValueError(f"{adapter} is incomplete: {' '.join(str(missing).split())[:300]}") from missing
    with new_folder(out) as made:
        merged.to(own.dtype or torch.float32).save_pretrained(made)
        base.tokenizer.save_pretrained(made)
        own.save_pretrained(made)
        if (card := adapter / "README.md").is_file():
            (made / "README.md").write_text(merged_card(card.read_text(encoding="utf-8")), encoding="utf-8")
