"""On-policy distillation, the rival of traces (arXiv 2306.13649): the student answers problems, and at every token of
its answer it is drawn towards the teacher's distribution. By TRL's `DistillationTrainer`; ours are the prompts, which
are those of `ownwords generate`, forced opening included, and the way the student is saved.

A distilling that was stopped begins anew.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoConfig, AutoTokenizer, PrinterCallback
from trl import DistillationConfig, DistillationTrainer

from ownwords.chat.prompts import make_prompts
from ownwords.chat.settings import THINK
from ownwords.io.files import new_folder
from ownwords.models.load import load, model_path
from ownwords.problems.sources import load_problems
from ownwords.training.config import DistillConfig
from ownwords.training.trainer import SCHEDULES


class OnPolicyTrainer(DistillationTrainer):
    """TRL's, on prompts that are ids already."""

    def _tokenize_prompts(self, prompts: list[list[int]]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return prompts, None, {}

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None of TRL's."""


def distill(config: DistillConfig) -> dict[str, float]:
    """Train, and write the student to `config.out`. Gives `steps`, `tokens` (written by the student, which all carry
    loss) and the last `loss`. Raises ValueError for a pair that does not share its ids."""
    teacher, student = (load(name, role, "cpu", "float32") for name, role in
                        ((config.teacher, "teacher"), (config.student, "student")))  # fmt: skip
    if teacher.tokenizer.get_vocab() != student.tokenizer.get_vocab():
        raise ValueError(
            f"{config.teacher} and {config.student} have other token ids: expected a pair of one vocabulary, since the "
            "two distributions are compared id by id"
        )
    dataset = Dataset.from_dict({"prompt": prompts_of(config, student.tokenizer)})
    generation_config = deepcopy(student.model.generation_config)
    trainer = OnPolicyTrainer(
        model=student.model,
        teacher_model=teacher.model,
        args=_arguments(config),
        train_dataset=dataset,
        processing_class=student.tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    student.model.generation_config = generation_config
    path = model_path(config.student, "student")
    own = AutoConfig.from_pretrained(path)
    with new_folder(config.out) as made:
        student.model.to(dtype=own.dtype or torch.float32)  # type: ignore[call-arg]  # its wrapper loses `self`
        student.model.save_pretrained(made)
        own.save_pretrained(made)
        AutoTokenizer.from_pretrained(path).save_pretrained(made)  # TRL gives ours a padding token
    history = trainer.state.log_history
    written = sum(row["completions/mean_length"] for row in history if "completions/mean_length" in row) * config.batch
    losses = [row["loss"] for row in history if "loss" in row]
    return {"steps": trainer.state.global_step, "tokens": round(written), "loss": losses[-1]}


def prompts_of(config: DistillConfig, tokenizer: Any) -> list[list[int]]:
    """The student's prompts, with what every completion is forced to begin with."""
    problems = load_problems(config.problems, limit=config.limit, seed=config.seed)
    prompts = make_prompts(problems, tokenizer, tokenizer, (config.system,) * 2, config.opening, THINK)
    return [[*own, *prompts.style.forced] for _, own in prompts.pairs.values()]


def _arguments(config: DistillConfig) -> DistillationConfig:
    return DistillationConfig(
        output_dir=str(config.out.with_name(f"{config.out.name}-trainer")),
        max_steps=config.steps,
        per_device_train_batch_size=config.batch,
        max_completion_length=config.max_tokens,
        temperature=config.temperature,
        beta=config.beta,
        learning_rate=config.learning_rate,
        lr_scheduler_type=SCHEDULES[config.schedule],
        warmup_steps=config.warmup,
        weight_decay=config.weight_decay,
        adam_beta1=config.betas[0],
        adam_beta2=config.betas[1],
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=config.seed,
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        report_to="none",
    )
