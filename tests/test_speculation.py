"""Speculation changes the speed and nothing else: the law is that of the plain loop, and so is every single token.

Statistical tests use fixed seeds, so they give the same result every time; were the seeds drawn anew, all of them
together would raise a false alarm with probability at most 1e-3 (chi-square, each at 1e-3 / number of tests).
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from conftest import make, random_model
from divergence import first_difference, margin
from references.position import Position
from test_rsd_law import FALSE_ALARM, GATES, PROPOSALS, chi_square, enumerated

from ownwords.engines.decoder import Decoder
from ownwords.engines.engine import Request
from ownwords.engines.stops import Stops
from ownwords.rsd import gates
from ownwords.rsd.draw import draw
from ownwords.rsd.noise import COIN, DRAFT, KEEP
from ownwords.rsd.shaping import Sampling
from ownwords.rsd.spelled import Spelled
from ownwords.rsd.step import Draft, Rules, Step, draft, kept, mixture_of, teacher_voice, verify

V, TOKENS = 4, 3


class Bigram:
    """A language model whose next token depends on the last one: small enough to enumerate."""

    def __init__(self, logits_VV: torch.Tensor):
        self.logits_VV = logits_VV

    def __call__(self, last_B: torch.Tensor) -> torch.Tensor:
        return self.logits_VV[last_B]


def pair(case: str) -> tuple[Bigram, Bigram, Sampling, Sampling]:
    generator = torch.Generator().manual_seed(sum(map(ord, case)))
    teacher, student = (2.0 * torch.randn(V, V, generator=generator) for _ in range(2))
    plain = Sampling(1.0, 1.0)
    match case:
        case "plain":
            return Bigram(teacher), Bigram(student), plain, plain
        case "warm, nucleus":
            return Bigram(teacher), Bigram(student), Sampling(0.7, 0.8), Sampling(0.7, 0.9)
        case "warm":
            return Bigram(teacher / 2), Bigram(student / 2), Sampling(0.6, 1.0), Sampling(0.6, 1.0)
        case "one-hot P":
            return Bigram(teacher), Bigram(student), Sampling(0.0, 1.0), Sampling(0.7, 1.0)
        case "sparse":  # pools of two, often disjoint
            return Bigram(teacher), Bigram(student), Sampling(1.0, 1.0, 2), Sampling(1.0, 1.0, 2)
        case "underflow":  # probabilities that a bf16 softmax would round to zero
            student[:, 0], teacher[:, 1] = -110.0, -120.0
            return Bigram(teacher.bfloat16()), Bigram(student.bfloat16()), plain, plain
    raise AssertionError(case)


CASES = ("plain", "warm", "warm, nucleus", "one-hot P", "sparse", "underflow")


def rules_of(case: str, gate: str, proposals: float) -> Rules:
    _, _, teacher, student = pair(case)
    return Rules(gate=gates.parse_gate(gate), proposals=proposals, teacher=teacher, student=student)


def written(rules: Rules, teacher: Bigram, student: Bigram, u_nT4: torch.Tensor, d: int, mistake: str = "none"):
    """(token_nT, source_nT) of n sequences written in blocks of `d` drafts read ahead, with the package's own pieces;
    every row keeps a different number. A `mistake` is planted into the pieces."""
    n, T, _ = u_nT4.shape
    token_nT = torch.full((n, T + d + 1), -1)
    source_nT = token_nT.clone()
    at_n = torch.zeros(n, dtype=torch.long)
    last_n = torch.zeros(n, dtype=torch.long)
    free_n = torch.full((n,), -1)
    while (rows := (at_n < T).nonzero()[:, 0]).numel():
        last, drafts, logits, noise = last_n[rows], [], [], []
        for i in range(d + 1):
            u = u_nT4[rows, (at_n[rows] + i).clamp(max=T - 1)]
            noise.append(u)
            logits.append(teacher(last))  # what the teacher says after this prefix of the draft
            drafts.append(draft(rules, student(last), u[:, DRAFT], free_n[rows]))
            last = drafts[-1].token_B
        if mistake == "stale q":  # the gate looks at the student's distribution of the position before
            stale = [drafts[max(i - 1, 0)].log_q_BV for i in range(d + 1)]
            drafts = [Draft(one.token_B, log_q, one.log_fallback_BV) for one, log_q in zip(drafts, stale, strict=True)]
        settle = _residual_from_P if mistake == "residual from P" else verify
        steps = [settle(rules, *each, free_n[rows]) for each in zip(logits, drafts, noise, strict=True)]
        token_RD = torch.stack([step.token for step in steps], dim=1)
        spoke_RD = torch.stack([step.teacher_spoke for step in steps], dim=1)
        draft_RD = torch.stack([one.token_B for one in drafts], dim=1)
        if mistake == "bonus from P":  # the last token of a whole block is the teacher's own, as in plain speculation
            token_RD[:, -1] = draw(teacher_voice(rules, logits[-1])[1].exp(), noise[-1][:, COIN])
            spoke_RD[:, -1] = True
        kept_R = kept(token_RD, draft_RD)
        for i in range(d + 1):
            stands = rows[kept_R > i]
            token_nT[stands, at_n[stands] + i] = token_RD[kept_R > i, i]
            source_nT[stands, at_n[stands] + i] = (~spoke_RD[kept_R > i, i]).long()
        at_n[rows] += kept_R
        last_n[rows] = token_RD[torch.arange(len(rows)), kept_R - 1]
    return token_nT[:, :T], source_nT[:, :T]


def _residual_from_P(rules: Rules, logits, drafted: Draft, u, forced) -> Step:
    step = verify(rules, logits, drafted, u, forced)
    log_p, log_proposal = teacher_voice(rules, logits)
    _, mixture = mixture_of(rules, log_p, log_proposal, drafted.log_q_BV, drafted.log_fallback_BV)
    at = drafted.token_B[:, None]
    ratio = (mixture.log_passed_BV.gather(-1, at) - mixture.log_fallback_BV.gather(-1, at))[:, 0].exp()
    refused = (u[:, COIN] < mixture.teacher_share_B) & (u[:, KEEP] >= ratio)
    token = torch.where(refused, draw(log_proposal.exp(), u[:, 3]), drafted.token_B)
    return Step(token, *(getattr(step, name) for name in list(Step.__dataclass_fields__)[1:]))


def joint_law(rules: Rules, teacher: Bigram, student: Bigram) -> np.ndarray:
    """Exact probability of every (source, token) of the first three positions of the propose-up-to-K loop."""
    tables = []
    for last in range(V):
        at = Position.of(rules, *(model(torch.tensor([last])) for model in (teacher, student)))
        logs = at.log_proposal_BV, at.mixture.log_fallback_BV, at.log_g_BV
        P, F, g = (log[0].exp().double().numpy() for log in logs)
        tables.append(enumerated(P / P.sum(), F / F.sum(), g, rules.proposals))
    law = np.zeros((2 * V,) * TOKENS)
    for path in itertools.product(range(2 * V), repeat=TOKENS):
        probability, last = 1.0, 0
        for cell in path:
            probability *= tables[last][divmod(cell, V)]
            last = cell % V
        law[path] = probability
    return law


def counts(token_nT: torch.Tensor, source_nT: torch.Tensor) -> np.ndarray:
    cell_nT = (source_nT * V + token_nT).numpy()
    flat = np.ravel_multi_index(tuple(cell_nT[:, :TOKENS].T), (2 * V,) * TOKENS)
    return np.bincount(flat, minlength=(2 * V) ** TOKENS).reshape((2 * V,) * TOKENS)


def noise(n: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((n, TOKENS, 4)))


COMBINATIONS = list(itertools.product(CASES, GATES, PROPOSALS))


@pytest.mark.parametrize("case", CASES)
def test_the_joint_law_of_three_tokens_is_that_of_the_plain_loop(case):
    """Every gate and K = 1, 2, 5, infinite; d = 1 .. 6 in turn."""
    teacher, student, *_ = pair(case)
    for i, (gate, proposals) in enumerate(itertools.product(GATES, PROPOSALS)):
        rules = rules_of(case, gate, proposals)
        got = counts(*written(rules, teacher, student, noise(6000, seed=i), d=1 + (i + CASES.index(case)) % 6))
        p_value = chi_square(got, joint_law(rules, teacher, student))
        assert p_value > FALSE_ALARM / len(COMBINATIONS), (case, gate, proposals, p_value)


@pytest.mark.parametrize("case", CASES)
def test_every_token_is_the_same_for_every_draft_length(case):
    teacher, student, *_ = pair(case)
    for gate, proposals in itertools.product(GATES, (1, math.inf)):
        rules = rules_of(case, gate, proposals)
        u = noise(300, seed=1)
        plain = written(rules, teacher, student, u, d=0)
        for d in range(1, 7):
            ahead = written(rules, teacher, student, u, d=d)
            assert torch.equal(plain[0], ahead[0]) and torch.equal(plain[1], ahead[1]), (gate, proposals, d)


@pytest.mark.parametrize("mistake", ["none", "bonus from P", "residual from P", "shaped q", "stale q", "wrong K"])
def test_planted_mistakes_are_noticed(mistake):
    teacher, student, *_ = pair("warm")
    rules = right = rules_of("warm", "threshold:0.15", 2)
    if mistake == "shaped q":
        rules = Rules(gate=right.gate, proposals=2, teacher=right.teacher, student=right.student, gate_sees_shaped=True)
    elif mistake == "wrong K":
        rules = Rules(gate=right.gate, proposals=3, teacher=right.teacher, student=right.student)
    got = counts(*written(rules, teacher, student, noise(20_000, seed=3), d=2, mistake=mistake))
    p_value = chi_square(got, joint_law(right, teacher, student))
    assert (p_value > FALSE_ALARM) == (mistake == "none"), p_value


# --- in the engine --------------------------------------------------------------------------------------------------


def test_traces_do_not_depend_on_the_draft_length(tmp_path):
    """fp32 on the small world; where a trace differs, its first difference is a floating-point tie. The measurement on
    1,000 attempts is benchmarks/same_tokens.py."""
    settings = dict(problems="world:size=12,seed=5", attempts=2, max_tokens=64, batch=16)
    runs = {d: make(tmp_path / str(d), **settings, draft_length=d)[1] for d in (1, 6, "auto")}
    prepared, plain = make(tmp_path / "plain", **settings, draft_length=0)
    differing = 0
    for d, traces in runs.items():
        for one, other in zip(plain, traces, strict=True):
            at = first_difference(one, other)
            if at is None:
                np.testing.assert_allclose(one.teacher_logprob, other.teacher_logprob, atol=1e-3)
                np.testing.assert_array_equal(one.source, other.source)
                continue
            differing += 1
            found = margin(prepared, one, at)
            print(f"d = {d}: {one.problem_id}/{one.attempt} differs from token {at} on, margin {found:g}")
            assert found < 1e-4
    assert differing <= 1


def engine(teacher, student, stops: Stops, d: int | None, **settings) -> Decoder:
    rules = Rules(gate=gates.parse_gate("threshold:0.01"), teacher=Sampling(1.0, 1.0), student=Sampling(1.0, 1.0))
    return Decoder(teacher, student, rules, stops, slots=4, capacity=96, draft_length=d, **settings)


def run_all(made: Decoder, requests: list[Request]) -> dict:
    finished = {}
    while requests or made.rows:
        taken, requests = requests[: made.free], requests[made.free :]
        made.admit(taken)
        finished.update({f.key: f for f in made.step()})
    return finished


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two random models whose distributions are peaked enough to disagree often and agree often."""
    folder = tmp_path_factory.mktemp("models")
    teacher, student = (random_model(folder / str(i), 40, seed=i, hidden_size=64) for i in (1, 2))
    with torch.no_grad():
        student.get_input_embeddings().weight.mul_(4)
        teacher.get_input_embeddings().weight.copy_(student.get_input_embeddings().weight)
    return teacher, student


def requests(n: int, budget: int = 40, forced=()) -> list[Request]:
    """Prompts of 1 to 30 tokens."""
    made = []
    for i in range(n):
        prompt = [(7 * i + j) % 40 for j in range(1 + (11 * i) % 30)]
        made.append(Request((str(i), 0), i, prompt, prompt, budget + i % 3, forced))
    return made


@pytest.mark.parametrize("d", [1, 3, 6, None])
def test_ends_budgets_and_prompts_inside_blocks(models, d):
    """Unequal prompts, end tokens, budgets that are no multiple of a block, forced openings: as without drafts."""
    stops = Stops(frozenset([3, 4]), max_fallback=0.6, repetition_window=0)
    plain = run_all(engine(*models, stops, 0), requests(14, forced=(9, 3, 8)))
    ahead = run_all(engine(*models, stops, d), requests(14, forced=(9, 3, 8)))
    assert plain.keys() == ahead.keys() == {(str(i), 0) for i in range(14)}
    for key, one in plain.items():
        other = ahead[key]
        assert one.finish_reason == other.finish_reason
        for name in ("token_ids", "source", "student_rank", "refused_id"):
            np.testing.assert_array_equal(one.columns[name], other.columns[name])
        for name in ("teacher_logprob", "student_logprob", "pass_mass"):
            np.testing.assert_allclose(one.columns[name], other.columns[name], atol=1e-4)
    assert {one.finish_reason for one in plain.values()} >= {"stop", "length"}


def test_drafts_past_the_last_position_of_a_model(models):
    """Contexts that end inside a block: learned positions would be read out of range."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=40, n_embd=32, n_layer=2, n_head=2, n_positions=33, bos_token_id=0, eos_token_id=0)
    model = GPT2LMHeadModel(config).eval()
    rules = Rules(teacher=Sampling(1.0, 1.0), student=Sampling(1.0, 1.0))
    done = {}
    for d in (0, 7):
        made = Decoder(model, model, rules, Stops(frozenset(), repetition_window=0), 2, 33, d)
        done[d] = run_all(made, [Request(("x", 0), 0, [1, 2, 3], [1, 2, 3], 31)])["x", 0]
    assert len(done[7].columns["token_ids"]) == 31 and done[7].finish_reason == "length"
    np.testing.assert_array_equal(done[0].columns["token_ids"], done[7].columns["token_ids"])


@pytest.mark.parametrize("d", [0, 1, 5])
def test_spelled_tokens_inside_blocks(models, d):
    """One id of the student's is several of the teacher's; what the teacher says is what it says of the spelling."""
    teacher, student = models
    spellings = {5: (6, 7, 8), 11: (12, 13)}

    def spell(token: int) -> tuple[int, ...]:
        return spellings.get(token, (token,))

    stops = Stops(frozenset(), repetition_window=0)
    made = engine(teacher, student, stops, d, spell=spell, longest_spelling=3)
    finished = run_all(made, requests(6, budget=30, forced=(5,)))
    spelled = 0
    for request in requests(6, budget=30, forced=(5,)):
        columns = finished[request.key].columns
        tokens = columns["token_ids"].tolist()
        ids, at = list(request.teacher_prompt), []
        for token in tokens:
            at.append(len(ids) - 1)
            ids += spell(token)
        spelled += sum(token in spellings for token in tokens)
        with torch.inference_mode():
            logits = teacher(torch.tensor([ids]), use_cache=False).logits[0, at].log_softmax(-1)
        np.testing.assert_allclose(columns["teacher_logprob"], logits[torch.arange(len(at)), tokens].numpy(), atol=1e-4)
    assert spelled > 6 + 3, "hardly anything was spelled"


def test_the_teacher_may_propose_spelled_tokens(models):
    """With products: what is recorded of a spelled token is the product along its pieces, and its first piece has so
    much less; both against plain passes of the teacher."""
    teacher, student = models
    teacher_of_V = torch.arange(40)
    teacher_of_V[5] = -1
    spelled = Spelled.of({5: (6, 7, 8)})
    rules = Rules(gate=gates.Always(), teacher=Sampling(1.0, 1.0), student=Sampling(1.0, 1.0),
                  teacher_of_V=teacher_of_V, spelled=spelled)  # fmt: skip
    spell = {5: (6, 7, 8)}
    made = Decoder(teacher, student, rules, Stops(frozenset(), repetition_window=0), 4, 96, None,
                       spell=lambda token: spell.get(token, (token,)), longest_spelling=3)  # fmt: skip
    asked = requests(5, budget=12, forced=(5, 6, 5))
    finished = run_all(made, asked)

    @torch.inference_mode()
    def log_p(ids: list[int]) -> torch.Tensor:  # over the ids that both have: the teacher's own 5 is not the student's
        logits = teacher(torch.tensor([ids]), use_cache=False).logits[0, -1].clone()
        logits[5] = -math.inf
        return logits.log_softmax(-1)

    for request in asked:
        columns = finished[request.key].columns
        ids = list(request.teacher_prompt)
        for token, recorded in zip(columns["token_ids"].tolist(), columns["teacher_logprob"], strict=True):
            here = log_p(ids)
            product = (here[6] + log_p([*ids, 6])[7] + log_p([*ids, 6, 7])[8]).exp()
            expected = {5: product.log(), 6: (here[6].exp() - product).log()}.get(token, here[token])
            assert abs(float(expected) - recorded) < 1e-3, token
            ids += spell.get(token, (token,))


def test_a_teacher_whose_room_is_used_up_by_spelling_ends_the_attempt(models):
    teacher, student = models
    made = engine(teacher, student, Stops(frozenset(), repetition_window=0), 3,
                  spell=lambda token: (token, 1, 2, 3), longest_spelling=4)  # fmt: skip
    done = run_all(made, requests(1, budget=60))["0", 0]
    assert done.finish_reason == "length" and 20 <= len(done.columns["token_ids"]) < 30  # 96 positions, 4 a token


def test_a_student_alone(models):
    """Without a teacher: the tokens of a gate that lets nothing pass."""
    teacher, student = models
    stops = Stops(frozenset([3, 4]), repetition_window=0)
    rules = Rules(gate=gates.Never(), teacher=Sampling(1.0, 1.0), student=Sampling(1.0, 1.0))
    with_teacher = run_all(Decoder(teacher, student, rules, stops, 4, 96, 3), requests(6))
    made = Decoder(None, student, rules, stops, 4, 96)
    alone = run_all(made, requests(6))
    for key, one in with_teacher.items():
        np.testing.assert_array_equal(one.columns["token_ids"], alone[key].columns["token_ids"])
        assert np.isnan(alone[key].columns["teacher_logprob"]).all()
    assert made.work.positions == 0


def test_the_teacher_reads_seldom(tmp_path):
    """Per written token on the small world with the paper's gate: reads at most 0.45, positions at most 2.2. What is
    measured over a whole run stands in docs/performance.md."""
    from ownwords.generation.config import GenerateConfig
    from ownwords.generation.prepare import prepare

    prepared = prepare(
        GenerateConfig.of(run=tmp_path / "run", problems="world:size=16,seed=5", draft_length=4, batch=16)
    )
    made = prepared.engine.decoder
    run_all(made, [prepared.request(problem.id, 0) for problem in prepared.problems])
    assert made.work.blocks / made.work.tokens <= 0.45
    assert made.work.positions / made.work.tokens <= 2.2
