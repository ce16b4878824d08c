"""Files that are either whole or absent: write beside, flush to disk, rename."""

from __future__ import annotations

import glob
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` atomically; a crash leaves the old file or the new one.

    Once this returns, the new one survives a power cut. Several processes may write the same path at
    once; the last one wins. What a killed one left beside it is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with _claimed(name):
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    flush_directory(path.parent)


def write_text(path: Path, content: str) -> None:
    """:func:`write_bytes` for text, as UTF-8."""
    write_bytes(path, content.encode("utf-8"))


def flush_directory(path: Path) -> None:
    """Make renames inside ``path`` survive a power cut (on Windows there is no such call)."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_leftovers(path: Path) -> None:
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        with suppress(OSError), _claimed(left) as unclaimed:
            if unclaimed:
                left.unlink()


@contextmanager
def _claimed(path: str | Path) -> Iterator[bool]:
    """Hold a file until the end of the block or of this process; gives whether no other one has it."""
    if sys.platform == "win32":  # which removes no file that is open
        yield True
        return
    import fcntl

    with open(path, "rb") as file:
        unclaimed = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            unclaimed = False
        yield unclaimed
