"""The problems of a run, and what its plan tells of them."""

from __future__ import annotations

import re
from pathlib import Path

from ownwords.answers.judge import is_language
from ownwords.configuration import FieldError
from ownwords.generation.config import GenerateConfig
from ownwords.problems.overlap import benchmarks_at_hand, overlapping
from ownwords.problems.sources import load_problems
from ownwords.records.problem import Problem


def read_problems(config: GenerateConfig) -> tuple[list[Problem], dict[str, str]]:
    """The problems, and what is to be said of them: a name and a sentence each."""
    bad: list[str] = []
    problems = load_problems(
        config.source.problems,
        limit=config.source.limit,
        seed=config.seed,
        question_field=config.source.question_field,
        answer_field=config.source.answer_field,
        bad=bad if config.source.skip_bad_rows else None,
    )
    remarks = {}
    if bad:
        remarks["left out"] = f"{len(bad)} bad row{'s' if len(bad) > 1 else ''}: {'; '.join(bad[:3])}"
    language = sum(p.kind == "math" and is_language(p.answer) for p in problems)
    if language and not config.checking.judge_url:
        remarks["references"] = (
            f"{language} of {len(problems)} in words, which an answer must repeat; --judge-url asks a model"
        )
    letters = sum(p.kind == "math" and bool(re.fullmatch(r"[(]?[A-E][).]?", p.answer)) for p in problems)
    if letters:
        remarks["letters"] = f"{letters} of {len(problems)} references are a letter, and no options are known for them"
    found = []
    for name in dict.fromkeys([*config.source.check_overlap, *benchmarks_at_hand()]):
        hits = overlapping(problems, _benchmark(name))
        if hits or name in config.source.check_overlap:
            first = f" (first: {hits[0].id})" if hits else ""
            found.append(f"{len(hits)} of {len(problems)} share 13 words with {'/'.join(Path(name).parts[-2:])}{first}")
    if found:
        remarks["overlap"] = "; ".join(found)
    return problems, remarks


def _benchmark(name: str) -> list[Problem]:
    try:
        return load_problems(name, advice="mend them")
    except FieldError as error:
        raise error.renamed(problems="check_overlap") from error
