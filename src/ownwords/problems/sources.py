"""Where problems come from, by one string."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ownwords.answers.kind import check_kinds
from ownwords.configuration import FieldError
from ownwords.io.plugins import load_plugin, plugins
from ownwords.problems.fields import to_problem
from ownwords.problems.readers import READERS, Rows, read_rows
from ownwords.records.problem import Problem

GROUP = "ownwords.problems"
Source = Callable[[str, int | None, int], list[Problem] | Rows]
"""(what stands behind `NAME:`, how many are wanted (None: all), a seed if it names none) -> the problems, of which more
than are wanted are cut off; or an iterator of rows, which are read as those of a file. An entry point of
`ownwords.problems`; raises ValueError in one line for what it cannot read."""
SKIP = "mend them, or leave them out with {skip_bad_rows}"


def load_problems(
    spec: str,
    *,
    limit: int | None = None,
    seed: int = 0,
    question_field: str | None = None,
    answer_field: str | None = None,
    bad: list[str] | None = None,
    advice: str = SKIP,
) -> list[Problem]:
    """The first `limit` problems of a `.jsonl`, `.json`, `.csv`, `.tsv` or `.parquet` file, a Hugging Face data set
    (`hf:NAME,split=train,config=main,revision=...`), a reasoning-gym task (`gym:TASK,size=100,seed=0,...`), or the
    small world (`world:size=100,seed=0`), or what another package has registered (`NAME:...`). A question
    that recurs counts once.

    `seed` is for specs that name none. Rows that cannot be read stop it, unless a list `bad` is given: then they are
    left out and their reasons appended to it. `advice`: what a person can do about them, otherwise. Raises ValueError,
    in one line, for whatever cannot be read.
    """
    prefix, _, rest = spec.partition(":")
    path = Path(spec)
    if prefix in plugins(GROUP):
        source: Source = load_plugin(GROUP, prefix, "source of problems")
        found = source(rest, limit, seed)
        if isinstance(found, list):
            check_kinds(problem.kind for problem in found)
            problems = list({problem.id: problem for problem in reversed(found)}.values())[::-1]
        else:
            name = rest.partition(",")[0].strip() or prefix
            problems = collect(spec, name, found, question_field, answer_field, bad, advice)
    elif path.suffix.lower() in READERS:
        problems = collect(spec, path.name, read_rows(path), question_field, answer_field, bad, advice)
    else:
        seen = "a directory" if path.is_dir() else "a file of another kind" if path.exists() else "nothing"
        others = "".join(f", {name}:..." for name in sorted(plugins(GROUP).keys() - {"hf", "gym", "world"}))
        raise FieldError(
            "problems",
            "{problems} {} names {}: expected a {} file, hf:NAME,split=train, gym:TASK,size=100,seed=0 or "
            "world:size=100,seed=0{}",
            repr(spec),
            seen,
            ", ".join(READERS),
            others,
        )
    return problems[:limit]


def collect(
    spec: str,
    source: str,
    rows: Rows,
    question_field: str | None,
    answer_field: str | None,
    bad: list[str] | None,
    advice: str = SKIP,
) -> list[Problem]:
    """The distinct problems of rows; see `load_problems`."""
    problems: dict[str, tuple[str, Problem]] = {}
    reasons: list[FieldError] = []
    count = 0
    for where, row in rows:
        count += 1
        try:
            if isinstance(row, str):
                raise ValueError(row)
            problem = to_problem(source, row, question_field, answer_field)
            before, known = problems.setdefault(problem.id, (where, problem))
            if known.answer != problem.answer:
                raise ValueError(
                    f"the question of {before} with another answer ({problem.answer!r}, there {known.answer!r}), "
                    "expected one: remove a row"
                )
        except ValueError as error:
            reasons.append(FieldError("problems", "{}: {}", where, error))
    if reasons and (bad is None or not problems):
        share = f"{len(reasons)} bad row{'s' if len(reasons) > 1 else ''} of {count}"
        hint = advice if problems else "no row can be read"
        raise FieldError("problems", f"{{}} ({share}: {hint})", reasons[0])
    if not problems:
        raise ValueError(f"{spec} is empty: expected rows with a question and an answer")
    if bad is not None:
        bad += map(str, reasons)
    return [problem for _, problem in problems.values()]
