"""Writing a run directory, beyond :mod:`nas.files`: JSON, CSV and disk errors."""

from __future__ import annotations

import csv
import errno
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.errors import UserError
from nas.files import write_text

_MENDABLE = {
    errno.ENOSPC: "the disk is full; free some space and try again",
    errno.EDQUOT: "the disk quota is used up; free some space and try again",
    errno.EFBIG: "files here may not be that large; choose another directory or raise the limit",
    errno.EROFS: "the disk is read-only; choose another directory",
    errno.EACCES: "no permission to write; choose another directory or change its rights",
    errno.EPERM: "no permission to write; choose another directory or change its rights",
    errno.ENOTDIR: "a part of this path is a file; choose another directory",
    errno.EEXIST: "a part of this path is a file; choose another directory",
    errno.EISDIR: "this is a directory; choose another name",
}


def remedy(error: OSError) -> str | None:
    """What is wrong with the disk and what to do, or ``None`` where the user cannot mend it."""
    return _MENDABLE.get(error.errno) if error.errno is not None else None


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what a user can mend about a disk (full, read-only, no rights) into one line.

    Raises:
        UserError: an ``OSError`` of that kind came up inside; names ``path``.
    """
    try:
        yield
    except OSError as error:
        if (advice := remedy(error)) is None:
            raise
        raise UserError(f"cannot write {path}: {advice}") from error


def json_text(content: Any) -> str:
    """Indented JSON, as files that people may read hold it."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def write_json(path: Path, content: Any) -> None:
    """Replace ``path`` by ``content`` as indented JSON: the old file or the new one, never half.

    Raises:
        UserError: the disk is full, read-only or closed to this user.
    """
    with disk_errors(path):
        write_text(path, json_text(content))


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """A table that any spreadsheet opens: UTF-8, comma-separated, the header being the first row."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    content = text.getvalue()
    # Excel takes UTF-8 for the local code page unless the mark is there; plain ASCII goes without.
    return content.encode("utf-8" if content.isascii() else "utf-8-sig", errors="replace")
