"""The data step: from what `--data` names to the rows that are trained on, and the plan that says what came of it.

In this order: read (and select, from runs), order by seed, cut prefixes, refuse or drop what is too long, mask, weigh,
leave out what has no loss left; then mix the sets and cut to the budget.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ownwords.configuration import given
from ownwords.io.paths import read_text
from ownwords.models.load import Loaded, load
from ownwords.traces.select import Selection
from ownwords.traces.store import is_run
from ownwords.training import masks
from ownwords.training.confidence import with_column
from ownwords.training.config import TrainConfig
from ownwords.training.mixtures import cap_problems, cap_tokens, check_shares, mix
from ownwords.training.row_sources import file_rows, run_rows
from ownwords.training.rows import Row, check_ids, digest, order
from ownwords.training.upft import prefix, spread

Device = torch.device | str


@dataclass(frozen=True)
class TrainingSet:
    """The rows, in an order that depends on the seed alone, and how they came to be."""

    rows: list[Row]
    sets: list[tuple[str, int, int]]
    """of each set: what `--data` said, rows read, rows trained on"""
    too_long: int
    """rows dropped for their length"""
    without_loss: int
    """rows dropped because no token with loss was left"""
    prefixes: int
    """rows of `rows` that were cut to a prefix"""

    @property
    def tokens(self) -> int:
        return sum(len(row.input_ids) for row in self.rows)

    @property
    def loss_tokens(self) -> int:
        return sum(row.loss_tokens for row in self.rows)

    @property
    def problems(self) -> int:
        return len({row.problem_id for row in self.rows})

    @property
    def longest(self) -> int:
        return max(len(row.input_ids) for row in self.rows)

    @property
    def masked(self) -> dict[str, int]:
        """reason -> tokens that would carry loss but for it"""
        total: Counter[str] = Counter()
        for row in self.rows:
            total.update(row.masked)
        return dict(total)

    @property
    def digest(self) -> str:
        return digest(self.rows)


def parse_data(text: str) -> tuple[Path, float | None]:
    """`PATH` or `PATH,share=0.2`. Raises ValueError where the share is no number."""
    path, mark, share = text.rpartition(",share=")
    if not mark:
        return Path(text), None
    try:
        return Path(path), float(share)
    except ValueError:
        raise ValueError(f"--data {text}: share is {share!r}, expected a number such as 0.2") from None


def build(config: TrainConfig, student: Loaded, device: Device = "cpu") -> TrainingSet:
    """The training set of a resolved configuration. `device`: where models read the traces, if a mask asks for it.

    Raises ValueError for whatever is wrong with the data or does not go together with it.
    """
    paths, stated = zip(*map(parse_data, config.data), strict=True)
    shares = check_shares(stated)
    if not any(map(is_run, paths)) and (config.choice.pick or config.choice.incorrect):
        raise ValueError(
            "--pick and --incorrect choose among the attempts of a run directory: files are taken as they are"
        )
    sets, read, counts = list[list[Row]](), list[int](), Counter[str]()
    for path in paths:
        rows = _wanted(_read(path, config, student.tokenizer), path, config.choice.problems)
        check_ids(rows, student.tokenizer.get_vocab().values(), str(path))
        read.append(len(rows))
        sets.append(_shaped(rows, path, config, student, device, counts))
    rows = mix(sets, shares) if shares else order([row for rows in sets for row in rows], config.seed)
    if config.choice.cap_problems:
        rows = cap_problems(rows, config.choice.cap_problems)
    if config.choice.cap_tokens:
        rows = cap_tokens(rows, config.choice.cap_tokens)
    if not rows:
        raise ValueError(_why_empty(config, sets, counts))
    taken = {id(row) for row in rows}
    trained = [sum(id(row) in taken for row in one) for one in sets]
    return TrainingSet(
        rows,
        list(zip(config.data, read, trained, strict=True)),
        too_long=counts["too long"],
        without_loss=counts["without loss"],
        prefixes=sum(row.prefixed for row in rows),
    )


def _read(path: Path, config: TrainConfig, tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    if not is_run(path):
        return file_rows(path)
    selection = Selection(
        correct=not config.choice.incorrect,
        max_fallback=config.choice.max_fallback,
        pick=config.choice.pick or "shortest",
        seed=config.seed,
    )
    return run_rows(path, selection, tokenizer)


def _wanted(rows: list[Row], path: Path, problems: Path | None) -> list[Row]:
    """The rows at the problems that a file names; all of them without a file."""
    if problems is None:
        return rows
    ids = set(read_text(problems, "a file with the ids of problems, one to a line").splitlines())
    found = [row for row in rows if row.problem_id in ids]
    if not found:
        seen = rows[0].problem_id if rows else "none"
        raise ValueError(f"{problems} names no problem of {path}: expected ids such as {seen}, one to a line")
    return found


def _shaped(
    rows: list[Row], path: Path, config: TrainConfig, student: Loaded, device: Device, counts: Counter[str]
) -> list[Row]:
    """One set, ordered, cut, masked and weighed; what was dropped is counted in `counts`."""
    rows = order(rows, config.seed)
    if config.prefix.tokens:
        rows = _prefixed(rows, path, config, student.tokenizer)
    rows = _within_length(rows, path, config, student, counts)
    rows = _masked(rows, path, config, student, device)
    if config.weights:
        _require(rows, config.weights, path, f"--weights {config.weights}")
        rows = [masks.weighted(row, config.weights) for row in rows]
    kept = [replace(row, columns={}) for row in rows if row.loss_tokens]
    counts["without loss"] += len(rows) - len(kept)
    return kept


def _prefixed(rows: list[Row], path: Path, config: TrainConfig, tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    options = config.prefix
    if (end_id := tokenizer.eos_token_id) is None:
        raise ValueError("the student's tokenizer names no end-of-turn token, which ends a prefix: expected eos_token")
    if options.template and any(row.ask is None for row in rows):
        raise ValueError(
            f"{path} holds no text of the problems, which --prefix.template is about: give the run directory, or an "
            'empty --prefix.template "" to keep the prompts as they are'
        )

    def cut(row: Row) -> Row:
        prompt = row.ask(options.template) if row.ask and options.template else None
        return prefix(row, given(options.tokens), end_id, prompt)

    return [row if whole else cut(row) for row, whole in spread(rows, given(options.whole))]


def _within_length(
    rows: list[Row], path: Path, config: TrainConfig, student: Loaded, counts: Counter[str]
) -> list[Row]:
    context = getattr(student.model.config.get_text_config(), "max_position_embeddings", None) or math.inf
    limit = min(config.choice.max_length or math.inf, context)
    fitting = [row for row in rows if len(row.input_ids) <= limit]
    if len(fitting) < len(rows) and config.choice.over_length == "refuse":
        longest = max(len(row.input_ids) for row in rows)
        whose = "the student reads no more" if limit == context else "raise --max-length"
        raise ValueError(
            f"{path}: {len(rows) - len(fitting)} of {len(rows)} traces are longer than {limit} tokens, the longest has "
            f"{longest}: {whose}, or leave them out with --over-length drop"
        )
    counts["too long"] += len(rows) - len(fitting)
    return fitting


def _masked(rows: list[Row], path: Path, config: TrainConfig, student: Loaded, device: Device) -> list[Row]:
    options = config.mask
    if options.source:
        _require(rows, "source", path, f"--mask.source {options.source}")
        rows = [masks.by_source(row, options.source) for row in rows]
    if options.below:
        if any("student_logprob" not in row.columns for row in rows):
            rows = with_column(rows, "student_logprob", _at(student.model, device))
        rows = [masks.below(row, options.below) for row in rows]
    if options.anchors:
        early = load(str(options.anchors), "early checkpoint", "cpu", "float32")
        sizes = [side.model.get_output_embeddings().weight.shape[0] for side in (student, early)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"--mask.anchors {options.anchors} has {sizes[1]} words, the student {sizes[0]}: expected a checkpoint "
                "of an earlier training of this student"
            )
        rows = with_column(rows, "before_logprob", _at(student.model, device))
        rows = with_column(rows, "early_logprob", _at(early.model, device))
        rows = [masks.anchors(row, options.rise) for row in rows]
    return rows


def _at(model: PreTrainedModel, device: Device) -> PreTrainedModel:
    model.to(device)  # type: ignore[arg-type]  # its wrapper loses `self`
    return model


def _require(rows: Sequence[Row], column: str, path: Path, option: str) -> None:
    for row in rows:
        if column not in row.columns:
            seen = ", ".join(sorted(row.columns)) or "none"
            raise ValueError(
                f"{path} has no column {column} for every token, which {option} needs (per-token columns: {seen}): "
                "give the run directory or the folder of the export, or name another column"
            )


def _why_empty(config: TrainConfig, sets: list[list[Row]], counts: Counter[str]) -> str:
    if any(sets) and config.choice.cap_tokens:
        most = config.choice.cap_tokens
        return f"--cap-tokens {most} is less than the first trace has: expected room for a trace at least"
    if any(sets):
        return f"the smallest of the sets ({min(map(len, sets))} rows) leaves no row at these shares: give it more rows"
    return (
        f"no row to train on: {counts['too long']} too long, {counts['without loss']} without a token with loss; "
        "loosen --max-length or the masks"
    )
