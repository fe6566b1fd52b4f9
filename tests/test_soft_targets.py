"""Soft targets: the engine's against a plain re-scoring, kept whole, and read by trainers as what they are."""

from __future__ import annotations

import random
import re
import sqlite3
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from conftest import make, random_model
from huggingface_hub import RepoCard
from test_faults import ended
from test_store import CONFIG, IDENTITY, VERSIONS, content
from test_store import make as random_attempt

from ownwords.engines.decoder import Decoder
from ownwords.engines.engine import Request
from ownwords.engines.stops import Stops
from ownwords.generation.config import GenerateConfig
from ownwords.generation.pilot import run_pilot
from ownwords.generation.prepare import prepare
from ownwords.models.load import load
from ownwords.rsd.shaping import Sampling
from ownwords.rsd.soft import PAD, overlaps, soft_dtype, soft_targets
from ownwords.rsd.spelled import Spelled
from ownwords.rsd.step import Rules
from ownwords.sharing.run_export import export_run
from ownwords.traces.salvage import salvage
from ownwords.traces.soft import Overlap, pack, token_bytes, unpack
from ownwords.traces.store import Store

DOCS = Path(__file__).parents[1] / "docs/soft_targets.md"
HALF = 2.0**-11
"""of a value, by which half precision is off at most"""


def sets(log_p_V: torch.Tensor, k: int) -> set[int]:
    """The k likeliest ids, by sorting; none of probability 0."""
    return {i for i in log_p_V.sort(descending=True, stable=True).indices[:k].tolist() if log_p_V[i] > -torch.inf}


def random_logprobs(B: int, V: int, impossible: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(B, V, generator=generator)
    logits[torch.rand(B, V, generator=generator) < impossible] = -torch.inf
    logits[:, 0] = 0.0  # one id is possible at least
    return logits.log_softmax(-1)


@pytest.mark.parametrize("k", [1, 3, 11])
@pytest.mark.parametrize("impossible", [0.0, 0.6])
def test_the_union_of_both_sets_and_what_they_have_in_common(k, impossible):
    """By sets, one position after the other; with k = 11 of 12 ids and 60 % impossible ones, hardly a set has k."""
    log_p, log_q = (random_logprobs(40, 12, impossible, seed) for seed in (1, 2))
    soft = soft_targets(log_p, log_q, k)
    common = overlaps(soft)
    assert soft.dtype == soft_dtype(k)
    for b in range(40):
        theirs, ours = sets(log_p[b], k), sets(log_q[b], k)
        ids = soft["ids"][b].tolist()
        n = len(theirs | ours)
        assert ids[n:] == [PAD] * (2 * k - n) and sorted(ids[:n]) == sorted(theirs | ours)
        assert set(ids[: len(theirs)]) == theirs
        for log, name in ((log_p, "teacher"), (log_q, "student")):
            np.testing.assert_allclose(soft[name][b, :n], log[b, ids[:n]].numpy(), rtol=HALF)
            assert (soft[name][b, n:] == -np.inf).all()
        both = sorted(theirs & ours)
        expected = [len(both) / k, log_p[b, both].exp().sum(), log_q[b, both].exp().sum()]
        np.testing.assert_allclose(common[b], expected, atol=1e-3)
        assert set(ids[: len(both)]) == set(both)
        for part, name in (
            (slice(0, len(both)), "teacher"),
            (slice(len(both), len(theirs)), "teacher"),
            (slice(len(theirs), n), "student"),
        ):
            assert (np.diff(soft[name][b, part].astype(float)) <= 0).all()


def test_without_a_teacher_the_students_set_alone():
    log_q = random_logprobs(5, 12, 0.0, 3)
    soft = soft_targets(None, log_q, 4)
    for b in range(5):
        assert soft["ids"][b].tolist()[:4] == log_q[b].topk(4).indices.tolist()
        assert soft["ids"][b].tolist()[4:] == [PAD] * 4 and np.isnan(soft["teacher"][b, :4]).all()
    assert (unpack(pack(soft)) == soft).all() or pack(unpack(pack(soft))) == pack(soft)  # NaN is not equal to itself


@pytest.mark.parametrize("k, tokens", [(1, 0), (1, 7), (5, 300)])
def test_bytes_hold_every_bit(k, tokens):
    soft = soft_targets(random_logprobs(tokens, 30, 0.5, 1), random_logprobs(tokens, 30, 0.5, 2), k)
    assert unpack(pack(soft)).tobytes() == soft.tobytes()
    assert len(pack(soft)) < 20 + tokens * token_bytes(k, sets=2)


# --- in the engine --------------------------------------------------------------------------------------------------

K = 4
TEACHER_OF = torch.tensor([*range(5, 40), *range(4), -1])  # the ids of a teacher that lacks the student's last one


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    teacher, student = (random_model(folder / str(i), 40, seed=i, hidden_size=64) for i in (1, 2))
    with torch.no_grad():
        student.get_input_embeddings().weight.mul_(4)
        teacher.get_input_embeddings().weight.copy_(student.get_input_embeddings().weight)
    return teacher, student


def spell(token: int) -> tuple[int, ...]:
    return (6, 7) if token == 39 else (int(TEACHER_OF[token]),)


def attempts(teacher, student, d: int | None, slots: int, two_vocabularies=False, spelled=None) -> dict[int, dict]:
    """Columns of 8 attempts with prompts of unequal length and forced openings."""
    alone, foreign = teacher is None, {"spell": spell, "longest_spelling": 2} if two_vocabularies else {}
    rules = Rules(
        teacher=Sampling(1.0, 1.0), student=Sampling(1.0, 1.0), soft_targets=K,
        teacher_of_V=TEACHER_OF if two_vocabularies else None, spelled=spelled,
    )  # fmt: skip
    engine = Decoder(teacher, student, rules, Stops(frozenset([3]), 1.0, 0), slots, 96, d, **foreign)
    waiting, finished = [], {}
    for i in range(8):
        ids = [(7 * i + j) % 39 for j in range(1 + (5 * i) % 11)]
        theirs = [t for id_ in ids for t in spell(id_)] if two_vocabularies else ids
        waiting.append(Request((str(i), 0), i, theirs, ids, 30 + i % 3, () if alone else (9, 8)))
    while waiting or engine.rows:
        taken, waiting = waiting[: engine.free], waiting[engine.free :]
        engine.admit(taken)
        for done in engine.step():
            i = int(done.key[0])
            finished[i] = {**done.columns, "prompt": ids_of(i)}
    return finished


def ids_of(i: int) -> list[int]:
    return [(7 * i + j) % 39 for j in range(1 + (5 * i) % 11)]


@torch.inference_mode()
def rescored(model, ids: list[int], at: list[int]) -> torch.Tensor:
    """Log-probabilities after each of the positions `at`, by one plain forward pass."""
    return model(torch.tensor([ids]), use_cache=False).logits[0, at].float().log_softmax(-1)


def agrees(soft: np.ndarray, log_p: torch.Tensor | None, log_q: torch.Tensor, margin: float = 1e-3) -> bool:
    """Whether soft targets are those of a re-scoring: ids that are clearly likelier than the k-th are in, ids that are
    clearly less likely are in no set, and values are equal up to rounding."""
    for t, row in enumerate(soft):
        used = row["ids"] != PAD
        ids = row["ids"][used].tolist()
        likeliest: set[int] = set()
        for log, name in ((log_p, "teacher"), (log_q, "student")):
            if log is None:
                continue
            values = log[t][ids].numpy()
            if not np.allclose(row[name][used], values, rtol=2 * HALF, atol=margin):
                return False
            least = log[t].topk(K).values[-1]
            if not set((log[t] > least + margin).nonzero()[:, 0].tolist()) <= set(ids):
                return False
            likeliest |= set(((log[t] >= least - margin) & (log[t] > -torch.inf)).nonzero()[:, 0].tolist())
        if not set(ids) <= likeliest:
            return False
    return True


@pytest.mark.parametrize("two_vocabularies", [False, True])
@pytest.mark.parametrize("d, slots", [(0, 1), (0, 4), (3, 4), (None, 8)])
def test_they_equal_a_plain_rescoring_whatever_is_drafted_ahead(models, d, slots, two_vocabularies):
    teacher, student = models
    found = attempts(teacher, student, d, slots, two_vocabularies)
    assert len(found) == 8
    for columns in found.values():
        tokens, prompt = columns["token_ids"].tolist(), columns["prompt"]
        log_q = rescored(student, prompt + tokens, [*range(len(prompt) - 1, len(prompt) + len(tokens) - 1)])
        if two_vocabularies:
            theirs, at = [t for id_ in prompt for t in spell(id_)], []
            for token in tokens:
                at.append(len(theirs) - 1)
                theirs += spell(token)
            log_p = rescored(teacher, theirs, at)[:, TEACHER_OF.clamp(min=0)].masked_fill(TEACHER_OF < 0, -torch.inf)
            log_p = log_p.log_softmax(-1)
        else:
            log_p = rescored(teacher, prompt + tokens, [*range(len(prompt) - 1, len(prompt) + len(tokens) - 1)])
        assert len(columns["soft"]) == len(tokens)
        assert agrees(columns["soft"], log_p, log_q)
        assert not agrees(columns["soft"][1:], log_p[:-1], log_q[:-1]), "an off-by-one goes unnoticed"
        assert not agrees(columns["soft"], log_q, log_p), "the two models can be exchanged"


def test_products_along_a_spelling_are_in_them(models):
    """The student's 39 is two of the teacher's: they give it a probability, and the record of the written token says
    the same of every token."""
    found = attempts(*models, 0, 4, two_vocabularies=True, spelled=Spelled.of({39: (1, 2)}))
    said = 0
    for columns in found.values():
        for token, own, soft in zip(columns["token_ids"], columns["teacher_logprob"], columns["soft"], strict=True):
            at = np.flatnonzero(soft["ids"] == token)
            assert np.allclose(soft["teacher"][at], own, rtol=2 * HALF, atol=1e-3)
            said += int((soft["teacher"][soft["ids"] == 39] > -np.inf).sum())
    assert said > 3


def test_a_student_alone_has_its_own(models):
    for columns in attempts(None, models[1], 0, 4).values():
        tokens, prompt = columns["token_ids"].tolist(), columns["prompt"]
        log_q = rescored(models[1], prompt + tokens, [*range(len(prompt) - 1, len(prompt) + len(tokens) - 1)])
        assert agrees(columns["soft"], None, log_q)


# --- in the store ---------------------------------------------------------------------------------------------------


def opened(run: Path, k: int | None = K, **changes) -> Store:
    return Store.open(
        run, {**CONFIG, "teacher": "t", "soft_targets": k, **changes}, VERSIONS, [*IDENTITY, "soft_targets"]
    )


def filled(run: Path, count: int) -> Path:
    with opened(run) as store:
        for index in range(count):
            problem, trace = random_attempt(index)
            p, q = (random_logprobs(200, 50, 0.1, 2 * index + side) for side in (0, 1))
            trace.soft = soft_targets(p, q, K)
            store.add(problem, trace)
    return run


def test_a_run_keeps_them_bit_for_bit_and_reads_them_only_if_asked(tmp_path):
    with Store.read(filled(tmp_path, 6)) as store:
        kept = [trace.soft for trace in store.traces(soft=True)]
        assert all(trace.soft is None for trace in store.traces())
        problem = random_attempt(0)[0]
        assert [(t.attempt, len(t.soft)) for t in store.traces(problem.id, soft=True)] == [(n, 200) for n in range(4)]
    expected = {}
    for index in range(6):
        trace = random_attempt(index)[1]
        p, q = (random_logprobs(200, 50, 0.1, 2 * index + side) for side in (0, 1))
        expected[trace.problem_id, trace.attempt] = soft_targets(p, q, K).tobytes()
    assert [soft.tobytes() for soft in kept] == [expected[key] for key in sorted(expected)]


def test_a_bit_that_turned_is_found_by_whoever_reads_them(tmp_path):
    filled(tmp_path, 2)
    with sqlite3.connect(tmp_path / "traces.sqlite") as db:
        [cell] = db.execute("SELECT soft FROM traces").fetchone()
        turned = bytearray(cell)
        turned[-20] ^= 4
        db.execute("UPDATE traces SET soft = ? WHERE rowid = 1", [bytes(turned)])
    with Store.read(tmp_path) as store:
        assert len([*store.traces()]) == 2
        with pytest.raises(ValueError, match="is damaged .*soft targets of a row .* do not fit their checksum"):
            list(store.traces(soft=True))


def test_a_run_has_them_in_all_rows_or_in_none(tmp_path):
    filled(tmp_path / "with", 1)
    for k in (None, K + 1):
        with pytest.raises(ValueError, match="was made with another configuration: soft_targets: 4 -> "):
            opened(tmp_path / "with", k)
    # a run of a version that knew no such option goes on, and cannot be given them
    with Store.open(tmp_path / "old", {**CONFIG, "teacher": "t"}, VERSIONS, IDENTITY) as store:
        store.add(*random_attempt(0))
    with opened(tmp_path / "old", None) as store:
        store.add(*random_attempt(1))
        assert store.soft_targets is None and [t.soft for t in store.traces(soft=True)] == [None, None]
    with pytest.raises(ValueError, match=r"soft_targets: \(not set\) -> 4"):
        opened(tmp_path / "old")


def test_they_are_saved_from_a_damaged_run(tmp_path):
    path = filled(tmp_path / "run", 30) / "traces.sqlite"
    with Store.read(tmp_path / "run") as store:
        whole = {(t.problem_id, t.attempt): (content(t), t.soft.tobytes()) for t in store.traces(soft=True)}
    data, rng = path.read_bytes(), random.Random(1)
    for n, pages in enumerate((0, 3, 8)):
        torn = bytearray(data)
        for _ in range(pages):
            page = rng.randrange(2, len(data) // 4096)
            torn[4096 * page : 4096 * (page + 1)] = rng.randbytes(4096)
        path.write_bytes(torn)
        saved = salvage(tmp_path / "run", tmp_path / f"saved{n}")
        assert saved.attempts == 30 if pages == 0 else 0 < saved.attempts < 30
        with Store.read(tmp_path / f"saved{n}") as store:
            assert store.soft_targets == K and len(store) == saved.attempts
            for trace in store.traces(soft=True):
                assert (content(trace), trace.soft.tobytes()) == whole[trace.problem_id, trace.attempt]


# --- what trainers read ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(run, folder of its export): all layouts of a run of the small world."""
    here = tmp_path_factory.mktemp("soft")
    make(here / "run", problems="world:size=6,seed=3", attempts=1, max_tokens=100, soft_targets=K)
    layouts = ("union", "trl", "axolotl", "distillkit")
    export_run(here / "run", here / "out", layouts=layouts)
    return here / "run", here / "out"


def rows_of(exported, layout: str) -> list[dict]:
    rows = pq.read_table(exported[1] / f"soft_{layout}.parquet").to_pylist()
    assert len(rows) > 2
    return rows


@pytest.fixture(scope="module")
def world():
    """(teacher, student) in fp32."""
    return [load("world", role, "cpu", "float32").model for role in ("teacher", "student")]


def by_hand(world, rows: list[tuple[list[int], list[int]]], tail: bool) -> float:
    """Mean over the tokens of all (prompt, completion) of KL(teacher || student) over the teacher's K likeliest ids,
    both models as plain forward passes: with the rest as one more id (`tail`), or with the teacher's probabilities
    made to sum to one and the student's as they are."""
    terms = []
    for prompt, completion in rows:
        at = [*range(len(prompt) - 1, len(prompt) + len(completion) - 1)]
        log_p, log_q = (rescored(model, prompt + completion, at).double() for model in world)
        p, ids = log_p.exp().topk(K)
        q = log_q.exp().gather(1, ids)
        if tail:
            p, q = (torch.cat([x, (1 - x.sum(1, keepdim=True)).clamp(min=1e-7)], 1) for x in (p, q))
        else:
            p = p / p.sum(1, keepdim=True)
        terms.append((p * (p / q).log()).sum(1))
    return float(torch.cat(terms).mean())


def free_parts(exported) -> list[tuple[list[int], list[int]]]:
    """(prompt and forced opening, what follows) of every selected trace, from the table that is for SFT."""
    parts = []
    for row in pq.read_table(exported[1] / "sft.parquet").to_pylist():
        start = row["completion_mask"].index(1)
        parts.append((row["input_ids"][:start], row["input_ids"][start:]))
    return parts


def test_trl_trains_on_them_and_its_loss_is_that_of_a_hand_computation(exported, world, tmp_path, monkeypatch):
    """The trainer of the documentation, as it stands there: TRL's own loss on the exported columns."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    [code] = [c for c in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL) if "StoredTeacher" in c]
    names: dict = {}
    exec(compile(code, DOCS.name, "exec"), names)
    trl_rows = rows_of(exported, "trl")
    assert [(row["prompt_ids"], row["completion_ids"]) for row in trl_rows] == free_parts(exported)
    args = names["ServerDistillationConfig"](
        str(tmp_path), beta=0.0, loss_top_k=K, teacher_model_server_url="none", bf16=False, use_cpu=True,
        gradient_checkpointing=False, report_to="none", per_device_train_batch_size=len(trl_rows), max_steps=3,
        learning_rate=1e-3, logging_steps=1, save_strategy="no",
    )  # fmt: skip
    student = load("world", "student", "cpu", "float32")
    trainer = names["StoredTeacher"](student.model, args, names["read"](exported[1]), student.tokenizer)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[0] == pytest.approx(by_hand(world, free_parts(exported), tail=True), rel=0.01)
    assert losses[2] < 0.8 * losses[0]


def test_trl_is_told_what_its_own_client_would_tell(exported):
    """The fields of `VLLMClient.get_sequence_logprobs`: equal lengths, sorted, the token's own beside them."""
    with Store.read(exported[0]) as store:
        stored = {trace.problem_id: trace for trace in store.traces(soft=True)}
    for row in rows_of(exported, "trl"):
        T = len(row["completion_ids"])
        assert {len(row[n]) for n in ("logprobs", "logprob_token_ids", "actual_logprobs", "actual_token_ids")} == {T}
        assert row["actual_token_ids"] == [[i] for i in row["completion_ids"]]
        assert (np.diff(np.array(row["logprobs"])) <= 0).all() and np.array(row["logprobs"]).shape == (T, K)
        trace = stored[row["problem_id"]]
        np.testing.assert_array_equal(np.array(row["actual_logprobs"])[:, 0], trace.teacher_logprob[-T:])
        for ids, values, soft in zip(row["logprob_token_ids"], row["logprobs"], trace.soft[-T:]):
            assert dict(zip(ids, values)) == dict(zip(soft["ids"][:K].tolist(), soft["teacher"][:K].tolist()))


def test_axolotl_has_targets_where_its_logits_are(exported, world):
    """Its KD plug-in compares row i with the student's logits at i, and counts it by `target_mask`."""
    total, tokens = 0.0, 0
    for row in rows_of(exported, "axolotl"):
        ids, labels = row["input_ids"], np.array(row["labels"])
        target_ids, target, mask = (torch.tensor(row[f"target_{n}"]) for n in ("token_ids", "logprobs", "mask"))
        assert len(ids) == len(labels) == len(row["attention_mask"]) == len(target_ids) and set(row) == {
            "input_ids", "attention_mask", "labels", "target_token_ids", "target_logprobs", "target_mask"}  # fmt: skip
        np.testing.assert_array_equal(mask[:-1, 0].numpy() == 1, labels[1:] != -100)
        assert (target.exp().sum(1) - 1).abs().max() < 1e-5 and torch.isfinite(target).all() and not mask[-1].any()
        log_q = rescored(world[1], ids, [*range(len(ids))]).gather(1, target_ids)
        total += float((mask * target.exp() * (target - log_q)).sum())
        tokens += int((labels != -100).sum())
    assert total / tokens == pytest.approx(by_hand(world, free_parts(exported), tail=False), rel=0.01)


def test_distillkit_has_targets_where_its_logits_are_and_counts_them_by_the_label_there(exported, world):
    """Bytes as its documentation packs them. Row i is counted if token i has a label: so the first token of a
    completion is not, and the last row stands before the last token."""
    config = yaml.safe_load((exported[1] / "soft_distillkit.yaml").read_text())["teacher"]["logprob_compressor"]
    student = load("world", "student", "cpu", "float32")
    bits = int(np.ceil(np.log2(config["d"])))
    assert config["d"] == max(student.tokenizer.get_vocab().values()) + 1 and config["k"] == config["exact_k"] == K
    total, tokens = 0.0, 0
    for row in rows_of(exported, "distillkit"):
        N = len(row["input_ids"])
        assert {len(values) for values in row.values()} == {N}
        values = np.array(row["compressed_logprobs"], np.uint8).view("<f2").astype(np.float64)
        stream = np.unpackbits(np.array(row["bytepacked_indices"], np.uint8), axis=1)[:, : K * bits]
        ids = (stream.reshape(N, K, bits) @ (1 << np.arange(bits - 1, -1, -1))).astype(np.int64)
        assert np.isfinite(values).all() and (np.diff(values) <= 0).all() and ids.max() < config["d"]
        counted = np.array(row["labels"]) >= 0
        log_q = rescored(world[1], row["input_ids"], [*range(N)]).double().gather(1, torch.from_numpy(ids)).numpy()
        p = np.exp(values) / np.exp(values).sum(1, keepdims=True)
        total += float((p * (np.log(p) - log_q)).sum(1)[counted].sum())
        tokens += int(counted.sum())
    parts = [([*prompt, *rest[:1]], rest[1:]) for prompt, rest in free_parts(exported)]
    assert total / tokens == pytest.approx(by_hand(world, parts, tail=False), rel=0.01)


def test_the_union_is_all_that_was_kept(exported):
    with Store.read(exported[0]) as store:
        stored = {trace.problem_id: trace for trace in store.traces(soft=True)}
    for row in rows_of(exported, "union"):
        trace = stored[row["problem_id"]]
        assert row["token_ids"] == trace.token_ids.tolist() and row["source"] == trace.source.tolist()
        for t, soft in enumerate(trace.soft):
            n = int((soft["ids"] != PAD).sum())
            assert row["target_ids"][t] == soft["ids"][:n].tolist()
            assert row["teacher_logprobs"][t] == soft["teacher"][:n].tolist()
            assert row["student_logprobs"][t] == soft["student"][:n].tolist()


def test_the_card_tells_of_them_and_how_to_load_them(exported):
    card = RepoCard.load(exported[1] / "README.md")
    names = [f"soft_{layout}" for layout in ("union", "trl", "axolotl", "distillkit")]
    assert [c["config_name"] for c in card.data.configs] == ["problems", "sft", "tokens", *names]
    assert all(f"{name} = load_dataset(" in card.text and f"* `{name}` (" in card.text for name in names)
    assert "--soft-targets 4" in card.text


def test_an_export_is_replaced_with_all_that_belongs_to_it(exported, tmp_path):
    out = tmp_path / "out"
    export_run(exported[0], out, layouts=("distillkit", "distillkit"))
    assert {path.name for path in out.glob("soft_*")} == {"soft_distillkit.parquet", "soft_distillkit.yaml"}
    (out / "sft.parquet").unlink()
    (out / "README.md").unlink()
    with pytest.raises(ValueError, match="soft_distillkit.yaml"):
        export_run(exported[0], out, layouts=("union",))
    export_run(exported[0], out, overwrite=True)
    assert not [*out.glob("soft_*")] and (out / "sft.parquet").is_file()


def test_mistakes_are_one_line(tmp_path, monkeypatch, capfd):
    settings = {"student": "world", "teacher": "world", "gate": "always", "think": ["<think>", "</think>"]}
    Store.open(tmp_path / "plain", settings, VERSIONS).close()
    make(
        tmp_path / "alone", problems="world:size=1,seed=1", attempts=1, max_tokens=8, teacher="none", gate="never",
        soft_targets=2,
    )  # fmt: skip
    capfd.readouterr()
    for run, layout, message in (
        ("plain", "trl", "holds no soft targets: they are kept while traces are made"),
        ("alone", "trl", "has no teacher, whose soft targets trl reads: expected union"),
    ):
        out = tmp_path / "out"
        words = ("export", str(tmp_path / run), "--out", str(out), "--incorrect", "--soft-targets")
        code, _, error = ended(monkeypatch, capfd, *words, layout)
        assert code == 2 and message in error and error.count("\n") == 1 and not out.exists()
    assert ended(monkeypatch, capfd, *words, "union")[0] == 0
    with pytest.raises(ValueError, match="soft_targets is 990, the student's tokenizer has 925 ids: take fewer"):
        prepare(GenerateConfig.of(run=tmp_path / "many", problems="world:size=1,seed=1", soft_targets=990))


# --- what people see ------------------------------------------------------------------------------------------------


def test_the_plan_tells_the_bytes_and_the_report_the_overlap(exported, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", "200")
    words = ["--problems", "world:size=5,seed=3", "--attempts", "2", "--max-tokens", "100", "--soft-targets", "8"]
    code, plan, _ = ended(monkeypatch, capfd, "generate", "--run", str(tmp_path / "run"), *words, "--dry-run")
    most = 2 * 5 * 100 * (2 + 16 * 8)
    assert code == 0 and f"at most {2 + 16 * 8} bytes before compression; {most / 1e3:.1f} kB if" in plan
    assert ended(monkeypatch, capfd, "report", str(exported[0]), "--out", str(tmp_path / "report.html"))[0] == 0
    with Store.read(exported[0]) as store:
        traces = [*store.traces(soft=True)]
    each = np.concatenate([overlaps(trace.soft[trace.source != 2]) for trace in traces]).mean(0)
    overlap = Overlap.of(traces, K)
    np.testing.assert_allclose([overlap.ratio, overlap.teacher_mass, overlap.student_mass], each)
    page = (tmp_path / "report.html").read_text()
    for label, text in overlap.described.items():
        assert f'["{label}","{text}"]' in page.replace('", "', '","'), label


def test_a_pilot_tells_the_overlap_of_every_gate(tmp_path):
    config = GenerateConfig.of(
        run=tmp_path / "pilot", problems="world:size=4,seed=1", attempts=1, max_tokens=30, batch=4
    )
    pilot = run_pilot(config, ["threshold:0.01", "never"], 2, lambda gate, progress: None)
    assert pilot.prepared.config.soft_targets is None
    for overlap, arm in zip(pilot.overlaps, pilot.arms, strict=True):
        with Store.read(config.run / arm.gate.replace(":", "-")) as store:
            assert overlap == Overlap.of(store.traces(soft=True), 16)
        assert 0 < overlap.ratio < 1 and 0.5 < overlap.teacher_mass <= 1 and 0.5 < overlap.student_mass <= 1
