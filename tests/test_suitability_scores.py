"""Scores against a float64 reference written from the definitions, and the pass that makes them."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make, random_model
from references.suitability import Reference, reference_set, reference_tokens, reference_trace
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from ownwords.records.tokens import Tokens
from ownwords.rsd.gates import Ens
from ownwords.suitability import scores
from ownwords.suitability.forward import Scorer, batches, token_scores
from ownwords.suitability.scoring import score
from ownwords.suitability.stored import Scores
from ownwords.suitability.survey import ScoreConfig

TOLERANCE = 1e-4


def close(seen: dict, expected: dict) -> None:
    for name, value in expected.items():
        assert seen[name] == pytest.approx(value, rel=TOLERANCE), name


@torch.inference_mode()
def references(path: Path, student: Path, most: int = 1000) -> list[Reference]:
    """Each trace alone, through the whole model, the softmax over the tokenizer's ids in float64."""
    model = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32)
    known = len(AutoTokenizer.from_pretrained(student))
    found = []
    for tokens in list(Scores.read(path).tokens())[:most]:
        ids = torch.from_numpy(tokens.ids.astype(np.int64))
        logits_TV = model(ids[None]).logits[0, len(tokens.prompt_ids) - 1 : -1, :known]
        targets_T = ids[len(tokens.prompt_ids) :]
        columns = ([], [], [])
        for pair in zip(logits_TV.split(32), targets_T.split(32), strict=True):  # in float64 all would be gigabytes
            for column, values in zip(columns, reference_tokens(*pair), strict=True):
                column += values
        found.append(Reference(*(np.asarray(column)[tokens.free].tolist() for column in (*columns, tokens.step))))
    return found


def compare(path: Path, expected: list[Reference]) -> None:
    finished = Scores.read(path)
    assert len(expected) == finished.summary["traces"]
    for row, one in zip(finished.traces(), expected, strict=True):
        assert row["scored_tokens"] == len(one.surprisal)
        close(row, reference_trace(one))
    close(finished.summary["all"], reference_set(expected))


def test_every_score_of_a_run_equals_the_reference(tmp_path):
    student = Path(make_world(tmp_path / "run"))
    score(ScoreConfig(traces=str(tmp_path / "run"), student="world", out=tmp_path / "scores"), {})
    expected = references(tmp_path / "scores", student)
    compare(tmp_path / "scores", expected)
    assert Scores.read(tmp_path / "scores").summary["all"]["below_1"] > 0.01, "too few odd tokens to tell"


def make_world(run: Path) -> str:
    """A run whose traces hold odd tokens: the student's own, drawn hot."""
    from ownwords.generation.config import SamplingOptions
    from ownwords.models.load import model_path

    hot = SamplingOptions(temperature=2.0, top_p=1.0, top_k=0)
    student = model_path("world", "student")
    make(run, problems="world:size=12,seed=4", teacher=student, gate="always", teacher_sampling=hot, attempts=2,
         max_tokens=60)  # fmt: skip
    return student


def test_every_score_of_long_traces_equals_the_reference(data, tmp_path):
    """A Qwen3 of random weights with the real tokenizer and its 151,936 rows; the two shortest of the 351 traces.
    All of them: benchmarks/scoring_exactness.py."""
    student = tmp_path / "student"
    random_model(student, 151_936, seed=0, max_position_embeddings=40_960, initializer_range=0.5)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(data / "tokenizers_qwen/tokenizer.qwen3.json"), eos_token="<|im_end|>"
    )
    tokenizer.save_pretrained(student)
    rows = [json.loads(line) for line in (data / "long_traces/train.jsonl").open()]
    rows.sort(key=lambda row: len(row["thinking"]) + len(row["solution"]))
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:2]))
    score(ScoreConfig(traces=str(tmp_path / "set.jsonl"), student=str(student), out=tmp_path / "scores"), {})
    expected = references(tmp_path / "scores", student)
    compare(tmp_path / "scores", expected)
    assert min(len(one.surprisal) for one in expected) > 100


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [0.1, 3.0, 40.0])
def test_token_scores_equal_the_definition_on_the_same_logits(dtype, scale):
    """Flat, usual and very sharp distributions, also in a type whose logits tie; to 1e-4 of tiny values too."""
    generator = torch.Generator().manual_seed(0)
    logits = (scale * torch.randn(40, 5000, generator=generator)).to(dtype)
    targets = torch.randint(5000, (40,), generator=generator)
    targets[:20] = logits[:20].float().argmax(1)
    seen = token_scores(logits, targets)
    expected = reference_tokens(logits, targets)
    assert seen[1].tolist() == expected[1] and seen[1].dtype == torch.int32
    for mine, theirs in ((seen[0], expected[0]), (seen[2], expected[2])):
        sure = torch.tensor(theirs) > 1e-9  # below it the reference itself cancels
        assert torch.allclose(mine.double()[sure], torch.tensor(theirs).double()[sure], rtol=TOLERANCE, atol=0)
    if scale == 40.0:
        assert 0 < seen[0][:20].min() < 1e-6, "no sharp distribution was tried"


def test_ids_without_a_token_are_left_out():
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(1))
    logits[:, 45:] += 20
    targets = torch.arange(6)
    seen = token_scores(logits, targets, torch.arange(45, 50))
    expected = reference_tokens(logits[:, :45], targets)
    for mine, theirs in zip(seen, expected, strict=True):
        assert mine.tolist() == pytest.approx(theirs, rel=TOLERANCE)


def test_rsr_by_hand():
    assert scores.rsr(np.array([1, 500, 3]), np.array([0.5, 8.0, 1.5])) == pytest.approx((1 + 100 + 3) / 10)
    assert scores.rsr(np.array([1, 500, 3]), np.array([0.5, 8.0, 1.5]), clip=1000) == pytest.approx(50.4)
    assert scores.set_rsr(np.array([2.0, 4.0]), np.array([0.5, 1.5])) == pytest.approx(3.0)
    assert scores.rsr(np.array([1]), np.array([0.0])) == math.inf


def test_ens_quantiles_are_thresholds_of_the_gate():
    """The gate `ens:` with the 3/4 quantile of a set lets three quarters of its tokens pass."""
    generator = torch.Generator().manual_seed(2)
    logits = 4 * torch.randn(400, 80, generator=generator)
    targets = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    surprisal, _, entropy = (column.numpy() for column in token_scores(logits, targets))
    limit = scores.trace_scores(surprisal, np.ones(len(surprisal)), entropy, np.zeros(len(surprisal)))["ens_3_4"]
    log_q = logits.log_softmax(1)
    passed = Ens(limit)(log_q, log_q).gather(1, targets[:, None]) == 0
    assert passed.float().mean().item() == pytest.approx(0.75, abs=1 / 400)


def test_logits_that_a_model_changes_after_its_head_are_the_ones_scored():
    """Gemma 2 caps its logits softly, GPT-2 has learnt positions: the pass in chunks gives what the whole model says,
    in a batch of unequal rows."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    gemma = Gemma2Config(
        vocab_size=90, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
        intermediate_size=64, final_logit_softcapping=3.0, initializer_range=0.5, sliding_window=4,
    )  # fmt: skip
    gpt2 = GPT2Config(vocab_size=90, n_embd=32, n_layer=2, n_head=2, n_positions=64)
    rng = np.random.default_rng(0)
    samples = [Tokens(prompt_ids=rng.integers(0, 90, 3), token_ids=rng.integers(0, 90, n)) for n in (12, 5, 1)]
    for model in (Gemma2ForCausalLM(gemma).eval(), GPT2LMHeadModel(gpt2).eval()):
        for sample, seen in zip(samples, Scorer(model, None, "it").score(samples), strict=True):
            ids = torch.from_numpy(np.concatenate([sample.prompt_ids, sample.token_ids]))
            logits_TV = model(ids[None]).logits[0, 2:-1].detach()
            surprisal, rank, entropy = reference_tokens(logits_TV, ids[3:])
            assert seen.student_rank.tolist() == rank
            assert seen.surprisal.tolist() == pytest.approx(surprisal, rel=TOLERANCE)
            assert seen.student_entropy.tolist() == pytest.approx(entropy, rel=TOLERANCE)


def test_weights_that_give_no_numbers_are_refused(tmp_path):
    model = random_model(tmp_path, 60, seed=0)
    scorer = Scorer(model, None, "broken")
    torch.nn.init.constant_(model.model.norm.weight, float("nan"))
    with pytest.raises(ValueError, match="broken gives logits that are not finite in torch.float32"):
        scorer.score([Tokens(prompt_ids=[1], token_ids=[2])])


def test_batches_are_filled_by_tokens_and_hold_every_row_once():
    lengths = np.random.default_rng(0).integers(1, 120, 200).tolist()
    groups = batches(lengths, 100)
    assert sorted(i for group in groups for i in group) == list(range(200))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[i] for i in group) <= 100
    assert sum(len(group) > 1 for group in groups) > 10


def test_memory_does_not_grow_with_length_times_vocabulary():
    """2,048 tokens with 131,072 words would be 1 GiB of logits; at full size: benchmarks/scoring_memory.py."""
    script = Path(__file__).parents[1] / "benchmarks/scoring_memory.py"
    words = ["--tokens", "2048", "--vocabulary", "131072", "--hidden", "32"]
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"([\d.]+) MiB above the model", done.stdout)[1]) < 400, done.stdout


def test_set_scores_need_no_local_naturalness():
    rows = [dataclasses.asdict(Reference([1.0, 2.0], [1, 3], [0.5, 0.5], [0, 0]))]
    one = {**scores.trace_scores(*(np.array(column) for column in rows[0].values())), "scored_tokens": 2}
    assert "local_naturalness" not in scores.set_scores([one], np.array([1.0]))
    with_local = {**one, "local_naturalness": -1.5}
    assert scores.set_scores([with_local, with_local], np.array([1.0]))["local_naturalness"] == -1.5
