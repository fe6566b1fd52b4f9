"""Judging answers outside this process, each within a deadline.

A pathological expression costs one verdict `timeout` and one worker, which is replaced; it never costs the run.
"""

from __future__ import annotations

import json
import queue
import select
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor

from ownwords.problems.problem import Problem

LONGEST = 10_000
"""characters; what is longer is no answer"""
STARTUP = 120.0
"""seconds within which a worker must have loaded its libraries"""
VERDICTS = {"correct", "incorrect", "unparsable", "unverifiable"}


class Worker:
    """One judging process, started when it is first needed."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, request: dict, deadline: float) -> str:
        """The verdict on a request, or `timeout`; a worker that is late or dies is replaced at the next request."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ownwords.answers.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            if self._read(STARTUP) != "ready":
                self.stop()
                raise RuntimeError("the answer checker did not start: try python -m ownwords.answers.worker")
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({**request, "deadline": deadline}).encode() + b"\n")
            self.process.stdin.flush()
            verdict = self._read(deadline)
        except BrokenPipeError:
            verdict = ""
        if verdict in VERDICTS:
            return verdict
        self.stop()
        return "timeout" if verdict is None else "unparsable"

    def _read(self, seconds: float) -> str | None:
        """The next line, None if none comes in time, "" if the process has died."""
        assert self.process is not None and self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            return None
        line = self.process.stdout.readline()
        return json.loads(line) if line.endswith(b"\n") else ""

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


class Checker:
    """A pool of workers. `submit` answers with a future verdict; use it as a context manager."""

    def __init__(self, workers: int = 1, deadline: float = 5.0):
        """`deadline` in seconds per answer."""
        self.deadline = deadline
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._workers = [Worker() for _ in range(workers)]
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="checker")

    def submit(self, problem: Problem, answer: str | None) -> Future[str]:
        """A future verdict, one of `ownwords.traces.trace.VERDICTS`. What needs no worker is answered at once."""
        quick = None
        if not problem.answer:
            quick = "unverifiable"
        elif not answer or len(answer) > LONGEST:
            quick = "unparsable"
        if quick:
            future: Future[str] = Future()
            future.set_result(quick)
            return future
        return self._threads.submit(self._check, problem, answer)

    def _check(self, problem: Problem, answer: str) -> str:
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
