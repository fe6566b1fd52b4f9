"""The local engine against plain forward passes, and against itself at other batch sizes."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from conftest import make, random_model
from divergence import first_difference, margin
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    OpenAIGPTConfig,
    Qwen2Config,
    Qwen3MoeConfig,
    T5Config,
)
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, causal_mask_function

from ownwords.chat.templates import decode
from ownwords.engines.architecture import check_architecture, slot_error
from ownwords.engines.decoder import Decoder
from ownwords.engines.engine import Request
from ownwords.engines.lane import Lane
from ownwords.engines.memory import plan_slots, slot_bytes
from ownwords.engines.stops import Stops
from ownwords.generation.prepare import Prepared
from ownwords.models.load import load
from ownwords.records.trace import Trace
from ownwords.rsd.columns import FORCED, STUDENT, TEACHER
from ownwords.rsd.gates import Always, Never, Threshold
from ownwords.rsd.shaping import Sampling
from ownwords.rsd.step import Rules

WORLD = dict(problems="world:size=12,seed=3", attempts=2, max_tokens=160)


@torch.inference_mode()
def rescored(side, prompt: list[int], trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """(log-probability, rank) of every token of a trace by one plain forward pass, no cache, nothing of ours."""
    ids = torch.tensor([[*prompt, *trace.token_ids.tolist()]])
    logits = side.model(ids, use_cache=False).logits[0, len(prompt) - 1 : -1].float()
    tokens = torch.from_numpy(trace.token_ids.astype(np.int64))[:, None]
    logprobs = logits.log_softmax(-1)
    chosen = logprobs.gather(-1, tokens)
    return chosen[:, 0].numpy(), (1 + (logits > logits.gather(-1, tokens)).sum(-1)).numpy()


def differences(prepared: Prepared, traces: list[Trace], shift: int = 0) -> np.ndarray:
    """|stored - re-scored| log-probabilities of both models over all tokens; `shift` plants an off-by-one."""
    found = []
    for trace in traces:
        teacher_prompt, student_prompt = prepared.prompts[trace.problem_id]
        for side, prompt, stored in (
            (prepared.engine.teacher, teacher_prompt, trace.teacher_logprob),
            (prepared.engine.student, student_prompt, trace.student_logprob),
        ):
            found.append(np.abs(np.roll(stored, shift) - rescored(side, prompt, trace)[0]))
    return np.concatenate(found)


@pytest.fixture(scope="module")
def world_fp32(tmp_path_factory):
    return make(tmp_path_factory.mktemp("world") / "run", **WORLD)


def test_stored_logprobs_equal_a_plain_forward_pass_fp32(world_fp32):
    prepared, traces = world_fp32
    assert len(traces) == 24
    assert differences(prepared, traces).max() <= 1e-3
    assert differences(prepared, traces, shift=1).max() > 1e-3, "an off-by-one in the record goes unnoticed"


def test_stored_logprobs_equal_a_plain_forward_pass_bf16(tmp_path):
    prepared, traces = make(tmp_path / "run", **WORLD, teacher_dtype="bfloat16", student_dtype="bfloat16")
    found = differences(prepared, traces)
    assert np.median(found) <= 0.02 and np.quantile(found, 0.999) <= 0.3, (np.median(found), np.quantile(found, 0.999))
    planted = differences(prepared, traces, shift=1)
    assert np.quantile(planted, 0.999) > 0.3


def test_record_agrees_with_itself(world_fp32):
    """Ranks, the gate, the sources and the text of what is stored."""
    prepared, traces = world_fp32
    sources = set()
    for trace in traces:
        _, rank = rescored(prepared.engine.student, prepared.prompts[trace.problem_id][1], trace)
        close = np.abs(rank - trace.student_rank) <= 1  # a tie may fall either way
        assert close.all() and (rank == trace.student_rank).mean() > 0.98
        accepted = trace.source == TEACHER
        assert (trace.student_logprob[accepted] >= np.float32(math.log(0.01))).all()
        assert (trace.teacher_logprob[accepted] > -np.inf).all()
        assert ((trace.pass_mass >= 0) & (trace.pass_mass <= 1)).all()
        assert ((trace.refused_id == -1) == (trace.refused_prob == 0)).all()
        forced = len(prepared.style.forced)
        assert (trace.source[:forced] == FORCED).all() and (trace.source[forced:] != FORCED).all()
        text = decode(prepared.engine.student.tokenizer, trace.token_ids)
        closed = "</think>" in text
        assert text == trace.thinking + "</think>" * closed + trace.answer_text
        sources |= set(trace.source.tolist())
    assert sources == {TEACHER, STUDENT, FORCED}


def test_batch_size_does_not_change_traces(tmp_path):
    """fp32, batch 1, 7 and 64: at least 99 % of the attempts agree token by token, and where one does not, the first
    difference is a floating-point tie (printed). The full measurement is benchmarks/batch_invariance.py."""
    settings = dict(problems="world:size=20,seed=5", attempts=3, max_tokens=48, repetition_window=0)
    runs = {batch: make(tmp_path / str(batch), **settings, batch=batch) for batch in (1, 7, 64)}
    prepared, ones = runs[1]
    differing = 0
    for batch in (7, 64):
        for one, other in zip(ones, runs[batch][1], strict=True):
            assert (one.problem_id, one.attempt) == (other.problem_id, other.attempt)
            at = first_difference(one, other)
            if at is None:
                np.testing.assert_allclose(one.student_logprob, other.student_logprob, atol=1e-3)
                continue
            differing += 1
            found = margin(prepared, one, at)
            print(f"batch {batch}: {one.problem_id}/{one.attempt} differs from token {at} on, margin {found:g}")
            assert found < 1e-4
    assert differing <= 0.01 * 2 * len(ones) + 1


SHAPE = dict(vocab_size=300, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SHAPE),
        Qwen2Config(**SHAPE, num_key_value_heads=1),
        GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0),
        Gemma3TextConfig(**SHAPE, num_key_value_heads=1, head_dim=16, sliding_window=64),
        Qwen3MoeConfig(**SHAPE, num_key_value_heads=1, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32),
    ],
    ids=lambda c: c.model_type,
)
def test_architectures_that_slots_serve(config):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    check_architecture(model, capacity=64, name="it")
    assert slot_error(model, capacity=64)[0] < 1e-6
    check_architecture(model.bfloat16(), capacity=64, name="it")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (OpenAIGPTConfig(vocab_size=300, n_embd=32, n_layer=2, n_head=2), "gives no cache back"),
        (T5Config(vocab_size=300, d_model=32, num_layers=2, d_kv=8, num_heads=2, d_ff=64), "an encoder-decoder model"),
    ],
    ids=lambda c: getattr(c, "model_type", ""),
)
def test_architectures_that_slots_cannot_serve_are_refused(config, message):
    torch.manual_seed(0)
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with pytest.raises(ValueError, match=message):
        check_architecture(auto.from_config(config).eval(), capacity=64, name="it")


@pytest.mark.parametrize("capacity", [2, 3, 4, 9, 16, 33, 65])
def test_rows_of_any_capacity_and_context_can_be_tried(tmp_path, capacity):
    model = random_model(tmp_path, 100, seed=0, max_position_embeddings=max(3, capacity))
    error, noise = slot_error(model, capacity)
    assert error < 1e-6 and noise < 1e-6


def new_ones_late(ids_BT, positions_BT, mask):
    return ids_BT, positions_BT + (ids_BT.shape[1] < 5), mask


def as_the_first_row(ids_BT, positions_BT, mask):
    return ids_BT, positions_BT[:1].expand_as(positions_BT), mask


def sees_all(ids_BT, positions_BT, mask):
    return ids_BT, positions_BT, torch.zeros_like(mask)


def sees_one_more(ids_BT, positions_BT, mask):
    return ids_BT, positions_BT, torch.cat([mask[..., :1], mask[..., :-1]], -1)


def sees_one_less(ids_BT, positions_BT, mask):
    mask[..., 3] = torch.finfo(mask.dtype).min
    return ids_BT, positions_BT, mask


MISTAKES = [new_ones_late, as_the_first_row, sees_all, sees_one_more, sees_one_less]


@pytest.fixture(scope="module", params=["llama", "gpt2", "world"])
def served(request):
    """Models that the slot cache serves: random weights, whose distributions are nearly flat, and learned ones."""
    torch.manual_seed(0)
    if request.param == "world":
        return load("world", "student", "cpu", "float32").model
    gpt2 = GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    return AutoModelForCausalLM.from_config(gpt2 if request.param == "gpt2" else LlamaConfig(**SHAPE)).eval()


@pytest.mark.parametrize("mistake", [None, *MISTAKES], ids=lambda m: m.__name__ if m else "none")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_mistakes_in_positions_and_masks_are_noticed(served, dtype, mistake, monkeypatch):
    """Planted between the slots and the model, for which they must look like its own doing."""

    def forward(self, model, cache, ids_BT, positions_BT, longest):
        cache.begin(positions_BT, longest)
        (B, T), S = positions_BT.shape, cache.extent
        sizes = dict(batch_size=B, q_length=T, kv_length=S, q_offset=cache.starts_B1, dtype=self.model.dtype)
        mask = ALL_MASK_ATTENTION_FUNCTIONS["eager"](**sizes, mask_function=causal_mask_function)
        ids_BT, positions_BT, mask = mistake(ids_BT, positions_BT, mask)
        return model(
            input_ids=ids_BT, position_ids=positions_BT, attention_mask=mask, past_key_values=cache, use_cache=True
        )

    model = copy.deepcopy(served).to(dtype)
    if mistake is None:
        check_architecture(model, capacity=512, name="it")
        return
    monkeypatch.setattr(Lane, "_forward", forward)
    with pytest.raises(ValueError, match="other probabilities through the slot cache"):
        check_architecture(model, capacity=512, name="it")


def test_rows_that_are_written_one_too_late_are_noticed(tmp_path, monkeypatch):
    model = random_model(tmp_path, 100, seed=0)
    feed = Lane.feed

    def late(self, ids):
        self.lengths = [n + 1 for n in self.lengths]
        return feed(self, ids)

    monkeypatch.setattr(Lane, "feed", late)
    with pytest.raises(ValueError, match="other probabilities through the slot cache"):
        check_architecture(model, capacity=64, name="it")


def engine(model, stops: Stops, gate, slots: int = 3, known_V=None, capacity: int = 96) -> Decoder:
    rules = Rules(gate=gate, teacher=Sampling(1.0, 1.0), student=Sampling(1.0, 1.0), known_V=known_V)
    return Decoder(model, model, rules, stops, slots, capacity)


def run_all(engine: Decoder, requests: list[Request]) -> dict:
    finished, most = {}, 0
    while requests or engine.rows:
        taken, requests = requests[: engine.free], requests[engine.free :]
        engine.admit(taken, {r.prompts: (r.teacher_prompt, r.student_prompt) for r in requests[:3]})
        most = max(most, len(engine.rows))
        finished.update({f.key: f for f in engine.step()})
    assert most == min(engine.slots, len(finished)), "freed slots are not taken up"
    return finished


def request(key, prompt, budget=40, forced=()) -> Request:
    return Request((str(key), 0), tuple(prompt), prompt, prompt, budget, forced)


def test_rows_of_unequal_prompts_and_ends(tmp_path):
    """More requests than slots, prompts of 1 to 30 tokens, ends at random: the same as one by one."""
    model = random_model(tmp_path, 60, seed=1)
    stops = Stops(frozenset(range(4)), repetition_window=0)
    requests = [request(i, [(7 * i + j) % 60 for j in range(1 + i % 30)]) for i in range(24)]
    together = run_all(engine(model, stops, Threshold(0.01), slots=5), list(requests))
    lengths = set()
    for one in requests:
        alone = run_all(engine(model, stops, Threshold(0.01), slots=1), [one])[one.key]
        np.testing.assert_array_equal(alone.columns["token_ids"], together[one.key].columns["token_ids"])
        np.testing.assert_allclose(
            alone.columns["student_logprob"], together[one.key].columns["student_logprob"], atol=1e-4
        )
        lengths.add(len(alone.columns["token_ids"]))
    assert len(together) == 24 and len(lengths) > 5


def test_prompts_are_read_along_with_the_next_ones_and_kept_while_they_are_wanted(tmp_path, monkeypatch):
    model = random_model(tmp_path, 60, seed=1)
    groups, read = [], Lane.read
    monkeypatch.setattr(Lane, "read", lambda self, prompts: groups.append(len(prompts)) or read(self, prompts))
    monkeypatch.setattr("ownwords.engines.prefixes.ALONG", 40)
    requests = [request(i, [i // 2 + 1] * 10, budget=3) for i in range(16)]
    made = engine(model, Stops(frozenset()), Always(), slots=1)
    assert len(run_all(made, requests)) == 16
    assert groups == [2, 2] * 4, "three requests are known ahead, at two prompts; teacher and student read each once"
    assert len(made.prefixes.held) <= 1, "what nobody wants any more is let go at the next reading"


def test_forced_tokens_are_written_and_marked(tmp_path):
    model = random_model(tmp_path, 60, seed=1)
    done = run_all(engine(model, Stops(frozenset([0])), Always()), [request(0, [5, 6], forced=(0, 9))])["0", 0]
    assert done.columns["token_ids"][:2].tolist() == [0, 9], "an end token that is forced does not end the attempt"
    assert done.columns["source"][:2].tolist() == [FORCED, FORCED] and len(done.columns["source"]) > 2


def test_budget_and_hopeless_fallback_rates_end_an_attempt(tmp_path):
    model = random_model(tmp_path, 60, seed=1)
    never_ends = Stops(frozenset(), max_fallback=1.0, repetition_window=0)
    done = run_all(engine(model, never_ends, Always()), [request(0, [5], budget=17)])["0", 0]
    assert done.finish_reason == "length" and len(done.columns["token_ids"]) == 17
    gives_up = Stops(frozenset(), max_fallback=0.25, repetition_window=0)
    done = run_all(engine(model, gives_up, Never()), [request(0, [5], budget=40)])["0", 0]
    assert done.finish_reason == "fallback" and len(done.columns["token_ids"]) == 11  # 11 > 0.25 * 40


@pytest.mark.parametrize(
    ("ids", "loops"),
    [
        ([1, 2, 3] * 22, True),
        ([7] * 64, True),
        (list(range(200)), False),
        ([*range(96), *([4, 5] * 32)], True),
        ([1, 2, 3] * 20 + [9], False),
        (list(range(24)) * 4, False),  # repeats, but not four times within the window
    ],
)
def test_repetition_loops(ids, loops):
    stops = Stops(frozenset(), repetition_window=64)
    padded = np.array([*ids, *range(1000, 1000 + 300)], dtype=np.int32)
    written = -(-len(ids) // 16) * 16 if not loops else len(ids) // 16 * 16
    assert (stops.reason(padded[: max(written, 17) + 300], written, 0, 0) == "repetition") is loops


def test_memory_plan(tmp_path, monkeypatch):
    model = random_model(tmp_path, 60, seed=1)
    size = slot_bytes(model, capacity=100)
    assert size == 2 * 2 * 1 * 16 * 100 * 4  # keys and values, 2 layers, 1 head of 16, fp32
    monkeypatch.setattr("ownwords.engines.memory.free_bytes", lambda device: 10 * size)
    assert plan_slots([model, model], capacity=100, most=64) == 3  # 0.7 of ten, and both models live there
    assert plan_slots([model], capacity=100, most=64) == 7
    assert plan_slots([model, model], capacity=100, most=2) == 2
    monkeypatch.setattr("ownwords.engines.memory.free_bytes", lambda device: size)
    with pytest.raises(ValueError, match="set a smaller --max-tokens"):
        plan_slots([model, model], capacity=100, most=64)
