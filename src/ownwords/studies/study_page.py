"""A study as one HTML file: the picture and the tables, nothing loaded from anywhere, all names escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from importlib import resources

from ownwords.studies.dots import both
from ownwords.studies.findings import Row
from ownwords.studies.study_file import PROBLEMS, Study
from ownwords.studies.study_tables import HOW, cells, heads, tables

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
STYLE = """
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
picture img { max-width: 100%; height: auto; }
"""


def page(study: Study, rows: Sequence[Row], title: str) -> str:
    style = (resources.files("ownwords.reports") / "page" / "page.css").read_text("utf-8") + STYLE
    parts = [f"<p>{html.escape(study.about)}</p>"] if study.about else []
    if any(row.to_base for row in rows):
        light, dark = (base64.b64encode(svg.encode()).decode() for svg in both(rows))
        said = "; ".join(_said(row) for row in rows if row.to_base)
        parts.append(
            '<div class="card scrolls"><picture>'
            f'<source media="(prefers-color-scheme: dark)" srcset="data:image/svg+xml;base64,{dark}">'
            f'<img src="data:image/svg+xml;base64,{light}" alt="{html.escape(said)}"></picture></div>'
        )
    for (problems, benchmark), mine in tables(rows):
        parts.append(f"<h2>{html.escape(benchmark)}</h2><p class=note>Problems: {PROBLEMS[problems]}</p>")
        head = "".join(f"<th>{html.escape(one)}</th>" for one in heads(study))
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(one)}</td>" for one in cells(study, row)) + "</tr>" for row in mine
        )
        parts.append(f'<div class="card scrolls"><table><tr>{head}</tr>{body}</table></div>')
    failed = {row.arm: row.failed for row in rows if row.failed}
    parts += [f"<p>{html.escape(arm)}: not measured, {html.escape(why)}</p>" for arm, why in failed.items()]
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head>"
        f"<body><main><h1>{html.escape(title)}</h1>{''.join(parts)}<p class=note>{HOW}</p></main></body></html>\n"
    )


def _said(row: Row) -> str:
    assert row.to_base is not None
    gained = f"{100 * row.to_base.value:+.1f} points ({100 * row.to_base.low:+.1f} to {100 * row.to_base.high:+.1f})"
    return f"{row.arm} on {row.benchmark}: {gained}"
