"""How results look in a notebook: plain HTML with its styles inside, no script.

What models and data sets say is hostile text: it is escaped, and characters that steer become symbols.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from ownwords.reports.payload import shown
from ownwords.rsd.columns import FORCED, STUDENT
from ownwords.traces.spans import printable

STUDENT_STYLE = "background:#ffdf9e;color:#1c2127"
"""the report's own colour of the student's tokens"""
FORCED_STYLE = "opacity:.6;font-style:italic"
TEXT_STYLE = (
    "white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;max-height:30em;overflow:auto;margin:.3em 0"
)


def text(said: str) -> str:
    """Text of others, as HTML that shows it and does nothing else."""
    return html.escape(shown(said))


def coloured(pieces: Iterable[tuple[str, int]]) -> str:
    """A trace from (text, who wrote it): the student's words have a colour, forced ones are faint, and the rest is the
    teacher's, accepted by the student."""
    joined: list[tuple[str, int]] = []
    for piece, source in pieces:
        if joined and joined[-1][1] == source:
            joined[-1] = (joined[-1][0] + piece, source)
        else:
            joined.append((piece, source))
    return f'<div style="{TEXT_STYLE}">{"".join(_span(piece, source) for piece, source in joined)}</div>'


def _span(piece: str, source: int) -> str:
    said = html.escape(printable(piece))
    if source == STUDENT:  # a coloured line break cannot be seen; its symbol can
        return f'<span style="{STUDENT_STYLE}">{said.replace(chr(10), "&#9166;" + chr(10))}</span>'
    return f'<span style="{FORCED_STYLE}">{said}</span>' if source == FORCED else f"<span>{said}</span>"


LEGEND = (
    f'<div><small><span style="{STUDENT_STYLE}">the student</span> · the rest is the teacher\'s, accepted by the '
    f'student · <span style="{FORCED_STYLE}">forced</span></small></div>'
)


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts."""
    cells = "".join(f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    top = f"<thead><tr>{''.join(f'<th>{text(name)}</th>' for name in head)}</tr></thead>" if any(head) else ""
    return f"<table><caption>{text(title)}</caption>{top}<tbody>{cells}</tbody></table>"


def facts(title: str, of: Mapping[str, str]) -> str:
    """A table of names and values."""
    return table(title, (), of.items())
