"""How help reads: a command's own words, and texts that flow into whatever width there is."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any


def described(module: str, function: str) -> str:
    """The docstring of a command without its parameters, a line to a paragraph. It is read from the file and not
    imported, which would take seconds."""
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8"))
    docs = {node.name: ast.get_docstring(node) for node in tree.body if isinstance(node, ast.FunctionDef)}
    text = (docs[function] or "").partition("\n\nParameters\n")[0]
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


class Formatter:
    """cyclopts' panels, where the line breaks of the source are none of the text's, and a flag that is off by default
    does not say so."""

    def __call__(self, console: Any, options: Any, panel: Any) -> None:
        from attrs import evolve
        from cyclopts.help import DefaultFormatter, InlineText
        from rich.text import Text

        entries = [
            evolve(
                entry,
                description=InlineText(Text(_flowing(getattr(entry.description, "primary_renderable", "")))),
                default=_default(entry.default),
            )
            for entry in panel.entries
        ]
        DefaultFormatter()(console, options, evolve(panel, entries=entries))

    def render_usage(self, console: Any, options: Any, usage: Any) -> None:
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_usage(console, options, usage)

    def render_description(self, console: Any, options: Any, description: Any) -> None:
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_description(console, options, description)


def _default(text: str | None) -> str | None:
    """As a person gives it; None for what is off, empty or not set."""
    if text in ("False", "()", "[]", "{}", "", None):
        return None
    words = ast.literal_eval(text) if text.startswith("(") else [text]
    return " ".join(map(_flowing, words))


def _flowing(text: Any) -> str:
    return " ".join(str(text).split())
