"""COCO's annotation file: photos, categories and boxes, checked entry by entry.

Files of the field are careless: what can be used is used, and the rest is counted by reason.

Format: https://cocodataset.org/#format-data (object detection).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import UserError
from core.reading import DATA_SET, read_json
from training.data.coco.boxes import Box, Size
from training.data.coco.entries import Entry, Id, UnusableError, by_id


@dataclass(frozen=True)
class Annotation:
    """One object.

    Attributes:
        id: as in the file; some files use one twice. Without one, the place in the file.
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
        file: relative name as in the file, maybe with Windows' separators; stays below the image folder,
            but for links.
        size: (width, height) that the boxes count in, pixels; ``None``: the file does not say, so it is
            that of the photo as it is shown.
        annotations: in the order of the file.
    """

    file: str
    size: Size | None
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class Coco:
    """A whole file.

    Attributes:
        categories: names, in the order of the file.
        photos: in the order of the file.
        repeated_ids: annotation ids that occur more than once.
        unusable: reason → the annotations that cannot be used for it, by place and id.
        remarks: what else is wrong in the file → its places: photos and categories that cannot be used,
            and what was taken as meant.
    """

    categories: tuple[str, ...]
    photos: tuple[Photo, ...]
    repeated_ids: tuple[Id, ...]
    unusable: Mapping[str, Sequence[str]] = field(default_factory=dict)
    remarks: Mapping[str, Sequence[str]] = field(default_factory=dict)


def read_coco(path: Path) -> Coco:
    """Read and check an annotation file.

    Raises:
        UserError: not JSON; no lists of images, categories and annotations; there are annotations, and
            none of them can be used.
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
        Entry.all(content, key) for key in ("images", "categories", "annotations")
    )
    remarks: dict[str, list[str]] = defaultdict(list)
    unusable: dict[str, list[str]] = defaultdict(list)
    names = by_id(categories, Entry.name, remarks)
    files = by_id(images, Entry.file, remarks)
    boxes: dict[Id, list[Annotation]] = {key: [] for key in files}
    ids: Counter[Id] = Counter()
    for entry in annotations:
        try:
            photo = entry.known("image_id", files, "of a photo that is not listed, or cannot be used")
            category = entry.known(
                "category_id", names, "of a category that is not listed, or cannot be used"
            )
            box, crowd, own = entry.box(), entry.flag("iscrowd"), entry.id
        except UnusableError as error:
            unusable[f"annotation {error.reason}"].append(error.place)
            continue
        if own is None:
            remarks["annotations without an id, named by their place"].append(entry.place)
        else:
            ids[own] += 1
        boxes[photo].append(
            Annotation(entry.place if own is None else own, names[category][0], box, crowd)
        )
    if annotations and not any(boxes.values()):
        reasons = ", ".join(f"{reason} ({len(of):,}): {of[0]}" for reason, of in unusable.items())
        raise UserError(f"none of its {len(annotations):,} annotations can be used: {reasons}")
    photos = []
    for key, (file, entry) in files.items():
        size = entry.size()
        if size is None:
            remarks["photos without a usable width and height: their own size is taken"].append(
                entry.place
            )
        photos.append(Photo(file, size, tuple(boxes[key])))
    return Coco(
        tuple(name for name, _ in names.values()),
        tuple(photos),
        tuple(key for key, count in ids.items() if count > 1),
        unusable,
        remarks,
    )
