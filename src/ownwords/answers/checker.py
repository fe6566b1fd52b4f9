"""Judging answers outside this process, each within a deadline.

A pathological expression costs one verdict `timeout` and one worker, which is replaced; it never costs the run. Memory
stays bounded: a worker has a ceiling, and one that has grown halfway to it is replaced after its verdict.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ownwords.answers.endpoint import UNDECIDED, EndpointJudge
from ownwords.problems.problem import Problem

LONGEST = 10_000
"""characters; what is longer is no answer"""
ASKING = 8
"""answers that the judge of an endpoint is asked about at once"""
STARTUP = 120.0
"""seconds within which a worker must have loaded its libraries"""
START = "import sys; sys.path.append(sys.argv[1]); from ownwords.answers.worker import main; main(*sys.argv[2:])"
"""run with -P and the folder that holds this package: a `queue.py` in the user's folder is not taken for Python's"""


def library_for(kinds: Iterable[str]) -> str:
    """The library that judging answers of these kinds takes beside math-verify; empty for none."""
    return "reasoning_gym" if any(kind.startswith("gym:") for kind in kinds) else ""


class Worker:
    """One judging process, started when it is needed, with the libraries that are needed then."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.extra = ""

    def ask(self, request: dict, deadline: float) -> str:
        """The verdict on a request; `timeout` if none comes within `deadline` seconds, `unverifiable` if the process
        dies. Either way the next request gets a new process."""
        self.start(library_for([request["kind"]]))
        return self._exchange(json.dumps({**request, "deadline": deadline}).encode() + b"\n", deadline)

    def start(self, extra: str) -> None:
        """Have a process that has loaded its libraries, `extra` among them: before a deadline runs, not within it."""
        if extra and not self.extra:
            self.stop()
        if self.process is None:
            self.extra = extra
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", START, str(Path(__file__).parents[2]), extra],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for us; the worker ends when its input does
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # its threads would take address space for nothing
            )
            if self._exchange(b"", STARTUP) != "ready":
                self.stop()
                raise RuntimeError("the answer checker did not start: try python -m ownwords.answers.worker")

    def _exchange(self, line: bytes, deadline: float) -> str:
        """Write a line and read one. A timer kills the process at the deadline, which ends a blocked write or read."""
        process, late = self.process, threading.Event()
        assert process is not None and process.stdin is not None and process.stdout is not None

        def kill() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(deadline, kill)
        timer.start()
        try:
            process.stdin.write(line)
            process.stdin.flush()
            reply = process.stdout.readline()
        except BrokenPipeError:
            reply = b""
        finally:
            timer.cancel()
            timer.join()
        answered = reply.endswith(b"\n")
        said = json.loads(reply) if answered else {}
        if late.is_set() or not answered or said["grown"]:
            self.stop()
        return said["verdict"] if answered else "timeout" if late.is_set() else "unverifiable"

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


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
        extra = library_for(kinds)
        for started in [self._threads.submit(worker.start, extra) for worker in self._workers]:
            started.result()

    def submit(self, problem: Problem, answer: str | None) -> Future[str]:
        """A future verdict, one of `ownwords.traces.trace.VERDICTS`. What needs no worker is answered at once."""
        if problem.answer and answer and len(answer) <= LONGEST:
            return self._threads.submit(self._check, problem, answer)
        future: Future[str] = Future()
        future.set_result("unparsable" if problem.answer else "unverifiable")
        return future

    def judged_by(self, problem: Problem, answer: str | None) -> str:
        """Who gave the verdict on an answer that has been checked: `rules` or `endpoint`."""
        return "endpoint" if self.endpoint and answer and self.endpoint.said(problem, answer) else "rules"

    def _check(self, problem: Problem, answer: str) -> str:
        verdict = self._by_rules(problem, answer)
        if self.endpoint and verdict in UNDECIDED:
            return self.endpoint.ask(problem, answer) or verdict
        return verdict

    def _by_rules(self, problem: Problem, answer: str) -> str:
        worker = self._idle.get()
        try:
            return worker.ask(
                {
                    "kind": problem.kind,
                    "reference": problem.answer,
                    "answer": answer,
                    "question": problem.question,
                    "metadata": problem.metadata,
                },
                self.deadline,
            )
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
