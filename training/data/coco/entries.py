"""Entries of an annotation file, each of which says where it is when something is wrong with it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from core.errors import UserError, cut
from training.data.coco.boxes import Box, Size

Id = int | str
_LONGEST_VALUE = 80  # characters, in messages


class UnusableError(Exception):
    """An entry that cannot be used.

    Args:
        reason: after the kind of the entry, as in "without a name".
        place: where it is, with the value that is wrong.
    """

    def __init__(self, reason: str, place: str) -> None:
        super().__init__(reason)
        self.reason, self.place = reason, place


@dataclass(frozen=True)
class Entry:
    """One element of a list.

    Attributes:
        kind: name of the list.
        index: place in it, from 0.
        content: anything that JSON has.
    """

    kind: str
    index: int
    content: object

    @classmethod
    def all(cls, content: Mapping[str, Any], key: str) -> list[Entry]:
        """Return the entries of a list.

        Raises:
            UserError: there is no such list.
        """
        if key not in content:
            raise UserError(f"it holds no {key!r}: expected images, categories and annotations")
        if not isinstance(content[key], list):
            raise UserError(f"{key!r} must be a list")
        return [cls(key, index, element) for index, element in enumerate(content[key])]

    @property
    def place(self) -> str:
        """Location of the entry in its file, for messages."""
        return f"{self.kind}[{self.index}]"

    @property
    def id(self) -> Id | None:
        """Its id; ``None``: it has none that can be used."""
        return _as_id(self.get("id"))

    def get(self, key: str) -> Any:
        """Return a value; ``None``: there is none."""
        return self.content.get(key) if isinstance(self.content, dict) else None

    def wrong(self, reason: str, key: str) -> UnusableError:
        """Return the error about one of its values."""
        if not isinstance(self.content, dict):
            return UnusableError(
                "of another type than an object", f"{self.place} is {_short(self.content)}"
            )
        place = self.place if self.id is None else f"{self.place} (id {_short(self.id)})"
        value = f": {key} is {_short(self.content[key])}" if key in self.content else f": no {key}"
        return UnusableError(reason, place + value)

    def known(self, key: str, among: Mapping[Id, object], reason: str) -> Id:
        """Return the id of another entry. Raises UnusableError, as all below."""
        value = _as_id(self.get(key))
        if value is None or value not in among:
            raise self.wrong(reason, key)
        return value

    def name(self) -> str:
        """Return the name; a number is one."""
        value = self.get("name")
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text("name")

    def text(self, key: str) -> str:
        """Return a text without spaces around it, not empty."""
        value = self.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(f"without a {key}", key)
        return value.strip()

    def size(self) -> Size | None:
        """Return width and height in pixels; ``None``: they cannot be used."""
        sides = [self.get(key) for key in ("width", "height")]
        if all(_is_number(side) and side >= 1 and side == int(side) for side in sides):
            return int(sides[0]), int(sides[1])
        return None

    def flag(self, key: str) -> bool:
        """Return whether a value is 1; 0 and null are not."""
        value = self.get(key)
        if value is not None and value not in (0, 1):
            raise self.wrong(f"whose {key} is neither 0 nor 1", key)
        return bool(value)

    def box(self) -> Box:
        """Return the box."""
        value = self.get("bbox")
        if not isinstance(value, list) or len(value) != 4 or not all(map(_is_number, value)):
            raise self.wrong("without a box of four finite numbers", "bbox")
        return Box(*map(float, value))

    def file(self) -> str:
        """Return the name of a file below the image folder."""
        name = self.text("file_name")
        for path in (PurePosixPath(name), PureWindowsPath(name)):
            if path.is_absolute() or path.anchor or ".." in path.parts:
                raise self.wrong("outside the image folder", "file_name")
        if "\0" in name:
            raise self.wrong("with a name that no file can have", "file_name")
        return name


def by_id(
    entries: Sequence[Entry], value_of: Callable[[Entry], str], remarks: dict[str, list[str]]
) -> dict[Id, tuple[str, Entry]]:
    """Return id → (value, entry), without the entries that cannot be used.

    An id of two entries with one value is one entry; with two values, it names neither.
    """
    found: dict[Id, tuple[str, Entry]] = {}
    ambiguous: set[Id] = set()
    for entry in entries:
        try:
            if entry.id is None:
                raise entry.wrong("without an id", "id")
            value = value_of(entry)
        except UnusableError as error:
            remarks[f"{entry.kind} {error.reason}"].append(error.place)
            continue
        other, first = found.setdefault(entry.id, (value, entry))
        if other != value:
            ambiguous.add(entry.id)
            remarks[f"{entry.kind} with an id of another one, so that neither is used"].append(
                f"{entry.place} and {first.place} (id {_short(entry.id)})"
            )
    return {key: value for key, value in found.items() if key not in ambiguous}


def _as_id(value: object) -> Id | None:
    """Return an id, a whole number or a text; ``None``: it is neither."""
    if isinstance(value, float) and _is_number(value) and value == int(value):
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _short(value: object) -> str:
    return cut(json.dumps(value), _LONGEST_VALUE)
