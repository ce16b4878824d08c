"""Maps from a file's categories to classes: several become one, some are left out.

In YAML, class by class; ``"*"`` stands for all categories that are not named::

    Metal: [Drink can, Food Can]
    Glass: [Glass bottle, Broken glass]
    Other: ["*"]      # "*": "*" keeps the others under their own names; without either they are left out

A line may also go the other way, ``Drink can: Metal``, and ``Drink can: null`` leaves one out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from core.errors import UserError, short
from core.reading import parse_yaml, read_yaml

_ALL = "*"


@dataclass(frozen=True)
class CategoryMap:
    """Map from categories to classes.

    Attributes:
        classes: category → class, or ``None`` where it is left out.
        others: class of the categories that are not named; ``"*"``: their own, ``None``: left out.
    """

    classes: Mapping[str, str | None]
    others: str | None

    def class_of(self, category: str) -> str | None:
        """Return the class, or ``None`` where the category is left out."""
        named = self.classes.get(category, self.others)
        return category if named == _ALL else named

    def unknown(self, categories: Sequence[str]) -> list[str]:
        """Return one line for each named category that a file does not have."""
        lines = []
        for name in self.classes:
            if name not in categories:
                close = difflib.get_close_matches(name, categories, n=1)
                lines.append(
                    f"no category {short(name)}" + (f"; did you mean {short(close[0])}?" if close else "")
                )
        return lines


#: Every category is a class.
OWN_NAMES = CategoryMap({}, _ALL)


def load_map(name: str) -> CategoryMap:
    """Load the map that ships under this name, or the one in a YAML file.

    Raises:
        UserError: neither; or not a map.
    """
    shipped = {entry.name.removesuffix(".yaml"): entry for entry in _shipped()}
    if name in shipped:
        content = parse_yaml(shipped[name].read_text("utf-8"), f"map {name}")
    elif Path(name).exists():
        content = read_yaml(Path(name), "map")
    else:
        known = ", ".join(shipped)
        raise UserError(f"no map {short(name)}: there is no such file, and those that ship are {known}")
    try:
        return parse_map(content)
    except UserError as error:
        raise UserError(f"map {name}: {error}") from None


def parse_map(content: object) -> CategoryMap:
    """Check and convert the content of a map file; see :func:`load_map`."""
    if not isinstance(content, dict) or not content:
        raise UserError("expected lines like 'Metal: [Drink can, Food Can]'")
    classes: dict[str, str | None] = {}
    for category, target in _pairs(content):
        if classes.get(category, target) != target:
            raise UserError(
                f"category {short(category)} is in {short(classes[category])} and in {short(target)}"
            )
        classes[category] = target
    others = classes.pop(_ALL, None)
    if _ALL in classes.values():
        raise UserError("'*' as a class stands alone: '*': '*' keeps the other categories as they are")
    return CategoryMap(classes, others)


def check_folders(labels: Iterable[str]) -> None:
    """Refuse class names that are no folder names, on any system.

    Raises:
        UserError: names the class.
    """
    for label in sorted(labels):
        fits = label.isprintable() and not label.startswith(".") and len(label.encode()) <= 200
        if not fits or not label.strip() or any(character in label for character in '/\\:*?"<>|'):
            raise UserError(
                f"no folder can be called {short(label)}: give that class another name in the map"
            )


def _pairs(content: Mapping[Any, Any]) -> Iterator[tuple[str, str | None]]:
    """Yield (category, class) of every line, whichever way it is written."""
    for key, value in content.items():
        if not isinstance(key, str):
            raise UserError(f"{short(key)} is not a text: put it into quotes")
        if isinstance(value, list):
            if not all(isinstance(name, str) for name in value):
                raise UserError(
                    f"{key}: expected category names, got {short(value)}: put them into quotes"
                )
            yield from ((name, key) for name in value)
        elif value is None or isinstance(value, str):
            yield key, value
        else:
            raise UserError(f"{key}: expected a class or a list of categories, got {short(value)}")


def _shipped() -> list[Any]:
    folder = resources.files("training.data.coco") / "maps"
    return sorted((e for e in folder.iterdir() if e.name.endswith(".yaml")), key=lambda e: e.name)
