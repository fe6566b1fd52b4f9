"""Where files may be read and written: asked before any work, and answered in one line."""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ownwords.configuration import FieldError

TEMPORARY = re.compile(r"\.ownwords-[0-9a-f]{16}\.tmp")


def cache_folder() -> Path:
    """Where what can be made again is kept: `OWNWORDS_CACHE`, else `ownwords` in `XDG_CACHE_HOME` or in `~/.cache`."""
    if named := os.environ.get("OWNWORDS_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ownwords"


def temporary(beside: Path) -> Path:
    """A name that nobody else uses, on the same disk."""
    return beside.with_name(f".ownwords-{secrets.token_hex(8)}.tmp")


def in_words(error: BaseException) -> str:
    """The line for an error that a person can mend: what a ValueError says, or what the system says of a file. Empty
    for any other error, which is a bug."""
    if isinstance(error, OSError) and error.errno is not None:
        reason = (error.strerror or str(error)).lower()
        return reason if error.filename is None else f"{os.fsdecode(error.filename)}: {reason}"
    return str(error) if isinstance(error, ValueError) else ""


def check_input(path: Path, expected: str) -> None:
    """Raise ValueError unless `path` is a regular file; a pipe or a device would be waited for without end."""
    if not path.exists():
        seen = "a link to nothing" if path.is_symlink() else "no such file"
        raise ValueError(f"{path}: {seen}, expected {expected}")
    if not path.is_file():
        raise ValueError(f"{path} is {_kind(path)}, expected {expected}")


def read_text(path: Path, expected: str) -> str:
    """The UTF-8 text of a regular file. Raises ValueError in one line if there is none."""
    check_input(path, expected)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}), expected {expected}") from error


def read_json(path: Path, expected: str) -> dict[str, Any]:
    """The object in a JSON file. Raises ValueError in one line if there is none."""
    try:
        found = json.loads(read_text(path, expected))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error}), expected {expected}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: a JSON {type(found).__name__}, expected {expected}")
    return found


def check_output(path: Path, overwrite: bool = False, *, field: str = "out", replace: str | None = None) -> None:
    """Raise FieldError unless a file can be written at `path`: to be asked before long work. `field`: the option that
    names the file; `replace`: the option that would allow to replace it, if there is one."""
    with suppress(FileNotFoundError, NotADirectoryError):
        os.lstat(path)
        if path.exists() and not path.is_file():
            raise FieldError(field, f"{{}} exists already and is {{}}: name another {{{field}}}", path, _kind(path))
        if not overwrite:
            way = f"set {{{replace}}}" if replace else "remove it"
            raise FieldError(field, f"{{}} exists already: name another {{{field}}}, or {way}", path)
    _check_parent(path, field)


def check_folder(path: Path, *, field: str = "out") -> None:
    """Raise FieldError unless files can be written into a directory `path`, made or to be made. `field`: the option
    that names it."""
    with suppress(FileNotFoundError, NotADirectoryError):
        os.lstat(path)
        if not path.is_dir():
            raise FieldError(
                field, f"{{}} is {{}}, expected a directory to write to: name another {{{field}}}", path, _kind(path)
            )
    _check_parent(path / "file", field)


def held(folder: Path, names: Sequence[str]) -> list[str]:
    """Those of the names that are taken in a folder, be it by a link to nothing."""
    return [name for name in names if os.path.lexists(folder / name)]


def foreign(folder: Path, ours: Sequence[str] = ()) -> list[str]:
    """The names in a folder that are neither `ours`, nor a lock, nor what a killed process was about to write."""
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    return [name for name in names if name not in ("lock", *ours) and not TEMPORARY.fullmatch(name)]


def _check_parent(path: Path, field: str) -> None:
    there = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not there.is_dir():
        message = f"{{}} is {{}}, expected a directory to write to: name another {{{field}}}"
        raise FieldError(field, message, there, _kind(there))
    if not os.access(there, os.W_OK | os.X_OK):
        why = "on a read-only disk" if os.statvfs(there).f_flag & os.ST_RDONLY else "not yours to write to"
        raise FieldError(field, f"{{}} is {why}: name another {{{field}}}", there)


def _kind(path: Path) -> str:
    if not path.exists():
        return "a link to nothing"
    mode = path.stat().st_mode
    return "a directory" if stat.S_ISDIR(mode) else "a file" if stat.S_ISREG(mode) else "a pipe or a device"
