"""The plan and the summary of runs as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from ownwords.traces.summary import described

if TYPE_CHECKING:
    from ownwords.generation.run import Prepared
    from ownwords.traces.summary import Summary


def plan_table(prepared: Prepared) -> Table:
    config = prepared.config
    table = Table(title="plan", show_header=False, title_justify="left")

    def sampling(options) -> str:
        return f"T {options.temperature:g}, top-p {options.top_p:g}, top-k {options.top_k or 'all'}"

    def model(name: str, side) -> str:
        size = sum(p.numel() for p in side.model.parameters())
        return f"{name} ({size / 1e6:.1f} M weights, {str(side.model.dtype)[6:]}, {side.model.device})"

    attempts = (
        f"until {config.until_correct} correct, at most {config.max_attempts}"
        if config.until_correct
        else f"{config.attempts} each, {config.attempts * len(prepared.problems)} in all"
    )
    for name, value in (
        ("problems", f"{len(prepared.problems)} from {config.problems}"),
        ("attempts", attempts),
        ("teacher", f"{model(config.teacher, prepared.teacher)} {sampling(config.teacher_sampling)}"),
        ("student", f"{model(config.student, prepared.student)} {sampling(config.student_sampling)}"),
        ("gate", f"{config.gate} on {config.gate_sees} probabilities, {config.proposals:g} proposals"),
        ("tokens", f"at most {config.max_tokens} per attempt, {prepared.capacity} positions per slot"),
        ("batch", f"{prepared.slots} attempts at once"),
        ("run", f"{config.run}, seed {config.seed}"),
    ):
        table.add_row(name, value)
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
