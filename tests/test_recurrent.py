"""Models with recurrent layers in the slots: a state per row, which nothing but the row's own tokens may enter.

All in float32, with small random models whose distributions are far from flat, against plain forward passes.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from ownwords.engines.architecture import check_architecture, slot_error
from ownwords.engines.decoder import Decoder
from ownwords.engines.engine import Request
from ownwords.engines.lane import Lane
from ownwords.engines.memory import slot_bytes
from ownwords.engines.recurrent import RecurrentLayer, strides
from ownwords.engines.small import small_config, small_model
from ownwords.engines.stops import Stops
from ownwords.records.tokens import Tokens
from ownwords.rsd import gates
from ownwords.rsd.shaping import Sampling
from ownwords.rsd.spelled import Spelled
from ownwords.rsd.step import Rules
from ownwords.suitability.forward import Scorer

V = 100
NAMED = ["qwen3_5_text", "qwen3_next", "lfm2", "falcon_h1", "granitemoehybrid", "bamba", "mamba2"]
FAMILIES = [*NAMED, "mamba", "jamba", "zamba2", "nemotron_h", "olmo_hybrid", "kimi_linear"]
STEPWISE = {"mamba", "jamba"}
"""their code reads several tokens at once from a state of zeros only"""


def varied(name: str, seed: int) -> torch.nn.Module:
    """The same model a little elsewhere: it agrees often and disagrees often."""
    model = small_model(name)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.add_(0.15 * weight.std() * torch.randn(weight.shape, generator=generator))
    return model


@torch.inference_mode()
def log_p(model, ids: list[int]) -> torch.Tensor:
    """(T, V), one plain pass, nothing of ours."""
    return model(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)


class Rows:
    """Sequences that go through a lane, with what plain passes say of them."""

    def __init__(self, model, lengths: list[int]):
        generator = torch.Generator().manual_seed(1)
        self.ids = [torch.randint(0, V, (n,), generator=generator).tolist() for n in lengths]
        self.plain = [log_p(model, ids).exp() for ids in self.ids]
        self.lane = Lane(model, slots=3, capacity=max(lengths) + 4)
        self.use: list[int] = []

    def admit(self, starts: dict[int, int]) -> None:
        """Take up sequences whose prompts have so many tokens."""
        prefixes = self.lane.read([self.ids[i][:start] for i, start in starts.items()])
        for (i, start), prefix in zip(starts.items(), prefixes, strict=True):
            self.lane.admit(prefix, start - 1)
            self.use.append(i)

    def release(self, i: int) -> None:
        self.lane.release(row := self.use.index(i))
        self.use[row] = self.use[-1]
        self.use.pop()

    def feed(self, T: int, wrong: int = 0) -> float:
        """Feed T tokens and `wrong` others; the total variation from the plain pass, of the worst position."""
        at = list(zip(self.use, self.lane.lengths, strict=True))
        ids_BT = torch.tensor([self.ids[i][n : n + T] for i, n in at], dtype=torch.long)
        junk_BT = torch.arange(wrong).expand(len(at), -1)
        said = self.lane.feed(torch.cat([ids_BT, junk_BT], 1))[:, :T].softmax(-1)
        wanted = torch.stack([self.plain[i][n : n + T] for i, n in at])
        return 0.5 * (said - wanted).abs().sum(-1).amax(-1).max().item() if T else 0.0


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param, small_model(request.param)


@torch.inference_mode()
def test_rows_of_unequal_progress_are_refilled_and_rewound(family):
    """One token, three, many at once; prompts of 1, 2 and many tokens; blocks of which every row keeps another part."""
    name, model = family
    rows = Rows(model, [60, 40, 50, 34])
    assert rows.lane.stepwise == (name in STEPWISE)
    rows.admit({0: 26, 1: 1, 2: 19})
    errors = [rows.feed(1), rows.feed(3), rows.feed(9)]
    start = list(rows.lane.lengths)
    rows.feed(4, wrong=3)
    rows.lane.rewind([start[0] + 2, start[1] + 4, start[2]])  # what stands of each row
    errors += [rows.feed(1), rows.feed(1)]
    start = list(rows.lane.lengths)
    for _ in range(3):  # drafts, one by one; then two rewinds, as after padding
        rows.feed(1)
    rows.feed(0, wrong=2)
    rows.lane.rewind([n + 3 for n in start])
    rows.lane.rewind([start[0] + 1, start[1], start[2] + 3])
    rows.release(0)
    errors.append(rows.feed(2))
    rows.admit({3: 2})  # into a slot that another sequence has left
    errors += [rows.feed(2), rows.feed(7)]
    assert max(errors) < 2e-3, errors

    for layer in rows.lane.recurrent:  # and this would not go unnoticed
        for states in layer.held.values():
            states.zero_()
    assert rows.feed(3) > 1e-2


@pytest.mark.parametrize("name", ["qwen3_5_text", "lfm2"])
def test_rows_of_which_nothing_was_read_before_are_rewound(name):
    """Prompts of one token in a new lane: there are no states yet; and a row that ends in the middle of a block."""
    rows = Rows(small_model(name), [30, 30, 30])
    rows.admit({0: 1, 1: 1, 2: 1})
    rows.feed(2, wrong=2)
    rows.lane.rewind([0, 1, 2])
    errors = [rows.feed(1), rows.feed(2)]
    rows.release(0)
    errors += [rows.feed(1), rows.feed(3)]
    rows.lane.rewind([n - 2 for n in rows.lane.lengths])
    errors.append(rows.feed(2))
    assert max(errors) < 1e-4, errors


def test_a_lane_that_is_never_rewound_keeps_one_state():
    rows = Rows(small_model("qwen3_5_text"), [30, 30])
    rows.lane.rewinds = False
    rows.admit({0: 5, 1: 9})
    assert max(rows.feed(1), rows.feed(4)) < 1e-4
    assert not any(layer.saved for layer in rows.lane.recurrent)
    rows.lane.rewind(list(rows.lane.lengths))
    with pytest.raises(AssertionError):
        rows.lane.rewind([0, 0])


@pytest.mark.parametrize("counts", [[], [0, 0], [5], [97, 100, 103], [1, 2, 3, 4, 5, 6, 7, 8], [0, 700, 1, 699, 350]])
def test_strides_read_everything_once_in_few_passes(counts):
    done, passes = [0] * len(counts), list(strides(counts))
    for going, starts, step in passes:
        assert step > 0 and len(set(going)) == len(going)
        for i, start in zip(going, starts, strict=True):
            assert done[i] == start
            done[i] += step
    assert done == counts
    assert len(passes) <= math.log2(max(counts, default=1) or 1) + 1


def requests(n: int, budget: int = 24) -> list[Request]:
    made = []
    for i in range(n):
        prompt = torch.randint(3, V, (1 + 7 * i % 20,), generator=torch.Generator().manual_seed(i)).tolist()
        made.append(Request(("x", i), i, prompt, prompt, budget - 5 * (i % 3)))
    return made


def run_all(made: Decoder, todo: list[Request]) -> dict:
    finished = {}
    while todo or made.rows:
        taken, todo = todo[: made.free], todo[made.free :]
        made.admit(taken)
        finished.update({f.key: f for f in made.step()})
    return finished


RULES = Rules(gate=gates.parse_gate("threshold:0.01"), teacher=Sampling(1.0, 1.0), student=Sampling(1.0, 1.0))
STOPS = Stops(frozenset([1]), repetition_window=0)
PAIRS = [(name, name) for name in NAMED] + [
    ("mamba", "mamba"), ("qwen3_5_text", "qwen3"), ("qwen3", "qwen3_5_text"), ("lfm2", "qwen3"), ("qwen3", "lfm2"),
]  # fmt: skip


@pytest.mark.parametrize(("teacher", "student"), PAIRS)
def test_drafts_change_no_token(teacher, student):
    """Blocks of five against one token at a time, and what is recorded against plain passes of both models."""
    teacher, student = varied(teacher, 1), small_model(student)
    made = {d: Decoder(teacher, student, RULES, STOPS, 4, 48, d) for d in (0, 4)}
    done = {d: run_all(engine, requests(6)) for d, engine in made.items()}
    assert 1.05 < made[4].work.positions / made[4].work.tokens, "no draft has fallen"
    assert made[4].work.blocks < 0.8 * made[0].work.blocks, "no draft stood"
    for request in requests(6):
        one, other = (done[d][request.key].columns for d in (0, 4))
        np.testing.assert_array_equal(one["token_ids"], other["token_ids"])
        tokens, prompt = one["token_ids"].tolist(), list(request.teacher_prompt)
        for model, column in ((teacher, "teacher_logprob"), (student, "student_logprob")):
            expected = log_p(model, prompt + tokens)[len(prompt) - 1 : -1][range(len(tokens)), tokens].numpy()
            for columns in (one, other):
                np.testing.assert_allclose(columns[column], expected, atol=1e-3)


@pytest.mark.parametrize("d", [0, 3])
def test_a_recurrent_teacher_that_spells_reads_no_padding(d):
    """Some ids are several of the teacher's: rows of a block take it unequally many, and shorter ones are padded."""
    teacher, student = varied("qwen3_5_text", 1), small_model("qwen3_5_text")

    def spell(token: int) -> tuple[int, ...]:
        return (6, 7, 8) if token % 4 == 0 else (token,)

    made = Decoder(teacher, student, RULES, STOPS, 4, 96, d, spell=spell, longest_spelling=3)
    done = run_all(made, requests(6))
    for request in requests(6):
        columns, ids, at = done[request.key].columns, list(request.teacher_prompt), []
        for token in columns["token_ids"].tolist():
            at.append(len(ids) - 1)
            ids += spell(token)
        expected = log_p(teacher, ids)[at, columns["token_ids"]].numpy()
        np.testing.assert_allclose(columns["teacher_logprob"], expected, atol=1e-3)


def test_a_recurrent_teacher_is_left_as_it_was_by_spelled_products():
    teacher, student = varied("qwen3_5_text", 1), small_model("qwen3_5_text")
    teacher_of_V = torch.arange(V)
    teacher_of_V[5] = -1
    rules = Rules(gate=gates.Always(), teacher=Sampling(1.0, 1.0), student=Sampling(1.0, 1.0),
                  teacher_of_V=teacher_of_V, spelled=Spelled.of({5: (6, 7, 8)}))  # fmt: skip
    done = run_all(Decoder(teacher, student, rules, STOPS, 4, 96), requests(6, budget=12))
    for request in requests(6, budget=12):
        columns, ids = done[request.key].columns, list(request.teacher_prompt)
        for token, recorded in zip(columns["token_ids"].tolist(), columns["teacher_logprob"], strict=True):
            if token not in (5, 6):
                heard = log_p(teacher, ids)[-1]
                expected = heard[token] - math.log1p(-math.exp(heard[5]))  # the teacher's own 5 is not the student's
                assert abs(float(expected) - recorded) < 1e-3
            ids += (6, 7, 8) if token == 5 else (token,)


@pytest.mark.parametrize("name", ["qwen3_5_text", "lfm2", "falcon_h1", "mamba2"])
def test_states_are_counted_and_do_not_grow(name):
    model = small_model(name)
    lane = Lane(model, slots=1, capacity=20)
    lane.admit(lane.read([[3, 4]])[0], 1)
    lane.feed(torch.tensor([[5]]))
    states = sum(s.nbytes for layer in lane.recurrent for kept in (layer.held, layer.saved) for s in kept.values())
    keys = sum(2 * k.nbytes for layer in lane.cache.layers if (k := getattr(layer, "keys", None)) is not None)
    assert states > 0 and (keys == 0) == (name == "mamba2")
    assert slot_bytes(model, capacity=20) == states + keys
    assert slot_bytes(model, capacity=40) == states + 2 * keys


def test_the_language_model_of_a_composite_checkpoint(tmp_path):
    """Qwen3.5 comes with a part for pictures, its layers named inside of `text_config`."""
    text = small_config("qwen3_5_text").to_dict()
    vision = dict(depth=1, hidden_size=16, intermediate_size=16, num_heads=2, out_hidden_size=32)
    config = AutoConfig.for_model("qwen3_5", text_config=text, vision_config=vision)
    torch.manual_seed(0)
    AutoModelForImageTextToText.from_config(config).save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    rows = Rows(model, [30, 30])
    assert len(rows.lane.recurrent) == sum(kind == "linear_attention" for kind in text["layer_types"]) > 0
    rows.admit({0: 5, 1: 9})
    assert max(rows.feed(1), rows.feed(4)) < 1e-4


def test_states_outside_of_the_cache_are_refused():
    with pytest.raises(ValueError, match="keep their states somewhere else"):
        Lane(small_model("recurrent_gemma"), slots=1, capacity=20)
    with pytest.raises(ValueError, match=r"it \(recurrent_gemma\) cannot read through the slot cache"):
        check_architecture(small_model("recurrent_gemma"), capacity=20, name="it")


@pytest.mark.parametrize("forgotten", ["move", "put", "restore", "save"])
def test_states_that_stay_behind_are_noticed(forgotten, monkeypatch):
    model = small_model("qwen3_5_text")
    assert slot_error(model, capacity=64)[0] < 1e-5
    monkeypatch.setattr(RecurrentLayer, forgotten, lambda *args: None)
    with pytest.raises(ValueError, match="through the slot cache"):
        check_architecture(model, capacity=64, name="it")


@pytest.mark.parametrize("name", ["qwen3_5_text", "lfm2", "mamba2"])
def test_scores_of_a_padded_batch(name):
    """`ownwords score` pads to the right without a mask: a state, too, knows nothing of what comes later."""
    model, generator = small_model(name), np.random.default_rng(0)
    drawn = [generator.integers(0, V, (2, n)) for n in (40, 7, 70)]
    batch = [Tokens(prompt_ids=prompt[:p], token_ids=ids) for (prompt, ids), p in zip(drawn, (3, 1, 20), strict=True)]
    for scored in Scorer(model, None, name).score(batch):
        tokens = scored.token_ids
        heard = log_p(model, scored.ids.tolist())[len(scored.prompt_ids) - 1 : -1]
        np.testing.assert_allclose(scored.surprisal, -heard[range(len(tokens)), tokens].numpy(), atol=1e-4)
