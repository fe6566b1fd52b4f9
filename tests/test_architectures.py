"""Architectures in small against plain forward passes: unequal rows, refills, rewinding, windows shorter than a row."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, Phi3Config
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, causal_mask_function, sdpa_mask

from ownwords.engines import trial
from ownwords.engines.architecture import WINDOW, check_architecture, slot_error
from ownwords.engines.lane import Lane
from ownwords.engines.memory import slot_bytes
from ownwords.engines.small import FAMILIES, SIZES, small_config, small_model
from ownwords.engines.trial import TOLERANCE, decode, recorded_error, try_architecture
from ownwords.models.context import context_length
from ownwords.models.load import load

PAGE = Path(__file__).parent.parent / "docs" / "architectures.md"
REFUSED = {
    "minimax", "recurrent_gemma", "rwkv", "xlstm", "gpt_neo", "openai-gpt", "xlnet", "bert", "t5", "reformer",
}  # fmt: skip
SERVED = [name for name in FAMILIES if name not in REFUSED]
DECODED = [
    "llama", "qwen2", "gpt2", "opt", "bloom", "mpt", "gpt_neox", "smollm3", "mistral", "phi3", "gemma2", "gemma3_text",
    "gemma3n_text", "gemma4_text", "cohere2", "olmo3", "llama4_text", "mixtral", "qwen3_moe", "gpt_oss", "deepseek_v3",
    "qwen3_next", "qwen3_5_text", "lfm2", "mamba2", "falcon_h1",
]  # fmt: skip
"""of the rest only the forward passes are tried here; `ownwords models` has all of them write"""


@torch.inference_mode()
def plain(model, ids: list[int]) -> torch.Tensor:
    return model(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)


class Rows:
    """A lane and what its rows have been fed, each token checked against a plain pass."""

    def __init__(self, model, slots: int, texts: list[list[int]]):
        self.lane, self.texts, self.plain = Lane(model, slots, 90), texts, [plain(model, text) for text in texts]
        self.rows: list[int] = []
        self.worst = 0.0

    def admit(self, text: int, length: int) -> None:
        [prefix] = self.lane.read([self.texts[text][: length + 1]])
        self.lane.admit(prefix, length)
        self.rows.append(text)

    def release(self, row: int) -> None:
        self.lane.release(row)
        last = self.rows.pop()
        if row < len(self.rows):
            self.rows[row] = last

    def feed(self, count: int, keep: list[int] | None = None) -> None:
        """The next tokens; those beyond `keep`, counted per row, are wrong ones that are taken back again."""
        before, keep = list(self.lane.lengths), keep or [count] * len(self.rows)
        ids = [
            self.texts[text][start : start + kept] + [(3 + 7 * n) % 100 for n in range(count - kept)]
            for text, start, kept in zip(self.rows, before, keep, strict=True)
        ]
        said = self.lane.feed(torch.tensor(ids)).log_softmax(-1)
        for row, (text, start, kept) in enumerate(zip(self.rows, before, keep, strict=True)):
            self.worst = max([self.worst, *(said[row, :kept] - self.plain[text][start : start + kept]).abs().flatten()])
        if keep != [count] * len(self.rows):
            self.lane.rewind([start + kept for start, kept in zip(before, keep, strict=True)])


@pytest.mark.parametrize("name", SERVED)
def test_rows_are_those_of_plain_passes(name):
    """Rows of 1 to 60 tokens before, blocks of which each row keeps another part, a row that ends, a refill of its slot
    by one of another length, and positions beyond windows of 24 and past the chunk of 64 that the cache is read in."""
    model, generator = small_model(name), torch.Generator().manual_seed(0)
    texts = [torch.randint(0, 100, (n,), generator=generator).tolist() for n in (80, 80, 60, 40)]
    rows = Rows(model, 3, texts)
    rows.admit(0, 58)
    rows.admit(1, 1)
    rows.admit(2, 22)
    rows.feed(1)
    rows.feed(5, keep=[5, 2, 3])
    rows.feed(4, keep=[1, 4, 0])
    rows.feed(1)
    rows.release(0)
    assert rows.rows == [2, 1]
    rows.admit(3, 9)
    rows.feed(6, keep=[3, 6, 1])
    rows.feed(12)
    rows.feed(1)
    assert rows.worst < TOLERANCE, rows.worst


@pytest.mark.parametrize("name", DECODED)
def test_teacher_and_student_write_the_same_with_drafts_and_what_plain_passes_say(name):
    """RSD of two models of the architecture, with drafts and without; see `try_architecture`."""
    tried = try_architecture(name)
    assert not tried.refused and tried.error < TOLERANCE


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_served_is_refused_with_its_reason(name):
    model = small_model(name)
    with pytest.raises(ValueError, match=rf"^it \({re.escape(model.config.model_type)}\) ") as refused:
        check_architecture(model, 60, "it")
    assert str(refused.value).count("\n") == 0


def test_the_page_is_of_these_architectures():
    rows = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    assert {row[1].strip(): row[3].split()[0] == "served," for row in rows} == {
        name: name in SERVED for name in FAMILIES
    }
    assert len(SERVED) >= 24


@pytest.mark.parametrize("name", ["mistral", "gemma3_text", "llama4_text", "gpt_oss"])
def test_a_window_that_slots_do_not_keep_to_is_noticed(name, monkeypatch):
    """The slots' masks are made causal and no more: windows that are longer than what is tried are noticed too."""
    model = small_model(name)
    for field in ("sliding_window", "attention_chunk_size"):
        if getattr(model.config, field, None):
            setattr(model.config, field, 500)
    check_architecture(model, 600, "it")
    made = ALL_MASK_ATTENTION_FUNCTIONS[model.config._attn_implementation]

    def wide(*args, **kwargs):
        if isinstance(kwargs["q_offset"], torch.Tensor):
            kwargs["mask_function"] = causal_mask_function
        return made(*args, **kwargs)

    monkeypatch.setitem(ALL_MASK_ATTENTION_FUNCTIONS._global_mapping, model.config._attn_implementation, wide)
    with pytest.raises(ValueError, match="other probabilities through the slot cache"):
        check_architecture(model, 600, "it")
    check_architecture(model, 400, "it")
    assert 500 in (model.config.to_dict().get("sliding_window"), model.config.to_dict().get("attention_chunk_size"))


def test_windows_that_are_built_in_are_tried_at_their_length():
    model = small_model("gpt_neo")
    windows = model.config.window_size
    assert windows == SIZES["window_size"] == WINDOW
    torch.manual_seed(0)
    config = small_config("gpt_neo")
    config.window_size = 150
    model = AutoModelForCausalLM.from_config(config).eval()
    check_architecture(model, 150, "it")
    with pytest.raises(ValueError, match="other probabilities through the slot cache"):
        check_architecture(model, 200, "it")


def test_masks_of_other_caches_stay_as_they_were():
    """What is registered for the whole process changes nothing but passes over slots."""
    sizes = dict(batch_size=2, q_length=3, kv_length=7, mask_function=causal_mask_function)
    for offset in (4, torch.tensor(4), torch.tensor([4])):
        same = ALL_MASK_ATTENTION_FUNCTIONS["sdpa"](q_offset=offset, **sizes)
        assert torch.equal(same, sdpa_mask(q_offset=offset, **sizes))
    mask = ALL_MASK_ATTENTION_FUNCTIONS["sdpa"](q_offset=torch.tensor([[4], [1]]), **sizes)
    assert mask.sum(-1).squeeze(1).tolist() == [[5, 6, 7], [2, 3, 4]]


def longrope(**more) -> Phi3Config:
    scaling = dict(
        rope_type="longrope", rope_theta=1e4, original_max_position_embeddings=40, short_factor=[1.0] * 4,
        long_factor=[9.0, 5.0, 3.0, 2.0],
    )  # fmt: skip
    sizes = {name: SIZES[name] for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")}
    return Phi3Config(
        **sizes, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, rope_parameters=scaling,
        original_max_position_embeddings=40, sliding_window=None, pad_token_id=0, **more,
    )  # fmt: skip


def test_a_rotation_that_changes_with_the_length_is_used_as_far_as_it_is_one(monkeypatch):
    """Drafts past the end of a row must not turn the other rows to the rotation of longer sequences."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(longrope(initializer_range=0.2)).eval()
    ids = torch.arange(41)[None]
    with torch.inference_mode():
        short, long = model(ids[:, :40]).logits[0], model(ids).logits[0, :40]
    assert (short - long).abs().max() > 0.1, "this test needs a model whose rotation changes"
    assert context_length(model.config) == 40
    check_architecture(model, 40, "it")
    monkeypatch.setattr(trial, "BUDGET", 20)
    monkeypatch.setattr(trial, "PROMPTS", (1, 20, 12))
    requests = [trial.request(i, n, model.config) for i, n in enumerate(trial.PROMPTS)]
    alone, ahead = decode(model, model, requests, 0), decode(model, model, requests, 4)
    assert max(len(one.columns["token_ids"]) for one in alone.values()) == 20
    for one in requests:
        assert alone[one.key].columns["token_ids"].tolist() == ahead[one.key].columns["token_ids"].tolist()
        assert recorded_error(model, model, one, ahead[one.key]) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "per_position"),
    [
        ("llama", 4 * 2 * 2 * 8),  # layers, keys and values, heads, size
        ("deepseek_v3", 4 * (16 + 8)),  # one latent, and a rotated part of the keys, of another size
        ("gemma3n_text", 2 * 2 * 2 * 8),  # the last two layers read those of the first two
        ("bloom", 4 * 2 * 4 * 8),
        ("deepseek_v32", 4 * (16 + 8 + 8)),  # and the keys of the index
    ],
)
def test_memory_of_keys_and_values(name, per_position):
    assert slot_bytes(small_model(name), 50) == 50 * 4 * per_position


def test_experts_in_16_bits_are_served():
    """Rounding may send a token to another expert; the noise that a model shows itself has the same flips."""
    models = [small_model(name).bfloat16() for name in ("qwen3_moe", "mixtral", "olmoe", "phimoe")]
    for model in models:
        check_architecture(model, 100, "it")
    assert max(slot_error(model, 100)[0] for model in models) > 1e-4, "there is rounding, of some by any kernel"


@torch.inference_mode()
def test_the_windows_of_a_real_gemma_3():
    """Gemma 3 270M, whose windows are 512 tokens: a row that is longer and one that is not, in float32."""
    if not (folder := os.environ.get("OWNWORDS_GEMMA3")):
        pytest.skip("OWNWORDS_GEMMA3 names no folder of Gemma 3 270M")
    model = load(folder, "student", "cpu", "float32").model
    assert model.config.sliding_window == 512
    generator = torch.Generator().manual_seed(0)
    texts = [torch.randint(3, 200_000, (n,), generator=generator).tolist() for n in (600, 60)]
    states = [model.base_model(torch.tensor([text]), use_cache=False).last_hidden_state[0, -45:] for text in texts]
    lane = Lane(model, 2, 640)
    for prefix, text in zip(lane.read([text[:-44] for text in texts]), texts, strict=True):
        lane.admit(prefix, len(text) - 45)
    for start, count, kept in ((-45, 1, 1), (-44, 8, 3), (-41, 12, 12), (-29, 29, 29)):
        ids = torch.tensor([text[start : start + count or None] for text in texts])
        before = list(lane.lengths)
        said = lane.feed(ids)[:, :kept].log_softmax(-1)
        plain = torch.stack([model.lm_head(state[start + 45 : start + 45 + kept]) for state in states]).log_softmax(-1)
        assert (said - plain).abs().max() < TOLERANCE
        lane.rewind([n + kept for n in before])
