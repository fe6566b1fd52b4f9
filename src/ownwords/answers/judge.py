"""Is this answer right? Runs in a worker process: the answer is hostile text and the judges are large libraries."""

from __future__ import annotations

import re
from typing import Any

NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)")
THOUSANDS = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d*)?")


def judge(kind: str, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> str:
    """`correct`, `incorrect`, `unparsable` (no mathematical reading of the answer) or `unverifiable` (none of the
    reference)."""
    if kind.startswith("gym:"):
        return _gym(kind.removeprefix("gym:"), reference, answer, question, metadata)
    if same_text(reference, answer):
        return "correct"
    return _math(reference, answer)


def _gym(task: str, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> str:
    """The task's own scorer. Only its full score counts: some give 0.01 for any number."""
    import reasoning_gym

    scorer = reasoning_gym.get_score_answer_fn(task)
    entry = {"question": question, "answer": reference, "metadata": metadata}
    return "correct" if scorer(answer, entry) == 1.0 else "incorrect"


def same_text(reference: str, answer: str) -> bool:
    """Equal as text or as plain numbers, once signs of currency, percent and thousands are gone."""
    a, b = _plain(reference), _plain(answer)
    if a == b:
        return bool(a)
    return bool(NUMBER.fullmatch(a) and NUMBER.fullmatch(b)) and _canonical(a) == _canonical(b)


def _plain(text: str) -> str:
    text = re.sub(r"\\(?:text|mathrm|mbox)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\[!,]|\\(?:left|right)(?![a-zA-Z])|\\?[$%]", "", text)
    text = " ".join(re.sub(r"\\[;: ]", " ", text).split())
    # A space between two digits is kept: `1 2` is not 12. So is a comma in anything but a plain number: `(1,200)`.
    text = re.sub(r"(?<!\d) | (?!\d)", "", text).rstrip(".").removeprefix("+").lower()
    return text.replace(",", "") if THOUSANDS.fullmatch(text) else text


def _canonical(number: str) -> tuple[str, str]:
    """Digits before and after the point, without the zeros that say nothing."""
    sign = "-" if number.startswith("-") else ""
    whole, _, part = number.lstrip("-").partition(".")
    whole, part = whole.lstrip("0"), part.rstrip("0")
    return (sign if whole or part else "") + whole, part


def _math(reference: str, answer: str) -> str:
    from math_verify import parse, verify

    # Its own deadline needs the main thread's signals; the checker outside this process has a harder one.
    gold = parse(f"\\boxed{{{reference}}}", parsing_timeout=None)
    if not gold:
        return "unverifiable"
    found = parse(f"\\boxed{{{answer}}}", parsing_timeout=None)
    if not found:
        return "unparsable"
    return "correct" if verify(gold, found, timeout_seconds=None) else "incorrect"
