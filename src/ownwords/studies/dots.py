"""The differences of a study as a picture: a dot with its interval for each arm, a panel for each benchmark."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from ownwords.reports.pictures import DARK, LIGHT, Theme
from ownwords.studies.findings import Row
from ownwords.studies.study_file import PROBLEMS

MARKS = {"own": "o", "shared": "s"}


def picture(rows: Sequence[Row], theme: Theme = LIGHT) -> str:
    """SVG."""
    shown = [row for row in rows if row.to_base is not None]
    arms = list(dict.fromkeys(row.arm for row in shown))
    benchmarks = list(dict.fromkeys(row.benchmark for row in shown))
    choices = list(dict.fromkeys(row.problems for row in shown))
    style: dict[Any, Any] = {
        "svg.hashsalt": "study", "font.size": 10, "text.color": theme.ink, "axes.labelcolor": theme.ink,
        "axes.titlecolor": theme.ink, "axes.edgecolor": theme.faint, "xtick.color": theme.ink,
        "ytick.color": theme.ink, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
        "axes.titlesize": 10,
    }  # fmt: skip
    with rc_context(style):
        figure = Figure(figsize=(3.2 + 3 * len(benchmarks), 1.2 + 0.35 * len(arms)), layout="constrained")
        panels = figure.subplots(1, len(benchmarks), sharey=True, squeeze=False)[0]
        for axes, benchmark in zip(panels, benchmarks, strict=True):
            axes.axvline(0, color=theme.faint, linewidth=1)
            for n, problems in enumerate(choices):
                mine = [row for row in shown if (row.benchmark, row.problems) == (benchmark, problems)]
                below = 0.25 * (n - (len(choices) - 1) / 2)
                axes.errorbar(
                    [100 * row.to_base.value for row in mine if row.to_base],
                    [arms.index(row.arm) + below for row in mine],
                    xerr=[100 * row.to_base.half_width for row in mine if row.to_base],
                    fmt=MARKS[problems], color=theme.sets[n], capsize=3, markersize=5, linewidth=1.2,
                    label=PROBLEMS[problems],
                )  # fmt: skip
            axes.set_title(benchmark)
            axes.set_xlabel("points more than the base")
            axes.grid(axis="x", color=theme.faint, linewidth=0.5)
            axes.set_axisbelow(True)
        panels[0].set_yticks(range(len(arms)), arms)
        panels[0].set_ylim(len(arms) - 0.5, -0.5)
        if len(choices) > 1:
            figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, title="problems")
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return file.getvalue()


def both(rows: Sequence[Row]) -> tuple[str, str]:
    """For light and for dark pages."""
    return picture(rows, LIGHT), picture(rows, DARK)
