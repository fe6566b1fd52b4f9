"""The closed form, and the function that draws from it, against the procedure as the paper writes it down.

Statistical tests use fixed seeds, so they give the same result every time; were the seeds drawn anew, all of them
together would raise a false alarm with probability at most 1e-3 (chi-square, each at 1e-3 / number of tests).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from references.position import Position, law
from references.token_loop import propose_loop
from scipy import stats

from ownwords.rsd import gates
from ownwords.rsd.draw import draw, settle
from ownwords.rsd.mixture import likeliest_refused, mix
from ownwords.rsd.noise import DRAFT
from ownwords.rsd.shaping import Sampling, raw_logprobs, shape
from ownwords.rsd.step import Rules, decide

V = 7
FALSE_ALARM = 1e-3
PROPOSALS = (1, 2, 5, math.inf)
GATES = ("threshold:0.05", "rank:2", "threshold:0.05+rank:3", "minp:0.2", "ratio", "ens:1.5", "always", "never")


def case(name: str) -> tuple[torch.Tensor, torch.Tensor, Sampling, Sampling]:
    """(teacher logits_V, student logits_V, teacher sampling, student sampling)."""
    generator = torch.Generator().manual_seed(hash_of(name))
    teacher, student = (2.0 * torch.randn(V, generator=generator) for _ in range(2))
    warm, plain = Sampling(0.7, 1.0), Sampling(1.0, 1.0)
    match name:
        case "plain":
            return teacher, student, plain, plain
        case "warm, nucleus":
            return teacher, student, Sampling(0.7, 0.8), Sampling(0.7, 0.8)
        case "near the gate":  # 0.08 is over a gate of 0.05 as it is, and under it once shaped
            p, q = [0.36, 0.3, 0.2, 0.05, 0.04, 0.03, 0.02], [0.3, 0.08, 0.04, 0.5, 0.03, 0.03, 0.02]
            return torch.tensor(p).log(), torch.tensor(q).log(), Sampling(0.7, 0.9), Sampling(0.7, 0.9)
        case "top-k pools":
            return teacher, student, Sampling(1.0, 1.0, 3), Sampling(1.0, 1.0, 4)
        case "one-hot P":
            return teacher, student, Sampling(0.0, 1.0), warm
        case "both greedy":
            return teacher, student, Sampling(0.0, 1.0), Sampling(0.0, 1.0)
        case "nothing passes":  # what the teacher can say, the student finds all but impossible
            student[:4] -= 40.0
            teacher[4:] = -math.inf
            return teacher, student, plain, plain
        case "everything passes":
            return teacher, torch.zeros(V), plain, plain
        case "ties in bf16":
            return (teacher * 2).round().bfloat16(), student.round().bfloat16(), Sampling(1.0, 0.7), Sampling(1.0, 0.7)
        case "underflow in bf16":  # probabilities that a bf16 softmax would round to zero
            student[:3] = torch.tensor([-120.0, -95.0, 20.0])
            teacher[:3] = torch.tensor([15.0, 14.0, -30.0])
            return teacher.bfloat16(), student.bfloat16(), plain, plain
    raise AssertionError(name)


CASES = (
    "plain", "warm, nucleus", "near the gate", "top-k pools", "one-hot P", "both greedy",
    "nothing passes", "everything passes",
    "ties in bf16",
    "underflow in bf16",
)  # fmt: skip
STATISTICAL = len(CASES) * len(GATES) * len(PROPOSALS)


def hash_of(name: str) -> int:
    return sum(ord(c) * 31**i for i, c in enumerate(name)) % 2**31


def enumerated(P: np.ndarray, F: np.ndarray, g: np.ndarray, proposals: float) -> np.ndarray:
    """Exact joint law of (source, token) of the propose-up-to-K loop, (2, V) in float64: teacher first."""
    passed, refused = P * g, float((P * (1 - g)).sum())
    if proposals == math.inf:
        return np.stack([passed / passed.sum(), 0 * F]) if passed.any() else np.stack([0 * F, F])
    teacher = sum((refused**i * passed for i in range(int(proposals))), start=0 * P)
    return np.stack([teacher, refused**proposals * F])


def exact_inputs(name: str, gate: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P, F and g written from their definitions in float64, independently of the package."""
    teacher, student, teacher_sampling, student_sampling = case(name)

    def softmax(x):
        x = x - x.max()
        return np.exp(x) / np.exp(x).sum()

    def shaped(logits, sampling):
        if sampling.temperature == 0:
            return np.eye(V)[int(np.argmax(logits))]
        weights = softmax(logits / sampling.temperature)
        order = sorted(range(V), key=lambda i: (-logits[i], i))
        if sampling.top_k:
            weights = np.where(np.isin(range(V), order[: sampling.top_k]), weights, 0)
            weights = weights / weights.sum()
        kept, mass = [], 0.0
        for i in order:
            if mass >= sampling.top_p:
                break
            kept.append(i)
            mass += weights[i]
        weights = np.where(np.isin(range(V), kept), weights, 0)
        return weights / weights.sum()

    t, s = teacher.double().numpy(), student.double().numpy()
    p, q = softmax(t), softmax(s)

    def single(part):
        kind, _, number = part.partition(":")
        x = float(number or 0)
        with np.errstate(divide="ignore"):
            surprisal = -np.log(q)
        return {
            "threshold": lambda: q >= x,
            "rank": lambda: np.array([1 + (s > s[i]).sum() <= x for i in range(V)]),
            "minp": lambda: q >= x * q.max(),
            "ratio": lambda: np.array([min(1.0, q[i] / p[i]) if p[i] else 0.0 for i in range(V)]),
            "ens": lambda: surprisal <= x * (np.sum(q * surprisal) + 1e-6),
            "always": lambda: np.ones(V),
            "never": lambda: np.zeros(V),
        }[kind]().astype(float)

    g = np.prod([single(part) for part in gate.split("+")], axis=0)
    return shaped(t, teacher_sampling), shaped(s, student_sampling), g


def rules_for(name: str, gate: str, proposals: float) -> Rules:
    _, _, teacher_sampling, student_sampling = case(name)
    return Rules(gate=gates.parse_gate(gate), proposals=proposals, teacher=teacher_sampling, student=student_sampling)


def chi_square(counts: np.ndarray, expected: np.ndarray) -> float:
    """p-value of counts against probabilities; cells expected fewer than five times are put together."""
    counts, expected = counts.ravel(), expected.ravel() * counts.sum()
    impossible = expected <= 1e-12 * counts.sum()
    if counts[impossible].sum():
        return 0.0
    rare = (expected < 5) & ~impossible
    observed = np.append(counts[~rare & ~impossible], counts[rare].sum())
    wanted = np.append(expected[~rare & ~impossible], expected[rare].sum())
    keep = wanted > 1e-9
    if keep.sum() < 2:
        return 1.0
    statistic = ((observed - wanted)[keep] ** 2 / wanted[keep]).sum()
    return float(stats.chi2.sf(statistic, keep.sum() - 1))


def simulate(rules: Rules, name: str, n: int, seed: int) -> np.ndarray:
    """Counts (2, V) of (source, token) from `n` tokens decided by the package."""
    teacher, student, *_ = case(name)
    u = torch.from_numpy(np.random.default_rng(seed).random((n, 4)))
    step = decide(rules, teacher.expand(n, V), student.expand(n, V), u)
    return table(step.token.numpy(), step.teacher_spoke.numpy())


def table(tokens, teacher_spoke) -> np.ndarray:
    counts = np.zeros((2, V))
    np.add.at(counts, (np.where(teacher_spoke, 0, 1), tokens), 1)
    return counts


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("gate", GATES)
def test_closed_form_equals_enumeration(name, gate):
    """M, A, R, F and the pass mass against the loop's exact law, for every K."""
    teacher, student, *_ = case(name)
    P, F, g = exact_inputs(name, gate)
    for proposals in PROPOSALS:
        exact = enumerated(P, F, g, proposals)
        mixture = Position.of(rules_for(name, gate, proposals), teacher[None], student[None]).mixture
        A = mixture.teacher_share_B.item()
        ours = np.stack(
            [A * mixture.log_passed_BV[0].exp().numpy(), (1 - A) * mixture.log_fallback_BV[0].exp().numpy()]
        )
        np.testing.assert_allclose(ours, exact, atol=2e-6, err_msg=f"K = {proposals}")
        np.testing.assert_allclose(law(mixture)[0].numpy(), exact.sum(0), atol=2e-6)
        np.testing.assert_allclose(mixture.pass_mass_B.item(), (P * g).sum(), atol=2e-6)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("gate", GATES)
def test_drawn_tokens_and_sources_follow_the_law(name, gate):
    for proposals in PROPOSALS:
        counts = simulate(rules_for(name, gate, proposals), name, 20_000, seed=hash_of(name + gate))
        exact = enumerated(*exact_inputs(name, gate), proposals)
        assert chi_square(counts, exact) > FALSE_ALARM / STATISTICAL, f"K = {proposals}"


@pytest.mark.parametrize("name", CASES)
def test_reference_loop_follows_the_enumeration(name):
    random = np.random.default_rng(5).random
    for gate in GATES:
        P, F, g = exact_inputs(name, gate)
        for proposals in PROPOSALS:
            if proposals == math.inf and 0 < (P * g).sum() < 0.01:
                continue  # the loop would take for ever, which is why there is a closed form
            drawn = [propose_loop(P, F, g, proposals, random) for _ in range(400)]
            counts = table(*map(np.array, zip(*drawn, strict=True)))
            exact = enumerated(P, F, g, proposals)
            assert chi_square(counts, exact) > FALSE_ALARM / STATISTICAL, f"{gate}, K = {proposals}"


# Five mistakes that are easy to make. Each is put into the decision, and the check above must notice it.


def planted(mistake: str, rules: Rules, teacher: torch.Tensor, student: torch.Tensor, n: int) -> np.ndarray:
    u = torch.from_numpy(np.random.default_rng(9).random((n, 4)))
    at = Position.of(rules, teacher[None], student[None])
    log_fallback, log_g, proposals = shape(at.log_q_BV, rules.student), at.log_g_BV, rules.proposals
    match mistake:
        case "none":
            pass
        case "gate on shaped q":
            log_g = rules.gate(at.log_proposal_BV, log_fallback)
        case "stale q":  # the student's distribution of the position before
            log_g = rules.gate(at.log_p_BV, raw_logprobs(student.roll(1)[None]))
        case "wrong K":
            proposals += 1
        case "fallback from q instead of F":
            log_fallback = at.log_q_BV
    mixture = mix(at.log_proposal_BV, log_fallback, log_g, proposals)
    wide = type(mixture)(*(getattr(mixture, f).expand(n, *[-1] * (getattr(mixture, f).ndim - 1)) for f in
                           ("log_passed_BV", "log_fallback_BV", "teacher_share_B", "pass_mass_B")))  # fmt: skip
    token, teacher_spoke = settle(wide, draw(wide.log_fallback_BV.exp(), u[:, DRAFT]), u)
    if mistake == "provenance swapped":
        teacher_spoke = ~teacher_spoke
    return table(token.numpy(), teacher_spoke.numpy())


@pytest.mark.parametrize(
    "mistake",
    ["none", "gate on shaped q", "stale q", "wrong K", "fallback from q instead of F", "provenance swapped"],
)
def test_planted_mistakes_are_noticed(mistake):
    name, gate, proposals = "near the gate", "threshold:0.05", 2
    teacher, student, *_ = case(name)
    counts = planted(mistake, rules_for(name, gate, proposals), teacher, student, 50_000)
    p = chi_square(counts, enumerated(*exact_inputs(name, gate), proposals))
    assert (p > FALSE_ALARM) if mistake == "none" else (p < 1e-9), p


def test_inverse_cdf_never_draws_weightless_ids():
    weights = torch.tensor([[0.0, 0.0, 0.3, 0.0, 0.7, 0.0]])
    for u, expected in ((0.0, 2), (0.2999, 2), (0.3001, 4), (1.0 - 2**-53, 4), (1.0, 4)):
        assert draw(weights, torch.tensor([u], dtype=torch.float64)).item() == expected
    wide = torch.zeros(1, 3000)
    wide[0, [700, 2047, 2048]] = 1.0  # ends of blocks, and empty blocks before, between and after
    drawn = [draw(wide, torch.tensor([u], dtype=torch.float64)).item() for u in (0.0, 0.34, 0.5, 0.67, 1.0)]
    assert drawn == [700, 2047, 2047, 2048, 2048]


def test_inverse_cdf_over_a_large_vocabulary_is_exact():
    """152,000 words: the id drawn at u is the one at which the float64 running sum passes u."""
    weights = torch.rand(2, 152_064, generator=torch.Generator().manual_seed(1)) ** 8
    exact = weights.double().cumsum(-1)
    u = torch.from_numpy(np.random.default_rng(2).random(400))
    for row in range(2):
        ids = draw(weights[row].expand(400, -1), u)
        target = u * exact[row, -1]
        slack = 1e-9 * exact[row, -1]
        assert (exact[row][ids] >= target - slack).all()
        assert (exact[row][ids] - weights[row].double()[ids] <= target + slack).all()


def test_truncation_keeps_lower_ids_of_a_tie():
    log_p = raw_logprobs(torch.tensor([[1.0, 2.0, 2.0, 2.0, 0.0]]))
    assert torch.isfinite(shape(log_p, Sampling(1.0, 1.0, 2)))[0].tolist() == [False, True, True, False, False]
    assert torch.isfinite(shape(log_p, Sampling(1.0, 0.3)))[0].tolist() == [False, True, True, False, False]
    assert shape(log_p, Sampling(0.0, 1.0)).exp()[0].tolist() == [0, 1, 0, 0, 0]


def test_refused_proposal_and_ranks():
    teacher, student = torch.tensor([[3.0, 2.0, 1.0, 0.0]]), torch.tensor([[-9.0, 5.0, 5.0, 4.0]])
    rules = Rules(gate=gates.Threshold(0.01), teacher=Sampling(1.0, 1.0), student=Sampling(1.0, 1.0))
    u = torch.zeros(1, 4, dtype=torch.float64)
    step = decide(rules, teacher, student, u, forced_B=torch.tensor([3]))
    p, q = teacher.softmax(-1)[0], student.softmax(-1)[0]
    assert step.token.item() == 3 and step.student_rank.item() == 3  # the two that tie before it share rank 1
    assert step.refused_id.item() == 0
    np.testing.assert_allclose(step.refused_prob.item(), p[0], rtol=1e-6)
    np.testing.assert_allclose(step.pass_mass.item(), p[1:].sum(), rtol=1e-6)
    np.testing.assert_allclose(step.student_logprob.exp().item(), q[3], rtol=1e-5)
    none = likeliest_refused(raw_logprobs(teacher), torch.zeros(1, 4))
    assert none[0].item() == -1 and none[1].item() == 0


def test_end_ids_are_gathered_before_the_gate():
    """A teacher that ends its turn with another token than the student proposes the student's end token instead."""
    teacher, student = torch.tensor([[0.0, 4.0, 3.0, 0.0]]), torch.tensor([[0.0, -30.0, 2.0, 0.0]])
    rules = Rules(teacher=Sampling(1.0, 1.0), student=Sampling(1.0, 1.0), teacher_ends=(1, 2), end_id=2)
    at = Position.of(rules, teacher, student)
    raw = teacher.softmax(-1)[0]
    np.testing.assert_allclose(at.log_p_BV.exp()[0].numpy(), [raw[0], 0, raw[1] + raw[2], raw[3]], atol=1e-6)
    np.testing.assert_allclose(at.mixture.pass_mass_B.item(), 1.0, atol=1e-6)


def test_padding_rows_have_no_probability():
    known = torch.tensor([True, True, True, False, False])
    logits = torch.tensor([[0.0, 1.0, 2.0, 90.0, 90.0]])
    n = 500
    step = decide(
        Rules(known_V=known, gate=gates.Always()),
        torch.cat([logits, torch.full((1, 3), 99.0)], -1).expand(n, -1),  # the teacher is padded further
        logits.expand(n, -1),
        torch.from_numpy(np.random.default_rng(0).random((n, 4))),
    )
    assert step.token.max() <= 2 and torch.isfinite(step.teacher_logprob).all()


@pytest.mark.parametrize("text", [*GATES, "threshold:0.01+rank:20"])
def test_gates_print_as_they_are_written(text):
    assert str(gates.parse_gate(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("treshold:0.01", "unknown gate 'treshold'"),
        ("threshold", "should have a number"),
        ("always:3", "should have no number"),
        ("threshold:x", "where a number is expected"),
        ("threshold:0", "expected a probability in"),
        ("rank:2.5", "expected a whole number"),
        ("ens:-1", "expected a positive number"),
        ("threshold:0.1+", "unknown gate ''"),
    ],
)
def test_wrong_gates_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        gates.parse_gate(text)


@pytest.mark.parametrize(
    "sampling", [Sampling(0.7, 0.95), Sampling(1.0, 0.5, 40), Sampling(1.0, 1.0, 20), Sampling(1.0, 1.0, 3000)]
)
@pytest.mark.parametrize("scale", [0.1, 1.0, 6.0])
def test_truncation_of_a_large_vocabulary_equals_sorting_all_of_it(sampling, scale):
    """Peaked rows, where a nucleus is found among few, flat ones, where it is not, and logits that tie.

    That the float32 probabilities of 20,000 words sum to one within 1e-5 only depends on the machine, and a word is no
    larger. So both sides start from the same ones, and the share of top-p is moved into the middle of a word.
    """
    logits = scale * torch.randn(6, 20_000, generator=torch.Generator().manual_seed(4))
    logits[2:4] = logits[2:4].round()
    logits[4] = 0.0
    log_p = raw_logprobs(logits)
    for row in range(6):
        one = log_p[row : row + 1]
        tempered = one if sampling.temperature == 1 else torch.log_softmax(one / sampling.temperature, -1)
        weights = tempered[0].double().exp()
        order = torch.tensor(sorted(range(20_000), key=lambda i: (-tempered[0, i].item(), i)))
        if sampling.top_k:
            order = order[: sampling.top_k]
        share = sampling.top_p
        if share < 1:
            mass = weights[order] / (weights[order].sum() if sampling.top_k else 1.0)
            last = int((mass.cumsum(0) < share).sum())
            share = float(mass[:last].sum() + mass[last] / 2)
            order = order[: last + 1]
        exact = torch.zeros(20_000, dtype=torch.float64)
        exact[order] = weights[order] / weights[order].sum()
        shaped = shape(one, replace(sampling, top_p=share))[0]
        torch.testing.assert_close(shaped.exp().double(), exact, atol=1e-7, rtol=1e-4)
