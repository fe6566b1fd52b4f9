"""`--watch`: one attempt as it grows, coloured by who writes each token; when it has ended, the next one.

Model output is hostile text: it is made printable before it meets the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.text import Text

from ownwords.cli.look import FORCED_STYLE, STUDENT_STYLE, styled
from ownwords.generation.progress import InFlight, Progress
from ownwords.rsd.columns import STUDENT
from ownwords.traces.spans import pieces, printable

LINES = 16
"""of text that are shown, at most"""
AROUND = 5
"""lines of a terminal that are not for the text"""


class Watch:
    """The attempt that is watched. `decode` gives the text of ids, special tokens kept."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self.decode = decode
        self.key: tuple[str, int] | None = None
        self.text, self.read = Text(), 0
        """what has been written, and in how many tokens"""
        self.shown: tuple[Text, Text] | None = None
        """title and text, for whoever draws the screen meanwhile"""
        self.whole: Text | None = None
        """the attempt that has ended in the last block, with its name"""

    def tell(self, state: Progress) -> None:
        """A block has ended: read on, and go to another attempt if this one has ended: to the newest, of which least is
        written."""
        self.whole = None
        for one in state.ended:
            if one.key == self.key:
                self._read(one, ended=True)
                head = f"{self._name()}, {one.by(STUDENT):,} by the student"
                self.whole = Text("\n").join([Text(head), self.text, Text()])
                self.key = None
        if self.key is None and state.flying:
            self.key, self.text, self.read = min(state.flying, key=lambda one: len(one.token_ids)).key, Text(), 0
        for one in state.flying:
            if one.key == self.key:
                self._read(one, ended=False)
        self.shown = None if self.key is None else (_title(self._name()), self.text.copy())

    def view(self, console: Console) -> RenderableType:
        """The title and the last lines of the text; nothing if there is no attempt."""
        if self.shown is None:
            return Group()
        title, text = self.shown
        lines = max(1, min(LINES, console.height - AROUND))
        tail = text[max(0, len(text) - lines * console.width) :].wrap(console, console.width)
        return Group(title, Text("\n").join(tail[-lines:]))

    def _read(self, one: InFlight, ended: bool) -> None:
        begun = self.read
        for span in pieces(one.token_ids[begun:].tolist(), self.decode, ended):
            self.text.append(*styled(span.text, int(one.source[begun + span.start])))
            self.read = begun + span.stop

    def _name(self) -> str:
        assert self.key is not None
        problem, attempt = self.key
        return f"problem {printable(str(problem))}, attempt {attempt}: {self.read:,} tokens"


def _title(name: str) -> Text:
    return Text.assemble(
        (f"{name}  ", "dim"), (" student ", STUDENT_STYLE), ("  teacher  ", "default"), ("forced", FORCED_STYLE)
    )
