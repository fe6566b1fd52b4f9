"""Teacher and student with other ids, other sizes and tokens of their own: the real Qwen tokenizers, and made ones."""

from __future__ import annotations

import itertools
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import data_folder, make, random_model
from references.position import Position, law
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ownwords.generation.config import SamplingOptions
from ownwords.models.vocabulary import Alignment, Vocabulary, align, token_bytes
from ownwords.rsd import gates
from ownwords.rsd.columns import FORCED, STUDENT, TEACHER
from ownwords.rsd.shaping import Sampling
from ownwords.rsd.spelled import LEAST, Spelled, log_product, with_products
from ownwords.rsd.step import Rules, decide, teacher_log_p

PLAIN = Sampling(1.0, 1.0)


def byte_level(tokens: list[str], added: list[str] = (), end: str = "<|end|>") -> PreTrainedTokenizerFast:
    """A byte-level BPE of all bytes and `tokens` (in GPT-2's alphabet, two known pieces each), in the given order."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*alphabet, *tokens])}
    merges = [next((t[:i], t[i:]) for i in range(1, len(t)) if t[:i] in vocab and t[i:] in vocab) for t in tokens]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end)
    fast.add_tokens([AddedToken(token, normalized=False) for token in added])
    return fast


def sentencepiece(tokens: list[str], end: str = "</s>") -> PreTrainedTokenizerFast:
    """Bytes as `<0x41>`, `▁` for a space, as Llama 2 and Gemma have it."""
    vocab = {token: i for i, token in enumerate(["<unk>", *(f"<0x{i:02X}>" for i in range(256)), *tokens])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="never", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end)


def vocabulary(tokenizer: PreTrainedTokenizerBase, padding: int = 0, ends: tuple[int, ...] = ()) -> Vocabulary:
    return Vocabulary(tokenizer, len(tokenizer) + padding, ends or (tokenizer.eos_token_id,))


def rules_of(alignment: Alignment, **settings) -> Rules:
    names = ("teacher_of_V", "known_V", "teacher_ends", "end_id")
    return Rules(**{name: getattr(alignment, name) for name in names}, **settings)


def shown(tokenizer: PreTrainedTokenizerBase, ids) -> bytes:
    of = token_bytes(tokenizer)
    return b"".join(of[int(i)] for i in ids)


@pytest.fixture(scope="module")
def qwen() -> tuple[Vocabulary, Vocabulary]:
    """The real tokenizers: Qwen2.5's with 152,064 rows, Qwen3's with 151,936."""
    made = []
    for name, rows in (("qwen2.5", 152_064), ("qwen3", 151_936)):
        file = data_folder() / f"tokenizers_qwen/tokenizer.{name}.json"
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file), eos_token="<|im_end|>")
        made.append(Vocabulary(tokenizer, rows, (151_643, 151_645)))
    return tuple(made)


def test_qwen_2_5_teaches_qwen_3(qwen):
    """The four ids that the authors of RSD list by hand are derived here, with the spellings that they list."""
    alignment = align(*qwen)
    of = alignment.teacher_of_V
    assert len(of) == 151_669 and alignment.known_V is None
    assert (of < 0).nonzero()[:, 0].tolist() == [151_665, 151_666, 151_667, 151_668]
    shared = of >= 0
    assert torch.equal(of[shared], torch.arange(len(of))[shared])
    assert alignment.spellings == {
        151_665: (27, 14172, 9655, 29), 151_666: (522, 14172, 9655, 29),
        151_667: (13708, 766, 29), 151_668: (522, 26865, 29),
    }  # fmt: skip
    assert alignment.to_teacher(151_668) == (522, 26865, 29) and alignment.to_teacher(7) == (7,)
    assert alignment.end_id == 151_645 and alignment.teacher_ends == (151_643, 151_645)
    assert alignment.products == alignment.spellings


def test_qwen_3_teaches_qwen_2_5_and_itself(qwen):
    teacher, student = qwen[1], qwen[0]
    alignment = align(teacher, student)
    assert torch.equal(alignment.teacher_of_V, torch.arange(151_665)) and alignment.spellings == {}
    same = align(student, Vocabulary(student.tokenizer, 151_936, student.ends))
    assert same.teacher_of_V is None and same.to_teacher(9) == (9,) and same.known_V.sum() == 151_665
    assert align(student, student).known_V.sum() == 151_665, "rows beyond the tokenizer are not known"


def test_nothing_foreign_is_written_for_qwen(qwen):
    """Random logits, padding rows and teacher-only ids made likeliest: none of them is ever written or refused."""
    teacher, student = qwen[1], qwen[0]  # Qwen3's four ids are the teacher's alone here
    alignment, generator, n = align(teacher, student), torch.Generator().manual_seed(0), 6
    theirs, ours = (torch.randn(n, v.rows, generator=generator) for v in (teacher, student))
    theirs[:, 151_665:] += 30.0
    ours[:, 151_665:] += 30.0
    u = torch.from_numpy(np.random.default_rng(0).random((n, 4)))
    for gate in (gates.Always(), gates.Never(), gates.Threshold(0.01)):
        step = decide(rules_of(alignment, gate=gate, teacher=PLAIN, student=PLAIN), theirs, ours, u)
        assert step.token.max() < 151_665 and step.refused_id.max() < 151_665
        assert torch.isfinite(step.student_logprob).all()
        exact = theirs[:, :151_665].double().log_softmax(-1)
        exact[:, 151_645] = torch.logsumexp(exact[:, [151_643, 151_645]], -1)
        exact[:, 151_643] = -torch.inf
        torch.testing.assert_close(
            step.teacher_logprob.double(), exact.gather(-1, step.token[:, None])[:, 0], atol=1e-4, rtol=1e-5
        )


WORDS = ["th", "the", "Ġthe", "in", "ing", "ĊĊ"]


def test_other_order_other_size_and_added_tokens():
    """The same words under other ids; each side has a token of its own, and the ends are called differently."""
    teacher = byte_level(WORDS, ["<extra>", "<|stop|>", "<|eot|>"], end="<|eot|>")
    student = byte_level(["in", "th", "ing", "ĊĊ", "the", "Ġthe"], ["<think>", "<|end|>", "<|stop|>"])
    alignment = align(
        vocabulary(teacher, 7, tuple(teacher.convert_tokens_to_ids(["<|stop|>", "<|eot|>"]))), vocabulary(student, 3)
    )
    ids, theirs = student.get_vocab(), teacher.get_vocab()
    for token in [*WORDS, "a", "<|stop|>"]:
        assert alignment.to_teacher(ids[token]) == (theirs[token],)
    assert ids["ing"] != theirs["ing"]
    assert shown(teacher, alignment.to_teacher(ids["<think>"])) == b"<think>"
    assert alignment.to_teacher(ids["<|end|>"]) == (alignment.teacher_ends[0],)
    assert shown(teacher, alignment.spellings[ids["<think>"]]) == b"<think>" and len(alignment.spellings) == 2

    logits = torch.randn(1, len(teacher) + 7, generator=torch.Generator().manual_seed(1))
    p = logits[0, : len(teacher)].double().softmax(-1)
    log_p = teacher_log_p(rules_of(alignment), logits)[0].double()
    kept = 1 - p[theirs["<extra>"]]
    torch.testing.assert_close(log_p.exp().sum().item(), 1.0, atol=1e-6, rtol=0)
    torch.testing.assert_close(log_p[ids["ing"]].exp(), p[theirs["ing"]] / kept, atol=1e-7, rtol=1e-5)
    ends = p[theirs["<|stop|>"]] + p[theirs["<|eot|>"]]
    torch.testing.assert_close(log_p[ids["<|end|>"]].exp(), ends / kept, atol=1e-7, rtol=1e-5)
    assert log_p[ids["<|stop|>"]] == log_p[ids["<think>"]] == -torch.inf


def test_gaps_between_ids_are_not_known():
    tokenizer = byte_level(["th"], ["<a>", "<|end|>"])
    vocab = tokenizer.get_vocab()

    class Gappy(PreTrainedTokenizerFast):
        def get_vocab(self):
            return {t: i + 5 * (i >= 256) for t, i in vocab.items()}

        @property
        def added_tokens_decoder(self):
            return {i + 5: t for i, t in super().added_tokens_decoder.items()}

    gappy = Gappy(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|end|>")
    alignment = align(vocabulary(tokenizer), Vocabulary(gappy, 300, (263,)))
    assert (~alignment.known_V).nonzero()[:, 0].tolist() == [256, 257, 258, 259, 260]
    assert alignment.teacher_of_V[261] == 256 and alignment.spellings == {}


def test_byte_level_and_sentencepiece_spell_the_same_bytes():
    teacher = byte_level([*WORDS], ["<|end|>"])
    student = sentencepiece(["▁the", "th", "ing", "\n", "é", "▁", "<|end|>"], end="<|end|>")
    alignment = align(vocabulary(teacher), vocabulary(student))
    ids, theirs = student.get_vocab(), teacher.get_vocab()
    assert alignment.to_teacher(ids["▁the"]) == (theirs["Ġthe"],)
    assert alignment.to_teacher(ids["<0xC3>"]) == (theirs["Ã"],)
    assert alignment.to_teacher(ids["\n"]) == (theirs["Ċ"],), "a token of its own comes before the byte fallback"
    assert alignment.spellings[ids["<0x0A>"]] == (theirs["Ċ"],), "no teacher id is given to two student ids"
    assert shown(teacher, alignment.spellings[ids["é"]]) == "é".encode()
    assert ids["<0x0A>"] not in alignment.products


def test_half_characters_are_spelled_byte_by_byte():
    teacher, student = byte_level(["th"], ["<|end|>"]), byte_level(["th", "åĲ"], ["<|end|>"])  # two bytes of three
    half = student.get_vocab()["åĲ"]
    assert shown(student, [half]) == b"\xe5\x90"
    alignment = align(vocabulary(teacher), vocabulary(student))
    assert shown(teacher, alignment.spellings[half]) == b"\xe5\x90" and len(alignment.spellings[half]) == 2


def test_pairs_that_share_too_little_are_refused_with_counts_and_ids():
    words = [a + b for a, b in itertools.product("abcdefgh", "abcdefgh")]
    teacher, student = byte_level(["zz"], ["<|end|>"]), byte_level(words, ["<|end|>"])
    with pytest.raises(ValueError) as refused:
        align(vocabulary(teacher), vocabulary(student))
    assert str(refused.value) == (
        "teacher and student share 257 of the student's 321 tokens (80.1%; 64 are the student's alone, 1 the "
        "teacher's), first differing ids 256: teacher 'zz', student 'aa'; 257: teacher '<|end|>', student 'ab'; "
        "258: teacher None, student 'ac': expected at least 95%; choose a teacher of the student's family"
    )


def test_models_without_enough_rows_and_unreadable_tokenizers_are_refused():
    tokenizer = byte_level(["th"], ["<|end|>"])
    with pytest.raises(ValueError, match="the student's tokenizer has ids up to 257, its model has 200 rows"):
        align(vocabulary(tokenizer), Vocabulary(tokenizer, 200, (257,)))
    words = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, "[UNK]")), eos_token="a"
    )
    assert align(vocabulary(words), vocabulary(words)).teacher_of_V is None
    with pytest.raises(ValueError, match="cannot tell which bytes"):
        align(vocabulary(words), vocabulary(tokenizer))


def saved(folder: Path, tokenizer: PreTrainedTokenizerBase, padding: int, seed: int, often: str = "") -> Path:
    """A random model that often says the characters `often`, or else the added tokens, its end, and padding rows."""
    tokenizer.save_pretrained(folder)
    model = random_model(folder, len(tokenizer) + padding, seed, tie_word_embeddings=False, initializer_range=0.3)
    with torch.no_grad():
        if often:
            model.lm_head.weight[tokenizer.convert_tokens_to_ids(list(often))] *= 9
        else:
            model.lm_head.weight[256:] *= 3
    model.save_pretrained(folder)
    return folder


def test_traces_of_two_vocabularies(tmp_path):
    """Other ids, sizes, ends and tokens on either side, through the whole of `generate`, and scored again by plain
    forward passes of each model over its own ids."""
    theirs = byte_level(WORDS, ["<extra>", "<|stop|>", "<|eot|>"], end="<|eot|>")
    ours = byte_level(["in", "th", "ing", "ĊĊ", "the", "Ġthe"], ["<think>", "</think>", "<|end|>"])
    prepared, traces = make(
        tmp_path / "run", problems="world:size=6,seed=3", attempts=2, max_tokens=60, gate="ratio", max_fallback=1.0,
        teacher=str(saved(tmp_path / "teacher", theirs, 9, 0)), student=str(saved(tmp_path / "student", ours, 4, 1)),
        draft_length=3,
    )  # fmt: skip
    closing, sources = ours.get_vocab()["</think>"], set()
    for trace in traces:
        ids = torch.from_numpy(trace.token_ids.astype(np.int64))
        assert ids.max() < len(ours) and trace.refused_id.max() < len(ours)
        assert set(trace.source[trace.token_ids == closing].tolist()) <= {STUDENT}
        assert (trace.source[:2] == FORCED).all() and ours.decode(trace.token_ids[:2]) == "<think>\n"
        sources |= set(trace.source.tolist())
        prompts = prepared.pair(trace.problem_id, trace.attempt)
        spelled = [prepared.job.writer.alignment.to_teacher(i) for i in ids.tolist()]
        assert shown(theirs, sum(spelled[:-1], ())) == shown(ours, ids[:-1])
        at = len(prompts[0]) - 1 + np.cumsum([0, *map(len, spelled[:-1])])
        with torch.inference_mode():
            teacher = prepared.engine.teacher.model(torch.tensor([[*prompts[0], *sum(spelled, ())]])).logits[0, at]
            student = prepared.engine.student.model(torch.tensor([[*prompts[1], *ids.tolist()]])).logits[0]
        exact = teacher_log_p(prepared.engine.decoder.rules, teacher).gather(-1, ids[:, None])[:, 0].numpy()
        np.testing.assert_allclose(trace.teacher_logprob, exact, atol=1e-3)
        exact = student[len(prompts[1]) - 1 : -1, : len(ours)].log_softmax(-1).gather(-1, ids[:, None])[:, 0].numpy()
        np.testing.assert_allclose(trace.student_logprob, exact, atol=1e-3)
    assert sources == {TEACHER, STUDENT, FORCED} and any((t.token_ids == closing).any() for t in traces)


@pytest.mark.parametrize("batch", [1, 12])
def test_the_teacher_may_propose_what_it_spells(tmp_path, batch):
    """`--spelled`: the teacher never writes the student's tags, or does, with the probability of its pieces; also
    where rows of one batch have read unequally many."""
    theirs = byte_level(WORDS, ["<|end|>"])
    ours = byte_level(WORDS, ["<t", "</", "<|end|>"])
    settings = dict(
        problems="world:size=6,seed=3", attempts=2, max_tokens=60, gate="always", think=("<t", "</"), batch=batch,
        teacher=str(saved(tmp_path / "teacher", theirs, 9, 1, often="</t")),
        student=str(saved(tmp_path / "student", ours, 4, 1)),
        teacher_sampling=SamplingOptions(temperature=1.0, top_p=1.0),
    )  # fmt: skip
    own = ours.convert_tokens_to_ids(["<t", "</"])
    for spelled in ("student", "product"):
        prepared, traces = make(tmp_path / f"run-{spelled}", **settings, spelled=spelled)
        checked = 0
        for trace in traces:
            prompt = prepared.pair(trace.problem_id, trace.attempt)[0]
            for n in np.flatnonzero(np.isin(trace.token_ids, own) & (trace.source == TEACHER)):
                read = [
                    t for i in trace.token_ids[: n + 1].tolist() for t in prepared.job.writer.alignment.to_teacher(i)
                ]
                pieces = torch.tensor(prepared.job.writer.alignment.products[int(trace.token_ids[n])])
                with torch.inference_mode():
                    logits = prepared.engine.teacher.model(torch.tensor([[*prompt, *read]])).logits[
                        0, -1 - len(pieces) : -1
                    ]
                exact = teacher_log_p(prepared.engine.decoder.rules, logits).gather(-1, pieces[:, None]).sum().item()
                assert trace.teacher_logprob[n] == pytest.approx(exact, abs=1e-3)
                checked += 1
        assert checked > 20 if spelled == "product" else checked == 0


def test_two_vocabularies_of_qwen(data, monkeypatch, capsys):
    """benchmarks/two_vocabularies.py on four of its thousand attempts."""
    script = Path(__file__).parents[1] / "benchmarks/two_vocabularies.py"
    monkeypatch.syspath_prepend(script.parent)
    monkeypatch.setattr(sys, "argv", [str(script), "--data", str(data), "--attempts", "4", "--max-tokens", "60"])
    runpy.run_path(str(script))
    said = capsys.readouterr().out
    assert "padding rows or ids of the teacher alone: 0 written, 0 refused" in said
    alone = re.search(r"ids of the student alone: (\d+) written, (\d+) of them by the teacher", said)
    assert int(alone[1]) > 20 and alone[2] == "0"
    assert float(re.search(r"in 8 traces: (\S+) nats", said)[1]) < 1e-3


# Student-only tokens that the teacher spells: a teacher over five pieces that remembers its last two tokens, and a
# student that has <t> = "<" "t" ">", </t> = "<" "/" "t" and, to be difficult, </t>> = "<" "/" "t" ">".

PIECES, SPELLINGS = 5, {5: (0, 1, 2), 6: (0, 3, 1), 7: (0, 3, 1, 2)}
OF = torch.tensor([0, 1, 2, 3, 4, -1, -1, -1])


def teacher_logits(context: tuple[int, ...], sharp: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1 + 7 * sum((i + 1) * (t + 1) for i, t in enumerate(context[-2:])))
    return sharp * torch.randn(PIECES, generator=generator)


def spelled_step(context: tuple[int, ...], sharp: float) -> tuple[Rules, torch.Tensor, torch.Tensor]:
    """(rules, the teacher's logits, products) at a position, the products from further passes of the teacher."""
    spelled = Spelled.of(SPELLINGS)
    rules = Rules(gate=gates.Always(), teacher=PLAIN, student=PLAIN, teacher_of_V=OF, spelled=spelled)
    logits = teacher_logits(context, sharp)[None]
    log_first = teacher_log_p(rules, logits)[:, spelled.first_S]
    products = []
    for s, pieces in enumerate(spelled.pieces):
        after = torch.stack([teacher_logits((*context, *pieces[:n]), sharp) for n in range(1, len(pieces))])
        rest = teacher_log_p(rules, after).gather(-1, torch.tensor(pieces[1:])[:, None])[:, 0]
        products.append(log_product(log_first[:, s], rest[None]))
    return rules, logits, torch.stack(products, -1)


@pytest.mark.parametrize("sharp", [0.5, 2.0, 4.0])
@pytest.mark.parametrize("context", [(4, 4), (1, 3), (0, 2)])
def test_products_against_enumeration(context, sharp):
    """All continuations of the teacher, four pieces deep, sorted by what the student's vocabulary calls their
    beginning: the longest spelled token if there is one, else the first piece."""
    exact = np.zeros(8)
    for path in itertools.product(range(PIECES), repeat=4):
        probability = 1.0
        for n, piece in enumerate(path):
            probability *= teacher_logits((*context, *path[:n]), sharp).double().softmax(-1)[piece].item()
        begun = [s for s, pieces in SPELLINGS.items() if path[: len(pieces)] == pieces]
        exact[max(begun, key=lambda s: len(SPELLINGS[s]), default=path[0])] += probability
    rules, logits, products = spelled_step(context, sharp)
    at = Position.of(rules, logits, torch.zeros(1, 8), products)
    np.testing.assert_allclose(at.log_p_BV.double().exp()[0].numpy(), exact, atol=1e-6)
    np.testing.assert_allclose(at.log_proposal_BV.double().exp()[0].sum().item(), 1.0, atol=1e-6)
    np.testing.assert_allclose(law(at.mixture)[0].double().numpy(), exact, atol=1e-6)
    assert (exact[5:] > 0).all()


def test_products_are_drawn_as_often_as_they_should_be():
    """A false alarm has probability 1e-6 (five standard deviations) for one seed; the seed is fixed."""
    rules, logits, products = spelled_step((1, 3), 2.0)
    n = 50_000
    u = torch.from_numpy(np.random.default_rng(3).random((n, 4)))
    step = decide(rules, logits.expand(n, -1), torch.zeros(n, 8), u, spelled_log_p_BS=products.expand(n, -1))
    counts = np.bincount(step.token.numpy(), minlength=8) / n
    p = Position.of(rules, logits, torch.zeros(1, 8), products).log_p_BV.double().exp()[0].numpy()
    assert (np.abs(counts - p) < 5 * np.sqrt(p * (1 - p) / n) + 1e-9).all() and counts[5:].sum() > 0.01


def test_products_that_are_not_asked_for_stay_with_their_first_piece():
    """Without products: P = 0, the rule by default. Below `LEAST`: as without, off by less than `LEAST` in all."""
    rules, logits, products = spelled_step((4, 4), 2.0)
    plain = Position.of(rules_of(Alignment(OF, None, {}, (), -1)), logits, torch.zeros(1, 8)).log_p_BV
    assert (plain[0, 5:] == -torch.inf).all() and abs(plain.exp().sum() - 1) < 1e-6
    none = with_products(plain, rules.spelled, torch.full((1, 3), -torch.inf))
    assert torch.equal(none, plain)
    assert log_product(torch.tensor(LEAST * 0.99).log(), torch.tensor([-0.1])) == -torch.inf
    assert log_product(torch.tensor(LEAST * 1.01).log(), torch.tensor([-0.1])) > -torch.inf
    rare = torch.tensor([[LEAST * 0.9, 0.5, 0.3, 0.1, 0.1 - LEAST * 0.9, 0, 0, 0]]).log()
    whole = with_products(rare, rules.spelled, rare[:, [0]] + torch.tensor([[-0.2, -2.0, -3.0]]))
    assert 0.5 * (whole.exp() - rare.exp()).abs().sum() < LEAST


def test_a_certain_spelling_takes_all_of_its_first_piece():
    p = torch.tensor([[0.6, 0.4, 0.0, 0.0, 0.0, 0.0]]).log()
    spelled = Spelled.of({5: (0, 1)})
    moved = with_products(p, spelled, torch.tensor([[0.6]]).log() + 1e-7).exp()  # rounding made it more than 0.6
    torch.testing.assert_close(moved[0], torch.tensor([0.0, 0.4, 0.0, 0.0, 0.0, 0.6]), atol=1e-6, rtol=0)
    nothing = torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0, 0.0]]).log()
    assert torch.equal(with_products(nothing, spelled, torch.tensor([[-torch.inf]])), nothing)
