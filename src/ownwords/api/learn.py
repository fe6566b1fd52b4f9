"""`ownwords.train`: a student fine-tuned on traces."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ownwords.api.bars import bar
from ownwords.api.frames import frame
from ownwords.api.inputs import configured, to_folder
from ownwords.api.notebook import facts
from ownwords.training.config import TrainConfig

if TYPE_CHECKING:
    import pandas

    from ownwords.training.log import Progress


def train(
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    student: str | os.PathLike[str] | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Trained:
    """Fine-tune a student on traces: ids as they were decoded, loss on the completion without its forced tokens.

    Args:
        data: a run, a selection, the folder of an export, a file with `input_ids` and `labels`; or several of them.
        student: a folder, a hub name or `world`; None for the student that the run was made for. A model in memory has
            to be saved first (`save_pretrained`, and its tokenizer's): the trained one is written to `out` as it came,
            but for its weights.
        out: the folder of the trained student; an unfinished training there goes on. None makes runs/train-1, or the
            next number.
        progress: show a bar; None does so in a notebook only.
        options: the options of `ownwords train` by their names, as `preset="world"` or `lora={"rank": 8}`.

    Raises ValueError, in one line that names the parameter, for whatever would stop the training; KeyboardInterrupt if
    it was interrupted: a checkpoint is kept, and the same call goes on.
    """
    try:
        from ownwords.training.fine_tune import prepare
        from ownwords.training.fine_tune import train as train_run
    except ModuleNotFoundError as error:
        raise ValueError(f"train needs {error.name}: pip install 'ownwords[train]'") from error
    if student is not None and not isinstance(student, str | os.PathLike):
        raise ValueError(
            f"student is {type(student).__name__}, expected a folder or a name: save the model and its tokenizer first"
        )
    sets = [data] if isinstance(data, str | os.PathLike) else list(data)
    in_memory = [one for one in sets if getattr(one, "student", None) is not None]
    if student is None and in_memory:
        raise ValueError(
            "student is None, and the run was made with a model in memory: expected the folder of a student"
        )
    config = configured(
        TrainConfig,
        data=[os.fspath(one) for one in sets],
        student=None if student is None else os.fspath(student),
        out=to_folder(out, "train"),
        **options,
    )
    with bar(progress, "train", "steps") as tell:

        def say(state: Progress) -> None:
            tell(state.step, state.steps, f"loss {state.loss:.4f}")

        complete = train_run(prepare(config), say)
    if not complete:
        raise KeyboardInterrupt(f"a checkpoint is kept in {config.out}: the same call with out= goes on")
    return Trained(config.out)


class Trained(os.PathLike[str]):
    """A trained student: a folder that `transformers` loads, and that is given wherever a model is asked for."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises ValueError if there is no finished training."""
        self.path = Path(path)
        try:
            self.record: dict[str, Any] = json.loads((self.path / "training.json").read_text())
        except (OSError, ValueError):
            raise ValueError(f"{self.path} holds no training: expected the out= of ownwords.train") from None
        """what decided the training, its versions, rows and steps"""

    def __fspath__(self) -> str:
        return str(self.path)

    def arrow(self) -> pa.Table:
        """A row per logged step: step, epoch, loss (nats per token with loss), learning rate, ..."""
        lines = (self.path / "metrics.jsonl").read_text().splitlines()
        return pa.Table.from_pylist([json.loads(line) for line in lines])

    def table(self) -> pandas.DataFrame:
        """The same as a pandas frame. Raises ValueError if pandas is not installed."""
        return frame(self.arrow())

    @property
    def losses(self) -> list[float]:
        """Of each logged step, nats per token with loss."""
        return [float(loss) for loss in self.arrow()["loss"].to_pylist()]

    def __repr__(self) -> str:
        first, last = self.losses[0], self.losses[-1]
        return f"<student {self.path}: {self.record['steps']} steps, loss {first:.4f} to {last:.4f}>"

    def _repr_html_(self) -> str:
        losses = f"{self.losses[0]:.4f} to {self.losses[-1]:.4f}"
        shown = {"traces": f"{self.record['rows']:,}", "tokens with loss": f"{self.record['loss_tokens']:,}"}
        return facts(str(self.path), shown | {"steps": f"{self.record['steps']:,}", "loss, nats": losses})
