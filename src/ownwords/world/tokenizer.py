"""The small world's tokenizer: byte-level BPE, one token per digit, Qwen3's chat markers and template.

Teacher and student share it. It is trained on the world's own documents, so it is good at them and merely able
(byte by byte) at anything else.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ownwords.world import tasks

END = "<|im_end|>"
SPECIAL = ("<|endoftext|>", "<|im_start|>", END)
THINK = ("<think>", "</think>")

# Qwen's split: contractions, words with a leading space, single digits, punctuation runs, line breaks.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Qwen3's, less the system turn: the world's models have never seen one.
CHAT_TEMPLATE = (
    "{%- for message in messages if message['role'] != 'system' -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


def train_tokenizer(seed: int, vocab_size: int, documents: int = 3000) -> PreTrainedTokenizerFast:
    """Train the world's tokenizer on `documents` solved problems per family and style."""
    rng = random.Random(seed)

    def texts() -> Iterator[str]:
        for family in tasks.FAMILIES:
            for item in itertools.islice(tasks.items(family, seed, want_held_out=False), documents):
                yield item["question"]
                yield "".join(text for text, _ in tasks.terse(item))
                yield "".join(text for text, _ in tasks.long_winded(item, rng))

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL) - len(THINK),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token="<|endoftext|>", clean_up_tokenization_spaces=False
    )
    fast.add_tokens(list(SPECIAL), special_tokens=True)
    fast.add_tokens(list(THINK))
    fast.chat_template = CHAT_TEMPLATE
    return fast
