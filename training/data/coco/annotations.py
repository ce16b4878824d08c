"""COCO's annotation file: photos, categories and boxes, checked entry by entry.

Format: https://cocodataset.org/#format-data (object detection).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from core.errors import UserError
from core.reading import DATA_SET, read_json
from training.data.coco.boxes import Box, Size

Id = int | str


@dataclass(frozen=True)
class Annotation:
    """One object.

    Attributes:
        id: as in the file; some files use one twice.
        category: its name.
        box: as in the file: it may leave its photo, or be empty.
        crowd: the box holds many objects of the category.
    """

    id: Id
    category: str
    box: Box
    crowd: bool


@dataclass(frozen=True)
class Photo:
    """One photo.

    Attributes:
        file: relative name; stays below the image folder, but for links.
        size: (width, height) that the boxes count in, pixels.
        annotations: in the order of the file.
    """

    file: str
    size: Size
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class Coco:
    """A whole file.

    Attributes:
        categories: names, in the order of the file.
        photos: in the order of the file.
        repeated_ids: annotation ids that occur more than once.
    """

    categories: tuple[str, ...]
    photos: tuple[Photo, ...]
    repeated_ids: tuple[Id, ...]


def read_coco(path: Path) -> Coco:
    """Read and check an annotation file.

    Raises:
        UserError: not JSON; an entry lacks a key or holds what it must not; an id that is not known or
            names two things; a photo outside the image folder. Names the entry.
    """
    content = read_json(path, "annotation file", limit=DATA_SET)
    try:
        return parse_coco(content)
    except UserError as error:
        raise UserError(f"annotation file {path}: {error}") from None


def parse_coco(content: object) -> Coco:
    """Check and convert the content of an annotation file; see :func:`read_coco`."""
    if not isinstance(content, dict):
        raise UserError("it holds no COCO annotations: expected {images, categories, annotations}")
    images, categories, annotations = (
        _Entry.all(content, key) for key in ("images", "categories", "annotations")
    )
    names = {entry.id: entry.text("name") for entry in categories}
    _check_unique(categories)
    _check_unique(images)
    by_image: dict[Id, list[Annotation]] = {entry.id: [] for entry in images}
    for entry in annotations:
        photo = entry.known("image_id", by_image, "images")
        category = entry.known("category_id", names, "categories")
        by_image[photo].append(Annotation(entry.id, names[category], entry.box(), entry.flag("iscrowd")))
    photos = tuple(
        Photo(entry.file(), (entry.side("width"), entry.side("height")), tuple(by_image[entry.id]))
        for entry in images
    )
    counts = Counter(entry.id for entry in annotations)
    return Coco(tuple(names.values()), photos, tuple(key for key, count in counts.items() if count > 1))


@dataclass(frozen=True)
class _Entry:
    """One element of a list, which says where it is when something is wrong with it."""

    place: str
    content: Mapping[str, Any]

    @classmethod
    def all(cls, content: Mapping[str, Any], key: str) -> list[_Entry]:
        if key not in content:
            raise UserError(f"it holds no {key!r}: expected images, categories and annotations")
        if not isinstance(content[key], list):
            raise UserError(f"{key!r} must be a list")
        for index, element in enumerate(content[key]):
            if not isinstance(element, dict):
                raise UserError(f"{key}[{index}] is {_short(element)}: expected an object")
        return [cls(f"{key}[{index}]", element) for index, element in enumerate(content[key])]

    def value(self, key: str) -> Any:
        if key not in self.content:
            raise UserError(f"{self.place} has no {key!r}")
        return self.content[key]

    def wrong(self, key: str, wanted: str) -> UserError:
        return UserError(f"{self.place}: {key} is {_short(self.content[key])}: {wanted}")

    @property
    def id(self) -> Id:
        return self.reference("id")

    def reference(self, key: str) -> Id:
        value = self.value(key)
        if not isinstance(value, int | str) or isinstance(value, bool):
            raise self.wrong(key, "expected a whole number or a text")
        return value

    def known(self, key: str, among: Mapping[Id, object], where: str) -> Id:
        value = self.reference(key)
        if value not in among:
            raise self.wrong(key, f"no such id in {where}")
        return value

    def text(self, key: str) -> str:
        value = self.value(key)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, "expected a text")
        return value.strip()

    def side(self, key: str) -> int:
        value = self.value(key)
        if not _is_number(value) or value < 1 or value != int(value):
            raise self.wrong(key, "expected a whole number of pixels, 1 or more")
        return int(value)

    def flag(self, key: str) -> bool:
        value = self.content.get(key, 0)
        if value not in (0, 1):
            raise self.wrong(key, "expected 0 or 1")
        return bool(value)

    def box(self) -> Box:
        value = self.value("bbox")
        if not isinstance(value, list) or len(value) != 4 or not all(map(_is_number, value)):
            raise self.wrong("bbox", "expected four finite numbers: x, y, width, height")
        return Box(*map(float, value))

    def file(self) -> str:
        name = self.text("file_name")
        for path in (PurePosixPath(name), PureWindowsPath(name)):
            if path.is_absolute() or path.anchor or ".." in path.parts:
                raise self.wrong("file_name", "it leaves the image folder; refused")
        if "\0" in name:
            raise self.wrong("file_name", "no file can have this name")
        return name


def _check_unique(entries: Sequence[_Entry]) -> None:
    seen: dict[Id, str] = {}
    for entry in entries:
        if entry.id in seen:
            raise entry.wrong("id", f"{seen[entry.id]} has it too")
        seen[entry.id] = entry.place


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
