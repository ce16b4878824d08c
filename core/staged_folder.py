"""A folder that is either whole or absent: made beside its place, moved there at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.disk import disk_errors
from core.errors import UserError
from core.files import flush_directory
from core.locks import LOCK, locked


def check_free(out: Path) -> None:
    """Refuse to write where something is already.

    Raises:
        UserError: ``out`` is a file, or a folder that is not empty.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; choose another place")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out {out} is not empty; choose another place, or remove it first")


@contextmanager
def made_whole(out: Path, warn: Callable[[str], None] | None = None) -> Iterator[Path]:
    """Give ``.OUT.partial`` beside ``out`` to fill; it becomes ``out`` when the block ends well.

    A process that is killed leaves ``.OUT.partial`` behind and no ``out``; the next one removes it.

    Args:
        out: missing, or an empty folder.
        warn: called with one line where a killed process left something.

    Raises:
        UserError: another process is filling it; ``out`` is not free; the disk is full or read-only.
    """
    out = out.resolve()
    check_free(out)
    work = out.with_name(f".{out.name}.partial")
    with disk_errors(out):
        work.mkdir(parents=True, exist_ok=True)
        with locked(work):
            try:
                left = [entry for entry in work.iterdir() if entry.name != LOCK]
                if left and warn is not None:
                    warn(f"an earlier run was interrupted: what it left in {work} is removed")
                for entry in left:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
                yield work
                check_free(out)
                (work / LOCK).unlink(missing_ok=True)
                os.replace(work, out)
                flush_directory(out.parent)
            finally:
                shutil.rmtree(work, ignore_errors=True)
