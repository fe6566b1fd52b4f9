"""The traces as the page reads them: compact columns per problem and set, compressed, and each text once.

A block holds the attempts of one set at one problem, one after the other, column by column, little-endian, deflated:

* uint32: `text`, the number of the text of the span that begins at this token, 0 where the span began before (a
  character of several tokens); `refused`, likewise of the refused token, 0 where none; `rank`;
* uint16: `student`, `teacher`, log-probabilities as thousandths of -ln p, `mass`, `refused_prob`, probabilities as
  parts of 60,000; the highest two codes are `ZERO` (p = 0) and `UNKNOWN`;
* uint8: `source`.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from ownwords.records.trace import Trace
from ownwords.reports.source import Source
from ownwords.traces.spans import printable, spans

THOUSANDTHS, PARTS = 1000, 60_000
ZERO, UNKNOWN = 0xFFFE, 0xFFFF
LONGEST = 2000
"""characters of a text that are shown"""


def shown(text: str) -> str:
    """Text that a page can hold: nothing that steers, and not more than `LONGEST` characters."""
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"
    return printable(cut)


@dataclass
class Texts:
    """Every distinct text once; number 0 is none."""

    numbers: dict[str, int] = field(default_factory=dict)
    characters: int = 0

    def number(self, text: str) -> int:
        text = shown(text)
        if text not in self.numbers:
            self.numbers[text] = len(self.numbers) + 1
            self.characters += len(text)
        return self.numbers[text]

    def table(self) -> list[str]:
        return ["", *self.numbers]


def block(traces: Iterable[Trace], source: Source, texts: Texts) -> str:
    """The tokens of these attempts in base64; empty if there are no attempts."""
    columns = [[*_columns(trace, source, texts)] for trace in traces]
    if not columns:
        return ""
    raw = b"".join(np.concatenate(parts).tobytes() for parts in zip(*columns, strict=True))
    return base64.b64encode(zlib.compress(raw, 6)).decode()


def _columns(trace: Trace, source: Source, texts: Texts) -> Iterator[np.ndarray]:
    text = np.zeros(len(trace.token_ids), "<u4")
    for span in spans(trace, source.decode):
        text[span.start] = texts.number(span.text)
    yield text
    nobody_knows = np.full(len(text), np.nan, np.float32)

    def figures(column: np.ndarray | None) -> np.ndarray:
        return nobody_knows if column is None else column

    refused_ids = [] if trace.refused_id is None else trace.refused_id.tolist()
    refused = np.zeros(len(text), "<u4")
    refused[: len(refused_ids)] = [texts.number(source.decode([id_])) if id_ >= 0 else 0 for id_ in refused_ids]
    yield refused
    yield trace.column("student_rank").astype("<u4")
    yield _logprobs(trace.column("student_logprob"))
    yield _logprobs(figures(trace.teacher_logprob))
    yield _shares(figures(trace.pass_mass))
    yield _shares(figures(trace.refused_prob))
    yield trace.column("source")


def _logprobs(values: np.ndarray) -> np.ndarray:
    return np.where(np.isneginf(values), ZERO, _coded(-values * THOUSANDTHS, ZERO - 1)).astype("<u2")


def _shares(values: np.ndarray) -> np.ndarray:
    return _coded(values * PARTS, PARTS)


def _coded(scaled: np.ndarray, highest: int) -> np.ndarray:
    codes = np.clip(np.rint(scaled.astype(np.float64)), 0, highest)
    return np.where(np.isnan(codes), UNKNOWN, codes).astype("<u2")
