"""Crops of one photo: the boxes to cut out, the photo's path, the names of the files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from core.errors import UserError
from training.data.coco.annotations import Annotation, Photo
from training.data.coco.boxes import Box, Size, clipped, frame_of, to_upright, window
from training.data.coco.categories import CategoryMap
from training.data.decode import BrokenImageError, open_image_file, orientation
from training.data.upright import decoded

LEFT_OUT = "category left out by the map"
CROWD = "crowd of objects (iscrowd)"
REPEATED = "repeats another annotation"
EMPTY = "empty or inverted box"
OUTSIDE = "box outside its photo"
SMALL = "shorter side under min_side"

_LOSSY = {"JPEG", "MPO", "WEBP", "AVIF", "JPEG2000"}
_STEM_BYTES = 150


class OtherSizeError(Exception):
    """The boxes belong to a version of the photo that has another size; the message says which."""


@dataclass(frozen=True)
class Saving:
    """Pillow's options for saving the crops of a photo."""

    ending: str
    options: Mapping[str, Any]


_AS_JPEG = Saving(".jpg", {"format": "JPEG", "quality": 95})
_AS_PNG = Saving(".png", {"format": "PNG"})


@dataclass(frozen=True)
class Wanted:
    """One crop to make.

    Attributes:
        annotation: what it shows.
        label: its class.
        box: inside the photo, in the frame of its annotation.
    """

    annotation: Annotation
    label: str
    box: Box


def wanted_of(photo: Photo, classes: CategoryMap, min_side: float) -> tuple[list[Wanted], Counter[str]]:
    """Return the crops to make of a photo, and the reasons why its other boxes give none.

    Args:
        photo: with its boxes.
        classes: which class each category belongs to.
        min_side: least shorter side of a box, of what is inside the photo, pixels.
    """
    wanted: list[Wanted] = []
    skipped: Counter[str] = Counter()
    seen: set[Annotation] = set()
    for annotation in photo.annotations:
        label = classes.class_of(annotation.category)
        box = annotation.box if photo.size is None else clipped(annotation.box, photo.size)
        if label is None:
            skipped[LEFT_OUT] += 1
        elif annotation.crowd:
            skipped[CROWD] += 1
        elif annotation in seen:
            skipped[REPEATED] += 1
        elif annotation.box.empty:
            skipped[EMPTY] += 1
        elif box.empty:
            skipped[OUTSIDE] += 1
        elif min(box.width, box.height) < min_side:
            skipped[SMALL] += 1
        else:
            wanted.append(Wanted(annotation, label, box))
        seen.add(annotation)
    return wanted, skipped


def locate(images: Path, photos: Sequence[Photo]) -> list[Path | None]:
    """Return the path of each photo; ``None`` where it is missing.

    Raises:
        UserError: ``images`` is no folder, or a link leads out of it.
    """
    if not images.is_dir():
        raise UserError(f"{images} is no folder; give the folder of the photos")
    root = images.resolve()
    places: list[Path | None] = []
    for photo in photos:
        # Windows' separator, unless a file has it in its name.
        names = dict.fromkeys((photo.file, photo.file.replace("\\", "/")))
        path = next(filter(None, (_existing(root / name) for name in names)), None)
        if path is not None and not path.is_relative_to(root):
            raise UserError(f"photo {photo.file!r} is a link that leaves {images}; refused")
        places.append(path)
    return places


def sized(photo: Photo, path: Path | None) -> Photo:
    """Return a photo with its size, which is that of the upright photo where its file does not say.

    A missing or broken one stays without; cutting it says so.
    """
    if photo.size is not None or path is None:
        return photo
    try:
        with open_image_file(path) as image:
            size = image.size[::-1] if orientation(image) >= 5 else image.size
    except BrokenImageError:
        return photo
    return replace(photo, size=size)


def cut_crops(
    path: Path, size: Size | None, wanted: Sequence[Wanted], margin: float
) -> Iterator[tuple[Image.Image, Saving]]:
    """Cut boxes out of a photo, which is opened once and turned upright.

    One crop at a time is in memory.

    Args:
        path: of the photo.
        size: (width, height) that the boxes count in; ``None``: that of the upright photo.
        wanted: boxes.
        margin: share of a box's longer side that is added on every side.

    Yields:
        Each crop, RGB, and how to save it: without loss where the photo is stored without.

    Raises:
        BrokenImageError: the photo cannot be read.
        OtherSizeError: ``size`` is not that of the photo, neither as stored nor as turned.
    """
    image = open_image_file(path)
    turn, saving = orientation(image), _AS_JPEG if image.format in _LOSSY else _AS_PNG
    with decoded(image) as picture:
        size = size or picture.size
        frame = frame_of(size, picture.size, turn)
        if frame is None:
            shown = " x ".join(map(str, picture.size))
            raise OtherSizeError(f"it has {shown} pixels, its boxes are for {size[0]} x {size[1]}")
        for one in wanted:
            box = one.box if frame == "upright" else to_upright(one.box, turn, size)
            yield picture.piece(window(box, margin, picture.size)), saving


#: Regular expression for ``group_by`` that keeps the crops of a photo in one split.
GROUP_BY_PHOTO = "([^/]+)-box"


def crop_stem(photo: Photo, annotation: Annotation) -> str:
    """Return a file name without ending that names photo and annotation, as ``batch_1_000006-box17``."""
    stem = _plain(photo.file.rpartition(".")[0] or photo.file)
    kept = stem.encode()[-_STEM_BYTES:].decode(errors="ignore").lstrip("._")
    return f"{kept}-box{_plain(str(annotation.id))[-40:]}"


def _existing(path: Path) -> Path | None:
    """Return the path without links, ``None`` where there is nothing; no file that could be read, too."""
    try:
        resolved = path.resolve()
        return resolved if resolved.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long; links in a circle; no name at all
        return None


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)
