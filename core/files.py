"""Files and folders that are either whole or absent: written beside their place, then renamed."""

from __future__ import annotations

import glob
import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from core.errors import UserError, disk_errors
from core.locks import try_lock
from core.output_path import check_file, check_free, is_replaceable, write_all, write_through

_TOKEN_SIZE = 8  # characters between the name and ".partial", those of tempfile.mkdtemp


@contextmanager
def atomic_file(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Yield the function that appends bytes; the file replaces ``path`` when the block ends well.

    A crash leaves the old file or the new one. Once the block has ended, the new one survives a power
    cut. Several processes may write the same path at once; the last one wins. What a killed one left is
    removed by the next one in that directory. A link stays, and its target is replaced; a file keeps its
    mode. A character device or a pipe, such as ``/dev/stdout``, is written through when the block ends.

    Raises:
        UserError: ``path`` is a directory or another thing than a file; the disk is full or read-only, or
            the directory cannot be written.
    """
    old = check_file(path)
    if old is not None and not is_replaceable(path, old):
        content: list[bytes] = []
        yield content.append
        with disk_errors(path):
            write_through(path, content)
        return
    target = Path(os.path.realpath(path))
    with _staging(target) as work:
        file = work / target.name
        with disk_errors(path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            handle = os.open(file, flags, 0o666)  # without what the user's umask takes away

        def write(content: bytes) -> None:
            with disk_errors(path):
                write_all(handle, content)

        try:
            yield write
            with disk_errors(path):
                os.fsync(handle)
        finally:
            os.close(handle)
        with disk_errors(path):
            if old is not None:
                os.chmod(file, stat.S_IMODE(old.st_mode))
            os.replace(file, target)
            flush_directory(target.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, see :func:`atomic_file`."""
    with atomic_file(path) as write:
        write(content)


def write_text(path: Path, content: str) -> None:
    """Replace ``path`` by a text in UTF-8, see :func:`atomic_file`."""
    write_bytes(path, content.encode("utf-8"))


@contextmanager
def staged_folder(out: Path, warn: Callable[[str], None] | None = None) -> Iterator[Path]:
    """Yield a folder to fill beside ``out``; it becomes ``out`` when the block ends well.

    Args:
        out: missing, or an empty folder.
        warn: called with one line where a killed process left a half-filled folder.

    Raises:
        UserError: another process is filling it; ``out`` is not free; the disk is full or read-only.
    """
    check_free(out)
    out = out.resolve()
    with disk_errors(out):
        before = _staging_folders(out.parent, out.name)
    with _staging(out) as work:
        if _staging_folders(out.parent, out.name) != [work]:
            raise UserError(f"{out} is in use by another process; wait or choose another place")
        if before and warn is not None:
            warn(f"an earlier run was interrupted; its unfinished files beside {out} are removed")
        folder = work / out.name
        with disk_errors(out):
            folder.mkdir()
        yield folder
        with disk_errors(out):
            check_free(out)
            os.replace(folder, out)
            flush_directory(out.parent)


@contextmanager
def staged_files(folder: Path, *, last: str) -> Iterator[Path]:
    """Yield a folder to fill; its files move into ``folder`` when the block ends well, ``last`` last.

    ``folder`` counts as whole while the file ``last`` is there: the old one goes before any file
    moves. So a killed process leaves the old files, the new ones, or a folder without ``last``. The
    caller flushes the files to disk (:func:`write_bytes` does).

    Raises:
        UserError: the disk is full or read-only.
    """
    with _staging(folder / last) as work:
        filled = work / "files"
        with disk_errors(folder):
            filled.mkdir()
        yield filled
        with disk_errors(folder):
            (folder / last).unlink(missing_ok=True)
            flush_directory(folder)
            for name in sorted(os.listdir(filled), key=lambda name: (name == last, name)):
                if name == last:
                    flush_directory(folder)  # nothing may reach the disk later than this file
                os.replace(filled / name, folder / name)
            flush_directory(folder)


def flush_directory(path: Path) -> None:
    """Make renames inside ``path`` survive a power cut (on Windows there is no such call)."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _staging(path: Path) -> Iterator[Path]:
    """Yield an empty folder ``.NAME.TOKEN.partial`` beside ``path``, which is locked and then removed.

    Whoever holds the lock of such a folder may remove it, and renames it first. So a folder that is
    still in its place once it is locked belongs to this process until the end, and a writer whose
    folder was removed between its creation and its lock takes another.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in _staging_folders(path.parent):
            with suppress(OSError):
                if (held := try_lock(left)) is not None:
                    _discard(left, held)
        lock = None
        while lock is None:
            work = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial"))
            lock = try_lock(work)
    try:
        yield work
    finally:
        _discard(work, lock)


def _staging_folders(parent: Path, name: str | None = None) -> list[Path]:
    """Return the staging folders of living and killed writers in ``parent``, of all names or of one."""
    prefix = "*" if name is None else glob.escape(name)
    return list(parent.glob(f".{prefix}.{'[!.]' * _TOKEN_SIZE}.partial"))


def _discard(work: Path, lock: FileLock) -> None:
    """Remove a staging folder that this process holds."""
    *name, _, suffix = work.name.split(".")
    gone = work.with_name(".".join([*name, secrets.token_hex(_TOKEN_SIZE // 2), suffix]))
    try:
        os.rename(work, gone)
    except OSError:  # Windows moves no folder with an open file
        gone = work
    lock.release()
    shutil.rmtree(gone, ignore_errors=True)


def json_text(content: Any) -> str:
    """Return indented JSON, as in the files that people read."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def write_json(path: Path, content: Any) -> None:
    """Replace ``path`` by ``content`` as indented JSON, see :func:`atomic_file`."""
    write_text(path, json_text(content))


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Replace ``path`` by records, each one line of JSON, see :func:`atomic_file`."""
    write_text(path, "".join(json.dumps(record) + "\n" for record in records))
