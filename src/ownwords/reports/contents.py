"""What the page is told: the sets as wholes, and the traces of as many problems as fit."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import asdict
from datetime import date
from typing import Any

from ownwords import __version__
from ownwords.reports.attention import Finding
from ownwords.reports.figures import Attempt, Measured
from ownwords.reports.payload import Texts, block, shown
from ownwords.reports.pictures import Picture
from ownwords.traces.summary import described

LOOKED_AT = 0.5
"""share of the budget that problems which deserve a look may take before the others are drawn"""
OF_ANY_TEXT = {
    "problems", "solved problems", "attempts", "attempts verified correct", "other verdicts", "mean length, tokens",
    "mean student surprisal, nats", "tokens below 1 % under the student",
}  # fmt: skip
"""figures that mean something where nobody knows who wrote a token, how an attempt ended and how long it took"""
SHOWN_CONFIG = 400
"""characters of a setting"""


def facts(sets: list[Measured], drawn: list[Picture]) -> dict[str, Any]:
    """What the page says of the sets as wholes."""
    return {
        "made": f"ownwords {__version__}, {date.today().isoformat()}",
        "sets": [{"name": shown(one.name), "gate": one.source.gate, "mixes": one.source.mixes} for one in sets],
        "overview": _rows([_figures(one) for one in sets]),
        "pictures": [
            {**asdict(picture), "light": _data_url(picture.light), "dark": _data_url(picture.dark)} for picture in drawn
        ],
        "config": _rows([one.source.config for one in sets]),
        "versions": _rows([one.source.versions for one in sets]),
    }


def embedded(sets: list[Measured], found: list[Finding], budget: float) -> dict[str, Any]:
    """The traces of as many problems as fit, in the order of the sets, and where they are to be looked at."""
    problems = {id_: problem for one in reversed(sets) for id_, problem in one.source.problems.items()}
    in_order = [*dict.fromkeys(id_ for one in sets for id_ in one.source.problems)]
    texts = Texts()
    blocks = _packed(sets, _by_need(in_order, found), texts, budget * 2**20)
    attempts: dict[str, list[list[dict[str, Any]]]] = {id_: [[] for _ in sets] for id_ in blocks}
    for which, one in enumerate(sets):
        for attempt in one.attempts:
            if attempt.problem_id in blocks:
                attempts[attempt.problem_id][which].append(_attempt(attempt, one.source.scores))
    chosen = [id_ for id_ in in_order if id_ in blocks]
    place = {id_: number for number, id_ in enumerate(chosen)}
    return {
        "total": len(in_order),
        "texts": texts.table(),
        "problems": [
            {
                "id": id_,
                "question": shown(problems[id_].question.strip()),
                "answer": shown(problems[id_].answer),
                "source": shown(problems[id_].source),
                "attempts": attempts[id_],
                "blocks": blocks[id_],
            }
            for id_ in chosen
        ],
        "findings": [
            {
                "title": shown(finding.title),
                "note": finding.note,
                "attempts": len(finding.places),
                "problems": len({id_ for _, id_, _ in finding.places}),
                "places": [[place[id_], which, attempt] for which, id_, attempt in finding.places if id_ in place],
            }
            for finding in found
        ],
    }


def _by_need(problem_ids: list[str], found: list[Finding]) -> tuple[list[str], list[str]]:
    """The problems that deserve a look, those with the rarest reason first, and the others in a random order: ids are
    hashes of the questions, so their own order is a random one that does not change."""
    rarity: dict[str, int] = {}
    for finding in sorted(found, key=lambda finding: len(finding.places)):
        for _, id_, _ in finding.places:
            rarity.setdefault(id_, len(finding.places))
    return sorted(rarity, key=lambda id_: (rarity[id_], id_)), sorted({*problem_ids} - {*rarity})


def _packed(
    sets: list[Measured], by_need: tuple[list[str], list[str]], texts: Texts, room: float
) -> dict[str, list[str]]:
    """Problem id -> one block per set, of so many problems as fit into `room` bytes and of one at least. Those that
    deserve a look may take `LOOKED_AT` of it before the others; what these leave is theirs as well."""
    look, others = by_need
    blocks: dict[str, list[str]] = {}
    size = 0
    for problem_ids, share in ((look, LOOKED_AT), (others, 1.0), (look, 1.0)):
        for id_ in problem_ids:
            if blocks and size >= share * room:
                break
            if id_ not in blocks:
                before = texts.characters
                blocks[id_] = [block(one.source.traces(id_), one.source, texts) for one in sets]
                size += sum(map(len, blocks[id_])) + texts.characters - before
    return blocks


def _attempt(attempt: Attempt, scores: dict[tuple[str, int], dict[str, float]]) -> dict[str, Any]:
    keys = ("attempt", "verdict", "tokens", "seconds")
    return {
        **{key: _number(getattr(attempt, key)) for key in keys},
        "finish": attempt.finish_reason,
        "fallback": attempt.fallback_rate,
        "surprisal": _number(attempt.surprisal),
        "implausible": _number(attempt.implausible),
        "answer": shown(attempt.answer),
        "scores": {k: _number(v) for k, v in scores.get((attempt.problem_id, attempt.attempt), {}).items()},
    }


def _figures(one: Measured) -> dict[str, str]:
    figures = {**described(one.summary), "tokens/s of one attempt, median": _speed(one.speed)}
    if not one.source.gate:
        figures = {label: text for label, text in figures.items() if label in OF_ANY_TEXT}
    return figures | one.source.figures


def _speed(speed: float) -> str:
    return "–" if math.isnan(speed) else f"{speed:,.1f}"


def _rows(columns: list[dict[str, Any]]) -> list[list[str]]:
    """Label and one cell per set, for every label that some set has."""
    labels = dict.fromkeys(label for column in columns for label in column)
    cells = [[_said(column[label]) if label in column else "–" for column in columns] for label in labels]
    return [[shown(label), *row] for label, row in zip(labels, cells)]


def _said(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown(text if len(text) <= SHOWN_CONFIG else text[:SHOWN_CONFIG] + "…")


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _data_url(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
