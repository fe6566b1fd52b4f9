"""Model folders that are damaged, at odds with themselves, or hostile.

Each is the small world's student with one thing changed. It must be refused in one line that names the thing, with no
run directory left behind; or, where the change does no harm, give the student's own tokens.
"""

from __future__ import annotations

import itertools
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging

from faults.common import Case, command, held
from ownwords.models.load import model_path
from ownwords.traces.store import Store

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
Q = "model.layers.1.self_attn.q_proj.weight"
V = "model.layers.1.self_attn.v_proj.weight"
Change = Callable[[Path], None]


class Pickled:
    """Weights that leave a file behind when somebody loads them."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self):
        return os.mkdir, (str(self.trap),)


def tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Change:
    def to(folder: Path) -> None:
        held = load_file(folder / WEIGHTS)
        change(held)
        save_file(held, folder / WEIGHTS, {"format": "pt"})

    return to


def without(*names: str) -> Change:
    return tensors(lambda held: [held.pop(name) for name in names])


def filled(name: str, value: float) -> Change:
    return tensors(lambda held: held[name].view(-1)[7:8].fill_(value))


def text(name: str, content: str) -> Change:
    return lambda folder: (folder / name).write_text(content) and None


def gone(*names: str) -> Change:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def settings(name: str = "config.json", **new: Any) -> Change:
    def to(folder: Path) -> None:
        old = json.loads((folder / name).read_text())
        kept = {key: value for key, value in {**old, **new}.items() if value is not ...}
        (folder / name).write_text(json.dumps(kept))

    return to


def cut(name: str, share: float) -> Change:
    return lambda folder: os.truncate(folder / name, int((folder / name).stat().st_size * share))


def sharded(second: str = "two.safetensors", write: bool = True, lose: str = "") -> Change:
    """Two shards, of which the second is called so and may not be there, or lack a tensor."""

    def to(folder: Path) -> None:
        held = load_file(folder / WEIGHTS)
        names = sorted(held)
        halves = {"one.safetensors": names[::2], second: names[1::2]}
        index = {"metadata": {}, "weight_map": {n: file for file, part in halves.items() for n in part}}
        (folder / INDEX).write_text(json.dumps(index))
        for file, part in halves.items():
            if (file != second or write) and file.endswith(".safetensors"):
                path = folder / file
                path.parent.mkdir(exist_ok=True)
                save_file({n: held[n] for n in part if n != lose}, path, {"format": "pt"})
            elif write:
                torch.save({n: held[n] for n in part}, folder / file)
        (folder / WEIGHTS).unlink()

    return to


def pickled(*others: str) -> Change:
    """Pickled weights that set a trap, and without the files `others`."""

    def to(folder: Path) -> None:
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Pickled(folder.parent / "trap")))
        gone(*others)(folder)

    return to


def indexed(content: str) -> Change:
    return lambda folder: (gone(WEIGHTS)(folder), text(INDEX, content)(folder)) and None


def adapter(base: Any, weights: str = "adapter_model.safetensors", alone: bool = True) -> Change:
    def to(folder: Path) -> None:
        if alone:
            gone("config.json", WEIGHTS)(folder)
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": base}))
        save_file({"x": torch.zeros(1)}, folder / weights, {"format": "pt"})

    return to


def vocabulary(change: Callable[[dict[str, Any]], Any]) -> Change:
    def to(folder: Path) -> None:
        held = json.loads((folder / "tokenizer.json").read_text())
        change(held)
        (folder / "tokenizer.json").write_text(json.dumps(held))

    return to


def beyond(held: dict[str, Any]) -> None:
    held["added_tokens"].append({**held["added_tokens"][0], "id": 5000, "content": "<|beyond|>"})


SAME = "the student's own tokens"
LOADS = "any tokens"
FOLDERS: dict[str, tuple[Change, str]] = {
    # weights that are not all there
    "without the embedding": (without("model.embed_tokens.weight"), "embed_tokens"),
    "without a projection": (without(Q), Q),
    "without a norm": (without("model.norm.weight"), "model.norm.weight"),
    "without the norm of keys": (without("model.layers.0.self_attn.k_norm.weight"), "k_norm"),
    "without four tensors": (without(Q, *[Q.replace("q_proj", n) for n in ("k_proj", "v_proj", "o_proj")]), "1 more"),
    "a tensor under another name": (tensors(lambda held: held.update(other=held.pop(Q))), Q),
    "a tensor too many": (tensors(lambda held: held.update(extra=torch.zeros(3))), SAME),
    "a tensor of another shape": (tensors(lambda held: held.update({Q: torch.zeros(7)})), Q),
    "a tensor transposed": (tensors(lambda held: held.update({Q: held[Q][:, :64].T.contiguous()})), Q),
    "no tensors": (tensors(dict.clear), "lacks"),
    "two shards": (sharded(), SAME),
    "a shard that lacks a tensor": (sharded(lose=Q), Q),
    "a shard that is not there": (sharded(write=False), "two.safetensors"),
    # numbers
    "a NaN": (filled(Q, float("nan")), Q),
    "an infinity": (filled(Q, float("inf")), Q),
    "a negative infinity in the embedding": (filled("model.embed_tokens.weight", -float("inf")), "embed_tokens"),
    "finite weights whose product is not": (tensors(lambda held: held[V].fill_(3e38)), "finite"),
    "float16": (tensors(lambda held: held.update({n: w.half() for n, w in held.items()})), LOADS),
    # files
    "weights cut in half": (cut(WEIGHTS, 0.5), "cannot load"),
    "weights cut by a byte": (cut(WEIGHTS, 0.9999999), "cannot load"),
    "empty weights": (cut(WEIGHTS, 0), "cannot load"),
    "weights with a huge header": (lambda folder: (folder / WEIGHTS).write_bytes(b"\xff" * 64), "cannot load"),
    "text for weights": (text(WEIGHTS, "version https://git-lfs.github.com/spec/v1\n"), "cannot load"),
    "no weights": (gone(WEIGHTS), "holds no *.safetensors"),
    "a folder for weights": (lambda folder: (gone(WEIGHTS)(folder), (folder / WEIGHTS).mkdir()), "no *.safetensors"),
    "only pickled weights": (pickled(WEIGHTS), "pickled"),
    "pickled weights besides": (pickled(), SAME),
    # the index
    "an index that names pickled weights": (sharded("two.bin"), "two.bin"),
    "an index that names a missing pickle": (sharded("pytorch_model.bin", write=False), "pytorch_model.bin"),
    "an index that climbs": (sharded("../two.safetensors"), "../two.safetensors"),
    "an index that goes down": (sharded("deeper/two.safetensors"), "deeper/two.safetensors"),
    "an index with an absolute path": (sharded("/two.safetensors", write=False), "/two.safetensors"),
    "an index that climbs backwards": (sharded("..\\two.safetensors"), "two.safetensors"),
    "an index that is no JSON": (indexed("{"), INDEX),
    "an index that is a list": (indexed("[]"), INDEX),
    "an index without a map": (indexed("{}"), "weight_map"),
    "an index that maps to numbers": (indexed('{"metadata": {}, "weight_map": {"a": 1}}'), "names 1"),
    "weights named outside": (settings(transformers_weights="../x.safetensors"), "../x.safetensors"),
    "weights named as a pickle": (settings(transformers_weights="adapter_model.bin"), "adapter_model.bin"),
    # the configuration
    "no configuration": (gone("config.json"), "config.json"),
    "an empty configuration": (text("config.json", ""), "config.json"),
    "half a configuration": (cut("config.json", 0.5), "config.json"),
    "a list for a configuration": (text("config.json", "[1, 2]"), "config.json"),
    "brackets without end": (text("config.json", "[" * 100_000), "config.json"),
    "bytes that are no text": (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\x00{"), "config.json"),
    "an unknown type": (settings(model_type="qwen99"), "qwen99"),
    "no type": (settings(model_type=...), "model_type"),
    "code of its own": (settings(model_type="own", auto_map={"AutoConfig": "own.Config"}), ""),
    "more words": (settings(vocab_size=1000), "embed_tokens"),
    "fewer words": (settings(vocab_size=500), ""),
    "another width": (settings(hidden_size=96), "shape"),
    "three heads": (settings(num_attention_heads=3), ""),
    "no heads for keys": (settings(num_key_value_heads=0), ""),
    "heads that do not divide": (settings(num_attention_heads=2, num_key_value_heads=3), ""),
    "an odd head": (settings(head_dim=63), ""),
    "more layers": (settings(num_hidden_layers=5, layer_types=["full_attention"] * 5), "layers.3"),
    "fewer layers": (settings(num_hidden_layers=2, layer_types=["full_attention"] * 2), LOADS),
    "a negative width": (settings(hidden_size=-1), ""),
    "words for a width": (settings(hidden_size="wide"), ""),
    "a type of numbers that is none": (settings(dtype="float99"), ""),
    "a quantisation": (settings(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}), ""),
    "an encoder": (settings(model_type="bert", architectures=["BertModel"]), ""),
    "an encoder with a decoder": (settings(model_type="t5", architectures=["T5ForConditionalGeneration"]), ""),
    "eight positions": (settings(max_position_embeddings=8), "longer context"),
    "a broken generation configuration": (text("generation_config.json", "{"), "generation_config.json"),
    # the tokenizer
    "no tokenizer": (gone("tokenizer.json", "tokenizer_config.json"), "tokenizer"),
    "no vocabulary": (gone("tokenizer.json"), "tokenizer"),
    "half a vocabulary": (cut("tokenizer.json", 0.5), "tokenizer"),
    "an empty vocabulary": (vocabulary(lambda held: held["model"].update(vocab={}, merges=[])), "tokenizer"),
    "a vocabulary that is a list": (text("tokenizer.json", "[]"), "tokenizer"),
    "an id beyond the embedding": (vocabulary(beyond), "<|beyond|>"),
    "a tokenizer of an unknown class": (settings("tokenizer_config.json", tokenizer_class="Nobody"), LOADS),
    "a tokenizer with code": (settings("tokenizer_config.json", auto_map={"AutoTokenizer": ["own.T", None]}), LOADS),
    "a list for the tokenizer's configuration": (text("tokenizer_config.json", "[]"), "tokenizer"),
    # adapters
    "an adapter without a model": (adapter(None), "base_model_name_or_path"),
    "an adapter of a model that is not there": (adapter("/nowhere"), "/nowhere"),
    "an adapter that is pickled": (adapter("world", "adapter_model.bin"), "adapter_model.safetensors"),
    "an adapter in a model's folder": (adapter("world", alone=False), "an adapter"),
    "an adapter that lacks its tensors": (adapter("world"), ""),
    # the folder
    "an empty folder": (lambda folder: (shutil.rmtree(folder), folder.mkdir()), "config.json"),
    "a file": (lambda folder: (shutil.rmtree(folder), folder.write_text("x")), "is a file"),
    "nothing": (lambda folder: shutil.rmtree(folder), "does not exist"),
}  # fmt: skip
QUICK = (
    "without a projection", "a tensor too many", "an infinity", "pickled weights besides",
    "an index that names pickled weights", "an index that climbs", "no configuration", "three heads",
    "no tokenizer", "an id beyond the embedding",
)  # fmt: skip


def run(quick: bool, seed: int, work: Path) -> Iterator[Case]:
    shipped = Path(model_path("world", "student"))
    expected = tokens(work / "whole", attempt(shipped, work / "whole", work).code)
    for number, name in enumerate(QUICK if quick else FOLDERS):
        change, wanted = FOLDERS[name]
        here = work / str(number)
        here.mkdir()
        shutil.copytree(shipped, here / "model")
        change(here / "model")
        done = attempt("./model", here / "run", here)
        made, line = tokens(here / "run", done.code), done.err.strip()
        if (here / "trap").exists():
            wrong = "pickled weights were loaded"
        elif wanted in (SAME, LOADS):
            wrong = "" if made and (made == expected or wanted == LOADS) else f"other tokens, exit {done.code} {line}"
        elif done.code != 2 or wanted not in line:
            wrong = f"exit {done.code} {line[-300:]}, expected {wanted!r} to be named"
        else:
            wrong = "a run directory was left" if (here / "run").exists() else ""
        yield held(name, done, wrong)


def attempt(student: Any, run: Path, cwd: Path):
    words = ["generate", "--teacher", "none", "--gate", "never", "--student", student, "--run", run]
    words += ["--problems", "world:size=1", "--attempts", "1", "--max-tokens", "12"]
    return command(words, cwd, quiet)


def quiet() -> None:
    """What the command sets where it is the first to import transformers."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def tokens(run: Path, code: int) -> list[int]:
    """What was written; nothing where there was no run."""
    if code or not run.exists():
        return []
    with Store.read(run) as store:
        return list(itertools.chain(*(trace.token_ids.tolist() for trace in store.traces())))
