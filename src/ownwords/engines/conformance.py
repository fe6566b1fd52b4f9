"""What any engine must do, tried on it with two small models: laws, stops, budgets, refill, interruption, provenance.

    conform(lambda job: MyEngine.open(job, options), kinds=("pair", "solo"))

Each check raises AssertionError and says what was seen. What an engine samples is held against the law itself: both
models read every trace again in one plain pass each, and give the probability of every (writer, token) that could have
been written at each position. Whatever drafts, batches or servers lie between, the ranks of what was written within
these laws (the randomised probability integral transform) are then independent and uniform. A Kolmogorov-Smirnov test
on them raises a false alarm with probability `FALSE_ALARM`; with a fixed seed and an exact engine it is the same each
time.

Shapes: T tokens of a trace, V the student's ids, N tokens of all traces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy import stats

from ownwords.chat.prompts import make_prompts
from ownwords.engines.engine import Engine, Finished, Job, Pair, Request, Solo, write_all
from ownwords.engines.stops import Stops
from ownwords.models.load import Loaded, load
from ownwords.models.named import named
from ownwords.records.problem import Problem
from ownwords.rsd.columns import COLUMNS, FORCED, STUDENT, TEACHER
from ownwords.rsd.gates import Never, Threshold
from ownwords.rsd.shaping import Sampling
from ownwords.rsd.step import mixture_of, student_voice, teacher_voice

FALSE_ALARM = 1e-4
ATTEMPTS = 32
"""at each question"""
MOST = 48
"""tokens of an attempt; some have fewer"""
WINDOW = 16
"""tokens that must not repeat themselves"""
TOLERANCE = 1e-3
"""nats between what is recorded and what a plain pass says, in float32"""
PROBLEMS = [
    Problem(question, "7")
    for question in ("What is 3 + 4?", "What is 12 times 7?", "Tom has 9 apples and eats 2. How many are left?")
]

Open = Callable[[Job], Engine]


def conform(
    open_: Open, kinds: Sequence[str] = ("pair", "solo"), teacher: str = "world", student: str = "world"
) -> None:
    """Try an engine as a writer of these kinds. Raises AssertionError at the first thing that is wrong."""
    for kind in kinds:
        job, requests = a_job(kind, teacher, student)
        models = {
            role: load(one.name, one.role, "cpu", "float32") for role, one in job.writer.models.items()
        }  # fmt: skip
        engine = open_(job)
        done = refill(engine, requests)
        budgets(requests, done)
        stops(job, requests, done)
        provenance(job, requests, done, models)
        law(job, requests, done, models)
        interruption(engine, job, requests[:8], done)
        if kind == "pair":
            hopeless(engine, job, requests[:8])


def a_job(kind: str, teacher: str = "world", student: str = "world") -> tuple[Job, list[Request]]:
    """Attempts at a few questions, of unequal budgets, by a `pair` or by one model `solo`."""
    ours = named(student, "student")
    writer: Pair | Solo = Solo(ours, Sampling(0.9, 0.95, 0))
    if kind == "pair":
        shaped = Sampling(0.9, 0.95, 0)
        writer = Pair(named(teacher, "teacher"), ours, Threshold(0.01), 1, shaped, shaped)
    theirs = writer.models.get("teacher", ours).tokenizer
    prompts = make_prompts(PROBLEMS, theirs, ours.tokenizer, ("", ""), None, ("<think>", "</think>"))
    requests = [
        Request(
            (problem_id, attempt), problem_id, other if kind == "pair" else (), own, MOST - 7 * (attempt % 4),
            prompts.style.forced,
        )
        for problem_id, (other, own) in prompts.pairs.items()
        for attempt in range(ATTEMPTS)
    ]  # fmt: skip
    longest = max(requests, key=lambda one: one.longest_prompt + one.max_tokens)
    return Job(writer, 0, longest, len(requests), repetition_window=WINDOW), requests


def refill(engine: Engine, requests: Sequence[Request]) -> dict[tuple[str, int], Finished]:
    """All attempts come, each once, whatever the room; an exact engine writes the same in another order."""
    room = engine.room
    assert room >= 1, f"an engine that has just been opened has room for {room}"
    done = [*write_all(engine, requests)]
    assert sorted(one.key for one in done) == sorted(one.key for one in requests), "not each attempt came once"
    assert engine.room == room and not engine.load().flying, "something is in flight when all is done"
    written = sum(len(one.columns["token_ids"]) for one in done)
    assert engine.load().tokens >= written, f"{engine.load().tokens} tokens are told, {written} were written"
    found = {one.key: one for one in done}
    if engine.exact:
        for again in write_all(engine, requests[::-3]):
            same(found[again.key], again, "in another order")
    return found


def budgets(requests: Sequence[Request], done: dict[tuple[str, int], Finished]) -> None:
    """No attempt is longer than it may be, all columns have its length and type, and it begins as it must."""
    for one in requests:
        columns = done[one.key].columns
        T, forced = len(columns["token_ids"]), len(one.forced)
        assert forced < T <= one.max_tokens, f"attempt {one.key} has {T} tokens, {one.max_tokens} are allowed"
        for name, dtype in COLUMNS.items():
            assert columns[name].shape == (T,) and columns[name].dtype == dtype, f"the column {name} of {one.key}"
        assert columns["token_ids"][:forced].tolist() == list(one.forced), f"{one.key} does not begin as it must"
        of_forced = columns["source"] == FORCED
        assert of_forced[:forced].all() and not of_forced[forced:].any(), f"which tokens of {one.key} are forced"


def stops(job: Job, requests: Sequence[Request], done: dict[tuple[str, int], Finished]) -> None:
    """Every attempt ends at the first token at which a rule says so, for that reason."""
    rules = Stops(frozenset(job.writer.student.vocabulary.ends), job.max_fallback, job.repetition_window)
    for one in requests:
        finished, padded = done[one.key], np.zeros(one.max_tokens, np.int32)
        ids, student = finished.columns["token_ids"], finished.columns["source"] == STUDENT
        padded[: len(ids)] = ids
        at = range(1, len(ids) + 1)
        reasons = [rules.reason(padded, n, int(student[:n].sum()), len(one.forced)) for n in at]
        assert not any(reasons[:-1]), f"{one.key} goes on after {next(filter(None, reasons))}"
        assert reasons[-1] == finished.finish_reason, f"{one.key} ended for {finished.finish_reason}, not {reasons[-1]}"


def interruption(engine: Engine, job: Job, requests: Sequence[Request], done: dict[tuple[str, int], Finished]) -> None:
    """Closed in the middle it forgets what was in flight; opened again it writes that anew."""
    engine.submit(requests[: engine.room])
    engine.poll()
    engine.close()
    assert not engine.load().flying, "an engine that was closed has attempts in flight"
    for again in write_all(engine.again(job), requests):
        if engine.exact:
            same(done[again.key], again, "after an interruption")


def hopeless(engine: Engine, job: Job, requests: Sequence[Request]) -> None:
    """A gate that lets nothing pass: only the student writes, and attempts are given up in time."""
    assert isinstance(job.writer, Pair)
    other = replace(job, writer=replace(job.writer, gate=Never()), max_fallback=0.25)
    done = {one.key: one for one in write_all(engine.again(other), requests)}
    stops(other, requests, done)
    assert not any((one.columns["source"] == TEACHER).any() for one in done.values()), "a teacher whose gate is shut"
    assert any(one.finish_reason == "fallback" for one in done.values()), "nothing was given up"


def provenance(
    job: Job, requests: Sequence[Request], done: dict[tuple[str, int], Finished], models: dict[str, Loaded]
) -> None:
    """What is recorded of each token is what plain passes of the models say."""
    for one in requests[::5]:
        columns, T = done[one.key].columns, np.arange(len(done[one.key].columns["token_ids"]))
        expected = plain(job, one, columns["token_ids"], models)
        ids = columns["token_ids"]
        log_q_T = expected["log_q"][T, ids]
        close(columns["student_logprob"], log_q_T, f"the student's log-probabilities of {one.key}")
        better = (expected["log_q"] > log_q_T[:, None] + TOLERANCE).sum(1) + 1
        no_worse = (expected["log_q"] > log_q_T[:, None] - TOLERANCE).sum(1) + 1
        rank_T = columns["student_rank"]
        assert ((better <= rank_T) & (rank_T <= no_worse)).all(), f"the student's ranks of {one.key}"
        if isinstance(job.writer, Solo):
            assert np.isnan(columns["teacher_logprob"]).all(), "a teacher's opinion where there is no teacher"
            continue
        close(columns["teacher_logprob"], expected["log_p"][T, ids], f"the teacher's log-probabilities of {one.key}")
        close(columns["pass_mass"], expected["pass_mass"], f"the pass mass of {one.key}")
        close(columns["refused_prob"], expected["refused"].max(1), f"the refused proposals of {one.key}")


def law(
    job: Job, requests: Sequence[Request], done: dict[tuple[str, int], Finished], models: dict[str, Loaded]
) -> float:
    """Tokens and writers come from the law of the job. Returns the p-value of the test."""
    rng, ranks = np.random.default_rng(0), []
    for one in requests:
        columns, forced = done[one.key].columns, len(one.forced)
        law_TW = plain(job, one, columns["token_ids"], models)["law"][forced:]
        V = law_TW.shape[1] // 2
        at_T = columns["token_ids"][forced:] + np.where(columns["source"][forced:] == STUDENT, V, 0)
        T = np.arange(len(at_T))
        p_T = law_TW[T, at_T]
        assert (p_T > 0).all(), f"{one.key} has a token that its writer cannot have written, at {int(p_T.argmin())}"
        ranks.append((law_TW.cumsum(1)[T, at_T] - p_T + p_T * rng.random(len(p_T))) / law_TW.sum(1))
    p_value = float(stats.kstest(np.concatenate(ranks), "uniform").pvalue)
    assert p_value > FALSE_ALARM, f"tokens do not follow the law of the job: p = {p_value:.2g}"
    return p_value


@torch.inference_mode()
def plain(job: Job, request: Request, ids_T: np.ndarray, models: dict[str, Loaded]) -> dict[str, np.ndarray]:
    """What the models say of a trace in one pass each: `log_q`, `log_p` (T, V), nats; `pass_mass` (T,); `refused`, the
    probability of each id to be proposed and refused (T, V); and `law` (T, 2 V), the teacher's tokens before the
    student's."""
    writer, rules = job.writer, job.writer.rules(torch.device("cpu"))
    own = _logits(models["student"], request.student_prompt, [(int(i),) for i in ids_T])
    log_q_TV, log_F_TV = student_voice(rules, own)
    if isinstance(writer, Solo):
        law_TV = log_F_TV.exp().double().numpy()
        return {"log_q": log_q_TV.numpy(), "law": np.concatenate([0 * law_TV, law_TV], 1)}
    pieces = [writer.alignment.to_teacher(int(i)) for i in ids_T]
    log_p_TV, log_P_TV = teacher_voice(rules, _logits(models["teacher"], request.teacher_prompt, pieces))
    log_g_TV, mixture = mixture_of(rules, log_p_TV, log_P_TV, log_q_TV, log_F_TV)
    share_T1 = mixture.teacher_share_B[:, None]
    law_TW = torch.cat([share_T1 * mixture.log_passed_BV.exp(), (1 - share_T1) * mixture.log_fallback_BV.exp()], 1)
    return {
        "log_q": log_q_TV.numpy(),
        "log_p": log_p_TV.numpy(),
        "pass_mass": mixture.pass_mass_B.numpy(),
        "refused": (log_P_TV.exp() * -torch.expm1(log_g_TV)).numpy(),
        "law": law_TW.double().numpy(),
    }


def _logits(model: Loaded, prompt: Sequence[int], pieces: Sequence[tuple[int, ...]]) -> torch.Tensor:
    """logits_TV that each token was written from; `pieces`: the ids that it is for this model."""
    ids, at = list(prompt), []
    for piece in pieces:
        at.append(len(ids) - 1)
        ids += piece
    return model.model(torch.tensor([ids]), use_cache=False).logits[0, at].float()


def same(one: Finished, other: Finished, when: str) -> None:
    ids = [finished.columns["token_ids"].tolist() for finished in (one, other)]
    assert ids[0] == ids[1], f"attempt {one.key} has other tokens {when}, with the same seed"


def close(found_T: np.ndarray, expected_T: np.ndarray, what: str) -> None:
    error = float(np.abs(found_T - expected_T).max())
    assert error < TOLERANCE, f"{what} are {error:.2g} off what a plain pass says"
