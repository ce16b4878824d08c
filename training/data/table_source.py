"""A table of images: one row each, with a label, maybe a split or fold, and further columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from core.config import TableConfig
from training.data.file_source import FileSource
from training.data.image_finder import NoImageError, find_root
from training.data.listing import Listing
from training.data.table_columns import find_column, find_columns
from training.data.table_file import read_table
from training.data.table_rows import BadRows, listing_of
from training.data.table_splits import splits_left_out, splits_of

_OTHER_SPLIT = "neither train, val or test nor the number of a fold"


class TableSource(FileSource):
    """Images that the rows of a table name.

    Args:
        path: of the table.
        config: its columns, where their names do not tell.

    Raises:
        UserError: the table cannot be read, lacks a column, or its images are not found.
    """

    def __init__(self, path: Path, config: TableConfig) -> None:
        self._path, self._config = path, config
        self._table = read_table(path)
        self._columns = find_columns(self._table.names, config, self._table.where)
        self._names = self._table.texts(self._columns.image)
        self._finder = find_root(path, list(filter(None, self._names)), config.folder)
        super().__init__(self._finder.root)
        self.name = path.stem
        self._rows_of: dict[str, int] = {}  # file → position of its row in the table

    def column(self, name: str) -> tuple[str, ...] | None:
        """Return the values of a column, one for each image of the listing."""
        column = find_column(self._table.names, name)
        if column is None:
            return None
        files, values = self.listing().files, self._table.texts(column)
        return tuple(values[self._rows_of[file]] for file in files)

    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return self._table.names

    def _list(self) -> Listing:
        table, columns = self._table, self._columns
        labels = table.texts(columns.label)
        splits = [""] * len(labels) if columns.split is None else table.texts(columns.split)
        labelled = {split for split, label in zip(splits, labels, strict=True) if split and label}
        unlabelled = {split for split in splits if split} - labelled
        given = splits_of(labelled, self._config.test_fold)
        bad = BadRows(len(labels))
        first = self._first_rows(labels, splits, given.roles if labelled else {""}, unlabelled, bad)
        files = sorted(first)
        self._rows_of = first
        own = [labels[first[file]] for file in files]
        image_splits = [given.roles.get(splits[first[file]], "") for file in files]
        notes = [columns.note]
        if self.root != self._path.parent:
            notes.append(f"image names start from {self.root}")
        left_out = splits_left_out("their images have no labels", unlabelled)
        return listing_of(files, own, image_splits, given, bad, notes=notes, left_out=left_out)

    def _first_rows(
        self,
        labels: Sequence[str],
        splits: Sequence[str],
        known: Collection[str],
        unlabelled: Collection[str],
        bad: BadRows,
    ) -> dict[str, int]:
        """Return file → position of the first row that names it, and collect the rows that are bad.

        Args:
            labels: of all rows.
            splits: of all rows.
            known: splits that are used.
            unlabelled: splits whose rows have no labels.
            bad: receives the rows without use.
        """
        first: dict[str, int] = {}
        for position, (row, name) in enumerate(zip(self._table.rows, self._names, strict=True)):
            label, split = labels[position], splits[position]
            if split in unlabelled:
                continue
            if not label:
                bad.lacks("no label", row, name)
                continue
            try:
                file = self._finder.find(name)
            except NoImageError as error:
                bad.lacks(str(error), row, name)
                continue
            if split not in known:
                bad.contradicts(_OTHER_SPLIT if split else "no split", row, split)
                continue
            before = first.setdefault(file, position)
            if before == position:
                continue
            other = f"{name}, as row {self._table.rows[before]}"
            if labels[before] != label:
                bad.contradicts("one image with two labels", row, other)
            elif splits[before] != split:
                bad.contradicts("one image in two splits", row, other)
            else:
                bad.repeats(row)
        return first
