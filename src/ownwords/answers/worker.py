"""The process that judges: a JSON object a line in, a JSON object a line out, until its input ends.

`python -m ownwords.answers.worker`. The protocol has file descriptors of its own, so that nothing that a library
prints can be taken for a verdict. The process ends with its parent, whatever it is busy with.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
from dataclasses import asdict
from typing import Any

from ownwords.io.children import end_with

MEMORY = 2 << 30
"""bytes of address space; an expression that wants more fails here, not on the machine"""
GROWN = MEMORY >> 1
"""bytes in memory after a verdict; a worker that holds more asks to be replaced"""
LONGEST_WAIT = 10_000_000
"""seconds; timers that are set to more overflow on some platform"""
STARVED = 20
"""deadlines, since a worker that other work leaves little of a core takes that much longer"""
NICE = 5
"""steps by which a worker stands back: the cores are the models' first"""


def main(extra: str = "", parent: str = "") -> None:
    """`extra`: modules to load besides, with commas between them: reasoning_gym takes as long as all others together.
    `parent`: the id of the process that asks, if there is one to end with."""
    if parent:
        end_with(int(parent))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes our input
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, ValueError, OSError):  # not on this platform
        pass
    # While there is a stderr to say what is wrong with an installation.
    import ownwords.answers.equal  # noqa: F401
    from ownwords.answers.judge import decide

    os.dup2(1, 2)

    def reply(said: dict[str, Any]) -> None:
        answers.write(json.dumps({**said, "grown": _resident() > GROWN}) + "\n")
        answers.flush()

    decide("math", "x+1", "1+x", "", {})
    for module in filter(None, extra.split(",")):
        with contextlib.suppress(ImportError):  # whoever needs it says so
            importlib.import_module(module)
    if hasattr(os, "nice"):  # not before: a run waits for its workers to have loaded
        os.nice(NICE)
    reply({"verdict": "ready"})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        # The kernel ends this process if the parent, which is stricter, is stopped and cannot do it.
        signal.alarm(int(min(STARVED * request.pop("deadline") + 2, LONGEST_WAIT)))
        said = decided(request)
        signal.alarm(0)
        reply(said)


def decided(request: dict[str, Any]) -> dict[str, Any]:
    """The fields of the judgement on a request; those of a `verdict` alone for an answer that broke the judge."""
    from ownwords.answers.kind import kind_of

    try:
        kind = kind_of(request["kind"])
    except ValueError as error:  # this process does not find what its parent has found
        return {"verdict": "", "error": str(error)}
    given = {name: value for name, value in request.items() if name != "kind"}
    try:
        return asdict(kind.decide(**given))
    except (MemoryError, RecursionError):  # it was too much for us, which says nothing about the answer
        return {"verdict": "unverifiable"}
    except Exception:  # whatever a hostile answer makes the libraries raise
        return {"verdict": "unparsable"}


def _resident() -> int:
    """Bytes of this process in memory; 0 where the platform does not tell. (The peak that `getrusage` tells begins with
    the parent's.)"""
    try:
        with open("/proc/self/statm") as pages:
            return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


if __name__ == "__main__":
    main()
