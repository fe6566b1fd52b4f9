"""How different models mark their thinking in text, and taking a text apart by it.

Sets keep the marks of whoever wrote them. What is thought and what is answered is the same in all of them, and a
student gets it between tags of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

PAIRS = (
    ("<think>", "</think>"),  # DeepSeek-R1, Qwen3, QwQ and most others
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThoughts, Sky-T1
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),  # gpt-oss
)
"""the marks around the thinking"""
AROUND_ANSWERS = (
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
)
"""what such models put around the answer"""
ENDS = (
    "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>", "</s>", "<end_of_turn>",
    "<eos>", "<|end|>", "<|return|>", "<|END_OF_TURN_TOKEN|>", "[EOS]", "<seed:eos>",
)  # fmt: skip
"""ends of turn that a set's text may still carry"""


@dataclass(frozen=True)
class Said:
    """A response, taken apart."""

    thinking: str | None
    """None where the text has no marks"""
    answer: str
    closed: bool
    """the thinking came to its end; also where there is none"""
    pair: tuple[str, str] | None
    """the marks that were found"""


def take_apart(text: str, more: tuple[str, str] | None = None) -> Said:
    """Thinking and answer of a text by the marks in it; `more`: a pair to know beside those above.

    A text may lack the opening, if the writer's template has it; its thinking then is all before the one closing mark.
    """
    pairs = (*([more] if more else []), *PAIRS)
    begun = text.lstrip()
    for pair in pairs:
        if begun.startswith(pair[0]):
            thinking, closing, answer = begun[len(pair[0]) :].partition(pair[1])
            return Said(thinking, _bare(answer), bool(closing), pair)
    for pair in pairs:
        if text.count(pair[1]) == 1 and pair[0] not in text:
            thinking, _, answer = text.partition(pair[1])
            return Said(thinking, _bare(answer), True, pair)
    return Said(None, _bare(text), True, None)


def without_end(text: str, ends: tuple[str, ...] = ENDS) -> str:
    """A text without the ends of turn behind it; whether it ended is told elsewhere."""
    while end := next((end for end in ends if text.rstrip().endswith(end)), None):
        text = text.rstrip().removesuffix(end)
    return text


def without_marks(thinking: str) -> str:
    """Thinking from a column of its own, which may still have the marks."""
    said = take_apart(thinking)
    return thinking if said.thinking is None or said.answer.strip() else said.thinking


def _bare(answer: str) -> str:
    for opening, closing in AROUND_ANSWERS:
        if answer.strip().startswith(opening):
            return answer.strip().removeprefix(opening).removesuffix(closing)
    return answer
