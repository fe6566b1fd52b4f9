"""A model is loaded whole or refused in one line that names what is wrong; a fingerprint covers what is loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from faults.folders import FOLDERS, LOADS, SAME, Q, adapter, sharded, tensors
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from ownwords.models import checkpoints
from ownwords.models.checkpoints import fingerprint
from ownwords.models.load import load, load_tokenizer, model_path

HARMLESS = [name for name, (_, wanted) in FOLDERS.items() if wanted in (SAME, LOADS)]
OF_A_RUN = ["eight positions"]
"""what the model alone does not tell"""


@pytest.fixture
def folder(tmp_path) -> Path:
    shutil.copytree(model_path("world", "student"), tmp_path / "model")
    return tmp_path / "model"


def loaded(folder: Path):
    return load(str(folder), "student", "cpu", "float32")


@pytest.mark.parametrize("name", [name for name in FOLDERS if name not in HARMLESS + OF_A_RUN])
def test_what_cannot_be_used_is_refused_by_name(folder, name):
    change, wanted = FOLDERS[name]
    change(folder)
    with pytest.raises(ValueError) as refused:
        loaded(folder)
    assert wanted in str(refused.value) and "\n" not in str(refused.value)
    assert not (folder.parent / "trap").exists(), "pickled weights were loaded"


@pytest.mark.filterwarnings("ignore:.*no place for")
@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_no_harm_is_loaded(folder, name):
    whole = load("world", "student", "cpu", "float32").model.state_dict()
    change, wanted = FOLDERS[name]
    change(folder)
    found = loaded(folder).model.state_dict()
    assert not (folder.parent / "trap").exists(), "pickled weights were loaded"
    if wanted == SAME:
        assert found.keys() == whole.keys() and all(torch.equal(found[n], whole[n]) for n in whole)


def test_tensors_without_a_place_are_told(folder):
    tensors(lambda held: held.update({"model.extra": torch.zeros(3), "other": torch.zeros(1)}))(folder)
    with pytest.warns(UserWarning, match="holds model.extra, other, which its architecture has no place for"):
        loaded(folder)


def test_numbers_that_a_smaller_type_cannot_hold_are_infinite(folder):
    tensors(lambda held: held[Q].mul_(1e6))(folder)
    with pytest.raises(ValueError, match=rf"infinite numbers in {Q}, read as float16"):
        load(str(folder), "student", "cpu", "float16")


def test_an_adapter_is_as_good_as_its_tensors_and_its_model(folder, tmp_path):
    here = tmp_path / "adapter"
    adapted = get_peft_model(loaded(folder).model, LoraConfig(r=2, target_modules=["q_proj"]))
    adapted.base_model.model.name_or_path = str(folder)
    adapted.peft_config["default"].base_model_name_or_path = str(folder)
    adapted.save_pretrained(here)
    load_tokenizer(str(folder), "student").save_pretrained(here)
    before = loaded(here).fingerprint
    tensors(lambda held: held[Q].mul_(1.01))(folder)
    assert loaded(here).fingerprint != before, "the model below it has changed"
    weights = load_file(here / "adapter_model.safetensors")
    weights.pop(next(iter(weights)))
    save_file(weights, here / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="lacks model.layers.*lora_"):
        loaded(here)
    adapter(str(folder), alone=False)(folder)
    with pytest.raises(ValueError, match="holds a model and an adapter"):
        loaded(here)


def test_a_fingerprint_changes_with_whatever_is_loaded(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    before = fingerprint(str(folder), None)
    assert fingerprint(str(tmp_path / "copy"), None) == before
    seen = {before}
    for name in ("model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"):
        file = folder / name
        held = bytearray(file.read_bytes())
        held[len(held) // 2] ^= 1
        file.write_bytes(held)
        seen.add(fingerprint(str(folder), None))
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates/tool_use.jinja").write_text("x")
    seen.add(fingerprint(str(folder), None))
    assert len(seen) == 7
    (folder / "README.md").write_text("what is not loaded")
    assert fingerprint(str(folder), None) in seen


def test_of_a_large_file_any_four_mebibytes_are_seen(folder, monkeypatch):
    monkeypatch.setattr(checkpoints, "WHOLE", 1 << 20)
    file, size = folder / "model.safetensors", 30 << 20
    file.write_bytes(bytes(size))
    seen = {fingerprint(str(folder), None)}
    for start in range(0, size - (4 << 20), 3 << 20):
        with file.open("r+b") as f:
            f.seek(start)
            f.write(bytes([len(seen)]) * (4 << 20))
        seen.add(fingerprint(str(folder), None))
    assert len(seen) == 1 + len(range(0, size - (4 << 20), 3 << 20))


def test_shards_are_read_as_one_file(folder):
    whole = loaded(folder).model.state_dict()
    sharded()(folder)
    assert not (folder / "model.safetensors").exists()
    assert all(torch.equal(w, whole[name]) for name, w in loaded(folder).model.state_dict().items())
