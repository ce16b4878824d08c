"""Locks on directories and files, which the kernel releases when the process that holds them dies."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import UserError

LOCK = ".lock"  # the file in the directory
_PAUSE = 0.05  # seconds between two tries


def try_lock(directory: Path) -> FileLock | None:
    """Lock a directory; ``None`` if another process holds it, or if it has been renamed or removed."""
    return _try_file(directory / LOCK)


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


@contextlib.contextmanager
def locked_file(path: Path, busy: str, seconds: float = 0.0) -> Iterator[None]:
    """Hold a file that is there only while a process holds it, or was killed with it.

    Args:
        path: of the file; its directory exists.
        busy: message where another process holds it.
        seconds: to wait for it.

    Raises:
        UserError: another process holds it longer than that.
        OSError: the directory cannot be written.
    """
    deadline = time.monotonic() + seconds
    while (lock := _try_file(path)) is None:
        if time.monotonic() >= deadline:
            raise UserError(busy)
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open file
            path.unlink()
        lock.release()


def _try_file(path: Path) -> FileLock | None:
    """Lock a file; ``None`` if another process holds it, or if it has been replaced or removed.

    Raises:
        UserError: its file system has no locks.
    """
    try:
        # While this file is open, no other one can have its number: the comparison is exact.
        with path.open("ab") as file:
            lock = FileLock(path)
            lock.acquire(timeout=0)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return lock
            lock.release()
    except NotImplementedError:
        raise _no_locks(path) from None
    except Timeout:
        _check_held(path)
    except FileNotFoundError:
        pass
    return None


def _check_held(path: Path) -> None:
    """Check that a lock could not be taken because another process has it.

    Raises:
        UserError: the file system has no locks, as some network file systems.
    """
    with contextlib.suppress(ImportError, FileNotFoundError):  # Windows has locks everywhere
        import fcntl

        with path.open("ab") as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise _no_locks(path) from None


def _no_locks(path: Path) -> UserError:
    return UserError(
        f"{path.parent} is on a file system without locks: choose a directory on another one, and set "
        "MINNOW_CACHE to a folder there if this is the cache"
    )
