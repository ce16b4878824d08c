"""Locks on directories, which the kernel releases when the process that holds them dies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import UserError

LOCK = ".lock"  # the file in the directory


def try_lock(directory: Path) -> FileLock | None:
    """Lock a directory; ``None`` if another process holds it, or if it has been renamed or removed."""
    path = directory / LOCK
    try:
        # While this file is open, no other one can have its number: the comparison is exact.
        with path.open("ab") as file:
            lock = FileLock(path)
            lock.acquire(timeout=0)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return lock
            lock.release()
    except (Timeout, FileNotFoundError):
        pass
    return None


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory for this process.

    Raises:
        UserError: another process holds it.
    """
    lock = try_lock(directory)
    if lock is None:
        raise UserError(
            f"{directory} is in use by another process; wait for it or choose another directory"
        )
    try:
        yield
    finally:
        lock.release()
