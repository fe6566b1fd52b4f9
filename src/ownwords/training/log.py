"""The log of a training: a row of `metrics.jsonl` per step, the progress that people see, and the wish to stop."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ownwords.io.files import replacing

KEPT = ("loss", "learning_rate", "grad_norm", "entropy", "mean_token_accuracy")
"""of what the trainer logs: `loss` in nats per token with loss, `entropy` of the student's predictions likewise"""


@dataclass(frozen=True)
class Progress:
    """What is told after a step."""

    step: int
    steps: int
    epoch: float
    loss: float
    tokens: int
    """read by this start, prompts included"""


class Metrics(TrainerCallback):
    """Writes what the trainer logs, tells the progress, and stops it with a checkpoint when asked to."""

    def __init__(
        self, path: Path, steps: int, interrupted: Callable[[], bool], tell: Callable[[Progress], None]
    ) -> None:
        self.path, self.steps, self.interrupted, self.tell = path, steps, interrupted, tell

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.interrupted():
            control.should_save = control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] = MappingProxyType({}),
        **_: Any,
    ) -> None:
        if not state.is_world_process_zero or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise ValueError(
                f"the loss is {logs['loss']} at step {state.global_step}: lower the learning rate, or look for "
                "broken rows in the data"
            )
        row = {"step": state.global_step, "epoch": round(logs["epoch"], 4), **{k: logs[k] for k in KEPT if k in logs}}
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.tell(Progress(row["step"], self.steps, row["epoch"], row["loss"], int(logs.get("num_tokens", 0))))


def cut_metrics(path: Path, after: int) -> None:
    """Drop the rows of steps after `after`, which a resumed training makes again, and a torn last row."""
    if not path.exists():
        return
    with path.open() as lines:
        whole = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= after]
    with replacing([path]) as [file]:
        file.write("".join(whole).encode())
