"""The plan and the summary of runs as tables."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

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


def prompts_table(prepared: Prepared) -> Table:
    """What both models read before the first problem, a token in a row, and the tokens that are forced after it."""
    from ownwords.generation.plan import PRIVILEGED
    from ownwords.traces.spans import printable

    def shown(side, ids) -> list[tuple[str, Text]]:
        texts = (side.tokenizer.decode([i], clean_up_tokenization_spaces=False) for i in ids)
        return [(str(i), Text(printable(text).replace("\n", "⏎"))) for i, text in zip(ids, texts, strict=True)]

    problem, attempt = prepared.problems[0], PRIVILEGED.get(prepared.config.privileged, 0)
    theirs, ours = prepared.pair(problem.id, attempt)
    table = Table(title=f"prompts of problem {problem.id}, attempt {attempt}", title_justify="left")
    for name in ("", "teacher", "", "student", ""):
        table.add_column(name, justify="right" if not name else "left")
    both = zip_longest(shown(prepared.teacher, theirs), shown(prepared.student, ours), fillvalue=("", Text()))
    for n, (left, right) in enumerate(both):
        table.add_row(str(n), left[1], left[0], right[1], right[0])
    table.add_section()
    for token in prepared.style.forced:
        pieces = shown(prepared.teacher, prepared.alignment.to_teacher(token))
        [(token_id, text)] = shown(prepared.student, [token])
        spelled = Text("·").join(piece for _, piece in pieces)
        table.add_row("forced", spelled, " ".join(piece_id for piece_id, _ in pieces), text, token_id, style="italic")
    return table


def summary_table(summaries: dict[str, Summary]) -> Table:
    """Runs side by side."""
    table = Table(title="summary", title_justify="left")
    table.add_column("")
    for name in summaries:
        table.add_column(name, justify="right", overflow="fold")
    rows = {
        "problems": lambda s: f"{s.problems}",
        "solved problems": lambda s: f"{s.solved} ({s.solved / max(s.problems, 1):.1%})",
        "attempts": lambda s: f"{s.attempts}",
        "attempts verified correct": lambda s: f"{s.verdicts.get('correct', 0)} ({s.verified:.1%})",
        "other verdicts": lambda s: _counts(s.verdicts, "correct"),
        "ended otherwise than by itself": lambda s: _counts(s.finish_reasons, "stop"),
        "tokens by the teacher": lambda s: f"{s.teacher_tokens:,}",
        "tokens by the student": lambda s: f"{s.student_tokens:,}",
        "acceptance": lambda s: f"{s.acceptance:.2%}",
        "mean pass mass": lambda s: f"{s.pass_mass:.3f}",
        "mean length, tokens": lambda s: f"{s.mean_length:.0f}",
        "mean student surprisal, nats": lambda s: f"{s.mean_surprisal:.3f}",
        "tokens below 1 % under the student": lambda s: f"{s.implausible:.2%}",
    }
    for label, cell in rows.items():
        table.add_row(label, *(cell(s) for s in summaries.values()))
    return table


def _counts(counts: dict[str, int], without: str) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items()) if name != without) or "none"
