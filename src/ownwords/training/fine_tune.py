"""`ownwords train`: traces in, a student out.

The output folder holds the student as `transformers` loads it, `README.md` (its card), `metrics.jsonl` (a row per
step), `training.json` (what decides the training, and whether it has ended) and `checkpoints/`. A training that was
stopped or killed goes on from its last whole checkpoint, and its `metrics.jsonl` is then one curve, as if nothing had
happened.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import PartialState
from transformers import AutoConfig, GenerationConfig

from ownwords.configuration import FieldError, given
from ownwords.io.changes import changes
from ownwords.io.files import folder, locked, new_folder, plain_errors, undone, write_file
from ownwords.io.paths import check_folder as check_directory
from ownwords.io.paths import foreign
from ownwords.io.process import interruptible, versions
from ownwords.models.load import load, model_path
from ownwords.traces.store import Store, is_run
from ownwords.training.config import TrainConfig
from ownwords.training.dataset import build, parse_data
from ownwords.training.log import Metrics, Progress, cut_metrics
from ownwords.training.model_card import write_card
from ownwords.training.prepared import PACKAGES, Prepared
from ownwords.training.row_sources import EXPECTED
from ownwords.training.trainer import TraceTrainer, make_trainer

RECORD = "training.json"
LOGS = ("metrics.jsonl", "tensorboard", "student")
"""what else a training makes beside its checkpoints before it has ended"""


def prepare(config: TrainConfig) -> Prepared:
    """Load and check everything. Raises ValueError for whatever would stop the training, before its first step."""
    config = config.resolved()
    check_directory(config.out)
    state = PartialState(cpu=config.machine.device == "cpu" or not torch.cuda.is_available())
    batch, micro_batch = given(config.recipe.batch), given(config.recipe.micro_batch)
    if batch % (micro_batch * state.num_processes):
        raise FieldError(
            "batch",
            "{batch} {} is no multiple of {micro_batch} {} times {} processes: expected one that is",
            batch,
            micro_batch,
            state.num_processes,
        )
    name = config.student or _students_name(config)
    config = config.changed(student=name, precision=_precision(config))
    # an adapter's frozen weights need no float32
    dtype = "bfloat16" if config.lora.rank and config.machine.precision == "bf16" else "float32"
    student = load(name, "student", "cpu", dtype)
    own_dtype = AutoConfig.from_pretrained(model_path(name, "student")).dtype or torch.float32
    prepared = Prepared(config, student, own_dtype, build(config, student, state.device), state.num_processes)
    if math.ceil(prepared.steps * given(config.recipe.warmup)) >= prepared.steps:
        raise ValueError(
            f"{prepared.steps} step in all, and the rate begins at 0 where it is warmed up: nothing would be learned; "
            "give more traces or epochs, a smaller --batch, or --warmup 0"
        )
    check_folder(config.out, prepared.record, config.overwrite)
    return prepared


def check_folder(out: Path, record: dict[str, Any], overwrite: bool) -> None:
    """Raise ValueError unless `out` is new, empty, or a training with this record (with `overwrite`: any training)."""
    check_directory(out)
    if not foreign(out, ["checkpoints"]) and not foreign(out / "checkpoints"):
        return
    old = read_record(out)
    if old is None:
        raise ValueError(f"{out} is not empty and no training (it holds no {RECORD}): name another --out")
    if (changed := changes(old["decides"], record)) and not overwrite:
        raise ValueError(
            f"{out} holds a training with other settings: {changed}. Name another --out, use the old values, or start "
            "anew with --overwrite"
        )
    if overwrite and (stray := _foreign(out, old)):
        raise ValueError(f"{stray} is not of the training in {out}: move it away, or name another --out")


def _foreign(out: Path, record: dict[str, Any]) -> Path | None:
    """What no training put into its folder; None if there is nothing of the kind."""
    ours = {RECORD, *LOGS, "checkpoints", *record.get("files", [])}
    others = [out / name for name in foreign(out, sorted(ours))]
    inside = [out / "checkpoints" / name for name in foreign(out / "checkpoints")]
    return next(iter([*others, *(path for path in inside if _step(path) is None)]), None)


def read_record(out: Path) -> dict[str, Any] | None:
    """The record of the training in `out`, None if there is none or if it is no such record."""
    try:
        record = json.loads((out / RECORD).read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("decides"), dict) else None


def train(prepared: Prepared, tell: Callable[[Progress], None] = lambda progress: None) -> bool:
    """Train to the end, or until asked to stop (then returns False; the same call goes on). A training that has ended
    already is left as it is."""
    config, out, state = prepared.config, prepared.config.out, PartialState()
    check_folder(out, prepared.record, config.overwrite)
    state.wait_for_everyone()  # before the first of them writes into a folder that the others find empty
    checkpoints = out / "checkpoints"
    with plain_errors(out), ExitStack() as closing:
        if state.is_main_process:
            closing.enter_context(folder(checkpoints))
            closing.enter_context(locked(checkpoints, field="out"))
            if config.overwrite:
                _clear(out)
            made = [out / name for name in (RECORD, *LOGS)]
            closing.enter_context(undone(made, lambda: last_checkpoint(checkpoints) is not None))
            if read_record(out) is None:
                _write_record(prepared)
        state.wait_for_everyone()
        ended = bool((read_record(out) or {}).get("ended"))
        return ended or _train(prepared, checkpoints, tell)


def _clear(out: Path) -> None:
    """Delete the training in `out`, and nothing else, but for the lock that we hold."""
    record = read_record(out) or {}
    mine = [out / name for name in (*record.get("files", []), *LOGS, RECORD)]
    for path in [*mine, *(path for path in (out / "checkpoints").iterdir() if _step(path) is not None)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _train(prepared: Prepared, checkpoints: Path, tell: Callable[[Progress], None]) -> bool:
    config, out, student = prepared.config, prepared.config.out, prepared.student
    if "tensorboard" in config.machine.report_to:
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(out / "tensorboard"))
    generation_config = deepcopy(student.model.generation_config)
    state = PartialState()
    resume = last_checkpoint(checkpoints)
    done = (resume and _step(resume)) or 0
    state.wait_for_everyone()
    if state.is_main_process:
        cut_metrics(out / "metrics.jsonl", after=done)
        for torn in [path for path in checkpoints.iterdir() if (_step(path) or 0) > done]:
            shutil.rmtree(torn)
    # several processes cannot agree on the step at which each was asked: there Ctrl-C cuts, and checkpoints are kept
    with interruptible() if prepared.processes == 1 else nullcontext(lambda: False) as interrupted:
        metrics = Metrics(out / "metrics.jsonl", prepared.steps, interrupted, tell)
        trainer = make_trainer(
            config, student, prepared.data.rows, checkpoints, prepared.steps, prepared.processes, [metrics]
        )
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
        if trainer.state.global_step < prepared.steps:
            return False
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if state.is_main_process:
        shutil.rmtree(out / "student", ignore_errors=True)  # of a start that was killed
        with new_folder(out / "student") as made:
            _save(made, weights, trainer, prepared, generation_config)
            write_card(made, prepared, trainer.state.log_history)
        _move_up(prepared, out / "student")
    state.wait_for_everyone()
    return True


def last_checkpoint(checkpoints: Path) -> Path | None:
    """The latest checkpoint that was written whole: its last file, the trainer's state, can be read."""
    numbered = [path for path in checkpoints.iterdir() if _step(path) is not None]
    for path in sorted(numbered, key=lambda path: _step(path) or 0, reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text())
            return path
        except (OSError, ValueError):
            continue
    return None


def _step(checkpoint: Path) -> int | None:
    """After which step a checkpoint was written; None for what is none."""
    found = re.fullmatch(r"checkpoint-(\d+)", checkpoint.name)
    return int(found[1]) if found and checkpoint.is_dir() else None


def _save(
    out: Path, weights: dict[str, torch.Tensor], trainer: TraceTrainer, prepared: Prepared, generated: GenerationConfig
) -> None:
    """The student as it came but for its weights: own type, configuration, tokenizer and template. TRL would leave
    its `use_cache: false` and the type it trained in."""
    config = prepared.config
    model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
    model.generation_config = generated
    dtype = torch.float32 if config.lora.rank else prepared.own_dtype
    cast: dict[int, torch.Tensor] = {}  # by place in memory: tied weights stay tied, and are written once
    for name, w in weights.items():
        weights[name] = cast.setdefault(w.data_ptr(), w.to(dtype) if w.is_floating_point() else w)
    model.save_pretrained(out, state_dict=weights)
    generated.save_pretrained(out)
    prepared.student.tokenizer.save_pretrained(out)
    if not config.lora.rank:
        AutoConfig.from_pretrained(model_path(given(config.student), "student")).save_pretrained(out)


def _move_up(prepared: Prepared, student: Path) -> None:
    """Take the finished files from their folder to the one that was asked for. The record names them first, so that
    whoever overwrites this training knows what is its own."""
    files = sorted(path.name for path in student.iterdir())
    _write_record(prepared, files)
    for name in files:
        os.replace(student / name, student.parent / name)
    student.rmdir()
    _write_record(prepared, files, ended=True)


def _write_record(prepared: Prepared, files: Sequence[str] = (), ended: bool = False) -> None:
    """`files`: what of the folder is the student."""
    record = {
        "ended": ended,
        "files": [*files],
        "decides": prepared.record,
        "config": prepared.config.flat(),
        "versions": versions(*PACKAGES),
        "rows": len(prepared.data.rows),
        "loss_tokens": prepared.data.loss_tokens,
        "masked": prepared.data.masked,
        "steps": prepared.steps,
    }
    write_file(prepared.config.out / RECORD, json.dumps(record, indent=2) + "\n")


def _students_name(config: TrainConfig) -> str:
    """The student that the runs among the data were made for."""
    paths = [path for path, _ in map(parse_data, config.data)]
    if missing := next((path for path in paths if not path.exists()), None):
        raise ValueError(f"{missing}: no such file or directory, {EXPECTED}")
    names = set()
    for run in filter(is_run, paths):
        with Store.read(run) as store:
            names.add(store.config["student"])
    if len(names) != 1:
        seen = f"the runs were made for {', '.join(sorted(names))}" if names else "files do not say for whom they are"
        raise ValueError(f"--student is not given and {seen}: expected the model to train")
    return names.pop()


def _precision(config: TrainConfig) -> Literal["bf16", "fp32"]:
    if config.machine.precision != "auto":
        return config.machine.precision
    gpu = config.machine.device != "cpu" and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "bf16" if gpu else "fp32"
