"""`ownwords score`: a trace set and a student in, a scores directory out.

The set is cut into blocks of consecutive traces. A worker takes every so-manieth block, fills batches by token count
from it, and writes the block's rows as one part; at the end the parts become the files. What is killed loses the
blocks in hand, and the same command makes those that are missing, with any number of workers.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from queue import Empty
from typing import Any

import torch
import yaml

from ownwords.engines.threads import cores
from ownwords.io.changes import changes
from ownwords.io.children import end_with
from ownwords.io.files import folder, locked, plain_errors, replacing, undone
from ownwords.io.paths import check_folder, foreign
from ownwords.models.load import Loaded, load
from ownwords.suitability import stored
from ownwords.suitability.forward import Scorer
from ownwords.suitability.reader import Reader, Tell
from ownwords.suitability.score import others
from ownwords.suitability.survey import ScoreConfig, Survey, blocks, survey
from ownwords.traces import fit

NOT_IDENTITY = ("out", "workers", "device")
"""settings that may change between starts"""


def score(
    config: ScoreConfig,
    versions: dict[str, str],
    tell: Tell = lambda traces, tokens: None,
    plan: Tell = lambda traces, done: None,
    say: Callable[[str], None] = lambda line: None,
    student: Loaded | None = None,
) -> dict[str, Any]:
    """Score what the directory lacks and return the summary. `plan(traces, done)` is told before the first token, and
    so is what there is to say of the student's type. `student`: if it is in memory; it then scores in this process.

    Raises ValueError where set, student or directory cannot be used, DiskFull if there is no room.
    """
    _refuse_foreign(config.out)
    found = survey(config, None if student is None else student.tokenizer)
    if config.dtype == "auto" and (config.out / "config.yaml").is_file():  # it goes on in the type that it began with
        config = replace(config, dtype=stored.read_config(config.out / "config.yaml").get("dtype", "auto"))
    alone = student is not None or config.workers == 1
    student = student or load(config.student, "student", _device(config, 0), config.dtype)
    config = replace(config, dtype=student.dtype)
    if student.why:
        say(f"{config.student} in {student.dtype}: {student.why}")
    settings = {name: _plain(value) for name, value in asdict(config).items()}
    settings |= {"traces_digest": found.digest, "student_weights": student.fingerprint}
    if added := others():  # a directory that lacks them is not theirs
        settings["scores_of_others"] = added
    marks = fit.marks(student.tokenizer, config.think)
    out = config.out
    made = [out / name for name in ("config.yaml", "versions.json", "parts")]
    with plain_errors(out), folder(out), locked(out, field="out"), undone(made, lambda: stored.rows_in_parts(out) > 0):
        _claim(out, settings, versions)
        if (config.out / "summary.json").is_file():
            return stored.Scores.read(config.out).summary
        (config.out / "parts").mkdir(exist_ok=True)
        plan(found.traces, stored.rows_in_parts(config.out))
        if alone:
            parts = work(config, found, 0, tell, student)
        else:
            del student
            parts = _work_together(config, found, tell)
        return stored.finish(config.out, parts, marks)


def work(config: ScoreConfig, found: Survey, worker: int, tell: Tell, student: Loaded | None = None) -> int:
    """Make the parts of one worker; returns how many parts the set has."""
    student = student or load(config.student, "student", _device(config, worker), config.dtype)
    scorer = Scorer(student.model, student.tokenizer.get_vocab().values(), config.student)
    reader = Reader(config, student.tokenizer, scorer)
    parts = 0
    for number, block in enumerate(blocks(config, found)):
        parts += 1
        if number % config.workers == worker and not stored.part_path(config.out, number).exists():
            stored.write_part(config.out, number, reader.rows(block, tell))
    return parts


def _plain(value: Any) -> Any:
    """A setting as YAML gives it back."""
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value


def _device(config: ScoreConfig, worker: int) -> str:
    """GPUs in turn where there are several."""
    if config.device == "auto" and torch.cuda.is_available():
        return f"cuda:{worker % torch.cuda.device_count()}"
    return config.device


def _refuse_foreign(out: Path) -> None:
    check_folder(out)
    held = foreign(out)
    if held and "config.yaml" not in held:
        raise ValueError(f"{out} is not empty and no scores directory (it holds {held[0]}): name another --out")


def _claim(out: Path, settings: dict[str, Any], versions: dict[str, str]) -> None:
    """Make the directory one of these settings. Raises ValueError if it was made with others."""
    path = out / "config.yaml"
    if not path.exists():
        with replacing([path, out / "versions.json"]) as [config, made_with]:
            config.write(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).encode())
            made_with.write((json.dumps(versions, indent=2) + "\n").encode())
    old = stored.read_config(path)
    keys = [key for key in settings if key not in NOT_IDENTITY]
    if changed := changes({key: old.get(key) for key in keys}, {key: settings[key] for key in keys}):
        raise ValueError(f"{out} was made with other settings: {changed}. Name another --out, or use the old")


def _work_together(config: ScoreConfig, found: Survey, tell: Tell) -> int:
    """Several processes, each with a student of its own, on every so-manieth block."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [
        context.Process(target=_in_process, args=(config, found, worker, queue), daemon=True)
        for worker in range(config.workers)
    ]
    for process in processes:
        process.start()
    parts = ended = 0
    try:
        while ended < len(processes):
            try:
                kind, value = queue.get(timeout=1)
            except Empty:
                if killed := [process.exitcode for process in processes if process.exitcode]:
                    raise ValueError(
                        f"a worker was killed (exit code {killed[0]}), perhaps for want of memory: start the same "
                        "command again with fewer --workers"
                    ) from None
                continue
            if kind == "scored":
                tell(*value)
            elif kind == "ended":
                parts, ended = value, ended + 1
            else:
                raise ValueError(value)
        return parts
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _in_process(config: ScoreConfig, found: Survey, worker: int, queue: Any) -> None:
    torch.set_num_threads(max(1, cores() // config.workers))
    cores.cache_clear()  # this worker has no more than that
    parent = multiprocessing.parent_process()
    if parent and parent.pid:
        end_with(parent.pid)

    def tell(traces: int, tokens: int) -> None:
        if parent is None or not parent.is_alive():  # it was killed, and the next start must find nobody at work
            os._exit(1)
        queue.put(("scored", (traces, tokens)))

    try:
        queue.put(("ended", work(config, found, worker, tell)))
    except KeyboardInterrupt:
        pass  # the parent is told by the same key
    except Exception as error:
        queue.put(("failed", str(error) or repr(error)))
