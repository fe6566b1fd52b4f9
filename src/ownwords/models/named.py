"""A model by its name: what prompts, vocabularies and budgets need to know of it, read from its small files.

The weights are somebody else's business: an engine loads them in its own way, on its own devices. Only where a caller
has a model in memory already does it come along.
"""

from __future__ import annotations

from dataclasses import dataclass

from transformers import AutoConfig, GenerationConfig, PretrainedConfig, PreTrainedTokenizerBase

from ownwords.models.context import context_length
from ownwords.models.load import Loaded, known_path, load_tokenizer, one_line
from ownwords.models.vocabulary import Vocabulary, end_ids


@dataclass(frozen=True)
class Named:
    """A model of a run."""

    name: str
    """a folder, a .gguf file, a hub name, or `world`"""
    role: str
    """`teacher`, `student` or `model`: what messages call it"""
    vocabulary: Vocabulary
    context: int
    """the most positions that it reads, tokens"""
    loaded: Loaded | None = None
    """its weights, if they are in memory already"""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.vocabulary.tokenizer


def named(name: str, role: str, loaded: Loaded | None = None) -> Named:
    """Read a model's configuration and tokenizer, no weights. `loaded`: the model, if it is in memory already.

    Raises ValueError in one line if the folder or the hub model cannot be used.
    """
    if loaded is not None:
        config = loaded.model.config
        return Named(name, role, Vocabulary.of(loaded.model, loaded.tokenizer), context_length(config), loaded)
    what, path = f"the {role} {name!r}", known_path(name, role)
    with one_line(what):
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    tokenizer = load_tokenizer(name, role)
    ends = end_ids(name, _generation(path, config), tokenizer)
    vocabulary = Vocabulary(tokenizer, config.get_text_config().vocab_size, tuple(ends))
    return Named(name, role, vocabulary, context_length(config))


def _generation(path: str, config: PretrainedConfig) -> GenerationConfig:
    """How the model ends its turns: as its own file says, or as `transformers` reads it out of config.json."""
    try:
        return GenerationConfig.from_pretrained(path)
    except OSError:
        return GenerationConfig.from_model_config(config)
