"""What a user can mend about a disk (full, read-only, no rights), in one line."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MENDABLE = {
    errno.ENOSPC: "the disk is full; free some space and try again",
    errno.EDQUOT: "the disk quota is used up; free some space and try again",
    errno.EFBIG: "files here may not be that large; choose another directory or raise the limit",
    errno.EROFS: "the disk is read-only; choose another directory",
    errno.EACCES: "no permission to write; choose another directory or change its rights",
    errno.EPERM: "no permission to write; choose another directory or change its rights",
    errno.ENOTDIR: "a part of this path is a file; choose another directory",
    errno.EEXIST: "a part of this path is a file; choose another directory",
    errno.ENAMETOOLONG: "this path is too long; choose a shorter one",
    errno.EIO: "the disk reports an error; choose another directory",
    errno.EISDIR: "this is a directory; choose another name",
}


def complaint(error: OSError, path: Path, *, cached: bool) -> str | None:
    """What went wrong at ``path`` and what to do, or ``None`` where the user cannot mend it.

    Args:
        error: what came up.
        path: what could not be written.
        cached: whether it is in the cache, which the user can move but not choose file by file.
    """
    if error.errno not in _MENDABLE:
        return None
    if not cached:
        return f"cannot write {path}: {_MENDABLE[error.errno]}"
    if error.errno in _FULL:
        return (
            f"no space left for the cache in {path}: free some space, or set MINNOW_CACHE to a directory "
            "on a larger disk"
        )
    return (
        f"the cache in {path} cannot be used ({error.strerror}): set MINNOW_CACHE to a directory that "
        "can be written"
    )


@contextmanager
def disk_errors(path: Path, *, cached: bool = False) -> Iterator[None]:
    """Turn what a user can mend into one line.

    Args:
        path: what is written inside.
        cached: see :func:`complaint`.

    Raises:
        UserError: an ``OSError`` of that kind came up inside.
    """
    try:
        yield
    except OSError as error:
        if (found := complaint(error, path, cached=cached)) is None:
            raise
        raise UserError(found) from error
