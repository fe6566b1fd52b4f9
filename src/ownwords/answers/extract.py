"""From a completion to its answer: pure functions on text, linear in its length."""

from __future__ import annotations

import re

BOXED = re.compile(r"\\f?box(?:ed)?\s*\{")


def split_thinking(text: str, closing: str | None = "</think>") -> tuple[str, str]:
    """(thinking, answer text): what stands before and after the first `closing` tag, the tag in neither.

    A text that never closes its thinking has no answer text. With `closing` None (a model that does not think) all of
    it is answer text.
    """
    if closing is None:
        return "", text
    thinking, _, answer_text = text.partition(closing)
    return thinking, answer_text


def last_boxed(text: str) -> str | None:
    """The content of the last `\\boxed{...}` whose braces match, None if there is none."""
    close_of: dict[int, int] = {}
    open_braces: list[int] = []
    escaped = False
    for i, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "{":
            open_braces.append(i)
        elif character == "}" and open_braces:
            close_of[open_braces.pop()] = i
    for match in reversed(list(BOXED.finditer(text))):
        if match.end() - 1 in close_of:
            return text[match.end() : close_of[match.end() - 1]].strip()
    return None


def extract_answer(answer_text: str) -> str | None:
    """The final answer: what the last box holds; None where there is no box or an empty one."""
    return last_boxed(answer_text) or None
