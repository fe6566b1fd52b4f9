"""How files come to be: whole or not at all, one writer to a directory, nothing left of what fails, and a plain word
for what the system refuses."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from ownwords.configuration import FieldError
from ownwords.io.paths import temporary

try:
    import fcntl
except ImportError:  # Windows: nothing refuses a second writer there
    fcntl = None  # type: ignore[assignment]  # Windows has none

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_ROOM_SAID = re.compile(
    "|".join(["PytorchStreamWriter failed", *(rf"os error {n}\)|{os.strerror(n)}" for n in _NO_ROOM)])
)
"""by libraries that write files of their own, safetensors and torch, in errors of their own kinds"""
_NO_ROOM_SQLITE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_NO_WAY_SQLITE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)
_TAKEN_SQLITE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class DiskFull(ValueError):
    """Nothing more can be written; what was committed before is kept."""


@contextmanager
def folder(path: Path) -> Iterator[None]:
    """`path` as a directory. What has to be made of it and of what lies above goes again if the block fails and leaves
    it empty."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for one in missing:
            with suppress(OSError):
                one.rmdir()
        raise


@contextmanager
def replacing(paths: Sequence[Path]) -> Iterator[list[IO[bytes]]]:
    """Files to write that take the places of `paths`, together, at the end of the block; if it fails, none does, and
    nothing is left. A link stays one: what it leads to is replaced."""
    targets = [Path(os.path.realpath(path)) for path in paths]
    places = {temporary(target): target for target in targets}
    with ExitStack() as closing:
        for parent in dict.fromkeys(target.parent for target in targets):
            closing.enter_context(folder(parent))
        try:
            with ExitStack() as opened:
                files: list[IO[bytes]] = [opened.enter_context(open(path, "xb")) for path in places]
                yield files
                for file in files:
                    file.flush()
                    os.fsync(file.fileno())
            if taken := [target for target in targets if target.is_dir()]:
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(taken[0]))
            for written, target in places.items():
                os.replace(written, target)
        except OSError as error:  # people know the file by its own name
            for written, target in places.items():
                if error.filename in (written, str(written)):
                    error.filename = str(target)
            raise
        finally:
            for written in places:
                with suppress(OSError):
                    written.unlink(missing_ok=True)


def write_file(path: Path, content: str) -> None:
    """One file of text, whole or not at all. Raises DiskFull if there is no room."""
    with plain_errors(path.parent), replacing([path]) as [file]:
        file.write(content.encode())


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A directory to fill that is `path` at the end of the block; if it fails, nothing is left. `path` may be there,
    if it is empty."""
    with plain_errors(path.parent), folder(path.parent):
        staged = temporary(path)
        try:
            staged.mkdir()
            yield staged
            with suppress(FileNotFoundError):
                path.rmdir()
            staged.rename(path)
        finally:
            shutil.rmtree(staged, ignore_errors=True)


@contextmanager
def undone(paths: Sequence[Path], kept: Callable[[], bool]) -> Iterator[None]:
    """Files and directories that the block makes. If it fails before there is anything worth keeping, they go again."""
    missing = [path for path in paths if not os.path.lexists(path)]
    try:
        yield
    except BaseException:
        for path in [] if kept() else missing:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise


@contextmanager
def locked(run_dir: Path, *, field: str = "run") -> Iterator[None]:
    """Hold `run_dir/lock` for this process. The kernel gives it back if we die. `field`: what names
    the directory.

    A POSIX record lock and not `flock`: a forked worker that outlives its killed parent would inherit the latter, and
    the run could not go on. The price: it keeps out other processes only, not a second `Store` in this one.

    Raises ValueError if another process holds it.
    """
    path = run_dir / "lock"
    made = not os.path.lexists(path)
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(lock, run_dir, field)
        yield
    except BaseException:
        if made and [*run_dir.iterdir()] == [path]:
            path.unlink()
        raise
    finally:
        os.close(lock)


def _take(lock: int, run_dir: Path, field: str) -> None:
    holder = os.read(lock, 200).decode(errors="replace").strip()
    if holder and not holder.startswith("process "):
        message = f"{{}} is no lock of ownwords: name another {{{field}}}, or move that file away"
        raise FieldError(field, message, run_dir / "lock")
    if fcntl is not None:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            message = (
                f"{{}} is being written by another process ({{}}): wait until it ends, or name another {{{field}}}"
            )
            raise FieldError(field, message, run_dir, holder) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)


@contextmanager
def plain_errors(directory: Path) -> Iterator[None]:
    """Turn the system's errors that a user can mend into one line.

    Raises DiskFull if `directory` takes no more data, ValueError if its database is damaged or is none.
    """
    try:
        yield
    except Exception as error:
        # the low byte is the kind, the rest its variety
        sqlite_kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
        database = directory / "traces.sqlite"
        if sqlite_kind in _NO_ROOM_SQLITE or no_room(error):
            raise DiskFull(
                f"the disk of {directory} is full or failing ({_free(directory)} MiB free): everything finished so far "
                "is kept; free some space and start the same command again"
            ) from error
        if sqlite_kind in _NO_WAY_SQLITE:
            raise ValueError(
                f"{database} cannot be used ({error}): are it and its directory yours to write?"
            ) from error
        if sqlite_kind in _TAKEN_SQLITE:
            raise ValueError(f"{database} is in use by another program ({error}): wait until it ends") from error
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.IntegrityError):
            raise ValueError(damaged(directory, str(error))) from error
        raise


def no_room(error: BaseException | None) -> bool:
    """Whether a full disk is at the bottom of an error: torch, closing a file that took no more, raises one of its own
    about the file's length."""
    while error is not None:
        if getattr(error, "errno", None) in _NO_ROOM or _NO_ROOM_SAID.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def damaged(run_dir: Path, why: str) -> str:
    """What is said of a run directory whose database cannot be read."""
    return (
        f"{run_dir / 'traces.sqlite'} is damaged or is no trace store ({why[:200]}): restore it from a copy, name "
        f"another --run, or take out what can still be read: ownwords export {run_dir} --salvage --out DIR"
    )


def _free(directory: Path) -> int:
    there = next(one for one in (directory.absolute(), *directory.absolute().parents) if one.exists())
    return shutil.disk_usage(there).free // 2**20
