"""A run's scores in the shape in which the hub keeps them: `.eval_results/*.yaml` of a model's repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from ownwords.configuration import FieldError
from ownwords.evaluation.benchmarks import KNOWN, known
from ownwords.io.files import write_file
from ownwords.io.paths import check_output


def check_eval_results(path: Path, benchmark: str, overwrite: bool) -> None:
    """Raise ValueError if the scores on `benchmark` could not be written to `path`: to be asked before a long run."""
    if known(benchmark)[0] is None:
        raise FieldError(
            "eval_results",
            "{eval_results}: {} names no data set of the hub, expected one of {}; a file of one of them is evaluated "
            "as NAME=FILE",
            repr(benchmark),
            ", ".join(KNOWN),
        )
    check_output(path, overwrite, field="eval_results", replace="overwrite")


def write_eval_results(path: Path, scores: dict[str, Any]) -> None:
    """Write avg@n in percent, with what it takes to judge the figure in the notes.

    Raises ValueError if the benchmark is none of the hub's.
    """
    check_eval_results(path, scores["benchmark"], overwrite=True)
    benchmark, _ = known(scores["benchmark"])
    assert benchmark is not None
    name, interval = next(iter(scores["scores"].items()))
    settings = scores["settings"]
    temperature, top_p = settings["sampling.temperature"], settings["sampling.top_p"]
    notes = (
        f"{name} over {scores['problems']} problems",
        f"95 % interval {100 * interval['low']:.2f} to {100 * interval['high']:.2f}",
        "greedy" if temperature == 0 else f"T {temperature:g}, top-p {top_p:g}",
        f"at most {settings['max_tokens']} tokens, {scores['scores']['truncated']['value']:.1%} truncated",
        "evaluated with ownwords",
    )
    entry = EvalResultEntry(
        dataset_id=benchmark.dataset,
        task_id=benchmark.task,
        value=round(100 * interval["value"], 2),
        notes="; ".join(notes),
    )
    write_file(path, yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True))
