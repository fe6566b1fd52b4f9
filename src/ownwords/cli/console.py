"""The console that commands print to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.status import Status
from rich.text import Text


class Console(RichConsole):
    """rich's, printing text as it stands: [brackets] in a path are no markup, :words: no emoji, numbers no colours."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **settings})

    def status(self, status: RenderableType, **settings: Any) -> Status:  # type: ignore[override]
        """A spinner beside a text, which is none of markup either."""
        return super().status(Text(status) if isinstance(status, str) else status, **settings)


SOON = 30.0
"""seconds that pass without a word: less than that is nothing to tell, on a busy machine too"""


@contextmanager
def loading(console: Console, what: str) -> Iterator[None]:
    """A spinner for as long as it takes; without a terminal a line, if it takes longer than one likes to wait."""
    said = threading.Timer(SOON, console.print, [f"{what} ..."])
    if not console.is_terminal:
        said.start()
    try:
        with console.status(what):
            yield
    finally:
        said.cancel()
