"""Training itself, on the CPU, with real models: what TRL is given and makes of it, and what comes out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make, random_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from ownwords.models.load import load, model_path
from ownwords.suitability import forward
from ownwords.suitability.forward import Scorer
from ownwords.training import confidence, masks
from ownwords.training.config import LoraOptions, MaskOptions, TrainConfig
from ownwords.training.fine_tune import last_checkpoint, prepare, train
from ownwords.training.merge import merge
from ownwords.training.prepared import Prepared
from ownwords.training.row_sources import file_rows
from ownwords.training.trainer import make_trainer

NO = -100
TRACES = [
    {"problem_id": "a", "input_ids": [5, 6, 7, 8, 9], "labels": [NO, NO, 7, 8, 9], "w": [0.0, 0.0, 2.0, 0.5, 1.0]},
    {
        "problem_id": "b",
        "input_ids": [10, 11, 12, 13, 14, 15, 16],
        "labels": [NO, 11, NO, 13, 14, 15, 16],
        "w": [3.0] * 7,
    },
    {"problem_id": "c", "input_ids": [20, 21, 22], "labels": [NO, NO, 22], "w": [0.0, 0.0, 0.25]},
]


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """A tiny random student with the small world's tokenizer, the three traces, and forty random ones."""
    folder = tmp_path_factory.mktemp("training")
    shutil.copytree(model_path("world", "student"), folder / "student")
    tokenizer = AutoTokenizer.from_pretrained(folder / "student")
    random_model(folder / "student", len(tokenizer), seed=0, eos_token_id=tokenizer.eos_token_id)
    (folder / "three.jsonl").write_text("\n".join(map(json.dumps, TRACES)))
    rng = np.random.default_rng(0)
    many = [rng.integers(0, 900, int(n)).tolist() for n in rng.integers(5, 25, 40)]
    rows = [{"input_ids": ids, "labels": [NO] * 3 + ids[3:]} for ids in many]
    (folder / "many.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def settings(here: Path, out: Path, data: str = "many.jsonl", **other) -> TrainConfig:
    given = dict(data=[str(here / data)], out=out, student=str(here / "student"), preset="world", micro_batch=4)
    return TrainConfig.of(**{**given, "batch": 8, "epochs": 2.0, "learning_rate": 3e-3, **other})


def trained(config: TrainConfig, tell=lambda progress: None) -> Prepared:
    prepared = prepare(config)
    assert train(prepared, tell)
    return prepared


def metrics(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def losses_by_hand(student: Path) -> list[list[float]]:
    """Per trace, the negative log-likelihood of each token with loss, by a forward pass and softmax in float64."""
    model = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32).eval()
    found = []
    for row in TRACES:
        logits = model(torch.tensor([row["input_ids"]])).logits[0].double()
        probability = logits.exp() / logits.exp().sum(-1, keepdim=True)
        learned = [at for at, label in enumerate(row["labels"]) if label != NO]
        found.append([-probability[at - 1, row["labels"][at]].log().item() for at in learned])
    return found


@pytest.mark.parametrize("micro_batch", [1, 3])
@pytest.mark.parametrize("column", [None, "w"])
def test_the_loss_and_the_token_counts_are_those_computed_by_hand(here, tmp_path, micro_batch, column):
    config = settings(here, tmp_path / "out", "three.jsonl", batch=3, micro_batch=micro_batch, weights=column)
    prepared = trained(config)
    assert (prepared.data.tokens, prepared.data.loss_tokens, prepared.data.longest) == (15, 9, 7)
    by_hand = losses_by_hand(here / "student")
    assert [len(losses) for losses in by_hand] == [3, 5, 1]
    w = [[2.0, 0.5, 1.0], [3.0] * 5, [0.25]] if column else [[1.0] * len(losses) for losses in by_hand]
    expected = sum(np.dot(*pair) for pair in zip(w, by_hand)) / 9
    assert metrics(tmp_path / "out")[0]["loss"] == pytest.approx(expected, rel=1e-5)
    assert prepared.steps == len(metrics(tmp_path / "out")) == 2


def test_a_weight_of_zero_is_no_loss(here, tmp_path):
    """The same weights as with those labels left out; and a column of ones changes nothing."""
    rows = [{**row, "w": [float(i % 2) for i in range(len(row["labels"]))]} for row in TRACES]
    blank = [
        {**row, "labels": [label if i % 2 else NO for i, label in enumerate(row["labels"])], "w": [1.0] * len(row["w"])}
        for row in TRACES
    ]
    for name, kind in (("zero", rows), ("blank", blank)):
        (here / f"{name}.jsonl").write_text("\n".join(map(json.dumps, kind)))
    runs = {"zero": "w", "blank": "w", "blank-unweighed": None}
    for name, column in runs.items():
        trained(settings(here, tmp_path / name, name.split("-")[0] + ".jsonl", batch=3, micro_batch=3, weights=column))
    assert same(weights(tmp_path / "zero"), weights(tmp_path / "blank"))
    assert same(weights(tmp_path / "blank"), weights(tmp_path / "blank-unweighed"))


def test_trl_trains_on_the_very_ids_and_labels(here, tmp_path):
    """Longer rows than TRL's own limit of 1024 among them: padded on the right, and otherwise as they are."""
    rng = np.random.default_rng(1)
    rows = [{"input_ids": (ids := rng.integers(0, 900, n).tolist()), "labels": [NO] + ids[1:]} for n in (1500, 40, 3)]
    (tmp_path / "long.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = len(AutoTokenizer.from_pretrained(here / "student"))
    random_model(tmp_path / "student", words, seed=0, max_position_embeddings=2048)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(here / "student" / file, tmp_path / "student")
    config = settings(tmp_path, tmp_path / "out", "long.jsonl", batch=2, micro_batch=2)
    prepared = prepare(config)
    trainer = make_trainer(prepared.config, prepared.student, prepared.data.rows, tmp_path / "c", prepared.steps)
    seen = []
    for batch in trainer.get_train_dataloader():
        for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"]):
            n = int(mask.sum())
            assert mask[:n].all() and (labels[n:] == NO).all()
            seen.append({"input_ids": ids[:n].tolist(), "labels": labels[:n].tolist()})
    assert sorted(seen, key=str) == sorted(rows, key=str)


@pytest.mark.parametrize(("rows", "batch", "micro_batch"), [(40, 8, 4), (40, 16, 2), (40, 6, 3), (3, 16, 1)])
def test_the_plan_says_how_many_steps_there_will_be(here, tmp_path, rows, batch, micro_batch):
    config = settings(here, tmp_path / "out", batch=batch, micro_batch=micro_batch, cap_problems=rows, epochs=1.5)
    prepared = trained(config)
    assert len(prepared.data.rows) == rows
    assert prepared.steps == metrics(tmp_path / "out")[-1]["step"]


def test_steps_and_the_problems_of_a_file(here, tmp_path):
    whole = trained(settings(here, tmp_path / "whole"))
    ids = [row.problem_id for row in whole.data.rows][:5]
    (tmp_path / "ids").write_text("\n".join([*ids, "another", ""]))
    config = settings(here, tmp_path / "out", problems=tmp_path / "ids", epochs=None, steps=7)
    assert {row.problem_id for row in trained(config).data.rows} == set(ids)
    rates = [row["learning_rate"] for row in metrics(tmp_path / "out") if "learning_rate" in row]
    assert len(rates) == 7 and metrics(tmp_path / "out")[-1]["step"] == 7
    assert rates[-1] < rates[3] < rates[1]  # it decays over these steps


def test_training_twice_gives_the_same_weights_and_another_seed_others(here, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        trained(settings(here, tmp_path / name, seed=seed))
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))
    before = load_file(here / "student/model.safetensors")
    assert not any(torch.equal(w, before[name]) for name, w in weights(tmp_path / "a").items() if w.ndim == 2)


def test_a_killed_training_resumes_to_the_same_curve(here, tmp_path):
    """kill -9 at some step after a checkpoint; what goes on makes the same metrics and the same weights."""
    words = [
        "train", "--data", here / "many.jsonl", "--student", here / "student", "--preset", "world", "--batch", "8",
        "--micro-batch", "4", "--epochs", "16", "--learning-rate", "0.003", "--save-every", "3",
    ]  # fmt: skip
    command = [sys.executable, "-m", "ownwords", *map(str, words), "--out"]
    process = subprocess.Popen([*command, tmp_path / "killed"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    log, deadline = tmp_path / "killed/metrics.jsonl", time.monotonic() + 120
    while not log.exists() or log.read_text().count("\n") < 10:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed/model.safetensors").exists()
    reached, saved = len(metrics(tmp_path / "killed")), last_checkpoint(tmp_path / "killed/checkpoints")
    assert saved is not None and 10 <= reached < 80
    # a checkpoint that was being written, and a row
    (torn := tmp_path / "killed/checkpoints/checkpoint-79").mkdir()
    (torn / "trainer_state.json").write_text('{"global_step": 7')
    with log.open("a") as file:
        file.write('{"step": 2')

    config = settings(here, tmp_path / "whole", epochs=16.0, save_every=3)
    trained(config)
    went_on = []
    trained(settings(here, tmp_path / "killed", epochs=16.0, save_every=3), lambda p: went_on.append(p.step))
    assert went_on[0] == int(saved.name.split("-")[1]) + 1  # it went on, and did not begin again
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole") and len(metrics(tmp_path / "whole")) == 80
    assert same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))
    assert sorted(p.name for p in saved.parent.glob("checkpoint-*")) == ["checkpoint-78", "checkpoint-80"]


def test_two_processes_make_the_curve_of_one(here, tmp_path):
    """Data parallel under `accelerate launch`: each takes half of every batch, and weights are those of one process."""
    config = settings(here, tmp_path / "one", "weighed.jsonl", weights="w", epochs=1.0)
    rows = [json.loads(line) for line in (here / "many.jsonl").read_text().splitlines()]
    weighed = [{**row, "w": np.linspace(0.1, 2, len(row["labels"])).tolist()} for row in rows]
    (here / "weighed.jsonl").write_text("\n".join(map(json.dumps, weighed)))
    trained(config)
    words = [
        "launch", "--cpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend",
        "no", "-m", "ownwords", "train", "--data", here / "weighed.jsonl", "--student", here / "student", "--weights",
        "w", "--preset", "world", "--batch", "8", "--micro-batch", "4", "--epochs", "1", "--learning-rate", "0.003",
        "--out", tmp_path / "two",
    ]  # fmt: skip
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("written: ") == 1
    one, two = ([row["loss"] for row in metrics(tmp_path / name)] for name in ("one", "two"))
    assert one == pytest.approx(two, rel=1e-5) and len(two) == 5
    ours, theirs = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)


def test_an_interrupted_training_keeps_a_checkpoint_and_goes_on(here, tmp_path):
    prepared = prepare(settings(here, tmp_path / "cut", save_every=1000))

    def interrupt(progress) -> None:
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    assert not train(prepared, interrupt)
    assert last_checkpoint(tmp_path / "cut/checkpoints").name in ("checkpoint-3", "checkpoint-4")
    assert not (tmp_path / "cut/README.md").exists()
    trained(settings(here, tmp_path / "cut"))
    trained(settings(here, tmp_path / "whole"))
    assert metrics(tmp_path / "cut") == metrics(tmp_path / "whole")
    assert same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))
    before = (tmp_path / "cut/model.safetensors").stat().st_mtime_ns
    trained(settings(here, tmp_path / "cut"), lambda progress: pytest.fail("it had ended"))
    assert (tmp_path / "cut/model.safetensors").stat().st_mtime_ns == before


def test_a_folder_belongs_to_its_settings(here, tmp_path):
    trained(settings(here, tmp_path / "out"))
    with pytest.raises(ValueError, match=r"learning_rate: 0.003 -> 0.001. .*--overwrite"):
        prepare(settings(here, tmp_path / "out", learning_rate=0.001))
    with pytest.raises(ValueError, match="data_digest"):
        prepare(settings(here, tmp_path / "out", "three.jsonl"))
    assert len(metrics(tmp_path / "out")) == 10
    trained(settings(here, tmp_path / "out", "three.jsonl", overwrite=True))
    assert len(metrics(tmp_path / "out")) == 2
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("mine")
    with pytest.raises(ValueError, match="not empty and no training"):
        prepare(settings(here, tmp_path / "thesis", overwrite=True))


def test_bfloat16_and_checkpointing_compute_nearly_the_same(here, tmp_path):
    trained(settings(here, tmp_path / "plain"))
    trained(settings(here, tmp_path / "checkpointing", checkpointing=True))
    trained(settings(here, tmp_path / "bf16", precision="bf16"))
    plain, checkpointing, bf16 = (
        np.array([row["loss"] for row in metrics(tmp_path / name)]) for name in ("plain", "checkpointing", "bf16")
    )
    assert np.allclose(plain, checkpointing, rtol=1e-5)
    # three digits of bfloat16; not equal, or it was not used
    assert np.allclose(plain, bf16, rtol=1e-2) and not np.array_equal(plain, bf16)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Tailored traces of the small world's student, with itself as the teacher."""
    folder, student = tmp_path_factory.mktemp("world") / "run", model_path("world", "student")
    make(folder, problems="world:size=30", teacher=student, student=student, attempts=1, max_tokens=120)
    return folder


def test_the_trained_student_loads_in_plain_transformers_and_answers(run, tmp_path):
    out = tmp_path / "out"
    config = TrainConfig.of(data=[str(run)], out=out, preset="world", batch=4, micro_batch=4)
    assert prepare(config).config.student == model_path("world", "student")  # the run's own
    trained(config)
    shipped = Path(model_path("world", "student"))
    for file in ("config.json", "generation_config.json", "tokenizer_config.json"):
        ours, theirs = (json.loads((folder / file).read_text()) for folder in (out, shipped))
        for told in (ours, theirs):
            told.pop("local_files_only", None)  # transformers notes whether it was offline
        assert ours == theirs, file
    for file in ("chat_template.jinja", "tokenizer.json"):
        assert (out / file).read_bytes() == (shipped / file).read_bytes()
    tokenizer = AutoTokenizer.from_pretrained(out)
    model = AutoModelForCausalLM.from_pretrained(out)
    assert model.dtype == torch.bfloat16 and model.config.use_cache
    before = load_file(shipped / "model.safetensors")
    assert not same(weights(out), before) and weights(out).keys() == before.keys()
    chat = [{"role": "user", "content": "What is 3 + 4?"}]
    text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) + "<think>\n"
    prompt = tokenizer(text, return_tensors="pt")
    said = tokenizer.decode(model.float().generate(**prompt, max_new_tokens=120, do_sample=False)[0])
    assert said.startswith(text) and said.count("</think>") == 1 and said.endswith("<|im_end|>"), said
    assert "\\boxed{" in said.split("</think>")[1], said
    card = (out / "README.md").read_text()
    assert prepare(config).data.digest in card and "| learning_rate | 0.0003 |" in card and "| trl | " in card
    assert "prefix.template" not in card and "lora" not in card


def test_an_adapter_loads_and_merges(here, tmp_path):
    prepared = trained(settings(here, tmp_path / "lora", lora=LoraOptions(rank=4), learning_rate=0.03))
    assert prepared.config.lora.alpha == 8
    assert not (tmp_path / "lora/model.safetensors").exists() and (tmp_path / "lora/adapter_config.json").exists()
    merge(tmp_path / "lora", tmp_path / "merged")
    ids = torch.tensor([TRACES[1]["input_ids"]])
    base, adapted, merged = (
        AutoModelForCausalLM.from_pretrained(folder).eval()(ids).logits
        for folder in (here / "student", tmp_path / "lora", tmp_path / "merged")
    )
    assert torch.allclose(adapted, merged, atol=1e-5) and (adapted - base).abs().max() > 0.01
    for name in ("lora", "merged"):
        assert AutoTokenizer.from_pretrained(tmp_path / name).chat_template
    assert (tmp_path / "merged/config.json").read_text() == (here / "student/config.json").read_text()
    assert "library_name: peft" in (tmp_path / "lora/README.md").read_text()
    assert "library_name: transformers" in (tmp_path / "merged/README.md").read_text()


def test_confidence_is_the_models_own_in_any_chunks(here, monkeypatch):
    student = load(str(here / "student"), "student", "cpu", "float32")
    scorer = Scorer(student.model, None, "it")
    whole = [confidence.token_logprobs(scorer, np.int32(row["input_ids"])) for row in TRACES]
    for column, row, by_hand in zip(whole, TRACES, losses_by_hand(here / "student"), strict=True):
        learned = [at for at, label in enumerate(row["labels"]) if label != NO]
        assert np.isnan(column[0]) and column[learned] == pytest.approx(-np.array(by_hand), rel=1e-5)
    monkeypatch.setattr(forward, "HEAD", 2 * scorer.rows)
    for column, row in zip(whole, TRACES):
        assert np.allclose(column, confidence.token_logprobs(scorer, np.int32(row["input_ids"])), equal_nan=True)


def test_anchors_are_masked_by_what_an_early_checkpoint_has_learned(here, tmp_path):
    trained(settings(here, tmp_path / "first", save_every=5, keep=0))
    early = tmp_path / "first/checkpoints/checkpoint-5"
    config = settings(here, tmp_path / "second", mask=MaskOptions(anchors=early, rise=1e-4))
    prepared = prepare(config)
    before, after = (load(str(path), "student", "cpu", "float32").model for path in (here / "student", early))
    plain = {row.problem_id: row for row in file_rows(here / "many.jsonl")}
    changed = 0
    for row in prepared.data.rows:
        ids, whole = torch.tensor(row.input_ids[None].astype(int)), plain[row.problem_id]
        p, q = (model(ids).logits[0, :-1].softmax(-1).gather(1, ids[0, 1:, None])[:, 0] for model in (before, after))
        rose = np.append(False, (q - p).detach().numpy() > 1e-4)
        assert row.labels.tolist() == np.where(rose, NO, whole.labels).tolist()
        changed += whole.loss_tokens - row.loss_tokens
    assert prepared.data.masked == {"imitation anchors": changed}
    assert 0 < changed < sum(row.loss_tokens for row in plain.values())


def test_what_the_student_finds_implausible_is_computed_where_a_file_does_not_say(here, tmp_path):
    config = settings(here, tmp_path / "out", "three.jsonl", mask=MaskOptions(below=1e-3))
    rows = prepare(config).data.rows
    student = load(str(here / "student"), "student", "cpu", "float32")
    for row in rows:
        told = masks.below(
            next(r for r in confidence.with_column(file_rows(here / "three.jsonl"), "student_logprob", student.model)
                 if r.problem_id == row.problem_id),
            1e-3,
        )  # fmt: skip
        assert row.labels.tolist() == told.labels.tolist()
    by_hand = sum(loss > -np.log(1e-3) for losses in losses_by_hand(here / "student") for loss in losses)
    assert 0 < by_hand < 9 and sum(row.loss_tokens for row in rows) == 9 - by_hand
