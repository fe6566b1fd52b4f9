"""Uploading an export to the Hugging Face hub. Nothing is uploaded without being asked."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HTTPError, RepositoryNotFoundError

from ownwords.sharing.data_card import TABLES

FILES = ("README.md", *(f"{table}.parquet" for table in TABLES))
"""what is uploaded of an export, beside its soft targets; its JSONL files say the same again"""
SOFT = "soft_*"


def check_hub(repo: str, overwrite: bool) -> None:
    """Raises ValueError, in one line, if `repo` cannot be written: no token, no network, no such name; or if it holds
    files of an export already and `overwrite` is not set."""
    api = HfApi()
    try:
        api.whoami()
        try:
            held = sorted(set(FILES) & set(api.list_repo_files(repo, repo_type="dataset")))
        except RepositoryNotFoundError:
            return
    except (OSError, ValueError, HTTPError) as error:
        raise ValueError(f"cannot write the data set {repo} of the hub: {_one_line(error)}") from error
    if held and not overwrite:
        raise ValueError(
            f"the data set {repo} holds {', '.join(held)} already: name another one, or replace them with "
            f"ownwords export --to-hub {repo} --overwrite"
        )


def push(folder: Path, repo: str) -> str:
    """Upload an export; its address. A data set that does not exist is made, private.

    Raises ValueError, in one line, if the hub cannot be reached or refuses.
    """
    api = HfApi()
    try:
        url = api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(
            folder_path=folder,
            repo_id=repo,
            repo_type="dataset",
            allow_patterns=[*FILES, SOFT],
            delete_patterns=SOFT,  # of an earlier export, which would not belong to this one's traces
            commit_message="Traces made with ownwords",
        )
    except (OSError, ValueError, HTTPError) as error:
        raise ValueError(
            f"cannot upload to the data set {repo} of the hub: {_one_line(error)}. The export is kept in {folder}: "
            f"ownwords export --to-hub {repo} --overwrite tries again"
        ) from error
    return str(url)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
