"""Errors that a user can cause and correct: one line, no traceback, exit code 2."""

from __future__ import annotations

import errno
import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from core.cache import in_cache

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OTHERS = {errno.ENOENT, errno.ELOOP, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENXIO, errno.ENODEV}
_NO_MEMORY = (  # in the words of torch, oneDNN, CUDA, cuBLAS, cuDNN and ONNX Runtime
    "can't allocate memory",
    "cannot allocate memory",
    "out of memory",
    "storage size calculation overflowed",
    "could not create a memory object",
    "status_alloc_failed",
    "failed to allocate memory",
    "bad allocation",
    "bad_alloc",
)
_ADVICE = {
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

_LONGEST_MESSAGE, _LONGEST_VALUE = 300, 100  # characters
_MOST_NAMED = 10
_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother, _REPR.maxlong = 3, 60, 60, 40
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _REPR.maxset = 12


class UserError(Exception):
    """An error in what the user gave.

    The message is one line and says what is wrong, where, and what to do about it.
    """


def one_line(error: BaseException | str) -> str:
    """Return another library's error message on one short line, or the error's type if it has none."""
    return cut(" ".join(str(error).split()), _LONGEST_MESSAGE) or type(error).__name__


def short(value: object) -> str:
    """Return the ``repr`` of a value of unknown origin, shortened and on one line.

    It costs little however large the value is, or however often it contains a part of itself.
    """
    try:
        text = _REPR.repr(value)
    except (ValueError, RecursionError):  # a whole number of more digits than Python writes
        text = f"a value of the type {type(value).__name__}"
    return cut(" ".join(text.split()), _LONGEST_VALUE)


def cut(text: str, longest: int) -> str:
    """Return a text of at most ``longest`` characters, with ``...`` in the place of the rest."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def named(names: Sequence[str]) -> str:
    """Return the first few of some names in one line, and how many more there are."""
    few = ", ".join(name if name.isprintable() else ascii(name) for name in names[:_MOST_NAMED])
    return f"{few} and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else few


def out_of_memory(error: BaseException) -> bool:
    """Tell if an error of any library says that the memory, or that of the GPU, does not suffice."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if not isinstance(error, RuntimeError) and type(error).__module__.split(".")[0] != "onnxruntime":
        return False
    text = str(error).lower()
    return any(words in text for words in _NO_MEMORY)


def disk_advice(error: OSError, path: Path) -> str | None:
    """Return what is wrong with the disk at ``path`` and what to do; ``None``: not the user's to correct.

    The user chooses the place of the cache, not of the files in it, so the advice differs there.
    """
    if error.errno not in _ADVICE:
        return None
    if not in_cache(path):
        return f"cannot write {path}: {_ADVICE[error.errno]}"
    if error.errno in _FULL:
        return (
            f"no space left for the cache in {path}: free some space, or set MINNOW_CACHE to a directory "
            "on a larger disk"
        )
    return (
        f"the cache in {path} cannot be used ({error.strerror}): set MINNOW_CACHE to a directory that "
        "can be written"
    )


def system_advice(error: OSError) -> str | None:
    """Return one line about an error of the system while reading; ``None`` if it may be a bug.

    Errors of writing go through :func:`disk_errors`.
    """
    if error.errno not in _ADVICE and error.errno not in _OTHERS:
        return None
    path = error.filename2 or error.filename
    if error.errno in _FULL:
        return f"{path}: {_ADVICE[error.errno]}" if path else _ADVICE[error.errno]
    return ": ".join(str(part) for part in (path, error.strerror) if part)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` that the user can correct into a :class:`UserError` about ``path``.

    Raises:
        UserError: the disk is full, read-only or closed to this user.
    """
    try:
        yield
    except OSError as error:
        if (advice := disk_advice(error, path)) is None:
            raise
        raise UserError(advice) from error
