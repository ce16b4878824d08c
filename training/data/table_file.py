"""Files of tables: CSV with any usual separator, one JSON object per line, Parquet."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError, one_line, short
from core.reading import RECORD, read_bytes, read_lines

_SEPARATORS = ",;\t|"
_STATED = re.compile("sep=(.)")  # the first line of a table for Excel
_MAX_ROWS = 20_000_000  # a Parquet file of a few kilobytes can hold more
_WITH_IMAGES = "a folder of Parquet files that hold the images themselves is opened as hf:FOLDER"


@dataclass(frozen=True)
class Table:
    """A table whose columns are read when they are needed.

    Attributes:
        where: what to call it in messages.
        names: of the columns.
        rows: number of each row in the file, from 1: as a spreadsheet counts them, the line of a JSON
            object, the row of a Parquet file.
        values: from the name of a column to its values, of any kind that the file has.
    """

    where: str
    names: tuple[str, ...]
    rows: Sequence[int]
    values: Callable[[str], Sequence[Any]]

    def texts(self, name: str) -> list[str]:
        """Return a column as texts without spaces around them, "" where it is empty.

        Raises:
            UserError: a value is neither text nor number; names the row.
        """
        texts = []
        for row, value in zip(self.rows, self.values(name), strict=True):
            if isinstance(value, float) and value.is_integer():  # as pandas stores numbers beside gaps
                value = int(value)
            if value is None or value != value:  # NaN
                value = ""
            if not isinstance(value, str | int | float):
                remedy = _WITH_IMAGES if isinstance(value, dict | bytes) else "choose another column"
                raise UserError(
                    f"{self.where}, row {row}: column {name!r} holds {short(value)}, expected a text "
                    f"or a number; {remedy}"
                )
            texts.append(str(value).strip())
        return texts


def read_table(path: Path) -> Table:
    """Read a table.

    Args:
        path: its ending is one of :data:`READERS`.

    Raises:
        UserError: missing, too large, malformed, without rows, or with two columns of one name.
    """
    if not path.exists():
        raise UserError(f"table {path} does not exist")
    table = READERS[path.suffix.lower()](path)
    repeated = sorted({name for name in table.names if name and table.names.count(name) > 1})
    if repeated:
        raise UserError(f"table {path} has two columns {repeated[0]!r}: rename one of them")
    if not table.rows:
        raise UserError(f"table {path} has no rows")
    return table


def _text(path: Path) -> str:
    """Return the text of a table in UTF-8, or in UTF-16 with its mark, as "Unicode text" of Excel is.

    Raises:
        UserError: see :func:`core.reading.read_bytes`; the text is in another encoding.
    """
    content = read_bytes(path, "table", limit=RECORD)
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise UserError(
            f"table {path} is no text in UTF-{16 if wide else 8} ({one_line(error)}): "
            "save it as CSV in UTF-8"
        ) from None


def _read_csv(path: Path) -> Table:
    text = _text(path)
    first, _, rest = text.partition("\n")
    stated = _STATED.fullmatch(first.strip())
    separator = stated[1] if stated else max(_SEPARATORS, key=first.count)
    before = 1 if stated else 0  # lines before the names of the columns
    reader = csv.reader(io.StringIO(rest if stated else text), delimiter=separator, strict=True)
    header: list[str] | None = None
    rows, records = [], []
    try:
        for number, cells in enumerate(reader, start=1 + before):
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                continue
            if len(cells) > len(header) and any(cells[len(header) :]):
                raise UserError(
                    f"table {path}, row {number}: it has {len(cells)} cells and the first row "
                    f"{len(header)}: put cells with a {separator!r} into quotes"
                )
            rows.append(number)
            records.append(cells + [""] * (len(header) - len(cells)))
    except csv.Error as error:
        raise UserError(f"table {path}, line {reader.line_num + before}: {one_line(error)}") from None
    names = tuple(header or ())

    def column(name: str) -> list[str]:
        position = names.index(name)
        return [cells[position] for cells in records]

    return Table(f"table {path}", names, rows, column)


def _read_json_lines(path: Path) -> Table:
    records = read_lines(path, "table")
    names = tuple(dict.fromkeys(name for record in records for name in record))
    rows = range(1, len(records) + 1)
    return Table(f"table {path}", names, rows, lambda name: [record.get(name) for record in records])


def _read_parquet(path: Path) -> Table:
    content = read_bytes(path, "table", remedy=_WITH_IMAGES)
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise UserError(
            f"table {path} needs the package 'pyarrow'; pip install 'minnow[datasets]'"
        ) from None

    def column(name: str) -> list[Any]:
        try:
            return list(file.read(columns=[name]).column(name).to_pylist())
        except (ValueError, OSError) as error:
            raise UserError(f"table {path}: column {name!r} cannot be read: {one_line(error)}") from None

    try:
        file = ParquetFile(io.BytesIO(content))
    except (ValueError, OSError) as error:
        raise UserError(f"table {path} cannot be read: {one_line(error)}") from None
    rows = file.metadata.num_rows
    if rows > _MAX_ROWS:
        raise UserError(f"table {path} has {rows:,} rows: tables have at most {_MAX_ROWS:,}")
    return Table(f"table {path}", tuple(file.schema_arrow.names), range(1, rows + 1), column)


#: Ending of a file → its reader.
READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": _read_parquet,
}
