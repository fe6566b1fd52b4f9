"""Our engines pass the kit that any engine must pass, and the kit sees what is planted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_store import CONFIG, IDENTITY, VERSIONS

from ownwords.engines import conformance as kit
from ownwords.engines.engine import Finished, Job, Pair, write_all
from ownwords.engines.local import LocalEngine
from ownwords.engines.options import LocalOptions
from ownwords.engines.replay import ReplayEngine
from ownwords.records.trace import Trace
from ownwords.rsd.columns import FORCED, STUDENT
from ownwords.rsd.gates import Always
from ownwords.rsd.shaping import Sampling
from ownwords.traces.store import Store


def local(job: Job, **options: Any) -> LocalEngine:
    return LocalEngine.open(job, LocalOptions(teacher_dtype="float32", student_dtype="float32", **options))


@pytest.mark.parametrize("options", [{"draft_length": 0, "batch": 96}, {"draft_length": 4, "batch": 7}, {}])
def test_the_local_engine(options):
    kit.conform(lambda job: local(job, **options))


def record(job: Job, requests, run) -> dict[tuple[str, int], Finished]:
    """Attempts of the local engine, into a run directory."""
    done = {one.key: one for one in write_all(local(job), requests)}
    with Store.open(run, CONFIG, VERSIONS, IDENTITY) as store:
        for one in requests:
            finished = done[one.key]
            trace = Trace(
                problem_id=one.key[0], attempt=one.key[1], prompt_ids=one.student_prompt, **finished.columns,
                finish_reason=finished.finish_reason,
            )  # fmt: skip
            store.add(next(p for p in kit.PROBLEMS if p.id == one.key[0]), trace)
    return done


@pytest.mark.parametrize("kind", ["pair", "solo"])
@pytest.mark.parametrize("pace", [None, "3000"])
def test_replay_gives_out_what_a_run_holds(tmp_path, kind, pace):
    job, requests = kit.a_job(kind)
    written = record(job, requests, tmp_path / "run")
    options = {"run": str(tmp_path / "run"), "slots": 20} | ({"pace": pace} if pace else {})
    engine = ReplayEngine.open(job, options)
    done = kit.refill(engine, requests)
    for key, one in written.items():
        for name, column in one.columns.items():
            np.testing.assert_array_equal(done[key].columns[name], column)
    kit.budgets(requests, done)
    kit.stops(job, requests, done)
    kit.interruption(engine, job, requests[:8], done)


def test_replay_refuses_what_the_run_lacks(tmp_path):
    job, requests = kit.a_job("solo")
    record(job, requests[:3], tmp_path / "run")
    engine = ReplayEngine.open(job, {"run": tmp_path / "run"})
    with pytest.raises(ValueError, match="has no attempt 3 at problem .*: expected a run that has made all"):
        engine.submit(requests[:4])
    with pytest.raises(ValueError, match="has read another prompt at problem"):
        engine.submit([replace(requests[0], student_prompt=[1, 2])])
    for options, said in (
        ({}, "needs the option run"), ({"run": "x", "speed": 3}, "no option 'speed', expected some of run"),
        ({"run": "x", "pace": "fast"}, "are numbers"), ({"run": "x", "pace": "0"}, "expected numbers above 0"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            ReplayEngine.open(job, options)


class Bent(LocalEngine):
    """An engine with something wrong in what it gives out."""

    def poll(self) -> list[Finished]:
        for one in (ended := super().poll()):
            self.bend(one.columns)
        return ended

    def bend(self, columns: dict[str, np.ndarray]) -> None:
        raise NotImplementedError


class Rounded(Bent):
    def bend(self, columns: dict[str, np.ndarray]) -> None:
        columns["teacher_logprob"] = (columns["teacher_logprob"] + 0.01).astype(np.float32)


class Mislabelled(Bent):
    def bend(self, columns: dict[str, np.ndarray]) -> None:
        free = columns["source"][2:]
        free[:] = 1 - free


class Overlong(LocalEngine):
    def submit(self, requests, coming=()) -> None:
        super().submit([replace(one, max_tokens=one.max_tokens + 3) for one in requests], coming)


class Forgetful(LocalEngine):
    """Its noise is another one each time."""

    def submit(self, requests, coming=()) -> None:
        self.decoder.seed += 1
        super().submit(requests, coming)


def other_writer(**changes: Any):
    """An engine that does something else than the job says."""

    class Other(LocalEngine):
        def __init__(self, job: Job, *rest: Any) -> None:
            assert isinstance(job.writer, Pair)
            super().__init__(replace(job, writer=replace(job.writer, **changes)), *rest)

    return Other


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (Rounded, "the teacher's log-probabilities"),
        (Mislabelled, "law of the job|cannot have written"),
        (Overlong, "are allowed"),
        (Forgetful, "has other tokens in another order, with the same seed"),
        (other_writer(gate=Always()), "the pass mass|cannot have written|law of the job"),
        (other_writer(student_sampling=Sampling(1.0, 0.95, 0)), "cannot have written|law of the job"),
    ],
)
def test_planted_mistakes_are_seen(engine, said):
    options = LocalOptions(teacher_dtype="float32", student_dtype="float32", draft_length=4)
    with pytest.raises(AssertionError, match=said):
        kit.conform(lambda job: engine.open(job, options), kinds=("pair",))


def test_an_attempt_that_repeats_itself_and_goes_on_is_seen():
    job, requests = kit.a_job("solo")
    one = replace(requests[0], max_tokens=40)
    ids = np.array([*one.forced, *[7] * (40 - len(one.forced))], np.int32)
    source = np.where(np.arange(40) < len(one.forced), FORCED, STUDENT).astype(np.uint8)
    done = {one.key: Finished(one.key, {"token_ids": ids, "source": source}, "length", 0.0)}
    with pytest.raises(AssertionError, match="goes on after repetition"):
        kit.stops(job, [one], done)
    kit.stops(replace(job, repetition_window=0), [one], done)
