"""The plan and the summary of runs as tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from ownwords.traces.summary import described

if TYPE_CHECKING:
    from ownwords.generation.config import GenerateConfig
    from ownwords.generation.options import SamplingOptions
    from ownwords.generation.prepare import Prepared
    from ownwords.models.named import Named
    from ownwords.traces.summary import Summary


def plan_table(prepared: Prepared[GenerateConfig]) -> Table:
    config, engine = prepared.config, prepared.engine.describe()
    positions = f", {engine.positions} positions per slot" if engine.positions else ""
    table = Table(title="plan", show_header=False, title_justify="left")

    def sampling(options: SamplingOptions) -> str:
        return f"T {options.temperature:g}, top-p {options.top_p:g}, top-k {options.top_k or 'all'}"

    def model(name: str, role: str, options: SamplingOptions) -> str:
        return f"{name} ({engine.models[role]}) {sampling(options)}" if role in engine.models else name

    attempts = (
        f"until {config.budget.until_correct} correct, at most {config.budget.max_attempts}"
        if config.budget.until_correct
        else f"{config.budget.attempts} each, {config.budget.attempts * len(prepared.problems)} in all"
    )
    for name, value in (
        ("problems", f"{len(prepared.problems)} from {config.source.problems}"),
        ("attempts", attempts),
        ("teacher", model(config.teacher, "teacher", config.rules.teacher_sampling)),
        ("student", model(config.student, "student", config.rules.student_sampling)),
        (
            "gate",
            f"{config.rules.gate} on {config.rules.gate_sees} probabilities, {config.rules.proposals:g} proposals",
        ),
        ("tokens", f"at most {config.budget.max_tokens} per attempt{positions}"),
        *_soft_targets(prepared),
        ("batch", f"{engine.slots} attempts at once"),
        ("answers", _checking(config)),
        ("run", f"{config.run}, seed {config.seed}"),
        *prepared.remarks.items(),
    ):
        table.add_row(name, Text(value))
    return table


def _soft_targets(prepared: Prepared[GenerateConfig]) -> list[tuple[str, str]]:
    """What they take. How long the traces will be is not known before they are made."""
    from ownwords.traces.soft import token_bytes

    config, k = prepared.config, prepared.config.soft_targets
    if k is None:
        return []
    of, sets = ("both models'", 2) if "teacher" in prepared.job.writer.models else ("the student's", 1)
    each = token_bytes(k, sets)
    attempts = (config.budget.max_attempts if config.budget.until_correct else config.budget.attempts) * len(
        prepared.problems
    )
    most = decimal(attempts * config.budget.max_tokens * each)
    what = f"{of} {k} likeliest ids per token, at most {each:,} bytes before compression"
    return [("soft targets", f"{what}; {most} if every attempt takes all its tokens")]


def _checking(config: GenerateConfig) -> str:
    where = "the last box" if config.checking.answer_from == "boxed" else "any way of stating it"
    judge = (
        f", then {config.checking.judge_model} at {config.checking.judge_url} if they decide nothing"
        if config.checking.judge_url
        else ""
    )
    return f"read from {where}, judged by rules within {config.checking.check_deadline:g} s{judge}"


def prompts_table(prepared: Prepared[GenerateConfig]) -> Table:
    """What the models read before the first problem, a token in a row, and the tokens that are forced after it."""
    from ownwords.generation.plan import PRIVILEGED
    from ownwords.traces.spans import printable

    def shown(side: Named, ids: Sequence[int]) -> list[tuple[Text, str]]:
        texts = (str(side.tokenizer.decode([i], clean_up_tokenization_spaces=False)) for i in ids)
        return [(Text(printable(text).replace("\n", "⏎")), str(i)) for i, text in zip(ids, texts, strict=True)]

    problem, attempt = prepared.problems[0], PRIVILEGED.get(prepared.config.prompting.privileged or "", 0)
    theirs, ours = prepared.pair(problem.id, attempt)
    table = Table(title=f"prompts of problem {problem.id}, attempt {attempt}", title_justify="left")
    writer, read = prepared.job.writer, {"teacher": theirs, "student": ours}
    sides = {role: (model, read[role]) for role, model in writer.models.items()}
    table.add_column("", justify="right")
    for name in sides:
        table.add_column(name)
        table.add_column("", justify="right")
    for n, pieces in enumerate(zip_longest(*(shown(*side) for side in sides.values()), fillvalue=(Text(), ""))):
        table.add_row(str(n), *(cell for piece in pieces for cell in piece))
    table.add_section()
    for token in prepared.style.forced:
        cells: list[Text | str] = [*shown(writer.student, [token])[0]]
        if "teacher" in writer.models:
            spelled = shown(writer.models["teacher"], writer.alignment.to_teacher(token))
            cells = [Text("·").join(text for text, _ in spelled), " ".join(i for _, i in spelled), *cells]
        table.add_row("forced", *cells, style="italic")
    return table


def summary_table(summaries: dict[str, Summary]) -> Table:
    """Runs side by side."""
    table = Table(title="summary", title_justify="left")
    table.add_column("")
    for name in summaries:
        table.add_column(name, justify="right", overflow="fold")
    cells = {name: described(summary) for name, summary in summaries.items()}
    for label in next(iter(cells.values()), {}):
        table.add_row(label, *(column[label] for column in cells.values()))
    return table
