"""The scores of a run, and of two compared, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from ownwords.evaluation.compare import Comparison


def scores_table(scores: dict[str, Any]) -> Table:
    """One line per score; then, of several sources, the first score of each."""
    title = f"{scores['model']} on {scores['benchmark']}, {scores['problems']} problems x {scores['samples']}"
    table = Table(title=title, title_justify="left")
    for name in ("", "score", "95 % interval"):
        table.add_column(name, justify="right" if name else "left")
    for name, part in scores["scores"].items():
        table.add_row(name, figure(name, part["value"]), between(name, part["low"], part["high"]))
    first = next(iter(scores["scores"]))
    for source, part in scores["by_source"].items():
        table.add_row(
            f"{first}, {source} ({part['problems']})",
            figure(first, part["value"]),
            between(first, part["low"], part["high"]),
        )
    return table


def comparison_table(comparison: Comparison, before: str, after: str) -> Table:
    """One line per score, and the p-value of the first."""
    title = f"{comparison.problems} problems x {comparison.samples}, paired"
    table = Table(title=title, title_justify="left")
    for name in ("", before, after, "difference", "95 % interval", "p"):
        table.add_column(name, justify="right" if name else "left", overflow="fold")
    for i, (name, difference) in enumerate(comparison.differences.items()):
        table.add_row(
            name,
            figure(name, comparison.before[name]),
            figure(name, comparison.after[name]),
            figure(name, difference.value, "+"),
            between(name, difference.low, difference.high, "+"),
            "" if i else f"{comparison.p_value:.2g}",
        )
    return table


def figure(name: str, value: float, sign: str = "") -> str:
    """Shares in percent, tokens as they are."""
    return format(value, f"{sign},.1f") if name == "tokens" else format(100 * value, f"{sign}.1f") + " %"


def between(name: str, low: float, high: float, sign: str = "") -> str:
    return f"{figure(name, low, sign)} to {figure(name, high, sign)}"
