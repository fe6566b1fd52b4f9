"""RSD in vLLM beside its peers: the same pair, the same prompts, as many tokens, in turns on one machine.

.venv-vllm/bin/python benchmarks/peers.py                                      # the small world
.venv-vllm/bin/python benchmarks/peers.py --teacher runs/same-style/model      # a teacher that writes like the student
.venv-vllm/bin/python benchmarks/peers.py --teacher BIG --student SMALL --problems FILE --one-at-a-time

    rsd           ours in vLLM (--engine vllm), with each draft length
    local         ours in the local engine, which chooses its draft length
    speculation   vLLM's own speculative decoding of the plain teacher, with the same student and each draft length
    teacher       vLLM, the plain teacher without drafts
    loop          the authors' way: two vLLM engines, each is asked for one token and its 20 likeliest, drawn outside
    lookahead     two vLLM servers over HTTP: the teacher drafts 8 tokens, the student is asked for one token at each

Each peer has a process of its own and writes until it has so many tokens, with a constant number of traces at once;
what is begun then is thrown away. All speeds are tokens per second. The peers of one-token requests (loop, lookahead)
are so slow that they are measured once; the others take turns, in changing order. rsd, local, loop and lookahead write
through the gate; speculation and teacher write the plain teacher's text.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import statistics
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

LOOPS = ("loop", "lookahead")
OURS = "rsd"
Arm = tuple[str, int]
"""peer and its draft length; 0 if it has none or chooses it"""
Speeds = dict[tuple[Arm, int], list[float]]
"""(arm, traces at once) -> tokens per second, one for each repetition"""


def options(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", default="world")
    parser.add_argument("--student", default="world")
    parser.add_argument("--problems", default="world:size=64,seed=77")
    parser.add_argument("--peers", nargs="+", default=["rsd", "local", "speculation", "teacher", *LOOPS])
    parser.add_argument("--lengths", type=int, nargs="+", default=[2, 4, 8], help="drafts of rsd and speculation")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16, 64], help="traces at once")
    parser.add_argument("--tokens", type=int, default=100, help="to write per trace at once and measurement")
    parser.add_argument("--least", type=int, default=500, help="tokens of a measurement, at least")
    parser.add_argument("--max-tokens", type=int, default=256, help="of a trace")
    parser.add_argument("--context", type=int, default=1024, help="positions that each engine has room for")
    parser.add_argument("--cache", type=float, default=1, help="GiB of keys and values, per engine")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--one-at-a-time", action="store_true", help="if not all peers' models fit into memory at once")
    return parser.parse_args(given)


def serve(pipe: Connection, arm: Arm, given: argparse.Namespace, asked: dict[str, Any]) -> None:
    """A peer's process: opens it, then answers each (traces at once, tokens) with (tokens, seconds)."""
    from peer_arms import PEERS

    peer = PEERS[arm[0]](arm[1], given, asked)
    pipe.send("ready")
    try:
        while (job := pipe.recv()) is not None:
            pipe.send(peer.write(*job))
    finally:
        peer.close()


class Started:
    """A peer in its process."""

    def __init__(self, arm: Arm, given: argparse.Namespace, asked: dict[str, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, there = context.Pipe()
        self.process = context.Process(target=serve, args=(there, arm, given, asked))
        self.process.start()
        there.close()
        self.pipe.recv()

    def speed(self, at_once: int, tokens: int) -> float:
        self.pipe.send((at_once, tokens))
        written, seconds = self.pipe.recv()
        return written / seconds

    def close(self) -> None:
        self.pipe.send(None)
        self.process.join()


def measure(arms: Sequence[Arm], given: argparse.Namespace, asked: dict[str, Any]) -> Speeds:
    """All of these peers are open meanwhile."""
    started = {arm: Started(arm, given, asked) for arm in arms}
    speeds: Speeds = {}
    for at_once in given.concurrency:
        tokens = max(given.tokens * at_once, given.least)
        for arm in arms:
            started[arm].speed(at_once, tokens // 8)  # warm up
        for repetition in range(given.repetitions):
            for arm in random.Random(repetition).sample(arms, len(arms)):
                if repetition == 0 or arm[0] not in LOOPS:
                    speed = started[arm].speed(at_once, tokens)
                    speeds.setdefault((arm, at_once), []).append(speed)
        for arm in arms:
            print(line(arm, at_once, speeds[arm, at_once]), flush=True)
    for one in started.values():
        one.close()
    return speeds


def line(arm: Arm, at_once: int, speeds: list[float]) -> str:
    told = f"{statistics.median(speeds):9.1f} ({min(speeds):.1f}-{max(speeds):.1f})"
    return f"{arm[0]:12} {arm[1] or '-':>6}  {at_once:7}  {told}"


def best(speeds: Speeds, peer: str, at_once: int | None = None) -> tuple[Arm, int] | None:
    """The fastest of a peer's settings by its median; None if it was not measured."""
    mine = [one for one in speeds if one[0][0] == peer and at_once in (None, one[1])]
    return max(mine, key=lambda one: statistics.median(speeds[one]), default=None)


def compare(speeds: Speeds, given: argparse.Namespace) -> None:
    """Ours to each peer: each at its best, both at as many traces at once, and ours at its best to one trace at a time
    of theirs. Within repetitions, if there are as many of both."""
    print("\nrsd to        at once        drafts     ratio: median (range)")
    for peer in given.peers:
        for mine, their in ((None, None), *((n, n) for n in given.concurrency), (None, min(given.concurrency))):
            ours, theirs = best(speeds, OURS, mine), best(speeds, peer, their)
            if peer == OURS or ours is None or theirs is None:
                continue
            a, b = speeds[ours], speeds[theirs]
            ratios = [x / y for x, y in zip(a, b, strict=True)] if len(a) == len(b) else [statistics.median(a) / b[0]]
            told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
            at_once, drafts = f"{ours[1]} and {theirs[1]}", f"{ours[0][1] or '-'} and {theirs[0][1] or '-'}"
            print(f"{peer:12}  {at_once:13}  {drafts:9}  {told}{'  each at its best' if their is None else ''}")


def main() -> None:
    given = options()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # of the peers' processes, too
    from common import machine
    from peer_arms import asked_of

    asked = asked_of(given)
    print(f"{machine()}, float32, {given.teacher} over {given.student}, {given.repetitions} repetitions")
    print("peer         drafts  at once   tokens/s: median (range)", flush=True)
    arms = [
        (peer, length) for peer in given.peers for length in (given.lengths if peer in (OURS, "speculation") else [0])
    ]
    speeds: Speeds = {}
    # idle servers take time from the others, and the loops are measured once: these are alone
    together = [] if given.one_at_a_time else [arm for arm in arms if arm[0] not in LOOPS]
    for group in [together, *([arm] for arm in arms if arm not in together)]:
        speeds |= measure(group, given, asked)
    compare(speeds, given)


if __name__ == "__main__":
    main()
