"""Distributions as pictures: SVG by matplotlib, one for light and one for dark pages, told apart by colour and line."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ownwords.reports.figures import MASS_EDGES, RANK_EDGES, SURPRISAL_EDGES, Measured
from ownwords.traces.summary import IMPLAUSIBLE

LINES = ("-", "--", ":", "-.")
FEWEST = 30
"""tokens behind a point of a curve, where there are as many"""


@dataclass(frozen=True)
class Theme:
    """Colours after Okabe and Ito, which colour-blind people tell apart; page.css has the same for the sets' names."""

    ink: str
    faint: str
    sets: tuple[str, ...]
    verdicts: tuple[str, ...]


LIGHT = Theme("#1c2127", "#c9ced6", ("#0072b2", "#d55e00", "#007a5a", "#9c4f86"), ("#0072b2", "#d55e00", "#9aa1ab"))
DARK = Theme("#e4e7eb", "#434a54", ("#56b4e9", "#e69f00", "#2fc79a", "#dd9cc2"), ("#56b4e9", "#e69f00", "#737b87"))
HATCHES = ("", "///", "...")


@dataclass(frozen=True)
class Picture:
    """One picture twice."""

    title: str
    alt: str
    """what there is to see, in words and numbers"""
    light: str
    dark: str
    """SVG"""


Draw = Callable[[Axes, list[Measured], Theme], str]
"""Draws sets into axes and says what there is to see."""


def pictures(sets: list[Measured]) -> list[Picture]:
    """All that these sets give; the verdicts only where somebody judged."""
    judged = [one for one in sets if {*one.summary.verdicts} - {"unverifiable"}]
    drawn = [_picture("How each attempt ended", judged, _verdicts, sets)] if judged else []
    drawn += [
        _picture("Length of the traces", sets, _lengths),
        _picture("Surprisal under the student", sets, _surprisal),
        _picture("The student's rank of each token", sets, _rank),
    ]
    labels = dict.fromkeys(label for one in sets for scores in one.source.scores.values() for label in scores)
    for label in labels:
        having = [one for one in sets if any(label in scores for scores in one.source.scores.values())]
        drawn.append(_picture(label, having, partial(_scores, label=label), sets))
    if mixed := [one for one in sets if one.source.mixes and one.mass_counts.any()]:
        drawn.append(_picture("Acceptance over the position", mixed, _acceptance, sets))
        drawn.append(_picture("Pass mass", mixed, _pass_mass, sets))
    return drawn


def _picture(title: str, shown: list[Measured], draw: Draw, among: list[Measured] | None = None) -> Picture:
    """`among`: all sets of the report, so that a set keeps its colour and its line in every picture."""
    places = [(among or shown).index(one) for one in shown]
    svgs = []
    for theme in (LIGHT, DARK):
        style: dict[Any, Any] = {
            "svg.hashsalt": title, "font.size": 10, "text.color": theme.ink, "axes.labelcolor": theme.ink,
            "axes.edgecolor": theme.faint, "xtick.color": theme.ink, "ytick.color": theme.ink,
            "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": theme.faint,
            "grid.linewidth": 0.5, "legend.frameon": False, "hatch.linewidth": 0.6, "axes.axisbelow": True,
        }  # fmt: skip
        with rc_context(style):
            figure = Figure(figsize=(5.2, 3.1), layout="constrained")
            axes = figure.add_subplot()
            axes.set_prop_cycle(
                color=[theme.sets[place] for place in places], linestyle=[LINES[place] for place in places]
            )
            alt = draw(axes, shown, theme)
            file = io.StringIO()
            figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        svgs.append(file.getvalue())
    return Picture(title, alt, *svgs)


def _verdicts(axes: Axes, sets: list[Measured], theme: Theme) -> str:
    """Shares of correct, incorrect and other verdicts, one bar per set."""
    names = [_short(one.name) for one in sets]
    left, said = np.zeros(len(sets)), [""] * len(sets)
    for kind, colour, hatch in zip(("correct", "incorrect", "other"), theme.verdicts, HATCHES):
        share = np.array([_share(one, kind) for one in sets])
        axes.barh(names, share, 0.6, left, label=kind, color=colour, hatch=hatch, edgecolor=theme.faint, linewidth=0)
        left += share
        said = [f"{text}, {value:.1%} {kind}" if text else f"{value:.1%} {kind}" for text, value in zip(said, share)]
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(_percent)
    axes.set_xlabel("share of the attempts")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return "; ".join(f"{one.name}: {text}" for one, text in zip(sets, said))


def _lengths(axes: Axes, sets: list[Measured], theme: Theme) -> str:
    lengths = [np.array([attempt.tokens for attempt in one.attempts]) for one in sets]
    longest = max(int(one.max()) for one in lengths)
    edges = np.linspace(0, longest + 1, min(40, longest + 1) + 1)
    for one, tokens in zip(sets, lengths):
        shares = np.histogram(tokens, edges)[0] / len(tokens)
        axes.step(edges, np.append(shares, shares[-1]), where="post", label=_short(one.name))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("tokens of an attempt")
    axes.set_ylabel("share of the attempts")
    axes.yaxis.set_major_formatter(_percent)
    _legend(axes, sets)
    return "; ".join(
        f"{one.name}: median {np.median(tokens):.0f} tokens, longest {tokens.max():,}"
        for one, tokens in zip(sets, lengths)
    )


def _scores(axes: Axes, sets: list[Measured], theme: Theme, label: str) -> str:
    """How the traces of each set are spread over a score; the highest 5 % are left out, they may be infinite."""
    values = [np.array([scores[label] for scores in one.source.scores.values() if label in scores]) for one in sets]
    everything = np.concatenate(values)
    finite = everything[np.isfinite(everything)]
    edges = np.histogram_bin_edges(finite[finite <= np.quantile(finite, 0.95)] if len(finite) else finite, 40)
    for one, scores in zip(sets, values):
        shares = np.histogram(scores, edges)[0] / len(scores)
        axes.step(edges, np.append(shares, shares[-1]), where="post", label=_short(one.name))
    axes.set_xlabel(label)
    axes.set_ylabel("share of the traces")
    axes.yaxis.set_major_formatter(_percent)
    _legend(axes, sets)
    return "; ".join(f"{one.name}: median {np.median(scores):.3f}" for one, scores in zip(sets, values))


def _surprisal(axes: Axes, sets: list[Measured], theme: Theme) -> str:
    for one in sets:
        axes.plot(SURPRISAL_EDGES, _at_least(one.surprisal_counts), label=_short(one.name))
    limit = -math.log(IMPLAUSIBLE)
    axes.axvline(limit, color=theme.ink, linewidth=0.8)
    axes.annotate(" p = 1%", (limit, 1), va="top", xycoords=("data", "axes fraction"))
    axes.set_yscale("log")
    axes.set_xlabel("surprisal, nats")
    axes.set_ylabel("share of tokens beyond")
    axes.yaxis.set_major_formatter(_percent)
    _legend(axes, sets)
    return "; ".join(
        f"{one.name}: mean {one.summary.mean_surprisal:.2f} nats, {one.summary.implausible:.2%} of the tokens below 1%"
        for one in sets
    )


def _rank(axes: Axes, sets: list[Measured], theme: Theme) -> str:
    said = []
    for one in sets:
        shares = _at_least(one.rank_counts)
        axes.plot(RANK_EDGES, shares, label=_short(one.name))
        favourite = 1 - shares[1]
        said.append(f"{one.name}: {favourite:.1%} of the tokens are the student's favourite")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("rank, 1 = the student's favourite")
    axes.set_ylabel("share at this rank or worse")
    axes.yaxis.set_major_formatter(_percent)
    _legend(axes, sets)
    return "; ".join(said)


def _acceptance(axes: Axes, sets: list[Measured], theme: Theme) -> str:
    said = []
    for one in sets:
        middles, shares = _over_positions(one.teacher_at, one.free_at)
        axes.plot(middles, shares, label=_short(one.name))
        said.append(
            f"{one.name}: {one.summary.acceptance:.2%} of the tokens are the teacher's, from {np.nanmin(shares):.1%} "
            f"to {np.nanmax(shares):.1%} by position"
        )
    axes.set_xlabel("position in the completion, tokens")
    axes.set_ylabel("share by the teacher")
    axes.yaxis.set_major_formatter(_percent)
    _legend(axes, sets)
    return "; ".join(said)


def _pass_mass(axes: Axes, sets: list[Measured], theme: Theme) -> str:
    for one in sets:
        shares = one.mass_counts[:-1] / max(one.mass_counts.sum(), 1)
        shares[-1] += one.mass_counts[-1] / max(one.mass_counts.sum(), 1)
        axes.step(MASS_EDGES, np.append(shares, shares[-1]), where="post", label=_short(one.name))
    axes.set_yscale("log")
    axes.set_xlabel("share of the proposals that the gate lets through")
    axes.set_ylabel("share of the tokens")
    axes.yaxis.set_major_formatter(_percent)
    _legend(axes, sets)
    return "; ".join(
        f"{one.name}: mean {one.summary.pass_mass:.3f}, below 0.5 at "
        f"{one.mass_counts[: len(MASS_EDGES) // 2].sum() / max(one.mass_counts.sum(), 1):.2%} of the tokens"
        for one in sets
    )


def _at_least(counts: np.ndarray) -> np.ndarray:
    """Share of the values at each edge or above; NaN, which draws nothing, where there are none."""
    above = np.cumsum(counts[::-1])[::-1] / max(counts.sum(), 1)
    return np.where(above > 0, above, np.nan)


def _over_positions(part: np.ndarray, whole: np.ndarray, most: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Middles and shares of at most `most` stretches of positions, those with few tokens left out."""
    width = max(1, math.ceil(len(whole) / most))
    starts = np.arange(0, len(whole), width)
    tokens = np.add.reduceat(whole, starts)
    shares = np.add.reduceat(part, starts) / np.maximum(tokens, 1)
    return starts + (width - 1) / 2, np.where(tokens >= min(FEWEST, tokens.max()), shares, np.nan)


def _share(one: Measured, kind: str) -> float:
    count = one.summary.verdicts.get
    known = count("correct", 0), count("incorrect", 0)
    return {"correct": known[0], "incorrect": known[1], "other": one.summary.attempts - sum(known)}[
        kind
    ] / one.summary.attempts


def _legend(axes: Axes, sets: list[Measured]) -> None:
    if len(sets) > 1:
        axes.legend()


def _percent(share: float, position: object = None) -> str:
    return f"{share * 100:g}%"


def _short(name: str) -> str:
    """A name that fits an axis; matplotlib reads $...$ as mathematics and hides labels that begin with _."""
    name = name.replace("$", r"\$").lstrip("_")
    return name if len(name) <= 24 else "…" + name[-23:]
