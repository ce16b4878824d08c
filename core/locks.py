"""A lock on a directory, which the kernel releases when the process that holds it dies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import UserError

LOCK = ".lock"  # the file in the directory


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory for this process.

    Raises:
        UserError: another process holds it.
    """
    lock = FileLock(directory / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"{directory} is in use by another process; wait for it or choose another --out"
        ) from None
    try:
        yield
    finally:
        lock.release()
