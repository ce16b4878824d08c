r"""Tables as CSV that every reader takes alike and that no spreadsheet computes.

A spreadsheet computes a cell that begins like a formula. Such a path gets ``./`` in front, any other text
an apostrophe; a number stays. A byte of a file name that is no UTF-8 is written as ``\xe9``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

# Apostrophes before it, so that a text that has one of its own comes back as it was.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")
_NAMED = 3  # changed names in a notice


def path_cell(path: str) -> str:
    """Return a relative or absolute path as a cell."""
    return _readable(f"./{path}" if _FORMULA.match(path) else path)


def text_cell(text: str) -> str:
    """Return a text, such as a class name, as a cell."""
    computed = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return _readable(f"'{text}" if computed else text)


def plain_path(cell: str) -> str:
    """Return the path of :func:`path_cell`."""
    return cell[2:] if cell.startswith("./") and _FORMULA.match(cell[2:]) else cell


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return a table as comma-separated text, the header being the first row.

    Args:
        rows: texts among their cells go through :func:`text_cell`; make paths with :func:`path_cell`.
    """
    text = io.StringIO(newline="")
    csv.writer(text).writerows(
        [text_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    )
    return text.getvalue()


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """Return a table as a file that any spreadsheet opens, in UTF-8."""
    content = csv_text(rows)
    # Excel takes UTF-8 for the local code page unless the mark is there; plain ASCII goes without.
    return content.encode("utf-8" if content.isascii() else "utf-8-sig")


def cells_of(paths: Iterable[str], texts: Iterable[str]) -> dict[str, str]:
    """Return name → cell of paths and of other texts, as for :func:`change_notice`."""
    return {path: path_cell(path) for path in paths} | {text: text_cell(text) for text in texts}


def change_notice(cells: Mapping[str, str]) -> str | None:
    """Return one line about the names that a table writes differently, or ``None``.

    Args:
        cells: name → cell.
    """
    changed = [(name, cell) for name, cell in cells.items() if name != cell]
    if not changed:
        return None
    some = ", ".join(f"{_shown(name)} as {_shown(cell)}" for name, cell in changed[:_NAMED])
    more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
    return f"names that begin like a formula, or are no UTF-8, are written differently: {some}{more}"


def _readable(text: str) -> str:
    """Return the text with bytes that are no UTF-8, and lone halves of pairs, as escapes."""

    def escape(found: re.Match[str]) -> str:
        code = ord(found[0])
        return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"

    return _SURROGATE.sub(escape, text)


def _shown(text: str) -> str:
    """Return a name on one line, as terminals show it."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", _SURROGATE.sub("\ufffd", text))
