"""The cache directory, and files in it that are either whole or not there."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from core.disk import disk_errors
from core.errors import UserError

_STALE_SECONDS = 3600.0


def cache_dir() -> Path:
    """Where decoded images and downloads are kept; the directory may not exist yet.

    ``$MINNOW_CACHE``, else ``$XDG_CACHE_HOME/minnow``, else ``~/.cache/minnow``.
    """
    chosen = os.environ.get("MINNOW_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "minnow"


def in_cache(path: Path) -> bool:
    """Whether a file belongs to the cache."""
    return path.absolute().is_relative_to(cache_dir().absolute())


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Write a file beside ``path`` and move it there once it is whole and on disk.

    Gives the function that appends bytes. A process that is killed leaves ``path`` as it was.
    Several processes may write the same path at once; the last one wins. What a killed process
    left behind is removed after an hour.

    Raises:
        UserError: the disk is full or the directory cannot be written.
    """
    with disk_errors(path.parent, cached=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path.parent)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)

    def write(content: bytes) -> None:
        with disk_errors(path.parent, cached=True):
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(handle, rest) :]

    try:
        try:
            yield write
            with disk_errors(path.parent, cached=True):
                os.fsync(handle)
        finally:
            os.close(handle)
        with disk_errors(path.parent, cached=True):
            os.chmod(name, 0o644)  # others may share the cache
            os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def require_space(directory: Path, size: int) -> None:
    """Check that ``size`` more bytes fit into the cache, before the work is done in vain.

    Raises:
        UserError: they do not, or the directory cannot be made.
    """
    with disk_errors(directory, cached=True):
        directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(directory).free
    if free < size:
        raise UserError(
            f"the decoded images need {size / 1e6:,.0f} MB and {directory} has {free / 1e6:,.0f} "
            "MB left: free some space, choose a smaller size, or set MINNOW_CACHE to a directory "
            "on a larger disk"
        )


def _remove_stale(directory: Path) -> None:
    # A live writer touches its file all the time, so an hour of silence means it is gone.
    for left in directory.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                left.unlink()
