"""Is this answer right? Runs in a worker process: the answer is hostile text and the judges are large libraries.

In this order: a reasoning-gym task's own scorer; the letter of a multiple choice; equal text; equal quantities (numbers
with currency, percent and units, exactly); and math-verify for every other formula.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ownwords.answers.choices import judge_choice
from ownwords.answers.quantity import read_quantity, same_quantity
from ownwords.answers.text import depth, is_words, latex, same_text

DEEPEST = 20
"""levels of brackets in an answer; what nests deeper is no answer, and parsers need exponential time for some of it"""


@dataclass(frozen=True)
class Judgement:
    """A verdict, and what it rests on."""

    verdict: str
    rule: str
    """the rule that decided: `text`, `quantity`, `formula`, `choice`, `gym`, ..."""
    reference: str
    """how the reference was read, in short printable text"""
    answer: str
    """how the answer was read"""


def decide(kind: str, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> Judgement:
    """The verdict of `judge` with the rule that decided and the reading of both sides."""
    rule = "gym" if kind.startswith("gym:") else kind
    return Judgement(_verdict(kind, reference, answer, question, metadata), rule, reference[:80], answer[:80])


def judge(kind: str, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> str:
    """The verdict alone."""
    return decide(kind, reference, answer, question, metadata).verdict


def _verdict(kind: str, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> str:
    """`correct`, `incorrect`, `unparsable` (the answer says nothing that the rules can read) or `unverifiable` (the
    reference is language: only the very words are known to be right)."""
    if kind.startswith("gym:"):
        return _gym(kind.removeprefix("gym:"), reference, answer, question, metadata)
    if kind == "choice":
        options = metadata.get("options", ())
        return judge_choice(reference, answer, options, lambda a, b: by_mathematics(a, b) == "correct")
    return "correct" if same_text(reference, answer) else by_mathematics(reference, answer)


def is_language(text: str) -> bool:
    """Whether a reference or an answer is words, and neither a quantity nor a formula."""
    return is_words(text) and read_quantity(text) is None


def _gym(task: str, reference: str, answer: str, question: str, metadata: dict[str, Any]) -> str:
    """The task's own scorer. Only its full score counts: some give 0.01 for any number."""
    import reasoning_gym

    scorer = reasoning_gym.get_score_answer_fn(task)
    entry = {"question": question, "answer": reference, "metadata": metadata}
    return "correct" if scorer(answer, entry) == 1.0 else "incorrect"


def by_mathematics(reference: str, answer: str) -> str:
    """The verdict on texts that are not equal: as quantities, else as formulas."""
    expected, given = read_quantity(reference), read_quantity(answer)
    if expected and given and (same := same_quantity(expected, given)) is not None:
        return "correct" if same else "incorrect"
    if is_language(reference):
        return "unverifiable"
    if is_language(answer) or depth(answer) > DEEPEST:
        return "unparsable"
    from math_verify import parse, verify

    # Its own deadline needs the main thread's signals; the checker outside this process has a harder one.
    gold = parse(f"\\boxed{{{latex(reference)}}}", parsing_timeout=None)
    if not gold:
        return "unverifiable"
    found = parse(f"\\boxed{{{latex(answer)}}}", parsing_timeout=None)
    if not found:
        return "unparsable"
    same = verify(gold, found, timeout_seconds=None, allow_set_relation_comp=True)
    return "correct" if same else "incorrect"
