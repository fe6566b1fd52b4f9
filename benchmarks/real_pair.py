"""Figures of real pretrained models: the commands behind docs/real_models.md. Each goes on where it was killed.

    make      generate the sets of traces: RSD, the plain teacher, the student alone
    pilot     a pilot of a study, to be held against its run
    score     the Rank-Surprisal Ratio of the sets, and of a sample of long traces, under other students
    table     the tables of the page, as Markdown, from what is there
    verdicts  some answers with their verdicts, to be read by eye
    speed     tokens/s with drafts and without, and what is added to the models' own passes

--teacher and --student have one vocabulary (Qwen2.5-Coder-1.5B-Instruct and -0.5B-Instruct on the page); --small is its
own teacher and is shown the solution as that (SmolLM2-135M-Instruct on the page).
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
INTERRUPTED = 130


def options(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = argparse.ArgumentParser(add_help=False)
    runs.add_argument("--runs", type=Path, required=True, help="the folder where all of it lies")
    models = argparse.ArgumentParser(add_help=False)
    models.add_argument("--data", type=Path, required=True, help="holds gsm8k, math500, small_sets and long_traces")
    for role in ("teacher", "student", "small"):
        models.add_argument(f"--{role}", default="world")
    models.add_argument("--dtype", default="bfloat16", choices=["auto", "float32", "bfloat16"])
    models.add_argument("--batch", type=int, default=64)
    models.add_argument("--problems", type=int, help="so many of each study in place of its own number")
    models.add_argument("--max-tokens", type=int, help="in place of each study's own")
    one = commands.add_parser("make", parents=[runs, models])
    one.add_argument("--study", nargs="+", metavar="STUDY[/SET]", help="as gsm8k, or gsm8k/rsd; all if none is named")
    one = commands.add_parser("pilot", parents=[runs, models])
    one.add_argument("--study", default="gsm8k")
    one.add_argument("--size", type=int, default=6)
    one = commands.add_parser("score", parents=[runs, models])
    one.add_argument("--study", default="gsm8k", help="whose sets are scored")
    one.add_argument("--sample", type=int, default=20, help="traces of each set")
    one.add_argument("--longest", type=int, default=1200, help="tokens: longer long traces are left out")
    one = commands.add_parser("table", parents=[runs])
    one.add_argument("--page", type=Path, help="put them into this Markdown file, between its two marks")
    one = commands.add_parser("verdicts", parents=[runs])
    one.add_argument("--set", default="gsm8k/rsd")
    one.add_argument("--count", type=int, default=20)
    one = commands.add_parser("speed", parents=[runs, models])
    one.add_argument("--threads", type=int, default=1)
    one.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    one.add_argument("--tokens", type=int, default=32, help="that each row writes per repetition")
    one.add_argument("--repetitions", type=int, default=4)
    return parser.parse_args(given)


def main(arguments: Sequence[str] | None = None) -> int:
    given = options(arguments)
    from real import page, studies

    if given.command == "make":
        for name in given.study or studies.STUDIES:
            study, _, only = name.partition("/")
            for made in studies.STUDIES[study].sets:
                if only in ("", made) and not studies.make(studies.settings(study, made, given)):
                    return INTERRUPTED
    elif given.command == "pilot":
        return 0 if studies.pilot(given.study, given) else INTERRUPTED
    elif given.command == "score":
        score(given)
    elif given.command == "table":
        text = "\n\n".join(page.tables(given.runs))
        print(text)
        if given.page:
            page.put(text, given.page)
    elif given.command == "verdicts":
        verdicts(given.runs / given.set, given.count)
    else:
        speed(given)
    return 0


def score(given: argparse.Namespace) -> None:
    """The long traces under both students, and the sets of a study under the small one, which did not write them."""
    from real import studies, suitability

    source = given.data / "long_traces" / "train.jsonl"
    drawn = given.runs / "scores" / f"{suitability.LONG}.jsonl"
    print(suitability.sample(source, given.student, given.sample, given.longest, drawn))
    for student in (given.student, given.small):
        folder = given.runs / "scores" / Path(student).name
        suitability.score(drawn, student, folder / suitability.LONG, None, given.dtype)
    for made in studies.STUDIES[given.study].sets:
        if not (given.runs / given.study / made).is_dir():
            print(f"{given.study}/{made} is not made yet: left out")
            continue
        out = given.runs / "scores" / Path(given.small).name / f"{given.study}-{made}"
        suitability.score(given.runs / given.study / made, given.small, out, given.sample, given.dtype)


def verdicts(run: Path, count: int) -> None:
    from ownwords.traces.store import Store

    with Store.read(run) as store:
        problems = store.problems()
        for trace in list(store.traces())[:count]:
            problem = problems[trace.problem_id]
            told = f"reference {problem.answer}, found {trace.answer!r} by {trace.found_by or '-'}: {trace.verdict}"
            print(f"{trace.problem_id}  {told}  ({trace.finish_reason}, {len(trace.token_ids)} tokens)")
            print(textwrap.indent(trace.text[-240:], "    "))


def speed(given: argparse.Namespace) -> None:
    from common import machine
    from real import page, speed, studies

    speed.threads(given.threads)
    told = f"{machine()}, {given.dtype}, {given.repetitions} repetitions of {given.tokens} tokens a row"
    print(told, flush=True)
    config = studies.settings("gsm8k", "rsd", given)
    lines = []
    for line in speed.measure(config, given.batches, given.tokens, given.repetitions):
        print(f"  batch {line.batch}, drafts {line.arm}: {line.speed:.2f} tokens/s", flush=True)
        lines.append(line)
    speed.write(given.runs / f"speed-{given.threads}.json", told, lines)
    print("\n\n".join(page.speeds(given.runs)))


if __name__ == "__main__":
    sys.exit(main())
