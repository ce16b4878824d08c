"""Columns of a table of images, by the names that people give them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.config import TableConfig
from core.errors import UserError, named, short

# Letters and digits of the names, in lower case; the likelier first.
IMAGE_NAMES = (
    *("path", "filepath", "imagepath", "imgpath", "filename", "file", "image", "img", "imagefile"),
    *("imagefilename", "imagename", "imgname", "imageid", "imgid", "id", "name"),
)
LABEL_NAMES = ("label", "class", "target", "category", "labels", "classname", "labelname", "cls")
_SPLIT_NAMES = ("split", "fold", "kfold")
_NO_COLUMN = "none"


@dataclass(frozen=True)
class TableColumns:
    """Names of the columns that are read; ``split`` is ``None`` without one."""

    image: str
    label: str
    split: str | None

    @property
    def note(self) -> str:
        """One line that says which they are."""
        split = "" if self.split is None else f", splits from {self.split!r}"
        return f"images from column {self.image!r}, labels from {self.label!r}{split}"


def find_columns(names: Sequence[str], config: TableConfig, where: str) -> TableColumns:
    """Return the columns of images, labels and splits.

    Args:
        names: of all columns.
        config: those that the user names.
        where: names the table in messages.

    Raises:
        UserError: there is no such column, or none with a known name; lists those that there are.
    """
    image = required_column(names, config.image, IMAGE_NAMES, "image", where)
    others = [name for name in names if name != image]
    label = required_column(others, config.label, LABEL_NAMES, "label", where)
    if config.split in (None, _NO_COLUMN):
        split = likely_column(names, _SPLIT_NAMES) if config.split is None else None
    else:
        split = required_column(names, config.split, (), "split", where)
    return TableColumns(image, label, split)


def find_column(names: Sequence[str], name: str) -> str | None:
    """Return the column of a name, in any case where that leaves no doubt; ``None``: there is none."""
    alike = [column for column in names if column.casefold() == name.casefold()]
    return name if name in names else alike[0] if len(alike) == 1 else None


def likely_column(names: Sequence[str], known: Sequence[str]) -> str | None:
    """Return the column whose name comes first among the known ones; ``None``: there is none."""
    plain = {"".join(filter(str.isalnum, name.casefold())): name for name in reversed(names)}
    return next((plain[name] for name in known if name in plain), None)


def required_column(
    names: Sequence[str], given: str | None, known: Sequence[str], role: str, where: str
) -> str:
    """Return the column that the user names, else the one whose name is known.

    Raises:
        UserError: there is none; lists those that there are.
    """
    column = likely_column(names, known) if given is None else find_column(names, given)
    if column is not None:
        return column
    listed = named([repr(name) for name in names])
    if given is not None:
        raise UserError(f"{where}: no column {short(given)} for data.table.{role}; there are {listed}")
    raise UserError(
        f"{where}: no column is called {', '.join(known[:4])} or the like, and there are {listed}: name "
        f"the one of the {role}s by data.table.{role}"
    )
