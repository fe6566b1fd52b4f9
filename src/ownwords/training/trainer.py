"""TRL's `SFTTrainer` on rows that are finished: it pads and trains, and touches no id and no label.

What it would do unasked is switched off here: its cut at 1024 tokens (`max_length`), preparation, packing, bfloat16 and
gradient checkpointing by default, a model card of its own. The one thing added is a weight per token.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from ownwords.configuration import given
from ownwords.models.load import Loaded
from ownwords.training.config import TrainConfig
from ownwords.training.rows import Row

SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


class TraceTrainer(SFTTrainer):
    """`SFTTrainer`, with `weights` in the batch where tokens are weighed.

    The loss of a step is `sum_i w_i * nll_i / n` over the n tokens with loss of its whole batch, whatever the
    micro-batch and the number of processes.
    """

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        weights_BT = inputs.pop("weights", None)
        if weights_BT is None:
            return super().compute_loss(model, inputs, *args, **kwargs)

        def weighing(**forward: Any) -> Any:
            outputs = model(**forward)
            # one position fewer than tokens: the first token is predicted by nothing
            outputs.log_probs = outputs.log_probs * weights_BT[:, 1:].to(outputs.log_probs)
            return outputs

        return super().compute_loss(weighing, inputs, *args, **kwargs)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None of TRL's: `ownwords.training.model_card` writes one."""


@dataclass
class Collator:
    """Rows to a padded batch: `input_ids`, `labels`, `attention_mask` [B, T], and `weights` where rows have them."""

    pad_id: int

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = DataCollatorForLanguageModeling(pad_token_id=self.pad_id)(rows)
        if "weights" in rows[0]:
            batch["weights"] = pad_sequence([torch.tensor(row["weights"]) for row in rows], batch_first=True)
        return batch


def dataset(rows: list[Row]) -> Dataset:
    """What the trainer is given: ids, labels, and weights where the rows have them."""
    columns: dict[str, list[np.ndarray | None]] = {
        "input_ids": [row.input_ids for row in rows],
        "labels": [row.labels for row in rows],
    }
    if rows[0].weights is not None:
        columns["weights"] = [row.weights for row in rows]
    return Dataset.from_dict(columns)


def make_trainer(
    config: TrainConfig,
    student: Loaded,
    rows: list[Row],
    checkpoints: Path,
    steps: int,
    processes: int = 1,
    callbacks: list[TrainerCallback] | None = None,
) -> TraceTrainer:
    """The trainer of a resolved configuration. `steps`: of the whole training; `processes`: that train together."""
    recipe, machine = config.recipe, config.machine
    micro_batch, betas = given(recipe.micro_batch), given(recipe.betas)
    arguments = SFTConfig(
        output_dir=str(checkpoints),
        max_length=None,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=given(recipe.batch) // (micro_batch * processes),
        num_train_epochs=recipe.epochs or 1,
        max_steps=recipe.steps or -1,
        learning_rate=given(recipe.learning_rate),
        lr_scheduler_type=SCHEDULES[given(recipe.schedule)],
        warmup_steps=given(recipe.warmup),
        weight_decay=given(recipe.weight_decay),
        adam_beta1=betas[0],
        adam_beta2=betas[1],
        max_grad_norm=recipe.max_grad_norm,
        bf16=machine.precision == "bf16",
        gradient_checkpointing=machine.checkpointing,
        use_cpu=machine.device == "cpu" or not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=config.seed,
        data_seed=config.seed,
        save_steps=machine.save_every or max(1, steps // 10),
        save_total_limit=machine.keep or None,
        logging_steps=1,
        disable_tqdm=True,
        report_to=[*machine.report_to] or "none",
        run_name=config.out.name,
    )
    # the vocabulary stays as it is, and a GGUF file has none that peft could look at
    warnings.filterwarnings("ignore", message="Could not find a config file in")
    trainer = TraceTrainer(
        model=student.model,
        args=arguments,
        data_collator=Collator(pad_id(student.tokenizer)),
        train_dataset=dataset(rows),
        processing_class=student.tokenizer,
        peft_config=_lora(config),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Any id will do: padding is masked, and no label. Setting `pad_token` would change the student's tokenizer."""
    return next(i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None)


def _lora(config: TrainConfig) -> LoraConfig | None:
    options = config.lora
    if options.rank is None:
        return None
    return LoraConfig(
        r=options.rank,
        lora_alpha=given(options.alpha),  # type: ignore[arg-type]  # any number serves
        lora_dropout=options.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
