"""Paths of output: what a file or folder may replace, what is written through, what is refused."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from core.errors import UserError, disk_advice


def check_file(path: Path) -> os.stat_result | None:
    """Refuse a path that cannot become a file; return what is there, ``None`` where nothing is.

    Raises:
        UserError: it is empty, a directory, a disk, a socket, or cannot be looked at.
    """
    try:
        old = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(
            disk_advice(error, path) or f"{path} cannot be written: {error.strerror}; choose another name"
        ) from error
    if stat.S_ISDIR(old.st_mode):
        raise UserError(f"{str(path)!r} is a directory; give the name of a file")
    if stat.S_ISBLK(old.st_mode) or stat.S_ISSOCK(old.st_mode):
        raise UserError(f"{str(path)!r} is no file but a device or a socket; give the name of a file")
    return old


def check_folder(path: Path) -> None:
    """Refuse a path that cannot become a folder of its own.

    Raises:
        UserError: it is empty, ``.``, the root of the file system, or no folder.
    """
    if path in (Path(), Path(path.anchor)):
        raise UserError(f"{str(path)!r} is no place of its own; give the name of a new directory")
    if os.path.lexists(path) and not path.is_dir():
        raise UserError(f"{path} is a file; choose another place")


def check_free(out: Path) -> None:
    """Refuse to write where something is already.

    Raises:
        UserError: ``out`` is a file, or a folder that is not empty.
    """
    check_folder(out)
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty; choose another place, or remove it first")


def is_replaceable(path: Path, old: os.stat_result) -> bool:
    """Tell if a path is a regular file that a rename can replace.

    ``/dev/stdout`` may link to a file that has no name any more.
    """
    if not stat.S_ISREG(old.st_mode):
        return False
    try:
        return os.path.samestat(old, os.stat(os.path.realpath(path)))
    except OSError:
        return False


def write_through(path: Path, content: Iterable[bytes]) -> None:
    """Write into a device or a pipe that somebody reads."""
    try:
        handle = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise UserError(f"nobody reads the pipe {path}; give the name of a file") from error
        raise
    try:
        os.set_blocking(handle, True)
        for part in content:
            write_all(handle, part)
    finally:
        os.close(handle)


def write_all(handle: int, content: bytes) -> None:
    """Write all bytes to an open file."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]
