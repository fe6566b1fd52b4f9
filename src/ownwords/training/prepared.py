"""A training run before its first step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from ownwords.configuration import given
from ownwords.models.load import Loaded
from ownwords.training.config import TrainConfig
from ownwords.training.dataset import TrainingSet

PACKAGES = ("ownwords", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "safetensors")
"""those whose versions a training keeps"""


@dataclass(frozen=True)
class Prepared:
    """Everything that stands before the first step."""

    config: TrainConfig
    """resolved"""
    student: Loaded
    own_dtype: torch.dtype
    """of the student's checkpoint, and of what is saved"""
    data: TrainingSet
    processes: int
    """that train together"""

    @property
    def steps_per_epoch(self) -> int:
        at_once = given(self.config.recipe.micro_batch) * self.processes
        return math.ceil(math.ceil(len(self.data.rows) / at_once) * at_once / given(self.config.recipe.batch))

    @property
    def steps(self) -> int:
        return self.config.recipe.steps or math.ceil(given(self.config.recipe.epochs) * self.steps_per_epoch)

    @property
    def record(self) -> dict[str, Any]:
        """What decides the student; a folder with another record is refused."""
        config = {key: value for key, value in self.config.flat().items() if key not in self.config.free()}
        return {**config, "student_weights": self.student.fingerprint, "data_digest": self.data.digest}
