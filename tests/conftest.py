"""What several test files share. Real models throughout: the small world's, and random ones of real architectures."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # models this small gain nothing from threads, and lose much to waiting
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # whoever wants more all the same: they do not spin for each other

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from ownwords.generation.config import GenerateConfig
from ownwords.generation.prepare import Prepared, prepare
from ownwords.generation.run import generate
from ownwords.records.trace import Trace
from ownwords.traces.store import Store

LONGEST = (
    "test_real_model.py", "test_kills.py", "test_faults.py", "test_readme.py", "test_generate.py", "test_cli.py",
)  # fmt: skip
"""files that take long: they come first, so that no core waits for them in the end"""

# `make test-vllm` runs them, one file per process (a folder named vllm would be imported in its place)
collect_ignore = [] if find_spec("vllm") else ["with_vllm"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONGEST)))


def data_folder() -> Path:
    """The folder of real data; tests that want it skip where it is not there."""
    folder = os.environ.get("OWNWORDS_DATA")
    if not folder:
        pytest.skip("OWNWORDS_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture
def data() -> Path:
    return data_folder()


def make(folder: Path, **settings) -> tuple[Prepared, list[Trace]]:
    """Generate into a run directory; the prepared run and its traces."""
    prepared = prepare(GenerateConfig.of(run=folder, **settings))
    assert generate(prepared)
    with Store.read(folder) as store:
        return prepared, list(store.traces())


def random_model(folder: Path, vocab_size: int, seed: int, **settings) -> Qwen3ForCausalLM:
    """A random Qwen3 of a few thousand weights, saved to `folder`."""
    torch.manual_seed(seed)
    shape = dict(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
        intermediate_size=64, max_position_embeddings=512, tie_word_embeddings=True,
    )  # fmt: skip
    model = Qwen3ForCausalLM(Qwen3Config(vocab_size=vocab_size, **{**shape, **settings})).eval()
    model.save_pretrained(folder)
    return model
