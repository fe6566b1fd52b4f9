"""What each model reads before the first token: its own chat template around the question, and the forced opening."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

THINK = ("<think>", "</think>")


@dataclass(frozen=True)
class Style:
    """How completions begin and whether they think."""

    forced: tuple[int, ...]
    """ids of the opening"""
    closing: str | None
    """the tag that ends the thinking; None for models without one"""
    closing_id: int | None


def completion_style(tokenizer: PreTrainedTokenizerBase, opening: str, prompt: str) -> Style:
    """The opening as ids, and the closing tag, if the tokenizer has the tags as single tokens.

    A template whose generation prompt already opens the thinking is not opened twice.
    """
    vocabulary = tokenizer.get_vocab()
    if not all(tag in vocabulary for tag in THINK):
        return Style((), None, None)
    forced = () if not opening or prompt.endswith(opening) else encode(tokenizer, opening)
    return Style(tuple(forced), THINK[1], vocabulary[THINK[1]])


def prompt_text(tokenizer: PreTrainedTokenizerBase, question: str, system: str) -> str:
    """The model's own template, up to where its answer begins; the bare question for a model without one."""
    messages = [{"role": "user", "content": question}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return chat_text(tokenizer, messages)


def chat_text(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> str:
    """Turns as the model reads them, up to where its own begins; one below the other for a model without a template."""
    if not tokenizer.chat_template:
        return "".join(f"{message['content']}\n\n" for message in messages)
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=True)


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]
