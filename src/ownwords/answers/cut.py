"""Cutting a formula at signs that stand outside of all brackets."""

from __future__ import annotations

import re


def cut(text: str, sign: re.Pattern[str]) -> list[str]:
    """The parts of a text between the signs outside of brackets and environments, stripped; one if there is none."""
    return [part for part, _ in cut_with_signs(text, sign)]


def cut_with_signs(text: str, sign: re.Pattern[str]) -> list[tuple[str, str]]:
    """(part, the sign after it) each; the last sign is empty."""
    parts: list[tuple[str, str]] = []
    level = start = i = 0
    while i < len(text):
        if level == 0 and (found := sign.match(text, i)) and found.end() > i:
            parts.append((text[start:i].strip(), found[0].strip()))
            i = start = found.end()
            continue
        level = max(0, level + _step(text, i))
        i += 1
    return [*parts, (text[start:].strip(), "")]


def enclosed(text: str) -> tuple[str, str] | None:
    """(brackets, what they hold) of a text that one pair of brackets holds as a whole."""
    text = re.sub(
        r"^\\(?:langle|lbrace) ?|^\\(?=\{)", lambda m: "(" if "angle" in m[0] else "" if m[0] == "\\" else "{", text
    )
    text = re.sub(
        r" ?\\(?:rangle|rbrace)$|\\(?=\}$)", lambda m: ")" if "angle" in m[0] else "" if m[0] == "\\" else "}", text
    )
    if len(text) < 2 or text[0] not in "([{" or text[-1] not in ")]}":
        return None
    level = 0
    for i in range(len(text)):
        level += _step(text, i)
        if level == 0 and i < len(text) - 1:
            return None
    return (text[0] + text[-1], text[1:-1].strip()) if level == 0 else None


def _step(text: str, i: int) -> int:
    character = text[i]
    if character in "([{":
        return 1
    if character in ")]}":
        return -1
    if character == "\\":
        return text.startswith((r"\begin", r"\langle", r"\lbrace"), i) - text.startswith(
            (r"\end", r"\rangle", r"\rbrace"), i
        )
    return 0
