"""Judging answers outside this process, each within a deadline.

A pathological expression costs one verdict `timeout` and one worker, which is replaced; it never costs the run. Memory
stays bounded: a worker has a ceiling, and one that has grown halfway to it is replaced after its verdict. A worker that
is killed costs nothing: its answer is asked again in a new process. What no process lives to judge gets no verdict.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ownwords.answers.endpoint import UNDECIDED, EndpointJudge
from ownwords.answers.kind import SHORT, Judgement, kind_of
from ownwords.answers.worker import LONGEST_WAIT
from ownwords.records.problem import Problem

LONGEST = 10_000
"""characters; what is longer is no answer"""
ASKING = 8
"""answers that the judge of an endpoint is asked about at once"""
STARTUP = 120.0
"""seconds within which a worker must have loaded its libraries"""
TRIES = 10
"""processes in a row that may be killed, over one answer or as they start; before each new one we wait PAUSE seconds
longer, since what kills may be a want of memory that passes"""
PAUSE = 0.2
CRASHES = 3
"""processes that may crash over one answer before it is the answer's doing"""
LEAST_WAIT = 0.5
"""seconds between two looks at a process that runs late"""
WHOLE = 0.9
"""of a deadline is all of it: a process that had a core never has quite all its seconds"""
DYING = 10.0
"""seconds that a process which no longer answers may take to end by itself, so that its exit code says why"""
CRASHED = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGFPE, -signal.SIGILL, -getattr(signal, "SIGBUS", signal.SIGSEGV)}
"""exit codes of a process that broke by itself; every other signal is sent by somebody: a person, a scheduler, or the
kernel for want of memory"""
START = "import sys; sys.path.append(sys.argv[1]); from ownwords.answers.worker import main; main(*sys.argv[2:])"
"""run with -P and the folder that holds this package: a `queue.py` in the user's folder is not taken for Python's"""


class NotJudged(ValueError):
    """An answer that has no verdict, because every process that was to judge it was killed."""


def request(problem: Problem, answer: str) -> dict[str, Any]:
    """What a judge is told of an answer."""
    return {
        "kind": problem.kind,
        "reference": problem.answer,
        "answer": answer,
        "question": problem.question,
        "metadata": problem.metadata,
    }


def judgement(problem: Problem, answer: str, said: dict[str, Any]) -> Judgement:
    """A judge's reply; what was not judged to the end has no rule, and both sides stand as they were given."""
    return Judgement(**{"rule": "", "reference": problem.answer[:SHORT], "answer": answer[:SHORT], **said})


def libraries_for(kinds: Iterable[str]) -> frozenset[str]:
    """What judging answers of these kinds takes beside sympy and its grammar. Raises ValueError for an unknown kind."""
    return frozenset(library for kind in kinds if (library := kind_of(kind).library))


class Worker:
    """One judging process, started when it is needed, with the libraries that are needed then."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.extra: frozenset[str] = frozenset()

    def ask(self, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        """The reply to a request, with its `verdict`: `timeout` if there is none within `deadline` seconds,
        `unverifiable` if the process crashes over it again and again.

        Raises NotJudged if one process after the other is killed; ValueError if none starts.
        """
        line = json.dumps({**request, "deadline": deadline}).encode() + b"\n"
        killed = crashed = 0
        while killed < TRIES and crashed < CRASHES:
            time.sleep(PAUSE * killed)
            self.start(libraries_for([request["kind"]]))
            reply = self._exchange(line, deadline)
            if isinstance(reply, dict):
                if "error" in reply:
                    raise ValueError(reply["error"])
                return reply
            killed, crashed = (killed + 1, crashed) if _was_killed(reply) else (killed, crashed + 1)
        if crashed == CRASHES:
            return {"verdict": "unverifiable"}
        raise NotJudged(
            f"{TRIES} processes in a row were killed over one answer, perhaps for want of memory: start the same "
            "command again, with fewer --check-workers if there are several"
        )

    def start(self, extra: frozenset[str]) -> None:
        """Have a process that has loaded its libraries, `extra` among them: before a deadline runs, not within it.

        Raises ValueError if none starts.
        """
        if not extra <= self.extra:
            self.stop()
        self.extra |= extra
        for killed in range(TRIES):
            if self.process is not None and self.process.poll() is None:
                return
            self.stop()
            time.sleep(PAUSE * killed)
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-c",
                    START,
                    str(Path(__file__).parents[2]),
                    ",".join(sorted(self.extra)),
                    str(os.getpid()),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us; the worker ends when its input does
                # threads would take address space for nothing, and cores
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
            reply = self._exchange(b"", STARTUP)
            if isinstance(reply, dict) and reply["verdict"] == "ready":
                return
            if not _was_killed(reply):
                break
        how = f"not ready after {STARTUP:.0f} s" if isinstance(reply, dict) else f"exit code {reply}"
        raise ValueError(
            f"the process that judges answers does not start ({how}): "
            "`python -m ownwords.answers.worker < /dev/null` shows the reason"
        )

    def _exchange(self, line: bytes, deadline: float) -> dict[str, Any] | int:
        """Write a line and read one; the reply, or the exit code of a process that ended instead. A watch kills the
        process at the deadline, which ends a blocked write or read. A process that gets less than a core, since other
        work has it, is given its seconds all the same: a verdict does not depend on the load. One that is stopped gets
        no more time."""
        process, late, ended = self.process, threading.Event(), threading.Event()
        assert process is not None and process.stdin is not None and process.stdout is not None

        def watch() -> None:
            ran, left, began = 0.0, deadline, cpu_seconds(process.pid)
            while not ended.wait(min(left, LONGEST_WAIT)):
                before, ran = ran, cpu_seconds(process.pid) - began
                left = max(deadline - ran, LEAST_WAIT)
                if ran <= before or ran >= WHOLE * deadline:
                    late.set()
                    process.kill()
                    return

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            process.stdin.write(line)
            process.stdin.flush()
            reply = process.stdout.readline()
        except BrokenPipeError:
            reply = b""
        finally:
            ended.set()
            watching.join()
        if reply.endswith(b"\n"):
            said = json.loads(reply)
            if late.is_set() or said.pop("grown"):
                self.stop()
            return said
        code = self.stop(DYING)
        return {"verdict": "timeout"} if late.is_set() or code == -signal.SIGALRM else code

    def stop(self, grace: float = 0.0) -> int:
        """End the process, if there is one, and `grace` seconds later by force; its exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
        process.kill()
        process.communicate()
        return process.returncode


def cpu_seconds(pid: int) -> float:
    """What a process has computed so far; 0 if the platform does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return 0.0


def _was_killed(reply: dict[str, Any] | int) -> bool:
    """Whether a process ended by a signal from outside."""
    return isinstance(reply, int) and reply < 0 and reply not in CRASHED


class Checker:
    """A pool of workers. `submit` answers with a future verdict; use it as a context manager."""

    def __init__(self, workers: int = 1, deadline: float = 5.0, endpoint: EndpointJudge | None = None):
        """`deadline` in seconds per answer; `endpoint` is asked where the rules come to no verdict."""
        self.deadline, self.endpoint = deadline, endpoint
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._workers = [Worker() for _ in range(workers)]
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(workers + ASKING * bool(endpoint), thread_name_prefix="checker")

    def start(self, kinds: Iterable[str]) -> None:
        """Start all workers, with what answers of these kinds need, and wait until they are ready: loading libraries
        takes seconds of every core, which are better not taken from the first tokens."""
        extra = libraries_for(kinds)
        for started in [self._threads.submit(worker.start, extra) for worker in self._workers]:
            started.result()

    def submit(self, problem: Problem, answer: str | None) -> Future[str]:
        """A future verdict, one of `ownwords.records.trace.VERDICTS`. What needs no worker is answered at once.

        The future raises NotJudged if the answer's processes were killed; ValueError if none starts.
        """
        if problem.answer and answer and len(answer) <= LONGEST:
            return self._threads.submit(self._check, problem, answer)
        future: Future[str] = Future()
        future.set_result("unparsable" if problem.answer else "unverifiable")
        return future

    def decide(self, problem: Problem, answer: str | None) -> Future[Judgement]:
        """As `submit`, with the rule that decided and how both sides were read; no endpoint is asked."""
        if problem.answer and answer and len(answer) <= LONGEST:
            return self._threads.submit(self._by_rules, problem, answer)
        future: Future[Judgement] = Future()
        verdict = "unparsable" if problem.answer else "unverifiable"
        future.set_result(judgement(problem, answer or "", {"verdict": verdict}))
        return future

    def judged_by(self, problem: Problem, answer: str | None) -> str:
        """Who gave the verdict on an answer that has been checked: `rules` or `endpoint`."""
        return "endpoint" if self.endpoint and answer and self.endpoint.said(problem, answer) else "rules"

    def _check(self, problem: Problem, answer: str) -> str:
        verdict = self._by_rules(problem, answer).verdict
        if self.endpoint and verdict in UNDECIDED:
            return self.endpoint.ask(problem, answer) or verdict
        return verdict

    def _by_rules(self, problem: Problem, answer: str) -> Judgement:
        worker = self._idle.get()
        try:
            return judgement(problem, answer, worker.ask(request(problem, answer), self.deadline))
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """Wait for what is being judged, then end every worker."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in self._workers:
            worker.stop()

    def __enter__(self) -> Checker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
