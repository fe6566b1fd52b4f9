"""The small world: its documents, its training, and the pair that ships."""

from __future__ import annotations

import itertools
import json
import random
import re
from importlib import resources
from pathlib import Path

import pytest
import torch
from conftest import make
from safetensors import safe_open
from torch.utils._python_dispatch import TorchDispatchMode

from ownwords.generation.config import SamplingOptions
from ownwords.traces.summary import summarise
from ownwords.world import tasks
from ownwords.world.data import IGNORE, Mixture, batches, documents
from ownwords.world.train import Recipe, Trainer, grow, world_tokenizer

GREEDY = SamplingOptions(temperature=0.0, top_p=1.0)
SUM = re.compile(r"(-?\d+) ([-+*]) (\d+) = (-?\d+)")


def text(pieces: tasks.Pieces) -> str:
    return "".join(piece for piece, _ in pieces)


@pytest.mark.parametrize("family", tasks.FAMILIES)
def test_documents_end_in_the_reference_and_compute_what_they_say(family):
    rng, wrong, planted = random.Random(0), 0, 0
    for item in itertools.islice(tasks.items(family, 1, want_held_out=False), 200):
        for pieces in (tasks.terse(item), tasks.long_winded(item, rng, slip_rate=0.2)):
            assert text(pieces).rstrip(".").endswith(f"\\boxed{{{item['answer']}}}")
            assert text(pieces).count("</think>") == 1
            planted += any(not learn for _, learn in pieces)
            for a, sign, b, result in SUM.findall(text(pieces)):
                a, b, result = int(a), int(b), int(result)
                wrong += {"+": a + b, "-": a - b, "*": a * b}[sign] != result
    assert 20 <= planted <= 60, "a fifth of the long-winded documents slips"
    assert wrong <= planted, "every sum is right but the planted mistakes"


def test_planted_mistakes_carry_no_loss():
    tokenizer = world_tokenizer(Path())
    for item in itertools.islice(tasks.items("chain_sum", 1, want_held_out=False), 5):
        pieces = tasks.long_winded(item, random.Random(1), slip_rate=1.0)
        mistakes = [piece for piece, learn in pieces if not learn]
        assert mistakes and all(mistake.lstrip("-").isdigit() for mistake in mistakes)
    made = documents(tokenizer, Mixture(long_winded=1.0, seed=5), pool=0)
    skipped = [sum(a != b for a, b in zip(ids, labels)) - labels.index(next(x for x in labels if x != IGNORE))
               for ids, labels in made]  # fmt: skip
    assert 0 < sum(n > 0 for n in skipped) < len(skipped) // 5
    assert all(0 <= n <= 8 for n in skipped), "no more than the digits of a number that is said twice"


def test_no_training_document_shows_a_held_out_question():
    tokenizer = world_tokenizer(Path())
    for ids, _ in documents(tokenizer, Mixture(0.5, seed=10**9), pool=3):
        question = tokenizer.decode(ids).partition("user\n")[2].partition("<|im_end|>")[0]
        assert question and not tasks.held_out(question)


def test_batches_are_a_function_of_their_number_and_lose_nothing():
    tokenizer, mixture = world_tokenizer(Path()), Mixture(0.5, seed=7)
    first, again = (batches(tokenizer, mixture, pool=2, tokens=2048) for _ in range(2))
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert sum(len(ids) for ids, _ in first) == len(documents(tokenizer, mixture, pool=2))
    assert all(ids.numel() <= 2048 for ids, _ in first)


TINY = Recipe(
    hidden=64, layers=3, layers_at_start=2, heads=1, intermediate=64, mixture=Mixture(0.5, seed=3),
    tokens=40_000, grow_at=16_000, decay_from=24_000, batch_tokens=1024, warmup_steps=5,
)  # fmt: skip


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path):
    tokenizer = world_tokenizer(tmp_path)
    whole = Trainer(TINY, tokenizer, tmp_path / "whole")
    whole.run(lambda row: None)

    class Killed(Exception):
        pass

    for stop in (7, 22):  # before and after the growth
        part = Trainer(TINY, tokenizer, tmp_path / "part")
        step, left = part.step, [stop - part.steps]

        def counted(ids, labels, step=step, left=left):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return step(ids, labels)

        part.step = counted
        with pytest.raises(Killed):
            part.run(lambda row: None)
        part.save()
    part = Trainer(TINY, tokenizer, tmp_path / "part")
    assert part.steps == 22 and part.layers == 3
    part.run(lambda row: None)
    assert part.tokens == whole.tokens
    for name, weights in whole.masters.items():
        assert torch.equal(weights, part.masters[name]), name


class Types(TorchDispatchMode):
    """The types of all that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.is_floating_point():
            self.seen.add(made.dtype)
        return made


@pytest.mark.parametrize(("native", "expected"), [(True, {torch.bfloat16, torch.float32}), (False, {torch.float32})])
def test_a_processor_without_bfloat16_computes_nothing_in_it(tmp_path, monkeypatch, native, expected):
    monkeypatch.setattr("ownwords.world.train.native_bfloat16", lambda: native)
    trainer = Trainer(TINY, world_tokenizer(tmp_path), tmp_path / "a")
    ids = torch.arange(24).reshape(2, 12)
    with Types() as types:
        trainer.step(ids, ids)
    assert types.seen == expected
    trainer.export(tmp_path / "model")
    with safe_open(tmp_path / "model" / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118


def test_growth_does_not_change_the_function(tmp_path):
    tokenizer = world_tokenizer(tmp_path)
    trainer = Trainer(TINY, tokenizer, tmp_path / "grown")
    ids = torch.randint(0, len(tokenizer), (2, 12), generator=torch.Generator().manual_seed(0))
    trainer.model.float()
    before = trainer.model(ids).logits
    trainer._build(7, grow({n: p.detach() for n, p in trainer.masters.items()}, 2, 7))
    trainer.model.float()
    assert trainer.model.config.num_hidden_layers == 7
    torch.testing.assert_close(trainer.model(ids).logits, before, atol=2e-2, rtol=0)  # bf16 in between


def test_the_shipped_pair_is_small_and_comes_with_its_record():
    models = Path(str(resources.files("ownwords.world") / "models"))
    assert sum(f.stat().st_size for f in models.rglob("*") if f.is_file()) <= 25 * 2**20
    for role in ("teacher", "student"):
        rows = [json.loads(line) for line in (models / role / "metrics.jsonl").read_text().splitlines()]
        assert rows[-1]["loss"] < rows[0]["loss"] / 5
        assert (models / role / "model.safetensors").exists()


def test_the_pair_is_a_pair(tmp_path):
    """A small sample of what `ownwords world measure` measures on 1,000 problems."""
    summaries = {}
    for gate in ("always", "never"):
        _, traces = make(
            tmp_path / gate, problems="world:size=60,seed=9", gate=gate, attempts=1, max_tokens=600,
            teacher_sampling=GREEDY, student_sampling=GREEDY,
        )  # fmt: skip
        summaries[gate] = summarise(traces)
    teacher, student = summaries["always"], summaries["never"]
    assert teacher.verified >= 0.75 and 0.15 <= student.verified <= 0.7
    assert teacher.implausible >= 0.02 and 0.6 <= teacher.mean_surprisal <= 3.5
    assert teacher.mean_length > 1.5 * student.mean_length
