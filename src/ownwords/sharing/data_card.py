"""The data card of an export: what it is, how it was made, what it measures and how to load it.

Everything in it comes from the run directory. Of models and data that lie on this machine it tells the folder's name
and not the way to it.
"""

from __future__ import annotations

import html
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCardData, RepoCard, try_to_load_from_cache

from ownwords.traces.store import Store
from ownwords.traces.summary import Summary, summarise

UNSTATED = "not stated"
TABLES = {
    "problems": "a row per problem: the question, its reference answer, every generation, and which are right",
    "sft": "a row per selected trace: `input_ids`, `labels` and `completion_mask`, for TRL's `SFTTrainer` as they are",
    "tokens": "a row per attempt: for each token its id, who wrote it (0 teacher, 1 student, 2 forced), both models' "
    "log-probabilities, the student's rank, the pass mass of the gate and the likeliest refused proposal",
}
SOFT_TABLES = {
    "soft_union": "a row per selected trace: for each token the likeliest ids of both models, and both models' "
    "log-probabilities of each",
    "soft_trl": "a row per selected trace: for each token the teacher's likeliest ids with log-probabilities, as TRL's "
    "`get_sequence_logprobs` returns them",
    "soft_axolotl": "a row per selected trace: the same as prepared rows of Axolotl's KD plug-in",
    "soft_distillkit": "a row per selected trace: the same in DistillKit's compressed layout, to be read with the "
    "settings in soft_distillkit.yaml",
}
NOT_FLAGS = ("teacher_weights", "student_weights")


def data_card(store: Store, rows: Mapping[str, int], title: str, licence: str = "unknown") -> str:
    """README.md of an export. `rows`: of each table; `licence`: what its maker states, as the hub spells it."""
    summary, config = summarise(store.traces()), store.config
    front = DatasetCardData(
        license=licence,
        task_categories=["text-generation"],
        tags=["ownwords", "reverse-speculative-decoding", "reasoning", "distillation"],
        size_categories=_size(rows["tokens"]),
        configs=[  # a table without rows is one that `datasets` refuses to load
            {"config_name": name, "data_files": f"{name}.parquet", **({"default": True} if name == "problems" else {})}
            for name in {**TABLES, **SOFT_TABLES}
            if rows.get(name)
        ],
    )
    sources = Counter(problem.source for problem in store.problems().values())
    parts = {
        "What this is": (
            "Reasoning traces that a teacher and a student wrote together, by Reverse Speculative Decoding "
            "([arXiv 2509.22230](https://arxiv.org/abs/2509.22230)): the teacher proposes each token, and where the "
            "student finds it implausible, the student writes its own. Made with ownwords "
            f"{_cell(store.versions.get('ownwords', ''))}."
        ),
        "Models, problems and licences": _table(
            ["", "name", "licence"],
            *([side, _model(config[side], side), licence_of(config[side], "model")] for side in ("teacher", "student")),
            *(["problems", f"{source} ({n})", _source_licence(config, source)] for source, n in sources.items()),
            ["these traces", title, licence],
        ),
        "Statistics": _table(["", ""], *_statistics(summary, rows)),
        "How to load it": _loading(title, rows),
        "How it was made": (
            f"```bash\n{command(store)}\n```\n\n"
            + _table(["setting", "value"], *([key, public_name(value)] for key, value in _settings(store).items()))
            + "\n\n"
            + _table(["made with", "version"], *([name, value] for name, value in store.versions.items()))
        ),
    }
    body = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in parts.items())
    return f"---\n{front.to_yaml()}\n---\n\n# {_cell(title)}\n\n{body}\n"


def command(store: Store) -> str:
    """The command that makes the traces again, on the machine that has the models and the problems."""
    words = ["ownwords", "generate", "--run", "RUN"]
    for key, value in _settings(store).items():
        if key not in NOT_FLAGS:
            parts = value if isinstance(value, list) else [value]
            words += [f"--{key.replace('_', '-')}", *map(public_name, parts)]
    return shlex.join(words)


def _settings(store: Store) -> dict[str, Any]:
    """What decides the traces and how many there are; where and how fast they were made is nobody's business."""
    keys = [*store.identity, "attempts", "until_correct", "max_attempts", "limit"]
    return {key: store.config[key] for key in keys if store.config.get(key) is not None}


def public_name(value: Any) -> str:
    """A setting for others to read: of a path on this machine the last part only."""
    text = str(value)
    kind, colon, rest = text.partition(":")
    if kind == "hf" and colon:
        name, comma, settings = rest.partition(",")
        return f"hf:{public_name(name)}{comma}{settings}"
    local = isinstance(value, str) and text and "\n" not in text and (text[0] in "/~." or Path(text).exists())
    return Path(text).name if local else text


def licence_of(name: str, kind: str) -> str:
    """The licence that the card of a model or data set states, as far as this machine has the card."""
    if name == "world":
        return "apache-2.0"
    card = Path(name) / "README.md"
    if not Path(name).exists():
        try:
            cached = try_to_load_from_cache(name, "README.md", repo_type=kind)
        except ValueError:  # no name of the hub
            return UNSTATED
        card = Path(cached) if isinstance(cached, str) else card
    if not card.is_file():
        return UNSTATED
    stated = RepoCard(card.read_text(encoding="utf-8", errors="replace"), ignore_metadata_errors=True).data
    return str(stated.get("license") or UNSTATED)


def _model(name: str, side: str) -> str:
    return f"the small {side} that ships with ownwords" if name == "world" else public_name(name)


def _source_licence(config: dict[str, Any], source: str) -> str:
    if source.startswith("gym:"):
        return "apache-2.0 (reasoning-gym)"
    return licence_of(source, "dataset") if str(config["problems"]).startswith("hf:") else UNSTATED


def _statistics(summary: Summary, rows: Mapping[str, int]) -> list[list[str]]:
    verdicts = ", ".join(f"{name} {n}" for name, n in sorted(summary.verdicts.items()))
    return [
        ["problems", f"{summary.problems:,}"],
        ["solved", f"{summary.solved:,} ({summary.solved / max(summary.problems, 1):.1%})"],
        ["attempts", f"{summary.attempts:,}"],
        ["verdicts", verdicts],
        ["verdicts by a language model", f"{summary.by_endpoint:,}"],
        ["selected traces", f"{rows['sft']:,}"],
        ["tokens by the teacher", f"{summary.teacher_tokens:,}"],
        ["tokens by the student", f"{summary.student_tokens:,}"],
        ["mean length", f"{summary.mean_length:.0f} tokens"],
        ["mean student surprisal", f"{summary.mean_surprisal:.3f} nats"],
        ["tokens below 1 % under the student", f"{summary.implausible:.2%}"],
    ]


def _loading(title: str, rows: Mapping[str, int]) -> str:
    made = {name: text for name, text in {**TABLES, **SOFT_TABLES}.items() if name in rows}
    lines = [f'{name} = load_dataset("{title}", "{name}", split="train")' for name in made if rows[name]]
    what = "\n".join(f"* `{name}` ({rows[name]:,} rows): {text}." for name, text in made.items())
    return "```python\nfrom datasets import load_dataset\n\n" + "\n".join(lines) + f"\n```\n\n{what}"


def _size(attempts: int) -> str:
    for least, name in ((10**6, "1M<n<10M"), (10**5, "100K<n<1M"), (10**4, "10K<n<100K"), (10**3, "1K<n<10K")):
        if attempts >= least:
            return name
    return "n<1K"


def _table(*rows: list[str]) -> str:
    lines = [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text that is no markup and stays within its cell."""
    return " ".join(html.escape(str(text), quote=False).replace("|", "&#124;").split())
