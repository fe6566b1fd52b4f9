"""Which type a model's weights get if nobody has said, and that a run goes on in the one that it began with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import yaml
from conftest import random_model
from transformers import Qwen3Config

from ownwords.generation.config import GenerateConfig
from ownwords.generation.prepare import prepare
from ownwords.generation.run import generate
from ownwords.models import dtypes
from ownwords.models import load as models
from ownwords.models.dtypes import GAIN, LEAST, choose, decide, name_of, seconds_of
from ownwords.models.load import load, load_tokenizer
from ownwords.suitability.scoring import score
from ownwords.suitability.survey import ScoreConfig

F32, BF16, F16 = torch.float32, torch.bfloat16, torch.float16
CPU = torch.device("cpu")
FASTER, HARDLY = {F32: 2.0, BF16: 1.0}, {F32: 0.99 * GAIN, BF16: 1.0}


@pytest.mark.parametrize(
    ("own", "native", "weights", "seconds", "taken"),
    [
        (BF16, True, LEAST, FASTER, BF16),
        (BF16, True, LEAST, HARDLY, F32),
        (BF16, True, LEAST, {F32: 1.0, BF16: 2.0}, F32),
        (BF16, True, LEAST, {}, F32),
        (BF16, True, LEAST - 1, FASTER, F32),
        (BF16, False, LEAST, FASTER, F32),
        (F32, True, LEAST, FASTER, F32),  # it would lose what it has
        (F16, True, LEAST, FASTER, F32),
        (None, True, LEAST, FASTER, F32),
    ],
)
def test_bfloat16_takes_all_of_type_instructions_size_and_speed(own, native, weights, seconds, taken):
    choice = decide(own, native, weights, seconds)
    assert choice.dtype == taken
    measured = own == BF16 and native and weights >= LEAST and bool(seconds)
    assert bool(choice.why) == measured


def test_the_plan_is_told_the_ratio():
    assert decide(BF16, True, LEAST, FASTER).why == "measured 2 times as fast as float32"
    assert decide(BF16, True, LEAST, HARDLY).why == "bfloat16 measured 1.3 times as fast"


def test_what_was_asked_for_is_taken_and_a_gpu_takes_the_checkpoint_s_own():
    config = Qwen3Config(dtype="bfloat16")
    assert [choose(name, config, CPU).dtype for name in dtypes.DTYPES] == [*dtypes.DTYPES.values()]
    assert choose("auto", config, torch.device("cuda")).dtype == "auto"


def large() -> Qwen3Config:
    """Of enough weights to be measured."""
    return Qwen3Config(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=4,
        head_dim=128, vocab_size=1000, dtype="bfloat16",
    )  # fmt: skip


@pytest.mark.parametrize("native", [True, False])
def test_a_large_model_is_measured_where_there_are_instructions(monkeypatch, native):
    asked = []
    monkeypatch.setattr(dtypes, "native_bfloat16", lambda: native)
    monkeypatch.setattr(dtypes, "seconds_of", lambda *shapes: asked.extend(shapes) or FASTER)
    assert choose("auto", large(), CPU).dtype == (BF16 if native else F32)
    assert (torch.Size([4096, 1024]) in asked) == native
    asked.clear()
    small = replace_config(large(), num_hidden_layers=1)
    assert choose("auto", small, CPU).dtype == F32 and not asked


def replace_config(config: Qwen3Config, **settings) -> Qwen3Config:
    return Qwen3Config(**{**config.to_dict(), **settings, "layer_types": None})


def test_products_are_timed_in_both_types():
    seconds = seconds_of(*[torch.Size([64, 32]), torch.Size([32, 64])] * 3)
    assert seconds.keys() == {F32, BF16} and all(s > 0 for s in seconds.values())
    assert seconds_of(*[torch.Size([64, 32]), torch.Size([32, 64])] * 3) is seconds, "the same model, another type"
    assert [name_of(t) for t in (F32, BF16, F16, torch.float64)] == ["float32", "bfloat16", "float16", "auto"]


@pytest.fixture
def chosen(monkeypatch):
    """A function that decides what `auto` comes to, as a faster or a slower machine would."""
    taken: list[torch.dtype] = []

    def choose_(dtype, config, device):
        return choose(dtype, config, device) if dtype != "auto" else dtypes.Choice(taken[-1], "measured so")

    monkeypatch.setattr(models, "choose", choose_)
    return taken.append


def test_a_run_goes_on_in_the_type_that_it_began_with(tmp_path, chosen):
    config = GenerateConfig.of(run=tmp_path / "run", problems="world:size=3,seed=0", attempts=1, max_tokens=40)
    chosen(BF16)
    assert generate(prepare(config.changed(limit=1)))
    stored = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert (stored["student_dtype"], stored["teacher_dtype"]) == ("bfloat16", "bfloat16")
    chosen(F32)  # another day
    prepared = prepare(config)
    assert (prepared.engine.student.model.dtype, prepared.engine.teacher.model.dtype) == (BF16, BF16)
    assert generate(prepared)
    with pytest.raises(ValueError, match="student_dtype: bfloat16 -> float32"):
        generate(prepare(config.changed(student_dtype="float32")))
    assert prepare(config.changed(run=tmp_path / "other")).engine.student.model.dtype == F32


def test_scores_go_on_in_the_type_that_they_began_with(tmp_path, chosen):
    (tmp_path / "set.jsonl").write_text('{"prompt": "What is 3 + 4?", "completion": "It is 7."}\n')
    config = ScoreConfig(traces=str(tmp_path / "set.jsonl"), student="world", out=tmp_path / "scores")
    said: list[str] = []
    chosen(BF16)
    before = score(config, {}, say=said.append)
    assert said == ["world in bfloat16: measured so"]
    chosen(F32)
    assert score(config, {}) == before
    assert yaml.safe_load((tmp_path / "scores/config.yaml").read_text())["dtype"] == "bfloat16"
    with pytest.raises(ValueError, match="dtype: bfloat16 -> float32"):
        score(replace(config, dtype="float32"), {})


def test_small_models_of_bfloat16_stay_in_float32(tmp_path):
    model = random_model(tmp_path / "m", 1000, seed=0, dtype="bfloat16")
    model.bfloat16().save_pretrained(tmp_path / "m")
    load_tokenizer("world", "student").save_pretrained(tmp_path / "m")
    found = load(str(tmp_path / "m"), "student", "cpu", "auto")
    assert found.model.dtype == F32 and not found.why and found.dtype == "float32"
