"""The rows of a Hugging Face data set: one of the hub, a folder of data files, or one that `save_to_disk` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ownwords.problems.readers import Rows
from ownwords.problems.spec import split_spec

SETTINGS = ("split", "config", "revision")


def hub_rows(spec: str) -> tuple[str, Rows]:
    """(the name, its rows) of `NAME,split=train,config=main,revision=...`; an only split need not be named.

    Raises ValueError in one line where the data set cannot be read.
    """
    whole = f"hf:{spec}"
    name, settings = split_spec(whole, spec)
    if unknown := sorted(set(settings) - set(SETTINGS)):
        raise ValueError(f"{whole}: a data set has no setting {unknown[0]!r}, expected {', '.join(SETTINGS)}")
    if not name:
        raise ValueError(f"{whole} names no data set: expected a folder or a hub name, as hf:openai/gsm8k,config=main")
    try:
        import datasets
    except ImportError as error:
        raise ValueError('the datasets library is not installed: pip install "ownwords[hub]"') from error

    datasets.disable_progress_bars()
    try:
        data = _load(name, whole, settings)
    except (datasets.exceptions.DatasetsError, OSError, ValueError) as error:
        if str(error).startswith(whole):
            raise
        reason = " ".join(str(error.__cause__ or error).split())
        raise ValueError(f"{whole}: cannot read the data set: {reason[:400]}") from error
    return name, ((f"{whole}, row {number}", row) for number, row in enumerate(data, 1))


def source(spec: str, limit: int | None, seed: int) -> Rows:
    """`hf:...` as a source of problems."""
    return hub_rows(spec)[1]


def _load(name: str, whole: str, settings: dict[str, str]) -> Any:
    import datasets

    split = settings.get("split")
    saved = [Path(name) / file for file in ("dataset_dict.json", "state.json")]
    if any(file.is_file() for file in saved):
        data = datasets.load_from_disk(name)
        if isinstance(data, datasets.DatasetDict):
            return data[_one(whole, split, list(data))]
        return data
    where = {"revision": settings.get("revision")}
    splits = datasets.get_dataset_split_names(name, settings.get("config"), **where)
    return datasets.load_dataset(name, settings.get("config"), split=_one(whole, split, splits), **where)


def _one(whole: str, split: str | None, splits: list[str]) -> str:
    if split in splits or (split is None and len(splits) == 1):
        return split or splits[0]
    seen = "names no split" if split is None else f"has no split {split!r}"
    raise ValueError(f"{whole} {seen}: expected split= one of {', '.join(map(str, splits))}")
