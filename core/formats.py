"""Files of a run directory, beyond :mod:`core.files`: JSON, JSON lines and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.disk import disk_errors
from core.files import write_text


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


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file that :func:`write_lines` wrote; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Replace ``path`` by records, each one line of JSON: the old file or the new one, never half.

    Raises:
        UserError: the disk is full, read-only or closed to this user.
    """
    with disk_errors(path):
        write_text(path, "".join(json.dumps(record) + "\n" for record in records))


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """A table, comma-separated, the header being the first row."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """The same as a file that any spreadsheet opens, in UTF-8."""
    content = csv_text(rows)
    # Excel takes UTF-8 for the local code page unless the mark is there; plain ASCII goes without.
    return content.encode("utf-8" if content.isascii() else "utf-8-sig", errors="replace")
