"""The benchmarks that are known by name, and reading any other set of problems as one."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from ownwords.answers.choices import LETTERS
from ownwords.configuration import FieldError
from ownwords.problems.sources import load_problems
from ownwords.records.problem import Problem


@dataclass(frozen=True)
class Benchmark:
    """Where a benchmark lies on the hub."""

    dataset: str
    split: str
    config: str | None = None
    answer_field: str | None = None
    """where its name does not tell"""
    shuffled: bool = False
    """multiple choice whose data set gives no order: the options are shuffled by the seed"""
    task: str = "default"
    """its name in the hub's evaluation results"""

    @property
    def spec(self) -> str:
        config = f",config={self.config}" if self.config else ""
        return f"hf:{self.dataset},split={self.split}{config}"


KNOWN = {
    "gsm8k": Benchmark("openai/gsm8k", "test", "main", task="gsm8k"),
    "math500": Benchmark("HuggingFaceH4/MATH-500", "test"),
    "aime24": Benchmark("HuggingFaceH4/aime_2024", "train"),
    "aime25": Benchmark("math-ai/aime25", "test"),
    "amc23": Benchmark("math-ai/amc23", "test"),
    "svamp": Benchmark("ChilleD/SVAMP", "test"),
    "multiarith": Benchmark("ChilleD/MultiArith", "test", answer_field="final_ans"),
    "gpqa-diamond": Benchmark("Idavidrein/gpqa", "train", "gpqa_diamond", shuffled=True, task="gpqa_diamond"),
}


def known(spec: str) -> tuple[Benchmark | None, str]:
    """(the benchmark that `NAME` or `NAME=FILE` names, what its problems are read from); (None, spec) for any other."""
    name, given, source = spec.partition("=")
    if name not in KNOWN:
        return None, spec
    return KNOWN[name], source if given else KNOWN[name].spec


def read_benchmark(
    spec: str,
    *,
    limit: int | None = None,
    seed: int = 0,
    question_field: str | None = None,
    answer_field: str | None = None,
) -> list[Problem]:
    """The first `limit` problems of a benchmark known by name (`gsm8k`), of the same in a file (`gsm8k=test.jsonl`), or
    of anything that `load_problems` reads. Raises ValueError, in one line, for whatever cannot be read."""
    benchmark, source = known(spec)
    if benchmark and source == benchmark.spec:
        answer_field = answer_field or benchmark.answer_field
    try:
        problems = load_problems(
            source,
            limit=limit,
            seed=seed,
            question_field=question_field,
            answer_field=answer_field,
            advice="mend them",
        )
    except FieldError as error:
        raise error.renamed(problems="benchmark") from error
    return [shuffle_options(p, seed) for p in problems] if benchmark and benchmark.shuffled else problems


def shuffle_options(problem: Problem, seed: int) -> Problem:
    """A multiple choice with its options in another order, a function of (seed, problem); as it is if the options stand
    in the question's own words.

    The question's text changes with it, and so does the problem's id: runs with other orders share no problem.
    """
    assert problem.kind == "choice", problem.kind
    options = problem.metadata["options"]
    stem = problem.question.removesuffix(_lines(options))
    if stem == problem.question:
        return problem
    order = list(range(len(options)))
    random.Random(f"{seed}/{stem}").shuffle(order)
    shuffled = [options[i] for i in order]
    letter = LETTERS[order.index(LETTERS.index(problem.answer))]
    metadata = {name: [values[i] for i in order] for name, values in problem.metadata.items()}
    return replace(problem, question=stem + _lines(shuffled), answer=letter, metadata=metadata)


def _lines(options: list[str]) -> str:
    return "".join(f"\n{letter}) {option}" for letter, option in zip(LETTERS, options))
