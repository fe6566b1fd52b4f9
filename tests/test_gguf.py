"""A GGUF file is the model that was written into it, and its copy is made once, whole or not at all."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from conftest import make
from gguf import RopeScalingType
from gguf_files import F16, F32, write_gguf
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from ownwords.io.paths import TEMPORARY, cache_folder
from ownwords.models import gguf
from ownwords.models.gguf import converted, end_ids, kept_as, llama3
from ownwords.models.load import load, load_tokenizer
from ownwords.models.vocabulary import Vocabulary
from ownwords.training.merge import merge

SHAPE = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
    max_position_embeddings=512, vocab_size=930, tie_word_embeddings=False,
)  # fmt: skip
ROPE = {"rope_type": "default", "rope_theta": 500000.0}
STRETCHED = ROPE | {
    "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
TEXTS = (
    "She has 123 apples, 45.6% of 7,890 – and   12  more.\n\n\n  I'll take the 3rd.",
    "<|im_start|>user\n<think>\nNo</think>, that is [PAD927] naïve ½<|im_end|>\n",
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("OWNWORDS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gguf"


@pytest.fixture(scope="module")
def world():
    return load("world", "student", "cpu", "float32")


@pytest.fixture
def file(tmp_path, world) -> Path:
    return write_gguf(tmp_path / "world.gguf", world.model, world.tokenizer)


def llama(**settings):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SHAPE, **{"rope_parameters": ROPE} | settings)).eval()


def qwen2(**settings):
    torch.manual_seed(0)
    return Qwen2ForCausalLM(Qwen2Config(**SHAPE, **settings)).eval()


@torch.inference_mode()
def logits(model) -> torch.Tensor:
    return model(torch.arange(400)[None] * 7 % 900, use_cache=False).logits


def left(cache: Path) -> list[str]:
    """What a cache holds but for its lock."""
    return sorted(path.name for path in cache.iterdir() if path.name != "lock") if cache.exists() else []


@pytest.mark.parametrize("file_type", [F32, F16])
@pytest.mark.parametrize("made", [llama, qwen2])
def test_the_weights_are_those_of_the_file(tmp_path, world, made, file_type):
    model = made()
    found = load(str(write_gguf(tmp_path / "m.gguf", model, world.tokenizer, file_type)), "student", "cpu", "float32")
    if file_type == F16:
        model.load_state_dict({name: w.half().float() for name, w in model.state_dict().items()})
    assert (logits(found.model) - logits(model)).abs().max() < 1e-5
    own = load(str(tmp_path / "m.gguf"), "student", "cpu", "auto").model.config.dtype
    assert (own or torch.float32) in (torch.float32, torch.float16)


def test_quantised_weights_are_kept_in_two_bytes_and_what_is_unknown_in_four():
    assert {kept_as(file_type) for file_type in (2, 3, 7, 15, 18)} == {torch.bfloat16}  # Q4_0, Q4_1, Q8_0, Q4_K_M, Q6_K
    assert [kept_as(file_type) for file_type in (0, 1, 32, None)] == [
        torch.float32, torch.float16, torch.bfloat16, torch.float32,
    ]  # fmt: skip


def test_the_tokenizer_is_that_of_the_file(file, world):
    found = load_tokenizer(str(file), "student")
    assert found.get_vocab() == world.tokenizer.get_vocab()
    for text in TEXTS:
        assert found(text)["input_ids"] == world.tokenizer(text)["input_ids"]
    turns = [{"role": "user", "content": "What is 3 + 4?"}]
    asked = dict(tokenize=False, add_generation_prompt=True)
    assert found.apply_chat_template(turns, **asked) == world.tokenizer.apply_chat_template(turns, **asked)
    assert (found.eos_token, found.pad_token) == (world.tokenizer.eos_token, world.tokenizer.pad_token)


def test_text_is_split_as_the_vocabulary_was_learned(tmp_path, world):
    """SmolLM splits digits off before GPT-2's rules are used: three spaces before a number stay together."""
    path = write_gguf(tmp_path / "m.gguf", world.model, world.tokenizer, pre="smollm")
    split = load_tokenizer(str(path), "student").backend_tokenizer.pre_tokenizer.pre_tokenize_str("a   12")
    assert [piece for piece, _ in split] == ["a", "ĠĠĠ", "1", "2"]
    path = write_gguf(tmp_path / "n.gguf", world.model, world.tokenizer, pre="nobody-s")
    with pytest.warns(UserWarning, match="splits text by the rules 'nobody-s', which are not known here"):
        load_tokenizer(str(path), "student")


def test_rows_without_a_token_are_none(tmp_path, world):
    found = load(str(write_gguf(tmp_path / "m.gguf", qwen2(), world.tokenizer)), "student", "cpu", "float32")
    assert found.tokenizer.get_vocab() == world.tokenizer.get_vocab()  # 925 of 930 rows
    assert Vocabulary.of(found.model, found.tokenizer).rows == 930
    assert found.tokenizer(TEXTS[1])["input_ids"] == world.tokenizer(TEXTS[1])["input_ids"]


def test_every_id_that_ends_a_turn_is_known(tmp_path, world):
    """The file names <|endoftext|> as its end; the template writes <|im_end|> after a turn; an end of message is named
    beside them."""
    tokenizer = world.tokenizer
    end, text_end, start = (tokenizer.convert_tokens_to_ids(f"<|{t}|>") for t in ("im_end", "endoftext", "im_start"))

    def change(writer):
        writer.kv_data[0]["tokenizer.ggml.eos_token_id"].value = text_end

    path = write_gguf(tmp_path / "m.gguf", qwen2(), tokenizer, change=change)
    found = load(str(path), "student", "cpu", "float32")
    assert Vocabulary.of(found.model, found.tokenizer).ends == tuple(sorted([end, text_end]))
    kinds = [
        3 if token.startswith("<|") else 1 for token in sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    ]
    metadata = {"tokenizer.ggml.tokens": [*tokenizer.convert_ids_to_tokens(range(925))]}
    metadata |= {"tokenizer.ggml.token_type": kinds, "tokenizer.ggml.eot_token_id": start}
    assert end_ids(tokenizer, metadata) == sorted([end, text_end, start])


def test_llama_3_s_rotations_come_from_their_factors(tmp_path, world):
    model, plain = llama(rope_parameters=STRETCHED), llama()
    factors = plain.model.rotary_emb.inv_freq / model.model.rotary_emb.inv_freq

    def change(writer):
        writer.add_tensor("rope_freqs.weight", factors.numpy())

    path = write_gguf(tmp_path / "m.gguf", model, world.tokenizer, change=change)
    found = load(str(path), "student", "cpu", "float32").model
    assert (logits(model) - logits(plain)).abs().max() > 1e-4  # or the test would see nothing
    assert (logits(found) - logits(model)).abs().max() < 1e-5
    assert llama3(factors.roll(1), ROPE["rope_theta"]) is None


def yarn(writer) -> None:
    writer.add_rope_scaling_type(RopeScalingType.YARN)


def part(writer) -> None:
    writer.add_uint16("split.count", 3)


@pytest.mark.parametrize(
    ("said", "settings"),
    [
        ("architecture nobody is not supported", dict(architecture="nobody")),
        ("model.layers.1.mlp.up_proj.weight", dict(leave_out=("model.layers.1.mlp.up_proj.weight",))),
        (r"stretches its context \(yarn\)", dict(change=yarn)),
        ("one of 3 parts", dict(change=part)),
    ],
)
def test_what_would_not_be_the_model_is_refused(tmp_path, world, cache, said, settings):
    path = write_gguf(tmp_path / "m.gguf", qwen2(), world.tokenizer, **settings)
    with pytest.raises(ValueError, match=f"the student '.*m.gguf' cannot be read .*{said}") as refused:
        load(str(path), "student", "cpu", "float32")
    assert "\n" not in str(refused.value) and not left(cache)


@pytest.mark.parametrize("share", [0, 0.001, 0.02, 0.5, 0.999])
def test_a_file_that_was_cut_is_refused(file, cache, share):
    os.truncate(file, int(file.stat().st_size * share))
    with pytest.raises(ValueError, match="expected a whole GGUF file|no GGUF") as refused:
        load(str(file), "student", "cpu", "float32")
    assert "\n" not in str(refused.value) and not left(cache)


def test_a_file_of_another_kind_and_a_folder_of_files_are_refused(tmp_path, file, cache):
    (tmp_path / "other.gguf").write_bytes(b"PK" + bytes(100))
    with pytest.raises(ValueError, match="is a file, and no GGUF: expected"):
        load(str(tmp_path / "other.gguf"), "student", "cpu", "float32")
    (tmp_path / "folder").mkdir()
    shutil.copy(file, tmp_path / "folder/q8.gguf")
    with pytest.raises(ValueError, match=r"GGUF files, which are named one by one: expected .*folder/q8.gguf"):
        load(str(tmp_path / "folder"), "student", "cpu", "float32")
    with pytest.raises(ValueError, match="expected a folder, a .gguf file or a hub name"):
        load("none.gguf", "student", "cpu", "float32")
    assert not left(cache)


@pytest.mark.parametrize("package", ["gguf", "accelerate"])
def test_without_the_package_one_line_says_what_to_install(file, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"takes the package {package} to read: pip install 'ownwords\[gguf\]'"):
        load(str(file), "student", "cpu", "float32")


def test_a_copy_is_used_again_and_a_damaged_one_is_made_anew(file, cache, capfd, monkeypatch):
    def said() -> bool:
        assert converted(str(file), "it") == folder
        return "converting" in capfd.readouterr().err

    folder = converted(str(file), "it")
    assert folder.parent == cache and "converting" in capfd.readouterr().err
    assert yaml.safe_load((folder / "source.yaml").read_text())["file"] == str(file)
    assert not said()
    held = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name, content in held.items():
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        for damage in (flipped, content[: len(content) // 2], None):
            if name == "source.yaml" and damage is not None:
                continue  # it is as good as the one line of it that counts
            (folder / name).write_bytes(damage) if damage is not None else (folder / name).unlink()
            assert said(), f"{name} was damaged"
            assert {path.name for path in folder.iterdir()} == set(held)
    monkeypatch.setattr(gguf, "VERSION", gguf.VERSION + 1)
    assert converted(str(file), "it") != folder and folder.is_dir()


def convert(file: Path) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=converted, args=(str(file), "it"))
    process.start()
    return process


def test_two_processes_at_once_make_one_copy_and_a_killed_one_leaves_nothing(file, cache, capfd):
    killed = convert(file)
    while killed.is_alive() and not any(TEMPORARY.fullmatch(name) for name in left(cache)):
        time.sleep(0.001)
    killed.kill()
    killed.join()
    assert [name for name in left(cache) if TEMPORARY.fullmatch(name)], "it was to be killed in the middle"
    capfd.readouterr()
    both = [convert(file), convert(file)]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert capfd.readouterr().err.count("converting") == 1
    assert left(cache) == [converted(str(file), "it").name]


def test_where_copies_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("OWNWORDS_CACHE")
    assert cache_folder() == tmp_path / "xdg/ownwords"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/ownwords"


def test_a_cache_that_cannot_be_written_is_told(file, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("OWNWORDS_CACHE", str(tmp_path / "taken"))
    with pytest.raises(ValueError, match="name another OWNWORDS_CACHE"):
        converted(str(file), "it")


@pytest.mark.filterwarnings("ignore:Could not find a config file in")
def test_an_adapter_of_a_file_names_the_file(file, tmp_path, world):
    """It is loaded with the file, its record is of both, and it is merged into a model of its own."""
    found = load(str(file), "student", "cpu", "float32")
    adapted = get_peft_model(found.model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    found.tokenizer.save_pretrained(tmp_path / "adapter")
    named = json.loads((tmp_path / "adapter/adapter_config.json").read_text())["base_model_name_or_path"]
    assert named == str(file)
    again = load(str(tmp_path / "adapter"), "teacher", "cpu", "float32")
    assert again.fingerprint not in (found.fingerprint, world.fingerprint)
    merge(tmp_path / "adapter", tmp_path / "merged")
    merged = load(str(tmp_path / "merged"), "student", "cpu", "float32")
    assert (logits(again.model) - logits(world.model)).abs().max() > 0.1
    assert (logits(again.model) - logits(merged.model)).abs().max() < 1e-3


def test_a_run_of_files_makes_the_traces_of_the_models_in_them(file, tmp_path, world):
    """Float32 holds the small world's weights exactly: the same tokens, and the record names the files."""
    teacher = load("world", "teacher", "cpu", "float32")
    theirs = write_gguf(tmp_path / "teacher.gguf", teacher.model, teacher.tokenizer)
    settings = dict(problems="world:size=4,seed=0", attempts=1, max_tokens=120)
    prepared, traces = make(tmp_path / "files", teacher=str(theirs), student=str(file), **settings)
    _, plain = make(tmp_path / "world", **settings)
    assert [trace.token_ids.tolist() for trace in traces] == [trace.token_ids.tolist() for trace in plain]
    assert all(math.isclose(a, b, abs_tol=1e-4) for a, b in zip(traces[0].student_logprob, plain[0].student_logprob))
    hash_ = gguf.identity(str(file))
    assert prepared.engine.student.fingerprint == hash_ and hash_.startswith("gguf:") and len(hash_) > 64
    stored = yaml.safe_load((tmp_path / "files/config.yaml").read_text())
    assert stored["student_weights"] == hash_ and stored["student"] == str(file)
