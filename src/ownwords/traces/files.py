"""How files come to be: whole or not at all, one writer to a run directory, and a plain word when the disk is full."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: nothing refuses a second writer there
    fcntl = None  # type: ignore[assignment]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_ROOM_SQLITE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_NOT_OURS_SQLITE = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


class DiskFull(ValueError):
    """Nothing more can be written; what was committed before is kept."""


@contextmanager
def replacing(paths: Sequence[Path]) -> Iterator[list[IO[bytes]]]:
    """Files to write that take the places of `paths`, together, at the end of the block; if it fails, none does."""
    temporary = [path.with_name(path.name + ".tmp") for path in paths]
    try:
        with ExitStack() as closing:
            files: list[IO[bytes]] = [closing.enter_context(open(path, "wb")) for path in temporary]
            yield files
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        for written, path in zip(temporary, paths, strict=True):
            os.replace(written, path)
    finally:
        for written in temporary:
            written.unlink(missing_ok=True)


def lock_for_writing(run_dir: Path) -> int:
    """Take `run_dir/lock` for this process; the descriptor to close for giving it back. The kernel does, if we die.

    A POSIX record lock and not `flock`: a forked worker that outlives its killed parent would inherit the latter, and
    the run could not go on. The price: it keeps out other processes only, not a second `Store` in this one.

    Raises ValueError if another process holds it.
    """
    lock = os.open(run_dir / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    if fcntl is not None:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(lock, 200).decode(errors="replace").strip()
            os.close(lock)
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            raise ValueError(
                f"{run_dir} is being written by another process ({holder}): wait until it ends, or name another directory"
            ) from None
    os.ftruncate(lock, 0)
    os.write(lock, f"process {os.getpid()} on {platform.node()}\n".encode())
    return lock


@contextmanager
def plain_errors(directory: Path) -> Iterator[None]:
    """Turn the system's errors that a user can mend into one line.

    Raises DiskFull if `directory` takes no more data, ValueError if its database is damaged or is none.
    """
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        # the low byte is the kind, the rest its variety
        sqlite_kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if sqlite_kind in _NO_ROOM_SQLITE or getattr(error, "errno", None) in _NO_ROOM:
            free = shutil.disk_usage(directory).free // 2**20
            raise DiskFull(
                f"the disk of {directory} is full or failing ({free} MiB free): everything finished so far is kept; "
                "free some space and start the same command again"
            ) from error
        if sqlite_kind in _NOT_OURS_SQLITE:
            raise ValueError(
                f"{directory / 'traces.sqlite'} is damaged or is no trace store ({error}): "
                "restore it from a copy, or name another --run"
            ) from error
        raise
