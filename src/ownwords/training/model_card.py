"""The model card of a trained student: what it was, what it was trained on, how, and with which versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ownwords.io.files import write_file
from ownwords.io.process import versions
from ownwords.training.prepared import PACKAGES, Prepared

MODEL = (
    "A fine-tuned copy of",
    "`AutoModelForCausalLM.from_pretrained` loads it; tokenizer and chat template are the student's own.",
)
ADAPTER = (
    "A LoRA adapter for",
    "`AutoModelForCausalLM.from_pretrained` loads it where `peft` is installed; `ownwords merge` makes it a model.",
)
SETTINGS = (
    "learning_rate", "schedule", "warmup", "weight_decay", "betas", "max_grad_norm", "batch", "micro_batch",
    "epochs", "steps", "pick", "problems", "cap_problems", "cap_tokens", "prefix", "mask", "weights", "lora",
    "precision", "checkpointing", "seed",
)  # fmt: skip


def write_card(out: Path, prepared: Prepared, history: list[dict[str, Any]]) -> None:
    """`out/README.md`. `history`: what the trainer logged."""
    write_file(out / "README.md", card(prepared, history))


def card(prepared: Prepared, history: list[dict[str, Any]]) -> str:
    config, data = prepared.config, prepared.data
    adapter = config.lora.rank is not None
    head = {
        "base_model": config.student,
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["ownwords", "trl", "sft", "reasoning"],
    }
    losses = [row["loss"] for row in history if "loss" in row]
    facts = {
        "student": f"{config.student} (weights {prepared.student.fingerprint})",
        "data digest": data.digest,
        **{f"data {n}": f"{said}: {used} of {read} traces" for n, (said, read, used) in enumerate(data.sets, 1)},
        "traces": f"{len(data.rows)} at {data.problems} problems, the longest of {data.longest} tokens",
        "prefixes": data.prefixes,
        "dropped": f"{data.too_long} for their length, {data.without_loss} without a token with loss",
        "tokens": f"{data.tokens:,}, {data.loss_tokens:,} of them with loss",
        **{f"without loss, {reason}": f"{tokens:,}" for reason, tokens in data.masked.items()},
        "steps": prepared.steps,
        "loss, first and last step": f"{losses[0]:.4f}, {losses[-1]:.4f}",
    }
    used = {"prefix": config.prefix.tokens, "lora": config.lora.rank, "mask.rise": config.mask.anchors}
    idle = tuple(name for name, lead in used.items() if lead is None)
    settings = {
        key: value
        for key, value in config.flat().items()
        if key.split(".")[0] in SETTINGS and value is not None and not key.startswith(idle)
    }
    kind, loading = ADAPTER if adapter else MODEL
    return "\n".join(
        [
            "---",
            yaml.safe_dump(head, sort_keys=False).strip(),
            "---",
            "",
            f"# {config.out.name}",
            "",
            f"{kind} {config.student}, trained on reasoning traces by ownwords with TRL's `SFTTrainer`. {loading}",
            "",
            *_table("training", facts),
            *_table("setting", settings),
            *_table("version", versions(*PACKAGES)),
        ]
    )


def merged_card(text: str) -> str:
    """The card of a model that an adapter with the card `text` was merged into."""
    for old, new in (("library_name: peft", "library_name: transformers"), *zip(ADAPTER, MODEL)):
        text = text.replace(old, new, 1)
    return text


def _table(title: str, cells: dict[str, Any]) -> list[str]:
    """A Markdown table; what a user named (paths, templates) cannot break its rows."""
    rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in cells.items()]
    return [f"| {title} | |", "|---|---|", *rows, ""]


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())
